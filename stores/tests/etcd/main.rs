//! The etcd store, against a real server.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod agreement;
mod connection;
mod foreign;
mod login;
mod own_server;
mod place;
#[path = "../server/relay.rs"]
mod relay;
mod streams;

use test_support::server;

/// The store holds what the port promises, without any runtime.
mod conformance {
    scheduler_testkit::store_conformance!(crate::place::setup());
}
