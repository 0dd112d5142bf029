//! Promises about jobs that are over: each stays known for its retention, keeps neither its id nor a claim busy, and is then deleted.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use scheduler_core::{
    JobId, JobRow, JobState, RunState, Verdict,
    store::{
        Cancelled, Fate, Inserted, JobFilter, JobQuery, RecordOutcome, Removed, Report, RunChange, RunFilter,
        RunSearch, SettleOutcome, Updated,
    },
};

use super::{
    Bench, LEASE, moved,
    node::{Node, Started, ended, update_of},
    nth_run,
};

const PAGE: JobQuery = JobQuery { after: None, limit: 9 };
const HOUR: Duration = Duration::from_secs(3_600);

/// A job that is due and has its last fire time.
async fn due_job(bench: &Bench, id: &str, retention: Duration) -> JobRow {
    let mut job = bench.job(id, bench.now().await);
    job.body.options.retention = retention;
    bench.add(&job).await;
    job
}

/// A job that is over: it has had its only run, on node a.
async fn finished(bench: &Bench, id: &str, retention: Duration) -> (JobRow, Started) {
    let job = due_job(bench, id, retention).await;
    let started = bench.a().start_and(id, |to| to.state = JobState::Ending).await;
    let reply = bench.a().record(&[started.entry(ended(Verdict::Ok))]).await;
    assert_eq!(reply.over, [(job.uid, job.id.clone())]);
    (job, started)
}

/// What a claim declines of a node that knows no task.
async fn declined(node: &Node<'_>) -> usize {
    let claim = node.claim_call().with_tasks(Arc::new(BTreeSet::new())).with_declined(Report::Declined);
    let claimed = node.send(&claim).await;
    assert_eq!((claimed.jobs, claimed.quarantined), (Vec::new(), Vec::new()));
    claimed.declined.len()
}

/// With its last run a job is over: it is not listed any more, and its run is still there, and is found.
pub async fn a_job_that_is_over_stays_known(bench: &Bench) {
    let (job, started) = finished(bench, "one-shot", HOUR).await;

    assert_eq!((bench.find("one-shot").await, bench.store().jobs(&PAGE).await.unwrap()), (None, Vec::new()));
    let runs = bench.runs(job.uid).await;
    assert_eq!(runs.iter().map(|run| (run.id, run.state)).collect::<Vec<_>>(), [(started.run, ENDED)]);
    let found = bench.store().search_runs(&RunSearch::new(RunFilter::new(), 9)).await.unwrap();
    assert_eq!(
        (found.runs.iter().map(|found| found.run.id).collect::<Vec<_>>(), found.next),
        (vec![started.run], None)
    );
    assert_eq!(bench.store().count_jobs(&JobFilter::new()).await.unwrap().total(), 0);
    assert_eq!(bench.b().claim().await.jobs, []);
    assert_eq!(declined(&bench.b()).await, 0);
    assert_eq!(bench.runs(job.uid).await, runs);
}

const ENDED: RunState = RunState::Ended(Verdict::Ok);

/// Its id belongs to the next job at once, and what becomes of that one is its own.
pub async fn the_id_of_a_job_that_is_over_is_free(bench: &Bench) {
    let (former, _) = finished(bench, "one-shot", HOUR).await;

    let latter = bench.job("one-shot", bench.now().await);
    let added = bench.store().insert(bench.at(), std::slice::from_ref(&latter)).await.unwrap().value;
    assert_eq!(added, [Inserted::Added]);

    assert_eq!(bench.stored("one-shot").await.uid, latter.uid);
    assert_eq!(bench.b().claim_one("one-shot").await.job.uid, latter.uid);
    let removed = bench.store().remove(bench.at(), &[JobId::from("one-shot")]).await.unwrap().value;
    assert!(matches!(&removed[..], [Removed::Removed { uid, .. }] if *uid == Some(latter.uid)), "{removed:?}");
    assert_eq!(bench.runs(former.uid).await.len(), 1);
}

/// Any node deletes it once its retention has passed, with a claim, also one that does not know its task.
pub async fn it_goes_when_its_retention_has_passed(bench: &Bench) {
    let (job, _) = finished(bench, "short", LEASE).await;
    let (other, _) = finished(bench, "long", HOUR).await;
    bench.advance(LEASE * 2).await;
    assert_eq!(bench.runs(job.uid).await.len(), 1);

    assert_eq!(declined(&bench.b()).await, 0);

    assert_eq!((bench.runs(job.uid).await.len(), bench.runs(other.uid).await.len()), (0, 1));
}

/// It delays nothing that is due.
pub async fn what_is_due_does_not_wait_for_it(bench: &Bench) {
    for n in 0..5 {
        finished(bench, &format!("over-{n}"), LEASE).await;
    }
    bench.advance(LEASE * 2).await;
    let due = bench.due_job("due").await;

    let claimed = bench.b().claim_up_to(1).await;

    assert_eq!(claimed.jobs.iter().map(|it| it.job.uid).collect::<Vec<_>>(), [due.uid]);
    assert!(!claimed.more, "{claimed:?}");
}

/// A job that is over with a move, without any run, stays known as well.
pub async fn a_move_may_be_the_end(bench: &Bench) {
    let job = due_job(bench, "missed", HOUR).await;
    let claimed = bench.a().claim_one("missed").await;
    let mut to = moved(&claimed).with_state(JobState::Ending);
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Ended(Verdict::Missed))));

    assert_eq!(bench.a().settle_one(&to).await, SettleOutcome::Applied { job: Fate::Finished });
    assert_eq!(bench.a().settle_one(&to).await, SettleOutcome::Applied { job: Fate::Finished });

    assert_eq!(bench.find("missed").await, None);
    assert_eq!(bench.runs(job.uid).await[0].verdict(), Some(Verdict::Missed));
}

/// The report that has ended it, sent once more, is answered as before.
pub async fn its_last_report_repeated_is_done_once(bench: &Bench) {
    let (job, started) = finished(bench, "one-shot", HOUR).await;
    let runs = bench.runs(job.uid).await;

    let reply = bench.a().record(&[started.entry(ended(Verdict::Ok))]).await;

    assert_eq!((reply.outcomes, reply.over), (vec![RecordOutcome::Done], vec![(job.uid, job.id)]));
    assert_eq!(bench.runs(job.uid).await, runs);
}

/// Nothing can be done to it.
pub async fn what_is_over_stays_as_it_is(bench: &Bench) {
    let job = due_job(bench, "one-shot", HOUR).await;
    let started = bench.a().start_and("one-shot", |to| to.state = JobState::Ending).await;
    let seen = bench.stored("one-shot").await;
    bench.a().end(&started, Verdict::Error).await;
    let runs = bench.runs(job.uid).await;

    assert_eq!(bench.b().update(&update_of(&seen).with_state(JobState::Paused)).await, Updated::Gone);
    assert_eq!(bench.b().cancel("one-shot", started.run).await, Cancelled::Ended);
    let removed = bench.store().remove(bench.at(), &[JobId::from("one-shot")]).await.unwrap().value;
    assert_eq!(removed, [Removed::Gone]);
    assert_eq!(bench.store().remove_all(bench.at()).await.unwrap().value.count, 0);

    assert_eq!(bench.runs(job.uid).await, runs);
}

/// What counts is the retention that the job had when it was over.
pub async fn a_changed_retention_counts(bench: &Bench) {
    let short = due_job(bench, "was-short", Duration::ZERO).await;
    let long = due_job(bench, "was-long", HOUR).await;
    for (job, retention) in [(&short, HOUR), (&long, Duration::ZERO)] {
        let seen = bench.stored(job.id.as_str()).await;
        let mut body = seen.body.clone();
        body.options.retention = retention;
        let updated = bench.a().update(&update_of(&seen).with_body(Some(body))).await;
        assert!(matches!(updated, Updated::Updated(_)), "{updated:?}");
        let started = bench.a().start_and(job.id.as_str(), |to| to.state = JobState::Ending).await;
        bench.a().end(&started, Verdict::Ok).await;
    }
    assert_eq!((bench.runs(short.uid).await.len(), bench.runs(long.uid).await.len()), (1, 0));
}

/// A job that is removed goes at once, whatever its retention is; or with its running run.
pub async fn a_removed_job_is_not_retained(bench: &Bench) {
    let idle = due_job(bench, "idle", HOUR).await;
    let running = due_job(bench, "running", HOUR).await;
    let started = bench.a().start("running").await;
    bench.store().remove_all(bench.at()).await.unwrap();
    assert_eq!(bench.a().end(&started, Verdict::Ok).await, RecordOutcome::Done);
    for job in [idle, running] {
        assert_eq!(bench.runs(job.uid).await, [], "{}", job.id);
    }
}

/// What is over is still known after a restart of a store that outlives the process, and goes when its time has come.
pub async fn it_outlives_the_process(bench: &Bench) {
    let (job, _) = finished(bench, "one-shot", LEASE).await;
    let Some(reopened) = bench.reopened().await else { return };
    let query = scheduler_core::store::RunQuery { uid: job.uid, before: None, limit: 9 };
    assert_eq!(reopened.runs(&query).await.unwrap().len(), 1);
    bench.advance(LEASE * 2).await;
    let claim = bench.b().claim_call();
    reopened.claim(&claim).await.unwrap();
    assert_eq!(reopened.runs(&query).await.unwrap(), []);
}
