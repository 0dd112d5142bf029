//! The dashboard, asked without any server, under a virtual clock.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod pages;
mod security;
mod serve;
mod stage;
mod streams;
