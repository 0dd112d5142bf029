//! What tasks and executors promise, as transcripts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod inline;
mod promises;
mod refusals;
mod runs;
mod spawn;
mod tasks;
mod thread_pool;
