//! And, or, except: what they fire, and that a search always ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_core::{
    Trigger,
    trigger::{And, CalendarInterval, Cron, Date, Except, Interval, Or, TriggerErrorKind},
};
use serde_json::json;
use std::time::Duration;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn crontab(expression: &str) -> Trigger {
    Cron::crontab(expression).unwrap().into()
}

fn days(trigger: &Trigger, from: &str, n: usize) -> String {
    let fires = trigger.next_n(at(from) - TimeDelta::seconds(1), n).unwrap();
    fires.iter().map(|fire| fire.format("%m-%d").to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn and_fires_when_all_do_as_the_tests_of_apscheduler_say() {
    let summer = Cron::fields().month("5-8").day("6-15").end(at("2017-08-10T00:00:00Z")).build().unwrap();
    let thirds = Cron::fields().month("6-9").day("*/3").end(at("2017-09-07T00:00:00Z")).build().unwrap();
    let and = Trigger::from(And::of([summer.clone().into(), thirds.clone().into()]).unwrap());
    assert_eq!(and.next(None, at("2017-08-06T00:00:00Z")).unwrap(), Some(at("2017-08-07T00:00:00Z")));
    assert_eq!(and.next(None, at("2017-08-10T01:00:00Z")).unwrap(), None);
    let or = Trigger::from(Or::of([summer.into(), thirds.into()]).unwrap());
    assert_eq!(or.next(None, at("2017-08-06T00:00:00Z")).unwrap(), Some(at("2017-08-06T00:00:00Z")));
    assert_eq!(or.next(None, at("2017-09-07T01:00:00Z")).unwrap(), None);
}

#[test]
fn and_goes_on_where_apscheduler_hangs() {
    // #281, #361, #906: the first of the month that is a Monday; each third day that is a weekend.
    let first_monday = And::of([crontab("0 0 1 * *"), crontab("0 0 * * mon")]).unwrap();
    assert_eq!(days(&first_monday.into(), "2026-01-01T00:00:00Z", 3), "06-01 02-01 03-01");
    let start = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    let every_third = CalendarInterval::days(3).starting_on(start).timezone(Tz::UTC);
    let weekends = And::of([every_third.into(), crontab("0 0 * * sat,sun")]).unwrap();
    assert_eq!(days(&weekends.into(), "2026-01-01T00:00:00Z", 4), "01-04 01-10 01-25 01-31");
    let six = Interval::hours(6).starting_at(at("2026-01-01T00:00:00Z"));
    let four = Interval::hours(4).starting_at(at("2026-01-01T00:00:00Z"));
    let twelve = Trigger::from(And::of([six.into(), four.into()]).unwrap());
    let fires = twelve.next_n(at("2026-01-01T00:00:00Z"), 2).unwrap();
    assert_eq!(fires, [at("2026-01-01T12:00:00Z"), at("2026-01-02T00:00:00Z")]);
    assert_eq!(twelve.previous(at("2026-01-02T11:00:00Z")).unwrap(), Some(at("2026-01-02T00:00:00Z")));
}

#[test]
fn triggers_that_never_agree_end_with_none() {
    let start = at("2026-01-01T00:00:00Z");
    let even = Interval::seconds(4).starting_at(start);
    let odd = Interval::seconds(4).starting_at(start + TimeDelta::seconds(2));
    for (one, other) in [
        (even.into(), odd.into()),
        (crontab("0 * * * *"), crontab("30 * * * *")),
        (crontab("0 0 * * mon"), crontab("0 0 * * tue")),
        (crontab("0 0 1 1 *"), crontab("0 0 2 1 *")),
        (crontab("30 2 31 2 *"), crontab("* * * * *")),
        (crontab("* * * * *"), Trigger::from(Date::at(start + TimeDelta::seconds(1)))),
    ] {
        let and = Trigger::from(And::of([one, other]).unwrap());
        assert_eq!(and.next(None, start).unwrap(), None, "{and}");
        let nested = Trigger::from(And::of([and.clone(), and]).unwrap());
        assert_eq!(nested.next(None, start).unwrap(), None, "{nested}");
    }
    let never = Trigger::from(And::of([crontab("30 2 31 2 *"), crontab("* * * * *")]).unwrap());
    assert!(never.never_fires());
}

#[test]
fn triggers_that_agreed_once_and_then_too_rarely_are_an_error_and_not_an_end() {
    let start = at("2026-01-01T00:00:00Z");
    // They meet each 27,000 years or so.
    let one = Interval::every(Duration::from_micros(1_000_003)).starting_at(start);
    let other = Interval::every(Duration::from_micros(999_983)).starting_at(start);
    let and = Trigger::from(And::of([one.into(), other.into()]).unwrap());
    assert_eq!(and.next(None, start).unwrap(), Some(start));
    let error = and.next(Some(start), start).unwrap_err();
    assert_eq!(error.kind(), TriggerErrorKind::SearchLimit);
}

#[test]
fn or_keeps_the_grid_of_its_intervals() {
    // APScheduler anchors an interval anew at whatever fired last.
    let start = at("2026-01-01T00:00:00Z");
    let four = Interval::seconds(4).starting_at(start).until(start + TimeDelta::seconds(16));
    let six = Interval::seconds(6).starting_at(start).until(start + TimeDelta::seconds(18));
    let or = Trigger::from(Or::of([four.into(), six.into()]).unwrap());
    let fires: Vec<_> =
        or.fires(start - TimeDelta::seconds(1)).map(|fire| (fire.unwrap() - start).num_seconds()).collect();
    assert_eq!(fires, [0, 4, 6, 8, 12, 16, 18]);
}

#[test]
fn a_part_that_never_fires_does_not_silence_the_others() {
    let never = || Trigger::from(And::of([crontab("0 * * * *"), crontab("30 * * * *")]).unwrap());
    let daily = || crontab("0 9 * * *");
    let except_never = || Trigger::from(Except::new(daily()).unwrap().times(never()).unwrap());
    for or in [
        Or::of([never(), daily()]),
        Or::of([daily(), never(), never()]),
        Or::of([never(), except_never()]),
        Or::of([Or::of([never()]).unwrap().into(), Or::of([never(), except_never()]).unwrap().into()]),
    ] {
        let or = Trigger::from(or.unwrap());
        assert_eq!(days(&or, "2026-01-01T00:00:00Z", 2), "01-01 01-02", "{or}");
        assert_eq!(or.previous(at("2026-01-03T08:00:00Z")).unwrap(), Some(at("2026-01-02T09:00:00Z")), "{or}");
    }
}

#[test]
fn holidays_are_left_out_by_the_days_of_the_zone() {
    let holiday = NaiveDate::from_ymd_opt(2026, 12, 25).unwrap();
    let hourly = Except::new(crontab("0 * * * *")).unwrap().dates([holiday]).timezone(chrono_tz::Asia::Tokyo);
    let trigger = Trigger::from(hourly);
    let fires = trigger.next_n(at("2026-12-24T13:30:00Z"), 2).unwrap();
    assert_eq!(fires, [at("2026-12-24T14:00:00Z"), at("2026-12-25T15:00:00Z")]);
    assert_eq!(trigger.previous(at("2026-12-25T14:59:00Z")).unwrap(), Some(at("2026-12-24T14:00:00Z")));
}

#[test]
fn maintenance_windows_are_left_out() {
    let window = crontab("0 2 * * sun");
    let every = Except::new(crontab("*/30 * * * *")).unwrap().during(window, Duration::from_secs(2 * 3600)).unwrap();
    let fires = Trigger::from(every).next_n(at("2026-01-04T01:00:00Z"), 2).unwrap();
    assert_eq!(fires, [at("2026-01-04T01:30:00Z"), at("2026-01-04T04:00:00Z")]);
    let not_at = Except::new(crontab("0 * * * *")).unwrap().times(crontab("0 */2 * * *")).unwrap();
    let fires = Trigger::from(not_at).next_n(at("2026-01-04T00:30:00Z"), 2).unwrap();
    assert_eq!(fires, [at("2026-01-04T01:00:00Z"), at("2026-01-04T03:00:00Z")]);
    let always = Except::new(crontab("0 * * * *")).unwrap().times(crontab("* * * * *")).unwrap();
    assert_eq!(Trigger::from(always).next(None, at("2026-01-04T00:30:00Z")).unwrap(), None);
}

#[test]
fn what_makes_no_sense_in_a_combination_is_refused() {
    let fixed_delay = || Trigger::from(Interval::after_end(Duration::from_secs(60)));
    let jittered = || Trigger::from(Interval::seconds(60).jitter(Duration::from_secs(1)));
    for error in [
        And::of([]).unwrap_err(),
        And::of([crontab("* * * * *"), fixed_delay()]).unwrap_err(),
        Or::of([jittered()]).unwrap_err(),
        Except::new(fixed_delay()).unwrap_err(),
        Except::new(crontab("* * * * *")).unwrap().times(jittered()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), TriggerErrorKind::Combination);
    }
    let json = json!({"type": "or", "triggers": []});
    assert!(serde_json::from_value::<Trigger>(json).unwrap_err().to_string().contains("no trigger in it"));
}

#[test]
fn parts_are_bound_with_the_whole() {
    let now = at("2026-07-01T12:00:00Z");
    let or = Trigger::from(Or::of([Interval::hours(1).into(), crontab("0 9 * * *")]).unwrap());
    let bound = or.clone().bind(now, chrono_tz::Europe::Berlin, "job");
    assert_eq!(bound.previous(at("2026-07-02T07:30:00Z")).unwrap(), Some(at("2026-07-02T07:00:00Z")));
    let later = bound.clone().bind(now + TimeDelta::minutes(7), Tz::UTC, "job");
    assert_eq!(later, bound);
    assert!(bound.is_same_as_written(&or));
}

#[test]
fn the_persisted_form_of_a_combination_nests() {
    let except = Except::new(Or::of([crontab("0 9 * * *")]).unwrap().end(at("2027-01-01T00:00:00Z")).into()).unwrap();
    let except = except
        .dates([NaiveDate::from_ymd_opt(2026, 12, 25).unwrap()])
        .during(crontab("0 8 * * 0"), Duration::from_secs(1));
    let trigger = Trigger::from(except.unwrap().jitter(Duration::from_millis(1500)));
    let json = json!({
        "type": "except",
        "trigger": {
            "type": "or",
            "triggers": [{"type": "cron", "dialect": "crontab", "expression": "0 9 * * *"}],
            "end": "2027-01-01T00:00:00.000000Z",
        },
        "dates": ["2026-12-25"],
        "during": [{"trigger": {"type": "cron", "dialect": "crontab", "expression": "0 8 * * 0"}, "lasting_us": 1_000_000}],
        "jitter_us": 1_500_000,
    });
    assert_eq!(serde_json::to_value(&trigger).unwrap(), json);
    assert_eq!(serde_json::from_value::<Trigger>(json).unwrap(), trigger);
}
