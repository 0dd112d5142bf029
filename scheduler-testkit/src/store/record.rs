//! Promises of [`JobStore::record`](scheduler_core::JobStore::record).

use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::{
    JobState, Run, RunId, RunOutput, RunState, Verdict, Wait,
    store::{Entry, Hold, RecordOutcome, RunChange, RunReport},
};

use super::{
    Bench, LEASE, moved,
    node::{Started, ended},
    nth_run,
};

/// The end of a run is written with its time and duration, counted, and known as the job's last end.
pub async fn an_end_is_written_and_counted(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    bench.advance(LEASE / 4).await;
    let error = Some("no paper".to_owned());
    let report = RunReport::End {
        verdict: Verdict::Error,
        error: error.clone(),
        duration: Duration::from_micros(1_234_567),
        output: None,
    };

    let reply = bench.a().record(&[started.entry(report)]).await;

    assert_eq!((&reply.outcomes[..], reply.hold), (&[RecordOutcome::Done][..], Hold::Kept));
    let run = &bench.runs(started.uid()).await[0];
    assert_eq!((run.state, &run.error), (RunState::Ended(Verdict::Error), &error));
    assert_eq!((run.ended, run.duration), (Some(reply.now), Some(Duration::from_micros(1_234_567))));
    let stored = bench.stored("report").await;
    assert_eq!((stored.last_end, stored.totals.of(Verdict::Error), stored.totals.sum()), (Some(reply.now), 1, 1));
}

/// A report repeated is done once and answered the same.
pub async fn a_report_repeated_is_done_once(bench: &Bench) {
    let retry_at = bench.now().await + TimeDelta::hours(1);
    let retry = RunReport::Retry { due: retry_at, error: Some("no paper".to_owned()) };
    for (n, report) in [ended(Verdict::Ok), retry, RunReport::Release].into_iter().enumerate() {
        let id = format!("job-{n}");
        bench.due_job(&id).await;
        let started = bench.a().start(&id).await;
        let first = bench.a().record(&[started.entry(report.clone())]).await;
        assert_eq!(first.outcomes, [RecordOutcome::Done]);
        let (job, runs) = (bench.stored(&id).await, bench.runs(started.uid()).await);

        let again = bench.a().record(&[started.entry(report)]).await;

        assert_eq!((again.outcomes, again.next_due), (first.outcomes, first.next_due));
        assert_eq!((bench.stored(&id).await, bench.runs(started.uid()).await), (job, runs));
    }
}

/// Reports are judged one by one: another node's run, another fence, another verdict than before, no run at all.
pub async fn reports_are_judged_one_by_one(bench: &Bench) {
    for id in ["one", "two"] {
        bench.due_job(id).await;
    }
    let one = bench.a().start("one").await;
    let two = bench.a().start("two").await;
    bench.a().end(&one, Verdict::Ok).await;
    let nobody = bench.job("nobody", bench.at());
    let no_run = |uid| Entry::new(RunId { uid, seq: 9 }, 1, ended(Verdict::Ok));

    let entries = [
        one.entry(ended(Verdict::Error)),
        Entry::new(two.run, two.fence + 1, ended(Verdict::Ok)),
        no_run(two.uid()),
        no_run(nobody.uid),
        two.entry(ended(Verdict::Ok)),
    ];
    use RecordOutcome::{Done, Gone, Stale};
    assert_eq!(bench.b().record(&entries[4..]).await.outcomes, [Stale]);
    assert_eq!(bench.a().record(&entries).await.outcomes, [Stale, Stale, Gone, Gone, Done]);
}

/// A retry waits for its time, holds no slot, and makes the job due then.
pub async fn a_retry_waits_for_its_time(bench: &Bench) {
    bench.due_job("report").await;
    let tomorrow = Some(bench.now().await + TimeDelta::days(1));
    let started = bench.a().start_and("report", |to| (to.next_fire_time, to.due) = (tomorrow, tomorrow)).await;
    let at = bench.now().await + TimeDelta::milliseconds(120);

    let retry = RunReport::Retry { due: at, error: Some("no paper".to_owned()) };
    let reply = bench.a().record(&[started.entry(retry)]).await;

    assert_eq!(reply.next_due, Some(at));
    let run = &bench.runs(started.uid()).await[0];
    assert_eq!((run.state, run.due, run.error.as_deref()), (RunState::Waiting(Wait::Retry), at, Some("no paper")));
    let stored = bench.stored("report").await;
    assert_eq!((stored.due, stored.next_fire_time, stored.last_end), (Some(at), tomorrow, Some(reply.now)));
    assert_eq!(stored.totals.sum(), 0);
    bench.advance(LEASE).await;
    let claimed = bench.b().claim_one("report").await;
    assert_eq!((claimed.running_count, claimed.waiting_count), (0, 1));
}

/// A retry later than the job's next fire time does not put that off.
pub async fn a_late_retry_does_not_put_the_job_off(bench: &Bench) {
    bench.due_job("report").await;
    let soon = Some(bench.now().await + TimeDelta::minutes(1));
    let started = bench.a().start_and("report", |to| (to.next_fire_time, to.due) = (soon, soon)).await;
    let retry = RunReport::Retry { due: bench.now().await + TimeDelta::hours(1), error: None };
    bench.a().report(&started, retry).await;
    assert_eq!(bench.stored("report").await.due, soon);
}

/// A run that was not started after all waits again, with its attempt, and is due at once.
pub async fn a_released_run_keeps_its_attempt(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    assert_eq!(bench.a().report(&started, RunReport::Release).await, RecordOutcome::Done);
    let claimed = bench.b().claim_one("report").await;
    let run = &claimed.waiting[0];
    assert_eq!((run.state, run.attempt, run.takeovers), (RunState::Waiting(Wait::Released), 1, 0));
}

/// A job that waits for the end of a run is due when it ends.
pub async fn a_blocked_job_is_due_when_its_run_ends(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start_and("report", |to| to.blocked = true).await;
    let reply = bench.a().record(&[started.entry(ended(Verdict::Ok))]).await;
    assert_eq!(reply.next_due, Some(reply.now));
    let claimed = bench.b().claim_one("report").await;
    assert_eq!((claimed.job.last_end, claimed.running_count), (Some(reply.now), 0));
}

/// A job that does not wait is not made due by the end of a run.
pub async fn a_job_that_does_not_wait_is_left_alone(bench: &Bench) {
    bench.due_job("report").await;
    let tomorrow = Some(bench.now().await + TimeDelta::days(1));
    let started = bench.a().start_and("report", |to| (to.next_fire_time, to.due) = (tomorrow, tomorrow)).await;
    bench.a().end(&started, Verdict::Ok).await;
    assert_eq!(bench.stored("report").await.due, tomorrow);
}

/// The ends of several runs of one job in one call are all taken.
pub async fn ends_of_one_job_come_together(bench: &Bench) {
    let job = bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let mut to = moved(&claimed).with_state(JobState::Ending);
    for n in 1..=3 {
        to.runs.push(RunChange::Insert(nth_run(&claimed, n, RunState::Running)));
    }
    bench.a().settle_one(&to).await;
    let entry = |seq| Entry::new(RunId { uid: job.uid, seq }, claimed.job.fence, ended(Verdict::Ok));
    let reply = bench.a().record(&[entry(1), entry(3)]).await;
    assert_eq!((reply.outcomes, reply.over), (vec![RecordOutcome::Done; 2], vec![]));
    let reply = bench.a().record(&[entry(2)]).await;
    assert_eq!(reply.over, [(job.uid, job.id)]);
}

/// Long error texts are cut between characters.
pub async fn errors_are_cut_to_the_limit(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    let error = format!("x{}", "ä".repeat(Run::ERROR_LIMIT));
    let report =
        RunReport::End { verdict: Verdict::Error, error: Some(error.clone()), duration: Duration::ZERO, output: None };
    bench.a().report(&started, report).await;
    let kept = bench.runs(started.uid()).await[0].error.clone().unwrap();
    assert_eq!(kept.len(), Run::ERROR_LIMIT - 1);
    assert!(error.starts_with(&kept));
}

/// The newest ended runs are kept, up to sixteen more than the job asks for; the totals count all; an open run is
/// never pruned.
pub async fn the_history_is_pruned_and_the_totals_stay(bench: &Bench) {
    let mut job = bench.job("report", bench.now().await);
    job.body.options.history = 5;
    bench.add(&job).await;
    let now = Some(bench.now().await);
    let open = bench.a().start_and("report", |to| to.due = now).await;
    for _ in 0..50 {
        let started = bench.a().start_and("report", |to| to.due = now).await;
        bench.a().end(&started, Verdict::Ok).await;
    }
    let runs = bench.runs(job.uid).await;
    assert_eq!(runs.last().map(|run| (run.id, run.state)), Some((open.run, RunState::Running)));
    let ended: Vec<u64> = runs.iter().filter(|run| !run.is_open()).map(|run| run.id.seq).collect();
    assert!((5..=5 + 16).contains(&ended.len()), "{} rows", ended.len());
    assert!(ended.iter().rev().copied().eq(51 - ended.len() as u64 + 1..=51), "the newest: {ended:?}");
    assert_eq!(bench.stored("report").await.totals.of(Verdict::Ok), 50);
}

/// Fire times that end without a run are pruned as well.
pub async fn a_history_of_skips_is_pruned(bench: &Bench) {
    let mut job = bench.job("report", bench.now().await);
    job.body.options.history = 3;
    bench.add(&job).await;
    for _ in 0..40 {
        let claimed = bench.a().claim_one("report").await;
        let skipped = nth_run(&claimed, 1, RunState::Ended(Verdict::Skipped));
        let to = moved(&claimed).with_due(job.due).with_runs(vec![RunChange::Insert(skipped)]);
        bench.a().settle_one(&to).await;
    }
    assert!((3..=3 + 16).contains(&bench.runs(job.uid).await.len()));
    assert_eq!(bench.stored("report").await.totals.of(Verdict::Skipped), 40);
}

/// The error of each attempt that another one follows stays with the run, of the last ten; so does what the task returned.
pub async fn errors_of_attempts_and_the_output_are_kept(bench: &Bench) {
    let job = bench.due_job("job").await;
    let mut started = bench.a().start("job").await;
    let mut times = Vec::new();
    for attempt in 1..=12 {
        let error = Some(format!("attempt {attempt}: \"no\0 paper\" \u{fc}"));
        let retry = RunReport::Retry { due: bench.now().await, error };
        assert_eq!(bench.a().report(&started, retry).await, RecordOutcome::Done);
        times.push(bench.now().await);
        let claimed = bench.a().claim_one("job").await;
        let mut to = moved(&claimed);
        to.runs.push(RunChange::Start { seq: 1, attempt: attempt + 1 });
        bench.a().settle_one(&to).await;
        started = Started { run: started.run, fence: claimed.job.fence, claimed };
    }
    let output = Some(RunOutput::Json(r#"{"to":"\u0000 ü","n":[1,2.5]}"#.to_owned()));
    let (verdict, error, duration) = (Verdict::Ok, None, Duration::from_secs(1));
    assert_eq!(
        bench.a().report(&started, RunReport::End { verdict, error, duration, output: output.clone() }).await,
        RecordOutcome::Done
    );

    let run = bench.runs(job.uid).await.remove(0);
    assert_eq!((run.state, run.error, run.output), (RunState::Ended(Verdict::Ok), None, output));
    let errors: Vec<(u32, String)> = run.errors.iter().map(|it| (it.attempt, it.error.clone())).collect();
    let expected: Vec<(u32, String)> =
        (3..=12).map(|attempt| (attempt, format!("attempt {attempt}: \"no\u{fffd} paper\" \u{fc}"))).collect();
    assert_eq!(errors, expected);
    assert!(run.errors.iter().zip(&times[2..]).all(|(it, before)| it.at <= *before), "{:?} {times:?}", run.errors);
}

/// That an output was too large is kept in its place.
pub async fn an_output_that_was_too_large_is_noted(bench: &Bench) {
    let job = bench.due_job("job").await;
    let started = bench.a().start("job").await;
    let output = Some(RunOutput::TooLarge { bytes: 1 << 20 });
    let (verdict, error, duration) = (Verdict::Ok, None, Duration::from_secs(1));
    bench.a().report(&started, RunReport::End { verdict, error, duration, output: output.clone() }).await;
    assert_eq!(bench.runs(job.uid).await[0].output, output);
}
