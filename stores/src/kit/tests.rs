//! The verbs over a backend in memory.

use std::{
    pin::pin,
    task::{Context, Waker},
};

use futures_lite::future::block_on;
use scheduler_core::{
    RunState,
    store::{RunChange, SettleOutcome},
};
use scheduler_testkit::store::{Bench, LEASE, StoreUnderTest, agree, moved, nth_run};
use test_support::repeats;

use super::{
    KitStore,
    faulty::{Fault, FaultyBackend},
};
use crate::MemoryStore;

mod promises {
    use super::*;

    scheduler_testkit::store_conformance!(async {
        let backend = FaultyBackend::new(|_| Fault::Nothing);
        StoreUnderTest::new(KitStore::new(backend.clone()), KitStore::new(backend))
    });
}

#[test]
fn the_kit_answers_as_the_memory_store_does() {
    for seed in 0..repeats(6, 20) {
        let store = KitStore::new(FaultyBackend::new(|_| Fault::Nothing));
        block_on(agree(&MemoryStore::new(), &store, seed, 300));
    }
}

/// Each third write finds that another call was faster with half of its documents, which no answer shows.
#[test]
fn a_lost_race_changes_no_answer() {
    for seed in 100..100 + repeats(10, 30) {
        let store = KitStore::new(FaultyBackend::new(|n| if n % 3 == 0 { Fault::Race } else { Fault::Nothing }));
        block_on(agree(&MemoryStore::new(), &store, seed, 300));
    }
}

/// A node whose lease has passed comes back while another one takes it over, at whichever point of that: what it starts
/// from then on is its own.
#[test]
fn what_a_node_starts_after_its_lease_was_taken_is_left_alone() {
    let mut starts = 0;
    for point in 0..40 {
        let backend = FaultyBackend::new(|_| Fault::Nothing);
        let store = || KitStore::new(backend.clone());
        let bench = Bench::new(StoreUnderTest::new(store(), store()));
        let (a, b) = (bench.a(), bench.b());
        block_on(bench.due_job("old"));
        block_on(a.start("old"));
        block_on(bench.advance(LEASE));
        let new = block_on(bench.due_job("new")).uid;

        let mut context = Context::from_waker(Waker::noop());
        let mut takeover = pin!(b.adopt());
        let is_over = (0..point).any(|_| takeover.as_mut().poll(&mut context).is_ready());
        let claimed = block_on(a.claim()).jobs.into_iter().find(|job| job.job.uid == new);
        let is_started = claimed.is_some_and(|job| {
            let mut to = moved(&job);
            to.runs.push(RunChange::Insert(nth_run(&job, 1, RunState::Running)));
            matches!(block_on(a.settle_one(&to)), SettleOutcome::Applied { .. })
        });
        if !is_over {
            block_on(takeover);
        }

        starts += usize::from(is_started);
        if is_started {
            let run = block_on(bench.runs(new)).remove(0);
            assert_eq!((run.state, run.owner), (RunState::Running, Some(a.id)), "at point {point}");
        }
    }
    assert!(starts > 5, "{starts} of 40");
}
