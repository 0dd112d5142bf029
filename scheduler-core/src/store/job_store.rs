//! What a job store does.

use std::{any::Any, num::NonZeroU32, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    Cancelled, Changed, Claim, Claimed, Inserted, JobCounts, JobFilter, JobPage, JobQuery, JobSearch, KeyLimit,
    NodeRow, Record, Recorded, Removed, RemovedAll, RunPage, RunQuery, RunSearch, Settle, Settled, SqlStatement,
    Stamped, StoreCall, StoreError, StoreLimits, StoreReply, Turn, TurnReply, Update, Updated,
    key_limit::no_key_limits,
    scan,
    transaction::{no_statements, no_transactions},
};
use crate::{JobId, JobRow, LimitKey, Listed, NodeId, Run, RunId};

/// A place that keeps jobs and runs, shared safely by any number of nodes if it can be reached by them.
///
/// Implement it with plain async functions; `scheduler-testkit` has the suite that shows whether it holds.
///
/// ```
/// use chrono::Utc;
/// use scheduler_core::{JobRow, JobStore, Listed, store::{Inserted, JobQuery, StoreError}};
///
/// /// Copies jobs from one store to another, and says how many were added there.
/// async fn copy(from: &dyn JobStore, to: &dyn JobStore) -> Result<usize, StoreError> {
///     let (mut copied, mut query) = (0, JobQuery { after: None, limit: 100 });
///     loop {
///         let page = from.jobs(&query).await?;
///         let Some(last) = page.last() else { return Ok(copied) };
///         query.after = Some(last.id().clone());
///         let job = |entry| if let Listed::Job(job) = entry { Some(job) } else { None };
///         let jobs: Vec<JobRow> = page.into_iter().filter_map(job).collect();
///         let inserted = to.insert(Utc::now(), &jobs).await?.value;
///         copied += inserted.iter().filter(|outcome| **outcome == Inserted::Added).count();
///     }
/// }
/// ```
#[async_trait]
#[doc(alias = "BaseJobStore")]
pub trait JobStore: std::fmt::Debug + Send + Sync + 'static {
    /// What the store can do and how it behaves. Constant over its life.
    fn limits(&self) -> StoreLimits;

    /// What was amiss with the server when the store connected, and what to change: a cache that evicts jobs, for one. The
    /// scheduler that takes the store tells each in its log and as a
    /// [`StoreWarning`](crate::EventKind::StoreWarning). Defaults to nothing.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Adds jobs, each by itself. A job whose id belongs to another live job is a conflict, also with an earlier one of
    /// the same call; one whose uid is there already was added by this call before. An id that is empty, longer than 191
    /// bytes or has a NUL is rejected, and with it the call.
    ///
    /// `revision`, `fence` and `last_seq` start at 0, whatever the given rows say.
    async fn insert(&self, at: DateTime<Utc>, jobs: &[JobRow]) -> Result<Stamped<Vec<Inserted>>, StoreError>;

    /// Changes a job, if its `revision` and `fence` are those given: writes state, next fire time, due and the body if
    /// one is given, adds the runs of the change, counts `revision` up, voids a claim. Waiting runs that it adds are due now at
    /// the latest, by the store's clock. The job is due at the `due` of its first run that waits because a user asked for it
    /// ([`Wait::Requested`](crate::Wait::Requested)) at the latest, and now if a waiting run has been asked to stop, also if
    /// it is paused.
    ///
    /// The call was applied before if the revision is the next one, and the job has the state and next fire time of the
    /// call and its newest run is the last one of the call; or, if the call adds a waiting run, which claims may have moved
    /// on since, the job has a run with its number and fire time.
    ///
    /// If a run of the job has ended, or been put off, since the last claim, `due` becomes now, since the caller cannot
    /// have seen that; or it stays what it was if that is earlier, since further updates do not put the job off.
    ///
    /// An update that [gives way](super::OnClaim::GiveWay) is a conflict while a node has claimed the job, until the move is settled
    /// or the claim lapses. A store that voids the claim all the same loses nothing, but changes without a pause can then keep
    /// a job from running.
    async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError>;

    /// Asks an open run of a job with this id to stop, live or not: it has been asked from then on. If it is running, its node
    /// learns of it, by [`record`](Self::record) and by [`changed`](Self::changed). If it is waiting, `revision` is counted
    /// up, a claim is voided, and the job is due now, so that the next claim ends the run. Asking once more does nothing.
    async fn cancel(&self, at: DateTime<Utc>, job: &JobId, run: RunId) -> Result<Stamped<Cancelled>, StoreError>;

    /// Removes live jobs by id. Waiting runs end as cancelled, and are handed out so that it can be told; a running one
    /// stays and ends normally, and the job, hidden from then on, goes with the last of them. Runs that end go with
    /// their job, whatever its [retention](crate::JobOptions::retention) is. A job that is over is none that can be
    /// removed.
    async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError>;

    /// Removes all live jobs as [`remove`](Self::remove) does and says how many there were.
    async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError>;

    /// The live job with this id, decodable or not.
    async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError>;

    /// A page of the live jobs in the order of their ids, undecodable ones included.
    async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError>;

    /// A page of a job's runs, newest first; also of one that is over, until it is deleted.
    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError>;

    /// A page of the jobs that a filter means, in its order: of live ones, or of those that are over and stay known if
    /// it asks for them. What matches, and what comes first, is said by [`JobSearch::is_ahead`] and
    /// [`JobOrder::compare`](super::JobOrder::compare).
    ///
    /// Looks at one job after the other, and finds none that are over, unless the store has something better: see [`scan::jobs`].
    async fn search_jobs(&self, search: &JobSearch) -> Result<JobPage, StoreError> {
        scan::jobs(self, search).await
    }

    /// How many jobs that a filter means are in each state.
    ///
    /// Looks at one job after the other, unless the store has something better: see [`scan::count`].
    async fn count_jobs(&self, filter: &JobFilter) -> Result<JobCounts, StoreError> {
        scan::count(self, filter).await
    }

    /// A page of the runs that a filter means, newest first: of live jobs, and of those that are over and stay known.
    /// What matches is said by [`RunSearch::is_ahead`]; those of a job that cannot be read may be left out.
    ///
    /// Looks at the runs of one job after the other, unless the store has something better: see [`scan::runs`].
    async fn search_runs(&self, search: &RunSearch) -> Result<RunPage, StoreError> {
        scan::runs(self, search).await
    }

    /// The nodes that hold something, by id, with what they run.
    ///
    /// Looks at the runs of one job after the other, unless the store has something better: see [`scan::nodes`].
    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        scan::nodes(self).await
    }

    /// Sets how many runs of jobs with this key may be running at once, or takes that limit away. Runs that are running go on,
    /// and count; jobs that wait for a place are due now, as far as there are places.
    ///
    /// A store that keeps limits says so by [`StoreLimits::key_limits`], and holds its [settle](Self::settle) to them. One that does
    /// not refuses this, which is the default.
    async fn set_key_limit(
        &self,
        at: DateTime<Utc>,
        key: &LimitKey,
        limit: Option<NonZeroU32>,
    ) -> Result<(), StoreError> {
        let _ = (at, key, limit);
        Err(no_key_limits())
    }

    /// The keys that have a limit, by key; or only this one, if it has one. None by default.
    async fn key_limits(&self, key: Option<&LimitKey>) -> Result<Vec<KeyLimit>, StoreError> {
        let _ = key;
        Ok(Vec::new())
    }

    /// Takes due jobs for one node, for the time of a lease.
    ///
    /// 1. A `seq` not above the node's last one: nothing happens and the reply is empty (a delayed call takes nothing).
    /// 2. If `adopt`: running runs of nodes whose lease has passed, now and when the claim was sent
    ///    ([`Claim::lapsed_by`]), become waiting ([`Wait::Orphan`](crate::Wait::Orphan)),
    ///    due since when they were, and so ahead of the runs of their jobs that were queued behind them; `takeovers` counted up, their jobs
    ///    due now; at most `limit` a call. A node's row goes with its last run.
    ///    Without it nothing of another node's is taken.
    /// 3. Rows that are due and cannot be decoded are quarantined and reported.
    /// 4. Jobs with `due` not after now, their task among `tasks`, `v` at most `max_v`, in any state but quarantined (a
    ///    kept job can have a run to retry or to take over), that are unclaimed, or claimed by this node, or if `adopt`
    ///    past their claim by then, in the order of (`due`, `uid`), at most `limit`: claimed for this node until now + `lease`,
    ///    `fence` counted up.
    ///
    /// 5. Some of the jobs that are over and whose retention has passed, whatever their tasks are, are deleted, after what is due; the
    ///    others are left to later claims.
    ///
    /// Renews the node's lease, unless the node holds nothing and took nothing: an idle claim writes nothing.
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError>;

    /// Moves claimed jobs on, each by itself, writes their runs and gives up the claims. Renews the node's lease.
    ///
    /// A move is applied if the job's `revision`, `fence` and owner are those of the claim, and was applied if the
    /// job's last move had this fence; after another node's move it is
    /// [`SettleOutcome::Taken`](super::SettleOutcome::Taken) either way. It counts `fence` up, so that an update
    /// decided before it is a conflict. If a run of the job has ended or been put off since the claim, `due` becomes
    /// now if the move leaves the job blocked, and else the `due` of its first waiting run at the latest.
    /// `next_fire_time` never moves back.
    ///
    /// A move to [`JobState::Ending`](crate::JobState::Ending) leaves the job active, without a next fire time and with
    /// now as its `last_end`: it is live while it has an open run. An active job without a next fire time that is
    /// neither due nor blocked is over when it has no open run, which makes it ending. One that is ending or removed
    /// stays so, since its id may belong to another job by now. When it has no open run, a removed one is deleted, and
    /// so is an ending one without a [retention](crate::JobOptions::retention), which is
    /// [`Fate::Deleted`](super::Fate). With one it is [`Fate::Finished`](super::Fate): it stays, not due and with its
    /// runs, and a claim deletes it once the retention has passed. Earlier versions have left jobs with open runs as
    /// ending.
    ///
    /// A run that is not as the claim showed it (to be started or ended, but not waiting; inserted, but not with the next
    /// number) makes the move [`SettleOutcome::Changed`](super::SettleOutcome::Changed).
    ///
    /// A move that starts runs under a [limit key](super::Move::limit_key) which has a [limit](Self::set_key_limit)
    /// needs a place for each of them. A run has its place from before it is running until after its end is written;
    /// one whose node has died has it until it is taken over. If too few places are free, the move is
    /// [`SettleOutcome::Waits`](super::SettleOutcome::Waits): the claim is given up, `fence` counted up, and the job is
    /// due when a place is free, or after a while that grows to a minute. Which of the jobs that wait are due then goes
    /// by since when they have been due.
    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError>;

    /// Takes reports about running runs, each by itself, and renews the node's lease. Without entries it is the node's
    /// life sign, sent while it holds something.
    ///
    /// An entry counts if the run is running under this owner and fence, or the same entry was taken before. Ending or
    /// putting off a run sets the job's `last_end` and, if the job is blocked and unclaimed, makes it due now. Putting
    /// off makes the job due at the run's `due` at the latest, now if the run has been asked to stop; a retry in a
    /// removed job ends the run as error instead, which is [`Ended`](super::RecordOutcome::Ended). Prunes the job's
    /// history. A job that is over with the last of its open runs, as [`settle`](Self::settle) says, is deleted or
    /// stays for its retention. Of a run that is given back ([`RunReport::Release`](super::RunReport::Release)) the
    /// other nodes are told, which can have it at once.
    async fn record(&self, record: &Record) -> Result<Recorded, StoreError>;

    /// Gives up everything a node holds: claims, runs that are still running (they wait as
    /// [`Wait::Released`](crate::Wait::Released)), and its lease. Called at the end of a shutdown.
    async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError>;

    /// What changed after `seen`, by whichever node. The first call has `seen` = 0 and returns at once, with a resync.
    ///
    /// A store with [`Wakes::Push`](super::Wakes::Push) answers when there is a change; the call may be dropped and
    /// repeated without losing one. A store with [`Wakes::Poll`](super::Wakes::Poll) answers at once and is asked in
    /// each period. Hints only: what a node can know from its own calls, and ends of runs, need none.
    async fn changed(&self, seen: u64) -> Result<Changed, StoreError>;

    /// Performs a call in a transaction of the application's: what it changes is there, and other nodes are told of it, exactly
    /// if the application commits. Nothing is repeated.
    ///
    /// `transaction` is the connection or the session of the database's client in which the transaction is. Of the calls,
    /// those that insert, update, cancel, remove and read come here.
    ///
    /// # Errors
    ///
    /// That the store takes part in no transaction of this kind, which is what a store does by default. After any other error it
    /// is the application's to roll back.
    async fn perform_in(&self, transaction: &mut (dyn Any + Send), call: StoreCall) -> Result<StoreReply, StoreError> {
        let _ = (transaction, call);
        Err(no_transactions())
    }

    /// The statements that add a job as [`insert`](Self::insert) does, for a client of the database that is not the store's.
    ///
    /// # Errors
    ///
    /// That the store is no SQL database, which is what a store says by default; or that it does not take this job.
    fn insertion(&self, job: &JobRow) -> Result<Vec<SqlStatement>, StoreError> {
        let _ = job;
        Err(no_statements())
    }

    /// Records, then settles, then claims, as one round trip or transaction where that is cheaper.
    ///
    /// If it fails, the caller repeats all three.
    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        let mut reply = TurnReply::default();
        if let Some(record) = &turn.record {
            reply.record = Some(self.record(record).await?);
        }
        if let Some(settle) = &turn.settle {
            reply.settle = Some(self.settle(settle).await?);
        }
        if let Some(claim) = &turn.claim {
            reply.claim = Some(self.claim(claim).await?);
        }
        Ok(reply)
    }
}

/// A store that is chosen while the program runs.
#[async_trait]
impl<S: JobStore + ?Sized> JobStore for Arc<S> {
    fn limits(&self) -> StoreLimits {
        (**self).limits()
    }

    fn warnings(&self) -> Vec<String> {
        (**self).warnings()
    }

    async fn insert(&self, at: DateTime<Utc>, jobs: &[JobRow]) -> Result<Stamped<Vec<Inserted>>, StoreError> {
        (**self).insert(at, jobs).await
    }

    async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
        (**self).update(at, update).await
    }

    async fn cancel(&self, at: DateTime<Utc>, job: &JobId, run: RunId) -> Result<Stamped<Cancelled>, StoreError> {
        (**self).cancel(at, job, run).await
    }

    async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
        (**self).remove(at, ids).await
    }

    async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
        (**self).remove_all(at).await
    }

    async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
        (**self).job(id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
        (**self).jobs(query).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        (**self).runs(query).await
    }

    async fn search_jobs(&self, search: &JobSearch) -> Result<JobPage, StoreError> {
        (**self).search_jobs(search).await
    }

    async fn count_jobs(&self, filter: &JobFilter) -> Result<JobCounts, StoreError> {
        (**self).count_jobs(filter).await
    }

    async fn search_runs(&self, search: &RunSearch) -> Result<RunPage, StoreError> {
        (**self).search_runs(search).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        (**self).nodes().await
    }

    async fn set_key_limit(
        &self,
        at: DateTime<Utc>,
        key: &LimitKey,
        limit: Option<NonZeroU32>,
    ) -> Result<(), StoreError> {
        (**self).set_key_limit(at, key, limit).await
    }

    async fn key_limits(&self, key: Option<&LimitKey>) -> Result<Vec<KeyLimit>, StoreError> {
        (**self).key_limits(key).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        (**self).claim(claim).await
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        (**self).settle(settle).await
    }

    async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
        (**self).record(record).await
    }

    async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
        (**self).release(at, owner).await
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        (**self).changed(seen).await
    }

    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        (**self).turn(turn).await
    }

    async fn perform_in(&self, transaction: &mut (dyn Any + Send), call: StoreCall) -> Result<StoreReply, StoreError> {
        (**self).perform_in(transaction, call).await
    }

    fn insertion(&self, job: &JobRow) -> Result<Vec<SqlStatement>, StoreError> {
        (**self).insertion(job)
    }
}
