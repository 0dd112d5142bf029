//! The scheduler, as a task reaches it from its run.

use scheduler_core::{Error, ErrorKind, RunContext, States};

use crate::Scheduler;

/// The handle that runs have, among the state of tasks.
struct Own(Scheduler);

/// Adds the handle that runs have to the state of tasks.
pub(crate) fn with_own(states: States, scheduler: &Scheduler) -> Result<States, Error> {
    states.with(Own(scheduler.for_tasks())).map_err(|error| Error::new(ErrorKind::Bug, error))
}

/// What a [`RunContext`] gives beyond its fields.
pub trait RunContextExt {
    /// A handle of the scheduler that runs the task: to add a job that follows, or to pause its own.
    ///
    /// It does not keep the scheduler: one that ends does so whatever tasks hold. Its calls are
    /// [`ErrorKind::ShutDown`](scheduler_core::ErrorKind) from then on. A call that would wait for the end of the run itself
    /// is an error; see [`Scheduler::shutdown`].
    ///
    /// ```
    /// use scheduler_core::{Error, JobSpec, RunContext};
    /// use scheduler_runtime::RunContextExt;
    ///
    /// /// Imports a file, and has a report of it sent.
    /// async fn import(context: RunContext, file: String) -> Result<(), Error> {
    ///     let report = JobSpec::now("report").id(format!("report-{}", context.run_id)).args(file);
    ///     context.scheduler()?.add_job(report).await?;
    ///     Ok(())
    /// }
    /// # let _ = import;
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`](scheduler_core::ErrorKind) where there is none: in a worker process, and in a context that a test
    /// has made.
    fn scheduler(&self) -> Result<Scheduler, Error>;
}

impl RunContextExt for RunContext {
    fn scheduler(&self) -> Result<Scheduler, Error> {
        let own = self.states().value::<Own>().map(|own| own.0.clone());
        own.ok_or_else(|| {
            let message = format!(
                "the run of job `{}` has no scheduler at hand, as in a worker process: return what is to follow and add it \
                 where the scheduler is, or give the task another executor",
                self.job_id
            );
            Error::new(ErrorKind::NotRunning, message)
        })
    }
}
