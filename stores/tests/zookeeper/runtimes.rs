//! One store in every runtime.

use futures_lite::future::poll_once;
use scheduler_core::{JobStore, store::StoreErrorKind};
use scheduler_stores::ZooKeeperStore;
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};

use crate::{
    server,
    tree::{self, Tree},
};

fn bench(store: &ZooKeeperStore) -> Bench {
    Bench::new(StoreUnderTest::new(store.clone(), store.clone()))
}

fn in_tokio<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn one_store_serves_tokio_smol_and_threads() {
    let tree = Tree::new();
    // The runtime in which it was connected is gone before it is used.
    let store = in_tokio(tree.open());
    let bench = bench(&store);
    in_tokio(bench.due_job("from tokio"));
    smol::block_on(bench.due_job("from smol"));
    std::thread::scope(|scope| scope.spawn(|| block_on(bench.due_job("from a thread"))).join().unwrap());
    assert_eq!(block_on(bench.a().claim()).jobs.len(), 3);
}

#[test]
fn a_store_may_be_dropped_within_tokio() {
    in_tokio(async {
        let store = Tree::new().open().await;
        bench(&store).due_job("report").await;
        drop(store);
    });
}

#[test]
fn a_client_of_the_application_can_be_used() {
    let tree = Tree::new();
    block_on(async {
        let store = tree.options().from_client(tree::client().await).await.unwrap();
        let bench = bench(&store);
        bench.due_job("report").await;
        assert_eq!(bench.b().claim().await.jobs.len(), 1);
        assert_eq!(tree.list("ids").await, ["report"]);
    });
}

#[test]
fn a_connector_of_the_application_can_be_used() {
    let tree = Tree::new();
    let servers = server::url("zookeeper").replace("zookeeper://", "tcp://");
    let store = block_on(tree.options().connect_with(zookeeper_client::Client::connector(), &servers)).unwrap();
    let bench = bench(&store);
    smol::block_on(bench.due_job("report"));
    assert_eq!(block_on(bench.b().claim()).jobs.len(), 1);
}

#[test]
fn a_client_of_the_application_that_went_with_its_runtime_is_unavailable() {
    let tree = Tree::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let servers = server::url("zookeeper").replace("zookeeper://", "");
    let store = runtime.block_on(async {
        let client = zookeeper_client::Client::connect(&servers).await.unwrap();
        tree.options().from_client(client).await.unwrap()
    });
    let seen = block_on(store.changed(0)).unwrap().seen;
    let mut changed = store.changed(seen);
    assert!(block_on(poll_once(&mut changed)).is_none());
    // Its answer comes after the watch is set.
    assert_eq!(block_on(store.job(&"report".into())).unwrap(), None);

    drop(runtime);

    assert_eq!(block_on(changed).unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(block_on(store.job(&"report".into())).unwrap_err().kind(), StoreErrorKind::Unavailable);
}
