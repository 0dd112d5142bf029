//! Streams and connections that end: nothing of them is left behind, and no call fails for it.

use futures_lite::future::poll_once;
use scheduler_core::{
    JobStore,
    store::{Changed, Hint, StoreError},
};
use scheduler_stores::{EtcdOptions, EtcdStore};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};

use crate::{
    own_server::{LOOKS, OwnServer},
    relay::Relay,
    server,
    test_store::TestStore,
};

async fn open(address: &str) -> EtcdStore {
    EtcdStore::connect(&format!("etcd://{address}")).await.unwrap()
}

/// Lets a store wait for a change until the server keeps its watch.
async fn until_watching(server: &OwnServer, waiting: &mut (impl Future<Output = Result<Changed, StoreError>> + Unpin)) {
    for _ in 0..LOOKS {
        let change = poll_once(&mut *waiting).await;
        assert!(change.is_none(), "nothing has changed: {change:?}");
        if server.watches() > 0 {
            return;
        }
    }
    panic!("the server keeps no watch");
}

#[test]
fn a_watch_that_has_heard_of_a_change_is_over_at_the_server() {
    let server = OwnServer::start();
    block_on(async {
        let store = open(&server.address()).await;
        let bench = Bench::new(StoreUnderTest::new(store.clone(), open(&server.address()).await));
        let mut seen = store.changed(0).await.unwrap().seen;
        for n in 0..20 {
            let mut waiting = Box::pin(store.changed(seen));
            until_watching(&server, &mut waiting).await;
            bench.due_job(&format!("report {n}")).await;
            seen = waiting.await.unwrap().seen;
            server.wait_for_watches(0);
        }
    });
}

#[test]
fn a_watch_that_nobody_waits_for_any_more_is_over_at_the_server() {
    let server = OwnServer::start();
    block_on(async {
        let store = open(&server.address()).await;
        let seen = store.changed(0).await.unwrap().seen;
        for _ in 0..20 {
            let mut waiting = Box::pin(store.changed(seen));
            until_watching(&server, &mut waiting).await;
            drop(waiting);
            server.wait_for_watches(0);
        }
    });
}

const NO_ERROR: u8 = 0;
const ENHANCE_YOUR_CALM: u8 = 11;

#[test]
fn a_call_whose_connection_ends_without_an_answer_goes_through_on_another() {
    block_on(async {
        let (test_store, relay) = (TestStore::new(), Relay::start(server::url("etcd").trim_start_matches("etcd://")));
        let options = EtcdOptions::new().key_prefix(&test_store.prefix).unwrap();
        let store = options.connect(&format!("etcd://{}", relay.address)).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store.clone(), store));
        let farewells = [("cut", Vec::new()), ("left", go_away(NO_ERROR)), ("sent", go_away(ENHANCE_YOUR_CALM))];
        for (id, farewell) in farewells {
            relay.end_at_next_answer(&farewell);
            bench.due_job(id).await;
            assert!(relay.has_ended_one());
            relay.end_at_next_answer(&farewell);
            assert_eq!(bench.a().claim_one(id).await.job.id, id);
            assert!(relay.has_ended_one());
        }
    });
}

/// The frame with which an HTTP/2 server ends a connection on which it has not taken any request.
fn go_away(reason: u8) -> Vec<u8> {
    [&[0, 0, 8, 7, 0][..], &[0; 4], &[0; 4], &[0, 0, 0, reason]].concat()
}

#[test]
fn a_watch_whose_connection_ends_hears_of_the_changes_all_the_same() {
    let server = OwnServer::start();
    block_on(async {
        let relay = Relay::start(server.address());
        let store = open(&relay.address.to_string()).await;
        let other = open(&server.address()).await;
        let bench = Bench::new(StoreUnderTest::new(other.clone(), other));
        let seen = store.changed(0).await.unwrap().seen;
        let mut waiting = Box::pin(store.changed(seen));
        for _ in 0..3 {
            until_watching(&server, &mut waiting).await;
            assert_eq!(relay.cut(), 1);
            server.wait_for_watches(0);
        }
        bench.due_job("report").await;
        assert_eq!(waiting.await.unwrap().hint, Some(Hint::Resync));
    });
}
