//! Promises of [`JobStore::cancel`](scheduler_core::JobStore::cancel).

use std::time::Duration;

use chrono::TimeDelta;
use futures_lite::future::yield_now;
use scheduler_core::{
    JobState, RunId, RunState, Uid, Verdict, Wait,
    store::{Cancelled, Hint, Move, RecordOutcome, RunChange, RunReport, SettleOutcome, Updated, Wakes},
};

use super::{
    Bench, LEASE, Started, moved,
    node::{ended, update_of},
    nth_run,
};

/// A job of which one run waits, not to be looked at before an hour has passed.
async fn waiting(bench: &Bench, id: &str) -> RunId {
    let started = bench.a().start(id).await;
    let due = bench.now().await + TimeDelta::hours(1);
    bench.a().report(&started, RunReport::Retry { due, error: None }).await;
    assert_eq!(bench.b().claim().await.jobs, []);
    started.run
}

/// A job of which one run is running, while a second one waits for its slot.
async fn queued(bench: &Bench, id: &str) -> (Started, RunId) {
    let queue = |to: &mut Move| {
        let RunChange::Insert(first) = &to.runs[0] else { panic!("the run that starts") };
        let mut queued = first.clone();
        (queued.id.seq, queued.state) = (2, RunState::Waiting(Wait::Queued));
        to.runs.push(RunChange::Insert(queued));
        to.blocked = true;
    };
    let started = bench.a().start_and(id, queue).await;
    let run = RunId { seq: 2, ..started.run };
    (started, run)
}

/// The node that runs the run learns of a request from any node with its next report or life sign, until the run has ended.
pub async fn a_running_run_is_asked_to_stop(bench: &Bench) {
    bench.due_job("report").await;
    bench.due_job("other").await;
    let other = bench.a().start("other").await;
    let started = bench.a().start("report").await;
    let before = bench.stored("report").await;

    assert_eq!(bench.b().cancel("report", started.run).await, Cancelled::Asked);

    assert!(bench.runs(started.uid()).await[0].cancel_requested);
    assert_eq!(bench.stored("report").await, before);
    assert_eq!(bench.a().life_sign().await.cancel, [started.run]);
    assert_eq!(bench.a().record(&[other.entry(ended(Verdict::Ok))]).await.cancel, [started.run]);
    assert_eq!(bench.b().life_sign().await.cancel, []);
    let reply = bench.a().record(&[started.entry(ended(Verdict::Cancelled))]).await;
    assert_eq!((&reply.outcomes[..], reply.cancel), (&[RecordOutcome::Done][..], vec![]));
    assert_eq!(bench.runs(started.uid()).await[0].verdict(), Some(Verdict::Cancelled));
}

/// The node that runs the run need not wait for its next life sign.
pub async fn the_node_of_a_run_that_is_to_stop_hears_of_it(bench: &Bench) {
    if bench.store().limits().wakes == Wakes::Never {
        return;
    }
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    let mut seen = bench.a().store.changed(0).await.unwrap().seen;

    bench.b().cancel("report", started.run).await;

    // What came before may be told before.
    for _ in 0..100 {
        let change = bench.a().store.changed(seen).await.expect("changes can be asked for");
        match change.hint {
            Some(Hint::Cancel(node)) if node == bench.a().id => return,
            Some(Hint::Resync) => return,
            Some(_) | None => seen = change.seen,
        }
        bench.advance(Duration::from_millis(1)).await;
        yield_now().await;
    }
    panic!("the node did not hear of it");
}

/// A waiting run is not forgotten until it would have gone on: the next claim shows it as asked to stop.
pub async fn a_waiting_run_that_is_to_stop_is_shown_at_once(bench: &Bench) {
    let job = bench.due_job("report").await;
    let run = waiting(bench, "report").await;

    assert_eq!(bench.b().cancel("report", run).await, Cancelled::Asked);

    let claimed = bench.a().claim_one("report").await;
    assert!(claimed.waiting[0].cancel_requested, "{:?}", claimed.waiting);
    let mut to = moved(&claimed);
    to.runs.push(RunChange::End { seq: run.seq, verdict: Verdict::Cancelled, error: None });
    bench.a().settle_one(&to).await;
    assert_eq!(bench.runs(job.uid).await[0].verdict(), Some(Verdict::Cancelled));
    assert_eq!(bench.a().life_sign().await.cancel, []);
}

/// A job is paused before the claim that would show the run: the job stays due for that.
pub async fn a_run_that_is_to_stop_keeps_its_job_due(bench: &Bench) {
    bench.due_job("report").await;
    let run = queued(bench, "report").await.1;
    bench.a().cancel("report", run).await;
    let seen = bench.stored("report").await;

    let paused = update_of(&seen).with_state(JobState::Paused).with_next_fire_time(None).with_due(None);
    assert!(matches!(bench.b().update(&paused).await, Updated::Updated(_)));

    assert!(bench.a().claim_one("report").await.waiting[0].cancel_requested);
}

/// A node has claimed the job and is about to start the run: its move writes nothing, and the next claim shows why.
pub async fn a_waiting_run_that_is_to_stop_does_not_start(bench: &Bench) {
    bench.due_job("report").await;
    let (started, _) = queued(bench, "report").await;
    bench.a().end(&started, Verdict::Ok).await;
    let claimed = bench.a().claim_one("report").await;
    let run = claimed.waiting[0].id;

    assert_eq!(bench.b().cancel("report", run).await, Cancelled::Asked);

    let mut to = moved(&claimed);
    to.runs.push(RunChange::Start { seq: run.seq, attempt: 1 });
    assert_eq!(bench.a().settle_one(&to).await, SettleOutcome::Changed);
    assert!(bench.b().claim_one("report").await.waiting[0].cancel_requested);
}

/// The identical request repeated is answered the same and does nothing.
pub async fn a_request_to_stop_repeated_does_nothing(bench: &Bench) {
    bench.due_job("report").await;
    let run = waiting(bench, "report").await;
    assert_eq!(bench.b().cancel("report", run).await, Cancelled::Asked);
    let claimed = bench.a().claim_one("report").await;
    let (stored, runs) = (bench.stored("report").await, bench.runs(run.uid).await);

    assert_eq!(bench.b().cancel("report", run).await, Cancelled::Asked);

    assert_eq!((bench.stored("report").await, bench.runs(run.uid).await), (stored, runs));
    assert!(matches!(bench.a().settle_one(&moved(&claimed)).await, SettleOutcome::Applied { .. }));
}

/// A run that has ended is left alone, and the caller learns that it has.
pub async fn a_run_that_has_ended_is_left_alone(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    bench.a().end(&started, Verdict::Ok).await;
    let runs = bench.runs(started.uid()).await;

    assert_eq!(bench.b().cancel("report", started.run).await, Cancelled::Ended);

    assert_eq!(bench.runs(started.uid()).await, runs);
}

/// There is no such job, the job has no such run, or the run is another job's.
pub async fn a_run_that_is_not_there_is_gone(bench: &Bench) {
    bench.due_job("report").await;
    bench.due_job("other").await;
    let started = bench.a().start("report").await;

    let stranger = RunId { uid: Uid(1), seq: 1 };
    for (id, run) in [("report", stranger), ("other", started.run), ("nobody", started.run)] {
        assert_eq!(bench.b().cancel(id, run).await, Cancelled::Gone, "{run} of {id}");
    }
    // Numbers come from people.
    for seq in [0, 2, i64::MAX as u64, u64::MAX] {
        let run = RunId { seq, ..started.run };
        assert_eq!(bench.b().cancel("report", run).await, Cancelled::Gone, "{run}");
    }
    assert!(!bench.runs(started.uid()).await[0].cancel_requested);
}

/// The last run of a job that has no further fire time, or was removed, can be asked to stop.
pub async fn the_last_run_of_a_job_is_asked_to_stop(bench: &Bench) {
    bench.due_job("once").await;
    let once = bench.a().start_and("once", |to| to.state = JobState::Ending).await;
    bench.due_job("removed").await;
    let removed = bench.a().start("removed").await;
    bench.store().remove(bench.at(), &["removed".into()]).await.unwrap();

    assert_eq!(bench.b().cancel("once", once.run).await, Cancelled::Asked);
    assert_eq!(bench.b().cancel("removed", removed.run).await, Cancelled::Asked);

    let mut runs = [once.run, removed.run];
    runs.sort();
    let mut cancel = bench.a().life_sign().await.cancel;
    cancel.sort();
    assert_eq!(cancel, runs);
    let entries = [once, removed].map(|started| started.entry(ended(Verdict::Cancelled)));
    assert_eq!(bench.a().record(&entries).await.over.len(), 2);
}

/// A run fails after it was asked to stop, before its node knew: it is not kept until it would have been tried again.
pub async fn a_run_that_was_to_stop_is_not_retried(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    bench.b().cancel("report", started.run).await;
    let due = bench.now().await + TimeDelta::hours(1);
    assert_eq!(bench.a().report(&started, RunReport::Retry { due, error: None }).await, RecordOutcome::Done);
    assert!(bench.b().claim_one("report").await.waiting[0].cancel_requested);
}

/// A node dies before it has learned that a run is to stop: the node that takes the run over does.
pub async fn an_orphan_is_still_to_stop(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    bench.b().cancel("report", started.run).await;
    bench.advance(LEASE * 2).await;
    let claimed = bench.b().adopt().await;
    let run = &claimed.jobs[0].waiting[0];
    assert_eq!((run.id, run.state, run.cancel_requested), (started.run, RunState::Waiting(Wait::Orphan), true));
}

/// A running run that is asked to stop is no reason to refuse what was claimed, or what a caller is about to change.
pub async fn asking_a_running_run_to_stop_is_in_nobodys_way(bench: &Bench) {
    bench.due_job("report").await;
    let now = Some(bench.now().await);
    let first = bench.a().start_and("report", |to| (to.next_fire_time, to.due) = (now, now)).await;
    let claimed = bench.b().claim_one("report").await;
    bench.a().cancel("report", first.run).await;

    let mut to = moved(&claimed);
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));
    assert!(matches!(bench.b().settle_one(&to).await, SettleOutcome::Applied { .. }));
    let seen = bench.stored("report").await;
    let second = Started { run: RunId { seq: 2, ..first.run }, fence: claimed.job.fence, claimed };
    bench.a().cancel("report", second.run).await;
    assert!(matches!(bench.a().update(&update_of(&seen)).await, Updated::Updated(_)));
    assert_eq!(bench.b().life_sign().await.cancel, [second.run]);
}
