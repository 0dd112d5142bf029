//! How changes by other nodes are seen.

use std::time::Duration;

use crate::{
    Now,
    engine::effect::{Wake, WakeReason},
    store::Wakes,
};

/// The shortest period in which a store is asked for changes: a shorter one would keep the loop busy with questions alone.
const SHORTEST_POLL: Duration = Duration::from_millis(1);

/// The question for changes by other nodes, which is asked again and again.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct ChangeFeed {
    wakes: Wakes,
    pub(in crate::engine) seen: u64,
    pub(in crate::engine) is_in_flight: bool,
    /// No question is asked before this.
    ask_at: Duration,
    /// Failures in a row.
    pub(in crate::engine) failures: u32,
    /// Whether the listeners know of them, and not yet of an end.
    pub(in crate::engine) is_failure_told: bool,
}

impl ChangeFeed {
    pub(in crate::engine) fn new(wakes: Wakes) -> Self {
        Self { wakes, seen: 0, is_in_flight: false, ask_at: Duration::ZERO, failures: 0, is_failure_told: false }
    }

    /// Whether the next question is to be asked.
    pub(in crate::engine) fn is_due(&self, now: Now) -> bool {
        self.wakes != Wakes::Never && !self.is_in_flight && self.ask_at <= now.monotonic
    }

    /// Notes an answer, after which a store that has to be asked is left alone for a while.
    pub(in crate::engine) fn note_answer(&mut self, now: Now, seen: u64) {
        self.failures = 0;
        self.seen = seen;
        if let Wakes::Poll(period) = self.wakes {
            self.ask_at = now.monotonic.saturating_add(period.max(SHORTEST_POLL));
        }
    }

    /// Notes a failure, after which nothing is asked for a while.
    pub(in crate::engine) fn note_failure(&mut self, now: Now, pause: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.ask_at = now.monotonic.saturating_add(pause);
    }

    /// When the next question is to be asked.
    pub(in crate::engine) fn next_wake(&self, now: Now) -> Option<Wake> {
        let after = self.ask_at.saturating_sub(now.monotonic);
        (self.wakes != Wakes::Never && !self.is_in_flight).then_some(Wake { after, reason: WakeReason::Poll })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now { utc: DateTime::UNIX_EPOCH, monotonic: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_store_that_tells_is_asked_again_at_once_and_one_that_has_to_be_asked_after_its_period() {
        let mut pushing = ChangeFeed::new(Wakes::Push);
        pushing.note_answer(at(1), 7);
        assert!(pushing.is_due(at(1)));
        let mut polled = ChangeFeed::new(Wakes::Poll(Duration::from_secs(2)));
        polled.note_answer(at(1), 7);
        assert!(!polled.is_due(at(2)) && polled.is_due(at(3)));
        assert_eq!(polled.next_wake(at(2)).unwrap().after, Duration::from_secs(1));
    }

    #[test]
    fn a_store_that_tells_of_nothing_is_never_asked() {
        let feed = ChangeFeed::new(Wakes::Never);
        assert!(!feed.is_due(at(1_000)) && feed.next_wake(at(1_000)).is_none());
    }
}
