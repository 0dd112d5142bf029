//! The operations that steer, and those that define.

use http::StatusCode;
use scheduler_core::{
    ErrorKind, ExecutorName, JobChange, JobId, JobSpec, JobState, Pause, RunId, StoreName, TaskName, Trigger,
};
use serde_json::Value;

use crate::{
    operation::Operation,
    operator::{At, Call, Desk},
    problem::Problem,
    views::JobView,
};

pub(crate) struct RunJob(pub(crate) At);

impl Call for RunJob {
    const OPERATION: Operation = Operation::RunJob;
    type Answer = RunId;

    fn about(&self) -> Option<&JobId> {
        Some(&self.0.id)
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<RunId, Problem> {
        Ok(desk.scheduler_in(self.0.store.as_ref()).run_job_now(self.0.id).await?)
    }
}

pub(crate) struct PauseJob {
    pub(crate) at: At,
    /// The note and the end. Who does it is filled in.
    pub(crate) pause: Pause,
}

impl Call for PauseJob {
    const OPERATION: Operation = Operation::PauseJob;
    type Answer = JobView;

    fn about(&self) -> Option<&JobId> {
        Some(&self.at.id)
    }

    async fn perform(self, desk: &Desk, who: Option<&str>) -> Result<JobView, Problem> {
        let pause = who.into_iter().fold(self.pause, Pause::by);
        let job = desk.scheduler_in(self.at.store.as_ref()).pause_job_with(self.at.id, pause).await?;
        Ok(desk.view(&job))
    }
}

pub(crate) struct ResumeJob(pub(crate) At);

impl Call for ResumeJob {
    const OPERATION: Operation = Operation::ResumeJob;
    type Answer = JobView;

    fn about(&self) -> Option<&JobId> {
        Some(&self.0.id)
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<JobView, Problem> {
        let job = desk.scheduler_in(self.0.store.as_ref()).resume_job(self.0.id).await?;
        Ok(desk.view(&job))
    }
}

pub(crate) struct RescheduleJob {
    pub(crate) at: At,
    pub(crate) trigger: Trigger,
}

impl Call for RescheduleJob {
    const OPERATION: Operation = Operation::RescheduleJob;
    type Answer = JobView;

    fn about(&self) -> Option<&JobId> {
        Some(&self.at.id)
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<JobView, Problem> {
        let job = desk.scheduler_in(self.at.store.as_ref()).reschedule_job(self.at.id, self.trigger).await?;
        Ok(desk.view(&job))
    }
}

pub(crate) struct RemoveJob(pub(crate) At);

impl Call for RemoveJob {
    const OPERATION: Operation = Operation::RemoveJob;
    type Answer = ();

    fn about(&self) -> Option<&JobId> {
        Some(&self.0.id)
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<(), Problem> {
        Ok(desk.scheduler_in(self.0.store.as_ref()).remove_job(self.0.id).await?)
    }
}

pub(crate) struct CancelRun {
    pub(crate) at: At,
    pub(crate) run: RunId,
}

impl Call for CancelRun {
    const OPERATION: Operation = Operation::CancelRun;
    type Answer = ();

    fn about(&self) -> Option<&JobId> {
        Some(&self.at.id)
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<(), Problem> {
        Ok(desk.scheduler_in(self.at.store.as_ref()).cancel_run(self.at.id, self.run).await?)
    }
}

/// Removes a job only if it is put aside, so that who may do this cannot remove others.
pub(crate) struct RemovePutAside(pub(crate) At);

impl Call for RemovePutAside {
    const OPERATION: Operation = Operation::RemovePutAside;
    type Answer = ();

    fn about(&self) -> Option<&JobId> {
        Some(&self.0.id)
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<(), Problem> {
        let scheduler = desk.scheduler_in(self.0.store.as_ref());
        let is_put_aside = match scheduler.job(self.0.id.clone()).await {
            Ok(Some(job)) => matches!(job.state, JobState::Quarantined(_)),
            Ok(None) => return Err(Problem::not_found(format!("job `{}` is not there", self.0.id))),
            Err(error) if error.kind() == ErrorKind::Quarantined => true,
            Err(error) => return Err(error.into()),
        };
        if !is_put_aside {
            let detail = format!("job `{}` is not put aside; it is removed as any job", self.0.id);
            return Err(Problem::new(StatusCode::CONFLICT, "not_put_aside", detail));
        }
        Ok(scheduler.remove_job(self.0.id).await?)
    }
}

/// What a job is to be. The task has to be registered.
pub(crate) struct AddJob {
    pub(crate) id: Option<JobId>,
    pub(crate) store: Option<StoreName>,
    pub(crate) task: TaskName,
    pub(crate) args: Value,
    /// None for a run at once.
    pub(crate) trigger: Option<Trigger>,
    pub(crate) name: Option<String>,
    pub(crate) executor: Option<ExecutorName>,
    pub(crate) tags: Vec<String>,
    pub(crate) is_paused: bool,
}

impl Call for AddJob {
    const OPERATION: Operation = Operation::AddJob;
    type Answer = JobView;

    fn about(&self) -> Option<&JobId> {
        self.id.as_ref()
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<JobView, Problem> {
        let mut spec = match self.trigger {
            Some(trigger) => JobSpec::new(self.task, trigger),
            None => JobSpec::now(self.task),
        };
        spec = spec.args(self.args).tags(self.tags);
        spec = self.id.into_iter().fold(spec, JobSpec::id);
        spec = self.name.into_iter().fold(spec, JobSpec::name);
        spec = self.executor.into_iter().fold(spec, JobSpec::executor);
        if self.is_paused {
            spec = spec.paused();
        }
        let job = desk.scheduler_in(self.store.as_ref()).add_job(spec).await?;
        Ok(desk.view(&job))
    }
}

/// Changes what a job runs; what is none stays.
pub(crate) struct ChangeJob {
    pub(crate) at: At,
    pub(crate) task: Option<TaskName>,
    pub(crate) args: Option<Value>,
    pub(crate) name: Option<String>,
    pub(crate) executor: Option<ExecutorName>,
    pub(crate) tags: Option<Vec<String>>,
}

impl Call for ChangeJob {
    const OPERATION: Operation = Operation::ChangeJob;
    type Answer = JobView;

    fn about(&self) -> Option<&JobId> {
        Some(&self.at.id)
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<JobView, Problem> {
        let mut change = JobChange::default();
        change = self.task.into_iter().fold(change, JobChange::task);
        change = self.args.into_iter().fold(change, JobChange::args);
        change = self.name.into_iter().fold(change, JobChange::name);
        change = self.executor.into_iter().fold(change, JobChange::executor);
        change = self.tags.into_iter().fold(change, JobChange::tags);
        let job = desk.scheduler_in(self.at.store.as_ref()).modify_job(self.at.id, change).await?;
        Ok(desk.view(&job))
    }
}
