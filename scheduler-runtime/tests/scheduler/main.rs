//! The scheduler as an application sees it, on the virtual clock: each test reads as a transcript.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod background;
mod behaviour;
mod changes;
mod closures;
mod endings;
mod faults;
mod jobs;
mod life;
mod listeners;
mod listing;
mod local;
mod stage;
mod triggers;
mod world;
