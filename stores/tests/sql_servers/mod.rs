//! What holds for each store whose database is an SQL server. The test binary of such a store takes this in, and tells in
//! its `dialect` what is different.
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
