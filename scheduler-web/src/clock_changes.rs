//! What becomes of the runs of a job where the clocks of its zone are set: what moves, what falls together, what is left out and what runs
//! twice.
//!
//! It is read off the fire times: those of the trigger are compared with those that it had on clocks that are never set.

use chrono::{DateTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use scheduler_core::Trigger;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// How far is looked ahead: so that each change that comes once a year is seen a month before.
const DAYS: i64 = 396;
/// The most fire times of an hour that are looked at. What fires more often goes on in real time.
const MOST: usize = 60;

/// A change of the clocks that does something to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ClockChange {
    /// When the clocks are set.
    pub(crate) at: DateTime<Utc>,
    #[serde(serialize_with = "name")]
    pub(crate) zone: Tz,
    pub(crate) effect: Effect,
    /// In words.
    pub(crate) text: String,
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    /// A run is at another time of the clock.
    Moved,
    /// Several runs become one.
    Merged,
    /// A run is left out.
    Skipped,
    /// A run is there twice.
    Doubled,
}

fn name<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    zone.name().serialize(serializer)
}

/// What the changes of the clocks in the next 13 months do to a trigger. It is none where that cannot be told: of custom triggers, and of
/// those that go by several zones.
pub(crate) fn of(trigger: &Trigger, now: DateTime<Utc>) -> Vec<ClockChange> {
    let Some(zone) = trigger.zone().filter(|zone| *zone != Tz::UTC) else { return Vec::new() };
    let Some(unset) = on_unset_clocks(trigger) else { return Vec::new() };
    let changes = settings(zone, now).into_iter();
    changes.filter_map(|setting| Around { trigger, unset: &unset, zone, setting }.change()).collect()
}

/// The same trigger on the clocks of UTC, which are never set.
fn on_unset_clocks(trigger: &Trigger) -> Option<Trigger> {
    let mut has_custom = false;
    trigger.clone().custom_mut(&mut |_| has_custom = true);
    let mut form = serde_json::to_value(trigger).ok().filter(|_| !has_custom)?;
    let mut zones = Vec::new();
    set_zone(&mut form, &mut zones);
    zones.dedup();
    if zones.len() != 1 {
        return None;
    }
    serde_json::from_value(form).ok()
}

fn set_zone(form: &mut Value, zones: &mut Vec<String>) {
    match form {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(zone) if name == "timezone" => {
                        zones.push(std::mem::replace(zone, "UTC".to_owned()));
                    }
                    _ => set_zone(field, zones),
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| set_zone(part, zones)),
        _ => {}
    }
}

/// How the clocks of a zone are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    at: DateTime<Utc>,
    before: TimeDelta,
    after: TimeDelta,
}

/// Each setting of a zone's clocks within the days that are looked at.
fn settings(zone: Tz, now: DateTime<Utc>) -> Vec<Setting> {
    let offset = |at: i64| {
        let at = DateTime::from_timestamp(at, 0).unwrap_or_default();
        i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())
    };
    let day = |number: i64| now.timestamp().saturating_add(number.saturating_mul(86_400));
    let mut found = Vec::new();
    for number in 0..DAYS {
        let (mut early, mut late) = (day(number), day(number + 1));
        let (before, after) = (offset(early), offset(late));
        if before == after {
            continue;
        }
        while late - early > 1 {
            let middle = i64::midpoint(early, late);
            if offset(middle) == before { early = middle } else { late = middle }
        }
        let at = DateTime::from_timestamp(late, 0).unwrap_or_default();
        found.push(Setting { at, before: TimeDelta::seconds(before), after: TimeDelta::seconds(after) });
    }
    found
}

/// A setting of the clocks, and the fire times around it.
struct Around<'a> {
    trigger: &'a Trigger,
    unset: &'a Trigger,
    zone: Tz,
    setting: Setting,
}

impl Around<'_> {
    fn change(&self) -> Option<ClockChange> {
        let Setting { at, before, after } = self.setting;
        let told = if after > before { self.left_out(after - before)? } else { self.repeated(before - after)? };
        Some(ClockChange { at, zone: self.zone, effect: told.0, text: told.1 })
    }

    /// The clocks are put on: times between are never shown.
    fn left_out(&self, length: TimeDelta) -> Option<(Effect, String)> {
        let Setting { at, before, after } = self.setting;
        let meant = fires(self.unset, at + before, length)?;
        let (first, last) = (*meant.first()?, *meant.last()?);
        // What fires all the time goes on in real time.
        if self.fires_shortly_before(at, length) {
            return None;
        }
        let (shown, usual) = (fires(self.trigger, at, length)?, fires(self.unset, at + after, length)?);
        let moved: Vec<_> = shown.iter().map(|fire| *fire + after).filter(|fire| !usual.contains(fire)).collect();
        let times = match meant.len() {
            1 => format!("{} is not shown by the clocks", clock(first)),
            count => format!("{count} fire times from {} to {} are not shown by the clocks", clock(first), clock(last)),
        };
        Some(match moved.as_slice() {
            [to] if meant.len() == 1 => (Effect::Moved, format!("{times}: it runs at {}", clock(*to))),
            [to] => (Effect::Merged, format!("{times}: it runs once, at {}", clock(*to))),
            [from, .., to] => (Effect::Moved, format!("{times}: it runs from {} to {}", clock(*from), clock(*to))),
            [] if shown.first() == Some(&at) => {
                (Effect::Merged, format!("{times}: it runs once, at {}, as it does anyway", clock(at + after)))
            }
            [] => (Effect::Skipped, format!("{times}: it does not run")),
        })
    }

    /// The clocks are put back: times between are shown twice.
    fn repeated(&self, length: TimeDelta) -> Option<(Effect, String)> {
        let Setting { at, after, .. } = self.setting;
        let meant = fires(self.unset, at + after, length)?;
        let first = *meant.first()?;
        if self.fires_shortly_before(at - length, length) {
            return None;
        }
        let shown = fires(self.trigger, at - length, length + length)?;
        let twice = if meant.len() == 1 { "its run is" } else { "its runs are" };
        (shown.len() > meant.len()).then(|| {
            (Effect::Doubled, format!("{} is shown twice by the clocks, and {twice} there twice", clock(first)))
        })
    }

    /// Whether the trigger fires within so long before an instant, so that it does so regularly in real time.
    fn fires_shortly_before(&self, at: DateTime<Utc>, length: TimeDelta) -> bool {
        fires(self.trigger, at - length, length).is_none_or(|fires| !fires.is_empty())
    }
}

/// The fire times from an instant on, for so long; none if they are too many.
fn fires(trigger: &Trigger, from: DateTime<Utc>, length: TimeDelta) -> Option<Vec<DateTime<Utc>>> {
    let fires = trigger.fires(from - TimeDelta::microseconds(1));
    let within = fires.map_while(Result::ok).take_while(|at| *at < from + length).take(MOST + 1);
    let within: Vec<_> = within.collect();
    (within.len() <= MOST).then_some(within)
}

/// What the clocks show; the instant is theirs as if they were those of UTC.
fn clock(shown: DateTime<Utc>) -> String {
    shown.format("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-12-01T00:00:00Z".parse().unwrap()
    }

    fn told(trigger: &str) -> Vec<String> {
        let trigger = trigger.parse::<Trigger>().unwrap().bind(now(), Tz::Europe__Berlin, "job");
        let told = of(&trigger, now());
        told.iter().map(|it| format!("{} {:?} {}", it.at.format("%F %H:%M"), it.effect, it.text)).collect()
    }

    #[test]
    fn the_clocks_are_set_when_the_zone_says() {
        let of = |zone| settings(zone, now()).iter().map(|it| it.at.to_rfc3339()).collect::<Vec<_>>();
        assert_eq!(of(Tz::Europe__Berlin), ["2027-03-28T01:00:00+00:00", "2027-10-31T01:00:00+00:00"]);
        assert_eq!(of(Tz::Australia__Lord_Howe), ["2027-04-03T15:00:00+00:00", "2027-10-02T15:30:00+00:00"]);
        assert_eq!(of(Tz::Asia__Tokyo), [""; 0]);
    }

    #[test]
    fn what_is_at_a_time_that_is_left_out_moves_or_falls_together() {
        for (trigger, words) in [
            ("crontab 30 2 * * *", "2027-03-28 01:00 Moved 02:30 is not shown by the clocks: it runs at 03:00"),
            (
                "crontab 0,30 2 * * *",
                "2027-03-28 01:00 Merged 2 fire times from 02:00 to 02:30 are not shown by the clocks: it runs once, at 03:00",
            ),
            (
                "crontab 0 2,3 * * *",
                "2027-03-28 01:00 Merged 02:00 is not shown by the clocks: it runs once, at 03:00, as it does anyway",
            ),
            ("calendar 1d at 02:30:00", "2027-03-28 01:00 Moved 02:30 is not shown by the clocks: it runs at 03:00"),
            (
                "crontab 30 2 * * * gap shift",
                "2027-03-28 01:00 Moved 02:30 is not shown by the clocks: it runs at 03:30",
            ),
            (
                "crontab 0,30 2 * * * gap shift",
                "2027-03-28 01:00 Moved 2 fire times from 02:00 to 02:30 are not shown by the clocks: it runs from 03:00 to 03:30",
            ),
            (
                "crontab 30 2 * * * gap skip",
                "2027-03-28 01:00 Skipped 02:30 is not shown by the clocks: it does not run",
            ),
        ] {
            assert_eq!(told(trigger), [words], "{trigger}");
        }
    }

    #[test]
    fn what_is_at_a_time_that_comes_twice_runs_twice_if_it_is_told_to() {
        let told = told("crontab 30 2 * * * overlap both");
        assert_eq!(
            told[1], "2027-10-31 01:00 Doubled 02:30 is shown twice by the clocks, and its run is there twice",
            "{told:?}"
        );
    }

    #[test]
    fn what_the_clocks_do_not_touch_is_not_told() {
        for trigger in [
            "crontab 30 5 * * *",
            "crontab 30 2 * * mon",
            "crontab */5 * * * *",
            "crontab 0 * * * *",
            "crontab 30 2 * * * in Asia/Tokyo",
            "every 1h",
            "crontab 30 2 * * * in UTC",
        ] {
            assert_eq!(told(trigger), [""; 0], "{trigger}");
        }
    }
}
