//! What a node tells a store of its runs, and the signs of life that it gives in between.

use std::{collections::VecDeque, time::Duration};

use crate::{
    Now, RunId,
    engine::{
        by_id::ById,
        effect::{Wake, WakeReason},
    },
    store::Entry,
};

/// The most records that wait for an answer at once: those of one lease, and one to spare.
const MOST_IN_FLIGHT: usize = 4;

/// The reports of one store.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::engine) struct Reports {
    /// Reports that have not been sent.
    pub(in crate::engine) unsent: VecDeque<Entry>,
    /// How many records wait for an answer.
    pub(in crate::engine) in_flight: usize,
    /// Runs whose end the store has confirmed since the latest claim was sent, which may not know of it, and the fences
    /// under which they ran.
    pub(in crate::engine) confirmed: ById<RunId, u64>,
    /// When the node has to give a sign of life, if it holds something.
    pub(in crate::engine) sign_at: Duration,
}

impl Reports {
    /// The reports that are to be sent now, if no others are on their way. When a sign of life is due, they do not wait for
    /// that, nor does the sign, which may be without reports: what is on its way may be lost, and the lease with it.
    pub(in crate::engine) fn next(&mut self, now: Now, limit: usize, holds_something: bool) -> Option<Vec<Entry>> {
        let is_free = self.in_flight == 0 && !self.unsent.is_empty();
        let is_sign_due = self.may_sign(holds_something) && self.sign_at <= now.monotonic;
        if !is_free && !is_sign_due {
            return None;
        }
        let count = self.unsent.len().min(limit.max(1));
        self.in_flight = self.in_flight.saturating_add(1);
        Some(self.unsent.drain(..count).collect())
    }

    /// Notes that a record has been answered, or is not to be any more.
    pub(in crate::engine) fn note_answered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Whether the node gives signs of life. With several on their way, a store that answers none of them gets no more.
    fn may_sign(&self, holds_something: bool) -> bool {
        holds_something && self.in_flight < MOST_IN_FLIGHT
    }

    /// When the next sign of life is due.
    pub(in crate::engine) fn next_wake(&self, now: Now, holds_something: bool) -> Option<Wake> {
        let after = self.sign_at.saturating_sub(now.monotonic);
        self.may_sign(holds_something).then_some(Wake { after, reason: WakeReason::LifeSign })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::{Uid, store::RunReport};

    fn at(seconds: u64) -> Now {
        Now { utc: DateTime::UNIX_EPOCH, monotonic: Duration::from_secs(seconds) }
    }

    fn ended(seq: u64) -> Entry {
        Entry::new(RunId { uid: Uid(1), seq }, 1, RunReport::Release)
    }

    #[test]
    fn reports_share_a_record_while_another_is_on_its_way_and_wait_no_longer_than_the_next_sign_of_life() {
        let mut reports = Reports { sign_at: Duration::from_secs(5), ..Reports::default() };
        reports.unsent.extend([ended(1)]);
        assert_eq!(reports.next(at(0), 10, true), Some(vec![ended(1)]));
        reports.unsent.extend([ended(2), ended(3)]);
        assert_eq!(reports.next(at(4), 10, true), None);
        assert_eq!(reports.next(at(5), 10, true), Some(vec![ended(2), ended(3)]));
    }

    #[test]
    fn a_store_that_answers_no_sign_of_life_gets_four() {
        let mut reports = Reports::default();
        for _ in 0..4 {
            assert_eq!(reports.next(at(0), 10, true), Some(Vec::new()));
        }
        assert_eq!(reports.next(at(0), 10, true), None);
        assert_eq!(reports.next_wake(at(0), true), None);
        reports.note_answered();
        assert_eq!(reports.next(at(0), 10, true), Some(Vec::new()));
    }

    #[test]
    fn a_node_that_holds_nothing_gives_no_sign_of_life() {
        assert_eq!(Reports::default().next(at(100), 10, false), None);
        assert_eq!(Reports::default().next_wake(at(100), false), None);
    }
}
