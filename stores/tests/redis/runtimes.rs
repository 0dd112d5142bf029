//! One store serves every runtime, and none.

use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};

use crate::test_store::TestStore;

#[test]
fn one_store_serves_tokio_smol_and_threads() {
    let store = block_on(TestStore::new().open());
    let bench = Bench::new(StoreUnderTest::new(store.clone(), store));
    // No driver of time or network is on there.
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(bench.due_job("from tokio"));
    smol::block_on(bench.due_job("from smol"));
    std::thread::scope(|scope| scope.spawn(|| block_on(bench.due_job("from a thread"))).join().unwrap());
    assert_eq!(block_on(bench.a().claim()).jobs.len(), 3);
}

#[test]
fn a_store_outlives_the_runtime_in_which_it_was_made() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = tokio.block_on(TestStore::new().open());
    let bench = Bench::new(StoreUnderTest::new(store.clone(), store));
    tokio.block_on(async { bench.store().changed(0).await.unwrap() });
    drop(tokio);
    block_on(async {
        let seen = bench.store().changed(0).await.unwrap().seen;
        bench.due_job("report").await;
        bench.store().changed(seen).await.unwrap();
        assert_eq!(bench.a().claim().await.jobs.len(), 1);
    });
}

#[test]
fn a_store_may_be_dropped_inside_of_tokio() {
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio.block_on(async {
        let store = TestStore::new().open().await;
        let call = store.clone();
        drop(futures_lite::future::poll_once(scheduler_core::JobStore::changed(&call, 0)).await);
    });
}
