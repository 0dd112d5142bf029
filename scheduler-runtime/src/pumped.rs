//! A scheduler that the event loop of its host drives.

mod clock;
mod signal;

use std::{
    fmt,
    future::Future,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use scheduler_core::{Error, PartialOptions, TaskName};
use scheduler_executors::{AsyncTaskFn, parameters::Parameters};

use self::{clock::PumpedClock, signal::Signal};
use crate::{
    Builder, Scheduler,
    local_set::{LocalSet, call, stand_in},
    runtime::Now,
};

/// How many turns the loop and the tasks take in one pump, if they go on waking each other: enough for a dozen calls one
/// after the other, and nothing that a frame would miss.
const TURNS: usize = 32;

/// After how many runs and futures that arrive in one pump the rest is left to the next.
const ARRIVALS: usize = 1_000;

/// A scheduler without a loop of its own: the event loop of a host pumps it, be it that of a toolkit, a game or a test.
///
/// [`pump`](Self::pump) is told the time, does what there is to do on the calling thread, and says when it wants to be
/// called again. It never waits. Tasks are as those of a [`Local`](crate::Local): they run within the pump, and need not be
/// `Send`. What comes from elsewhere in between, such as a call on another thread or the end of a blocking task, is told by
/// [`on_wake`](Self::on_wake).
///
/// As nothing happens between pumps, a call of the scheduler has its answer in a later one: there are only the async calls
/// of its [`handle`](Self::handle), to be awaited in tasks, in [`spawn_local`](Self::spawn_local) and on other threads.
///
/// ```
/// use std::{cell::Cell, rc::Rc, time::Duration};
///
/// use chrono::{DateTime, Utc};
/// use scheduler_core::{JobSpec, trigger::Cron};
/// use scheduler_runtime::{Now, Scheduler};
/// use scheduler_thread::ThreadRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scheduler = Scheduler::builder(ThreadRuntime::new()?).pumped()?;
/// let backups = Rc::new(Cell::new(0)); // Neither `Send` nor locked.
/// let backup = Rc::clone(&backups);
/// scheduler.task("backup", move || {
///     backup.set(backup.get() + 1);
///     std::future::ready(())
/// })?;
/// let handle = scheduler.handle();
/// scheduler.spawn_local(async move {
///     let nightly = JobSpec::new("backup", Cron::crontab("0 3 * * *").expect("it is well written"));
///     handle.add_job(nightly).await.expect("the store is in memory");
///     handle.start().await.expect("it is started once");
/// });
///
/// // The host's loop: here a simulation of June. Others give `SystemClock::now()`, and wait.
/// let start: DateTime<Utc> = "2026-06-01T00:00:00Z".parse()?;
/// let mut now = Now { utc: start, monotonic: Duration::ZERO };
/// while now.monotonic < Duration::from_secs(30 * 86_400) {
///     let wait = scheduler.pump(now).expect("a job is always due some time");
///     now = now.after(wait);
/// }
/// assert_eq!(backups.get(), 30);
/// # Ok(())
/// # }
/// ```
///
/// # What its runtime is for
///
/// Threads for blocking tasks, and how long calls from other threads wait for a pump. No future is spawned
/// on it, and its clock does not say what is due. A [`ThreadPool`] and other executors with threads of their own do as
/// anywhere.
///
/// Futures are polled outside of the runtime's context. A store's client that needs one has its own or uses another
/// reactor, as all stores of this project do. A task that uses tokio's timers or sockets wants the host to hold
/// `tokio::runtime::Handle::enter` while it pumps.
///
/// [`ThreadPool`]: https://docs.rs/scheduler-executors/latest/scheduler_executors/struct.ThreadPool.html
///
/// # Dropping it
///
/// Ends the scheduler without a shutdown: tasks are dropped where they stand, calls are answered with
/// [`ErrorKind::ShutDown`](scheduler_core::ErrorKind), and a persistent store's runs are taken over when the lease ends. For
/// an orderly end, call [`Scheduler::begin_shutdown`] and pump until it [has ended](Self::is_ended).
#[doc(alias = "QtScheduler")]
#[doc(alias = "TornadoScheduler")]
#[doc(alias = "TwistedScheduler")]
pub struct Pumped {
    scheduler: Scheduler,
    local_set: LocalSet,
    clock: Arc<PumpedClock>,
    signal: Arc<Signal>,
    waker: Waker,
}

impl Pumped {
    pub(crate) fn new(builder: Builder) -> Result<Self, Error> {
        let signal = Arc::new(Signal::default());
        let clock = Arc::new(PumpedClock::new(builder.runtime(), Arc::clone(&signal)));
        let (scheduler, _, local_set) = LocalSet::assemble(builder.on(Arc::clone(&clock) as _))?;
        let waker = Waker::from(Arc::clone(&signal));
        // The loop has not been polled yet.
        waker.wake_by_ref();
        Ok(Self { scheduler, local_set, clock, signal, waker })
    }

    /// Runs what is to run at this time, and says after how long it wants to be called again at the latest: none if there
    /// is nothing to do until it is woken, zero if there is more to do than one call does. Never waits. Being called
    /// earlier does no harm, and costs little.
    ///
    /// `now` is [`SystemClock::now`](crate::SystemClock::now) for a host in real time. A game or a test gives a time of its
    /// own, and so has a simulation. The wall clock may be set in either direction; a monotonic clock that goes back is
    /// taken to stand still. For the scheduler no time passes but from one call to the next, which is also how the duration
    /// of a run is counted.
    ///
    /// In one call the loop and the tasks take at most 32 turns, in each of which a task that can go on is polled once; and
    /// when a thousand runs have come to their start, the rest waits for the next call.
    ///
    /// Called from within itself, as by a task that runs the host's loop for a dialogue, it does nothing and says none: the
    /// outer call has not returned.
    pub fn pump(&self, now: Now) -> Option<Duration> {
        if self.local_set.is_working() {
            return None;
        }
        self.signal.disarm();
        self.clock.begin(now);
        let mut cx = Context::from_waker(&self.waker);
        let mut arrived = 0;
        for _ in 0..TURNS {
            if arrived >= ARRIVALS || !self.signal.take() {
                break;
            }
            arrived += self.local_set.turn(&mut cx).arrived;
        }
        let next = self.clock.end();
        if self.signal.arm() { next } else { Some(Duration::ZERO) }
    }

    /// Calls this when there is something to do earlier than [`pump`](Self::pump) said: from any thread, at most once until
    /// the next pump, and never within one. It makes the host's loop pump soon; it must neither block nor wait for that.
    /// Replaces the callback before it. What it panics with is logged.
    ///
    /// It is called on the thread that calls the scheduler, too: a toolkit that runs such calls in place has to be told to
    /// queue them. Before the first pump the host was told nothing, and has to come by itself.
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// use scheduler_runtime::{Scheduler, SystemClock};
    /// use scheduler_thread::ThreadRuntime;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let scheduler = Scheduler::builder(ThreadRuntime::new()?).pumped()?;
    /// let (queue, messages) = mpsc::channel();
    /// scheduler.on_wake(move || drop(queue.send("pump")));
    /// assert_eq!(scheduler.pump(SystemClock::now()), None);
    ///
    /// let handle = scheduler.handle();
    /// let other = std::thread::spawn(move || futures_executor::block_on(handle.start()));
    /// assert_eq!(messages.recv()?, "pump");
    /// scheduler.pump(SystemClock::now());
    /// assert_eq!(other.join().unwrap(), Ok(()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_wake(&self, callback: impl Fn() + Send + Sync + 'static) {
        self.signal.set_callback(Some(Arc::new(callback)));
    }

    /// Polls a future of the caller's within the pumps, from the next one on. It need not be `Send`. One that panics ends,
    /// and nothing else is affected.
    pub fn spawn_local(&self, future: impl Future<Output = ()> + 'static) {
        self.local_set.join(Box::pin(future));
        self.signal.raise();
    }

    /// Gives tasks that are registered from now on a value that they take by its type, as [`Builder::state`] does; it need not
    /// be `Send`. It comes before what the builder was given of the same type. Blocking tasks do not see it.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// use scheduler_core::State;
    /// # use scheduler_runtime::Scheduler;
    /// # use scheduler_thread::ThreadRuntime;
    ///
    /// async fn visit(State(visits): State<Rc<Cell<u32>>>) {
    ///     visits.set(visits.get() + 1);
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let scheduler = Scheduler::builder(ThreadRuntime::new()?).pumped()?;
    /// scheduler.add_state(Rc::new(Cell::new(0_u32)))?;
    /// scheduler.task("visit", visit)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](scheduler_core::ErrorKind) if there is a value of this type already.
    pub fn add_state<T: Clone + 'static>(&self, value: T) -> Result<(), Error> {
        self.local_set.add_state(value)
    }

    /// Registers an async function under a name; neither it nor its futures need be `Send`. It takes what the functions of
    /// [`Builder::task`] take.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](scheduler_core::ErrorKind) if the name is taken, or state is missing that the task takes;
    /// [`ErrorKind::ShutDown`](scheduler_core::ErrorKind); [`ErrorKind::Busy`](scheduler_core::ErrorKind) if a thousand calls
    /// wait for a pump.
    pub fn task<F, P>(&self, name: impl Into<TaskName>, function: F) -> Result<(), Error>
    where
        F: AsyncTaskFn<P>,
        P: Parameters,
    {
        self.task_with_options(name, PartialOptions::default(), function)
    }

    /// As [`task`](Self::task), with options that its jobs have unless they say otherwise; see [`Task`](scheduler_core::Task).
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task); [`ErrorKind::Config`](scheduler_core::ErrorKind) if an option is out of its range.
    pub fn task_with_options<F, P>(
        &self,
        name: impl Into<TaskName>,
        options: PartialOptions,
        function: F,
    ) -> Result<(), Error>
    where
        F: AsyncTaskFn<P>,
        P: Parameters,
    {
        let name = name.into();
        let task = stand_in::<P>(name.clone()).options(options);
        self.scheduler.begin_add_task(task, |state| self.local_set.has_state(state))?;
        self.local_set.add_task(name, call(function));
        Ok(())
    }

    /// A handle for other threads, for tasks and for [`spawn_local`](Self::spawn_local).
    ///
    /// On the thread that pumps, waiting for one of its calls in another way, as by a `block_on`, waits for ever: nobody
    /// pumps meanwhile.
    pub fn handle(&self) -> Scheduler {
        self.scheduler.clone()
    }

    /// Whether the scheduler has shut down, so that it need not be pumped any more. If its loop has panicked instead, the event
    /// [`SchedulerFailed`](scheduler_core::EventKind::SchedulerFailed) told so, and so do the calls of its handle.
    pub fn is_ended(&self) -> bool {
        self.local_set.is_over()
    }
}

/// Wakers of futures that have been polled here may live on; the callback does not.
impl Drop for Pumped {
    fn drop(&mut self) {
        self.signal.set_callback(None);
    }
}

impl fmt::Debug for Pumped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pumped").field("scheduler", &self.scheduler).finish_non_exhaustive()
    }
}
