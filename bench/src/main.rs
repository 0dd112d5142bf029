//! Workloads with the same flags and the same JSON as the programs that measure other schedulers, so that ratios can be
//! taken in one run.
//!
//! ```text
//! scheduler-bench cron-next  --zone utc|ny --set all|common [--peer ours|limit] [--n 1000] [--reps 5] [--only NAME] [--list 1]
//! scheduler-bench cron-parse --set all|common [--peer ours|limit] [--n 300]
//! scheduler-bench store --store memory|sqlite|postgres|mysql|redis|mongodb|etcd|zookeeper|rethinkdb [--n 10000] [--nodes 1]
//!                 [--url URL] [--spread SECONDS] [--lead SECONDS] [--idle JOBS] [--sync full|normal] [--dir /tmp]
//! scheduler-bench cost  --store .. [--n 20000] [--nodes 1] [--tick 1000] [--idle JOBS] [--far 1000000] [--url URL] ..
//! scheduler-bench executor --executor spawn|blocking|thread-pool|process-pool|commands|inline|local [--n 1000000]
//! scheduler-bench add|fire|burst|idle [--n 10000] [--secs 10] [--lead 3] [--phases distinct|same] [--batch 1000] [--store memory]
//!                 [--executor spawn|inline] [--runtime tokio|smol|async-std|thread] [--threads 2]
//! scheduler-bench catch-up [--n 100000] [--on-time 1000] [--secs 10] ..
//! scheduler-bench engine [--n 10000] [--secs 20] [--phases distinct|same]
//! scheduler-bench overload [--n 100000] [--seconds 15] [--busy 2] [--threads 2] [--local 1]
//! ```
//!
//! A store that is a server needs its feature, as in `cargo run --release -p scheduler-bench --features postgres -- store
//! --store postgres`, and an address: `--url`, or the variable that `cargo xtask services start` prints.
//! Without `--peer` the yardstick (`limit`) runs first, then ours.
#![allow(clippy::print_stdout, reason = "a program's output")]

mod cost;
mod cron;
mod engine;
mod executor;
mod limit;
mod load;
mod overload;
mod store;

use std::process::ExitCode;

use figures::Flags;

const WORKLOADS: &str = "cron-next|cron-parse|add|fire|burst|idle|catch-up|engine|store|cost|executor|overload";

fn main() -> ExitCode {
    #[cfg(unix)]
    executor::serve();
    let mut args = std::env::args().skip(1);
    let work = args.next().unwrap_or_default();
    let flags = match Flags::parse(args) {
        Ok(flags) => flags,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(2);
        }
    };
    let done = match work.as_str() {
        "cron-next" => {
            cron::run(cron::Mode::Next, &flags);
            Ok(())
        }
        "cron-parse" => {
            cron::run(cron::Mode::Parse, &flags);
            Ok(())
        }
        "store" => store::run(&flags),
        "cost" => cost::run(&flags),
        "executor" => executor::run(&flags),
        "overload" => overload::run(&flags),
        "add" | "fire" | "burst" | "idle" | "catch-up" => load::run(&work, &flags),
        "engine" => engine::run(&flags),
        _ => {
            println!("scheduler-bench {WORKLOADS} [--flag value]..");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = done {
        println!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
