//! What a scheduler adds when it starts.

use scheduler_core::{
    Error, ErrorKind, JobSpec,
    engine::{Command, Mode, SchedulerState},
};

use crate::Scheduler;

impl Scheduler {
    /// Starts the scheduler once its scheduled jobs are there.
    ///
    /// Two calls at once both add them, which does no harm: the second replaces each job by the same.
    pub(crate) async fn begin(&self, mode: Mode) -> Result<(), Error> {
        self.open_stores().await?;
        // The jobs of one that runs may have been changed on purpose.
        if !self.registry().scheduled().is_empty() && self.is_stopped().await? {
            self.add_scheduled().await?;
        }
        self.done(Command::Start(mode)).await
    }

    async fn is_stopped(&self) -> Result<bool, Error> {
        let state: SchedulerState = self.call(Command::State).await?;
        Ok(state == SchedulerState::Stopped)
    }

    async fn add_scheduled(&self) -> Result<(), Error> {
        let jobs = self.registry().scheduled().to_vec();
        // Each goes to its own store, whichever this handle is confined to.
        let added = self.unconfined().add_jobs(jobs.clone()).await;
        for (job, added) in jobs.iter().zip(added) {
            let Err(error) = added else { continue };
            let id = job.job_id().map_or("", |id| id.as_str());
            if !is_over(job, &error) {
                let message = format!("scheduled job `{id}`: {error}");
                return Err(Error::new(error.kind(), message).with_source(error));
            }
            tracing::warn!(job = id, "a scheduled job is left out: its last fire time has passed");
        }
        Ok(())
    }
}

/// Whether a job has had its last fire time, which must not keep the next release of a program from starting.
fn is_over(job: &JobSpec, error: &Error) -> bool {
    error.kind() == ErrorKind::NeverFires && job.trigger().is_some_and(|trigger| !trigger.never_fires())
}
