//! The one place through which each operation goes: it is permitted, done, and written down, or refused.
//!
//! ```text
//! page or API ──► a call, as `RunJob { at }` ──► Operator::perform ──► permitted? ──► Call::perform ──► Scheduler
//!                                                                        no: 403, logged
//! ```
//!
//! Only calls see the scheduler, and what they answer has been through [`views`](crate::views), so that no page can forget either.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use http::StatusCode;
use scheduler_core::{JobId, StoreName, TaskName};
use scheduler_runtime::{Job, Scheduler};

use crate::{
    access::{Hidden, Permissions},
    changes::Streams,
    operation::{Kind, Operation},
    problem::Problem,
    views::JobView,
};

/// What a task's jobs do not show.
type Hide = Arc<dyn Fn(Option<&TaskName>) -> Hidden + Send + Sync>;

/// What calls are performed on.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) scheduler: Scheduler,
    pub(crate) hide: Hide,
    pub(crate) streams: Streams,
}

impl Desk {
    pub(crate) fn new(scheduler: Scheduler) -> Self {
        Self { scheduler, hide: Arc::new(|_| Hidden::Nothing), streams: Streams::default() }
    }

    /// The scheduler, confined to a store if one is named.
    pub(crate) fn scheduler_in(&self, store: Option<&StoreName>) -> Scheduler {
        store.map_or_else(|| self.scheduler.clone(), |store| self.scheduler.in_store(store.clone()))
    }

    pub(crate) fn hidden(&self, task: &TaskName) -> Hidden {
        (self.hide)(Some(task))
    }

    /// What is hidden of a row that cannot be read, since the task of such a row is not known.
    pub(crate) fn hidden_of_raw(&self) -> Hidden {
        (self.hide)(None)
    }

    pub(crate) fn view(&self, job: &Job) -> JobView {
        JobView::of(job, self.hidden(&job.body.task))
    }

    /// The job that is meant.
    pub(crate) async fn job(&self, at: &At) -> Result<Job, Problem> {
        let found = self.scheduler_in(at.store.as_ref()).job(at.id.clone()).await?;
        found.ok_or_else(|| Problem::not_found(format!("job `{}` is not there", at.id)))
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("scheduler", &self.scheduler).finish_non_exhaustive()
    }
}

/// Which job: of this store, or of the first one that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) store: Option<StoreName>,
    pub(crate) id: JobId,
}

/// An operation with its arguments.
pub(crate) trait Call: Send + Sized {
    /// Which one it is.
    const OPERATION: Operation;
    /// What is answered: views, from which what is hidden has been left out.
    type Answer: Send;

    /// The job that it is about, for the log.
    fn about(&self) -> Option<&JobId> {
        None
    }

    /// The jobs that it is about, if they are many, for the log.
    fn about_group(&self) -> Option<String> {
        None
    }

    /// Does it; it has been permitted. `who` does it.
    fn perform(self, desk: &Desk, who: Option<&str>) -> impl Future<Output = Result<Self::Answer, Problem>> + Send;
}

/// Who asks, and what they may do.
#[derive(Debug)]
pub(crate) struct Operator<'a> {
    desk: &'a Desk,
    permissions: Permissions,
}

impl<'a> Operator<'a> {
    pub(crate) fn new(desk: &'a Desk, permissions: Permissions) -> Self {
        Self { desk, permissions }
    }

    /// Performs a call, if its operation is permitted. A change is logged, with who did it; so is one that was refused or failed.
    pub(crate) async fn perform<C: Call>(&self, call: C) -> Result<C::Answer, Problem> {
        let (operation, who) = (C::OPERATION, self.permissions.who());
        let (job, jobs) = (call.about().cloned(), call.about_group());
        let result = match self.permissions.permits(operation) {
            true => call.perform(self.desk, who).await,
            false => Err(Problem::not_permitted(operation)),
        };
        if operation.kind() != Kind::Read {
            let (operation, job, jobs) = (operation.name(), job.as_ref().map(JobId::as_str), jobs.as_deref());
            match &result {
                Ok(_) => tracing::info!(target: "apscheduler", operation, job, jobs, by = who, "done by the dashboard"),
                Err(problem) if problem.status == StatusCode::FORBIDDEN => {
                    tracing::warn!(target: "apscheduler", operation, job, jobs, by = who, "refused by the dashboard");
                }
                Err(Problem { kind, detail, .. }) => {
                    let error = detail.as_str();
                    tracing::warn!(
                        target: "apscheduler", operation, job, jobs, by = who, kind, error, "failed by the dashboard"
                    );
                }
            }
        }
        result
    }

    pub(crate) fn permits(&self, operation: Operation) -> bool {
        self.permissions.permits(operation)
    }

    /// The time by the scheduler's clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.desk.scheduler.now()
    }

    pub(crate) fn who(&self) -> Option<&str> {
        self.permissions.who()
    }
}
