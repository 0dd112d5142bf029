//! One store in every runtime.

use std::{thread, time::Duration};

use scheduler_core::JobStore;
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};
use tokio::runtime::{Builder, Runtime};

/// Opens a store on a runtime that has no timer and no reactor of its own, and uses it on others, which end in between.
pub fn one_after_the_other<S: JobStore + Clone>(open: impl Future<Output = S>, rounds: usize) {
    let bench = bench(bare().block_on(open));
    for n in 0..rounds {
        bare().block_on(add_and_hear(&bench, &format!("from tokio {n}")));
        let many = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        many.block_on(add_and_hear(&bench, &format!("from tokio's threads {n}")));
        many.shutdown_timeout(Duration::ZERO);
        smol::block_on(add_and_hear(&bench, &format!("from smol {n}")));
        thread::scope(|scope| {
            let thread = scope.spawn(|| block_on(add_and_hear(&bench, &format!("from a thread {n}"))));
            thread.join().unwrap();
        });
    }
    assert_eq!(block_on(bench.a().claim()).jobs.len(), 4 * rounds);
}

/// Adds so many jobs from each of so many runtimes of each kind.
pub fn at_once(store: impl JobStore + Clone, runtimes: usize, jobs: usize) {
    let bench = &bench(store);
    thread::scope(|scope| {
        for n in 0..runtimes {
            scope.spawn(move || {
                let whole = || Builder::new_current_thread().enable_all().build().unwrap();
                let runtime = if n % 2 == 0 { whole() } else { bare() };
                runtime.block_on(add(bench, &format!("tokio {n}"), jobs));
            });
            scope.spawn(move || smol::block_on(add(bench, &format!("smol {n}"), jobs)));
            scope.spawn(move || block_on(add(bench, &format!("thread {n}"), jobs)));
        }
    });
    assert_eq!(block_on(bench.a().claim()).jobs.len(), 3 * runtimes * jobs);
}

fn bench(store: impl JobStore + Clone) -> Bench {
    Bench::new(StoreUnderTest::new(store.clone(), store))
}

fn bare() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

async fn add(bench: &Bench, name: &str, jobs: usize) {
    for n in 0..jobs {
        bench.due_job(&format!("{name} {n}")).await;
    }
}

async fn add_and_hear(bench: &Bench, id: &str) {
    let seen = bench.store().changed(0).await.unwrap().seen;
    bench.due_job(id).await;
    assert!(bench.store().changed(seen).await.unwrap().hint.is_some());
}
