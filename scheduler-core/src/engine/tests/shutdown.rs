//! Ending, of the scheduler and of a single store.

use serde_json::json;

use super::script::{LEASE, Script, every, job, limits, unavailable};
use crate::{
    JobSpec, Outcome,
    engine::{Command, ShutdownMode, StoreReply, WakeReason},
    store::{StoreError, StoreErrorKind},
};

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
fn a_shutdown_at_once_cancels_what_runs_and_records_that() {
    let mut script = Script::running_jobs([job(1, "report", every(1000), 0.0)]);
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
         → record report#1 not started
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
