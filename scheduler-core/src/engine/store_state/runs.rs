//! The runs that a node holds in a store: those that run, those that wait for their executors, and those that have ended and
//! are not recorded.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    active_run::{ActiveRun, Stop},
    queues::Queues,
};
use crate::{
    ExecutorName, Now, Outcome, RunId, RunRef, Uid, Verdict,
    engine::{
        by_id::ById,
        effect::{Wake, WakeReason},
    },
    store::{Entry, RunReport},
};

/// The runs that this node holds in a store. What becomes of one that goes is a report, which is the caller's to keep.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::engine) struct Runs {
    /// The runs, until their ends are recorded.
    pub(in crate::engine) active: ById<RunId, Box<ActiveRun>>,
    /// Which of them have not started, since their executors have no room.
    pub(in crate::engine) queues: Queues,
    /// When those that run and may not for ever have to stop.
    pub(in crate::engine) deadlines: BTreeSet<(Duration, RunId)>,
    /// Until when the node's lease holds for certain, without a break since it began.
    covered_until: Duration,
}

impl Runs {
    /// The runs that are running, in order.
    pub(in crate::engine) fn running(&self) -> Vec<RunId> {
        self.in_order(ActiveRun::is_running)
    }

    /// How many runs are running.
    pub(in crate::engine) fn running_count(&self) -> usize {
        self.active.values().filter(|run| run.is_running()).count()
    }

    /// Those of the runs that are such, in order.
    pub(in crate::engine) fn in_order(&self, is_such: impl Fn(&ActiveRun) -> bool) -> Vec<RunId> {
        let mut such: Vec<RunId> = self.active.iter().filter(|(_, run)| is_such(run)).map(|(id, _)| *id).collect();
        such.sort_unstable();
        such
    }

    /// An attempt begins; its time is counted from now.
    pub(in crate::engine) fn begin(&mut self, now: Now, id: RunId) -> Option<RunRef> {
        let run = self.active.get_mut(&id)?;
        run.waiting = None;
        run.started = now.monotonic;
        run.deadline = run.timeout.and_then(|timeout| now.monotonic.checked_add(timeout));
        self.deadlines.extend(run.deadline.map(|deadline| (deadline, id)));
        Some(run.run.clone())
    }

    /// The next run whose deadline has passed, which is thereby met.
    pub(in crate::engine) fn next_expired(&mut self, now: Now) -> Option<RunId> {
        let (deadline, _) = self.deadlines.first()?;
        if *deadline > now.monotonic {
            return None;
        }
        self.deadlines.pop_first().map(|(_, run)| run)
    }

    /// Notes how a run has ended.
    pub(in crate::engine) fn end(
        &mut self,
        now: Now,
        id: RunId,
        outcome: Outcome,
        store_now: DateTime<Utc>,
    ) -> Option<Entry> {
        let run = self.active.get_mut(&id).filter(|run| run.is_running())?;
        if let Some(deadline) = run.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        let report = run.end(now, outcome, store_now);
        Some(run.entry(report))
    }

    /// Whether the node's lease may have passed.
    pub(in crate::engine) fn is_uncovered(&self, now: Now) -> bool {
        self.covered_until <= now.monotonic
    }

    /// Notes that the store has renewed the node's lease, not before `sent`. If the lease may have passed before that,
    /// others may have what waits here, which is given back.
    pub(in crate::engine) fn cover(&mut self, now: Now, sent: Duration, lease: Duration) -> Vec<Entry> {
        let given_back = if self.is_uncovered(now) { self.give_back_waiting() } else { Vec::new() };
        self.covered_until = self.covered_until.max(sent.saturating_add(lease));
        given_back
    }

    /// Withdraws a run that waits, so that it never starts.
    pub(in crate::engine) fn withdraw(&mut self, id: RunId, why: Stop) -> Option<Entry> {
        match why {
            Stop::Asked => self.cancel_waiting(id),
            Stop::No | Stop::TimedOut | Stop::Lost | Stop::ShutDown => self.give_back(id),
        }
    }

    fn cancel_waiting(&mut self, id: RunId) -> Option<Entry> {
        let run = self.active.get_mut(&id)?;
        if let Some(key) = run.waiting.take() {
            self.queues.remove(key);
        }
        run.ended = Some((Outcome::Cancelled, Duration::ZERO));
        let report =
            RunReport::End { verdict: Verdict::Cancelled, error: None, duration: Duration::ZERO, output: None };
        Some(run.entry(report))
    }

    /// Cancels the runs of a job, or of all, that have not started.
    pub(in crate::engine) fn cancel_waiting_of(&mut self, job: Option<Uid>) -> Vec<Entry> {
        let of_job: Vec<RunId> = self.queues.runs().filter(|run| job.is_none_or(|uid| run.uid == uid)).collect();
        of_job.into_iter().filter_map(|run| self.cancel_waiting(run)).collect()
    }

    /// Leaves a run that has not started to whichever node takes it.
    pub(in crate::engine) fn give_back(&mut self, id: RunId) -> Option<Entry> {
        let run = self.active.remove(&id)?;
        if let Some(key) = run.waiting {
            self.queues.remove(key);
        }
        Some(run.entry(RunReport::Release))
    }

    /// Leaves all runs that have not started to other nodes.
    pub(in crate::engine) fn give_back_waiting(&mut self) -> Vec<Entry> {
        let waiting: Vec<RunId> = self.queues.runs().collect();
        waiting.into_iter().filter_map(|run| self.give_back(run)).collect()
    }

    /// Gives back what waits for an executor that is not there any more.
    pub(in crate::engine) fn give_back_waiting_for(&mut self, executor: &ExecutorName) -> Vec<Entry> {
        let waiting: Vec<RunId> = self.queues.runs_for(executor).collect();
        waiting.into_iter().filter_map(|run| self.give_back(run)).collect()
    }

    /// When the next run has to stop, which it has to in time whatever its store does.
    pub(in crate::engine) fn next_wake(&self, now: Now) -> Option<Wake> {
        let (deadline, _) = self.deadlines.first()?;
        Some(Wake { after: deadline.saturating_sub(now.monotonic), reason: WakeReason::Timeout })
    }
}
