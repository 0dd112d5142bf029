//! The PostgreSQL store, against a real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dialect;
mod hostile;
mod outages;
mod schema;
mod sharing;
#[path = "../sql_servers/mod.rs"]
mod sql_servers;

use test_support::{every_runtime, server};
