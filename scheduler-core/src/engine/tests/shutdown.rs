//! Ending, of the scheduler and of a single store.

use std::time::Duration;

use serde_json::json;

use super::script::{LEASE, Script, every, job, limits, unavailable};
use crate::{
    Delivery, JobSpec, Outcome, RunId, Uid,
    engine::{Command, ShutdownMode, StoreReply, WakeReason},
    store::{ClaimedJob, StoreError, StoreErrorKind},
};

fn with_delivery(mut claimed: ClaimedJob, delivery: Delivery) -> ClaimedJob {
    claimed.job.body.options.delivery = delivery;
    claimed
}

fn at_most_once(claimed: ClaimedJob) -> ClaimedJob {
    with_delivery(claimed, Delivery::AtMostOnce)
}

fn at_least_once(claimed: ClaimedJob) -> ClaimedJob {
    with_delivery(claimed, Delivery::AtLeastOnce)
}

#[test]
fn a_shutdown_that_waits_ends_when_every_run_is_recorded_and_the_store_released() {
    let mut script = Script::running_jobs([job(1, "report", every(1000), 0.0)]);
    script.shutdown(ShutdownMode::Wait);
    script.expect("");
    script.at(5.01).expect("→ life sign");
    script.applied();
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.applied();
    script.stored(Ok(StoreReply::Release));
    script.expect(
        "→ record report#1 ok
         → notify executed report#1
         → release
         → notify SchedulerShutdown
         → reply done",
    );
    assert!(script.engine.is_ended());
    assert_eq!(script.next_wake(), None);
}

#[test]
fn a_shutdown_at_once_cancels_what_runs_at_most_once_and_records_that() {
    let mut script = Script::running_jobs([at_most_once(job(1, "report", every(1000), 0.0))]);
    script.shutdown(ShutdownMode::Wait);
    script.shutdown(ShutdownMode::Now);
    script.applied();
    script.finished("report#1", Outcome::Ok(json!("too late")));
    script.stored(Ok(StoreReply::Release));
    script.expect(
        "→ cancel report#1
         → record report#1 cancelled
         → notify cancelled report#1
         → release
         → notify SchedulerShutdown
         → reply done
         → reply done",
    );
}

#[test]
fn a_shutdown_at_once_gives_back_what_runs_at_least_once() {
    let mut script = Script::running_jobs([at_least_once(job(1, "report", every(1000), 0.0))]);
    script.shutdown(ShutdownMode::Now);
    script.applied();
    script.finished("report#1", Outcome::Ok(json!("too late")));
    script.stored(Ok(StoreReply::Release));
    script.expect(
        "→ cancel report#1
         → record report#1 given back
         → notify given back report#1
         → release
         → notify SchedulerShutdown
         → reply done",
    );
}

#[test]
fn a_shutdown_within_a_time_tells_runs_to_stop_before_it_and_cuts_them_off_at_its_end() {
    let lease = Duration::from_secs(LEASE);
    let mut script = Script::running_jobs([
        at_least_once(job(1, "report", every(1000), 0.0)),
        at_most_once(job(2, "mail", every(1000), 0.0)),
    ]);
    script.shutdown(ShutdownMode::within(Duration::from_secs(10)));
    script.expect("");
    script.at(5.01).expect("→ life sign");
    script.applied();
    let wake = script.next_wake().unwrap();
    assert_eq!((wake.after, wake.reason), (Duration::from_secs(3), WakeReason::Shutdown));
    script.at(8.01).expect("→ cancel report#1\n→ cancel mail#1");
    let wake = script.next_wake().unwrap();
    assert!(wake.after <= Duration::from_secs(2) && wake.after < lease);
    script.at(10.01).expect("→ record report#1 given back, mail#1 cancelled");
    script.applied();
    script.stored(Ok(StoreReply::Release));
    script.expect(
        "→ notify given back report#1
         → notify cancelled mail#1
         → release
         → notify SchedulerShutdown
         → reply done",
    );
    assert_eq!(script.next_wake(), None);
}

#[test]
fn what_ends_in_time_ends_as_ever_under_a_shutdown_within_a_time() {
    let mut script = Script::running_jobs([at_least_once(job(1, "report", every(1000), 0.0))]);
    script.shutdown(ShutdownMode::within(Duration::from_secs(10)));
    script.at(1.0).finished("report#1", Outcome::Ok(json!(null)));
    script.applied();
    script.stored(Ok(StoreReply::Release));
    script.expect(
        "→ record report#1 ok
         → notify executed report#1
         → release
         → notify SchedulerShutdown
         → reply done",
    );
}

#[test]
fn a_run_that_heeds_the_end_of_the_time_is_given_back_unless_it_returns_a_value() {
    let told = |outcome: Outcome, reported: &str, event: &str| {
        let mut script = Script::running_jobs([at_least_once(job(1, "report", every(1000), 0.0))]);
        script.shutdown(ShutdownMode::within(Duration::from_secs(10)));
        script.at(5.01);
        script.applied();
        script.at(8.01).finished("report#1", outcome);
        script.applied();
        script.expect(&format!(
            "→ life sign
             → cancel report#1
             → record report#1 {reported}
             → notify {event} report#1
             → release"
        ));
    };
    told(Outcome::Cancelled, "given back", "given back");
    told(Outcome::Error("told to stop".into()), "given back", "given back");
    told(Outcome::Ok(json!(null)), "ok", "executed");
}

#[test]
fn what_was_asked_to_stop_or_ran_into_its_timeout_ends_as_that_when_the_time_is_over() {
    let mut timed = at_least_once(job(2, "mail", every(1000), 0.0));
    timed.job.body.options.timeout = Some(Duration::from_secs(1));
    let mut script = Script::running_jobs([at_least_once(job(1, "report", every(1000), 0.0)), timed]);
    script.at(1.02).expect("→ cancel mail#1");
    script.at(5.01).expect("→ life sign");
    script.recorded(|recorded| recorded.cancel = vec![RunId { uid: Uid(1), seq: 1 }]);
    script.shutdown(ShutdownMode::Now);
    script.applied();
    script.expect(
        "→ cancel report#1
         → record report#1 cancelled, mail#1 timeout
         → notify cancelled report#1
         → notify timeout mail#1
         → release",
    );
}

#[test]
fn a_shutdown_is_hurried_and_never_slowed_down_by_another() {
    let within = |seconds| ShutdownMode::within(Duration::from_secs(seconds));
    let mut script = Script::running_jobs([at_least_once(job(1, "report", every(1000), 0.0))]);
    for mode in [ShutdownMode::Wait, within(2), within(4), ShutdownMode::Wait] {
        script.shutdown(mode);
    }
    script.at(1.6).expect("");
    script.at(1.61).expect("→ cancel report#1");
    script.at(2.01).expect("→ record report#1 given back");
}

#[test]
fn what_a_settle_starts_after_the_shutdown_began_is_given_back() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.claimed([job(1, "report", every(10), 10.0)]);
    script.shutdown(ShutdownMode::Wait);
    script.applied();
    script.applied();
    script.stored(Ok(StoreReply::Release));
    script.expect(
        "→ claim
         → settle report: #1 +10s starts, next +20s
         → record report#1 given back
         → release
         → notify SchedulerShutdown
         → reply done",
    );
}

#[test]
fn what_a_claim_takes_after_the_shutdown_began_is_given_back_as_it_was() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.shutdown(ShutdownMode::Now);
    script.claimed([job(1, "report", every(10), 10.0)]);
    script.applied();
    script.stored(Ok(StoreReply::Release));
    script.expect(
        "→ claim
         → settle report: next +10s
         → release
         → notify SchedulerShutdown
         → reply done",
    );
}

#[test]
fn a_store_that_does_not_answer_holds_up_a_shutdown_for_a_lease_at_most() {
    let mut script = Script::running_jobs([job(1, "report", every(1000), 0.0)]);
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.shutdown(ShutdownMode::Wait);
    script.expect("→ record report#1 ok");
    script.at(5.01).expect("→ life sign");
    script.at(10.01).expect("→ life sign");
    script.at(15.01).expect(
        "→ life sign
         → notify store failed for good: it did not answer while it was given up; what this node held there is free \
            when its lease ends
         → notify taken away report#1
         → notify SchedulerShutdown
         → reply done",
    );
    script.applied();
    script.expect("");
}

#[test]
fn neither_does_one_that_does_not_answer_a_release() {
    let mut script = Script::running();
    script.shutdown(ShutdownMode::Wait);
    script.expect("→ release");
    let wake = script.next_wake().unwrap();
    assert_eq!((wake.after.as_secs(), wake.reason), (LEASE, WakeReason::Shutdown));
    script.at(15.0).expect(
        "→ notify store failed for good: it did not answer while it was given up; what this node held there is free \
            when its lease ends
         → notify SchedulerShutdown
         → reply done",
    );
}

#[test]
fn whoever_has_asked_for_something_gets_an_answer_before_the_last_event() {
    let mut script = Script::running();
    script.add(JobSpec::new("work", every(10)).id("report"));
    script.shutdown(ShutdownMode::Wait);
    script.add(JobSpec::new("work", every(10)).id("late"));
    script.inserted();
    script.stored(Ok(StoreReply::Release));
    script.expect(
        "→ insert report next +0s
         → reply ShutDown: the scheduler has been shut down; build another
         → notify added report
         → reply added report
         → release
         → notify SchedulerShutdown
         → reply done",
    );
}

#[test]
fn a_command_that_is_never_answered_fails_with_the_shutdown() {
    let mut script = Script::running();
    script.command(Command::Job(None, "report".into()));
    script.shutdown(ShutdownMode::Wait);
    script.at(15.0).expect(
        "→ read report
         → notify store failed for good: it did not answer while it was given up; what this node held there is free \
            when its lease ends
         → reply StoreUnavailable: store `default`: it did not answer while it was given up; what this node held \
            there is free when its lease ends
         → notify SchedulerShutdown
         → reply done",
    );
}

#[test]
fn a_scheduler_without_stores_ends_at_once() {
    let mut script = Script::new();
    script.command(Command::RemoveStore("default".into()));
    script.stored(Ok(StoreReply::Release));
    script.shutdown(ShutdownMode::Wait);
    script.expect(
        "→ release
         → notify StoreRemoved(\"default\")
         → reply done
         → notify SchedulerShutdown
         → reply done",
    );
}

#[test]
fn a_store_that_fails_to_release_ends_all_the_same() {
    let mut script = Script::running();
    script.shutdown(ShutdownMode::Wait);
    script.stored(Err(unavailable()));
    script.expect(
        "→ release
         → notify store failed for good: no route to the store; what this node held there is free when its lease ends
         → notify SchedulerShutdown
         → reply done",
    );
}

#[test]
fn a_store_that_is_removed_while_a_claim_is_under_way_gives_back_and_can_be_added_anew() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.command(Command::RemoveStore("default".into()));
    script.claimed([job(1, "report", every(10), 10.0)]);
    script.applied();
    script.stored(Ok(StoreReply::Release));
    script.command(Command::AddStore("default".into(), limits()));
    script.expect(
        "→ claim
         → settle report: next +10s
         → release
         → notify StoreRemoved(\"default\")
         → reply done
         → notify StoreAdded(\"default\")
         → reply done
         → claim",
    );
    let (_, turn) = script.take_turn();
    assert_eq!(turn.claim.unwrap().seq, 3, "the store may remember this node's earlier claims");
}

#[test]
fn a_store_that_is_removed_waits_for_its_runs() {
    let mut script = Script::running_jobs([job(1, "report", every(1000), 0.0)]);
    script.command(Command::RemoveStore("default".into()));
    script.command(Command::RemoveStore("default".into()));
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.applied();
    script.stored(Ok(StoreReply::Release));
    script.expect(
        "→ reply Config: store `default` is being removed already; wait for that
         → record report#1 ok
         → notify executed report#1
         → release
         → notify StoreRemoved(\"default\")
         → reply done",
    );
}

#[test]
fn a_store_that_does_not_answer_is_removed_after_a_lease() {
    let mut script = Script::running();
    script.look();
    script.at(1.0).expect("→ claim");
    script.command(Command::RemoveStore("default".into()));
    script.at(16.0).expect(
        "→ notify store failed for good: it did not answer while it was given up; what this node held there is free \
            when its lease ends
         → notify StoreRemoved(\"default\")
         → reply done",
    );
}

#[test]
fn an_unusable_store_can_be_removed() {
    let mut script = Script::running();
    script.at(1.0).look();
    script.turn_fails(StoreError::new(StoreErrorKind::Incompatible, "schema 9 is newer than 1"));
    script.command(Command::RemoveStore("default".into()));
    script.expect(
        "→ claim
         → notify store failed, again in 50ms: schema 9 is newer than 1
         → notify StoreRemoved(\"default\")
         → reply done",
    );
}

#[test]
fn after_a_shutdown_nothing_is_wanted() {
    let mut script = Script::running();
    script.shutdown(ShutdownMode::Now);
    script.stored(Ok(StoreReply::Release));
    script.shutdown(ShutdownMode::Wait);
    script.command(Command::State);
    script.command(Command::Pause);
    script.at(100.0).expect(
        "→ release
         → notify SchedulerShutdown
         → reply done
         → reply done
         → reply ShutDown
         → reply ShutDown: the scheduler has been shut down; build another",
    );
}
