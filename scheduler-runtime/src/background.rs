//! Schedulers for code that is not async.

mod calls;
mod job;

use std::{
    fmt,
    future::Future,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle, ThreadId},
};

use chrono::{DateTime, TimeZone};
use scheduler_core::{
    Conflict, Error, ErrorKind, Event, EventMask, Executor, ExecutorName, Explanation, JobChange, JobId, JobSpec,
    JobStore, LimitKey, NodeId, Pause, RawJob, Run, RunId, StoreName, Task, TaskName, Trigger, Uid,
    engine::{ExportedJob, SchedulerState, ShutdownMode},
    store::{JobCounts, JobFilter, JobOrder, KeyLimit, NodeRow, RunFilter},
    trigger::CustomTrigger,
};

pub(crate) use self::calls::blocking_calls;
pub use self::job::BlockingJob;
use crate::{
    Builder, EventStream, FoundJobs, FoundRuns, GroupDone, Health, Job, ListenerId, Page, PreparedJob, Scheduler,
    own_run, runtime::Runtime,
};

/// A scheduler whose loop has a thread of its own, for code that is not async. Its calls block, from any thread.
///
/// Dropping it does not stop it once it has been started; the process does not wait for it when it ends.
///
/// ```
/// use std::sync::mpsc;
///
/// use scheduler_core::{JobSpec, engine::ShutdownMode, trigger::{First, Interval}};
/// use scheduler_runtime::Scheduler;
/// use scheduler_thread::ThreadRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (ticks, ticking) = mpsc::channel();
/// let scheduler = Scheduler::builder(ThreadRuntime::new()?)
///     .blocking_task("tick", move || ticks.send("tick").map_err(|error| error.to_string()))
///     .background()?;
/// scheduler.start()?;
/// let job = scheduler.add_job(JobSpec::new("tick", Interval::hours(1).first(First::Now)))?;
///
/// assert_eq!(ticking.recv()?, "tick");
/// job.pause()?;
/// scheduler.shutdown(ShutdownMode::Wait)?;
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// Its calls panic where the runtime's `block_on` does, which is inside async code, in its own async tasks on any
/// runtime, and in listeners and inline tasks, which run on the scheduler's own thread and would wait for themselves:
/// those await the [`handle`](Self::handle) elsewhere, or [`begin_shutdown`](Self::begin_shutdown).
#[doc(alias = "BackgroundScheduler")]
pub struct Background {
    scheduler: Scheduler,
    host: Arc<Host>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A scheduler whose [`start`](Self::start) does not return until it has been shut down.
///
/// Before that, jobs are added by its blocking calls; afterwards by tasks, listeners and other threads, which hold a
/// [`handle`](Background::handle).
///
/// ```
/// use scheduler_core::{EventMask, JobSpec, engine::ShutdownMode};
/// use scheduler_runtime::Scheduler;
/// use scheduler_thread::ThreadRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scheduler = Scheduler::builder(ThreadRuntime::new()?)
///     .blocking_task("greet", |name: String| format!("hello, {name}"))
///     .blocking()?;
/// scheduler.add_job(JobSpec::now("greet").args("world"))?;
/// let handle = scheduler.handle();
/// scheduler.add_listener(EventMask::RUN_EXECUTED, move |_| handle.begin_shutdown(ShutdownMode::Wait).unwrap());
///
/// scheduler.start()?; // Until the greeting is over.
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[doc(alias = "BlockingScheduler")]
pub struct Blocking {
    background: Background,
}

/// What runs the loop of a [`Background`].
#[derive(Debug)]
struct Host {
    runtime: Arc<dyn Runtime>,
    thread: ThreadId,
    node: NodeId,
}

impl Background {
    pub(crate) fn new(builder: Builder) -> Result<Self, Error> {
        let runtime = builder.runtime();
        let (scheduler, driver) = builder.assemble()?;
        let host = Arc::clone(&runtime);
        let thread = thread::Builder::new()
            .name("apscheduler".to_owned())
            .spawn(move || host.block_on(Box::pin(driver.run())))
            .map_err(|error| {
                let message = format!("the operating system starts no thread for the scheduler: {error}");
                Error::new(ErrorKind::Config, message).with_source(error)
            })?;
        let host = Arc::new(Host { runtime, thread: thread.thread().id(), node: scheduler.node().clone() });
        Ok(Self { scheduler, host, thread: Mutex::new(Some(thread)) })
    }

    /// An async handle to the same scheduler.
    pub fn handle(&self) -> Scheduler {
        self.scheduler.clone()
    }

    /// Starts to run jobs that are due.
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

    /// Ends the scheduler; see [`Scheduler::shutdown`]. Its thread has ended or is about to.
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::shutdown`].
    pub fn shutdown(&self, mode: ShutdownMode) -> Result<(), Error> {
        self.scheduler.refuse_own_shutdown(mode)?;
        self.block(self.scheduler.shutdown(mode))?;
        self.wait();
        Ok(())
    }

    /// Waits until the scheduler has been shut down, by whomever.
    fn wait(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // What the loop panicked with is kept for those who ask.
            drop(thread.join());
        }
    }

    /// Runs a future to its end on the calling thread, by the scheduler's runtime: what a program without async has to await,
    /// a stream of events for one.
    ///
    /// ```
    /// use scheduler_core::{EventMask, JobSpec};
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_thread::ThreadRuntime;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let scheduler = Scheduler::builder(ThreadRuntime::new()?).task("greet", || async {}).background()?;
    /// let mut events = scheduler.events(EventMask::RUN_EXECUTED);
    /// scheduler.start()?;
    /// scheduler.add_job(JobSpec::now("greet"))?;
    /// let executed = scheduler.block_on(events.next()).expect("the scheduler is running")?;
    /// println!("{executed:?}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.block(future)
    }

    fn block<T>(&self, call: impl Future<Output = T>) -> T {
        self.host.block(call)
    }

    fn job_handle(&self, job: Job) -> BlockingJob {
        BlockingJob::new(job, Arc::clone(&self.host))
    }
}

blocking_calls!(Background, BlockingJob);

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").field("scheduler", &self.scheduler).finish_non_exhaustive()
    }
}

impl Blocking {
    pub(crate) fn new(background: Background) -> Self {
        Self { background }
    }

    /// Starts to run jobs that are due and returns when the scheduler has been shut down.
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::start`]; [`ErrorKind::Panicked`] if the loop has ended by a panic instead.
    pub fn start(&self) -> Result<(), Error> {
        self.background.start()?;
        self.background.wait();
        self.background.scheduler.failure()
    }

    /// As [`start`](Self::start), without running jobs until it is resumed.
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::start`].
    pub fn start_paused(&self) -> Result<(), Error> {
        self.background.start_paused()?;
        self.background.wait();
        self.background.scheduler.failure()
    }
}

impl Deref for Blocking {
    type Target = Background;

    fn deref(&self) -> &Background {
        &self.background
    }
}

impl Host {
    fn block<T>(&self, call: impl Future<Output = T>) -> T {
        assert!(
            thread::current().id() != self.thread,
            "a listener or inline task runs on the scheduler's own thread and cannot wait for it: use its handle \
             elsewhere, or begin_shutdown"
        );
        own_run::assert_may_block(&self.node);
        block_on(&*self.runtime, call)
    }
}

/// Runs a call to its end on the calling thread.
pub(crate) fn block_on<T>(runtime: &dyn Runtime, call: impl Future<Output = T>) -> T {
    let mut result = None;
    runtime.block_on(Box::pin(async { result = Some(call.await) }));
    result.expect("block_on returns when its future has ended")
}
