//! The PostgreSQL store, against a real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dialect;
#[path = "../every_runtime/mod.rs"]
mod every_runtime;
mod hostile;
mod outages;
mod schema;
mod sharing;
#[path = "../sql_servers/mod.rs"]
mod sql_servers;

use test_support::server;
