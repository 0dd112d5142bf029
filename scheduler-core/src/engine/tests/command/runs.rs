//! Runs that are asked for, and runs that are asked to stop.

use std::time::Duration;

use super::super::script::{Script, at, every, job, unavailable, with_run};
use crate::{
    BODY_VERSION, ErrorKind, JobRow, JobState, NodeId, Outcome, Overlap, Retry, Run, RunState, Wait,
    engine::Mode,
    store::{Cancelled, Changed, Hint, Updated, Wakes},
    trigger::Custom,
};

use super::*;

const REQUESTED: RunState = RunState::Waiting(Wait::Requested);

fn run_now(script: &mut Script) {
    script.command(Command::RunJobNow(None, "report".into()));
}

fn cancel_run(script: &mut Script, run: RunId) {
    script.command(Command::CancelRun(None, "report".into(), run));
}

/// The store has taken the request as it was made.
fn requested(script: &mut Script, job: &JobRow) {
    let update = update(script);
    let last_seq = update.runs[0].id.seq;
    let due = job.due.into_iter().chain([update.runs[0].due]).min();
    script.updated(Updated::Updated(Box::new(JobRow { revision: job.revision + 1, last_seq, due, ..job.clone() })));
}

fn cancelled(script: &mut Script, value: Cancelled) {
    script.stored(Ok(StoreReply::Cancel(Stamped { now: at(0.0), value })));
}

fn first_run() -> RunId {
    RunId { uid: Uid(1), seq: 1 }
}

#[test]
fn a_job_is_run_now_and_its_next_fire_time_stays() {
    let mut script = Script::running();
    script.pass(13.0);
    run_now(&mut script);
    found(&mut script, &report(20.0));
    script.expect(
        "→ read report
         → update report @ 0: active next +20s, #1 +13s asked for",
    );
    requested(&mut script, &report(20.0));
    script.expect(
        "→ notify queued report#1
         → reply run #1
         → claim",
    );
    let claimed = with_run(job(1, "report", every(10), 20.0), 1, 13.0, REQUESTED);
    script.claimed([claimed]);
    script.applied();
    script.expect(
        "→ settle report: #1 starts, attempt 1, next +20s
         → notify submitted report#1
         → start report#1 attempt 1",
    );
}

#[test]
fn a_run_that_is_asked_for_while_as_many_run_as_may_is_told_skipped() {
    let mut script = Script::running_jobs([job(1, "report", every(100), 0.0)]);
    script.pass(1.0);
    run_now(&mut script);
    let busy = JobRow { last_seq: 1, ..report(100.0) };
    found(&mut script, &busy);
    requested(&mut script, &busy);
    let claimed = with_run(job(1, "report", every(100), 100.0), 1, 0.0, RunState::Running);
    script.claimed([with_run(claimed, 2, 1.01, REQUESTED)]);
    script.applied();
    script.expect(
        "→ read report
         → update report @ 0: active next +100s, #2 +1.01s asked for
         → notify queued report#2
         → reply run #2
         → claim
         → settle report: #2 skipped, next +100s
         → notify skipped report#2",
    );
}

#[test]
fn a_run_that_is_asked_for_and_cancels_the_running_one_starts_when_that_has_ended() {
    let mut script = Script::running_jobs([job(1, "report", every(100), 0.0)]);
    script.pass(0.01);
    let mut claimed = with_run(job(1, "report", every(100), 100.0), 1, 0.0, RunState::Running);
    claimed.job.body.options.overlap = Overlap::CancelPrevious;
    script.look();
    script.claimed([with_run(claimed.clone(), 2, 0.0, REQUESTED)]);
    script.applied();
    script.finished("report#1", Outcome::Cancelled);
    script.pass(0.01);
    script.recorded(|recorded| recorded.next_due = Some(at(0.0)));
    claimed.running_count = 0;
    claimed.running.clear();
    script.claimed([with_run(claimed, 2, 0.0, REQUESTED)]);
    script.applied();
    script.expect(
        "→ claim
         → settle report: #1 is to stop, next +100s blocked
         → cancel report#1
         → record report#1 cancelled
         → notify cancelled report#1
         → claim
         → settle report: #2 starts, attempt 1, next +100s
         → notify submitted report#2
         → start report#2 attempt 1",
    );
}

#[test]
fn a_request_that_meets_another_change_is_made_anew() {
    let mut script = Script::new();
    run_now(&mut script);
    found(&mut script, &report(10.0));
    let changed = JobRow { revision: 3, fence: 7, last_seq: 4, state: JobState::Paused, due: None, ..report(10.0) };
    script.updated(Updated::Conflict(Box::new(JobRow { next_fire_time: None, ..changed })));
    script.expect(
        "→ read report
         → update report @ 0: active next +10s, #1 +0s asked for
         → update report @ 3: paused, #5 +0.000001s asked for",
    );
}

#[test]
fn two_requests_at_one_instant_have_two_fire_times() {
    let mut script = Script::new();
    run_now(&mut script);
    run_now(&mut script);
    found(&mut script, &report(10.0));
    found(&mut script, &report(10.0));
    script.expect(
        "→ read report
         → read report
         → update report @ 0: active next +10s, #1 +0s asked for
         → update report @ 0: active next +10s, #1 +0.000001s asked for",
    );
}

#[test]
fn what_cannot_run_now_is_an_error_that_says_why() {
    let mut script = Script::new();
    run_now(&mut script);
    script.stored(Ok(StoreReply::Job(None)));
    assert_eq!(script.last_error().kind(), ErrorKind::NotFound);
    run_now(&mut script);
    found(&mut script, &in_state(JobState::Quarantined("its trigger fails".into())));
    assert_eq!(script.last_error().kind(), ErrorKind::Quarantined);
    let mut newer = report(10.0);
    newer.body.v = BODY_VERSION + 1;
    run_now(&mut script);
    found(&mut script, &newer);
    assert_eq!(script.last_error().kind(), ErrorKind::NewerVersion);
    run_now(&mut script);
    found(&mut script, &report(10.0));
    script.updated(Updated::Gone);
    assert_eq!(script.last_error().kind(), ErrorKind::NotFound);
    run_now(&mut script);
    found(&mut script, &report(10.0));
    script.stored(Err(unavailable()));
    assert_eq!(script.last_error().kind(), ErrorKind::StoreUnavailable);
    run_now(&mut script);
    found(&mut script, &report(10.0));
    for revision in 1..=101 {
        script.updated(Updated::Conflict(Box::new(JobRow { revision, ..report(10.0) })));
    }
    assert_eq!(script.last_error().kind(), ErrorKind::Busy);
}

/// A row of another program has no next fire time before its first claim. Without one it would end with the requested run.
#[test]
fn a_request_for_a_job_whose_first_fire_time_cannot_be_told_is_an_error_and_writes_nothing() {
    let mut script = Script::new();
    run_now(&mut script);
    let mut row = JobRow { next_fire_time: None, due: Some(at(0.0)), ..report(10.0) };
    row.body.trigger = Custom::new("tides", serde_json::Value::Null).into();
    found(&mut script, &row);
    assert_eq!(script.last_error().kind(), ErrorKind::Trigger);
    assert!(!script.has_call());
}

#[test]
fn a_run_that_runs_here_is_told_to_stop_once_the_store_has_it() {
    let mut script = Script::running_jobs([job(1, "report", every(100), 0.0)]);
    cancel_run(&mut script, first_run());
    script.expect("→ cancel #1 of report");
    cancelled(&mut script, Cancelled::Asked);
    script.expect(
        "→ cancel report#1
         → reply done",
    );
    cancel_run(&mut script, first_run());
    cancelled(&mut script, Cancelled::Asked);
    script.finished("report#1", Outcome::Cancelled);
    script.recorded(|_| {});
    script.expect(
        "→ cancel #1 of report
         → reply done
         → record report#1 cancelled
         → notify cancelled report#1",
    );
}

#[test]
fn a_run_that_waits_ends_with_the_next_claim() {
    let mut script = Script::running();
    script.pass(0.01);
    cancel_run(&mut script, first_run());
    cancelled(&mut script, Cancelled::Asked);
    let mut claimed = with_run(job(1, "report", every(10), 20.0), 1, 10.0, RunState::Waiting(Wait::Retry));
    (claimed.waiting[0].due, claimed.waiting[0].cancel_requested) = (at(3600.0), true);
    script.know(&claimed.job);
    script.claimed([claimed]);
    script.applied();
    script.expect(
        "→ cancel #1 of report
         → reply done
         → claim
         → settle report: #1 cancelled, next +20s
         → notify cancelled report#1",
    );
}

#[test]
fn a_run_that_has_failed_and_is_to_be_repeated_ends_with_the_next_claim() {
    let mut report = job(1, "report", every(1000), 0.0);
    report.job.body.options.retry = Some(Box::new(Retry::attempts(2).backoff(Duration::from_secs(10)).jitter(0.0)));
    let mut script = Script::running_jobs([report]);
    script.finished("report#1", Outcome::Error("no paper".into()));
    let (op, turn) = script.take_turn();
    cancel_run(&mut script, first_run());
    cancelled(&mut script, Cancelled::Asked);
    let mut reply = super::super::script::reply_to(&turn, at(0.0));
    reply.record.as_mut().unwrap().next_due = Some(at(10.0));
    script.answer(op, reply);
    // The report came first, so that the run waits: its reply is older than the request.
    script.expect(
        "→ record report#1 retry
         → cancel #1 of report
         → reply done
         → notify retried report#1 due +10.01s: no paper",
    );
    script.at(0.03).expect("→ claim");
}

#[test]
fn a_run_that_runs_elsewhere_is_stopped_there_as_soon_as_that_node_hears_of_it() {
    let mut limits = limits();
    limits.wakes = Wakes::Push;
    let mut script = Script::running_with(limits);
    script.pass(0.01);
    script.look();
    script.claimed([job(1, "report", every(100), 0.0)]);
    script.applied();
    script.count("");
    let hint = |node: &str| Changed { seen: 2, hint: Some(Hint::Cancel(NodeId::from(node))) };
    script.stored(Ok(StoreReply::Changed(hint("node-1"))));
    script.recorded(|recorded| recorded.cancel = vec![first_run()]);
    script.expect(
        "→ changed after 2
         → life sign
         → cancel report#1",
    );
}

#[test]
fn a_run_that_has_ended_is_left_alone_and_one_that_is_nowhere_is_not_found() {
    let mut script = Script::new();
    script.command(Command::AddStore("second".into(), limits()));
    script.count("");
    cancel_run(&mut script, first_run());
    cancelled(&mut script, Cancelled::Ended);
    cancel_run(&mut script, first_run());
    cancelled(&mut script, Cancelled::Gone);
    cancelled(&mut script, Cancelled::Gone);
    script.command(Command::CancelRun(Some("second".into()), "report".into(), first_run()));
    cancelled(&mut script, Cancelled::Gone);
    script.command(Command::CancelRun(Some("third".into()), "report".into(), first_run()));
    script.expect(
        "→ cancel #1 of report
         → reply done
         → cancel #1 of report
         → second: cancel #1 of report
         → reply NotFound: run 00000000000000000000000000000001-1 of job `report` is in no store of this scheduler
         → second: cancel #1 of report
         → reply NotFound: run 00000000000000000000000000000001-1 of job `report` is not in store `second`
         → reply UnknownStore: there is no store `third`; the scheduler has `default`, `second`",
    );
    cancel_run(&mut script, first_run());
    script.stored(Err(unavailable()));
    assert_eq!(script.last_error().kind(), ErrorKind::StoreUnavailable);
}

#[test]
fn a_paused_scheduler_takes_requests_and_leaves_the_runs_to_others() {
    let mut script = Script::new();
    script.command(Command::Start(Mode::Paused));
    script.count("");
    run_now(&mut script);
    found(&mut script, &report(10.0));
    requested(&mut script, &report(10.0));
    script.expect(
        "→ read report
         → update report @ 0: active next +10s, #1 +0s asked for
         → notify queued report#1
         → reply run #1",
    );
    assert!(!script.has_turn());
}

#[test]
fn a_run_that_is_asked_for_keeps_the_time_at_which_it_was() {
    let mut script = Script::new();
    script.pass(13.0);
    run_now(&mut script);
    found(&mut script, &in_state(JobState::Kept));
    let update = update(&script);
    let run = &update.runs[0];
    assert_eq!((run.fire_time, run.due, run.state), (at(13.0), at(13.0), REQUESTED));
    assert_eq!((update.state, update.next_fire_time, update.body), (JobState::Kept, None, None));
    assert_eq!(*run, Run { due: at(13.0), ..Run::new(first_run(), at(13.0), REQUESTED) });
}
