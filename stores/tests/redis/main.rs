//! The Redis store, against a real server.
#![allow(clippy::unwrap_used, reason = "a broken promise panics, which is how a test fails")]

#[path = "../server/mod.rs"]
mod server;

mod agreement;
mod conformance;
mod failures;
mod keys;
mod place;
mod runtimes;
