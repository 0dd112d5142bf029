//! What every trigger promises: binding once, JSON that comes back the same, fire times that move on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Europe::Berlin;
use scheduler_core::{
    Trigger,
    trigger::{Cron, Date, First, Interval, TriggerErrorKind},
};
use serde_json::json;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn an_interval_is_anchored_when_the_job_is_added_and_stays_so() {
    let added = at("2026-01-01T00:00:00Z");
    let written = Trigger::from(Interval::minutes(10));
    let bound = written.clone().bind(added, Berlin, "job");
    let later = added + TimeDelta::minutes(34);
    assert_eq!(bound.next(None, added).unwrap(), Some(added + TimeDelta::minutes(10)));
    assert_eq!(bound.next(None, later).unwrap(), Some(added + TimeDelta::minutes(40)));
    assert_eq!(bound.previous(later).unwrap(), Some(added + TimeDelta::minutes(30)));
    assert_eq!(bound.count(added, later), Some(3));
    assert_eq!(bound.clone().bind(later, Berlin, "job"), bound);
    assert!(bound.is_same_as_written(&written));
    assert!(!bound.is_same_as_written(&Interval::minutes(11).into()));
}

#[test]
fn an_interval_may_fire_at_once() {
    let added = at("2026-01-01T00:00:00Z");
    let bound = Trigger::from(Interval::hours(1).first(First::Now)).bind(added, Berlin, "job");
    assert_eq!(bound.next(None, added).unwrap(), Some(added));
    assert_eq!(bound.previous(added - TimeDelta::microseconds(1)).unwrap(), None);
}

#[test]
fn a_period_that_makes_no_sense_is_an_error_that_says_so() {
    for (interval, text) in [
        (Interval::seconds(0), "interval: the period is zero; give at least one microsecond"),
        (Interval::weeks(u64::MAX), "interval: the period is longer than 1,000 years; check its unit"),
    ] {
        let error = Trigger::from(interval).next(None, Utc.timestamp_nanos(0)).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (TriggerErrorKind::Period, text));
    }
}

#[test]
fn the_zone_is_bound_once_and_is_not_part_of_what_is_written() {
    let now = at("2026-07-01T12:00:00Z");
    let written = Trigger::from(Cron::fields().hour(9).build().unwrap());
    let bound = written.clone().bind(now, Berlin, "job");
    assert_eq!(written.next(None, now).unwrap(), Some(at("2026-07-02T09:00:00Z")));
    assert_eq!(bound.next(None, now).unwrap(), Some(at("2026-07-02T07:00:00Z")));
    assert!(bound.is_same_as_written(&written));
    assert_eq!(bound.clone().bind(now, chrono_tz::Asia::Tokyo, "job"), bound);
    let named = Trigger::from(Cron::fields().hour(9).timezone(Berlin).build().unwrap());
    assert!(!named.is_same_as_written(&written));
}

#[test]
fn fire_times_lie_strictly_after_the_previous_one_whatever_the_time_is_now() {
    let daily = Trigger::from(Cron::fields().day("*").build().unwrap());
    let previous = at("2015-11-23T00:00:00Z");
    for now in ["2015-11-22T00:00:00Z", "2015-11-26T00:00:00Z"] {
        assert_eq!(daily.next(Some(previous), at(now)).unwrap(), Some(at("2015-11-24T00:00:00Z")));
    }
}

#[test]
fn a_date_fires_once_even_if_it_is_past() {
    let date = Trigger::from(Date::at(at("2009-07-06T00:00:00Z")));
    for now in ["2009-07-05T00:00:00Z", "2009-07-06T00:00:00Z", "2020-01-01T00:00:00Z"] {
        assert_eq!(date.next(None, at(now)).unwrap(), Some(at("2009-07-06T00:00:00Z")));
        assert_eq!(date.next(Some(at("2009-07-06T00:00:00Z")), at(now)).unwrap(), None);
    }
    assert_eq!(date.previous(at("2009-07-05T00:00:00Z")).unwrap(), None);
}

#[test]
fn the_persisted_form_is_json_that_other_languages_can_write() {
    let start = at("2026-01-01T00:00:00Z");
    let cases = [
        (Date::at(start).into(), json!({"type": "date", "at": "2026-01-01T00:00:00.000000Z"})),
        (
            Trigger::from(Interval::seconds(90).starting_at(start)),
            json!({"type": "interval", "every_us": 90_000_000, "start": "2026-01-01T00:00:00.000000Z"}),
        ),
        (
            Trigger::from(Interval::seconds(90)).bind(start, Berlin, "job"),
            json!({"type": "interval", "every_us": 90_000_000, "bound": {"anchor": "2026-01-01T00:01:30.000000Z"}}),
        ),
        (
            Trigger::from(Cron::fields().hour("*/3").end(start).build().unwrap()).bind(start, Berlin, "job"),
            json!({"type": "cron", "dialect": "fields", "fields": {"hour": "*/3"},
                   "end": "2026-01-01T00:00:00.000000Z", "bound": {"timezone": "Europe/Berlin"}}),
        ),
    ];
    for (trigger, json) in cases {
        assert_eq!(serde_json::to_value(&trigger).unwrap(), json);
        assert_eq!(serde_json::from_value::<Trigger>(json).unwrap(), trigger);
    }
}

#[test]
fn a_field_may_be_persisted_as_a_number() {
    let json = json!({"type": "cron", "dialect": "fields", "fields": {"hour": 9, "minute": "*/5"}});
    let expected = Trigger::from(Cron::fields().hour(9).minute("*/5").build().unwrap());
    assert_eq!(serde_json::from_value::<Trigger>(json).unwrap(), expected);
}

#[test]
fn a_fixed_delay_counts_from_the_end_of_the_run() {
    let added = at("2026-01-01T00:00:00Z");
    let trigger = Trigger::from(Interval::after_end(std::time::Duration::from_secs(60))).bind(added, Berlin, "job");
    let first = added + TimeDelta::seconds(60);
    assert!(trigger.waits_for_end() && !Trigger::from(Interval::minutes(1)).waits_for_end());
    assert_eq!(trigger.next(None, added).unwrap(), Some(first));
    let ended = first + TimeDelta::seconds(17);
    assert_eq!(trigger.next(Some(ended), ended).unwrap(), Some(ended + TimeDelta::seconds(60)));
    assert_eq!(trigger.previous(ended + TimeDelta::hours(1)).unwrap(), Some(first));
    assert_eq!(trigger.count(added, ended), None);
}

#[test]
fn what_cannot_be_a_trigger_is_not_decoded_as_one() {
    for (json, text) in [
        (json!({"type": "interval", "every_us": 0}), "the period is zero"),
        (json!({"type": "cron", "dialect": "fields", "fields": {"hour": "25"}}), "cron field `hour`: `25` at column 1"),
        (
            json!({"type": "cron", "dialect": "fields", "fields": {"hour": "2"}, "timezone": "CET+1"}),
            "time zone `CET+1`",
        ),
        (json!({"type": "date", "at": "tomorrow"}), "time `tomorrow`"),
    ] {
        let error = serde_json::from_value::<Trigger>(json).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn a_schedule_that_never_matches_builds_and_says_so() {
    let never = Trigger::from(Cron::fields().month(2).day(30).build().unwrap());
    assert!(never.never_fires());
    assert_eq!(never.next(None, at("2026-01-01T00:00:00Z")).unwrap(), None);
    assert_eq!(never.previous(at("2026-01-01T00:00:00Z")).unwrap(), None);
    assert!(!Trigger::from(Cron::fields().month(2).day(29).build().unwrap()).never_fires());
}

#[test]
fn nothing_fires_after_the_year_9999_and_the_end_is_not_walked_to() {
    let daily: Trigger = "calendar 1d at 03:58:23 starting on 2051-10-19".parse().unwrap();
    assert_eq!(daily.next(None, at("9999-12-31T03:58:23Z")).unwrap(), Some(at("9999-12-31T03:58:23Z")));
    assert_eq!(daily.next(None, at("9999-12-31T03:58:24Z")).unwrap(), None);
    assert_eq!(daily.next(None, at("+170008-05-19T19:05:50Z")).unwrap(), None);
    assert_eq!(daily.next(None, DateTime::<Utc>::MAX_UTC).unwrap(), None);
    assert_eq!(daily.previous(DateTime::<Utc>::MIN_UTC).unwrap(), None);
    assert_eq!(daily.previous(DateTime::<Utc>::MAX_UTC).unwrap(), Some(at("9999-12-31T03:58:23Z")));
}
