//! Servers that are not there, or do not answer.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use futures_lite::future::block_on;
use scheduler_core::store::{Clock, StoreErrorKind};
use scheduler_stores::MongoDbStore;

use crate::collections::Collections;

#[test]
fn a_server_that_is_not_there_is_unavailable_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    expect_unavailable(&format!("mongodb://{address}/?serverSelectionTimeoutMS=300"));
}

#[test]
fn a_server_that_does_not_answer_is_unavailable_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    expect_unavailable(&format!("mongodb://{address}/?serverSelectionTimeoutMS=300"));
}

#[expect(clippy::disallowed_methods, reason = "how long a real client really waits")]
fn expect_unavailable(url: &str) {
    let start = Instant::now();
    let error = block_on(MongoDbStore::connect(url)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("mongodb database `apscheduler` at 127.0.0.1:"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn a_url_that_is_none_says_so() {
    for url in ["mongodb//x", "mysql://x/y", "", "mongodb://user:secret@/"] {
        let error = block_on(MongoDbStore::connect(url)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible, "{url}: {error}");
        let message = error.to_string();
        assert!(message.starts_with("mongodb: the URL or the options are not valid"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn debug_shows_the_place_and_no_password() {
    let collections = Collections::new();
    let store = block_on(collections.open(Clock::Server));
    let text = format!("{store:?}");
    assert!(text.contains("mongodb database `apscheduler_test` at 127.0.0.1:"), "{text}");
    assert!(text.contains(&collections.prefix) && !text.contains("://"), "{text}");
}
