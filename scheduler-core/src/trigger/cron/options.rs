//! What holds besides the expression: zone, start and end, rules, jitter.

use super::{Cron, CronFields, Gap, RepeatedHour};
use crate::trigger::jitter::Jitter;
use crate::trigger::window::{Window, ceil_micros, floor_micros};
use chrono::{DateTime, TimeZone};
use chrono_tz::Tz;
use std::time::Duration;

/// What holds besides the expression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Options {
    pub(super) zone: Option<Tz>,
    pub(super) window: Window,
    pub(super) gap: Gap,
    pub(super) overlap: RepeatedHour,
    pub(super) jitter: Jitter,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            zone: None,
            window: Window::OPEN,
            gap: Gap::Auto,
            overlap: RepeatedHour::Auto,
            jitter: Jitter::default(),
        }
    }
}

/// The options that every dialect has.
macro_rules! options {
    ($($to:tt)*) => {
        /// The zone whose clocks count. By default the scheduler's, bound when the job is added.
        #[must_use]
        pub fn timezone(mut self, zone: Tz) -> Self {
            self.$($to)*.zone = Some(zone);
            self
        }

        /// Fires no earlier than `start`, which is itself allowed. By default there is no bound.
        #[doc(alias = "start_date")]
        #[must_use]
        pub fn start<Z: TimeZone>(mut self, start: DateTime<Z>) -> Self {
            self.$($to)*.window.start = ceil_micros(start.to_utc());
            self
        }

        /// Fires no later than `end`, which is itself allowed. By default there is no bound.
        #[doc(alias = "end_date")]
        #[must_use]
        pub fn end<Z: TimeZone>(mut self, end: DateTime<Z>) -> Self {
            self.$($to)*.window.end = floor_micros(end.to_utc());
            self
        }

        /// What becomes of times that the clocks skip. By default it depends on the expression ([`Gap::Auto`]).
        #[must_use]
        pub fn gap(mut self, gap: Gap) -> Self {
            self.$($to)*.gap = gap;
            self
        }

        /// What becomes of times that the clocks show twice. By default it depends on the expression ([`RepeatedHour::Auto`]).
        #[must_use]
        pub fn overlap(mut self, overlap: RepeatedHour) -> Self {
            self.$($to)*.overlap = overlap;
            self
        }

        /// Starts each run up to so much later than its fire time, spread evenly and the same whenever it is
        /// computed. By default nothing is added.
        pub fn jitter(mut self, longest: Duration) -> Self {
            self.$($to)*.jitter = Jitter::up_to(longest);
            self
        }
    };
}

impl Cron {
    options!(options());
}

impl CronFields {
    options!(options);
}
