//! Clocks that are set, and jobs whose next fire time was computed by one that was wrong.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::script::{Script, at, every, job, limits, with_run};
use crate::{
    Coalesce, Conflict, JobRow, JobSpec, JobState, Listed, Outdated, RunState, Trigger, Wait,
    engine::{Command, JobEdit, StoreReply, tests::command::update},
    plan::plan_counting,
    store::{ClaimedJob, Clock, Inserted, Stamped, StoreLimits, Updated},
    trigger::{Cron, Interval},
};

/// A job that was added when the clock was an hour ahead.
fn ahead() -> JobRow {
    let trigger = Trigger::from(Interval::seconds(10)).bind(at(3600.0), Tz::UTC, "report");
    job(1, "report", trigger, 3610.0).job
}

/// The script's job is asked for and found.
fn resume(script: &mut Script, found: &JobRow) {
    script.know(found);
    script.command(Command::ChangeJob(None, "report".into(), Box::new(JobEdit::Resume)));
    script.stored(Ok(StoreReply::Job(Some(Box::new(Listed::Job(found.clone()))))));
}

#[test]
fn a_step_of_the_nodes_clock_is_told_and_its_drift_is_not() {
    let mut script = Script::running();
    script.at(60.0).step_clock(0.9);
    script.at(120.0).expect("");
    script.step_clock(-86_400.0);
    script.at(121.0).expect("→ notify clock of Node stepped -86400s");
    script.at(122.0).step_clock(40.0);
    // In a day without a thing to do, a clock may lose a minute.
    script.at(86_522.0).expect("");
}

#[test]
fn a_step_of_a_stores_clock_is_told_and_a_slow_answer_is_none() {
    let mut script = Script::running_with(StoreLimits { clock: Clock::Server, ..limits() });
    script.at(10.0).look();
    script.pass(5.0).answer_turn(|_, reply| reply.claim.as_mut().unwrap().now = at(12.0));
    script.expect("→ claim");
    script.at(20.0).look();
    script.answer_turn(|_, reply| reply.claim.as_mut().unwrap().now = at(20.0 - 3600.0));
    script.expect(
        "→ claim
         → notify clock of Store(\"default\") stepped -3600s",
    );
}

#[test]
fn replacing_a_job_that_a_clock_has_left_in_the_future_brings_it_back() {
    let mut script = Script::new();
    script.know(&ahead());
    script.pass(25.0).add(JobSpec::new("work", Interval::seconds(10)).id("report").on_conflict(Conflict::Replace));
    let value = vec![Inserted::Conflict(Box::new(Listed::Job(ahead())))];
    script.stored(Ok(StoreReply::Insert(Stamped { now: at(25.0), value })));
    let trigger = update(&script).body.unwrap().trigger;
    assert_eq!(trigger.next(None, at(25.0)), Ok(Some(at(35.0))), "its anchor was ahead as well");
    script.updated(Updated::Updated(Box::new(job(1, "report", trigger, 35.0).job)));
    script.expect(
        "→ insert report next +35s
         → update report @ 0: active next +35s
         → notify corrected report (clock was ahead): +3610s to +35s
         → notify modified report
         → reply added report",
    );
}

#[test]
fn replacing_leaves_what_its_description_or_somebody_has_chosen() {
    for (existing, described) in [(None, Some(3610.0)), (Some(3610.0), None), (Some(3610.0), Some(5.0))] {
        let mut kept = job(1, "report", every(10), 3610.0).job;
        kept.body.chosen_fire_time = existing.map(at);
        let mut script = Script::new();
        script.know(&kept);
        let mut spec = JobSpec::new("work", every(10)).id("report").name("new").on_conflict(Conflict::Replace);
        if let Some(described) = described {
            spec = spec.first_fire_time(at(described));
        }
        script.add(spec);
        let value = vec![Inserted::Conflict(Box::new(Listed::Job(kept)))];
        script.stored(Ok(StoreReply::Insert(Stamped { now: at(0.0), value })));
        let update = update(&script);
        assert_eq!(update.next_fire_time, Some(at(3610.0)));
        assert_eq!(update.body.unwrap().chosen_fire_time, Some(at(3610.0)));
    }
}

#[test]
fn resuming_computes_anew_what_a_clock_has_left_in_the_future_paused_or_not() {
    let mut script = Script::new();
    script.pass(25.0);
    resume(&mut script, &ahead());
    script.expect(
        "→ read report
         → update report @ 0: active next +35s",
    );
    let trigger = update(&script).body.unwrap().trigger;
    script.updated(Updated::Updated(Box::new(job(1, "report", trigger.clone(), 35.0).job)));
    script.expect(
        "→ notify corrected report (clock was ahead): +3610s to +35s
         → notify modified report
         → reply job report",
    );
    resume(&mut script, &job(1, "report", trigger, 35.0).job);
    script.expect(
        "→ read report
         → reply job report",
    );

    let paused = JobRow { state: JobState::Paused, next_fire_time: None, due: None, ..ahead() };
    resume(&mut script, &paused);
    script.expect(
        "→ read report
         → update report @ 0: active next +35s due +25s",
    );
}

#[test]
fn a_fixed_delay_counts_from_now_after_an_end_that_lies_ahead() {
    let delay = Interval::after_end(Duration::from_secs(60)).starting_at(at(0.0));
    let mut claimed = job(1, "report", delay.into(), 0.0);
    (claimed.job.next_fire_time, claimed.job.last_end) = (None, Some(at(1e9)));
    assert_eq!(crate::plan::plan(&claimed, at(10.0)).unwrap().next_fire_time, Some(at(70.0)));
}

/// A job for 10:30 in Berlin, which is 9:30 in UTC and half an hour after the beginning of the script, that fires next at
/// another time.
fn in_berlin(next: f64, trigger: &str) -> ClaimedJob {
    let cron = Cron::crontab(trigger).unwrap().timezone(Tz::Europe__Berlin);
    job(1, "report", cron.into(), next)
}

const HALF_PAST: f64 = 1800.0;

#[test]
fn a_claim_moves_a_fire_time_on_that_other_rules_of_the_zone_made_early() {
    let mut script = Script::running();
    script.at(HALF_PAST + 1.0).look();
    script.claimed([in_berlin(HALF_PAST - 3600.0, "30 10 * * *")]);
    script.applied();
    // Half past is over by a second as well: one run, and for the right time.
    script.expect(
        "→ claim
         → settle report: #1 +1800s starts, next +88200s
         → notify corrected report (other zone rules): -1800s to +1800s
         → notify submitted report#1
         → start report#1 attempt 1",
    );

    let mut script = Script::running();
    script.at(1.0).look();
    script.claimed([in_berlin(HALF_PAST - 3600.0, "30 10 * * *")]);
    script.applied();
    script.expect(
        "→ claim
         → settle report: next +1800s
         → notify corrected report (other zone rules): -1800s to +1800s",
    );
    script.at(HALF_PAST - 0.1).expect("");
    script.at(HALF_PAST).expect("→ claim");
}

#[test]
fn a_fire_time_that_other_rules_of_the_zone_made_late_runs_once_and_is_told_and_what_follows_is_right() {
    let mut script = Script::running();
    script.at(HALF_PAST + 3600.0).look();
    script.claimed([in_berlin(HALF_PAST + 3600.0, "30 10 * * *")]);
    script.applied();
    script.expect(
        "→ claim
         → settle report: #1 +5400s starts, next +88200s
         → notify late report (other zone rules): +5400s instead of +1800s
         → notify submitted report#1
         → start report#1 attempt 1",
    );
}

#[test]
fn a_late_fire_time_that_has_to_wait_for_room_is_told_once_when_it_goes() {
    let mut free = in_berlin(HALF_PAST + 3600.0, "30 10 * * *");
    free.job.body.options.coalesce = Coalesce::All;
    let queued = |claimed, seq| with_run(claimed, seq, 0.0, RunState::Waiting(Wait::Queued));
    let full = (2..=101).fold(with_run(free.clone(), 1, 0.0, RunState::Running), queued);
    let plan = |claimed: &ClaimedJob| plan_counting(claimed, at(HALF_PAST + 3600.0 + 86_400.0)).0.unwrap();
    assert_eq!((plan(&full).to.next_fire_time, plan(&full).outdated), (free.job.next_fire_time, None));
    assert!(matches!(plan(&free).outdated, Some(Outdated::LateByOtherZoneRules { .. })));
}

#[test]
fn what_is_late_is_told_only_if_other_rules_explain_it() {
    let late = |claimed: &ClaimedJob| plan_counting(claimed, at(HALF_PAST + 7200.0)).0.unwrap().outdated;
    let kept = HALF_PAST + 3600.0;
    assert!(late(&in_berlin(kept, "30 10 * * *")).is_some());
    assert_eq!(late(&in_berlin(HALF_PAST, "30 10 * * *")), None, "a downtime");
    assert_eq!(late(&in_berlin(kept - 77.0, "30 10 * * *")), None, "somebody's");
    assert_eq!(late(&in_berlin(kept, "30 6 * * *")), None, "no rules differ by so much");
    let mut chosen = in_berlin(kept, "30 10 * * *");
    chosen.job.body.chosen_fire_time = chosen.job.next_fire_time;
    assert_eq!(late(&chosen), None);
}

#[test]
fn a_claim_leaves_what_somebody_has_chosen_and_what_no_rules_explain() {
    let runs = |claimed: &ClaimedJob, now: f64| crate::plan::plan(claimed, at(now)).unwrap().runs.len();
    let mut chosen = in_berlin(HALF_PAST - 3600.0, "30 10 * * *");
    chosen.job.body.chosen_fire_time = chosen.job.next_fire_time;
    assert_eq!(runs(&chosen, 0.0), 1);
    assert_eq!(runs(&in_berlin(-77.0, "30 10 * * *"), 0.0), 1);
    let mut all = in_berlin(HALF_PAST - 3600.0, "30 10 * * *");
    all.job.body.options.coalesce = Coalesce::All;
    assert_eq!(runs(&all, HALF_PAST + 1.0), 1, "not once too early and once in time");
}

#[test]
fn explain_names_a_next_fire_time_of_a_clock_that_was_ahead() {
    let now: DateTime<Utc> = at(25.0);
    let explanation = crate::explain(&ahead(), &[], now, at(35.0)).to_string();
    let expected = "; the next fire time 2026-11-21 10:00:10 UTC was computed when the clock was ahead, and the trigger gives \
                    2026-11-21 09:00:35 UTC: replace, resume or reschedule the job, which computes it anew";
    assert!(explanation.ends_with(expected), "{explanation}");
}
