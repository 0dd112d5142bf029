//! The etcd store, against a real server.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod agreement;
mod connection;
mod foreign;
mod login;
mod own_server;
mod streams;
mod test_store;

use test_support::{relay, server};

/// The store holds what the port promises, without any runtime.
mod conformance {
    scheduler_testkit::store_conformance!(crate::test_store::setup());
}
