//! The step of `settle`: one claimed job moves on.

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobState, NodeId, Run, RunState,
    store::{Move, RunChange, SettleOutcome},
};

use super::{Head, Runs, grown, kept, whole_micros};

impl Head {
    /// Applies a move if the claim behind it holds, or says why not; and names the nodes whose running runs it asks to stop.
    pub fn settle(
        &mut self,
        runs: &mut impl Runs,
        to: &Move,
        owner: &NodeId,
        now: DateTime<Utc>,
    ) -> (SettleOutcome, Vec<NodeId>) {
        let mut stopped = Vec::new();
        if self.settled_fence == to.fence && to.fence > 0 {
            return (SettleOutcome::Applied { job: self.fate(runs) }, stopped);
        }
        if self.revision != to.revision {
            return (SettleOutcome::Changed, stopped);
        }
        if self.fence != to.fence || self.claim.as_ref().is_none_or(|claim| claim.owner != *owner) {
            return (SettleOutcome::Taken, stopped);
        }
        if !self.can_take(runs, &to.runs) {
            return (SettleOutcome::Changed, stopped);
        }
        self.settled_fence = to.fence;
        // An update that was decided before this move must not undo it.
        self.fence = grown(self.fence);
        self.claim = None;
        self.next_fire_time = to.next_fire_time.map(|next| {
            let next = whole_micros(next);
            self.next_fire_time.map_or(next, |old| old.max(next))
        });
        if to.state == JobState::Ending && self.state.is_live() {
            self.exhaust(now);
        } else if self.state.is_live() || !to.state.is_live() {
            // Of one that is over, the id may belong to another job by now.
            self.state = kept(&to.state);
        }
        self.due = to.due.map(whole_micros);
        self.blocked = to.blocked;
        for change in &to.runs {
            stopped.extend(self.change_run(runs, change, to, owner, now));
        }
        self.catch_up_after_stale_claim(runs, now);
        self.keep_quarantined_undue();
        self.end_with_last_run(runs, now);
        (SettleOutcome::Applied { job: self.fate(runs) }, stopped)
    }

    /// Whether every change finds its run as the claim has shown it.
    fn can_take(&self, runs: &impl Runs, changes: &[RunChange]) -> bool {
        let mut seq = self.last_seq;
        changes.iter().all(|change| match change {
            RunChange::Insert(run) => {
                seq = grown(seq);
                run.id.seq == seq
            }
            RunChange::Start { seq, .. } | RunChange::End { seq, .. } => {
                runs.run(*seq).is_some_and(|run| matches!(run.state, RunState::Waiting(_)))
            }
            // The run may have ended in the meantime; then there is nothing to stop.
            RunChange::Cancel { .. } => true,
        })
    }

    fn change_run(
        &mut self,
        runs: &mut impl Runs,
        change: &RunChange,
        to: &Move,
        owner: &NodeId,
        now: DateTime<Utc>,
    ) -> Option<NodeId> {
        match change {
            RunChange::Insert(run) => {
                let mut run = run.clone();
                if run.state == RunState::Running {
                    start(&mut run, to.fence, owner, now);
                }
                self.insert_run(runs, run, now);
            }
            RunChange::Start { seq, attempt } => {
                let mut run = runs.run(*seq)?.clone();
                run.attempt = *attempt;
                start(&mut run, to.fence, owner, now);
                runs.put(run);
            }
            RunChange::End { seq, verdict, error } => {
                let run = runs.run(*seq)?.clone();
                self.end_run(runs, run, *verdict, error.clone(), now);
            }
            RunChange::Cancel { seq } => {
                let run = runs.run(*seq)?;
                if run.state == RunState::Running && !run.cancel_requested {
                    let mut run = run.clone();
                    run.cancel_requested = true;
                    let node = run.owner.clone();
                    runs.put(run);
                    return node;
                }
            }
        }
        None
    }

    /// A run ended or was put off after the claim: the freed slot is used at once, a retry is not forgotten.
    fn catch_up_after_stale_claim(&mut self, runs: &impl Runs, now: DateTime<Utc>) {
        if !self.claim_is_stale {
            return;
        }
        if self.blocked {
            self.due = Some(now);
        } else if let Some(first) = runs.open().filter(|run| run.state != RunState::Running).map(|run| run.due).min() {
            self.make_due(first);
        }
    }
}

fn start(run: &mut Run, fence: u64, owner: &NodeId, now: DateTime<Utc>) {
    run.state = RunState::Running;
    run.owner = Some(owner.clone());
    run.fence = fence;
    run.started = Some(now);
}
