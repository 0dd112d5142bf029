//! Triggers: when a job fires.
//!
//! A trigger is a value without state of its own: from the previous fire time and the present it says the next one. All
//! fire times are instants of UTC in whole microseconds.
//!
//! # Persisted form
//!
//! JSON, readable and writable from any language. `type` says which trigger it is; what is not given has its default.
//! Times are RFC 3339 in UTC with microseconds, durations whole microseconds (names end in `_us`), zones names of the
//! tz database, never offsets. `bound` holds what was left open and decided when the job was added.
//!
//! ```json
//! {"type": "date", "at": "2027-01-01T00:00:00.000000Z"}
//! {"type": "interval", "every_us": 5400000000, "start": "…", "end": "…", "first": "now", "bound": {"anchor": "…"}}
//! {"type": "cron", "dialect": "fields", "fields": {"hour": "9"}, "timezone": "Europe/Berlin", "start": "…", "end": "…",
//!  "gap": "shift", "overlap": "both", "bound": {"timezone": "…"}}
//! {"type": "cron", "dialect": "crontab", "expression": "H 3 * * *", "bound": {"timezone": "…", "expression": "17 3 * * *"}}
//! {"type": "calendar_interval", "months": 1, "days": 0, "second_of_day": 32400, "timezone": "…", "start": "2026-01-31",
//!  "end": "…", "month_end": "clamp", "bound": {"start": "…", "timezone": "…"}}
//! {"type": "and", "triggers": […], "start": "…", "end": "…", "jitter_us": 60000000}
//! {"type": "or", "triggers": […]}
//! {"type": "except", "trigger": {…}, "dates": ["2026-12-25"], "timezone": "…", "during": [{"trigger": {…}, "lasting_us": 0}]}
//! {"type": "custom", "name": "tides", "args": {"harbour": "Cuxhaven"}}
//! ```

pub(crate) mod any;
mod calendar_interval;
mod combine;
mod cron;
mod custom;
mod date;
mod error;
mod except;
mod interval;
mod jitter;
pub(crate) mod steps;
#[allow(clippy::arithmetic_side_effects, reason = "columns of a text")]
mod text;
pub(crate) mod window;
#[allow(
    clippy::arithmetic_side_effects,
    reason = "seconds of the years that chrono can hold, far from the ends of i64"
)]
pub(crate) mod zone;

pub use calendar_interval::{CalendarInterval, MonthEnd};
pub use combine::{And, Or};
pub use cron::{Cron, CronFields, Dialect, Gap, RepeatedHour, Weekdays};
pub use custom::{Custom, CustomTrigger};
pub use date::Date;
pub use error::{TriggerError, TriggerErrorKind};
pub use except::Except;
pub use interval::{First, Interval};

pub use any::Fires;
pub(crate) use any::Trigger;
