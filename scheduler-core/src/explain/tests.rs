//! Rows and histories that take a while to come about, and changes of the clocks.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{Answer, ClockChange, explain};
use crate::{
    Coalesce, JobRow, JobState, Pause, Run, RunId, RunState, Trigger, Verdict, Wait,
    engine::tests::script::{at, every, job},
    trigger::{CalendarInterval, Cron, Custom, CustomTrigger, Gap, RepeatedHour},
};

/// A job that fires every ten seconds from 9 o'clock on, and next after so many.
fn clock(next: f64) -> JobRow {
    let mut row = job(1, "clock", every(10), next).job;
    row.last_seq = 9;
    row
}

fn run(seq: u64, fire_time: f64, state: RunState) -> Run {
    Run::new(RunId { uid: clock(0.0).uid, seq }, at(fire_time), state)
}

fn ended(seq: u64, fire_time: f64, verdict: Verdict) -> Run {
    Run { started: Some(at(fire_time)), ended: Some(at(fire_time)), ..run(seq, fire_time, RunState::Ended(verdict)) }
}

/// The sentence without the job and the date.
#[track_caller]
fn says(job: &JobRow, runs: &[Run], now: f64, time: f64, expected: &str) {
    let text = explain(job, runs, at(now), at(time)).to_string().replace("2026-11-21 ", "").replace(" UTC", "");
    assert_eq!(text.split_once("` at ").unwrap().1, expected);
}

#[test]
fn waiting_runs_say_what_for() {
    for (wait, expected) in [
        (Wait::Queued, "09:00:10: its run waits until fewer runs are running"),
        (Wait::Retry, "09:00:10: its attempt 2 failed, and the next one starts at 09:00:40: disk full"),
        (Wait::Orphan, "09:00:10: its node died while it ran, and it waits for another node"),
        (Wait::Released, "09:00:10: its node gave it back, and it waits for another node"),
        (Wait::Requested, "09:00:10: a user asked for it, and it waits until fewer runs are running"),
    ] {
        let waiting = run(9, 10.0, RunState::Waiting(wait));
        let waiting = Run { attempt: 2, due: at(40.0), error: Some("disk full".into()), ..waiting };
        says(&clock(20.0), &[waiting], 15.0, 10.0, expected);
    }
}

#[test]
fn a_later_attempt_is_not_called_late_and_a_lost_run_has_no_duration() {
    let lost = ended(9, 10.0, Verdict::Lost);
    let lost = Run { attempt: 4, owner: Some("node-2".into()), error: Some("its node died".into()), ..lost };
    says(
        &clock(20.0),
        &[Run { started: Some(at(70.0)), ..lost }],
        100.0,
        10.0,
        "09:00:10: it ran, from 09:01:10, and ended as lost, in attempt 4 on node node-2: its node died",
    );
}

#[test]
fn a_time_stands_for_the_fire_time_within_its_second() {
    let mut uneven = job(1, "uneven", every(10), 20.25).job;
    uneven.body.trigger = Trigger::from(crate::trigger::Interval::seconds(10).starting_at(at(0.25)));
    says(&uneven, &[ended(1, 10.25, Verdict::Ok)], 12.0, 20.0, "09:00:20.250: it will run; that is its next fire time");
    let ran = explain(&uneven, &[ended(1, 10.25, Verdict::Ok)], at(12.0), at(10.0));
    assert!(matches!(ran.answer, Answer::Ran { .. }) && ran.fire_time == Some(at(10.25)), "{ran:?}");
    let missed = Run { first: Some(at(0.25)), ..run(1, 20.25, RunState::Ended(Verdict::Missed)) };
    let within = explain(&uneven, &[missed], at(32.0), at(10.0));
    assert!(matches!(within.answer, Answer::Missed { .. }) && within.fire_time == Some(at(10.25)), "{within:?}");
    // A fraction is meant as it is given.
    let between = explain(&uneven, &[], at(12.0), at(20.1));
    assert!(matches!(between.answer, Answer::NotAFireTime { .. }), "{between:?}");
}

#[test]
fn a_run_by_hand_is_found_beside_the_fire_time_of_its_second() {
    let by_hand = ended(9, 20.5, Verdict::Ok);
    let history = [ended(8, 20.0, Verdict::Skipped), by_hand.clone()];
    assert_eq!(explain(&clock(30.0), &history, at(25.0), at(20.0)).answer, Answer::Skipped { max_instances: 1 });
    assert!(matches!(explain(&clock(30.0), &history, at(25.0), at(20.5)).answer, Answer::Ran { .. }));
    assert_eq!(explain(&clock(20.0), &[by_hand], at(19.0), at(20.0)).answer, Answer::Next);
}

#[test]
fn a_next_fire_time_of_the_users_choice_counts_and_what_it_passes_over_does_not() {
    let chosen = clock(44.0);
    says(&chosen, &[], 15.0, 44.0, "09:00:44: it will run; that is its next fire time");
    says(&chosen, &[], 15.0, 50.0, "09:00:50: it will run; its next fire time is 09:00:44");
    let passed_over = explain(&chosen, &[], at(15.0), at(20.0));
    assert_eq!(passed_over.answer, Answer::NotAFireTime { before: Some(at(10.0)), after: Some(at(44.0)) });
    assert_eq!(passed_over.fire_time, None);
}

#[test]
fn without_any_history_everything_is_forgotten_that_was_once_decided() {
    says(&clock(30.0), &[], 25.0, 10.0, "09:00:10: the history does not reach back that far; it keeps 100 runs");
    let new = JobRow { last_seq: 0, ..clock(30.0) };
    assert_eq!(explain(&new, &[], at(25.0), at(10.0)).answer, Answer::NotThen);
    // The first run of the job is there, so that nothing before it was pruned.
    assert_eq!(explain(&clock(30.0), &[ended(1, 20.0, Verdict::Ok)], at(25.0), at(10.0)).answer, Answer::NotThen);
}

#[test]
fn quarantine_says_why_and_what_was_before_it_is_told_as_ever() {
    let bad = JobRow { state: JobState::Quarantined("args: not JSON".into()), ..clock(20.0) };
    says(
        &bad,
        &[],
        25.0,
        20.0,
        "09:00:20: it does not run, since the job is in quarantine: args: not JSON; repair or remove it",
    );
    assert!(matches!(explain(&bad, &[ended(9, 10.0, Verdict::Ok)], at(25.0), at(10.0)).answer, Answer::Ran { .. }));
}

#[test]
fn a_backlog_that_waits_for_slots_is_not_called_unclaimed() {
    let mut behind = JobRow { blocked: true, ..clock(20.0) };
    behind.body.options.coalesce = Coalesce::All;
    says(&behind, &[], 45.0, 30.0, "09:00:30: its run waits until fewer runs are running");
}

/// Fires ten seconds after its previous fire time, whenever that was.
struct Relative;

impl CustomTrigger for Relative {
    fn next(
        &self,
        _: &Value,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, String> {
        Ok(Some(previous.unwrap_or(now) + TimeDelta::seconds(10)))
    }
}

#[test]
fn a_custom_trigger_is_asked_from_fire_times_that_it_knows() {
    let mut custom = clock(23.0);
    custom.body.trigger = Trigger::from(Custom::new("relative", Value::Null).with_implementation(Arc::new(Relative)));
    says(&custom, &[], 15.0, 43.0, "09:00:43: it will run; its next fire time is 09:00:23");
    says(
        &custom,
        &[ended(9, 13.0, Verdict::Ok)],
        15.0,
        20.0,
        "09:00:20: that is not a fire time; the trigger fires at 09:00:13 before it and at 09:00:23 after it",
    );
}

/// A job in Berlin, asked twelve hours before a time of 2026 in UTC.
#[track_caller]
fn berlin(trigger: impl Into<Trigger>, time: &str) -> (String, Option<ClockChange>) {
    let time: DateTime<Utc> = format!("2026-{time}Z").parse().unwrap();
    let now = time - TimeDelta::hours(12);
    let mut row = job(1, "night", every(10), 0.0).job;
    row.body.trigger = trigger.into();
    row.next_fire_time = row.body.trigger.next(None, now).unwrap();
    let explanation = explain(&row, &[], now, time);
    (explanation.to_string(), explanation.clocks)
}

#[test]
fn in_spring_the_rule_for_skipped_times_is_told() {
    let half_past_two = || Cron::fields().hour("2").minute("30").timezone(chrono_tz::Europe::Berlin);
    let (text, _) = berlin(half_past_two().build().unwrap(), "03-29T01:00:00");
    assert_eq!(
        text,
        "`night` at 2026-03-29 03:00:00 CEST: it will run; that is its next fire time; the clocks went from 2026-03-29 \
         02:00:00 to 2026-03-29 03:00:00, and the trigger fires once, right after it, for what lies between"
    );
    let (text, clocks) = berlin(half_past_two().gap(Gap::Skip).build().unwrap(), "03-29T00:30:00");
    assert!(text.contains("that is not a fire time"), "{text}");
    assert!(matches!(clocks, Some(ClockChange::Skips { rule: Gap::Skip, .. })), "{clocks:?}");
    let (text, _) = berlin(half_past_two().gap(Gap::Shift).build().unwrap(), "03-29T01:30:00");
    assert!(text.ends_with("fires for what lies between as much later as the gap is long"), "{text}");
    // Two hours later nothing reminds of it.
    assert_eq!(berlin(half_past_two().build().unwrap(), "03-29T03:00:00").1, None);
}

#[test]
fn in_autumn_both_passes_are_told() {
    let half_past_two = || Cron::fields().hour("2").minute("30").timezone(chrono_tz::Europe::Berlin);
    let both = |rule| {
        let instant = |time: &str| format!("2026-10-25T{time}:00Z").parse().unwrap();
        Some(ClockChange::Repeats { first: instant("00:30"), second: instant("01:30"), rule })
    };
    let (text, clocks) = berlin(half_past_two().build().unwrap(), "10-25T00:30:00");
    assert_eq!(
        text,
        "`night` at 2026-10-25 02:30:00 CEST: it will run; that is its next fire time; the clocks show that time twice, \
         at 2026-10-25 02:30:00 CEST and at 2026-10-25 02:30:00 CET, and the trigger fires at the first"
    );
    assert_eq!(clocks, both(RepeatedHour::First));
    let (text, clocks) = berlin(half_past_two().build().unwrap(), "10-25T01:30:00");
    assert!(text.contains("that is not a fire time"), "{text}");
    assert_eq!(clocks, both(RepeatedHour::First));
    let every_half_hour = Cron::crontab("CRON_TZ=Europe/Berlin */30 * * * *").unwrap();
    assert_eq!(berlin(every_half_hour, "10-25T01:30:00").1, both(RepeatedHour::Both));
    let monthly = CalendarInterval::days(1).timezone(chrono_tz::Europe::Berlin);
    assert!(berlin(monthly, "10-25T00:30:00").1.is_some());
}

#[test]
fn an_overdue_fire_time_is_judged_by_the_grace_time() {
    let mut strict = clock(20.0);
    strict.body.options.misfire_grace_time = Some(Duration::from_secs(5));
    says(
        &strict,
        &[],
        24.0,
        20.0,
        "09:00:20: it is due since 4s, and no node has taken it; is a scheduler with the task `work` running, and in \
         reach of the store?",
    );
    says(
        &strict,
        &[],
        26.0,
        20.0,
        "09:00:20: it is due since 6s, and no node has taken it; later than 5s, it will be missed",
    );
}

#[test]
fn the_ends_of_time_are_times_as_well() {
    let triggers = [
        every(10),
        Cron::fields().hour("2").timezone(chrono_tz::Europe::Berlin).build().unwrap().into(),
        CalendarInterval::days(1).timezone(chrono_tz::Pacific::Apia).into(),
        crate::trigger::Date::at(at(0.0)).into(),
    ];
    for trigger in triggers {
        let mut row = clock(10.0);
        row.body.trigger = trigger.bind(at(0.0), chrono_tz::Tz::UTC, "clock");
        for time in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            assert!(!explain(&row, &[ended(9, 0.0, Verdict::Ok)], at(5.0), time).to_string().is_empty());
        }
    }
}

#[test]
fn a_paused_job_says_who_paused_it_why_and_until_when() {
    let mut paused = clock(70.0);
    (paused.state, paused.next_fire_time, paused.due) = (JobState::Paused, None, Some(at(95.0)));
    let pause = Pause::new().by("anna").note("no paper").until(at(95.0));
    paused.body.pause = Some(Box::new(pause.begun(at(61.0), Some(at(70.0)))));
    let why = "it does not run, since the job is paused (by anna, since 09:01:01, until 09:01:35: no paper); it goes on by itself \
               then";
    says(&paused, &[], 65.0, 80.0, &format!("09:01:20: {why}"));
    says(&paused, &[], 65.0, 100.0, "09:01:40: it will run; that is its next fire time");
    says(&paused, &[], 65.0, 110.0, "09:01:50: it will run; its next fire time is 09:01:40");
}
