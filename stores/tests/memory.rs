//! The memory store holds what the port promises.

use scheduler_stores::MemoryStore;
use scheduler_testkit::store::StoreUnderTest;

scheduler_testkit::store_conformance!(async {
    let store = MemoryStore::new();
    StoreUnderTest::new(store.clone(), store)
});
