//! The same calls get the same answers as from the memory store.

use std::sync::atomic::{AtomicUsize, Ordering};

use scheduler_core::forward_job_store;
use scheduler_stores::{MemoryStore, RedisStore};
use scheduler_testkit::store::{agree, block_on};
use test_support::repeats;

use crate::test_store::TestStore;

#[test]
fn the_same_calls_get_the_same_answers_as_from_the_memory_store() {
    block_on(async {
        for seed in 0..repeats(3, 10) {
            agree(&MemoryStore::new(), &TestStore::new().open_on_callers_clock().await, seed, 300).await;
        }
    });
}

#[test]
fn several_handles_answer_as_one() {
    block_on(async {
        for seed in 0..repeats(1, 3) {
            let test_store = TestStore::new();
            let mut handles = Vec::new();
            for _ in 0..3 {
                handles.push(test_store.open_on_callers_clock().await);
            }
            agree(&MemoryStore::new(), &InTurn { handles, next: AtomicUsize::new(0) }, 1_000 + seed, 300).await;
        }
    });
}

/// Each call goes to the next handle.
#[derive(Debug)]
struct InTurn {
    handles: Vec<RedisStore>,
    next: AtomicUsize,
}

impl InTurn {
    fn next(&self) -> &RedisStore {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

forward_job_store!(InTurn => |this| this.next());
