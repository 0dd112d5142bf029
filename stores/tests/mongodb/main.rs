//! The MongoDB store, against a real server.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod agreement;
mod collections;
mod conformance;
mod documents;
#[path = "../every_runtime/mod.rs"]
mod every_runtime;
mod outages;
mod plans;
mod runtimes;

use test_support::server;
