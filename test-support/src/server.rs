//! The real servers that these tests talk to.

use std::hash::{BuildHasher, RandomState};

/// The URL of a server that `cargo xtask test` has started, by the name of its store.
pub fn url(store: &str) -> String {
    let variable = format!("SCHEDULER_TEST_{}", store.to_uppercase());
    std::env::var(&variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run `cargo xtask test --stores {store}`, which starts a server and says where")
    })
}

/// A prefix for tables, collections or keys that no other test has.
pub fn prefix() -> String {
    format!("t{:016x}_", RandomState::new().hash_one(()))
}
