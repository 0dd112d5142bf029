//! The catalogue of operations: what can be asked of a dashboard, by its pages and by its API alike.

use std::fmt;

use serde::Serialize;

/// Something that can be asked of a [`Dashboard`](crate::Dashboard). Pages and API have the same ones.
///
/// ```
/// use scheduler_web::{Kind, Operation};
///
/// assert_eq!(Operation::PauseJob.name(), "pause_job");
/// assert_eq!(Operation::PauseJob.kind(), Kind::Steer);
/// let define: Vec<_> = Operation::ALL.into_iter().filter(|it| it.kind() == Kind::Define).collect();
/// assert_eq!(define, [Operation::AddJob, Operation::ChangeJob]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// Searches and counts jobs.
    ListJobs,
    /// Shows a job: its definition, its state and its next fire times.
    ReadJob,
    /// Says why a job did, did not, or will (not) run at a time.
    ExplainJob,
    /// Shows what runs in the coming hours, over all jobs.
    ReadUpcoming,
    /// Shows when a job would run with another trigger.
    PreviewTrigger,
    /// Searches runs, and shows the history of a job.
    ReadRuns,
    /// Shows the health of the scheduler and its stores, and the nodes.
    ReadNodes,
    /// Shows the jobs that are put aside, with their reasons and rows.
    ReadPutAside,
    /// Is told that something has changed, and not what.
    WatchChanges,
    /// Runs a job once, now, beside its schedule.
    RunJob,
    /// Keeps a job from firing.
    PauseJob,
    /// Lets a job that is paused, or has been put aside and repaired, fire again.
    ResumeJob,
    /// Gives a job another trigger.
    RescheduleJob,
    /// Removes a job.
    RemoveJob,
    /// Asks a run to stop.
    CancelRun,
    /// Removes a job that is put aside.
    RemovePutAside,
    /// Adds a job: who may do that runs any registered task with any arguments.
    AddJob,
    /// Changes the task, the arguments, the executor, the name or the tags of a job: as [`AddJob`](Self::AddJob).
    ChangeJob,
}

/// What an [`Operation`] does to the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It changes nothing.
    Read,
    /// It changes when and whether jobs run that are there.
    Steer,
    /// It says what runs. This is the right to run each task that the program has registered, with any arguments: where an executor for
    /// programs is registered, that may be a shell.
    Define,
}

impl Operation {
    /// All of them: those that read, those that steer, those that define.
    pub const ALL: [Self; 18] = [
        Self::ListJobs,
        Self::ReadJob,
        Self::ExplainJob,
        Self::ReadUpcoming,
        Self::PreviewTrigger,
        Self::ReadRuns,
        Self::ReadNodes,
        Self::ReadPutAside,
        Self::WatchChanges,
        Self::RunJob,
        Self::PauseJob,
        Self::ResumeJob,
        Self::RescheduleJob,
        Self::RemoveJob,
        Self::CancelRun,
        Self::RemovePutAside,
        Self::AddJob,
        Self::ChangeJob,
    ];

    /// The word in the API, in forms and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListJobs => "list_jobs",
            Self::ReadJob => "read_job",
            Self::ExplainJob => "explain_job",
            Self::ReadUpcoming => "read_upcoming",
            Self::PreviewTrigger => "preview_trigger",
            Self::ReadRuns => "read_runs",
            Self::ReadNodes => "read_nodes",
            Self::ReadPutAside => "read_put_aside",
            Self::WatchChanges => "watch_changes",
            Self::RunJob => "run_job",
            Self::PauseJob => "pause_job",
            Self::ResumeJob => "resume_job",
            Self::RescheduleJob => "reschedule_job",
            Self::RemoveJob => "remove_job",
            Self::CancelRun => "cancel_run",
            Self::RemovePutAside => "remove_put_aside",
            Self::AddJob => "add_job",
            Self::ChangeJob => "change_job",
        }
    }

    /// What it does to the scheduler.
    pub fn kind(self) -> Kind {
        match self {
            Self::ListJobs
            | Self::ReadJob
            | Self::ExplainJob
            | Self::ReadUpcoming
            | Self::PreviewTrigger
            | Self::ReadRuns
            | Self::ReadNodes
            | Self::ReadPutAside
            | Self::WatchChanges => Kind::Read,
            Self::RunJob
            | Self::PauseJob
            | Self::ResumeJob
            | Self::RescheduleJob
            | Self::RemoveJob
            | Self::CancelRun
            | Self::RemovePutAside => Kind::Steer,
            Self::AddJob | Self::ChangeJob => Kind::Define,
        }
    }

    /// The names of its arguments, in the path, the query or the body of a request. `store` is needed only where stores have jobs of the
    /// same id. Those that steer jobs are done to many at once, too: instead of `id`, such a request has the filter of
    /// [`ListJobs`](Self::ListJobs).
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::ListJobs => {
                &["text", "id_prefix", "task", "tag", "state", "executor", "store", "order", "limit", "cursor"]
            }
            Self::ReadJob => &["id", "store", "fire_times"],
            Self::ExplainJob => &["id", "store", "at"],
            Self::ReadUpcoming => &["hours", "limit"],
            Self::PreviewTrigger => &["trigger", "id", "fire_times"],
            Self::ReadRuns => &["id", "task", "node", "state", "verdict", "since", "until", "store", "limit", "cursor"],
            Self::ReadNodes | Self::WatchChanges => &[],
            Self::ReadPutAside => &["store", "limit", "cursor"],
            Self::RunJob | Self::ResumeJob | Self::RemoveJob | Self::RemovePutAside => &["id", "store"],
            Self::PauseJob => &["id", "store", "note", "until"],
            Self::RescheduleJob => &["id", "store", "trigger"],
            Self::CancelRun => &["id", "run", "store"],
            Self::AddJob => &["id", "store", "task", "args", "trigger", "name", "executor", "tags", "paused"],
            Self::ChangeJob => &["id", "store", "task", "args", "name", "executor", "tags"],
        }
    }
}

/// Its [name](Operation::name).
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
