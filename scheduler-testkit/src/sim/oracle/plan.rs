//! What a node decides about fire times, held against what it can know.

use scheduler_core::{
    NodeId, Overlap, Run, RunState, Verdict,
    engine::StoreCall,
    store::{ClaimedJob, Move, RunChange},
};

use super::{Broken, Oracle, expect};

/// What a claim has shown of a job.
#[derive(Debug)]
pub(super) struct Shown {
    running: Vec<Run>,
    /// How many more are running that it did not show.
    unlisted: usize,
    /// Whether it has left out runs that wait, which come before a new one.
    has_more_waiting: bool,
    /// How many may run at once; none if any number.
    slots: Option<usize>,
}

impl Oracle {
    /// A claim shows a job to the node that sent it.
    pub(super) fn shows(&mut self, claimed: &ClaimedJob) {
        let options = &claimed.job.body.options;
        let shown = Shown {
            running: claimed.running.clone(),
            unlisted: claimed.running_count - claimed.running.len(),
            has_more_waiting: claimed.waiting_count > claimed.waiting.len(),
            slots: (options.overlap != Overlap::Allow).then_some(options.max_instances.get() as usize),
        };
        self.shown.insert((claimed.job.uid, claimed.job.fence), shown);
    }

    /// A node sends a call: what it skips, it skips because of runs that it must take for running ones.
    pub(in crate::sim) fn plans(&mut self, node: &NodeId, call: &StoreCall) -> Result<(), Broken> {
        let StoreCall::Turn(turn) = call else {
            return Ok(());
        };
        for to in turn.settle.iter().flat_map(|settle| &settle.moves) {
            let Some(shown) = self.shown.remove(&(to.uid, to.fence)) else {
                continue;
            };
            let Some(slots) = shown.slots.filter(|_| skips(to) && !shown.has_more_waiting) else {
                continue;
            };
            let going_on = shown.running.iter().filter(|run| !self.has_ended_on(node, run)).count();
            let running = going_on + shown.unlisted + to.runs.iter().filter(|change| starts(change)).count();
            expect(running >= slots, || {
                format!("{node} skips a fire time though {running} of {slots} runs of job {} go on: {to:?}", to.uid)
            })?;
        }
        Ok(())
    }

    /// Whether a run that the store has as running was executed by this node, which knows that it has ended.
    fn has_ended_on(&self, node: &NodeId, run: &Run) -> bool {
        let is_executing =
            |fence| self.executing.iter().any(|it| (&it.node, it.run, it.fence) == (node, run.id, fence));
        run.owner.as_ref() == Some(node) && self.started.contains(&(run.id, run.fence)) && !is_executing(run.fence)
    }
}

fn skips(to: &Move) -> bool {
    to.runs.iter().any(|change| match change {
        RunChange::Insert(run) => run.state == RunState::Ended(Verdict::Skipped),
        RunChange::End { verdict, .. } => *verdict == Verdict::Skipped,
        RunChange::Start { .. } | RunChange::Cancel { .. } => false,
    })
}

fn starts(change: &RunChange) -> bool {
    match change {
        RunChange::Insert(run) => run.state == RunState::Running,
        RunChange::Start { .. } => true,
        RunChange::End { .. } | RunChange::Cancel { .. } => false,
    }
}
