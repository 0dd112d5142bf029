//! Runs that fail and are repeated.

use std::time::Duration;

use serde_json::json;

use super::script::{Script, every, job, with_run};
use crate::{
    Failures, Outcome, Retry, Run, RunId, RunState, Uid, Verdict, Wait,
    engine::{Command, ShutdownMode, StoreReply},
    store::{CancelledRun, ClaimedJob, RecordOutcome, Removed, Stamped, StoreError, StoreErrorKind},
};

/// Five attempts, after 10, 20, 40, 60 seconds.
fn retry() -> Retry {
    Retry::attempts(5).backoff(Duration::from_secs(10)).cap(Duration::from_secs(60)).jitter(0.0)
}

fn report(retry: Retry) -> ClaimedJob {
    let mut report = job(1, "report", every(1000), 0.0);
    report.job.body.options.retry = Some(Box::new(retry));
    report
}

/// The job when its run #1 waits to be continued.
fn waiting(retry: Retry, wait: Wait, attempt: u32, takeovers: u32) -> ClaimedJob {
    let mut report = with_run(report(retry), 1, 0.0, RunState::Waiting(wait));
    (report.waiting[0].attempt, report.waiting[0].takeovers) = (attempt, takeovers);
    report.job.next_fire_time = Some(super::script::at(1000.0));
    report
}

fn error() -> Outcome {
    Outcome::Error("no paper".into())
}

#[test]
fn a_failed_run_waits_in_the_store_and_is_submitted_anew_as_its_next_attempt() {
    let mut script = Script::running_jobs([report(retry())]);
    script.at(3.0).finished("report#1", error());
    script.expect("→ record report#1 retry");
    script.recorded(|recorded| recorded.next_due = Some(super::script::at(13.0)));
    script.expect("→ notify retried report#1 due +13s: no paper");
    assert_eq!(script.next_wake().unwrap().after.as_secs(), 10);
    script.at(13.0).claimed([waiting(retry(), Wait::Retry, 1, 0)]);
    script.applied();
    script.expect(
        "→ claim
         → settle report: #1 starts, attempt 2, next +1000s
         → notify submitted report#1
         → start report#1 attempt 2",
    );
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.applied();
    script.expect(
        "→ record report#1 ok
         → notify executed report#1",
    );
}

#[test]
fn the_pause_grows_up_to_its_cap_and_the_last_attempt_ends_the_run() {
    for (before, due) in [(1, "+30.01s"), (2, "+50.01s"), (3, "+70.01s")] {
        let mut script = Script::running();
        script.pass(10.0);
        script.take([waiting(retry(), Wait::Retry, before, 0)]);
        script.expect(&format!("→ notify submitted report#1\n→ start report#1 attempt {}", before + 1));
        script.finished("report#1", error());
        script.applied();
        script.expect(&format!("→ record report#1 retry\n→ notify retried report#1 due {due}: no paper"));
    }
    let mut script = Script::running();
    script.take([waiting(retry(), Wait::Retry, 4, 0)]);
    script.finished("report#1", error());
    script.applied();
    script.expect(
        "→ notify submitted report#1
         → start report#1 attempt 5
         → record report#1 error
         → notify error report#1: no paper",
    );
}

#[test]
fn a_takeover_is_an_attempt_that_uses_up_no_retry() {
    let mut script = Script::running();
    script.take([waiting(Retry::attempts(2).jitter(0.0), Wait::Orphan, 2, 2)]);
    script.finished("report#1", error());
    script.applied();
    script.expect(
        "→ notify taken over report#1
         → notify submitted report#1
         → start report#1 attempt 3
         → record report#1 retry
         → notify retried report#1 due +1.01s: no paper",
    );
    script.take([waiting(Retry::attempts(2), Wait::Retry, 3, 2)]);
    script.finished("report#1", error());
    script.expect(
        "→ notify submitted report#1
         → start report#1 attempt 4
         → record report#1 error",
    );
}

#[test]
fn only_the_failures_that_it_is_for_are_repeated() {
    let outcomes = [error(), Outcome::Panicked("ink".into()), Outcome::Crashed("signal 11".into())];
    for (failures, expected) in [
        (Failures::ERROR, ["retry", "error", "error"]),
        (Failures::PANIC | Failures::CRASH, ["error", "retry", "retry"]),
        (Failures::TIMEOUT, ["error", "error", "error"]),
    ] {
        for (outcome, expected) in outcomes.iter().zip(expected) {
            let mut script = Script::running_jobs([report(retry().on(failures))]);
            script.finished("report#1", outcome.clone());
            script.expect(&format!("→ record report#1 {expected}"));
        }
    }
}

#[test]
fn a_run_that_was_asked_to_stop_is_not_repeated() {
    for (outcome, expected) in [(error(), "error"), (Outcome::Cancelled, "cancelled")] {
        let mut script = Script::running_jobs([report(retry())]);
        script.at(5.01).recorded(|recorded| recorded.cancel = vec![RunId { uid: Uid(1), seq: 1 }]);
        script.finished("report#1", outcome);
        script.expect(&format!("→ life sign\n→ cancel report#1\n→ record report#1 {expected}"));
    }
}

#[test]
fn a_run_of_a_removed_job_is_not_repeated() {
    let mut script = Script::running_jobs([report(retry())]);
    script.command(Command::RemoveJob(None, "report".into()));
    let value = vec![Removed::Removed { uid: Some(Uid(1)), running: 1, cancelled: vec![] }];
    script.stored(Ok(StoreReply::Remove(Stamped { now: super::script::at(0.0), value })));
    script.finished("report#1", error());
    script.applied();
    script.expect(
        "→ remove report
         → notify removed report Requested
         → reply done
         → record report#1 error
         → notify error report#1: no paper",
    );
}

#[test]
fn a_retry_that_finds_its_job_removed_by_another_node_is_told_as_an_error() {
    let mut script = Script::running_jobs([report(retry())]);
    script.finished("report#1", error());
    script.recorded(|recorded| recorded.outcomes = vec![RecordOutcome::Ended]);
    script.expect(
        "→ record report#1 retry
         → notify error report#1: no paper",
    );
}

#[test]
fn a_retry_that_was_written_before_its_job_was_removed_is_told_cancelled_and_no_more() {
    let mut script = Script::running_jobs([report(retry())]);
    script.finished("report#1", error());
    script.command(Command::RemoveJob(None, "report".into()));
    let at = super::script::at;
    let run = Run::new(RunId { uid: Uid(1), seq: 1 }, at(0.0), RunState::Ended(Verdict::Cancelled));
    let cancelled = vec![CancelledRun { job: "report".into(), task: "work".into(), run }];
    let value = vec![Removed::Removed { uid: Some(Uid(1)), running: 0, cancelled }];
    script.stored(Ok(StoreReply::Remove(Stamped { now: at(0.0), value })));
    script.applied();
    script.expect(
        "→ record report#1 retry
         → remove report
         → notify cancelled report#1
         → notify removed report Requested
         → reply done",
    );
}

#[test]
fn a_retry_of_a_run_that_another_node_took_over_is_none() {
    let mut script = Script::running_jobs([report(retry())]);
    script.finished("report#1", error());
    script.recorded(|recorded| recorded.outcomes = vec![RecordOutcome::Stale]);
    script.expect(
        "→ record report#1 retry
         → notify taken away report#1",
    );
}

#[test]
fn a_retry_whose_error_a_store_refuses_goes_without_it() {
    let mut script = Script::running_jobs([report(retry())]);
    script.finished("report#1", error());
    script.turn_fails(StoreError::new(StoreErrorKind::Rejected, "not in this character set"));
    script.applied();
    script.expect(
        "→ record report#1 retry
         → record report#1 retry
         → notify retried report#1 due +10.01s: no paper",
    );
}

#[test]
fn a_shutdown_that_waits_leaves_a_retry_to_others() {
    let mut script = Script::running_jobs([report(retry())]);
    script.shutdown(ShutdownMode::Wait);
    script.finished("report#1", error());
    script.applied();
    script.stored(Ok(StoreReply::Release));
    script.expect(
        "→ record report#1 retry
         → notify retried report#1 due +10.01s: no paper
         → release
         → notify SchedulerShutdown
         → reply done",
    );
}

#[test]
fn what_failed_together_is_not_repeated_together() {
    let due = |uid: u128, attempt: u32| {
        let mut script = Script::running();
        let mut claimed = waiting(retry().jitter(0.5).factor(1.0), Wait::Retry, attempt, 0);
        claimed.job.uid = Uid(uid);
        claimed.waiting[0].id.uid = Uid(uid);
        script.take([claimed]);
        script.finished("report#1", error());
        let (_, turn) = script.take_turn();
        match turn.record.unwrap().entries.remove(0).report {
            crate::store::RunReport::Retry { due, .. } => due,
            report => panic!("{report:?}"),
        }
    };
    assert_eq!(due(1, 1), due(1, 1));
    assert_ne!(due(1, 1), due(2, 1), "another run");
    assert_ne!(due(1, 1), due(1, 2), "another attempt");
}
