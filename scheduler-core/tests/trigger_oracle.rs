//! Replays fire times computed by software that this project did not write; see data/oracle/README.md.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use scheduler_core::trigger::{And, CalendarInterval, Cron, CronFields, Interval, Or, Trigger, TriggerErrorKind};
use serde_json::Value;

fn cases(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn time(value: &Value) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap().to_utc()
}

fn zone(case: &Value) -> Tz {
    case["timezone"].as_str().unwrap().parse().unwrap()
}

fn fields(fields: &Value) -> CronFields {
    fields
        .as_object()
        .unwrap()
        .iter()
        .fold(Cron::fields(), |builder, (name, text)| builder.field(name, text.as_str().unwrap()).unwrap())
}

fn replay(case: &Value, trigger: &Trigger) {
    let after = time(&case["after"]);
    let expected: Vec<_> = case["fires"].as_array().unwrap().iter().map(time).collect();
    let mut found = Vec::new();
    // cronsim answers strictly after the instant; in seven cases of the daylight-saving file that makes a difference.
    let mut previous = (case["kind"] == "crontab").then_some(after);
    let finished = loop {
        let now = previous.unwrap_or(after);
        let Some(next) = trigger.next(previous, now).unwrap() else { break true };
        if found.len() == expected.len() {
            break false;
        }
        assert_eq!(trigger.previous(next).unwrap(), Some(next), "{case}");
        assert_eq!(
            trigger.previous(next - chrono::TimeDelta::microseconds(1)).unwrap().max(Some(now)),
            Some(now),
            "{case}"
        );
        found.push(next);
        previous = Some(next);
    };
    assert_eq!(found, expected, "{case}");
    let ends =
        case["finished"] == true && (case["end"].is_string() || case["end_date"].is_string() || expected.is_empty());
    assert!(finished || !ends, "fires after the end: {case}");
}

fn cron(case: &Value) -> Trigger {
    let mut builder = fields(&case["fields"]).timezone(zone(case));
    if case["end"].is_string() {
        builder = builder.end(time(&case["end"]));
    }
    builder.build().unwrap_or_else(|error| panic!("{case}: {error}")).into()
}

#[test]
fn cron_fields_fire_in_utc_as_in_apscheduler() {
    for case in cases(include_str!("data/oracle/cron_utc.jsonl")) {
        replay(&case, &cron(&case));
    }
}

#[test]
fn cron_fields_fire_in_real_zones_as_in_apscheduler() {
    for case in cases(include_str!("data/oracle/cron_zoned.jsonl")) {
        replay(&case, &cron(&case));
    }
}

#[test]
fn what_apscheduler_refuses_is_refused_with_an_error_that_names_the_field() {
    for case in cases(include_str!("data/oracle/rejected.jsonl")) {
        let error = fields(&case["fields"]).build().expect_err(&case.to_string());
        assert_eq!(error.kind(), TriggerErrorKind::Expression);
        let field = case["fields"].as_object().unwrap().keys().next().unwrap();
        assert!(error.to_string().contains(&format!("`{field}`")), "{case}: {error}");
    }
}

#[test]
fn intervals_fire_as_in_apscheduler() {
    for case in cases(include_str!("data/oracle/interval.jsonl")) {
        let unit = |name: &str| case["units"][name].as_u64().unwrap_or(0);
        let mut interval = Interval::weeks(unit("weeks"))
            + Interval::days(unit("days"))
            + Interval::hours(unit("hours"))
            + Interval::minutes(unit("minutes"))
            + Interval::seconds(unit("seconds"));
        interval = interval.starting_at(time(&case["start"]));
        if case["end"].is_string() {
            interval = interval.until(time(&case["end"]));
        }
        replay(&case, &interval.into());
    }
}

#[test]
fn crontab_expressions_fire_as_in_cronsim() {
    for case in cases(include_str!("data/oracle/crontab.jsonl")) {
        let cron = Cron::crontab(case["expression"].as_str().unwrap()).unwrap();
        replay(&case, &cron.timezone(zone(&case)).into());
    }
}

#[test]
fn crontab_expressions_fire_around_daylight_saving_as_in_cronsim() {
    for case in cases(include_str!("data/oracle/crontab_dst.jsonl")) {
        let cron = Cron::crontab(case["expression"].as_str().unwrap()).unwrap();
        replay(&case, &cron.timezone(zone(&case)).into());
    }
}

#[test]
fn calendar_intervals_fire_as_in_apscheduler() {
    for case in cases(include_str!("data/oracle/calendar_interval.jsonl")) {
        let unit = |name: &str| case["units"][name].as_u64().unwrap_or(0) as u32;
        let part = |name: &str| case[name].as_u64().unwrap() as u32;
        let mut interval = CalendarInterval::years(unit("years"))
            + CalendarInterval::months(unit("months"))
            + CalendarInterval::weeks(unit("weeks"))
            + CalendarInterval::days(unit("days"));
        interval = interval
            .at(NaiveTime::from_hms_opt(part("hour"), part("minute"), part("second")).unwrap())
            .timezone(zone(&case))
            .starting_on(case["start_date"].as_str().unwrap().parse().unwrap());
        if let Some(end) = case["end_date"].as_str() {
            interval = interval.until(end.parse().unwrap());
        }
        replay(&case, &interval.into());
    }
}

#[test]
fn combinations_fire_as_in_apscheduler() {
    for case in cases(include_str!("data/oracle/combined.jsonl")) {
        let parts = case["cron"].as_array().unwrap().iter();
        let parts = parts.map(|part| fields(part).timezone(zone(&case)).build().unwrap().into());
        let trigger = match case["kind"].as_str().unwrap() {
            "and" => Trigger::from(And::of(parts).unwrap()),
            _ => Trigger::from(Or::of(parts).unwrap()),
        };
        replay(&case, &trigger);
    }
}
