//! Health and readiness as values.

use std::{
    pin::pin,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{Either, select};
use scheduler_core::{
    ErrorKind, NodeId, Now,
    engine::{self, Command, SchedulerState, StoreHealth, StoreLink},
};
use serde::{Serialize, Serializer};

use crate::Scheduler;

/// How long the loop has for its answer: half of what Kubernetes gives a probe by default.
const PATIENCE: Duration = Duration::from_millis(500);

/// How a scheduler is, for probes and people. Given by [`Scheduler::health`].
///
/// Two questions have an answer that a machine can act on:
///
/// - [`is_live`](Self::is_live), for a *liveness* probe: does the loop answer? If it does not for several probes in a row,
///   something blocks it for good, and a restart is the remedy. A store that is away does not make a scheduler dead: a
///   restart would not bring the store back.
/// - [`is_ready`](Self::is_ready), for a *readiness* probe: has the scheduler been started, and is every store in reach?
///
/// ```
/// use scheduler_runtime::Scheduler;
/// use scheduler_tokio::TokioRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let rt = tokio::runtime::Builder::new_current_thread().build()?;
/// # rt.block_on(async {
/// /// Status and body of `GET /healthz`; `/readyz` asks `is_ready` instead.
/// async fn healthz(scheduler: &Scheduler) -> (u16, String) {
///     let health = scheduler.health().await;
///     let status = if health.is_live() { 200 } else { 503 };
///     (status, serde_json::to_string(&health).unwrap_or_default())
/// }
///
/// let scheduler = Scheduler::builder(TokioRuntime::current()).build()?;
/// let (status, body) = healthz(&scheduler).await;
/// assert_eq!(status, 200);
/// assert!(body.starts_with(r#"{"event_loop":"answers","#));
/// assert!(!scheduler.health().await.is_ready()); // Not started.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether the loop answers.
    pub event_loop: LoopState,
    /// How long before the question the loop had last finished what it had to do; in seconds when serialised. Of a loop
    /// that is stuck it says for how long; one that answers had nothing to do meanwhile.
    #[serde(serialize_with = "as_seconds")]
    pub quiet_for: Duration,
    /// What the scheduler is doing; none if the loop does not answer.
    pub state: Option<SchedulerState>,
    /// The node's id; none if the loop does not answer.
    pub node: Option<NodeId>,
    /// The stores, in the order in which they were added; none if the loop does not answer.
    pub stores: Vec<StoreHealth>,
    /// What the loop panicked with, if that was its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Whether the loop of a scheduler answers.
///
/// ```
/// use scheduler_runtime::{LoopState, Scheduler};
///
/// async fn why_not_live(scheduler: &Scheduler) -> Option<&'static str> {
///     match scheduler.health().await.event_loop {
///         LoopState::Answers | LoopState::Ended => None,
///         LoopState::Stuck => Some("a listener or an inline task blocks the scheduler"),
///         _ => Some("the scheduler has gone without a shutdown"),
///     }
/// }
/// # let _ = why_not_live;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LoopState {
    /// The loop answers.
    Answers,
    /// The loop has not answered within half a second: a listener or an inline task blocks it, the machine is overloaded, or
    /// nobody runs it.
    Stuck,
    /// The loop has ended, since the scheduler was shut down.
    Ended,
    /// The loop has gone without a shutdown: its runtime has ended, or it has panicked, which [`Health::failure`] says.
    Gone,
}

impl Health {
    /// Whether the scheduler's loop answers, or has ended as it was told to. If not, a restart of the process is the
    /// remedy.
    pub fn is_live(&self) -> bool {
        matches!(self.event_loop, LoopState::Answers | LoopState::Ended)
    }

    /// Whether the scheduler has been started, has not been shut down, and has every store in reach. Paused counts as
    /// started, and a store that a paused scheduler has had no reason to ask counts as in reach.
    pub fn is_ready(&self) -> bool {
        let is_paused = self.state == Some(SchedulerState::Paused);
        let is_started = is_paused || self.state == Some(SchedulerState::Running);
        let is_in_reach = |store: &StoreHealth| match store.link {
            StoreLink::Up => true,
            StoreLink::Untried => is_paused,
            _ => false,
        };
        self.event_loop == LoopState::Answers && is_started && self.stores.iter().all(is_in_reach)
    }

    fn without_answer(event_loop: LoopState, quiet_for: Duration) -> Self {
        let state = (event_loop == LoopState::Ended).then_some(SchedulerState::ShutDown);
        Self { event_loop, quiet_for, state, node: None, stores: Vec::new(), failure: None }
    }
}

impl Scheduler {
    /// How the scheduler is: whether its loop answers, what it does, whether its stores are in reach. Never an error, and
    /// never later than half a second: a loop that is stuck is what this is to find out.
    ///
    /// It costs one round of the loop, and no call of a store. See [`Health`] for probes.
    pub async fn health(&self) -> Health {
        let quiet_for = self.heartbeat().quiet_for(self.runtime().now());
        let answer = pin!(self.call::<engine::Health>(Command::Health));
        let event_loop = match select(answer, self.runtime().sleep(PATIENCE)).await {
            Either::Left((Ok(engine::Health { node, state, stores, .. }), _)) => {
                let event_loop = LoopState::Answers;
                return Health { event_loop, quiet_for, state: Some(state), node: Some(node), stores, failure: None };
            }
            Either::Left((Err(error), _)) if error.kind() == ErrorKind::ShutDown && self.heartbeat().has_ended() => {
                LoopState::Ended
            }
            Either::Left((Err(error), _)) if matches!(error.kind(), ErrorKind::ShutDown | ErrorKind::Panicked) => {
                LoopState::Gone
            }
            Either::Left(_) | Either::Right(_) => LoopState::Stuck,
        };
        let failure = self.heartbeat().failure().map(str::to_owned);
        Health { failure, ..Health::without_answer(event_loop, quiet_for) }
    }
}

/// What the loop shows of itself without being asked.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    /// When it last had nothing left to do, in microseconds of the monotonic clock.
    idle_at: AtomicU64,
    has_ended: AtomicBool,
    /// What it panicked with.
    failure: OnceLock<String>,
}

impl Heartbeat {
    pub(crate) fn new(now: Now) -> Self {
        let heartbeat = Self::default();
        heartbeat.beat(now);
        heartbeat
    }

    /// The loop has done what there was to do.
    pub(crate) fn beat(&self, now: Now) {
        self.idle_at.store(micros(now), Ordering::Relaxed);
    }

    /// The loop has ended as it was told to.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    /// The loop has ended by a panic.
    pub(crate) fn fail(&self, panic: &str) {
        // Only the loop says so, and once.
        drop(self.failure.set(panic.to_owned()));
    }

    /// What the loop panicked with, if it has.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    fn quiet_for(&self, now: Now) -> Duration {
        Duration::from_micros(micros(now).saturating_sub(self.idle_at.load(Ordering::Relaxed)))
    }
}

fn micros(now: Now) -> u64 {
    u64::try_from(now.monotonic.as_micros()).unwrap_or(u64::MAX)
}

fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
