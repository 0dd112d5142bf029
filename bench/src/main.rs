//! Workloads with the same flags and the same JSON as the programs that measure other schedulers, so that ratios can be
//! taken in one run.
//!
//! ```text
//! scheduler-bench cron-next  --zone utc|ny --set all|common [--peer ours|limit] [--n 1000] [--reps 5] [--only NAME] [--list 1]
//! scheduler-bench cron-parse --set all|common [--peer ours|limit] [--n 300]
//! ```
//!
//! Without `--peer` the yardstick (`limit`) runs first, then ours.
#![allow(clippy::print_stdout, reason = "a program's output")]

mod cron;
mod limit;
mod report;

use report::Flags;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let work = args.next().unwrap_or_default();
    let flags = match Flags::parse(args) {
        Ok(flags) => flags,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(2);
        }
    };
    match work.as_str() {
        "cron-next" => cron::run(cron::Mode::Next, &flags),
        "cron-parse" => cron::run(cron::Mode::Parse, &flags),
        _ => {
            println!("scheduler-bench cron-next|cron-parse [--flag value]..");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
