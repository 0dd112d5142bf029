//! The scheduler as an application sees it, on the virtual clock: each test reads as a transcript.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod background;
mod behaviour;
mod closures;
mod endings;
mod faults;
mod jobs;
mod listeners;
mod local;
mod stage;
mod triggers;
mod world;
