//! What the tests of several crates of this workspace have in common. It is not published.
//!
//! | module | feature | what it holds |
//! |---|---|---|
//! | `every_runtime` | `every-runtime` | one store in every runtime, one after the other and at once |
//! | [`relay`] | | a relay to a server, which can cut connections and fall silent |
//! | [`repeats`] | | how often tests repeat what they show with other random numbers |
//! | [`server`] | | where the servers of the tests are |
//! | `sql_samples` | `sql-samples` | what is found in tables that earlier versions of an SQL store have left |
//! | `test_store` | `test-store` | a store of each kind with nothing of other tests in it, and what it contains at the end |
//! | `triggers` | `triggers` | fire times worked out another way, replayed cases, values drawn from bytes |
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "every-runtime")]
pub mod every_runtime;
pub mod relay;
mod repeat;
pub mod server;
#[cfg(feature = "sql-samples")]
pub mod sql_samples;
#[cfg(feature = "test-store")]
pub mod test_store;
#[cfg(feature = "triggers")]
pub mod triggers;

pub use repeat::repeats;
