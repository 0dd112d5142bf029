//! A scheduler on one thread, with tasks that need not be `Send`.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use chrono::{DateTime, TimeZone};
use scheduler_core::{
    Conflict, Error, ErrorKind, Event, EventMask, Executor, ExecutorName, Explanation, JobChange, JobId, JobSpec,
    JobStore, LimitKey, PartialOptions, Pause, RawJob, Run, RunId, StoreName, Task, TaskName, Trigger, Uid,
    engine::{ExportedJob, SchedulerState, ShutdownMode},
    store::{JobCounts, JobFilter, JobOrder, KeyLimit, NodeRow, RunFilter},
    trigger::CustomTrigger,
};
use scheduler_executors::{AsyncTaskFn, parameters::Parameters};

use crate::{
    Builder, EventStream, FoundJobs, FoundRuns, GroupDone, Health, Job, ListenerId, Page, PreparedJob, Scheduler,
    background::{block_on, blocking_calls},
    local_set::{LocalSet, call, stand_in},
    runtime::Runtime,
};

/// How often the loop and the tasks take turns before other futures of this thread get one.
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
#[doc(alias = "GeventExecutor")]
#[doc(alias = "GeventScheduler")]
pub struct Local {
    scheduler: Scheduler,
    runtime: Arc<dyn Runtime>,
    local_set: LocalSet,
}

impl Local {
    pub(crate) fn new(builder: Builder) -> Result<Self, Error> {
        let (scheduler, runtime, local_set) = LocalSet::assemble(builder)?;
        Ok(Self { scheduler, runtime, local_set })
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
    /// let scheduler = Scheduler::builder(ThreadRuntime::new()?).local()?;
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
    /// [`ErrorKind::ShutDown`](scheduler_core::ErrorKind).
    pub fn task<F, P>(&self, name: impl Into<TaskName>, function: F) -> Result<(), Error>
    where
        F: AsyncTaskFn<P>,
        P: Parameters,
    {
        self.task_with_options(name, PartialOptions::default(), function)
    }

    /// As [`task`](Self::task), with options that its jobs have unless they say otherwise; see [`Task`].
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
        self.block(self.scheduler.add_task_with(task, |state| self.local_set.has_state(state)))?;
        self.local_set.add_task(name, call(function));
        Ok(())
    }

    /// A handle for other threads and for tasks.
    pub fn handle(&self) -> Scheduler {
        self.scheduler.clone()
    }

    /// Runs the scheduler until it has been shut down: by a task, a listener, or another thread. Starts it unless it has been
    /// started, paused perhaps.
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::start`], but for [`ErrorKind::AlreadyStarted`]; [`ErrorKind::Panicked`] if the loop has ended by a
    /// panic.
    pub fn run(&self) -> Result<(), Error> {
        match self.start() {
            Err(error) if error.kind() == ErrorKind::AlreadyStarted => {}
            started => started?,
        }
        block_on(&*self.runtime, poll_fn(|cx| self.poll(cx)));
        self.scheduler.failure()
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
        self.scheduler.refuse_own_shutdown(mode)?;
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
            !self.local_set.is_working(),
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
        for _ in 0..ROUNDS {
            let turn = self.local_set.turn(cx);
            if turn.arrived == 0 && !turn.have_ended {
                return if self.local_set.is_over() { Poll::Ready(()) } else { Poll::Pending };
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
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
