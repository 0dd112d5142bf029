//! Configuration by value: what a scheduler is made of, read from TOML, JSON, the environment or the flat keys of APScheduler.
//!
//! A [`SchedulerConfig`] says which zone, defaults, stores, executors and jobs a scheduler has. The program reads it, adds what
//! only code can say, and builds the scheduler:
//!
//! ```
//! use scheduler_config::SchedulerConfig;
//! use scheduler_thread::ThreadRuntime;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = SchedulerConfig::from_toml(&std::fs::read_to_string("scheduler.toml")?)?;
//! let builder = config.with_env()?.builder(ThreadRuntime::new()?).await?;
//! let scheduler = builder.task("report", |to: String| async move { println!("for {to}") }).build()?;
//! scheduler.start().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The file
//!
//! Everything may be left out. A key that is not known is an error that names it, so that a slip of the pen does not pass for
//! a setting. Durations are texts such as `"30s"`, `"1h 30m"` and `"250ms"`, or numbers of seconds.
//!
//! ```
//! # let config = scheduler_config::SchedulerConfig::from_toml(r#"
//! timezone = "Europe/Berlin"     # of triggers that name none; UTC by default
//! lease = "15s"                  # after which other nodes take over
//! accuracy = "1ms"               # within which wake-ups are merged
//! run_limit = 100_000            # runs at once on this node
//!
//! [job_defaults]                 # what jobs get where they say nothing
//! misfire_grace_time = "5m"      # "none" by default: a run is never too late
//! coalesce = "latest"            # or "earliest", "all"; true and false as in APScheduler
//! max_instances = 1
//! limit_key = "none"             # or a key, of whose runs a limit lets only so many run at once
//! overlap = "skip"               # or "allow", "cancel_previous", { queue = 5 }
//! delivery = "at_least_once"     # or "at_most_once"
//! timeout = "10m"                # "none" by default
//! retry = { attempts = 3, backoff = "10s", factor = 2.0, cap = "5m", jitter = 0.2, on = ["error", "crash"] }
//! priority = 0
//! history = 100                  # ended runs that are kept of each job
//! when_finished = "remove"       # or "keep"
//! output = "discard"              # or "keep": what tasks return is kept with the run
//! retention = "3d"               # for which a job stays known when it is over; 5m in memory
//!
//! [stores]
//! default = "sqlite://jobs.db"   # a URL, or a table with more:
//! shared = { url = "postgres://app:secret@db.example.com/app", prefix = "billing_", max_connections = 8 }
//! scratch = "memory:"
//!
//! [executors]
//! default = { type = "spawn", limit = 500 }
//! reports = { type = "thread_pool", threads = 4 }
//! images = { type = "process_pool", workers = 2, runs_per_worker = 1000 }
//! backups = { type = "commands", limit = 1 }
//! tiny = { type = "inline" }
//!
//! [jobs.nightly]                 # its id
//! task = "report"                # as the program registers it
//! trigger = "crontab 0 3 * * *"  # as triggers display, or a table in their persisted form
//! args = "ann"
//! store = "shared"               # "default" by default, as the executor
//! executor = "reports"
//! name = "Nightly report"        # for people
//! tags = ["reports", "tenant:42"]
//! meta = { asked_for_by = "ann" }
//! paused = false                 # when it is added for the first time
//! on_conflict = "replace"        # or "keep", "error", when the store has kept it
//! timeout = "1h"                 # and any other option of job_defaults
//! # "#)?;
//! # assert_eq!((config.stores.len(), config.executors.len(), config.jobs.len()), (3, 5, 1));
//! # Ok::<(), scheduler_core::Error>(())
//! ```
//!
//! The schemes of URLs are those of [`StoreUrl`], the options of stores those of [`StoreConfig`], those of executors in
//! [`ExecutorConfig`], those of jobs in [`JobConfig`]. A store or an executor whose feature is not switched on is an
//! error that names the feature. [`connect_store`] gives a store by its URL without the rest.
//!
//! The same as JSON has [`SchedulerConfig::from_json`]; any other format of serde, or a section of the program's own file, works
//! as well, since the types are `Deserialize` and `Serialize`. What is written has the passwords in it; `Debug` and errors have
//! not.
//!
//! Jobs are added whenever the scheduler starts, before anything runs. One that its store has kept from an earlier start is
//! replaced, and keeps its next fire time, its pause and its history if its trigger is written as it was. One that the file does
//! not mention any more stays in its store; remove it there. An error of a job is an error of `start`, names the job, and then
//! nothing has started.
//!
//! # The environment
//!
//! [`SchedulerConfig::with_env`] puts variables in the place of what the file says:
//!
//! ```sh
//! APSCHEDULER_STORES__DEFAULT=postgres://app:secret@db.example.com/app
//! APSCHEDULER_JOB_DEFAULTS__MAX_INSTANCES=3
//! APSCHEDULER_EXECUTORS__REPORTS__THREADS=8
//! ```
//!
//! # From APScheduler
//!
//! [`SchedulerConfig::from_flat`] takes the dictionary or the lines of an INI file that APScheduler 3 is configured with, and says
//! of each key what it has become, or why it is refused.
//!
//! # What code has to say
//!
//! | what | where |
//! |---|---|
//! | the runtime | the argument of [`SchedulerConfig::builder`] |
//! | tasks | `task`, `blocking_task` and `register` of the [`Builder`](scheduler_runtime::Builder) |
//! | custom triggers | its `trigger` |
//! | listeners | its `listener` |
//! | stores and executors of your own, or with options of their drivers | its `store` and `executor` |
//! | workers of a process pool | `process::serve` of the executors, first of all in `main` |
//! | the handle | its last step: `build`, `background`, `blocking` or `local` |
//! | jobs that come and go | `add_job` of the scheduler |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod connect;
mod environment;
mod executor;
mod flat;
mod jobs;
mod read;
mod store;
mod store_url;
mod url;
mod zone;

pub use config::SchedulerConfig;
pub use connect::connect_store;
pub use executor::ExecutorConfig;
pub use flat::{FlatConfig, FlatKey};
pub use jobs::JobConfig;
pub use store::StoreConfig;
pub use store_url::BuilderByUrl;
pub use url::StoreUrl;

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
