//! What executors promise that run work in other processes. This program is its own worker, by a test that serves.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cancellation;
mod commands;
mod deaths;
mod limits;
mod promises;
mod stage;
mod starts;
mod state;
mod tasks;

use scheduler_executors::process;

/// Where a worker begins; for anybody else it is nothing. A forgetful program comes here as well.
#[test]
fn worker() {
    if std::env::var_os(starts::FORGETFUL).is_none() {
        process::serve(tasks::tasks());
    }
}
