//! Whether a store answers, since when without a break, and what has failed and has not gone through since.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    Now,
    store::{Clock, StoreError, StoreErrorKind, Turn},
};

/// The pause after a first failure, and after a claim that took nothing though something was due. It doubles.
pub(in crate::engine) const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause: a store that is back is used again within this.
pub(in crate::engine) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A third of a lease: how long signs of life are apart.
pub(in crate::engine) fn third_of(lease: Duration) -> Duration {
    lease.checked_div(3).unwrap_or_default()
}

/// How long to wait after so many failures in a row.
pub(in crate::engine) fn pause_after(failures: u32, longest: Duration) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(longest)
}

/// Whether the store answers.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Link {
    pub(in crate::engine) state: LinkState,
    /// Since when the node has been in touch with the store without a break; none if it is not now.
    pub(in crate::engine) unbroken_since: Option<Duration>,
    /// When the latest turn was sent that the store has answered: then or later it was there.
    pub(in crate::engine) reached: Option<Duration>,
    /// When the store answered last, to whichever call.
    pub(in crate::engine) last_answer: Option<Now>,
    /// Failures in a row; above 0 while up, the link is on trial.
    pub(in crate::engine) failures: u32,
    /// Since when the store has been failing, and the latest error.
    pub(in crate::engine) outage: Option<Outage>,
    pub(in crate::engine) outstanding: Outstanding,
    /// Turns that failed and are repeated, without their claims, and when each was sent first.
    pub(in crate::engine) to_repeat: Vec<(Turn, Duration)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) enum LinkState {
    Up,
    Down { retry_at: Duration },
}

/// What is the matter with a store that fails.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Outage {
    pub(in crate::engine) since: DateTime<Utc>,
    pub(in crate::engine) error: String,
    /// Whether the store is not what it should be.
    pub(in crate::engine) is_incompatible: bool,
}

/// What has failed and has not gone through since. Until it has, the store is not well, whatever else it answers: one
/// whose disk is full, or that has become a replica, can still be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::engine) struct Outstanding {
    /// How many turns that write; they are repeated.
    pub(in crate::engine) writes: usize,
    /// Whether the last claim failed. It is not repeated, but the next one has the same to do.
    pub(in crate::engine) is_claim: bool,
}

impl Link {
    pub(in crate::engine) fn new() -> Self {
        Self {
            state: LinkState::Up,
            unbroken_since: None,
            reached: None,
            last_answer: None,
            failures: 0,
            outage: None,
            outstanding: Outstanding::default(),
            to_repeat: Vec::new(),
        }
    }

    /// Whether the store has said that it is not what it should be, and nothing else since.
    pub(in crate::engine) fn is_incompatible(&self) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.is_incompatible)
    }

    pub(in crate::engine) fn note_trouble(&mut self, now: Now, error: &StoreError) {
        let since = self.outage.take().map_or(now.utc, |outage| outage.since);
        let is_incompatible = error.kind() == StoreErrorKind::Incompatible;
        self.outage = Some(Outage { since, error: error.to_string(), is_incompatible });
    }

    /// Begins a pause and says how long it is.
    pub(in crate::engine) fn pause(&mut self, now: Now, longest: Duration) -> Duration {
        let pause = pause_after(self.failures, longest);
        self.failures = self.failures.saturating_add(1);
        self.state = LinkState::Down { retry_at: now.monotonic.saturating_add(pause) };
        pause
    }

    /// Whether this node may take over what belongs to nodes whose lease has passed: only if it has been in touch with the
    /// store for a whole lease, since otherwise the others may not have been either.
    pub(in crate::engine) fn may_take_over(&mut self, now: Now, lease: Duration, clock: Clock) -> bool {
        self.note_break(now, Some(now.monotonic), lease, clock);
        self.failures == 0 && self.unbroken_since.is_some_and(|since| now.monotonic >= since.saturating_add(lease))
    }

    /// Ends the unbroken contact if the store may have been away, or the clock by which leases are judged has been changed.
    /// `sent` is when a turn was sent, or is being sent: turns show whether the store was there in between.
    pub(in crate::engine) fn note_break(&mut self, now: Now, sent: Option<Duration>, lease: Duration, clock: Clock) {
        // An outage of this length is survived by a lease that was renewed a third of it before, and is tried again after
        // at most a tenth of it.
        let half = lease.checked_div(2).unwrap_or_default();
        let is_silent = sent.is_some_and(|sent| self.reached.is_none_or(|reached| sent.saturating_sub(reached) > half));
        if is_silent || clock == Clock::Caller && self.is_clock_stepped(now, lease) {
            self.unbroken_since = None;
        }
    }

    fn is_clock_stepped(&self, now: Now, lease: Duration) -> bool {
        let Some(last) = self.last_answer else {
            return false;
        };
        let passed = now.monotonic.saturating_sub(last.monotonic);
        let by_wall = now.utc.signed_duration_since(last.utc).to_std().unwrap_or(Duration::ZERO);
        by_wall.abs_diff(passed) > third_of(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Now {
        Now { utc: DateTime::UNIX_EPOCH + Duration::from_secs(seconds), monotonic: Duration::from_secs(seconds) }
    }

    fn in_touch_since(seconds: u64, reached: u64) -> Link {
        let (since, reached) = (Duration::from_secs(seconds), Duration::from_secs(reached));
        Link { unbroken_since: Some(since), reached: Some(reached), last_answer: Some(at(seconds)), ..Link::new() }
    }

    #[test]
    fn others_are_taken_over_from_after_a_whole_lease_without_a_break_of_half_of_one() {
        assert!(!in_touch_since(0, 14).may_take_over(at(14), LEASE, Clock::Server));
        assert!(in_touch_since(0, 14).may_take_over(at(15), LEASE, Clock::Server));
        assert!(!in_touch_since(0, 7).may_take_over(at(15), LEASE, Clock::Server));
        assert!(!Link { failures: 1, ..in_touch_since(0, 14) }.may_take_over(at(15), LEASE, Clock::Server));
    }

    #[test]
    fn a_step_of_the_nodes_clock_is_a_break_only_where_leases_go_by_it() {
        let stepped = Now { utc: at(3_600).utc, ..at(15) };
        assert!(in_touch_since(0, 14).may_take_over(stepped, LEASE, Clock::Server));
        assert!(!in_touch_since(0, 14).may_take_over(stepped, LEASE, Clock::Caller));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut link = Link::new();
        let pauses: Vec<u128> = (0..6).map(|_| link.pause(at(0), Duration::from_secs(1)).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_000]);
        assert_eq!(pause_after(u32::MAX, LONGEST_PAUSE), LONGEST_PAUSE);
    }
}
