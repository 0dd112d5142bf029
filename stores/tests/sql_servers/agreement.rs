//! The store answers as the memory store does.

use scheduler_core::store::Clock;
use scheduler_stores::MemoryStore;
use scheduler_testkit::store::{agree, block_on};
use test_support::repeats;

use crate::sql_servers::database::Database;

#[test]
fn the_same_calls_get_the_same_answers_as_from_the_memory_store() {
    block_on(async {
        for seed in 0..repeats(3, 10) {
            agree(&MemoryStore::new(), &Database::new(Clock::Caller).open().await, seed, 300).await;
        }
    });
}
