//! Jobs whose next fire time was right when it was computed.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::{Outdated, outdated, rebound};
use crate::{
    JobRow, Trigger,
    engine::tests::script::job,
    trigger::{And, CalendarInterval, Cron, Custom, CustomTrigger, Date, Except, First, Interval, Or},
};

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    time("2026-11-21T09:00:30Z")
}

/// A job that was added at a time and fires next at another one.
fn row(trigger: impl Into<Trigger>, added: &str, next: Option<DateTime<Utc>>) -> JobRow {
    let trigger = trigger.into().bind(time(added), Tz::UTC, "clock");
    let next = next.or_else(|| trigger.next(None, time(added)).unwrap());
    let mut row = job(1, "clock", trigger, 0.0).job;
    row.next_fire_time = next;
    row
}

fn berlin(expression: &str) -> Trigger {
    Cron::crontab(expression).unwrap().timezone(Tz::Europe__Berlin).into()
}

/// Each kind of trigger that fires again and again.
fn recurring() -> Vec<Trigger> {
    vec![
        Interval::hours(1).into(),
        Interval::hours(1).first(First::Now).into(),
        Interval::after_end(std::time::Duration::from_secs(60)).into(),
        Cron::crontab("0 * * * *").unwrap().into(),
        berlin("30 9 * * *"),
        CalendarInterval::days(14).into(),
        CalendarInterval::months(1).timezone(Tz::Asia__Tokyo).into(),
        Or::of([Interval::hours(7).into(), berlin("0 9 * * *")]).unwrap().into(),
        And::of([berlin("0 * * * *"), berlin("* 9 * * *")]).unwrap().into(),
        Except::new(berlin("0 9 * * *")).unwrap().dates(["2026-12-25".parse().unwrap()]).into(),
    ]
}

#[test]
fn a_fire_time_of_a_clock_that_was_ahead_is_outdated_and_one_of_any_earlier_time_is_not() {
    for trigger in recurring() {
        let ahead = row(trigger.clone(), "2099-06-01T12:00:00Z", None);
        let found = outdated(&ahead, now());
        let Some(Outdated::ClockWasAhead { kept, right }) = found else { panic!("{trigger}: {found:?}") };
        assert_eq!(Some(kept), ahead.next_fire_time, "{trigger}");
        assert!(right > now() && right < now() + TimeDelta::days(32), "{trigger}: {right}");

        // What is computed anew is right.
        let mut anew = ahead.clone();
        anew.body.trigger = rebound(&ahead, now());
        anew.next_fire_time = Some(right);
        assert_eq!(outdated(&anew, now()), None, "{trigger}");

        for added in ["2020-02-29T23:59:59Z", "2026-11-20T09:00:00Z", "2026-11-21T09:00:30Z"] {
            let mut job = row(trigger.clone(), added, None);
            assert_eq!(outdated(&job, time(added)), None, "{trigger}");
            // As a claim leaves it that comes too late by however much.
            let first = job.next_fire_time.unwrap();
            if first <= now() && !trigger.waits_for_end() {
                let last = job.body.trigger.previous(now()).unwrap().unwrap();
                job.next_fire_time = job.body.trigger.next(Some(last), now()).unwrap();
            }
            assert_eq!(outdated(&job, now()), None, "{trigger} added {added}");
        }
    }
}

#[test]
fn clocks_of_nodes_that_differ_a_little_move_nothing() {
    let job = row(Interval::seconds(1), "2026-11-21T09:01:29Z", None);
    assert_eq!(outdated(&job, now()), None);
    assert_eq!(rebound(&job, now()), job.body.trigger);
}

#[test]
fn what_somebody_has_chosen_is_never_outdated() {
    let chosen = time("2027-03-01T08:30:00Z");
    let mut job = row(berlin("30 9 * * *"), "2026-11-20T09:00:00Z", Some(chosen));
    assert!(matches!(outdated(&job, now()), Some(Outdated::ClockWasAhead { .. })));
    job.body.chosen_fire_time = Some(chosen);
    assert_eq!(outdated(&job, now()), None);

    // An earlier version did not note it; a time that the trigger does not name can only be one that a user has chosen.
    let odd = row(berlin("30 9 * * *"), "2026-11-20T09:00:00Z", Some(time("2027-03-01T08:31:07Z")));
    assert_eq!(outdated(&odd, now()), None);
}

#[test]
fn a_start_that_lies_ahead_was_given_by_its_user() {
    for trigger in [
        Interval::hours(1).starting_at(time("2099-01-01T00:00:00Z")).into(),
        CalendarInterval::days(1).starting_on("2099-01-01".parse().unwrap()).into(),
        Trigger::from(Cron::crontab("0 9 * * *").unwrap().start(time("2099-01-01T00:00:00Z"))),
        Date::at(time("2099-01-01T00:00:00Z")).into(),
    ] {
        assert_eq!(outdated(&row(trigger, "2026-11-20T09:00:00Z", None), now()), None);
    }
}

#[test]
fn code_of_the_users_may_go_by_its_previous_fire_time() {
    #[derive(Debug)]
    struct EachTime;
    impl CustomTrigger for EachTime {
        fn next(
            &self,
            _: &serde_json::Value,
            previous: Option<DateTime<Utc>>,
            now: DateTime<Utc>,
        ) -> Result<Option<DateTime<Utc>>, String> {
            Ok(Some(previous.map_or(now, |previous| previous + TimeDelta::days(400))))
        }
    }
    let custom = Custom::new("each-time", serde_json::Value::Null).with_implementation(std::sync::Arc::new(EachTime));
    let job = row(custom, "2026-11-20T09:00:00Z", Some(time("2027-12-01T00:00:00Z")));
    assert_eq!(outdated(&job, now()), None);
}

#[test]
fn a_fire_time_by_other_rules_of_its_zone_is_outdated_be_it_early_or_late() {
    // In Berlin it is one hour later than in UTC. A version of the rules without that, or with summer time all year:
    for kept in ["2026-11-22T09:30:00Z", "2026-11-22T07:30:00Z"] {
        for trigger in [berlin("30 9 * * *"), Or::of([berlin("30 9 * * *")]).unwrap().into()] {
            let job = row(trigger, "2026-11-20T09:00:00Z", Some(time(kept)));
            let right = time("2026-11-22T08:30:00Z");
            assert_eq!(outdated(&job, now()), Some(Outdated::OtherZoneRules { kept: time(kept), right }));
        }
    }
    let in_utc = row(Cron::crontab("30 9 * * *").unwrap(), "2026-11-20T09:00:00Z", Some(time("2026-11-22T08:30:00Z")));
    assert_eq!(outdated(&in_utc, now()), None, "UTC has no rules");
}
