//! What a settle moves on, job by job.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use scheduler_core::{
    NodeId, Uid,
    store::{Fate, Move, Settle, SettleOutcome, Settled},
};

use super::{job::LoadedJob, places::Taken};

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
    pub(super) fn apply(&mut self, uid: Uid, job: Option<&mut LoadedJob>, places: &Taken) {
        let Some(to) = self.moves.get(&uid) else { return };
        let mut applied = Applied { outcome: SettleOutcome::Gone, due: None, stopped: Vec::new() };
        let refused = places.refused(uid);
        let can_move = |job: &&mut LoadedJob| !job.is_deleted() && job.head().can_move(to, self.owner);
        if let (Some((waits, since)), true) = (refused, job.as_ref().is_some_and(can_move)) {
            if let Some(job) = job {
                job.apply(|head, _| head.wait_for_place(since, self.now));
                applied.due = job.head().due;
            }
            applied.outcome = SettleOutcome::Waits(waits);
        } else if let Some(job) = job.filter(|job| !job.is_deleted()) {
            let (outcome, stopped) = job.apply(|head, runs| head.settle(runs, to, self.owner, self.now));
            if let SettleOutcome::Applied { job: fate } = outcome {
                job.set_fate(fate);
                applied.due = job.head().due.filter(|_| fate != Fate::Deleted);
            }
            (applied.outcome, applied.stopped) = (outcome, stopped);
        }
        self.applied.insert(uid, applied);
    }

    /// The move of a job, if it has not been applied.
    pub(super) fn not_applied(&self, uid: Uid) -> Option<&'a Move> {
        let is_applied = |applied: &Applied| matches!(applied.outcome, SettleOutcome::Applied { .. });
        self.moves.get(&uid).copied().filter(|_| !self.applied.get(&uid).is_some_and(is_applied))
    }

    /// The nodes that have been asked to stop a run.
    pub(super) fn stopped(&self) -> BTreeSet<NodeId> {
        self.applied.values().flat_map(|applied| applied.stopped.iter().cloned()).collect()
    }

    /// The reply. `woken` is when other jobs are due that have waited for a place.
    pub(super) fn settled(self, settle: &Settle, woken: Option<DateTime<Utc>>) -> Settled {
        let outcome = |to: &Move| self.applied.get(&to.uid).map_or(SettleOutcome::Gone, |applied| applied.outcome);
        let next_due = self.applied.values().filter_map(|applied| applied.due).chain(woken).min();
        Settled::new(self.now, settle.moves.iter().map(outcome).collect(), next_due)
    }
}
