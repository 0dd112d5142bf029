//! Connections that are lost, and servers that do not answer.

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use futures_lite::future::{block_on, poll_once};
use scheduler_core::{
    JobStore,
    store::{Clock, Hint, StoreErrorKind},
};
use scheduler_stores::RethinkDbOptions;
use scheduler_testkit::store::{Bench, StoreUnderTest};

use crate::{
    relay::Relay,
    tables::{Tables, address, driver_options},
};

/// An address on which nobody listens.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    block_on(async {
        let free = free();
        let error = RethinkDbOptions::new().connect(&format!("rethinkdb://app:secret@{free}/app")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let message = error.to_string();
        assert!(message.contains(&format!("rethinkdb `{free}/app`")) && !message.contains("secret"), "{message}");
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is about real time")]
fn a_server_that_never_answers_is_given_up() {
    block_on(async {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let began = Instant::now();
        let url = format!("rethinkdb://{}", silent.local_addr().unwrap());
        let error = RethinkDbOptions::new().timeout(Duration::from_millis(300)).connect(&url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("no connection within 300ms"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    });
}

#[test]
fn the_next_server_is_asked_if_one_is_not_there() {
    block_on(async {
        let url = format!("rethinkdb://{},{}/apscheduler_tests", free(), address());
        let store = Tables::new().options().connect(&url).await.unwrap();
        assert_eq!(store.job(&"none".into()).await.unwrap(), None);
    });
}

/// All connections are cut, as at a restart of the server: calls do not notice, and hints go on after a failure.
#[test]
fn a_store_connects_anew_by_itself() {
    block_on(async {
        let (tables, relay) = (Tables::new(), Relay::start(address()));
        let options = driver_options().host("127.0.0.1").port(relay.address.port());
        let store = tables.options().connect_with(options).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store.clone(), tables.open(Clock::Server).await));
        let mut seen = store.changed(0).await.unwrap().seen;
        for n in 0..3 {
            assert!(relay.cut() >= 2, "one for calls, one for the feed");
            bench.due_job(&format!("job-{n}")).await;
            if n > 0 {
                assert_eq!(store.changed(seen).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
            }
            // The new feed begins with what has been missed.
            let change = store.changed(seen).await;
            let change = if n == 0 && change.is_err() { store.changed(seen).await } else { change }.unwrap();
            assert_eq!(change.hint, Some(Hint::Resync));
            seen = change.seen;
        }
        assert_eq!(bench.a().claim().await.jobs.len(), 3);
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is about real time")]
fn a_call_on_a_network_that_has_gone_ends_in_time() {
    block_on(async {
        let (tables, relay) = (Tables::new(), Relay::start(address()));
        let options = driver_options().host("127.0.0.1").port(relay.address.port());
        let store = tables.options().timeout(Duration::from_millis(300)).connect_with(options).await.unwrap();
        relay.fall_silent();
        let began = Instant::now();
        for _ in 0..2 {
            let error = store.job(&"report".into()).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
            assert!(error.to_string().contains("within 300ms"), "{error}");
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    });
}

/// A dropped call leaves its answer behind, which is not that of the next one.
#[test]
fn a_call_can_be_dropped_at_any_time() {
    block_on(async {
        let tables = Tables::new();
        let bench = Bench::new(tables.clone().setup().await);
        let job = bench.due_job("report").await;
        for n in 0..40 {
            let mut call = bench.store().job(&job.id);
            for _ in 0..n % 5 {
                if poll_once(&mut call).await.is_some() {
                    break;
                }
                futures_lite::future::yield_now().await;
            }
            drop(call);
            assert_eq!(bench.store().job(&"none".into()).await.unwrap(), None);
            assert_eq!(bench.find("report").await, Some(job.clone()));
        }
    });
}
