//! The store holds what the port promises; a scheduler on it outlives its process.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use redb_store::RedbStore;
use scheduler_testkit::store::StoreUnderTest;

/// A fresh file with two handles on it, which are one, since redb gives a file to one process.
async fn setup() -> StoreUnderTest {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path().join("jobs.redb")).unwrap();
    // The folder goes with the last test of the process.
    std::mem::forget(folder);
    StoreUnderTest::new(store.clone(), store)
}

scheduler_testkit::store_conformance!(crate::setup());
