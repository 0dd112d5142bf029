//! Promises of stores that outlive the process.

use scheduler_core::{Listed, RunState, Verdict};

use super::{Bench, LEASE};

/// Jobs, runs, claims and leases are there after the storage was opened anew.
pub async fn everything_is_there_after_reopening(bench: &Bench) {
    let Some(_) = bench.reopened().await else { return };
    for id in ["ended", "running", "waiting"] {
        bench.due_job(id).await;
    }
    let ended = bench.a().start("ended").await;
    bench.a().end(&ended, Verdict::Ok).await;
    let running = bench.a().start("running").await;
    let before = [bench.stored("ended").await, bench.stored("running").await];
    bench.a().claim_one("waiting").await;

    let store = bench.reopened().await.expect("the storage can be opened");

    for job in before {
        assert_eq!(store.job(&job.id).await.unwrap(), Some(Listed::Job(job)));
    }
    assert_eq!(bench.runs(running.uid()).await[0].state, RunState::Running);
    assert_eq!(store.claim(&bench.b().adopt_call()).await.unwrap().jobs, [], "the lease and the claim still hold");
    bench.advance(LEASE).await;
    let mut ids: Vec<_> =
        store.claim(&bench.b().adopt_call()).await.unwrap().jobs.into_iter().map(|it| it.job.id).collect();
    ids.sort();
    assert_eq!(ids, ["running", "waiting"]);
}
