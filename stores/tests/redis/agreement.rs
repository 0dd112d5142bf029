//! The same calls get the same answers as from the memory store.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, JobRow, JobStore, Listed, NodeId, Run, RunId,
    store::{
        Cancelled, Changed, Claim, Claimed, Inserted, JobQuery, Record, Recorded, Removed, RemovedAll, RunQuery,
        Settle, Settled, Stamped, StoreError, StoreLimits, Turn, TurnReply, Update, Updated,
    },
};
use scheduler_stores::{MemoryStore, RedisStore};
use scheduler_testkit::store::{agree, block_on};

use crate::test_store::TestStore;

/// How many seeds, which an environment variable raises for a long search.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    0..std::env::var("AGREEMENT_SEEDS").ok().and_then(|it| it.parse().ok()).unwrap_or(usual)
}

#[test]
fn the_same_calls_get_the_same_answers_as_from_the_memory_store() {
    block_on(async {
        for seed in seeds(10) {
            agree(&MemoryStore::new(), &TestStore::new().open_on_callers_clock().await, seed, 300).await;
        }
    });
}

#[test]
fn several_handles_answer_as_one() {
    block_on(async {
        for seed in seeds(3) {
            let test_store = TestStore::new();
            let mut handles = Vec::new();
            for _ in 0..3 {
                handles.push(test_store.open_on_callers_clock().await);
            }
            agree(&MemoryStore::new(), &InTurn { handles, next: AtomicUsize::new(0) }, 1_000 + seed, 300).await;
        }
    });
}

/// Each call goes to the next handle.
#[derive(Debug)]
struct InTurn {
    handles: Vec<RedisStore>,
    next: AtomicUsize,
}

impl InTurn {
    fn next(&self) -> &RedisStore {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

#[async_trait]
impl JobStore for InTurn {
    fn limits(&self) -> StoreLimits {
        self.next().limits()
    }

    async fn insert(&self, at: DateTime<Utc>, jobs: &[JobRow]) -> Result<Stamped<Vec<Inserted>>, StoreError> {
        self.next().insert(at, jobs).await
    }

    async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
        self.next().update(at, update).await
    }

    async fn cancel(&self, at: DateTime<Utc>, job: &JobId, run: RunId) -> Result<Stamped<Cancelled>, StoreError> {
        self.next().cancel(at, job, run).await
    }

    async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
        self.next().remove(at, ids).await
    }

    async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
        self.next().remove_all(at).await
    }

    async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
        self.next().job(id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
        self.next().jobs(query).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        self.next().runs(query).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.next().claim(claim).await
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        self.next().settle(settle).await
    }

    async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
        self.next().record(record).await
    }

    async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
        self.next().release(at, owner).await
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        self.next().changed(seen).await
    }

    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        self.next().turn(turn).await
    }
}
