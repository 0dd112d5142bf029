//! Runs that take longer than they may.

use std::time::Duration;

use serde_json::json;

use super::script::{Script, every, job, unavailable};
use crate::{
    Outcome, Retry, RunId, Uid,
    engine::{Command, ShutdownMode, StoreReply, WakeReason},
    store::{ClaimedJob, Hold},
};

/// A job whose attempts may take so many seconds.
fn report(timeout: u64) -> ClaimedJob {
    let mut report = job(1, "report", every(1000), 0.0);
    report.job.body.options.timeout = Some(Duration::from_secs(timeout));
    report
}

fn running(timeout: u64) -> Script {
    Script::running_jobs([report(timeout)])
}

#[test]
fn a_run_that_takes_too_long_is_told_to_stop_and_ends_as_timed_out() {
    for outcome in [Outcome::Cancelled, Outcome::Error("torn".into()), Outcome::Panicked("ink".into())] {
        let mut script = running(3);
        let wake = script.next_wake().unwrap();
        assert_eq!((wake.after.as_secs(), wake.reason), (3, WakeReason::Timeout));
        script.at(3.0).expect("");
        script.at(3.01).expect("→ cancel report#1");
        script.finished("report#1", outcome);
        script.applied();
        script.expect(
            "→ record report#1 timeout
             → notify timeout report#1",
        );
    }
}

#[test]
fn a_run_that_goes_on_after_its_timeout_is_told_of_once() {
    let mut script = running(3);
    script.at(3.01).expect("→ cancel report#1");
    script.at(13.0).expect("→ life sign");
    script.at(13.02).expect("→ notify overran report#1");
    assert_ne!(script.next_wake().unwrap().reason, WakeReason::Timeout);
    script.finished("report#1", Outcome::Error("at last".into()));
    script.applied();
    script.applied();
    script.expect(
        "→ record report#1 timeout
         → notify timeout report#1",
    );
}

#[test]
fn a_run_that_heeds_its_timeout_is_not_told_of_later() {
    let mut script = running(3);
    script.at(3.01).expect("→ cancel report#1");
    script.finished("report#1", Outcome::Cancelled);
    script.applied();
    script.expect(
        "→ record report#1 timeout
         → notify timeout report#1",
    );
    script.at(13.02).expect("");
}

#[test]
fn a_run_that_makes_it_after_all_is_ok() {
    let mut script = running(3);
    script.at(4.0).finished("report#1", Outcome::Ok(json!("late")));
    script.applied();
    script.expect(
        "→ cancel report#1
         → record report#1 ok
         → notify executed report#1",
    );
}

#[test]
fn a_run_that_ends_in_time_leaves_no_wake_behind() {
    let mut script = running(3);
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.applied();
    script.expect(
        "→ record report#1 ok
         → notify executed report#1",
    );
    assert_eq!(script.next_wake().unwrap().reason, WakeReason::Due);
    script.at(4.0).expect("");
}

#[test]
fn the_one_that_has_to_stop_first_is_waited_for() {
    let mut other = report(2);
    (other.job.uid, other.job.id) = (Uid(2), "other".into());
    let mut script = Script::running_jobs([report(4), other, job(3, "endless", every(1000), 0.0)]);
    assert_eq!(script.next_wake().unwrap().after.as_secs(), 2);
    script.at(2.01).expect("→ cancel other#1");
    assert_eq!(script.next_wake().unwrap().after.as_secs(), 2);
    script.at(4.01).expect("→ cancel report#1");
    assert_eq!(script.next_wake().unwrap().reason, WakeReason::LifeSign);
}

#[test]
fn a_run_that_does_not_listen_is_told_once_and_keeps_its_lease() {
    let mut script = running(3);
    script.at(4.0).expect("→ cancel report#1");
    script.at(5.01).expect("→ life sign");
    script.applied();
    script.at(9.0).finished("report#1", Outcome::Cancelled);
    script.expect("→ record report#1 timeout");
}

#[test]
fn a_run_has_to_stop_in_time_whatever_its_store_does() {
    let mut script = running(8);
    script.at(5.01).applied();
    script.at(7.99).look();
    script.turn_fails(unavailable());
    script.expect(
        "→ life sign
         → claim
         → notify store failed, again in 50ms: no route to the store",
    );
    let wake = script.next_wake().unwrap();
    assert_eq!((wake.after.as_millis(), wake.reason), (20, WakeReason::Timeout));
    script.at(8.01).expect("→ cancel report#1");
    assert_eq!(script.next_wake().unwrap().reason, WakeReason::Retry);
}

#[test]
fn a_run_has_to_stop_in_time_while_the_scheduler_is_paused_or_shuts_down() {
    for command in [Command::Pause, Command::Shutdown(ShutdownMode::Wait)] {
        let mut script = running(3);
        script.command(command);
        let wake = script.next_wake().unwrap();
        assert_eq!((wake.after.as_secs(), wake.reason), (3, WakeReason::Timeout));
        script.at(3.01);
        assert_eq!(script.count("→ cancel report#1"), 1);
        script.finished("report#1", Outcome::Cancelled);
        assert_eq!(script.count("→ record report#1 timeout"), 1);
    }
}

#[test]
fn a_timeout_is_repeated_if_the_job_says_so() {
    let mut report = report(3);
    report.job.body.options.retry =
        Some(Box::new(Retry::attempts(2).backoff(Duration::from_secs(10)).jitter(0.0).on(crate::Failures::TIMEOUT)));
    let mut script = Script::running_jobs([report]);
    script.at(3.01).finished("report#1", Outcome::Cancelled);
    script.applied();
    script.expect(
        "→ cancel report#1
         → record report#1 retry
         → notify retried report#1 due +13.01s: timed out after 3s",
    );
}

#[test]
fn whoever_asks_a_run_to_stop_that_timed_out_does_not_want_it_repeated() {
    let mut report = report(3);
    report.job.body.options.retry = Some(Box::new(Retry::attempts(2)));
    let mut script = Script::running_jobs([report]);
    script.at(3.01).expect("→ cancel report#1");
    script.at(5.01).recorded(|recorded| recorded.cancel = vec![RunId { uid: Uid(1), seq: 1 }]);
    script.finished("report#1", Outcome::Cancelled);
    script.expect(
        "→ life sign
         → record report#1 cancelled",
    );
}

#[test]
fn a_run_that_was_told_to_stop_for_another_reason_does_not_time_out() {
    let mut script = running(8);
    script.at(5.01).recorded(|recorded| recorded.hold = Hold::Lost);
    script.at(8.01).finished("report#1", Outcome::Cancelled);
    script.expect(
        "→ life sign
         → cancel report#1
         → claim
         → record report#1 retry",
    );
}

#[test]
fn an_executor_may_have_its_own_way_to_time_out() {
    let mut script = Script::running_jobs([job(1, "report", every(1000), 0.0)]);
    script.finished("report#1", Outcome::TimedOut(Duration::from_secs(1)));
    script.applied();
    script.expect(
        "→ record report#1 timeout
         → notify timeout report#1",
    );
}

#[test]
fn the_longest_timeout_is_none() {
    let mut script = Script::running();
    let mut report = report(3);
    report.job.body.options.timeout = Some(Duration::MAX);
    script.take([report]);
    script.expect(
        "→ notify submitted report#1
         → start report#1 attempt 1",
    );
    assert_eq!(script.next_wake().unwrap().reason, WakeReason::LifeSign);
}

#[test]
fn a_shutdown_at_once_does_not_wait_for_a_timeout() {
    let mut script = running(3);
    script.shutdown(ShutdownMode::Now);
    script.applied();
    script.stored(Ok(StoreReply::Release));
    script.at(3.01).expect(
        "→ cancel report#1
         → record report#1 given back
         → notify given back report#1
         → release
         → notify SchedulerShutdown
         → reply done",
    );
}
