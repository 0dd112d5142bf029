//! When a claim asks for the due jobs that this node leaves to others, so that a job that no node can run is told of.
//!
//! Each claim could ask, which would cost a query each. A claim asks
//!
//! - if none has asked for a minute;
//! - some seconds after a job was due that another node or program has added or changed, as the store has told: by then a node
//!   that can run it has taken it;
//! - once other processes may have changed something, at least each minute, for ever: some stores do not tell when a change makes
//!   a job due, and those that do tell of several changes the earliest time. After a change without a time the first pause is some
//!   seconds long, and the pauses double up to a minute.
//!
//! The first rule makes no claim; the others do. A store without changes, and one within this process, is left alone.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    Now,
    store::{ClaimedJob, Durability, Hint, Report},
};

/// How often claims ask that go out anyway, and the longest pause of those that go out to ask.
const PERIOD: Duration = Duration::from_secs(60);

/// The shortest time between two that ask, however much others change; and how long other nodes have for taking a job.
const SHORTEST: Duration = Duration::from_secs(5);

/// How long other nodes have for taking a job, by the store's clock.
const TAKEN_WITHIN: TimeDelta = TimeDelta::seconds(5);

/// The most times at which jobs of others are due that are kept; with more, the next ones are found by asking again.
const MOST: usize = 32;

/// When claims ask for declined jobs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::engine) struct Survey {
    /// When one asked last.
    last: Option<Duration>,
    /// When jobs are due that others have added or changed, by the store's clock.
    dues: BTreeSet<DateTime<Utc>>,
    /// When to ask again whatever is known to be due, and the pause after that.
    again: Option<(Duration, Duration)>,
}

impl Survey {
    /// The last answer does not count any more: the next claim asks.
    pub(in crate::engine) fn forget_last(&mut self) {
        self.last = None;
    }

    /// Jobs were taken that are due then: the time that the store has told was that of one of them, and there is nothing to ask.
    pub(in crate::engine) fn explain(&mut self, jobs: &[ClaimedJob]) {
        for due in jobs.iter().filter_map(|claimed| claimed.job.due) {
            self.dues.remove(&due);
        }
    }

    /// Notes that others have changed something.
    pub(in crate::engine) fn note_change_by_others(&mut self, now: Now, hint: &Hint, durability: Durability) {
        // What such a store does not tell, this node has done itself.
        let is_within_process = durability == Durability::Volatile;
        let within = match hint {
            Hint::Due(due) if self.dues.len() < MOST => {
                self.dues.insert(*due);
                (!is_within_process).then_some(PERIOD)
            }
            Hint::Resync if is_within_process => None,
            Hint::Due(_) | Hint::Resync => Some(SHORTEST),
            Hint::Cancel(_) => None,
        };
        let Some(within) = within else {
            return;
        };
        let at = now.monotonic.saturating_add(within);
        if self.again.is_none_or(|(known, _)| at < known) {
            self.again = Some((at, longer(within)));
        }
    }

    /// Until when the next claim that asks can wait, if one is to be sent for that; counted monotonically. `store_time` is the
    /// latest that the store's clock can show.
    pub(in crate::engine) fn next(&self, now: Now, store_time: DateTime<Utc>) -> Option<Duration> {
        let until = |due: &DateTime<Utc>| {
            let taken_by = due.checked_add_signed(TAKEN_WITHIN).unwrap_or(*due);
            let wait = taken_by.signed_duration_since(store_time).to_std().unwrap_or_default();
            now.monotonic.saturating_add(wait)
        };
        let due = self.dues.first().map(until);
        let again = self.again.map(|(at, _)| at);
        due.into_iter().chain(again).min().map(|at| at.max(self.not_before()))
    }

    /// Whether the claim that is being sent asks; notes it if so.
    pub(in crate::engine) fn report(&mut self, now: Now, store_time: DateTime<Utc>) -> Report {
        let is_time = self.last.is_none_or(|last| now.monotonic >= last.saturating_add(PERIOD));
        if !is_time && self.next(now, store_time).is_none_or(|at| at > now.monotonic) {
            return Report::Nothing;
        }
        self.last = Some(now.monotonic);
        self.dues.retain(|due| due.checked_add_signed(TAKEN_WITHIN).is_some_and(|by| by > store_time));
        if let Some((_, pause)) = self.again.filter(|(at, _)| *at <= now.monotonic) {
            self.again = Some((now.monotonic.saturating_add(pause), longer(pause)));
        }
        Report::Declined
    }

    fn not_before(&self) -> Duration {
        self.last.map_or(Duration::ZERO, |last| last.saturating_add(SHORTEST))
    }
}

/// The pause after another one.
fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(PERIOD)
}
