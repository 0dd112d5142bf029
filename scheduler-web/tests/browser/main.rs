//! The dashboard in a real Chromium, on a real server and clock.
//!
//! `cargo xtask test` installs the browser and axe-core, and says in `SCHEDULER_TEST_CHROMIUM` and `SCHEDULER_TEST_AXE` where they are.
//! Pictures of the pages are in `dashboard/` below the folder of the tests, `target/tmp`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chromium;
mod look;
mod operations;
mod proxy;
mod stage;
mod texts;
