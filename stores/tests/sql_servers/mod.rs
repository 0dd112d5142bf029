//! What holds for each store whose database is an SQL server. The test binary of such a store takes this in, and tells in
//! its `dialect` what is different.
//!
//! It is taken in by its path, once for each database, and not generic over them: a trait for both would have to repeat the
//! stores' options and SQLx's bounds for each statement, which is more than what is shared has of dialect.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agreement;
mod conformance;
pub(crate) mod database;
mod hostile;
mod outages;
mod runtimes;
mod schema;
mod sharing;
mod tables;
