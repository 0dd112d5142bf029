//! Changes of the clocks around a time.

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::{
    Trigger,
    trigger::{Gap, RepeatedHour, zone::Spans},
};

/// A change of a zone's clocks close to the time that is explained, and what the trigger makes of it.
///
/// ```
/// use scheduler_core::{ClockChange, Explanation};
///
/// /// Tells an operator who wonders about a night in spring or autumn.
/// fn print(explanation: &Explanation) {
///     match explanation.clocks {
///         Some(ClockChange::Skips { from, to, rule, .. }) => println!("clocks went from {from} to {to}; the trigger goes by {rule:?}"),
///         Some(ClockChange::Repeats { first, second, rule }) => println!("it was that time at {first} and {second}; the trigger goes by {rule:?}"),
///         _ => {}
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClockChange {
    /// The clocks skip civil times.
    Skips {
        /// When they do.
        at: DateTime<Utc>,
        /// The first civil time that they do not show.
        from: NaiveDateTime,
        /// The civil time that they show next.
        to: NaiveDateTime,
        /// What becomes of the times in between; never [`Gap::Auto`].
        rule: Gap,
    },
    /// The clocks show civil times twice, the one in question among them.
    Repeats {
        /// When they show it first.
        first: DateTime<Utc>,
        /// When they show it again.
        second: DateTime<Utc>,
        /// At which of both the trigger fires; never [`RepeatedHour::Auto`].
        rule: RepeatedHour,
    },
}

/// The zone of a trigger that goes by civil time, and a change of its clocks that touches this time.
pub(super) fn around(trigger: &Trigger, at: DateTime<Utc>) -> (Option<Tz>, Option<ClockChange>) {
    let (zone, gap, overlap) = match trigger {
        Trigger::Cron(cron) => {
            let (gap, overlap) = cron.rules();
            (cron.zone(), gap, overlap)
        }
        Trigger::CalendarInterval(interval) => (Some(interval.zone()), Gap::NextValid, RepeatedHour::First),
        Trigger::Interval(_) | Trigger::Date(_) | Trigger::Custom(_) => return (None, None),
        Trigger::And(_) | Trigger::Or(_) | Trigger::Except(_) => return (None, None),
    };
    let change = zone.filter(|zone| *zone != Tz::UTC).and_then(|zone| change(zone, at, gap, overlap));
    (zone, change)
}

#[allow(
    clippy::arithmetic_side_effects,
    reason = "seconds of the zone's table, and of an instant that chrono can hold"
)]
fn change(zone: Tz, at: DateTime<Utc>, gap: Gap, overlap: RepeatedHour) -> Option<ClockChange> {
    let spans = Spans::of(zone);
    let number = spans.at(at.timestamp());
    let before = number.checked_sub(1).and_then(|before| spans.get(before));
    let pairs = [before.zip(spans.get(number)), spans.get(number).zip(spans.get(number + 1))];
    pairs.into_iter().flatten().find_map(|(before, after)| {
        let shift = after.offset - before.offset;
        let since = at.timestamp() - after.from;
        if !(-shift.abs()..shift.abs()).contains(&since) {
            return None;
        }
        let instant = |seconds| DateTime::from_timestamp(seconds, 0);
        let civil = |seconds| instant(seconds).map(|at| at.naive_utc());
        if shift > 0 {
            let (from, to) = (civil(after.from + before.offset)?, civil(after.from + after.offset)?);
            return Some(ClockChange::Skips { at: instant(after.from)?, from, to, rule: gap });
        }
        let first = if since < 0 { at } else { at.checked_add_signed(chrono::TimeDelta::seconds(shift))? };
        let second = first.checked_add_signed(chrono::TimeDelta::seconds(-shift))?;
        Some(ClockChange::Repeats { first, second, rule: overlap })
    })
}
