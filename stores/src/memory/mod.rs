//! Jobs in the memory of this process.

mod claim;
mod entry;
mod index;
mod listing;
mod places;
mod shape;
mod verbs;

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use event_listener::Event;
use scheduler_core::{
    JobId, JobRow, JobStore, LimitKey, Listed, NodeId, Run, RunId,
    store::{
        Cancelled, Changed, Claim, Claimed, Clock, Durability, Inserted, JobCounts, JobFilter, JobPage, JobQuery,
        JobSearch, KeyLimit, KeyLimits, NodeRow, Record, Recorded, Removed, RemovedAll, RunQuery, Settle, Settled,
        Stamped, StoreError, StoreLimits, Turn, TurnReply, Update, Updated, Wakes, scan,
    },
};

use self::index::Table;

/// Keeps jobs in memory, for as long as the process lives.
///
/// Clones share the same jobs, so that several schedulers of one process can work on them. A call takes about a
/// microsecond a job and never waits for anything but another call.
///
/// ```
/// use scheduler_core::{JobStore, store::Durability};
/// use scheduler_stores::MemoryStore;
///
/// let store = MemoryStore::new();
/// assert_eq!(store.limits().durability, Durability::Volatile);
/// ```
#[derive(Clone, Default)]
#[doc(alias = "MemoryJobStore")]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    changed: Event,
}

impl MemoryStore {
    /// The most jobs, moves or entries of one call; a million inserts hold the store for about a quarter of a second.
    const BATCH: usize = 1 << 20;

    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.shared.table.lock().expect("no verb panics while it holds the table")
    }

    /// Runs a verb and wakes those who wait for a change if it noted one.
    fn perform<T>(&self, verb: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.table();
        let before = table.changes.version();
        let reply = verb(&mut table);
        let is_changed = table.changes.version() != before;
        drop(table);
        if is_changed {
            self.shared.changed.notify(usize::MAX);
        }
        reply
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(Clock::Caller, Wakes::Push, Durability::Volatile)
            .with_payload(usize::MAX)
            .with_batch(Self::BATCH)
            .with_key_limits(KeyLimits::Kept)
    }

    async fn insert(&self, at: DateTime<Utc>, jobs: &[JobRow]) -> Result<Stamped<Vec<Inserted>>, StoreError> {
        self.perform(|table| table.insert(at, jobs))
    }

    async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
        Ok(self.perform(|table| table.update(at, update)))
    }

    async fn cancel(&self, at: DateTime<Utc>, job: &JobId, run: RunId) -> Result<Stamped<Cancelled>, StoreError> {
        Ok(self.perform(|table| table.cancel(at, job, run)))
    }

    async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
        Ok(self.perform(|table| table.remove(at, ids)))
    }

    async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
        Ok(self.perform(|table| table.remove_all(at)))
    }

    async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
        Ok(self.table().job(id))
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
        Ok(self.table().jobs(query))
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        Ok(self.table().runs(query))
    }

    async fn search_jobs(&self, search: &JobSearch) -> Result<JobPage, StoreError> {
        match search.filter.is_of_finished() {
            true => Ok(self.table().finished_page(search)),
            false => scan::jobs(self, search).await,
        }
    }

    async fn count_jobs(&self, filter: &JobFilter) -> Result<JobCounts, StoreError> {
        match filter.is_of_finished() {
            true => Ok(self.table().finished_counts(filter)),
            false => scan::count(self, filter).await,
        }
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        Ok(self.table().node_rows())
    }

    async fn set_key_limit(
        &self,
        at: DateTime<Utc>,
        key: &LimitKey,
        limit: Option<NonZeroU32>,
    ) -> Result<(), StoreError> {
        self.perform(|table| table.set_key_limit(at, key, limit));
        Ok(())
    }

    async fn key_limits(&self, key: Option<&LimitKey>) -> Result<Vec<KeyLimit>, StoreError> {
        Ok(self.table().key_limits(key))
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        Ok(self.perform(|table| table.claim(claim)))
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        Ok(self.perform(|table| table.settle(settle)))
    }

    async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
        Ok(self.perform(|table| table.record(record)))
    }

    async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
        self.perform(|table| table.release(at, owner));
        Ok(())
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        loop {
            // Listening starts before the look, so that no change falls in between.
            let listener = self.shared.changed.listen();
            if let Some(change) = self.table().changes.since(seen) {
                return Ok(change);
            }
            listener.await;
        }
    }

    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        Ok(self.perform(|table| TurnReply {
            record: turn.record.as_ref().map(|record| table.record(record)),
            settle: turn.settle.as_ref().map(|settle| table.settle(settle)),
            claim: turn.claim.as_ref().map(|claim| table.claim(claim)),
        }))
    }
}
