//! Parts of a scheduler that tests have in their hands.

use std::{
    fmt,
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use async_channel::{Receiver, Sender};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_channel::oneshot;
use scheduler_core::{
    BoxFuture, Dispatch, Executor, JobId, JobRow, JobStore, LimitKey, Listed, NodeId, Now, Outcome, Run, RunContext,
    RunId,
    store::{
        Cancelled, Changed, Claim, Claimed, Durability, Hint, Inserted, JobQuery, KeyLimit, Record, Recorded, Removed,
        RemovedAll, RunQuery, Settle, Settled, Stamped, StoreError, StoreErrorKind, StoreLimits, Turn, TurnReply,
        Update, Updated,
    },
};
use scheduler_executors::Spawn;
use scheduler_runtime::Runtime;
use scheduler_stores::MemoryStore;
use scheduler_testkit::SimulatedRuntime;

/// Runs nothing that is spawned on it before it is told to; keeps it until it is told to drop it.
#[derive(Clone)]
pub(crate) struct StillRuntime {
    clock: SimulatedRuntime,
    spawned: Arc<Mutex<Vec<BoxFuture<'static, ()>>>>,
}

impl StillRuntime {
    pub(crate) fn new(clock: SimulatedRuntime) -> Self {
        Self { clock, spawned: Arc::default() }
    }

    /// Polls all that was spawned, until nothing new comes of it.
    pub(crate) fn poll_all(&self) {
        for _ in 0..100 {
            let mut polled = std::mem::take(&mut *self.spawned.lock().unwrap());
            polled.retain_mut(|future| future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            self.spawned.lock().unwrap().splice(0..0, polled);
        }
    }

    /// Drops all that was spawned but what was spawned first, as a runtime may while it ends.
    pub(crate) fn drop_all_but_the_first(&self) {
        let dropped = self.spawned.lock().unwrap().split_off(1);
        drop(dropped);
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

/// A machine on which each start of a run takes a millisecond of the loop's time: the runtime of [`Toil`].
#[derive(Debug, Clone)]
pub(crate) struct SlowRuntime {
    clock: SimulatedRuntime,
    /// How long starts have taken so far, in milliseconds.
    toil: Arc<AtomicU64>,
}

impl SlowRuntime {
    pub(crate) fn new(clock: SimulatedRuntime) -> Self {
        Self { clock, toil: Arc::default() }
    }

    pub(crate) fn executor(&self) -> Toil {
        Toil(Arc::clone(&self.toil))
    }

    /// How many runs have been started.
    pub(crate) fn starts(&self) -> u64 {
        self.toil.load(Ordering::Relaxed)
    }
}

impl Runtime for SlowRuntime {
    fn now(&self) -> Now {
        self.clock.now().after(Duration::from_millis(self.starts()))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }

    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.clock.spawn(future);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.clock.spawn_blocking(work);
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.clock.block_on(future);
    }
}

/// Starts runs, which takes it a millisecond each.
#[derive(Debug)]
pub(crate) struct Toil(Arc<AtomicU64>);

impl Executor for Toil {
    fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Spawn::new().start(dispatch)
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

/// Shut as long as the sender is there.
type Gate = (Sender<()>, Receiver<()>);

/// A memory store that can be slow, and can be told to fail, to panic, or to keep its answers for itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultyStore {
    jobs: MemoryStore,
    is_away: Arc<AtomicBool>,
    is_broken: Arc<AtomicBool>,
    /// Open while answers are held back.
    gate: Arc<Mutex<Option<Gate>>>,
    limits: Option<StoreLimits>,
    delay: Option<(SimulatedRuntime, Duration)>,
    /// Whether it tells of changes without the times at which they make jobs due.
    is_without_times: bool,
    /// Dropped with the last clone.
    _held: Option<Arc<dyn fmt::Debug + Send + Sync>>,
}

impl FaultyStore {
    pub(crate) fn over(jobs: MemoryStore) -> Self {
        Self { jobs, ..Self::default() }
    }

    pub(crate) fn holding(held: impl fmt::Debug + Send + Sync + 'static) -> Self {
        Self { _held: Some(Arc::new(held)), ..Self::default() }
    }

    pub(crate) fn with_limits(self, change: impl FnOnce(StoreLimits) -> StoreLimits) -> Self {
        Self { limits: Some(change(self.jobs.limits())), ..self }
    }

    /// One that tells of changes as SQLite does: without the times at which they make jobs due.
    pub(crate) fn without_times(self) -> Self {
        let store = self.with_limits(|limits| limits.with_durability(Durability::Durable));
        Self { is_without_times: true, ..store }
    }

    /// One that takes so long for each answer.
    pub(crate) fn slow(clock: SimulatedRuntime, delay: Duration) -> Self {
        Self { delay: Some((clock, delay)), ..Self::default() }
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

    /// Does what it is asked for in its turns, and does not answer.
    pub(crate) fn hold_back(&self) {
        *self.gate.lock().unwrap() = Some(async_channel::bounded(1));
    }

    pub(crate) fn let_go(&self) {
        self.gate.lock().unwrap().take();
    }

    async fn free_to_answer(&self) {
        let gate = self.gate.lock().unwrap().as_ref().map(|(_, gate)| gate.clone());
        if let Some(gate) = gate {
            // It ends when the other end is dropped.
            gate.recv().await.unwrap_err();
        }
    }

    /// How many of it there are, clones that schedulers hold included.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.is_away)
    }

    async fn answering(&self) -> Result<&MemoryStore, StoreError> {
        if let Some((clock, delay)) = &self.delay {
            clock.sleep(*delay).await;
        }
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
        self.answering().await?.insert(at, jobs).await
    }

    async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
        self.answering().await?.update(at, update).await
    }

    async fn cancel(&self, at: DateTime<Utc>, job: &JobId, run: RunId) -> Result<Stamped<Cancelled>, StoreError> {
        self.answering().await?.cancel(at, job, run).await
    }

    async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
        self.answering().await?.remove(at, ids).await
    }

    async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
        self.answering().await?.remove_all(at).await
    }

    async fn set_key_limit(
        &self,
        at: DateTime<Utc>,
        key: &LimitKey,
        limit: Option<NonZeroU32>,
    ) -> Result<(), StoreError> {
        self.answering().await?.set_key_limit(at, key, limit).await
    }

    async fn key_limits(&self, key: Option<&LimitKey>) -> Result<Vec<KeyLimit>, StoreError> {
        self.answering().await?.key_limits(key).await
    }

    async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
        self.answering().await?.job(id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
        self.answering().await?.jobs(query).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        self.answering().await?.runs(query).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.answering().await?.claim(claim).await
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        self.answering().await?.settle(settle).await
    }

    async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
        self.answering().await?.record(record).await
    }

    async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
        self.answering().await?.release(at, owner).await
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        let change = self.jobs.changed(seen).await?;
        match change.hint {
            Some(Hint::Due(_)) if self.is_without_times => Ok(Changed { hint: Some(Hint::Resync), ..change }),
            _ => Ok(change),
        }
    }

    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        let reply = self.answering().await?.turn(turn).await;
        self.free_to_answer().await;
        reply
    }
}
