//! The same calls get the same answers as from the memory store.

use scheduler_stores::MemoryStore;
use scheduler_testkit::store::{agree, block_on};
use test_support::repeats;

use crate::test_store::TestStore;

#[test]
fn the_same_calls_get_the_same_answers_as_from_the_memory_store() {
    block_on(async {
        for seed in 0..repeats(3, 10) {
            agree(&MemoryStore::new(), &TestStore::new().open().await, seed, 300).await;
        }
    });
}
