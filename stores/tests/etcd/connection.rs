//! Reaching the servers, from anywhere, or not.

use std::{net::TcpListener, time::Duration};

use scheduler_core::{
    JobStore,
    store::{Hint, StoreErrorKind},
};
use scheduler_stores::{EtcdOptions, EtcdStore};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};
use tonic::transport::Endpoint;

use crate::{server, test_store::TestStore};

/// A port of this machine where nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Host and port of the real server.
fn real() -> String {
    server::url("etcd").trim_start_matches("etcd://").to_owned()
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    block_on(async {
        let url = format!("etcd://ann:secret@127.0.0.1:{}", closed_port());
        let error = EtcdStore::connect(&url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let message = error.to_string();
        assert!(message.contains("127.0.0.1") && message.contains("no connection"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    });
}

#[test]
fn a_server_that_does_not_answer_is_unavailable_after_the_timeout() {
    block_on(async {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("etcd://{}", silent.local_addr().unwrap());
        let error = EtcdOptions::new().timeout(Duration::from_millis(50)).connect(&url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("50ms"), "{error}");
    });
}

#[test]
fn another_server_is_asked_if_the_first_is_not_there() {
    block_on(async {
        let test_store = TestStore::new();
        let url = format!("etcd://127.0.0.1:{},{}", closed_port(), real());
        let options = || EtcdOptions::new().key_prefix(&test_store.prefix).unwrap();
        let (a, b) = (options().connect(&url).await.unwrap(), options().connect(&url).await.unwrap());
        let bench = Bench::new(StoreUnderTest::new(a, b));
        bench.due_job("report").await;
        assert_eq!(bench.b().claim().await.jobs.len(), 1);
    });
}

#[test]
fn the_path_of_a_url_is_the_prefix() {
    block_on(async {
        let test_store = TestStore::new();
        let store = EtcdStore::connect(&format!("http://{}/{}", real(), test_store.prefix)).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store, test_store.open().await));
        bench.due_job("report").await;
        assert_eq!(bench.b().claim().await.jobs.len(), 1);
    });
}

#[test]
fn a_url_that_is_none_says_what_to_write() {
    block_on(async {
        let error = EtcdStore::connect("localhost:2379").await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        assert!(error.to_string().contains("write etcd://"), "{error}");
    });
}

#[test]
fn debug_shows_the_place_and_no_password() {
    block_on(async {
        let test_store = TestStore::new();
        let options = EtcdOptions::new().key_prefix(&test_store.prefix).unwrap();
        // A cluster without users takes anybody.
        let store = options.connect(&format!("etcd://ann:secret@{}", real())).await.unwrap();
        let text = format!("{store:?}");
        assert!(text.contains(&real()) && text.contains(&test_store.prefix), "{text}");
        assert!(text.contains("ann") && !text.contains("secret"), "{text}");
    });
}

#[test]
fn a_channel_of_the_application_can_be_used() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let test_store = TestStore::new();
        let channel = Endpoint::from_shared(format!("http://{}", real())).unwrap().connect_lazy();
        let options = EtcdOptions::new().key_prefix(&test_store.prefix).unwrap();
        let store = options.from_channel(channel).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store.clone(), store));
        bench.due_job("report").await;
        assert_eq!(bench.b().claim().await.jobs.len(), 1);
    });
}

#[test]
fn one_store_serves_tokio_smol_and_threads() {
    let store = block_on(TestStore::new().open());
    let bench = Bench::new(StoreUnderTest::new(store.clone(), store.clone()));
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(bench.due_job("from tokio"));
    smol::block_on(bench.due_job("from smol"));
    std::thread::scope(|scope| scope.spawn(|| block_on(bench.due_job("from a thread"))).join().unwrap());
    assert_eq!(block_on(bench.a().claim()).jobs.len(), 3);
    // The last handle goes within a runtime, where waiting for the store's threads would be a panic.
    drop(bench);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async move { drop(store) });
}

#[test]
fn nodes_that_start_together_wait_for_each_other() {
    let test_store = TestStore::new();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..8).map(|_| scope.spawn(|| block_on(test_store.open()))).collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
    assert_eq!(test_store.value("meta:schema").as_deref(), Some("1"));
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    block_on(async {
        let test_store = TestStore::new();
        drop(test_store.open().await);
        test_store.put("meta:schema", "7");
        let options = EtcdOptions::new().key_prefix(&test_store.prefix).unwrap();
        let error = options.connect(&server::url("etcd")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        let message = error.to_string();
        assert!(message.contains("schema 7") && message.contains("up to 1"), "{message}");
    });
}

#[test]
fn a_change_is_heard_without_asking_again() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = Bench::new(test_store.setup().await);
        let other = test_store.open().await;
        let seen = other.changed(0).await.unwrap().seen;
        let mut waiting = Box::pin(other.changed(seen));
        assert!(futures_lite::future::poll_once(&mut waiting).await.is_none(), "nothing has changed");
        bench.due_job("report").await;
        let change = waiting.await.unwrap();
        assert_eq!(change.hint, Some(Hint::Resync));
        assert!(change.seen > seen);
    });
}

#[test]
fn a_job_that_is_too_large_for_the_server_says_so() {
    block_on(async {
        let test_store = TestStore::new();
        let options = EtcdOptions::new().key_prefix(&test_store.prefix).unwrap().payload_limit(4 << 20);
        let store = options.connect(&server::url("etcd")).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store.clone(), store.clone()));
        let mut job = bench.job("report", bench.at());
        job.body.args = serde_json::json!("x".repeat(2 << 20));
        let error = store.insert(bench.at(), &[job]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::TooLarge);
        assert!(error.to_string().contains("--max-request-bytes"), "{error}");
    });
}

#[test]
fn a_job_as_large_as_the_limit_goes_in_whatever_it_is_made_of() {
    block_on(async {
        let bench = Bench::new(TestStore::new().setup().await);
        let mut job = bench.job("quotes", bench.at());
        job.body.args = serde_json::json!("\"".repeat(255 << 10));
        bench.add(&job).await;
        assert_eq!(bench.a().claim_one("quotes").await.job.body, job.body);
    });
}
