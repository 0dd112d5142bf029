//! What a settle moves on, job by job.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use scheduler_core::{
    NodeId, Uid,
    store::{Fate, Move, Settle, SettleOutcome, Settled},
};

use super::job::LoadedJob;

/// The moves of a settle, and what became of them.
#[derive(Debug)]
pub(super) struct Moves<'a> {
    moves: HashMap<Uid, &'a Move>,
    owner: &'a NodeId,
    now: DateTime<Utc>,
    applied: HashMap<Uid, Applied>,
}

/// What became of the move of one job.
#[derive(Debug)]
struct Applied {
    outcome: SettleOutcome,
    /// When a job that stays is due next.
    due: Option<DateTime<Utc>>,
    /// The nodes whose running runs the move asks to stop.
    stopped: Vec<NodeId>,
}

impl<'a> Moves<'a> {
    pub(super) fn new(settle: Option<&'a Settle>, owner: &'a NodeId, now: DateTime<Utc>) -> Self {
        let moves = settle.into_iter().flat_map(|settle| &settle.moves).map(|to| (to.uid, to)).collect();
        Self { moves, owner, now, applied: HashMap::new() }
    }

    /// Moves a job on, which may be gone. What it does last for a job holds.
    pub(super) fn apply(&mut self, uid: Uid, job: Option<&mut LoadedJob>) {
        let Some(to) = self.moves.get(&uid) else { return };
        let mut applied = Applied { outcome: SettleOutcome::Gone, due: None, stopped: Vec::new() };
        if let Some(job) = job.filter(|job| !job.is_deleted()) {
            let (outcome, stopped) = job.apply(|head, runs| head.settle(runs, to, self.owner, self.now));
            if let SettleOutcome::Applied { job: fate } = outcome {
                job.set_fate(fate);
                applied.due = job.head().due.filter(|_| fate != Fate::Deleted);
            }
            (applied.outcome, applied.stopped) = (outcome, stopped);
        }
        self.applied.insert(uid, applied);
    }

    /// The nodes that have been asked to stop a run.
    pub(super) fn stopped(&self) -> BTreeSet<NodeId> {
        self.applied.values().flat_map(|applied| applied.stopped.iter().cloned()).collect()
    }

    /// The reply.
    pub(super) fn settled(self, settle: &Settle) -> Settled {
        let outcome = |to: &Move| self.applied.get(&to.uid).map_or(SettleOutcome::Gone, |applied| applied.outcome);
        let next_due = self.applied.values().filter_map(|applied| applied.due).min();
        Settled::new(self.now, settle.moves.iter().map(outcome).collect(), next_due)
    }
}
