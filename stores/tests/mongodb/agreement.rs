//! The store answers as the memory store does.

use futures_lite::future::block_on;
use scheduler_core::store::Clock;
use scheduler_stores::MemoryStore;
use scheduler_testkit::store::agree;
use test_support::repeats;

use crate::collections::Collections;

#[test]
fn it_answers_as_the_memory_store_does() {
    block_on(async {
        for seed in 0..repeats(3, 10) {
            let collections = Collections::new();
            agree(&MemoryStore::new(), &collections.open(Clock::Caller).await, seed, 300).await;
        }
    });
}
