//! From due to ended.

use std::time::Duration;

use serde_json::json;

use super::script::{Script, at, every, job, limits, reply_to, unavailable, with_run};
use crate::{
    Outcome, Output, Overlap, RunState, Trigger, Wait,
    engine::{Command, StoreReply, WakeReason},
    store::{Changed, ClaimedJob, Clock, Declined, Fate, Hint, RecordOutcome, SettleOutcome, StoreLimits, Wakes},
    trigger::{Custom, Date, Interval},
};

#[test]
fn a_due_job_is_claimed_settled_started_and_recorded_each_after_the_store_has_confirmed_the_former() {
    let mut script = Script::running();
    script.look();
    script.expect("");
    script.at(10.0).expect("→ claim");
    script.claimed_next([job(1, "report", every(10), 10.0)], Some(20.0));
    script.expect("→ settle report: #1 +10s starts, next +20s");
    script.applied();
    script.expect(
        "→ notify submitted report#1
         → start report#1 attempt 1",
    );
    script.pass(3.0).finished("report#1", Outcome::Ok(json!("sent")));
    script.expect("→ record report#1 ok");
    script.applied();
    script.expect("→ notify executed report#1");
    script.at(16.0).look();
    script.claimed_next([], Some(20.0));
    let wake = script.next_wake().unwrap();
    assert_eq!((wake.after.as_secs(), wake.reason), (4, WakeReason::Due));
}

#[test]
fn an_engine_with_nothing_due_wants_no_wake() {
    let mut script = Script::running();
    assert_eq!(script.next_wake(), None);
    // Nor with something due after more than a lease, before it is.
    script.at(1.0).look();
    script.claimed_next([], Some(100.0));
    assert_eq!(script.next_wake().unwrap().after.as_secs(), 99);
}

#[test]
fn the_next_claim_goes_with_the_settle_if_there_is_more() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.answer_turn(|_, reply| {
        let claimed = reply.claim.as_mut().unwrap();
        claimed.jobs = vec![job(1, "first", every(10), 10.0)];
        claimed.more = true;
    });
    script.expect(
        "→ claim
         → settle ?: #1 +10s starts, next +20s | claim",
    );
    script.claimed([job(2, "second", every(10), 10.0)]);
    script.expect(
        "→ notify submitted ?#1
         → start ?#1 attempt 1
         → settle second: #1 +10s starts, next +20s",
    );
}

#[test]
fn beside_a_backlog_claims_take_first_what_has_become_due_since_the_last_one() {
    let mut script = Script::running_with(StoreLimits { batch: 4, ..limits() });
    let mut uid = 0;
    // A claim of up to four jobs that is answered at a time: when what it takes is due, whether more is left, and since when jobs were
    // recent for it.
    let mut recent_since = |script: &mut Script, seconds: f64, dues: &[f64], more: bool| {
        script.at(seconds);
        if !script.has_turn() {
            script.look();
        }
        let mut since = None;
        script.answer_turn(|turn, reply| {
            since = turn.claim.as_ref().unwrap().recent_since;
            let claimed = reply.claim.as_mut().unwrap();
            for due in dues {
                uid += 1;
                claimed.jobs.push(job(uid, &format!("job-{uid}"), every(10), *due));
            }
            claimed.more = more;
        });
        since
    };
    assert_eq!(recent_since(&mut script, 10.0, &[0.0, 0.0, 0.0, 0.0], true), None);
    assert_eq!(recent_since(&mut script, 10.5, &[10.2, 0.0, 0.0, 0.0], true), Some(at(10.0)));
    assert_eq!(recent_since(&mut script, 11.0, &[10.6, 10.7, 0.0, 0.0], true), Some(at(10.5)));
    // Two of four were recent, and there may have been more of them.
    assert_eq!(recent_since(&mut script, 11.5, &[11.1, 0.0, 0.0, 0.0], true), Some(at(10.5)));
    assert_eq!(recent_since(&mut script, 12.0, &[0.0], false), Some(at(11.5)));
    script.applied();
    assert_eq!(recent_since(&mut script, 20.0, &[0.0], false), None);
}

#[test]
fn what_is_heard_while_a_claim_is_under_way_is_not_forgotten_by_its_answer() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.add(crate::JobSpec::new("work", every(10)).id("report").first_fire_time(at(12.0)));
    script.inserted();
    script.claimed([]);
    assert_eq!(script.next_wake().unwrap().after.as_secs(), 2);
}

#[test]
fn ends_share_a_record_while_another_is_under_way() {
    let jobs = [job(1, "a", every(10), 0.0), job(2, "b", every(10), 0.0), job(3, "c", every(10), 0.0)];
    let mut script = Script::running_jobs(jobs);
    script.finished("a#1", Outcome::Ok(json!(null)));
    script.finished("b#1", Outcome::Error("no paper".into()));
    script.finished("c#1", Outcome::Panicked("ink".into()));
    script.expect("→ record a#1 ok");
    script.applied();
    script.expect(
        "→ notify executed a#1
         → record b#1 error, c#1 error",
    );
    script.applied();
    script.expect(
        "→ notify error b#1: no paper
         → notify error c#1: panicked: ink",
    );
}

#[test]
fn ends_are_recorded_while_a_claim_is_under_way() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    script.at(10.0).expect("→ life sign | claim");
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.expect("");
    script.claimed([]);
    script.expect("→ record report#1 ok");
}

/// What a claim says of `report`, whose first run, started under fence 1, was running in the store when it was asked.
fn as_if_running() -> ClaimedJob {
    let mut report = with_run(job(1, "report", every(10), 10.0), 1, 0.0, RunState::Running);
    report.job.fence = 3;
    (report.running[0].owner, report.running[0].fence) = (Some("node-1".into()), 1);
    report
}

#[test]
fn a_run_that_has_ended_here_does_not_count_as_running_before_it_is_reported() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    script.at(10.0).expect("→ life sign | claim");
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.claimed([as_if_running()]);
    script.expect("→ record report#1 ok | settle report: #2 +10s starts, next +20s");
}

#[test]
fn a_run_that_has_ended_here_does_not_count_as_running_while_its_report_is_on_its_way() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    script.finished("report#1", Outcome::Ok(json!(null)));
    let (record, reported) = script.take_turn();
    script.at(10.0).look();
    script.claimed([as_if_running()]);
    script.expect(
        "→ record report#1 ok
         → life sign | claim
         → settle report: #2 +10s starts, next +20s",
    );
    script.applied();
    script.answer(record, reply_to(&reported, at(10.0)));
    script.expect(
        "→ notify submitted report#2
         → start report#2 attempt 1
         → notify executed report#1",
    );
}

#[test]
fn a_run_that_has_ended_here_does_not_count_as_running_if_its_report_has_overtaken_the_claim() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    script.pass(1.0).look();
    let (claim, claimed) = script.take_turn();
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.applied();
    script.at(10.0);
    let mut reply = reply_to(&claimed, at(10.0));
    reply.claim.as_mut().unwrap().jobs = vec![as_if_running()];
    script.answer(claim, reply);
    script.expect(
        "→ claim
         → record report#1 ok
         → notify executed report#1
         → life sign | settle report: #2 +10s starts, next +20s",
    );
}

#[test]
fn a_job_whose_run_has_not_been_handed_to_its_executor_is_looked_at_again() {
    let mut script = Script::running();
    script.at(9.0).look();
    script.answer_turn(|_, reply| {
        let claimed = reply.claim.as_mut().unwrap();
        (claimed.jobs, claimed.more) = (vec![job(1, "report", every(10), 0.0)], true);
    });
    // The node is so far behind that the next claim, which goes with the settle, finds the job due again.
    script.at(10.0);
    script.claimed([as_if_running()]);
    script.expect(
        "→ claim
         → settle ?: #1 +0s starts, next +10s | claim
         → notify submitted report#1
         → start report#1 attempt 1
         → settle report: next +10s",
    );
    script.applied();
    script.at(10.1).expect("→ claim");
}

#[test]
fn a_run_of_another_node_and_one_that_goes_on_here_count_as_running() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    script.at(10.0).expect("→ life sign | claim");
    script.claimed([as_if_running()]);
    script.expect("→ settle report: #2 +10s skipped, next +20s");
    script.applied();
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.applied();
    script.expect(
        "→ notify skipped report#2
         → record report#1 ok
         → notify executed report#1",
    );
    // It was taken over meanwhile.
    script.at(20.0).look();
    let mut report = as_if_running();
    (report.job.fence, report.job.last_seq, report.job.next_fire_time) = (5, 2, Some(at(20.0)));
    (report.running[0].owner, report.running[0].fence) = (Some("node-2".into()), 4);
    script.claimed([report]);
    script.expect(
        "→ claim
         → settle report: #3 +20s skipped, next +30s",
    );
}

#[test]
fn the_end_of_a_fixed_delays_run_is_waited_for_until_the_store_has_it() {
    let trigger = Trigger::from(Interval::after_end(Duration::from_secs(10)).starting_at(at(0.0)));
    let delay = |next: Option<f64>| {
        let mut delay = job(1, "report", trigger.clone(), 0.0);
        (delay.job.next_fire_time, delay.job.fence, delay.job.last_end) = (next.map(at), 3, Some(at(-50.0)));
        delay
    };
    let running = |mut claimed: ClaimedJob| {
        claimed = with_run(claimed, 1, 0.0, RunState::Running);
        (claimed.running[0].owner, claimed.running[0].fence) = (Some("node-1".into()), 1);
        claimed
    };
    let started = || {
        let mut script = Script::running_jobs([job(1, "report", trigger.clone(), 0.0)]);
        script.at(6.0).expect("→ life sign");
        script.look();
        script.finished("report#1", Outcome::Ok(json!(null)));
        script
    };
    // Nothing but that end says when it fires next.
    let mut script = started();
    let (_, life_sign) = script.take_turn();
    assert!(life_sign.claim.is_none());
    script.claimed([running(delay(None))]);
    script.expect("→ claim\n→ settle report: blocked");
    // A run that was asked for takes its place.
    let mut script = started();
    drop(script.take_turn());
    script.claimed([with_run(running(delay(None)), 2, 6.0, RunState::Waiting(Wait::Requested))]);
    script.expect("→ claim\n→ settle report: #2 starts, attempt 1, blocked");
}

#[test]
fn the_last_fire_time_removes_its_job_and_tells_so() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.claimed([job(1, "once", Date::at(at(10.0)).into(), 10.0)]);
    script.applied();
    script.finished("once#1", Outcome::Ok(json!(null)));
    script.recorded(|recorded| recorded.over = vec![(crate::Uid(1), "once".into())]);
    script.expect(
        "→ claim
         → settle once: #1 +10s starts, ending
         → notify submitted once#1
         → start once#1 attempt 1
         → record once#1 ok
         → notify executed once#1
         → notify removed once Finished",
    );
}

#[test]
fn a_job_that_is_over_with_its_settle_is_told_of_at_once() {
    let mut once = job(1, "once", Date::at(at(10.0)).into(), 10.0);
    once.job.body.options.misfire_grace_time = Some(Duration::from_secs(1));
    for fate in [Fate::Finished, Fate::Deleted] {
        let mut script = Script::running();
        script.at(100.0).look();
        script.claimed([once.clone()]);
        script.settled(vec![SettleOutcome::Applied { job: fate }]);
        script.expect(
            "→ claim
             → settle once: #1 +10s missed, ending
             → notify missed once#1
             → notify removed once Finished",
        );
    }
}

#[test]
fn an_output_is_reported_if_the_job_keeps_it() {
    for (output, report) in [(Output::Keep, "ok [4,2]"), (Output::Discard, "ok")] {
        let mut script = Script::running();
        script.at(10.0).look();
        let mut once = job(1, "once", Date::at(at(10.0)).into(), 10.0);
        once.job.body.options.output = output;
        script.claimed([once]);
        script.applied();
        script.finished("once#1", Outcome::Ok(json!([4, 2])));
        script.expect(&format!(
            "→ claim
             → settle once: #1 +10s starts, ending
             → notify submitted once#1
             → start once#1 attempt 1
             → record once#1 {report}",
        ));
    }
}

#[test]
fn a_lost_race_starts_nothing_gives_back_what_may_have_started_and_looks_again_after_a_pause() {
    for (outcome, pause) in [(SettleOutcome::Changed, 5), (SettleOutcome::Taken, 50), (SettleOutcome::Gone, 50)] {
        let mut script = Script::running();
        script.at(10.0).look();
        script.claimed([job(1, "report", every(10), 10.0)]);
        script.settled(vec![outcome]);
        script.expect(
            "→ claim
             → settle report: #1 +10s starts, next +20s
             → record report#1 given back",
        );
        script.recorded(|recorded| recorded.outcomes = vec![RecordOutcome::Gone]);
        script.expect("");
        assert_eq!(script.next_wake().unwrap().after.as_millis(), pause);
        script.at(10.05).expect("→ claim");
    }
}

#[test]
fn a_job_that_is_changed_again_and_again_is_claimed_again_and_again_without_a_growing_pause() {
    let mut script = Script::running();
    script.at(10.0).look();
    for _ in 0..20 {
        script.claimed([job(1, "report", every(10), 10.0)]);
        script.settled(vec![SettleOutcome::Changed]);
        script.recorded(|recorded| recorded.outcomes = vec![RecordOutcome::Gone]);
        script.pass(0.005).handle_wake();
    }
    script.claimed([job(1, "report", every(10), 10.0)]);
    script.applied();
    assert_eq!(script.started(), "report#1");
}

#[test]
fn claims_that_come_to_nothing_though_something_is_due_pause_longer_and_longer() {
    let mut script = Script::running();
    script.at(10.0).look();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        script.claimed_next([], Some(9.0));
        let wake = script.next_wake().unwrap();
        pauses.push(wake.after.as_millis());
        script.pass(wake.after.as_secs_f64()).handle_wake();
    }
    assert_eq!(pauses[..4], [50, 100, 200, 400]);
    assert!(pauses[9] <= 10_000);
}

#[test]
fn while_jobs_are_changed_claims_that_come_to_nothing_do_not_pause_longer_and_longer() {
    let mut script = Script::running_with(StoreLimits { wakes: Wakes::Push, ..limits() });
    script.at(10.0).look();
    for seen in 1..=10 {
        script.stored(Ok(StoreReply::Changed(Changed { seen, hint: Some(Hint::Due(at(9.0))) })));
        script.claimed_next([], Some(9.0));
        let wake = script.next_wake().unwrap();
        assert_eq!(wake.after.as_millis(), 50);
        script.pass(wake.after.as_secs_f64()).handle_wake();
    }
}

#[test]
fn a_job_whose_executor_is_missing_is_left_to_others_at_growing_distances() {
    let mut script = Script::running();
    script.at(10.0).look();
    let mut report = job(1, "report", every(10), 10.0);
    report.job.body.executor = "gpu".into();
    script.claimed([report.clone()]);
    script.expect(
        "→ claim
         → notify declined report: this node has no executor `gpu`
         → settle report: next +10s due +11s",
    );
    script.applied();
    script.at(11.0).claimed([report]);
    script.expect(
        "→ claim
         → settle report: next +10s due +13s",
    );
}

#[test]
fn a_custom_trigger_that_this_node_lacks_is_declined_and_one_that_fails_is_put_aside() {
    let mut script = Script::running();
    script.at(10.0).look();
    let tides = Trigger::from(Custom::new("tides", json!(null)));
    let zero = Trigger::from(Interval::seconds(0));
    script.claimed([job(1, "ebb", tides, 10.0), job(2, "broken", zero, 10.0)]);
    script.applied();
    script.expect(
        "→ claim
         → notify declined ebb: custom trigger `tides`: not registered on this node; register its implementation
         → settle ebb: next +10s due +11s; broken: quarantined next +10s due never
         → notify quarantined broken: trigger: interval: the period is zero; give at least one microsecond",
    );
}

#[test]
fn jobs_that_the_store_declines_or_cannot_read_are_told_of_once() {
    let mut script = Script::running();
    for time in [10.0, 80.0] {
        script.at(time).look();
        script.answer_turn(|_, reply| {
            let claimed = reply.claim.as_mut().unwrap();
            claimed.declined = vec![
                Declined { id: "new".into(), task: "work".into(), v: 9 },
                Declined { id: "other".into(), task: "play".into(), v: 1 },
            ];
        });
    }
    script.expect(
        "→ claim
         → notify declined new: its version 9 is newer than 3, which this node reads
         → notify declined other: this node has no task `play`
         → claim",
    );
}

#[test]
fn a_paused_scheduler_gives_back_what_a_claim_under_way_has_taken() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.command(Command::Pause);
    script.claimed([job(1, "report", every(10), 10.0)]);
    script.applied();
    script.expect(
        "→ claim
         → notify SchedulerPaused
         → reply done
         → settle report: next +10s",
    );
    assert_eq!(script.next_wake(), None);
    script.pass(1.0).command(Command::Resume);
    script.expect(
        "→ notify SchedulerResumed
         → reply done
         → claim",
    );
}

#[test]
fn a_run_is_not_started_here_while_its_former_attempt_still_runs_here() {
    let mut script = Script::running_jobs([job(1, "report", every(100), 0.0)]);
    script.at(30.0).look();
    // Another node took the run over meanwhile, and died.
    let again = with_run(job(1, "report", every(100), 100.0), 1, 0.0, RunState::Waiting(Wait::Orphan));
    script.applied();
    script.claimed([again]);
    script.expect(
        "→ life sign
         → claim
         → settle report: next +100s due +31s",
    );
}

#[test]
fn a_run_whose_settle_is_confirmed_after_the_lease_is_given_back_instead_of_started() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.claimed([job(1, "report", every(100), 10.0)]);
    script.pass(15.0).applied();
    script.expect(
        "→ claim
         → settle report: #1 +10s starts, next +100s
         → record report#1 given back",
    );
    script.applied();
    script.expect("");
}

#[test]
fn a_late_answer_about_an_earlier_start_does_not_end_the_run_of_today() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.claimed([job(1, "report", every(100), 10.0)]);
    script.pass(15.0).applied();
    let mut again = with_run(job(1, "report", every(100), 100.0), 1, 10.0, RunState::Waiting(Wait::Released));
    again.job.fence = 2;
    script.turn_fails(unavailable());
    script.at(25.05).look();
    script.expect(
        "→ claim
         → settle report: #1 +10s starts, next +100s
         → record report#1 given back
         → notify store failed, again in 50ms: no route to the store
         → record report#1 given back
         → claim",
    );
    // It was applied the first time already, so that the run is claimed and starts before that is known.
    let (op, record) = script.take_turn();
    script.claimed([again]);
    script.applied();
    script.expect(
        "→ settle report: #1 starts, attempt 1, next +100s
         → notify submitted report#1
         → start report#1 attempt 1",
    );
    script.answer(op, reply_to(&record, at(25.05)));
    script.expect("→ notify store recovered");
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.expect("→ record report#1 ok");
}

#[test]
fn cancel_previous_stops_the_run_that_is_here_once() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    script.at(10.0);
    let mut report = with_run(job(1, "report", every(10), 10.0), 1, 0.0, RunState::Running);
    report.job.body.options.overlap = Overlap::CancelPrevious;
    script.claimed([report]);
    script.applied();
    script.at(15.0).recorded(|recorded| recorded.cancel = vec![crate::RunId { uid: crate::Uid(1), seq: 1 }]);
    script.expect(
        "→ life sign | claim
         → settle report: #1 is to stop, #2 +10s queued, next +20s blocked
         → cancel report#1
         → notify queued report#2
         → life sign",
    );
}

#[test]
fn the_store_decides_what_is_due_and_a_step_of_the_nodes_clock_does_not() {
    let server = StoreLimits { clock: Clock::Server, ..limits() };
    let mut script = Script::running_with(server);
    script.at(10.0).look();
    // The store is three seconds ahead.
    script.answer_turn(|_, reply| {
        let claimed = reply.claim.as_mut().unwrap();
        (claimed.now, claimed.next_due) = (at(13.0), Some(at(20.0)));
    });
    script.expect(
        "→ claim
         → notify clock of Store(\"default\") stepped +3s",
    );
    assert_eq!(script.next_wake().unwrap().after.as_secs(), 5, "to stay in touch, since a lease may end by then");
    script.step_clock(-3600.0);
    script.at(12.0).expect("→ notify clock of Node stepped -3600s");
    script.at(17.0).expect("→ claim");
}

#[test]
fn a_hint_of_the_future_by_a_stepped_clock_costs_one_claim() {
    let server = StoreLimits { clock: Clock::Server, ..limits() };
    let mut script = Script::running_with(server);
    script.at(10.0).look();
    script.claimed_next([], Some(1000.0));
    script.step_clock(3600.0);
    script.at(11.0).answer_turn(|_, reply| {
        let claimed = reply.claim.as_mut().unwrap();
        (claimed.now, claimed.next_due) = (at(11.0), Some(at(1000.0)));
    });
    script.expect(
        "→ claim
         → notify clock of Node stepped +3600s
         → claim",
    );
    script.at(12.0).expect("");
}
