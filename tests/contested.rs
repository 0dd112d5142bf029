//! Nodes that change a job without a pause, on every store: it runs all the same, and each change gets through.
//!
//! A change voids the claim of the node that has the job, and a claim makes the change that was under way try again. Neither may
//! keep the other from its end for good.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use apscheduler::{Conflict, JobSpec, Scheduler, ShutdownMode, TokioRuntime, trigger::Interval};
use futures_util::future::join_all;

use test_support::test_store::{Contents, TestStore};

const NODES: usize = 2;
const PERIOD: Duration = Duration::from_millis(100);

/// What has to happen: so many runs, and on each node so many changes.
const RUNS: usize = 30;
const CHANGES: usize = 40;

/// The changes end when there has been enough of both, so that a job or a change that is kept from its end by them waits for
/// ever. A change in MongoDB takes 20 round trips and 4 flushes when it meets others: half a second on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(150);

macro_rules! on_stores {
    ($scenario:ident: $($store:ident)*) => {
        mod $scenario {
            $(
                #[test]
                fn $store() {
                    crate::$scenario(stringify!($store));
                }
            )*

            #[test]
            fn each_store_is_tested() {
                test_support::test_store::assert_lists(&[$(stringify!($store)),*], |_| true);
            }
        }
    };
}

on_stores! { a_job_that_nodes_replace_by_the_same_all_the_time_runs:
    etcd memory mongodb mysql postgres redis rethinkdb sqlite zookeeper
}

on_stores! { a_job_that_nodes_change_all_the_time_runs: etcd memory mongodb mysql postgres redis rethinkdb sqlite zookeeper }

fn a_job_that_nodes_replace_by_the_same_all_the_time_runs(store: &str) {
    a_job_that_is_replaced_all_the_time_runs(store, |_| 0);
}

fn a_job_that_nodes_change_all_the_time_runs(store: &str) {
    a_job_that_is_replaced_all_the_time_runs(store, |change| change);
}

/// Two nodes replace a job until both have done so often enough and it has run often enough.
fn a_job_that_is_replaced_all_the_time_runs(store: &str, arguments: fn(usize) -> usize) {
    let test_store = TestStore::new(store);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let runs = Arc::new(AtomicUsize::new(0));
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(node(&test_store, &runs).await);
        }
        let changes = [const { Cell::new(0) }; NODES];
        let enough = || runs.load(Ordering::Relaxed) >= RUNS && changes.iter().all(|of| of.get() >= CHANGES);
        let loops = nodes.iter().zip(&changes).enumerate().map(async |(n, (node, count))| {
            while !enough() {
                let args = arguments(count.get() * NODES + n);
                let spec = JobSpec::new("note", Interval::every(PERIOD)).id("contested").args(args).history(1_000_000);
                node.add_job(spec.on_conflict(Conflict::Replace)).await.unwrap();
                count.set(count.get() + 1);
            }
        });
        let done = tokio::time::timeout(DEADLINE, join_all(loops)).await;
        assert!(done.is_ok(), "after {DEADLINE:?}: {} runs, {changes:?} changes", runs.load(Ordering::Relaxed));
        for node in &nodes {
            tokio::time::timeout(DEADLINE, node.shutdown(ShutdownMode::Wait)).await.unwrap().unwrap();
        }
    });
    let contents = Contents::read(&test_store);
    contents.assert_tiles("contested", PERIOD);
}

async fn node(test_store: &TestStore, runs: &Arc<AtomicUsize>) -> Scheduler {
    let runs = Arc::clone(runs);
    let note = move |_: usize| {
        runs.fetch_add(1, Ordering::Relaxed);
        async {}
    };
    let builder = Scheduler::builder(TokioRuntime::current()).store("default", test_store.open().await);
    let node = builder.task("note", note).build().unwrap();
    node.start().await.unwrap();
    node
}
