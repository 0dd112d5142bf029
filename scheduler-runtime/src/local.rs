//! A scheduler on one thread, with tasks that need not be `Send`.

mod runtime;
mod task;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use futures_channel::{mpsc, oneshot};
use futures_util::{
    FutureExt, StreamExt,
    future::{Either, LocalBoxFuture, select},
    stream::FuturesUnordered,
};
use scheduler_core::{
    BoxFuture, CancellationToken, Conflict, Dispatch, Error, Event, EventMask, Executor, ExecutorName, JobChange,
    JobId, JobSpec, JobStore, Outcome, RawJob, Run, StoreName, Task, TaskName, Trigger,
    engine::{ExportedJob, SchedulerState, ShutdownMode},
    trigger::CustomTrigger,
};
use scheduler_executors::{Spawn, parameters::Parameters};

pub use self::task::LocalTaskFn;
use self::{
    runtime::{Arrival, LocalExecutor, LocalRuntime},
    task::{LocalCall, call, stand_in},
};
use crate::{
    Builder, EventStream, Job, ListenerId, Scheduler,
    background::{block_on, blocking_calls},
    listen::message_of,
    runtime::Runtime,
};

/// The name of the executor that runs tasks on the scheduler's own thread.
const EXECUTOR: &str = "local";

/// How often the loop and the tasks take turns before whoever else runs on this thread gets one.
const ROUNDS: usize = 32;

/// A scheduler that lives on one thread: its loop and any number of cooperating tasks, which need not be `Send` and may
/// share an `Rc`.
///
/// Nothing happens on it but inside its calls: [`run`](Self::run) runs it until it has been shut down; each other call runs
/// it while it waits. The runtime is asked for the time and for threads for blocking work, and for no other thread. The
/// [`handle`](Self::handle) can be sent to other threads.
///
/// Its executor, which runs async tasks on this thread, is named `local`, and `default` as well unless the builder was given
/// another one. Blocking tasks run on the runtime's threads for such work.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
///
/// use scheduler_core::{EventMask, JobSpec, engine::ShutdownMode};
/// use scheduler_runtime::Scheduler;
/// use scheduler_thread::ThreadRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scheduler = Scheduler::builder(ThreadRuntime::new()?).local()?;
/// let visits = Rc::new(Cell::new(0)); // Neither `Send` nor locked.
/// let visit = Rc::clone(&visits);
/// scheduler.task("visit", move || {
///     visit.set(visit.get() + 1);
///     std::future::ready(())
/// })?;
/// scheduler.add_job(JobSpec::now("visit"))?;
/// let handle = scheduler.handle();
/// scheduler.add_listener(EventMask::RUN_EXECUTED, move |_| handle.begin_shutdown(ShutdownMode::Wait).unwrap());
///
/// scheduler.run()?;
/// assert_eq!(visits.get(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// Its calls panic where the runtime's `block_on` does, and in its own tasks and listeners, which run inside such a call
/// already: those await the [`handle`](Self::handle), or [`begin_shutdown`](Self::begin_shutdown).
#[doc(alias = "GeventScheduler")]
pub struct Local {
    scheduler: Scheduler,
    runtime: Arc<dyn Runtime>,
    driver: RefCell<Option<BoxFuture<'static, ()>>>,
    tasks: RefCell<HashMap<TaskName, LocalCall>>,
    arrivals: RefCell<mpsc::UnboundedReceiver<Arrival>>,
    running: RefCell<FuturesUnordered<LocalBoxFuture<'static, ()>>>,
    is_polling: Cell<bool>,
}

impl Local {
    pub(crate) fn new(mut builder: Builder) -> Result<Self, Error> {
        let (sender, arrivals) = mpsc::unbounded();
        let runtime: Arc<dyn Runtime> = Arc::new(LocalRuntime { host: builder.runtime(), arrivals: sender.clone() });
        builder = builder.on(Arc::clone(&runtime));
        if !builder.has_executor(&ExecutorName::default()) {
            builder = builder.executor(ExecutorName::default(), LocalExecutor { arrivals: sender.clone() });
        }
        let (scheduler, driver) = builder.executor(EXECUTOR, LocalExecutor { arrivals: sender }).assemble()?;
        Ok(Self {
            scheduler,
            runtime,
            driver: RefCell::new(Some(Box::pin(driver.run()))),
            tasks: RefCell::default(),
            arrivals: RefCell::new(arrivals),
            running: RefCell::default(),
            is_polling: Cell::new(false),
        })
    }

    /// Registers an async function under a name; neither it nor its futures need be `Send`. It takes what the functions of
    /// [`Builder::task`] take.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](scheduler_core::ErrorKind) if the name is taken; [`ErrorKind::ShutDown`](scheduler_core::ErrorKind).
    pub fn task<F, P>(&self, name: impl Into<TaskName>, function: F) -> Result<(), Error>
    where
        F: LocalTaskFn<P>,
        P: Parameters,
    {
        let name = name.into();
        self.add_task(stand_in::<P>(name.clone()))?;
        self.tasks.borrow_mut().insert(name, call(function));
        Ok(())
    }

    /// A handle for other threads and for tasks.
    pub fn handle(&self) -> Scheduler {
        self.scheduler.clone()
    }

    /// Starts to run jobs that are due and returns when the scheduler has been shut down: by a task, a listener, or another
    /// thread.
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::start`].
    pub fn run(&self) -> Result<(), Error> {
        self.start()?;
        block_on(&*self.runtime, poll_fn(|cx| self.poll(cx)));
        Ok(())
    }

    /// Starts to run jobs that are due; they run inside later calls.
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::start`].
    pub fn start(&self) -> Result<(), Error> {
        self.block(self.scheduler.start())
    }

    /// Starts without running jobs until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::start`].
    pub fn start_paused(&self) -> Result<(), Error> {
        self.block(self.scheduler.start_paused())
    }

    /// Ends the scheduler; see [`Scheduler::shutdown`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::shutdown`].
    pub fn shutdown(&self, mode: ShutdownMode) -> Result<(), Error> {
        self.block(self.scheduler.shutdown(mode))
    }

    /// Runs the scheduler until a future of the caller's has ended, and gives what it gives.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let scheduler = scheduler_runtime::Scheduler::builder(scheduler_thread::ThreadRuntime::new()?).local()?;
    /// assert_eq!(scheduler.block_on(async { 6 * 7 }), 42);
    /// # Ok(())
    /// # }
    /// ```
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.block(future)
    }

    fn block<T>(&self, future: impl Future<Output = T>) -> T {
        assert!(
            !self.is_polling.get(),
            "a task or listener of a local scheduler runs inside one of its calls and cannot wait for another: await its \
             handle, or begin_shutdown"
        );
        let mut future = pin!(future);
        let both = poll_fn(|cx| {
            // When the loop has ended, the future gets its answer from what the loop has left behind.
            let _ = self.poll(cx);
            future.as_mut().poll(cx)
        });
        block_on(&*self.runtime, both)
    }

    /// Polls the loop and the tasks. Ready when the loop has ended.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _polling = Polling::begin(&self.is_polling);
        for _ in 0..ROUNDS {
            let is_over = self.poll_driver(cx);
            let have_arrived = self.take_in(cx);
            let have_ended = self.poll_running(cx);
            if !have_arrived && !have_ended {
                return if is_over { Poll::Ready(()) } else { Poll::Pending };
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_driver(&self, cx: &mut Context<'_>) -> bool {
        let mut driver = self.driver.borrow_mut();
        let is_over = driver.as_mut().is_none_or(|driver| driver.as_mut().poll(cx).is_ready());
        if is_over {
            *driver = None;
        }
        is_over
    }

    /// Takes in what has arrived; true if anything has.
    fn take_in(&self, cx: &mut Context<'_>) -> bool {
        let mut have_arrived = false;
        loop {
            let arrived = self.arrivals.borrow_mut().poll_next_unpin(cx);
            let Poll::Ready(Some(arrival)) = arrived else {
                return have_arrived;
            };
            have_arrived = true;
            let future: LocalBoxFuture<'static, ()> = match arrival {
                Arrival::Future(future) => future,
                Arrival::Run(dispatch, outcome) => self.run_of(*dispatch, outcome),
            };
            // What panics ends, and nothing else is affected.
            let contained = AssertUnwindSafe(future).catch_unwind().map(drop);
            self.running.borrow().push(Box::pin(contained));
        }
    }

    /// Polls what runs; true if some of it has ended.
    fn poll_running(&self, cx: &mut Context<'_>) -> bool {
        let mut have_ended = false;
        while let Poll::Ready(Some(())) = self.running.borrow_mut().poll_next_unpin(cx) {
            have_ended = true;
        }
        have_ended
    }

    fn run_of(&self, dispatch: Dispatch, outcome: oneshot::Sender<Outcome>) -> LocalBoxFuture<'static, ()> {
        let call = self.tasks.borrow().get(dispatch.task.name()).map(Rc::clone);
        Box::pin(async move {
            let attempt = AssertUnwindSafe(attempt(call, dispatch)).catch_unwind();
            let ended = attempt.await.unwrap_or_else(|panic| Outcome::Panicked(message_of(&*panic)));
            // Nobody waits for it if the executor's future was dropped.
            drop(outcome.send(ended));
        })
    }

    fn job_handle(&self, job: Job) -> Job {
        job
    }
}

blocking_calls!(Local, Job);

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("scheduler", &self.scheduler).finish_non_exhaustive()
    }
}

/// Says, as long as it lives, that the scheduler is being polled.
struct Polling<'a>(&'a Cell<bool>);

impl<'a> Polling<'a> {
    fn begin(is_polling: &'a Cell<bool>) -> Self {
        is_polling.set(true);
        Self(is_polling)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// One attempt of a run: of a local task, or of one that would run anywhere.
async fn attempt(call: Option<LocalCall>, dispatch: Dispatch) -> Outcome {
    let token = dispatch.context.cancellation.clone();
    match call {
        Some(_) if token.is_cancelled() => Outcome::Cancelled,
        Some(call) => until_stopped(call(dispatch.context, dispatch.args), token).await,
        None => Spawn::new().start(dispatch).await,
    }
}

/// Polls a task to its end, or drops it when it is told to stop.
async fn until_stopped(body: LocalBoxFuture<'static, Outcome>, token: CancellationToken) -> Outcome {
    // The body first: one that ends by itself when it is told to stop keeps its outcome.
    match select(body, pin!(token.cancelled())).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => Outcome::Cancelled,
    }
}
