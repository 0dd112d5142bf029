//! The Redis store, against a real server.
#![allow(clippy::unwrap_used, reason = "a broken promise panics, which is how a test fails")]

mod agreement;
mod conformance;
mod failures;
mod keys;
mod runtimes;
mod searches;
mod test_store;

use test_support::{relay, server};
