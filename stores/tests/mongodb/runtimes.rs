//! One store serves every runtime, and outlives each of them.

use scheduler_core::store::Clock;
use scheduler_testkit::store::block_on;
use tokio::runtime::Builder;

use crate::{collections::Collections, every_runtime};

#[test]
fn one_store_serves_tokio_smol_and_threads_one_after_the_other() {
    let collections = Collections::new();
    every_runtime::one_after_the_other(collections.open(Clock::Server), 3);
}

#[test]
fn one_store_serves_several_runtimes_at_once() {
    let collections = Collections::new();
    every_runtime::at_once(block_on(collections.open(Clock::Server)), 3, 10);
}

/// A store that is dropped inside of a runtime must not make it wait for the store's threads.
#[test]
fn a_store_can_be_dropped_inside_of_a_runtime() {
    let collections = Collections::new();
    Builder::new_current_thread().build().unwrap().block_on(async { drop(collections.open(Clock::Server).await) });
}
