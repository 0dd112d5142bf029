//! The engine: the scheduler as a state machine without input and output.
//!
//! ```text
//!                 handle(now, Input)                      poll_effect() -> Effect
//!  application ── Command(call, ..) ──►┌──────────┐── Reply(call, ..) ──────► application
//!  store ──────── Stored(op, ..) ─────►│  Engine  │── Store(op, store, ..) ─► store
//!  executor ───── Finished(run, ..) ──►│          │── Start(..), Cancel(..) ► executor
//!  timer ──────── Wake ───────────────►└──────────┘── Notify(event) ────────► listeners
//!                                            next_wake() ───────────────────► timer
//! ```
//!
//! Nothing happens inside it: time is an argument, what is wanted of the world is an effect, and what comes of it is a
//! later input, in any order and as late as it may be. Inputs may follow each other without effects being polled.
//!
//! One file a conversation: `command` with the application, `firing` from due to started, with `planning` for where a
//! job goes and `slots` for what has to wait for its executor, `timeout` for what takes too long, `recording` to ended
//! or to the next attempt, `lease` about who holds what, `outage` with a store that fails, `shutdown`. A firing is two
//! store hops, `claim` and `settle`, and what it leads to is told and done only when the store has confirmed it.

mod by_id;
mod command;
mod effect;
mod firing;
mod input;
mod lease;
mod outage;
mod planning;
mod recording;
mod refs;
mod shutdown;
mod slots;
mod store_state;
#[cfg(test)]
pub(crate) mod tests;
mod timeout;

pub use command::{Health, Lease, StoreHealth, StoreLink};
pub use effect::{Effect, Reply, SchedulerState, Search, SearchReply, Start, StoreCall, StoreReply, Wake, WakeReason};
pub use input::{CallId, Command, ExportedJob, Input, JobEdit, Mode, OpId, ShutdownMode};

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use self::{
    command::{Adding, PendingCall, answer},
    shutdown::Ending,
    slots::Slots,
    store_state::{ConflictRetries, StoreState, step, third_of},
};
use crate::{
    Event, EventKind, ExecutorName, NodeId, Now, PartialOptions, StoreName, TaskName, WhoseClock,
    store::{NodeInfo, StoreError, Turn, TurnReply},
};

/// The shortest lease: below it, an ordinary hiccup of a machine or a network would cost a node its runs.
pub const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// The longest lease: with a longer one, what a dead node left would as good as never be taken over.
pub const LONGEST_LEASE: Duration = Duration::from_secs(365 * 86_400);

/// What an engine is made with.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The node's id, new at each start of the process.
    pub node: NodeId,
    /// What the node says of itself in its stores. Defaults to nothing.
    pub info: Arc<NodeInfo>,
    /// Random bits, from which the uids of new jobs are drawn.
    pub seed: u128,
    /// How long the node's runs are left alone without a sign of life. Defaults to 15 s; from
    /// [`SHORTEST_LEASE`] to [`LONGEST_LEASE`], and the nearer of them if it is neither.
    pub lease: Duration,
    /// What new jobs get where their description says nothing.
    pub job_defaults: PartialOptions,
    /// The zone of triggers that name none. Defaults to UTC.
    pub timezone: Tz,
    /// Within how long wake-ups are merged once they come thick; a lone one is precise. Defaults to 1 ms.
    pub accuracy: Duration,
    /// The most jobs taken by one claim. Defaults to 1,000: one round trip for many, yet no long transaction.
    pub claim_limit: usize,
    /// The most runs that this node holds at once, those included that wait for their executor; it takes no more jobs
    /// beyond that. Defaults to 100,000.
    pub run_limit: usize,
}

impl Config {
    /// The defaults, for a node.
    pub fn new(node: impl Into<NodeId>, seed: u128) -> Self {
        Self {
            node: node.into(),
            info: Arc::default(),
            seed,
            lease: Duration::from_secs(15),
            job_defaults: PartialOptions::default(),
            timezone: Tz::UTC,
            accuracy: Duration::from_millis(1),
            claim_limit: 1_000,
            run_limit: 100_000,
        }
    }

    /// How long signs of life are apart.
    fn third_of_lease(&self) -> Duration {
        third_of(self.lease)
    }
}

/// The scheduler as a state machine.
///
/// Equal engines, given equal inputs, have equal effects.
///
/// ```
/// use std::time::Duration;
/// use chrono::{DateTime, Utc};
/// use scheduler_core::{Now, engine::{CallId, Command, Config, Effect, Engine, Input, Reply, SchedulerState}};
///
/// let mut engine = Engine::new(Config::new("node-1", 7));
/// let now = Now { utc: DateTime::<Utc>::UNIX_EPOCH, monotonic: Duration::ZERO };
/// engine.handle(now, Input::Command(CallId(1), Command::State));
/// assert_eq!(engine.poll_effect(), Some(Effect::Reply(CallId(1), Ok(Reply::State(SchedulerState::Stopped)))));
/// assert_eq!(engine.poll_effect(), None);
/// assert_eq!(engine.next_wake(now), None);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    config: Config,
    state: SchedulerState,
    ending: Option<Ending>,
    stores: Vec<StoreState>,
    executors: BTreeMap<ExecutorName, Slots>,
    tasks: Arc<BTreeSet<TaskName>>,
    in_flight: BTreeMap<OpId, InFlight>,
    adding: BTreeMap<CallId, Adding>,
    effects: VecDeque<Effect>,
    last_op: u64,
    last_event: u64,
    last_uid: u64,
    last_claim: u64,
    last_request: Option<DateTime<Utc>>,
    last_arrival: u64,
    /// What the clocks said at the last input.
    last_now: Option<Now>,
}

/// What an answer of a store is for.
#[derive(Debug, Clone, PartialEq)]
enum InFlight {
    Call(PendingCall),
    Turn { store: StoreName, turn: Arc<Turn>, sent: Duration, sending: Sending },
    Changed(StoreName),
    Release(StoreName),
}

/// Whether a turn has failed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    First,
    Again,
}

impl Engine {
    /// An engine without stores, executors and tasks, in state [`SchedulerState::Stopped`].
    pub fn new(config: Config) -> Self {
        Self {
            config: Config { lease: config.lease.clamp(SHORTEST_LEASE, LONGEST_LEASE), ..config },
            state: SchedulerState::Stopped,
            ending: None,
            stores: Vec::new(),
            executors: BTreeMap::new(),
            tasks: Arc::default(),
            in_flight: BTreeMap::new(),
            adding: BTreeMap::new(),
            effects: VecDeque::new(),
            last_op: 0,
            last_event: 0,
            last_uid: 0,
            last_claim: 0,
            last_request: None,
            last_arrival: 0,
            last_now: None,
        }
    }

    /// Tells the engine something. What it wants done because of it is given by [`poll_effect`](Self::poll_effect).
    pub fn handle(&mut self, now: Now, input: Input) {
        self.note_clock(now);
        if !matches!(input, Input::Stored(..)) {
            self.stores.iter_mut().for_each(|state| state.claims.alarm.waits_its_turn = false);
        }
        match input {
            Input::Command(call, command) => self.on_command(now, call, command),
            Input::Stored(op, result) => self.on_stored(now, op, result),
            Input::Finished(run, outcome) => self.on_finished(now, run, outcome),
            Input::Wake => {}
        }
        self.advance(now);
    }

    /// The next thing that is to be done, until there is none.
    #[must_use = "an effect that is not performed is a job that does not run"]
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When the engine wants to be woken at the latest. Being woken earlier does no harm.
    pub fn next_wake(&self, now: Now) -> Option<Wake> {
        let of_stores = self.stores.iter().filter_map(|state| self.next_wake_of(state, now));
        let of_removals = self.stores.iter().filter_map(|state| state.removal.next_wake(now));
        let of_ending = self.ending.as_ref().and_then(|ending| ending.next_wake(now));
        of_stores.chain(of_removals).chain(of_ending).min_by_key(|wake| (wake.after, wake.reason))
    }

    /// Whether the engine has shut down: nothing will follow.
    pub fn is_ended(&self) -> bool {
        matches!(self.ending, Some(Ending::Over))
    }

    /// The engine's last event, for a driver whose loop ends by a panic: this one's, or the engine's own, which must not be
    /// asked for anything else then.
    pub fn on_panic(&mut self, now: Now, error: String) -> Event {
        self.last_event = self.last_event.saturating_add(1);
        Event { seq: self.last_event, at: now.utc, kind: EventKind::SchedulerFailed { error } }
    }

    /// What the scheduler is doing.
    pub fn state(&self) -> SchedulerState {
        self.state
    }

    /// The node's id.
    pub fn node(&self) -> &NodeId {
        &self.config.node
    }

    fn on_stored(&mut self, now: Now, op: OpId, result: Result<StoreReply, StoreError>) {
        match self.in_flight.remove(&op) {
            Some(InFlight::Call(pending)) => {
                if let Some(retries) = self.conflict_retries(&pending) {
                    // A store that was added anew knows nothing of it.
                    retries.count = retries.count.saturating_sub(1);
                }
                self.on_answer(now, pending, result);
            }
            Some(InFlight::Turn { store, turn, sent, sending }) => {
                let result = answer::<Box<TurnReply>>(result);
                self.note_outstanding(&store, &turn, sending, result.as_ref().err());
                match result {
                    Ok(reply) => self.on_turn(now, &store, &turn, sent, *reply),
                    Err(error) => self.on_turn_failed(now, &store, &turn, sent, error),
                }
            }
            Some(InFlight::Changed(store)) => self.on_changes(now, &store, answer(result)),
            Some(InFlight::Release(store)) => self.on_released(now, &store, answer(result)),
            None => {}
        }
    }

    /// Tells if the wall clock has been set since the last input: the monotonic one has not.
    fn note_clock(&mut self, now: Now) {
        if let Some(last) = self.last_now.replace(now) {
            let passed = now.monotonic.saturating_sub(last.monotonic);
            if let Some(by) = step(now.utc.signed_duration_since(last.after(passed).utc), passed) {
                self.notify(now, EventKind::ClockStepped { clock: WhoseClock::Node, by });
            }
        }
    }

    fn notify_clock_steps(&mut self, now: Now) {
        for index in 0..self.stores.len() {
            let state = &mut self.stores[index];
            if let Some(by) = state.clock.take_step() {
                let clock = WhoseClock::Store(state.name.clone());
                self.notify(now, EventKind::ClockStepped { clock, by });
            }
        }
    }

    /// Sends what can be sent.
    fn advance(&mut self, now: Now) {
        self.notify_clock_steps(now);
        self.expire(now);
        self.lose_patience(now);
        self.start_waiting(now);
        for index in 0..self.stores.len() {
            self.stores[index].claims.note_conflict_retries(now);
            if self.stores[index].is_usable(now) {
                self.repeat_failed(index);
                self.ask_for_changes(now, index);
                self.claim_if_due(now, index);
                self.record_if_needed(now, index);
            }
        }
        self.drain(now);
    }

    fn next_wake_of(&self, state: &StoreState, now: Now) -> Option<Wake> {
        let is_started = !matches!(self.state, SchedulerState::Stopped | SchedulerState::ShutDown);
        let is_claiming = self.state == SchedulerState::Running && self.active_count() < self.config.run_limit;
        state.next_wake(now, is_claiming.then_some(self.config.lease), is_started)
    }

    fn active_count(&self) -> usize {
        self.stores.iter().map(|state| state.runs.active.len()).sum()
    }

    fn store_state(&mut self, store: &StoreName) -> Option<&mut StoreState> {
        self.stores.iter_mut().find(|state| state.name == *store)
    }

    /// Where a call is counted that is tried again, since the job had changed.
    fn conflict_retries(&mut self, pending: &PendingCall) -> Option<&mut ConflictRetries> {
        let state = self.store_state(pending.store()).filter(|_| pending.is_retry());
        state.map(|state| &mut state.claims.conflict_retries)
    }

    fn call_store(&mut self, store: StoreName, call: StoreCall, in_flight: InFlight) {
        self.last_op = self.last_op.saturating_add(1);
        let op = OpId(self.last_op);
        if let InFlight::Call(pending) = &in_flight
            && let Some(retries) = self.conflict_retries(pending)
        {
            retries.count = retries.count.saturating_add(1);
        }
        self.in_flight.insert(op, in_flight);
        self.effects.push_back(Effect::Store(op, store, call));
    }

    fn send_turn(&mut self, sent: Duration, store: StoreName, turn: Arc<Turn>) {
        self.send(sent, store, turn, Sending::First);
    }

    fn send(&mut self, sent: Duration, store: StoreName, turn: Arc<Turn>, sending: Sending) {
        let call = StoreCall::Turn(Arc::clone(&turn));
        self.call_store(store.clone(), call, InFlight::Turn { store, turn, sent, sending });
    }

    fn notify(&mut self, now: Now, kind: EventKind) {
        self.last_event = self.last_event.saturating_add(1);
        self.effects.push_back(Effect::Notify(Event { seq: self.last_event, at: now.utc, kind }));
    }
}
