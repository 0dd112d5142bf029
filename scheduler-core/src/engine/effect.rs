//! What the engine wants done: five effects.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{CallId, Health, OpId};
use crate::{
    Error, Event, ExecutorName, JobId, JobRow, Listed, NodeId, Run, RunId, StoreName, TaskName,
    store::{
        Cancelled, Changed, Inserted, JobQuery, Removed, RemovedAll, RunQuery, Stamped, Turn, TurnReply, Update,
        Updated,
    },
};

/// What the engine wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Call a store and bring back its reply.
    Store(OpId, StoreName, StoreCall),
    /// Start an attempt of a run and bring back its outcome.
    Start(Start),
    /// Tell a running run to stop.
    Cancel(RunId),
    /// Answer the application.
    Reply(CallId, Result<Reply, Error>),
    /// Tell the listeners.
    Notify(Event),
}

/// An attempt of a run that is to start.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: JobId,
    /// The job's name for people.
    pub job_name: Arc<str>,
    /// The store that keeps the job.
    pub store: StoreName,
    /// The executor that runs it.
    pub executor: ExecutorName,
    /// The task.
    pub task: TaskName,
    /// What the task is called with.
    pub args: Value,
    /// The fire time.
    pub fire_time: DateTime<Utc>,
    /// The instant from which it could have started, by the store's clock: the fire time with its jitter, or the end of
    /// what it waited for.
    pub due: DateTime<Utc>,
    /// The attempt.
    pub attempt: u32,
    /// The fence of the claim.
    pub fence: u64,
}

/// A call of one verb of the store port.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreCall {
    /// Adds jobs.
    Insert(DateTime<Utc>, Arc<Vec<JobRow>>),
    /// Changes a job.
    Update(DateTime<Utc>, Box<Update>),
    /// Asks a run of a job to stop.
    Cancel(DateTime<Utc>, JobId, RunId),
    /// Removes jobs.
    Remove(DateTime<Utc>, Vec<JobId>),
    /// Removes all jobs.
    RemoveAll(DateTime<Utc>),
    /// Reads a job.
    Job(JobId),
    /// Lists jobs.
    Jobs(JobQuery),
    /// Lists runs.
    Runs(RunQuery),
    /// Records, settles and claims.
    Turn(Arc<Turn>),
    /// Gives everything up.
    Release(DateTime<Utc>, NodeId),
    /// Asks for changes by other nodes.
    Changed(u64),
}

/// The answer to a [`StoreCall`].
#[derive(Debug, Clone, PartialEq)]
pub enum StoreReply {
    /// To an insert.
    Insert(Stamped<Vec<Inserted>>),
    /// To an update.
    Update(Stamped<Updated>),
    /// To a request to stop a run.
    Cancel(Stamped<Cancelled>),
    /// To a remove.
    Remove(Stamped<Vec<Removed>>),
    /// To a removal of all.
    RemoveAll(Stamped<RemovedAll>),
    /// To a read.
    Job(Option<Box<Listed>>),
    /// To a listing of jobs.
    Jobs(Vec<Listed>),
    /// To a listing of runs.
    Runs(Vec<Run>),
    /// To a turn.
    Turn(Box<TurnReply>),
    /// To a release.
    Release,
    /// To a question for changes.
    Changed(Changed),
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It is done.
    Done,
    /// The scheduler's state.
    State(SchedulerState),
    /// How the scheduler and its stores are.
    Health(Health),
    /// The names of the stores.
    Stores(Vec<StoreName>),
    /// The jobs that were added, in their order.
    Added(Vec<Result<JobRow, Error>>),
    /// The job, with its store.
    Job(StoreName, Box<JobRow>),
    /// Whether there is such a job.
    Found(Option<(StoreName, Box<JobRow>)>),
    /// The run that was asked for.
    Run(RunId),
    /// A page of jobs.
    Jobs(Vec<Listed>),
    /// A page of runs.
    Runs(Vec<Run>),
    /// How many there were.
    Count(u64),
}

/// What a scheduler is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchedulerState {
    /// It has not been started; jobs can be added already.
    #[doc(alias = "STATE_STOPPED")]
    Stopped,
    /// It claims jobs as they become due.
    #[doc(alias = "STATE_RUNNING")]
    Running,
    /// It is paused.
    #[doc(alias = "STATE_PAUSED")]
    Paused,
    /// It is shutting down or has shut down.
    ShutDown,
}

/// When the engine wants to be woken at the latest, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    /// How long from now.
    pub after: Duration,
    /// Why.
    pub reason: WakeReason,
}

/// Why the engine wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WakeReason {
    /// A job is due.
    Due,
    /// A run has taken as long as it may.
    Timeout,
    /// It has to show that its node is alive.
    LifeSign,
    /// A store that cannot tell of changes has to be asked.
    Poll,
    /// A failed store call is repeated.
    Retry,
    /// Shutting down has taken long enough.
    Shutdown,
}
