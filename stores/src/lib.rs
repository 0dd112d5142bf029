//! The job stores of apscheduler, one feature each.
//!
//! | store | feature | kept | shared by |
//! |---|---|---|---|
//! | [`MemoryStore`] | always there | while the process lives | the schedulers of one process |
#![cfg_attr(feature = "sqlite", doc = "| [`SqliteStore`] | `sqlite` | in a file | the processes of one machine |")]
//!
//! Each of them passes the suite of `scheduler-testkit` that holds stores to the promises of
//! [`JobStore`](scheduler_core::JobStore).

#[cfg(feature = "sqlite")]
mod codec;
mod head;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStore, Synchronous};
