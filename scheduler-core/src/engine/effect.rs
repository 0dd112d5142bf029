//! What the engine wants done: five effects.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{CallId, Engine, Health, OpId};
pub use crate::store::verb::{Search, SearchReply, StoreCall, StoreReply};
use crate::{
    Error, ErrorKind, Event, ExecutorName, JobId, JobRow, Listed, Run, RunId, StoreName, Tags, TaskName,
    store::{JobCounts, JobPage, KeyLimit, NodeRow, RunPage},
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
    /// The tags of the job.
    pub tags: Tags,
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

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// What was asked for is done.
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
    /// What a search has found.
    Searched(SearchReply),
    /// How many there were.
    Count(u64),
    /// An engine that answers calls in place of this one.
    Engine(Box<Engine>),
}

/// A reply is what its command promises, or an error of the kind [`Bug`](ErrorKind::Bug).
macro_rules! replies {
    ($($pattern:pat => $value:expr, $type:ty = $what:literal;)*) => {$(
        impl TryFrom<Reply> for $type {
            type Error = Error;

            fn try_from(reply: Reply) -> Result<Self, Error> {
                match reply {
                    $pattern => Ok($value),
                    other => Err(other.instead_of($what)),
                }
            }
        }
    )*};
}

replies! {
    Reply::Done => (), () = "that it is done";
    Reply::State(state) => state, SchedulerState = "the scheduler's state";
    Reply::Health(health) => health, Health = "how the scheduler is";
    Reply::Stores(stores) => stores, Vec<StoreName> = "the names of the stores";
    Reply::Added(jobs) => jobs, Vec<Result<JobRow, Error>> = "the jobs that were added";
    Reply::Job(store, job) => (store, job), (StoreName, Box<JobRow>) = "a job";
    Reply::Found(found) => found, Option<(StoreName, Box<JobRow>)> = "whether there is a job";
    Reply::Run(run) => run, RunId = "a run";
    Reply::Jobs(jobs) => jobs, Vec<Listed> = "a page of jobs";
    Reply::Runs(runs) => runs, Vec<Run> = "a page of runs";
    Reply::Searched(SearchReply::Jobs(page)) => page, JobPage = "a page of jobs that were searched for";
    Reply::Searched(SearchReply::Counts(counts)) => counts, JobCounts = "how many jobs there are";
    Reply::Searched(SearchReply::Runs(page)) => page, RunPage = "a page of runs that were searched for";
    Reply::Searched(SearchReply::Nodes(nodes)) => nodes, Vec<NodeRow> = "the nodes";
    Reply::Searched(SearchReply::KeyLimits(limits)) => limits, Vec<KeyLimit> = "the keys that have a limit";
    Reply::Count(count) => count, u64 = "a number";
    Reply::Engine(engine) => engine, Box<Engine> = "an engine for calls in a transaction";
}

impl Reply {
    fn instead_of(&self, what: &str) -> Error {
        let message =
            format!("the scheduler was asked for {what} and answered something else: {self:?}; please report it");
        Error::new(ErrorKind::Bug, message)
    }
}

/// What a scheduler is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchedulerState {
    /// The scheduler has not been started; jobs can be added already.
    #[doc(alias = "STATE_STOPPED")]
    Stopped,
    /// The scheduler claims jobs as they become due.
    #[doc(alias = "STATE_RUNNING")]
    Running,
    /// The scheduler is paused.
    #[doc(alias = "STATE_PAUSED")]
    Paused,
    /// The scheduler is shutting down or has shut down.
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
    /// The node has to show that it is alive.
    LifeSign,
    /// A store that cannot tell of changes has to be asked.
    Poll,
    /// A failed store call is repeated.
    Retry,
    /// Shutting down has taken long enough.
    Shutdown,
}
