//! What the programs that measure share, ours and those of other schedulers, so that their figures mean the same: flags, JSON
//! lines, what a process has used, and how late runs were.
#![allow(clippy::print_stdout, reason = "a program's output")]

mod lateness;
mod report;

pub use lateness::Lateness;
pub use report::{
    Flags, Line, context_switches, cpu_seconds, geomean, median, pause, quantile, resident_bytes, seconds, sleep_until,
};
