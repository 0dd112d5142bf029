//! The ZooKeeper store, against a real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../server/mod.rs"]
mod server;

mod agreement;
mod conformance;
mod foreign;
mod place;
mod runtimes;
mod tree;
