//! What the clock of a store shows, as well as the node knows it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Now, store::Clock};

/// The clock by which a store decides.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct StoreClock {
    whose: Clock,
    latest: Option<Reading>,
    /// By how much the store's clock has been set, which is to be told.
    stepped: Option<TimeDelta>,
}

/// What the store's clock showed at a moment of the node's.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    store: DateTime<Utc>,
    node: Now,
}

impl StoreClock {
    pub(in crate::engine) fn new(whose: Clock) -> Self {
        Self { whose, latest: None, stepped: None }
    }

    /// The store's time, as well as the node knows it. Counted monotonically, so that a step of the node's clock does not
    /// show.
    pub(in crate::engine) fn time(&self, now: Now) -> DateTime<Utc> {
        self.latest.and_then(|reading| reading.by_monotonic(now)).unwrap_or(now.utc)
    }

    /// The latest that the store's time can be, if one of the node's clocks stood still, as it may in a suspended machine.
    pub(in crate::engine) fn latest_time(&self, now: Now) -> DateTime<Utc> {
        self.time(now).max(self.latest.and_then(|reading| reading.by_wall(now)).unwrap_or(now.utc))
    }

    /// Notes the store's time from the reply to a call: it lies between the time in the reply and that plus how long the
    /// call took.
    pub(in crate::engine) fn note(&mut self, now: Now, sent: Duration, store_now: DateTime<Utc>) {
        if self.whose == Clock::Caller {
            return;
        }
        let took = TimeDelta::from_std(now.monotonic.saturating_sub(sent)).unwrap_or(TimeDelta::MAX);
        let latest = store_now.checked_add_signed(took).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let known = self.latest.and_then(|reading| reading.by_monotonic(now)).unwrap_or(store_now);
        let store = known.clamp(store_now, latest);
        let passed = self.latest.map_or(Duration::ZERO, |reading| now.monotonic.saturating_sub(reading.node.monotonic));
        self.stepped = self.stepped.or_else(|| step(store.signed_duration_since(known), passed));
        self.latest = Some(Reading { store, node: now });
    }

    /// By how much the store's clock has been set since this was asked last.
    pub(in crate::engine) fn take_step(&mut self) -> Option<TimeDelta> {
        self.stepped.take()
    }
}

impl Reading {
    fn by_monotonic(self, now: Now) -> Option<DateTime<Utc>> {
        let passed = TimeDelta::from_std(now.monotonic.saturating_sub(self.node.monotonic)).ok()?;
        self.store.checked_add_signed(passed)
    }

    fn by_wall(self, now: Now) -> Option<DateTime<Utc>> {
        self.store.checked_add_signed(now.utc.signed_duration_since(self.node.utc))
    }
}

/// By how much a clock has been set that is so far from where it should be after some time, if that is no drift: those of
/// machines differ by less than a thousandth, and a second is what reading two clocks on a busy machine can take.
pub(in crate::engine) fn step(by: TimeDelta, passed: Duration) -> Option<TimeDelta> {
    let drift = Duration::from_secs(1).saturating_add(passed.checked_div(1_000).unwrap_or_default());
    (by.abs().to_std().is_ok_and(|by| by > drift)).then_some(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Now {
        Now { utc: DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds), monotonic: Duration::from_secs(seconds as u64) }
    }

    fn server() -> StoreClock {
        StoreClock::new(Clock::Server)
    }

    #[test]
    fn the_time_of_a_store_goes_on_with_the_monotonic_clock_whatever_the_wall_clock_does() {
        let mut clock = server();
        clock.note(at(10), Duration::from_secs(10), at(100).utc);
        let stepped = Now { utc: at(5_000).utc, ..at(20) };
        assert_eq!(clock.time(stepped), at(110).utc);
        assert_eq!(clock.latest_time(stepped), at(5_090).utc, "the monotonic clock may have stood still");
        assert_eq!(clock.take_step(), None);
    }

    #[test]
    fn a_reply_that_took_long_sets_the_time_no_further_than_it_tells() {
        let mut clock = server();
        clock.note(at(10), Duration::from_secs(10), at(100).utc);
        // Sent at 20, decided at 110 to 115 by the store's clock.
        clock.note(at(25), Duration::from_secs(20), at(112).utc);
        assert_eq!(clock.time(at(25)), at(115).utc);
        clock.note(at(25), Duration::from_secs(25), at(112).utc);
        assert_eq!(clock.time(at(25)), at(112).utc);
        assert_eq!(clock.take_step(), Some(TimeDelta::seconds(-3)));
        assert_eq!(clock.take_step(), None, "it is told once");
    }

    #[test]
    fn a_store_without_a_clock_goes_by_that_of_the_node() {
        let mut clock = StoreClock::new(Clock::Caller);
        clock.note(at(10), Duration::from_secs(10), at(100).utc);
        assert_eq!(clock.time(at(20)), at(20).utc);
    }
}
