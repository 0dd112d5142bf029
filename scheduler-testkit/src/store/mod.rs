//! The conformance suite for stores: a store is supported if and only if it passes.
//!
//! One macro call makes a test of each promise of [`JobStore`](scheduler_core::JobStore):
//!
//! ```
//! use scheduler_stores::MemoryStore;
//! use scheduler_testkit::store::StoreUnderTest;
//!
//! scheduler_testkit::store_conformance!(async {
//!     let store = MemoryStore::new();
//!     StoreUnderTest::new(store.clone(), store)
//! });
//! # fn main() {}
//! ```
//!
//! The expression is awaited anew for each test and has to give an empty store. See [`StoreUnderTest`] for what a store
//! with a clock of its own, or one that outlives the process, adds to it. A second argument runs the tests inside of a
//! runtime: `store_conformance!(setup(), block_on = in_tokio)`, where `in_tokio` takes a future and drives it.
//!
//! The functions of the modules below are the promises; the first line of each says what it holds a store to.

#![allow(clippy::unwrap_used, reason = "a broken promise panics, which is how a test fails")]

pub mod adopt;
mod bench;
pub mod changed;
pub mod claim;
pub mod durable;
pub mod insert;
pub mod listing;
mod node;
mod promises;
pub mod quarantine;
pub mod record;
pub mod release;
pub mod remove;
mod script;
pub mod settle;
mod setup;
pub mod update;

pub use futures_lite::future::block_on;

pub use self::{
    bench::{Bench, CannotDamage, LEASE},
    node::{Node, Started, moved, nth_run},
    script::agree,
    setup::{Damage, StoreUnderTest},
};
