//! What the tests of several crates of this workspace have in common. It is not published.
//!
//! | module | feature | what it holds |
//! |---|---|---|
//! | [`server`] | | where the servers of the tests are |
//! | `place` | `place` | a place for jobs in each store, and what it holds at the end |
//! | `triggers` | `triggers` | fire times worked out another way, replayed cases, values drawn from bytes |
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "place")]
pub mod place;
pub mod server;
#[cfg(feature = "triggers")]
pub mod triggers;
