//! The same calls get the same answers as from the memory store.

use scheduler_stores::MemoryStore;
use scheduler_testkit::store::{agree, block_on};

use crate::test_store::TestStore;

/// How many seeds, which an environment variable raises for a long search.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    0..std::env::var("AGREEMENT_SEEDS").ok().and_then(|it| it.parse().ok()).unwrap_or(usual)
}

#[test]
fn the_same_calls_get_the_same_answers_as_from_the_memory_store() {
    block_on(async {
        for seed in seeds(10) {
            agree(&MemoryStore::new(), &TestStore::new().open().await, seed, 300).await;
        }
    });
}
