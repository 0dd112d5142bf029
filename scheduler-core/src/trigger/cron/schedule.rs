//! Schedules of the `cron` crate as triggers.

use super::plan::{Plan, Years};
use super::{Cron, Dialect, Options, Source, compiled};
use ::cron::{Schedule, TimeUnitSpec};

/// Takes over a schedule: the same civil times, with the daylight-saving rules of this crate.
///
/// The text of the schedule is kept where the Quartz dialect reads it alike, so that `*/5` still follows real time; else
/// its values are written out. Its last year, 2100, is taken for no bound.
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::Cron};
///
/// let schedule: cron::Schedule = "0 30 9 * * Mon-Fri".parse().unwrap();
/// let trigger = Trigger::from(Cron::from(&schedule));
/// let now = Utc.with_ymd_and_hms(2026, 1, 2, 12, 0, 0).unwrap();
/// assert_eq!(trigger.next(None, now)?, Some(Utc.with_ymd_and_hms(2026, 1, 5, 9, 30, 0).unwrap()));
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
impl From<&Schedule> for Cron {
    fn from(schedule: &Schedule) -> Self {
        let (plan, written_out) = (plan(schedule), written_out(schedule));
        let source = schedule.source().trim();
        // What only newer nodes read is written out too, so that nodes of an earlier version can read it as well.
        let text = match compiled(Dialect::Quartz, Source::all(source), Some("")) {
            Ok(alike) if alike.plan == plan && !alike.is_newer => source,
            _ => &written_out,
        };
        Self::read(Dialect::Quartz, Source::all(text), Options::default())
            .expect("the values of a schedule are within their ranges")
    }
}

impl From<Schedule> for Cron {
    fn from(schedule: Schedule) -> Self {
        Self::from(&schedule)
    }
}

fn plan(schedule: &Schedule) -> Plan {
    Plan {
        second: mask(schedule.seconds()),
        minute: mask(schedule.minutes()),
        hour: mask(schedule.hours()) as u32,
        day: mask(schedule.days_of_month()) as u32,
        month: mask(schedule.months()) as u16,
        weekday: super::crontab::monday_first(mask(schedule.days_of_week()) >> 1),
        years: (!schedule.years().is_all()).then(|| {
            let years = schedule.years().iter().map(|year| (year as u16, year as u16, 1));
            Box::new(Years(years.collect()))
        }),
        ..Plan::EVERY
    }
}

fn mask(values: &impl TimeUnitSpec) -> u64 {
    values.iter().fold(0, |mask, value| mask | 1 << value)
}

fn written_out(schedule: &Schedule) -> String {
    fn field(values: &impl TimeUnitSpec) -> String {
        if values.is_all() {
            return "*".to_owned();
        }
        values.iter().map(|value| value.to_string()).collect::<Vec<_>>().join(",")
    }
    let time = format!("{} {} {}", field(schedule.seconds()), field(schedule.minutes()), field(schedule.hours()));
    let date = format!("{} {}", field(schedule.days_of_month()), field(schedule.months()));
    format!("{time} {date} {} {}", field(schedule.days_of_week()), field(schedule.years()))
}
