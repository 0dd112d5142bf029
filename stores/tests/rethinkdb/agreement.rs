//! The store answers as the memory store does.

use futures_lite::future::block_on;
use scheduler_core::store::Clock;
use scheduler_stores::MemoryStore;
use scheduler_testkit::store::agree;

use crate::tables::Tables;

#[test]
fn it_answers_as_the_memory_store_does() {
    block_on(async {
        for seed in 0..10 {
            agree(&MemoryStore::new(), &Tables::new().open(Clock::Caller).await, seed, 300).await;
        }
    });
}
