//! Promises of [`JobStore::release`](scheduler_core::JobStore::release).

use scheduler_core::{
    RunState, Verdict, Wait,
    store::{RecordOutcome, SettleOutcome},
};

use super::{Bench, moved};

/// Claims are given up at once: a restarted process does not wait for its lease.
pub async fn claims_are_given_up_at_once(bench: &Bench) {
    bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    bench.a().release().await;
    bench.b().claim_one("report").await;
    assert_eq!(bench.a().settle_one(&moved(&claimed)).await, SettleOutcome::Taken);
}

/// Runs that the node still runs wait for another one at once, and are not the node's any more.
pub async fn runs_are_given_back_at_once(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    bench.a().release().await;
    let claimed = bench.b().claim_one("report").await;
    assert_eq!((claimed.running_count, claimed.waiting_count), (0, 1));
    let run = &claimed.waiting[0];
    assert_eq!((run.id, run.state), (started.run, RunState::Waiting(Wait::Released)));
    assert_eq!((run.attempt, run.takeovers), (1, 0));
    assert_eq!(bench.a().end(&started, Verdict::Ok).await, RecordOutcome::Stale);
}

/// Nothing of other nodes is touched, and a node that holds nothing can release it.
pub async fn a_release_touches_nothing_of_others(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    bench.b().release().await;
    bench.b().release().await;
    assert_eq!(bench.a().end(&started, Verdict::Ok).await, RecordOutcome::Done);
}
