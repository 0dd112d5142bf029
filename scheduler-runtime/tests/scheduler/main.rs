//! The scheduler as an application sees it, on the virtual clock: each test reads as a transcript.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempts;
mod background;
mod behaviour;
mod behind;
mod changes;
mod clocks;
mod closures;
mod documented;
mod endings;
mod explain;
mod faults;
mod fire_times;
mod health;
mod jobs;
mod life;
mod limits;
mod listeners;
mod listing;
mod local;
mod metrics;
mod opening;
mod own_run;
mod panics;
mod pumped;
mod results;
mod runs;
mod scheduled;
mod searching;
mod spans;
mod stage;
mod state;
mod task_options;
mod triggers;
mod until_over;
mod world;
