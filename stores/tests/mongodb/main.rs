//! The MongoDB store, against a real server.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod agreement;
mod collections;
mod conformance;
mod documents;
mod outages;
mod plans;
mod runtimes;
mod searches;

use test_support::{every_runtime, server};
