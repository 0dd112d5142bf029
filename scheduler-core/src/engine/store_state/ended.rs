//! Runs that have ended here, of which the store did not know when it answered: their slots are free however long their reports
//! take.

use std::time::Duration;

use super::{StoreState, active_run::ActiveRun};
use crate::{RunId, store::ClaimedJob};

/// How long a run waits whose former attempt still runs on this very node, having been taken away from it meanwhile.
const FORMER_ATTEMPT_PAUSE: Duration = Duration::from_secs(1);

/// How long a run waits whose former attempt has ended here, with only the answer to its report still on its way.
const REPORT_PAUSE: Duration = Duration::from_millis(50);

impl StoreState {
    /// Leaves the runs out of what a claim says of a job that have ended here: when it was asked, the store did not know
    /// that, and the slot of a run that has ended is free however long its report takes.
    pub(in crate::engine) fn leave_out_ended(&self, claimed: &mut ClaimedJob) {
        // When a fixed delay ends is told by the end that the store has.
        let waits_for_report = claimed.job.body.trigger.waits_for_end()
            && claimed.job.next_fire_time.is_none()
            && claimed.waiting_count == 0;
        if claimed.running_count == 0 || waits_for_report {
            return;
        }
        let listed = claimed.running.len();
        let unlisted = if claimed.running_count > listed { self.unsent_ends_after(claimed) } else { 0 };
        claimed.running.retain(|run| !self.has_ended(run.id, run.fence));
        let ended = listed.saturating_sub(claimed.running.len()).saturating_add(unlisted);
        claimed.running_count = claimed.running_count.saturating_sub(ended);
    }

    /// Whether an attempt has ended here.
    fn has_ended(&self, run: RunId, fence: u64) -> bool {
        let is_it = |active: &ActiveRun| active.fence == fence && active.ended.is_some();
        self.runs.active.get(&run).is_some_and(|active| is_it(active))
            || self.reports.confirmed.get(&run) == Some(&fence)
    }

    /// How many runs beyond those that a claim has listed have ended here and not been reported, so that it counts them.
    fn unsent_ends_after(&self, claimed: &ClaimedJob) -> usize {
        let last = claimed.running.last().map_or(0, |run| run.id.seq);
        let of_job =
            self.reports.unsent.iter().filter(|entry| entry.run.uid == claimed.job.uid && entry.run.seq > last);
        let unlisted = claimed.running_count.saturating_sub(claimed.running.len());
        of_job.filter(|entry| self.has_ended(entry.run, entry.fence)).count().min(unlisted)
    }

    /// How long a job waits because a run that is to start again is still held here in its former attempt, if one is.
    pub(in crate::engine) fn pause_for_former_attempt(&self, claimed: &ClaimedJob) -> Option<Duration> {
        let former = claimed.waiting.iter().filter_map(|run| self.runs.active.get(&run.id));
        former.map(|active| if active.ended.is_some() { REPORT_PAUSE } else { FORMER_ATTEMPT_PAUSE }).max()
    }
}
