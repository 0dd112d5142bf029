//! What becomes of a time at which the clocks are changed.

use serde::{Deserialize, Serialize};

/// What becomes of a civil time that the clocks skip. The default is [`Auto`](Self::Auto).
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::{Cron, Gap}};
///
/// // In Berlin, 02:30 does not exist on 2026-03-29: at 01:00 UTC the clocks go from 02:00 to 03:00.
/// let half_past_two = |gap| Cron::fields().hour("2").minute("30").timezone(chrono_tz::Europe::Berlin).gap(gap).build();
/// let now = Utc.with_ymd_and_hms(2026, 3, 29, 0, 0, 0).unwrap();
/// for (gap, fires) in [(Gap::NextValid, "01:00:00"), (Gap::Shift, "01:30:00"), (Gap::Skip, "00:30:00")] {
///     let next = Trigger::from(half_past_two(gap)?).next(None, now)?;
///     assert_eq!(next.unwrap().time().to_string(), fires);
/// }
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Gap {
    /// `Skip` if the minute or the hour begins with `*`, else `NextValid`.
    #[default]
    Auto,
    /// Fire at the first instant after the gap, once for all times that fell into it.
    NextValid,
    /// Fire as much later as the gap is long: 02:30 becomes 03:30.
    Shift,
    /// Do not fire.
    Skip,
}

/// What becomes of a civil time that the clocks show twice. The default is [`Auto`](Self::Auto).
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::{Cron, RepeatedHour}};
///
/// let half_past_two = Cron::fields().hour("2").minute("30").timezone(chrono_tz::Europe::Berlin);
/// let now = Utc.with_ymd_and_hms(2026, 10, 25, 0, 0, 0).unwrap();
/// let both = Trigger::from(half_past_two.overlap(RepeatedHour::Both).build()?).next_n(now, 2)?;
/// assert_eq!(both[0].time().to_string(), "00:30:00");
/// assert_eq!(both[1].time().to_string(), "01:30:00");
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RepeatedHour {
    /// `Both` if the minute or the hour begins with `*`, else `First`.
    #[default]
    Auto,
    /// Fire at the first of the two.
    First,
    /// Fire at the second of the two.
    Second,
    /// Fire at both.
    Both,
}

impl Gap {
    pub(in crate::trigger) const ALL: [Self; 4] = [Self::Auto, Self::NextValid, Self::Shift, Self::Skip];

    /// How a trigger's text names it.
    pub(in crate::trigger) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::NextValid => "next_valid",
            Self::Shift => "shift",
            Self::Skip => "skip",
        }
    }
}

impl RepeatedHour {
    pub(in crate::trigger) const ALL: [Self; 4] = [Self::Auto, Self::First, Self::Second, Self::Both];

    /// How a trigger's text names it.
    pub(in crate::trigger) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::First => "first",
            Self::Second => "second",
            Self::Both => "both",
        }
    }
}
