//! The verbs of the store port as values: a call that an engine asks for, and its reply.

use std::{num::NonZeroU32, sync::Arc};

use chrono::{DateTime, Utc};

use super::{
    Cancelled, Changed, Inserted, JobCounts, JobFilter, JobPage, JobQuery, JobSearch, KeyLimit, NodeRow, Removed,
    RemovedAll, RunPage, RunQuery, RunSearch, Stamped, StoreError, StoreErrorKind, Turn, TurnReply, Update, Updated,
};
use crate::{JobId, JobRow, JobStore, LimitKey, Listed, NodeId, Run, RunId};

/// A call of one verb of the store port.
///
/// ```
/// use scheduler_core::{JobStore, store::{StoreCall, StoreError, StoreReply}};
///
/// /// Performs a call, and notes those that change something, so that they can be sent to another store, too.
/// async fn noted(store: &dyn JobStore, call: StoreCall, log: &mut Vec<StoreCall>) -> Result<StoreReply, StoreError> {
///     if matches!(call, StoreCall::Insert(..) | StoreCall::Update(..) | StoreCall::Remove(..)) {
///         log.push(call.clone());
///     }
///     call.perform(store).await
/// }
/// ```
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
    /// Sets a limit by key, or takes it away.
    SetKeyLimit(DateTime<Utc>, LimitKey, Option<NonZeroU32>),
    /// Reads a job.
    Job(JobId),
    /// Lists jobs.
    Jobs(JobQuery),
    /// Lists runs.
    Runs(RunQuery),
    /// Searches jobs, runs or nodes.
    Search(Search),
    /// Records, settles and claims.
    Turn(Arc<Turn>),
    /// Gives everything up.
    Release(DateTime<Utc>, NodeId),
    /// Asks for changes by other nodes.
    Changed(u64),
}

impl StoreCall {
    /// Calls the method of the store that the call stands for.
    ///
    /// # Errors
    ///
    /// That of the store.
    pub async fn perform(self, store: &dyn JobStore) -> Result<StoreReply, StoreError> {
        Ok(match self {
            Self::Insert(at, jobs) => StoreReply::Insert(store.insert(at, &jobs).await?),
            Self::Update(at, update) => StoreReply::Update(store.update(at, &update).await?),
            Self::Cancel(at, job, run) => StoreReply::Cancel(store.cancel(at, &job, run).await?),
            Self::Remove(at, ids) => StoreReply::Remove(store.remove(at, &ids).await?),
            Self::RemoveAll(at) => StoreReply::RemoveAll(store.remove_all(at).await?),
            Self::SetKeyLimit(at, key, limit) => {
                store.set_key_limit(at, &key, limit).await?;
                StoreReply::SetKeyLimit
            }
            Self::Job(id) => StoreReply::Job(store.job(&id).await?.map(Box::new)),
            Self::Jobs(query) => StoreReply::Jobs(store.jobs(&query).await?),
            Self::Runs(query) => StoreReply::Runs(store.runs(&query).await?),
            Self::Search(search) => StoreReply::Search(search.perform(store).await?),
            Self::Turn(turn) => StoreReply::Turn(Box::new(store.turn(&turn).await?)),
            Self::Release(at, node) => {
                store.release(at, &node).await?;
                StoreReply::Release
            }
            Self::Changed(seen) => StoreReply::Changed(store.changed(seen).await?),
        })
    }
}

/// The answer to a [`StoreCall`].
///
/// ```
/// use chrono::Utc;
/// use scheduler_core::{JobId, JobStore, store::{Removed, Stamped, StoreCall, StoreError}};
///
/// async fn remove(store: &dyn JobStore, id: JobId) -> Result<Vec<Removed>, StoreError> {
///     let reply = StoreCall::Remove(Utc::now(), vec![id]).perform(store).await?;
///     // A reply is what its call promises.
///     let Stamped { value, .. } = reply.try_into()?;
///     Ok(value)
/// }
/// ```
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
    /// To a limit by key that was set.
    SetKeyLimit,
    /// To a read.
    Job(Option<Box<Listed>>),
    /// To a listing of jobs.
    Jobs(Vec<Listed>),
    /// To a listing of runs.
    Runs(Vec<Run>),
    /// To a search.
    Search(SearchReply),
    /// To a turn.
    Turn(Box<TurnReply>),
    /// To a release.
    Release,
    /// To a question for changes.
    Changed(Changed),
}

/// A search of a store for what is in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Search {
    /// For a page of jobs.
    Jobs(JobSearch),
    /// For how many jobs there are.
    Counts(JobFilter),
    /// For a page of runs.
    Runs(RunSearch),
    /// For the nodes.
    Nodes,
    /// For the keys that have a limit, or for one of them.
    KeyLimits(Option<LimitKey>),
}

/// The answer to a [`Search`].
#[derive(Debug, Clone, PartialEq)]
pub enum SearchReply {
    /// A page of jobs.
    Jobs(JobPage),
    /// How many jobs there are.
    Counts(JobCounts),
    /// A page of runs.
    Runs(RunPage),
    /// The nodes.
    Nodes(Vec<NodeRow>),
    /// The keys that have a limit.
    KeyLimits(Vec<KeyLimit>),
}

impl Search {
    async fn perform(self, store: &dyn JobStore) -> Result<SearchReply, StoreError> {
        Ok(match self {
            Self::Jobs(search) => SearchReply::Jobs(store.search_jobs(&search).await?),
            Self::Counts(filter) => SearchReply::Counts(store.count_jobs(&filter).await?),
            Self::Runs(search) => SearchReply::Runs(store.search_runs(&search).await?),
            Self::Nodes => SearchReply::Nodes(store.nodes().await?),
            Self::KeyLimits(key) => SearchReply::KeyLimits(store.key_limits(key.as_ref()).await?),
        })
    }
}

/// A reply is what its call promises, or an error of the kind [`Unavailable`](StoreErrorKind::Unavailable): the driver
/// has mixed up the replies of its calls, and what became of this call is unknown.
macro_rules! replies {
    ($($variant:ident: $type:ty = $what:literal;)*) => {$(
        impl TryFrom<StoreReply> for $type {
            type Error = StoreError;

            fn try_from(reply: StoreReply) -> Result<Self, StoreError> {
                match reply {
                    StoreReply::$variant(value) => Ok(value),
                    other => Err(other.instead_of($what)),
                }
            }
        }
    )*};
}

replies! {
    Insert: Stamped<Vec<Inserted>> = "an insert";
    Update: Stamped<Updated> = "an update";
    Cancel: Stamped<Cancelled> = "a request to stop a run";
    Remove: Stamped<Vec<Removed>> = "a remove";
    RemoveAll: Stamped<RemovedAll> = "a removal of all";
    Job: Option<Box<Listed>> = "a read";
    Jobs: Vec<Listed> = "a listing of jobs";
    Runs: Vec<Run> = "a listing of runs";
    Search: SearchReply = "a search";
    Turn: Box<TurnReply> = "a turn";
    Changed: Changed = "a question for changes";
}

/// The reply to a [`Release`](StoreCall::Release) or a [`SetKeyLimit`](StoreCall::SetKeyLimit), as with the other types.
impl TryFrom<StoreReply> for () {
    type Error = StoreError;

    fn try_from(reply: StoreReply) -> Result<Self, StoreError> {
        match reply {
            StoreReply::Release | StoreReply::SetKeyLimit => Ok(()),
            other => Err(other.instead_of("a release, or a limit that was set")),
        }
    }
}

impl StoreReply {
    fn instead_of(&self, what: &str) -> StoreError {
        let message = format!(
            "the reply to {what} is one to another call, which is a bug of the scheduler; please report it, with this: {self:?}"
        );
        StoreError::new(StoreErrorKind::Unavailable, message)
    }
}
