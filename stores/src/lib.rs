//! The job stores of apscheduler, one feature each.
//!
//! | store | feature | kept | shared by |
//! |---|---|---|---|
//! | [`MemoryStore`] | always there | while the process lives | the schedulers of one process |
//!
//! Each of them passes the suite of `scheduler-testkit` that holds stores to the promises of
//! [`JobStore`](scheduler_core::JobStore).

mod head;
mod memory;

pub use memory::MemoryStore;
