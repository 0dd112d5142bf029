//! One node: an engine, what it executes, and its clocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    time::Duration,
};

use scheduler_core::{
    NodeId, Now, Outcome, RunId,
    engine::{CallId, Command, Config, Engine, Input, Mode, OpId},
    store::StoreLimits,
};

use super::{parameters::Parameters, time::utc};

/// A running node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) engine: Engine,
    born: i64,
    /// How far its wall clock is off.
    pub(super) skew: i64,
    /// What it executes, by run.
    pub(super) tasks: BTreeMap<RunId, Vec<Attempt>>,
    /// What has arrived while it was frozen.
    pub(super) inbox: Vec<Arrival>,
    pub(super) frozen_until: Option<i64>,
    /// The calls that it waits for.
    pub(super) open: BTreeSet<OpId>,
    /// The question for changes that a store keeps open.
    pub(super) watching: Option<(OpId, u64)>,
    /// When it was in trouble last: frozen, or a call of it went wrong.
    pub(super) troubled_at: i64,
    /// Whether it has had no trouble but the latest outage of the store for long enough.
    pub(super) is_blameless: bool,
    pub(super) last_call: u64,
    /// Wakes that were asked for before this one do not count.
    pub(super) wake: u64,
}

/// An attempt of a run that a node executes.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) fence: u64,
    pub(super) started: i64,
    /// Whether it was told to stop.
    pub(super) is_told: bool,
}

/// What arrives at a node.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) input: Input,
    /// As if at this time by the monotonic clock, for a mutant.
    pub(super) as_if_at: Option<i64>,
}

impl Node {
    pub(super) fn new(id: String, seed: u64, now: i64, skew: i64, parameters: &Parameters) -> Self {
        let mut config = Config::new(id.as_str(), u128::from(seed));
        config.lease = parameters.lease;
        config.claim_limit = parameters.claim_limit;
        config.run_limit = parameters.run_limit;
        Self {
            id: id.into(),
            engine: Engine::new(config),
            born: now,
            skew,
            tasks: BTreeMap::new(),
            inbox: Vec::new(),
            frozen_until: None,
            open: BTreeSet::new(),
            watching: None,
            troubled_at: now,
            is_blameless: false,
            last_call: 0,
            wake: 0,
        }
    }

    /// What its user does first.
    pub(super) fn opening(&mut self, limits: StoreLimits, slots: Option<NonZeroUsize>) -> Vec<Input> {
        let commands = [
            Command::AddStore("default".into(), limits),
            Command::AddExecutor("default".into(), slots),
            Command::AddTasks(vec!["work".into()]),
            Command::Start(Mode::Running),
        ];
        commands.into_iter().map(|command| self.command(command)).collect()
    }

    pub(super) fn command(&mut self, command: Command) -> Input {
        self.last_call += 1;
        Input::Command(CallId(self.last_call), command)
    }

    pub(super) fn clock(&self, now: i64) -> Now {
        Now { utc: utc(now + self.skew), monotonic: Duration::from_micros((now - self.born) as u64) }
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen_until.is_some()
    }
}

/// What came of a task.
pub(super) fn outcome(kind: i64) -> Outcome {
    match kind {
        0 => Outcome::Error("no paper".into()),
        1 => Outcome::Panicked("ink".into()),
        _ => Outcome::Ok(serde_json::Value::Null),
    }
}
