//! Parts of a scheduler that tests have in their hands.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_channel::oneshot;
use scheduler_core::{
    BoxFuture, Dispatch, Executor, JobId, JobRow, JobStore, Listed, NodeId, Now, Outcome, Run, RunContext,
    store::{
        Change, Claim, Claimed, Inserted, JobQuery, Record, Recorded, Removed, RunQuery, Settle, Settled, Stamped,
        StoreError, StoreErrorKind, StoreLimits, Turn, TurnReply, Update, Updated,
    },
};
use scheduler_runtime::Runtime;
use scheduler_stores::MemoryStore;
use scheduler_testkit::SimulatedRuntime;

/// Runs nothing that is spawned on it; keeps it until it is told to drop it.
#[derive(Clone)]
pub(crate) struct StillRuntime {
    clock: SimulatedRuntime,
    spawned: Arc<Mutex<Vec<BoxFuture<'static, ()>>>>,
}

impl StillRuntime {
    pub(crate) fn new(clock: SimulatedRuntime) -> Self {
        Self { clock, spawned: Arc::default() }
    }

    /// Drops all that was spawned, as a runtime does that ends.
    pub(crate) fn end(&self) {
        let spawned = std::mem::take(&mut *self.spawned.lock().unwrap());
        drop(spawned);
    }
}

impl Runtime for StillRuntime {
    fn now(&self) -> Now {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }

    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.spawned.lock().unwrap().push(future);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.clock.spawn_blocking(work);
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.clock.block_on(future);
    }
}

impl fmt::Debug for StillRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StillRuntime").field(&self.clock).finish()
    }
}

/// Starts runs that end when the test says so, whatever their tokens say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hand(Arc<Mutex<Vec<Started>>>);

type Started = (RunContext, oneshot::Sender<Outcome>);

impl Hand {
    /// Ends the run that was started first and has not ended.
    pub(crate) fn end(&self, outcome: Outcome) -> RunContext {
        let (context, sender) = self.0.lock().unwrap().remove(0);
        sender.send(outcome).expect("the scheduler waits for the run");
        context
    }

    /// Drops the futures of all runs.
    pub(crate) fn drop_all(&self) {
        self.0.lock().unwrap().clear();
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn is_cancelled(&self, at: usize) -> bool {
        self.0.lock().unwrap()[at].0.cancellation.is_cancelled()
    }
}

impl Executor for Hand {
    fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
        let (end, ended) = oneshot::channel();
        self.0.lock().unwrap().push((dispatch.context, end));
        Box::pin(async move { ended.await.unwrap_or(Outcome::Cancelled) })
    }
}

/// A memory store that can be told to fail or to panic.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultyStore {
    jobs: MemoryStore,
    is_away: Arc<AtomicBool>,
    is_broken: Arc<AtomicBool>,
    limits: Option<StoreLimits>,
}

impl FaultyStore {
    pub(crate) fn over(jobs: MemoryStore) -> Self {
        Self { jobs, ..Self::default() }
    }

    pub(crate) fn with_limits(self, change: impl FnOnce(StoreLimits) -> StoreLimits) -> Self {
        Self { limits: Some(change(self.jobs.limits())), ..self }
    }

    pub(crate) fn go_away(&self) {
        self.is_away.store(true, Ordering::SeqCst);
    }

    pub(crate) fn come_back(&self) {
        self.is_away.store(false, Ordering::SeqCst);
        self.is_broken.store(false, Ordering::SeqCst);
    }

    pub(crate) fn panic(&self) {
        self.is_broken.store(true, Ordering::SeqCst);
    }

    /// How many of it there are, clones that schedulers hold included.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.is_away)
    }

    fn answering(&self) -> Result<&MemoryStore, StoreError> {
        assert!(!self.is_broken.load(Ordering::SeqCst), "(this panic is part of the test)");
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "nobody answers"));
        }
        Ok(&self.jobs)
    }
}

#[async_trait]
impl JobStore for FaultyStore {
    fn limits(&self) -> StoreLimits {
        self.limits.clone().unwrap_or_else(|| self.jobs.limits())
    }

    async fn insert(&self, at: DateTime<Utc>, jobs: &[JobRow]) -> Result<Stamped<Vec<Inserted>>, StoreError> {
        self.answering()?.insert(at, jobs).await
    }

    async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
        self.answering()?.update(at, update).await
    }

    async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
        self.answering()?.remove(at, ids).await
    }

    async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<u64>, StoreError> {
        self.answering()?.remove_all(at).await
    }

    async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
        self.answering()?.job(id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
        self.answering()?.jobs(query).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        self.answering()?.runs(query).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.answering()?.claim(claim).await
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        self.answering()?.settle(settle).await
    }

    async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
        self.answering()?.record(record).await
    }

    async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
        self.answering()?.release(at, owner).await
    }

    async fn changed(&self, seen: u64) -> Result<Change, StoreError> {
        self.jobs.changed(seen).await
    }

    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        self.answering()?.turn(turn).await
    }
}
