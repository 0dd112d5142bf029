//! The RethinkDB store, against reqlite, an imitation of the server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agreement;
mod conformance;
mod hostile;
mod ids;
mod outages;
mod runtimes;
mod schema;
mod searches;
mod tables;

use test_support::{every_runtime, relay, server};
