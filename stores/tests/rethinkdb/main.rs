//! The RethinkDB store, against reqlite, an imitation of the server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agreement;
mod conformance;
#[path = "../every_runtime/mod.rs"]
mod every_runtime;
mod hostile;
mod ids;
mod outages;
#[path = "../server/relay.rs"]
mod relay;
mod runtimes;
mod schema;
mod tables;

use test_support::server;
