//! The ZooKeeper store, against a real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agreement;
mod conformance;
mod foreign;
mod runtimes;
mod test_store;
mod tree;

use test_support::server;
