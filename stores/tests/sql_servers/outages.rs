//! Servers that do not answer.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use scheduler_core::store::StoreErrorKind;
use scheduler_testkit::store::block_on;

use crate::dialect::{NAME, Store};

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    block_on(async {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Store::connect(&format!("{NAME}://app:secret@{free}/app")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let message = error.to_string();
        assert!(message.contains(&format!("{NAME} database `app` at {free}")), "{message}");
        assert!(!message.contains("secret"), "{message}");
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is about real time")]
fn a_server_that_never_answers_is_given_up() {
    block_on(async {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let began = Instant::now();
        let url = format!("{NAME}://app@{}/app", silent.local_addr().unwrap());
        let error = Store::connect(&url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("does not answer"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    });
}
