//! Schedulers for code that is not async.

use std::{
    fmt,
    future::Future,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use scheduler_core::{
    Conflict, Error, ErrorKind, Event, EventMask, Executor, ExecutorName, JobChange, JobId, JobSpec, JobStore, Run,
    StoreName, Task, TaskName, Trigger,
    engine::{ExportedJob, SchedulerState, ShutdownMode},
};

use crate::{Builder, EventStream, Job, ListenerId, Scheduler, runtime::Runtime};

/// A scheduler whose loop has a thread of its own, for code that is not async. Its calls block, from any thread.
///
/// Dropping it does not stop it once it has been started; the process does not wait for it when it ends.
#[doc(alias = "BackgroundScheduler")]
pub struct Background {
    scheduler: Scheduler,
    runtime: Arc<dyn Runtime>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A scheduler whose [`start`](Self::start) does not return until it has been shut down.
///
/// Before that, jobs are added by its blocking calls; afterwards by tasks, listeners and other threads, which hold a
/// [`handle`](Self::handle).
#[derive(Debug)]
#[doc(alias = "BlockingScheduler")]
pub struct Blocking {
    background: Background,
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
        Ok(Self { scheduler, runtime, thread: Mutex::new(Some(thread)) })
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

    /// Ends the scheduler; see [`Scheduler::shutdown`]. Its thread has ended afterwards, unless called from that thread.
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::shutdown`].
    pub fn shutdown(&self, mode: ShutdownMode) -> Result<(), Error> {
        self.block(self.scheduler.shutdown(mode))?;
        self.wait();
        Ok(())
    }

    /// Waits until the scheduler has been shut down, by whomever.
    fn wait(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic of the loop has been printed by the thread itself.
            drop(thread.join());
        }
    }

    fn block<T>(&self, call: impl Future<Output = T>) -> T {
        block_on(&*self.runtime, call)
    }

    fn job_handle(&self, job: Job) -> BlockingJob {
        BlockingJob { job, runtime: Arc::clone(&self.runtime) }
    }
}

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
    /// Those of [`Scheduler::start`].
    pub fn start(&self) -> Result<(), Error> {
        self.background.start()?;
        self.background.wait();
        Ok(())
    }
}

impl Deref for Blocking {
    type Target = Background;

    fn deref(&self) -> &Background {
        &self.background
    }
}

/// Runs a call to its end on the calling thread.
pub(crate) fn block_on<T>(runtime: &dyn Runtime, call: impl Future<Output = T>) -> T {
    let mut result = None;
    runtime.block_on(Box::pin(async { result = Some(call.await) }));
    result.expect("block_on returns when its future has ended")
}

/// The calls of [`Scheduler`] as blocking ones, over `block` and `job_handle`.
macro_rules! blocking_calls {
    ($handle:ty, $job:ty) => {
        impl $handle {
            /// Takes no more jobs until resumed; see [`Scheduler::pause`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::pause`].
            pub fn pause(&self) -> Result<(), Error> {
                self.block(self.scheduler.pause())
            }

            /// Takes jobs again; see [`Scheduler::resume`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::resume`].
            pub fn resume(&self) -> Result<(), Error> {
                self.block(self.scheduler.resume())
            }

            /// What the scheduler is doing.
            pub fn state(&self) -> SchedulerState {
                self.block(self.scheduler.state())
            }

            /// Whether the scheduler has been started and has not shut down.
            #[doc(alias = "running")]
            pub fn is_running(&self) -> bool {
                self.block(self.scheduler.is_running())
            }

            /// Makes the scheduler look at once for what is due; see [`Scheduler::wakeup`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::wakeup`].
            pub fn wakeup(&self) -> Result<(), Error> {
                self.block(self.scheduler.wakeup())
            }

            /// Adds a job; see [`Scheduler::add_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::add_job`].
            pub fn add_job(&self, spec: JobSpec) -> Result<$job, Error> {
                self.block(self.scheduler.add_job(spec)).map(|job| self.job_handle(job))
            }

            /// Adds many jobs; see [`Scheduler::add_jobs`].
            pub fn add_jobs(&self, specs: Vec<JobSpec>) -> Vec<Result<$job, Error>> {
                let added = self.block(self.scheduler.add_jobs(specs));
                added.into_iter().map(|job| job.map(|job| self.job_handle(job))).collect()
            }

            /// The job with this id; see [`Scheduler::job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::job`].
            #[doc(alias = "get_job")]
            pub fn job(&self, id: impl Into<JobId>) -> Result<Option<$job>, Error> {
                Ok(self.block(self.scheduler.job(id))?.map(|job| self.job_handle(job)))
            }

            /// All jobs; see [`Scheduler::jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::jobs`].
            #[doc(alias = "get_jobs")]
            pub fn jobs(&self) -> Result<Vec<$job>, Error> {
                let jobs = self.block(self.scheduler.jobs())?;
                Ok(jobs.into_iter().map(|job| self.job_handle(job)).collect())
            }

            /// The newest runs of a job; see [`Scheduler::runs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::runs`].
            pub fn runs(&self, id: impl Into<JobId>, limit: usize) -> Result<Vec<Run>, Error> {
                self.block(self.scheduler.runs(id, limit))
            }

            /// Changes properties of a job; see [`Scheduler::modify_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::modify_job`].
            pub fn modify_job(&self, id: impl Into<JobId>, change: JobChange) -> Result<$job, Error> {
                self.block(self.scheduler.modify_job(id, change)).map(|job| self.job_handle(job))
            }

            /// Gives a job another trigger; see [`Scheduler::reschedule_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::reschedule_job`].
            pub fn reschedule_job(&self, id: impl Into<JobId>, trigger: impl Into<Trigger>) -> Result<$job, Error> {
                self.block(self.scheduler.reschedule_job(id, trigger)).map(|job| self.job_handle(job))
            }

            /// Keeps a job from firing; see [`Scheduler::pause_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::pause_job`].
            pub fn pause_job(&self, id: impl Into<JobId>) -> Result<$job, Error> {
                self.block(self.scheduler.pause_job(id)).map(|job| self.job_handle(job))
            }

            /// Lets a job fire again; see [`Scheduler::resume_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::resume_job`].
            pub fn resume_job(&self, id: impl Into<JobId>) -> Result<$job, Error> {
                self.block(self.scheduler.resume_job(id)).map(|job| self.job_handle(job))
            }

            /// Removes a job; see [`Scheduler::remove_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_job`].
            pub fn remove_job(&self, id: impl Into<JobId>) -> Result<(), Error> {
                self.block(self.scheduler.remove_job(id))
            }

            /// Removes all jobs; see [`Scheduler::remove_all_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_all_jobs`].
            pub fn remove_all_jobs(&self) -> Result<u64, Error> {
                self.block(self.scheduler.remove_all_jobs())
            }

            /// Writes a list of all jobs for people; see [`Scheduler::print_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::print_jobs`].
            pub fn print_jobs(&self, out: &mut (dyn std::io::Write + Send)) -> Result<(), Error> {
                self.block(self.scheduler.print_jobs(out))
            }

            /// All jobs in their exported form; see [`Scheduler::export_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::export_jobs`].
            pub fn export_jobs(&self) -> Result<Vec<ExportedJob>, Error> {
                self.block(self.scheduler.export_jobs())
            }

            /// Adds exported jobs; see [`Scheduler::import_jobs`].
            pub fn import_jobs(&self, jobs: Vec<ExportedJob>, conflict: Conflict) -> Vec<Result<$job, Error>> {
                let added = self.block(self.scheduler.import_jobs(jobs, conflict));
                added.into_iter().map(|job| job.map(|job| self.job_handle(job))).collect()
            }

            /// Registers a task; see [`Scheduler::add_task`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::add_task`].
            pub fn add_task(&self, task: Task) -> Result<(), Error> {
                self.block(self.scheduler.add_task(task))
            }

            /// Gives a task up; see [`Scheduler::remove_task`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_task`].
            pub fn remove_task(&self, name: impl Into<TaskName>) -> Result<(), Error> {
                self.block(self.scheduler.remove_task(name))
            }

            /// Adds a store; see [`Scheduler::add_store`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::add_store`].
            #[doc(alias = "add_jobstore")]
            pub fn add_store(&self, name: impl Into<StoreName>, store: impl JobStore) -> Result<(), Error> {
                self.block(self.scheduler.add_store(name, store))
            }

            /// Gives a store up; see [`Scheduler::remove_store`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_store`].
            #[doc(alias = "remove_jobstore")]
            pub fn remove_store(&self, name: impl Into<StoreName>) -> Result<(), Error> {
                self.block(self.scheduler.remove_store(name))
            }

            /// Adds an executor; see [`Scheduler::add_executor`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::add_executor`].
            pub fn add_executor(&self, name: impl Into<ExecutorName>, executor: impl Executor) -> Result<(), Error> {
                self.block(self.scheduler.add_executor(name, executor))
            }

            /// Gives an executor up; see [`Scheduler::remove_executor`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_executor`].
            pub fn remove_executor(&self, name: impl Into<ExecutorName>) -> Result<(), Error> {
                self.block(self.scheduler.remove_executor(name))
            }

            /// Calls a function at each event in a set; see [`Scheduler::add_listener`].
            pub fn add_listener(
                &self,
                mask: EventMask,
                listener: impl Fn(&Event) + Send + Sync + 'static,
            ) -> ListenerId {
                self.scheduler.add_listener(mask, listener)
            }

            /// Removes a listener. False if it is not there.
            pub fn remove_listener(&self, id: ListenerId) -> bool {
                self.scheduler.remove_listener(id)
            }

            /// The events in a set as a stream; see [`Scheduler::events`].
            pub fn events(&self, mask: EventMask) -> EventStream {
                self.scheduler.events(mask)
            }
        }
    };
}

pub(crate) use blocking_calls;

blocking_calls!(Background, BlockingJob);

/// A job as it was when it was read, and what can be done with it by blocking calls.
#[derive(Debug, Clone)]
pub struct BlockingJob {
    job: Job,
    runtime: Arc<dyn Runtime>,
}

impl BlockingJob {
    /// The job as it is now; see [`Job::refresh`].
    ///
    /// # Errors
    ///
    /// Those of [`Job::refresh`].
    pub fn refresh(&self) -> Result<Self, Error> {
        self.block(self.job.refresh())
    }

    /// Changes properties of the job; see [`Scheduler::modify_job`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::modify_job`].
    pub fn modify(&self, change: JobChange) -> Result<Self, Error> {
        self.block(self.job.modify(change))
    }

    /// Gives the job another trigger; see [`Scheduler::reschedule_job`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::reschedule_job`].
    pub fn reschedule(&self, trigger: impl Into<Trigger>) -> Result<Self, Error> {
        self.block(self.job.reschedule(trigger))
    }

    /// Keeps the job from firing; see [`Scheduler::pause_job`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::pause_job`].
    pub fn pause(&self) -> Result<Self, Error> {
        self.block(self.job.pause())
    }

    /// Lets the job fire again; see [`Scheduler::resume_job`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::resume_job`].
    pub fn resume(&self) -> Result<Self, Error> {
        self.block(self.job.resume())
    }

    /// Removes the job; see [`Scheduler::remove_job`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::remove_job`].
    pub fn remove(&self) -> Result<(), Error> {
        block_on(&*self.runtime, self.job.remove())
    }

    /// The newest runs of the job, newest first.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub fn runs(&self, limit: usize) -> Result<Vec<Run>, Error> {
        block_on(&*self.runtime, self.job.runs(limit))
    }

    fn block(&self, call: impl Future<Output = Result<Job, Error>>) -> Result<Self, Error> {
        let job = block_on(&*self.runtime, call)?;
        Ok(Self { job, runtime: Arc::clone(&self.runtime) })
    }
}

impl Deref for BlockingJob {
    type Target = Job;

    fn deref(&self) -> &Job {
        &self.job
    }
}

impl fmt::Display for BlockingJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.job.fmt(f)
    }
}
