//! Where a store is: servers, roots, users and schema.

use std::{net::TcpListener, time::Duration};

use scheduler_core::{
    JobStore,
    store::{JobQuery, StoreErrorKind, Wakes},
};
use scheduler_stores::{ZooKeeperOptions, ZooKeeperStore};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};

use crate::{server, tree::Tree};

const ALL: JobQuery = JobQuery { after: None, limit: 9 };

#[test]
fn schedulers_with_other_roots_share_servers_without_meeting() {
    block_on(async {
        let tree = Tree::new();
        let below = Tree { root: format!("{}/jobs", tree.root) };
        let stores = [tree.open().await, Tree::new().open().await, below.open().await];
        let bench = Bench::new(StoreUnderTest::new(stores[0].clone(), tree.open().await));
        bench.due_job("report").await;
        assert_eq!(stores[0].jobs(&ALL).await.unwrap().len(), 1);
        assert_eq!(stores[1].jobs(&ALL).await.unwrap(), []);
        assert_eq!(stores[2].jobs(&ALL).await.unwrap(), []);
    });
}

#[test]
fn the_path_of_the_url_comes_before_the_root() {
    block_on(async {
        let tree = Tree::new();
        let url = format!("{}{}", server::url("zookeeper"), tree.root);
        let store = ZooKeeperOptions::new().root("/of/ours").unwrap().connect(&url).await.unwrap();
        assert_eq!(tree.list("of/ours/jobs").await, Vec::<String>::new());
        assert!(format!("{store:?}").contains(&format!("{}/of/ours", tree.root)), "{store:?}");
    });
}

#[test]
fn what_a_user_creates_is_for_that_user_alone() {
    block_on(async {
        let tree = Tree::new();
        let url = |user: &str| server::url("zookeeper").replace("://", &format!("://{user}@"));
        let store = tree.options().connect(&url("me:se%63ret")).await.unwrap();
        Bench::new(StoreUnderTest::new(store.clone(), store.clone())).due_job("report").await;
        assert!(!format!("{store:?}").contains("secret"), "{store:?}");
        let again = tree.options().connect(&url("me:secret")).await.unwrap();
        assert_eq!(again.jobs(&ALL).await.unwrap().len(), 1);
        for stranger in [server::url("zookeeper"), url("me:other")] {
            let error = tree.options().connect(&stranger).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
            assert!(error.to_string().contains("connect as a user that may"), "{error}");
        }
    });
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    block_on(async {
        let tree = Tree::new();
        drop(tree.open().await);
        tree.write("schema", b"7").await;
        let error = tree.options().connect(&server::url("zookeeper")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        let message = error.to_string();
        assert!(
            message.contains("schema 7") && message.contains("up to 1") && message.contains(&tree.root),
            "{message}"
        );
    });
}

#[test]
fn nodes_that_start_together_do_not_trip_over_each_other() {
    let tree = Tree::new();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..8).map(|_| scope.spawn(|| block_on(tree.open()))).collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
    assert_eq!(block_on(tree.read("schema")), "1");
}

#[test]
fn a_port_where_nobody_listens_is_unavailable_at_once() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = block_on(ZooKeeperStore::connect(&format!("zookeeper://127.0.0.1:{port}"))).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let message = error.to_string();
    assert!(message.contains(&port.to_string()) && message.contains("check that they are up"), "{message}");
}

#[test]
fn a_server_that_does_not_answer_is_unavailable_after_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("zookeeper://{}", silent.local_addr().unwrap());
    let options = ZooKeeperOptions::new().timeout(Duration::from_millis(50));
    let error = block_on(options.connect(&url)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("no answer within 50ms"), "{error}");
}

#[test]
fn it_says_what_it_can_do() {
    let limits = block_on(Tree::new().open()).limits();
    assert_eq!((limits.payload, limits.batch, limits.wakes), (256 << 10, 500, Wakes::Push));
}
