//! One store serves every runtime, and outlives each of them.

use scheduler_core::store::Clock;
use scheduler_testkit::store::block_on;

use super::database::Database;
use crate::{dialect::NAME, every_runtime, server};

#[test]
fn one_store_serves_tokio_smol_and_threads_one_after_the_other() {
    let database = Database::new(Clock::Server);
    every_runtime::one_after_the_other(database.open(), 3);
}

/// They share two connections.
#[test]
fn one_store_serves_several_runtimes_at_once() {
    let database = Database::new(Clock::Server);
    let store = block_on(database.options().max_connections(2).connect(&server::url(NAME))).unwrap();
    every_runtime::at_once(store, 3, 10);
}
