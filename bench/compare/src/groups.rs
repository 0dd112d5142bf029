//! What is measured: each group is one workload, its programs, and the figures that are shown of it.

use std::error::Error;

/// One workload.
pub struct Group {
    pub name: &'static str,
    /// What it is, as a sentence.
    pub what: &'static str,
    /// The first one of each kind is ours.
    pub programs: &'static [Program],
    pub figures: &'static [Figure],
    /// Which of the figures are compared with those of which program, by its label.
    pub ratios: &'static [(Figure, &'static str)],
    pub plots: &'static [Figure],
}

pub struct Program {
    pub label: &'static str,
    /// `scheduler-bench`, `timers`, `statements` or `apscheduler`, and its arguments.
    pub command: &'static str,
}

/// A number of a program's line.
pub struct Figure {
    pub field: &'static str,
    pub label: &'static str,
}

const fn program(label: &'static str, command: &'static str) -> Program {
    Program { label, command }
}

const fn figure(field: &'static str, label: &'static str) -> Figure {
    Figure { field, label }
}

/// The features of ours that servers need.
pub const SERVERS: &str = "postgres,mysql,redis,mongodb";

/// What is measured if nothing is said: all but the servers, which need the addresses that `cargo xtask services start` prints.
pub const USUAL: &str = "add,add-single,fire-1k,fire-10k,fire-100k,burst,idle,catch-up,engine,sqlite,sqlite-single";

pub fn named(name: &str) -> Result<&'static Group, Box<dyn Error>> {
    GROUPS.iter().find(|group| group.name == name).ok_or_else(|| {
        let names: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
        format!("there is no group `{name}`; there are {}", names.join(", ")).into()
    })
}

const FIRE: &[Figure] = &[
    figure("ran_share", "share that ran"),
    figure("late_p50_us", "late p50, us"),
    figure("late_p99_us", "late p99, us"),
    figure("cpu_us_per_run", "CPU a run, us"),
];
const LATE: &[Figure] = &[figure("late_p50_us", "median lateness, us"), figure("late_p99_us", "lateness p99, us")];
const FIRE_RATIOS: &[(Figure, &str)] =
    &[(figure("late_p50_us", "late p50"), "heap-spawn"), (figure("cpu_us_per_run", "CPU"), "tokio-sleep")];
const STORE: &[Figure] =
    &[figure("fires_per_s", "runs a second"), figure("adds_per_s", "adds a second"), figure("cpu_s", "CPU, s")];

/// All groups.
const GROUPS: &[Group] = &[
    Group {
        name: "add",
        what: "A million jobs that are due in a day or two are added, ours in batches of 1,000 (APScheduler: 10,000 jobs).",
        programs: &[
            program("ours", "scheduler-bench add --n 1000000"),
            program("heap-inline", "timers add --n 1000000 --peer heap-inline"),
            program("tokio-sleep", "timers add --n 1000000 --peer tokio-sleep"),
            program("tokio-cron-scheduler", "timers add --n 100000 --peer tokio-cron-scheduler"),
            program("APScheduler", "apscheduler add --n 10000"),
        ],
        ratios: &[
            (figure("adds_per_s", "adds"), "heap-inline"),
            (figure("bytes_per_schedule", "bytes"), "heap-inline"),
        ],
        figures: &[figure("adds_per_s", "adds a second"), figure("bytes_per_schedule", "bytes a job")],
        plots: &[figure("bytes_per_schedule", "bytes a job")],
    },
    Group {
        name: "add-single",
        what: "100,000 such jobs are added one by one, each when the one before has been confirmed.",
        programs: &[
            program("ours", "scheduler-bench add --n 100000 --batch 1"),
            program("heap-inline", "timers add --n 100000 --peer heap-inline"),
            program("tokio-cron-scheduler", "timers add --n 100000 --peer tokio-cron-scheduler"),
        ],
        ratios: &[(figure("adds_per_s", "adds"), "heap-inline")],
        figures: &[figure("adds_per_s", "adds a second")],
        plots: &[],
    },
    Group {
        name: "fire-1k",
        what: "1,000 jobs fire each second, their phases spread over it.",
        programs: &[
            program("ours", "scheduler-bench fire --n 1000 --secs 5"),
            program("heap-spawn", "timers fire --n 1000 --secs 5 --peer heap-spawn"),
            program("tokio-sleep", "timers fire --n 1000 --secs 5 --peer tokio-sleep"),
            program("APScheduler", "apscheduler fire --n 1000 --secs 5"),
        ],
        ratios: FIRE_RATIOS,
        figures: FIRE,
        plots: LATE,
    },
    Group {
        name: "fire-10k",
        what: "10,000 jobs fire each second, their phases spread over it (tokio-cron-scheduler and apalis fire all of them at the full second).",
        programs: &[
            program("ours", "scheduler-bench fire --n 10000 --secs 5"),
            program("ours, inline", "scheduler-bench fire --n 10000 --secs 5 --executor inline"),
            program("heap-spawn", "timers fire --n 10000 --secs 5 --peer heap-spawn"),
            program("tokio-sleep", "timers fire --n 10000 --secs 5 --peer tokio-sleep"),
            program("tokio-cron-scheduler", "timers fire --n 10000 --secs 5 --peer tokio-cron-scheduler"),
            program("apalis", "timers fire --n 10000 --secs 5 --peer apalis"),
            program("APScheduler", "apscheduler fire --n 10000 --secs 5"),
        ],
        ratios: FIRE_RATIOS,
        figures: FIRE,
        plots: LATE,
    },
    Group {
        name: "fire-100k",
        what: "100,000 jobs fire each second, their phases spread over it.",
        programs: &[
            program("ours", "scheduler-bench fire --n 100000 --secs 5"),
            program("heap-spawn", "timers fire --n 100000 --secs 5 --peer heap-spawn"),
            program("tokio-sleep", "timers fire --n 100000 --secs 5 --peer tokio-sleep"),
        ],
        ratios: FIRE_RATIOS,
        figures: FIRE,
        plots: &[],
    },
    Group {
        name: "burst",
        what: "100,000 one-shots are due at one instant (APScheduler: 10,000).",
        programs: &[
            program("ours", "scheduler-bench burst --n 100000 --lead 4"),
            program("ours, inline", "scheduler-bench burst --n 100000 --lead 4 --executor inline"),
            program("heap-inline", "timers burst --n 100000 --peer heap-inline"),
            program("tokio-sleep", "timers burst --n 100000 --peer tokio-sleep"),
            program("tokio-cron-scheduler", "timers burst --n 100000 --peer tokio-cron-scheduler"),
            program("apalis", "timers burst --n 100000 --lead 5 --peer apalis"),
            program("APScheduler", "apscheduler burst --n 10000 --lead 4"),
        ],
        ratios: &[(figure("last_ms", "last start"), "tokio-sleep"), (figure("last_ms", "last start"), "heap-inline")],
        figures: &[
            figure("ran_share", "share that ran"),
            figure("runs_per_s", "runs a second"),
            figure("last_ms", "last start after, ms"),
            figure("cpu_s", "CPU, s"),
        ],
        plots: &[figure("runs_per_s", "runs a second")],
    },
    Group {
        name: "idle",
        what: "A million jobs are due in an hour (APScheduler: 10,000): what ten seconds cost.",
        programs: &[
            program("ours", "scheduler-bench idle --n 1000000"),
            program("heap-spawn", "timers idle --n 1000000 --peer heap-spawn"),
            program("APScheduler", "apscheduler idle --n 10000"),
        ],
        ratios: &[],
        figures: &[figure("cpu_s", "CPU, s"), figure("ctx_switches", "context switches")],
        plots: &[],
    },
    Group {
        name: "catch-up",
        what: "100,000 hourly jobs were left 72 hours ago, beside 1,000 jobs of a second that are on time.",
        programs: &[program("ours", "scheduler-bench catch-up --n 100000")],
        ratios: &[],
        figures: &[
            figure("catch_up_ms", "all caught up after, ms"),
            figure("late_p50_us", "on time: late p50, us"),
            figure("late_max_us", "on time: latest, us"),
        ],
        plots: &[],
    },
    Group {
        name: "engine",
        what: "The engine and the store in memory, on one thread, without runtime, tasks and listeners: 10,000 jobs a second.",
        programs: &[program("ours", "scheduler-bench engine")],
        ratios: &[],
        figures: &[
            figure("runs_per_s", "firings a second of CPU"),
            figure("cpu_us_per_run", "CPU a firing, us"),
            figure("allocations_per_run", "allocations a firing"),
        ],
        plots: &[],
    },
    Group {
        name: "sqlite",
        what: "20,000 jobs in SQLite are due at once (APScheduler: 500, apalis: 2,000).",
        programs: &[
            program("ours, full", "scheduler-bench store --store sqlite --n 20000 --sync full"),
            program("ours, normal", "scheduler-bench store --store sqlite --n 20000 --sync normal"),
            program(
                "ours, normal, beside 100,000 idle",
                "scheduler-bench store --store sqlite --n 20000 --sync normal --idle 100000",
            ),
            program("statements, normal", "statements --peer statements --n 20000 --sync normal"),
            program("apalis", "statements --peer apalis --n 2000"),
            program("APScheduler", "apscheduler store --n 500"),
        ],
        ratios: &[(figure("fires_per_s", "runs"), "statements, normal")],
        figures: STORE,
        plots: &[figure("fires_per_s", "runs a second")],
    },
    Group {
        name: "sqlite-single",
        what: "400 jobs a second in SQLite, each due alone, for five seconds.",
        programs: &[
            program("ours, full", "scheduler-bench store --store sqlite --n 2000 --spread 5 --lead 2 --sync full"),
            program("ours, normal", "scheduler-bench store --store sqlite --n 2000 --spread 5 --lead 2 --sync normal"),
        ],
        ratios: &[],
        figures: &[
            figure("late_ms_p50", "late p50, ms"),
            figure("late_ms_p99", "late p99, ms"),
            figure("cpu_s", "CPU of all, s"),
        ],
        plots: &[],
    },
    Group {
        name: "servers",
        what: "10,000 jobs are due at once, in a server on this machine, run by one and by four schedulers.",
        programs: &[
            program("PostgreSQL, 1 node", "scheduler-bench store --store postgres --n 10000"),
            program("PostgreSQL, 4 nodes", "scheduler-bench store --store postgres --n 10000 --nodes 4"),
            program("MySQL, 1 node", "scheduler-bench store --store mysql --n 10000"),
            program("MySQL, 4 nodes", "scheduler-bench store --store mysql --n 10000 --nodes 4"),
            program("Redis, 1 node", "scheduler-bench store --store redis --n 10000"),
            program("Redis, 4 nodes", "scheduler-bench store --store redis --n 10000 --nodes 4"),
            program("MongoDB, 1 node", "scheduler-bench store --store mongodb --n 10000"),
            program("MongoDB, 4 nodes", "scheduler-bench store --store mongodb --n 10000 --nodes 4"),
        ],
        ratios: &[],
        figures: STORE,
        plots: &[figure("fires_per_s", "runs a second")],
    },
];
