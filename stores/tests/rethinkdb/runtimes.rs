//! One store serves every runtime, and outlives each of them.

use scheduler_core::store::Clock;
use scheduler_testkit::store::block_on;

use crate::{every_runtime, tables::Tables};

#[test]
fn one_store_serves_tokio_smol_and_threads_one_after_the_other() {
    let tables = Tables::new();
    every_runtime::one_after_the_other(tables.open(Clock::Server), 2);
}

#[test]
fn one_store_serves_several_runtimes_at_once() {
    every_runtime::at_once(block_on(Tables::new().open(Clock::Server)), 2, 3);
}
