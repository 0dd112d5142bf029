//! Promises about jobs that have had their last fire time: each is there until its last run has ended.

use chrono::TimeDelta;
use scheduler_core::{
    JobId, JobRow, JobState, Listed, RunState, Verdict, Wait,
    store::{Fate, Inserted, JobQuery, RecordOutcome, RunChange, RunReport, SettleOutcome, Updated},
};

use super::{
    Bench, LEASE, moved,
    node::{Started, ended, request_of, update_of},
    nth_run,
};

const PAGE: JobQuery = JobQuery { after: None, limit: 9 };

/// A job that was due and has had its last fire time, whose run runs on node a.
async fn ending(bench: &Bench, id: &str) -> (JobRow, Started) {
    let job = bench.due_job(id).await;
    let started = bench.a().start_and(id, |to| to.state = JobState::Ending).await;
    (job, started)
}

/// A job whose last run is open is found and listed: active, without a next fire time, neither due nor blocked.
pub async fn a_job_is_there_until_its_last_run_has_ended(bench: &Bench) {
    let (job, started) = ending(bench, "one-shot").await;

    let stored = bench.stored("one-shot").await;
    assert_eq!((stored.uid, &stored.state), (job.uid, &JobState::Active));
    assert_eq!((stored.next_fire_time, stored.due, stored.blocked), (None, None, false));
    assert!(stored.is_ending(), "{stored:?}");
    assert_eq!(bench.store().jobs(&PAGE).await.unwrap(), [Listed::Job(stored)]);

    let retry = RunReport::Retry { due: bench.now().await, error: Some("no paper".to_owned()) };
    assert_eq!(bench.a().report(&started, retry).await, RecordOutcome::Done);
    assert!(bench.stored("one-shot").await.is_ending());
    let claimed = bench.b().claim_one("one-shot").await;
    assert_eq!((claimed.job.uid, claimed.waiting_count), (job.uid, 1));
    let mut to = moved(&claimed).with_state(JobState::Ending);
    to.runs.push(RunChange::Start { seq: 1, attempt: 2 });
    assert_eq!(bench.b().settle_one(&to).await, SettleOutcome::Applied { job: Fate::Stays });
    assert!(bench.stored("one-shot").await.is_ending());

    let second = Started { run: started.run, fence: claimed.job.fence, claimed };
    let reply = bench.b().record(&[second.entry(ended(Verdict::Ok))]).await;
    assert_eq!(reply.over, [(job.uid, job.id)]);
    assert_eq!((bench.find("one-shot").await, bench.runs(job.uid).await), (None, Vec::new()));
}

/// Its id is taken until then, and free afterwards.
pub async fn its_id_is_taken_until_its_last_run_has_ended(bench: &Bench) {
    let (job, started) = ending(bench, "one-shot").await;
    let second = bench.job("one-shot", bench.now().await);
    let insert = || async { bench.store().insert(bench.at(), std::slice::from_ref(&second)).await.unwrap().value };
    let outcomes = insert().await;
    let [Inserted::Conflict(holder)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(matches!(&**holder, Listed::Job(holder) if holder.uid == job.uid), "{holder:?}");

    bench.a().end(&started, Verdict::Error).await;

    assert_eq!(insert().await, [Inserted::Added]);
    assert_eq!(bench.stored("one-shot").await.uid, second.uid);
}

/// Of several open runs the last one counts, one that waits too.
pub async fn it_goes_with_the_last_of_its_runs(bench: &Bench) {
    let job = bench.due_job("twice").await;
    let claimed = bench.a().claim_one("twice").await;
    let mut to = moved(&claimed).with_state(JobState::Ending);
    to.blocked = true;
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));
    to.runs.push(RunChange::Insert(nth_run(&claimed, 2, RunState::Waiting(Wait::Queued))));
    bench.a().settle_one(&to).await;
    let first = Started { run: nth_run(&claimed, 1, RunState::Running).id, fence: claimed.job.fence, claimed };
    assert_eq!(bench.a().record(&[first.entry(ended(Verdict::Ok))]).await.over, []);

    let claimed = bench.b().claim_one("twice").await;
    let mut to = moved(&claimed).with_state(JobState::Ending);
    to.runs.push(RunChange::End { seq: 2, verdict: Verdict::Cancelled, error: None });
    assert_eq!(bench.b().settle_one(&to).await, SettleOutcome::Applied { job: Fate::Deleted });
    assert_eq!((bench.find("twice").await, bench.runs(job.uid).await), (None, Vec::new()));
}

/// With another fire time it goes on, and stays when the run ends that was its last one.
pub async fn with_another_fire_time_it_goes_on(bench: &Bench) {
    let (job, started) = ending(bench, "one-shot").await;
    let tomorrow = Some(bench.now().await + TimeDelta::days(1));
    let seen = bench.stored("one-shot").await;
    let update = update_of(&seen).with_next_fire_time(tomorrow).with_due(tomorrow);
    let Updated::Updated(row) = bench.b().update(&update).await else { panic!("it was not updated") };
    assert!(!row.is_ending(), "{row:?}");

    assert_eq!(bench.a().record(&[started.entry(ended(Verdict::Ok))]).await.over, []);

    let stored = bench.stored("one-shot").await;
    assert_eq!((stored.uid, stored.next_fire_time, stored.due), (job.uid, tomorrow, tomorrow));
}

/// One that is paused stays when its last run ends: after a resume it is seen what is left to do.
pub async fn a_paused_one_stays(bench: &Bench) {
    let (job, started) = ending(bench, "one-shot").await;
    let pause = update_of(&bench.stored("one-shot").await).with_state(JobState::Paused);
    bench.b().update(&pause).await;
    assert_eq!(bench.a().record(&[started.entry(ended(Verdict::Ok))]).await.over, []);
    assert_eq!(bench.stored("one-shot").await.state, JobState::Paused);

    let resume =
        update_of(&bench.stored("one-shot").await).with_state(JobState::Active).with_due(Some(bench.now().await));
    bench.b().update(&resume).await;
    let claimed = bench.b().claim_one("one-shot").await;
    assert_eq!((claimed.running_count, claimed.waiting_count), (0, 0));
    let outcome = bench.b().settle_one(&moved(&claimed).with_state(JobState::Ending)).await;
    assert_eq!(outcome, SettleOutcome::Applied { job: Fate::Deleted });
    assert_eq!((bench.find("one-shot").await, bench.runs(job.uid).await), (None, Vec::new()));
}

/// It can be removed: hidden at once, it goes with its run.
pub async fn it_can_be_removed(bench: &Bench) {
    let (job, started) = ending(bench, "one-shot").await;
    let removed = bench.store().remove(bench.at(), &[JobId::from("one-shot")]).await.unwrap().value;
    assert_eq!(removed[0].running(), Some(1));
    assert_eq!(bench.find("one-shot").await, None);
    assert_eq!(bench.a().record(&[started.entry(ended(Verdict::Ok))]).await.over, [(job.uid, job.id)]);
}

/// A run that a user asks for keeps it, and it goes with that one.
pub async fn a_run_that_is_asked_for_keeps_it(bench: &Bench) {
    let (job, started) = ending(bench, "one-shot").await;
    let seen = bench.stored("one-shot").await;
    bench.b().update(&request_of(&seen, bench.now().await)).await;
    assert_eq!(bench.a().record(&[started.entry(ended(Verdict::Ok))]).await.over, []);

    let claimed = bench.b().claim_one("one-shot").await;
    let mut to = moved(&claimed).with_state(JobState::Ending);
    to.runs.push(RunChange::Start { seq: 2, attempt: 1 });
    bench.b().settle_one(&to).await;
    let run = claimed.waiting[0].id;
    let second = Started { run, fence: claimed.job.fence, claimed };
    assert_eq!(bench.b().record(&[second.entry(ended(Verdict::Ok))]).await.over, [(job.uid, job.id)]);
}

/// One whose node died is taken over, with its definition. A node of an earlier version, which asks the trigger for a fire
/// time after `last_end`, is told one after the last fire time.
pub async fn its_orphan_is_taken_over(bench: &Bench) {
    let (job, started) = ending(bench, "one-shot").await;
    bench.advance(LEASE).await;

    let claimed = bench.b().adopt().await;

    let it = &claimed.jobs[0];
    assert_eq!((&it.job.body, it.waiting_count, it.waiting[0].id), (&job.body, 1, started.run));
    assert!(it.job.is_ending() && it.job.last_end >= job.next_fire_time, "{it:?}");
}

/// What an earlier version has left as ending is as it was then: hidden, its id free, and it goes with its last run, through
/// a retry too.
pub async fn one_of_an_earlier_version_is_hidden_and_goes(bench: &Bench) {
    let former = bench.due_job("one-shot").await;
    let started = bench.a().start("one-shot").await;
    let seen = bench.stored("one-shot").await;
    let left = update_of(&seen).with_state(JobState::Ending).with_next_fire_time(None).with_due(None);
    bench.b().update(&left).await;
    assert_eq!((bench.find("one-shot").await, bench.store().jobs(&PAGE).await.unwrap()), (None, Vec::new()));
    let latter = bench.due_job("one-shot").await;

    let retry = RunReport::Retry { due: bench.now().await, error: None };
    assert_eq!(bench.a().report(&started, retry).await, RecordOutcome::Done);
    let claimed = bench.b().claim().await;
    assert_eq!(claimed.jobs.len(), 2);
    let it = claimed.jobs.into_iter().find(|it| it.job.uid == former.uid).expect("its retry is due");
    assert_eq!(it.job.state, JobState::Ending);
    let mut to = moved(&it).with_state(JobState::Ending);
    to.runs.push(RunChange::Start { seq: 1, attempt: 2 });
    bench.b().settle_one(&to).await;
    let listed = bench.store().jobs(&PAGE).await.unwrap();
    assert!(matches!(&listed[..], [Listed::Job(job)] if job.uid == latter.uid), "{listed:?}");

    let second = Started { run: started.run, fence: it.job.fence, claimed: it };
    assert_eq!(bench.b().record(&[second.entry(ended(Verdict::Ok))]).await.over, [(former.uid, former.id)]);
    assert_eq!(bench.stored("one-shot").await.uid, latter.uid);
}
