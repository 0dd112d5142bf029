//! The operations that steer, of many jobs at once: those that are chosen, or that a filter means.

use scheduler_core::{Pause, StoreName, Trigger, store::JobFilter};
use serde::Serialize;

use crate::{
    operation::Operation,
    operator::{At, Call, Desk},
    problem::Problem,
};

/// How many of the jobs to which something could not be done are named.
const ERRORS: usize = 100;

/// Many jobs: those of each of these filters.
#[derive(Debug, Clone)]
pub(crate) struct Group(Vec<(Option<StoreName>, JobFilter)>);

impl Group {
    pub(crate) fn of(store: Option<StoreName>, filter: JobFilter) -> Self {
        Self(vec![(store, filter)])
    }

    pub(crate) fn chosen(jobs: Vec<At>) -> Self {
        Self(jobs.into_iter().map(|at| (at.store, JobFilter::new().id(at.id))).collect())
    }

    /// For the log.
    fn words(&self) -> String {
        match self.0.as_slice() {
            [(store, filter)] => {
                // What has no form in JSON is logged as what it is here.
                let filter = serde_json::to_string(filter).unwrap_or_else(|_| format!("{filter:?}"));
                store.as_ref().map_or_else(|| filter.clone(), |store| format!("{filter} in {store}"))
            }
            chosen => {
                let ids = chosen.iter().filter_map(|(_, filter)| filter.id.as_ref()).map(ToString::to_string);
                ids.collect::<Vec<_>>().join(", ")
            }
        }
    }

    async fn perform(self, desk: &Desk, action: Action) -> Result<GroupView, Problem> {
        let mut view = GroupView { done: 0, failed: 0, errors: Vec::new() };
        for (store, filter) in self.0 {
            let scheduler = desk.scheduler_in(store.as_ref());
            let done = match &action {
                Action::Run => scheduler.run_jobs_now(filter).await?,
                Action::Pause(pause) => scheduler.pause_jobs_with(filter, pause.clone()).await?,
                Action::Resume => scheduler.resume_jobs(filter).await?,
                Action::Reschedule(trigger) => scheduler.reschedule_jobs(filter, trigger.clone()).await?,
                Action::Remove => scheduler.remove_jobs(filter).await?,
            };
            view.done = view.done.saturating_add(done.done);
            view.failed = view.failed.saturating_add(done.errors.len());
            let named = done.errors.into_iter().map(|it| GroupErrorView {
                store: it.store.to_string(),
                job: it.job.to_string(),
                error: it.error.to_string(),
            });
            view.errors.extend(named.take(ERRORS.saturating_sub(view.errors.len())));
        }
        Ok(view)
    }
}

enum Action {
    Run,
    Pause(Pause),
    Resume,
    Reschedule(Trigger),
    Remove,
}

/// What became of a group.
#[derive(Debug, Serialize)]
pub(crate) struct GroupView {
    /// To how many jobs it was done.
    pub(crate) done: u64,
    /// To how many it could not be done.
    pub(crate) failed: usize,
    /// The first of those.
    pub(crate) errors: Vec<GroupErrorView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct GroupErrorView {
    pub(crate) store: String,
    pub(crate) job: String,
    pub(crate) error: String,
}

pub(crate) struct RunJobs(pub(crate) Group);

impl Call for RunJobs {
    const OPERATION: Operation = Operation::RunJob;
    type Answer = GroupView;

    fn about_group(&self) -> Option<String> {
        Some(self.0.words())
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<GroupView, Problem> {
        self.0.perform(desk, Action::Run).await
    }
}

pub(crate) struct PauseJobs {
    pub(crate) group: Group,
    /// The note and the end. Who does it is filled in.
    pub(crate) pause: Pause,
}

impl Call for PauseJobs {
    const OPERATION: Operation = Operation::PauseJob;
    type Answer = GroupView;

    fn about_group(&self) -> Option<String> {
        Some(self.group.words())
    }

    async fn perform(self, desk: &Desk, who: Option<&str>) -> Result<GroupView, Problem> {
        let pause = who.into_iter().fold(self.pause, Pause::by);
        self.group.perform(desk, Action::Pause(pause)).await
    }
}

pub(crate) struct ResumeJobs(pub(crate) Group);

impl Call for ResumeJobs {
    const OPERATION: Operation = Operation::ResumeJob;
    type Answer = GroupView;

    fn about_group(&self) -> Option<String> {
        Some(self.0.words())
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<GroupView, Problem> {
        self.0.perform(desk, Action::Resume).await
    }
}

pub(crate) struct RescheduleJobs {
    pub(crate) group: Group,
    pub(crate) trigger: Trigger,
}

impl Call for RescheduleJobs {
    const OPERATION: Operation = Operation::RescheduleJob;
    type Answer = GroupView;

    fn about_group(&self) -> Option<String> {
        Some(self.group.words())
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<GroupView, Problem> {
        self.group.perform(desk, Action::Reschedule(self.trigger)).await
    }
}

pub(crate) struct RemoveJobs(pub(crate) Group);

impl Call for RemoveJobs {
    const OPERATION: Operation = Operation::RemoveJob;
    type Answer = GroupView;

    fn about_group(&self) -> Option<String> {
        Some(self.0.words())
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<GroupView, Problem> {
        self.0.perform(desk, Action::Remove).await
    }
}
