//! Promises of [`JobStore::remove`](scheduler_core::JobStore::remove) and
//! [`remove_all`](scheduler_core::JobStore::remove_all).

use chrono::TimeDelta;
use scheduler_core::{
    JobId, RunId, RunState, Verdict, Wait,
    store::{Entry, RecordOutcome, Removed, RemovedAll, RunChange, RunReport, SettleOutcome},
};

use super::{Bench, moved, node::ended, nth_run};

async fn remove(bench: &Bench, id: &str) -> Removed {
    bench.store().remove(bench.at(), &[JobId::from(id)]).await.expect("a removal is answered").value.remove(0)
}

/// A removed job is gone, and with it its runs.
pub async fn a_removed_job_is_gone_with_its_runs(bench: &Bench) {
    let job = bench.due_job("report").await;
    let started = bench.a().start("report").await;
    bench.a().end(&started, Verdict::Ok).await;

    assert_eq!(remove(bench, "report").await.running(), Some(0));

    assert_eq!(bench.find("report").await, None);
    assert_eq!(bench.runs(job.uid).await, []);
    assert_eq!(bench.a().claim().await.jobs, []);
}

/// A job that is not there is reported as gone, job by job.
pub async fn a_removal_is_judged_job_by_job(bench: &Bench) {
    let one = bench.due_job("one").await;
    let two = bench.due_job("two").await;
    let ids = ["one", "nobody", "two", "one"].map(JobId::from);
    let reply = bench.store().remove(bench.at(), &ids).await.unwrap().value;
    let removed = |uid| Removed::Removed { uid: Some(uid), running: 0, cancelled: vec![] };
    assert_eq!(reply, [removed(one.uid), Removed::Gone, removed(two.uid), Removed::Gone]);
}

/// A running run stays and ends normally; the job is hidden from then on and goes with it.
pub async fn a_removed_job_goes_with_its_running_run(bench: &Bench) {
    let job = bench.due_job("report").await;
    let started = bench.a().start("report").await;

    assert_eq!(remove(bench, "report").await.running(), Some(1));

    assert_eq!(bench.find("report").await, None);
    assert_eq!(remove(bench, "report").await, Removed::Gone);
    assert_eq!(bench.runs(job.uid).await[0].state, RunState::Running);
    let reply = bench.a().record(&[started.entry(ended(Verdict::Ok))]).await;
    assert_eq!((&reply.outcomes[..], &reply.over[..]), (&[RecordOutcome::Done][..], &[(job.uid, job.id)][..]));
    assert_eq!(bench.runs(job.uid).await, []);
}

/// Waiting runs of a removed job end as cancelled.
pub async fn removing_cancels_waiting_runs(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench
        .a()
        .start_and("report", |to| {
            let RunChange::Insert(first) = &to.runs[0] else { panic!("the run that starts") };
            let mut queued = first.clone();
            (queued.id.seq, queued.state) = (2, RunState::Waiting(Wait::Queued));
            to.runs.push(RunChange::Insert(queued));
        })
        .await;
    let Removed::Removed { running, cancelled, .. } = remove(bench, "report").await else { panic!("it is there") };
    assert_eq!(running, 1);
    // So that it can be told.
    let [it] = &cancelled[..] else { panic!("{cancelled:?}") };
    assert_eq!((&it.job, &it.task), (&started.claimed.job.id, &started.claimed.job.body.task));
    assert_eq!((it.run.id.uid, it.run.id.seq), (started.uid(), 2));
    assert_eq!(
        (it.run.state, it.run.fire_time),
        (RunState::Ended(Verdict::Cancelled), started.claimed.job.due.unwrap())
    );
    assert!(it.run.ended.is_some());
    let states: Vec<RunState> = bench.runs(started.uid()).await.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Ended(Verdict::Cancelled), RunState::Running]);
}

/// A run of a removed job that fails is not repeated: it ends as error, and the job goes.
pub async fn a_removed_job_is_not_retried(bench: &Bench) {
    let job = bench.due_job("report").await;
    let started = bench.a().start("report").await;
    remove(bench, "report").await;
    let retry = RunReport::Retry { due: bench.at() + TimeDelta::seconds(1), error: Some("no paper".to_owned()) };
    let reply = bench.a().record(&[started.entry(retry)]).await;
    assert_eq!((&reply.outcomes[..], &reply.over[..]), (&[RecordOutcome::Ended][..], &[(job.uid, job.id)][..]));
}

/// Its node learns that, also while another run of the job goes on, and from the same report repeated.
pub async fn a_retry_in_a_removed_job_is_an_end(bench: &Bench) {
    let job = bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let mut to = moved(&claimed);
    for n in 1..=2 {
        to.runs.push(RunChange::Insert(nth_run(&claimed, n, RunState::Running)));
    }
    bench.a().settle_one(&to).await;
    remove(bench, "report").await;

    let retry = RunReport::Retry { due: bench.at() + TimeDelta::seconds(1), error: Some("no paper".to_owned()) };
    let entry = Entry::new(RunId { uid: job.uid, seq: 1 }, claimed.job.fence, retry);
    for _ in 0..2 {
        assert_eq!(bench.a().record(std::slice::from_ref(&entry)).await.outcomes, [RecordOutcome::Ended]);
    }
    let states: Vec<RunState> = bench.runs(job.uid).await.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Running, RunState::Ended(Verdict::Error)]);
}

/// The id is free at once, even while the former job still runs, and the two do not get in each other's way.
pub async fn an_id_is_free_after_removal(bench: &Bench) {
    let former = bench.due_job("report").await;
    let started = bench.a().start("report").await;
    remove(bench, "report").await;

    let latter = bench.due_job("report").await;
    assert_eq!(bench.stored("report").await.uid, latter.uid);
    let second = bench.b().start("report").await;
    assert_eq!(second.run.seq, started.run.seq);
    assert_ne!(second.run, started.run);
    assert_eq!(bench.a().record(&[started.entry(ended(Verdict::Ok))]).await.over, [(former.uid, former.id)]);
    assert_eq!(bench.stored("report").await.uid, latter.uid);
    assert_eq!(bench.runs(latter.uid).await[0].state, RunState::Running);
}

/// A removal voids a claim: the claimer's move writes nothing.
pub async fn a_removed_job_cannot_be_settled(bench: &Bench) {
    bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    remove(bench, "report").await;
    let mut to = moved(&claimed);
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));
    assert_eq!(bench.a().settle_one(&to).await, SettleOutcome::Gone);
    assert_eq!(bench.find("report").await, None);
}

/// A removal of a job that runs voids a claim too.
pub async fn a_removed_job_that_runs_cannot_be_settled(bench: &Bench) {
    let job = bench.due_job("report").await;
    let now = Some(bench.now().await);
    bench.a().start_and("report", |to| (to.next_fire_time, to.due) = (now, now)).await;
    let claimed = bench.b().claim_one("report").await;
    remove(bench, "report").await;
    let mut to = moved(&claimed);
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));
    assert_eq!(bench.b().settle_one(&to).await, SettleOutcome::Changed);
    assert_eq!(bench.runs(job.uid).await.len(), 1);
}

/// All live jobs can be removed at once; each is treated as if it were removed singly.
pub async fn all_jobs_can_be_removed(bench: &Bench) {
    for id in ["one", "two", "three"] {
        bench.due_job(id).await;
    }
    let started = bench.a().start("two").await;
    let failed = bench.a().start("three").await;
    let retry = RunReport::Retry { due: bench.at() + TimeDelta::hours(1), error: Some("no paper".to_owned()) };
    bench.a().report(&failed, retry).await;

    let all = bench.store().remove_all(bench.at()).await.unwrap().value;

    let [it] = &all.cancelled[..] else { panic!("{all:?}") };
    assert_eq!((all.count, it.run.id, it.run.verdict()), (3, failed.run, Some(Verdict::Cancelled)));
    assert_eq!((&it.job, &it.task), (&failed.claimed.job.id, &failed.claimed.job.body.task));
    assert_eq!(bench.store().remove_all(bench.at()).await.unwrap().value, RemovedAll::default());
    assert_eq!((bench.find("one").await, bench.find("two").await), (None, None));
    assert_eq!(bench.a().end(&started, Verdict::Ok).await, RecordOutcome::Done);
    assert_eq!(bench.runs(started.uid()).await, []);
}
