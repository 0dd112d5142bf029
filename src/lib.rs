//! The job scheduler that a service embeds: APScheduler for Rust, on any runtime and any store.
//!
//! > Run this at 9:00 Berlin time, once, even if the process dies.
//!
//! ```
//! use apscheduler::prelude::*;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let scheduler = Scheduler::builder(TokioRuntime::current())
//!         .task("greet", |name: String| async move { println!("hello, {name}") })
//!         .timezone_named("Europe/Berlin")
//!         .build()?;
//!     let at_nine = Cron::fields().day_of_week("mon-fri").hour("9").build()?;
//!     scheduler.add_job(JobSpec::new("greet", at_nine).id("greeting").args("ann")).await?;
//!     scheduler.start().await?;
//!     # scheduler.shutdown(ShutdownMode::Wait).await?;
//!     Ok(())
//! }
//! ```
//!
//! Three promises, in this order: no run is lost or doubled silently; any runtime, any store, same behaviour; it costs nothing
//! when nothing is due.
//!
//! # The guide
//!
//! A book for reading, whose programs are all compiled with the crate's tests:
//!
//! - [Getting started](guide::getting_started): the first job, and which handle and runtime to take.
//! - [Triggers](guide::triggers): when jobs run; time zones and daylight saving.
//! - [Misfires](guide::misfires), coalescing and overlap, with pictures of time lines.
//! - [Stores](guide::stores): where jobs are kept. [Clusters](guide::clusters): several processes on one store.
//! - [Tasks and executors](guide::tasks), [state](guide::state) that tasks share, [events and
//!   observability](guide::events), the [dashboard](guide::dashboard), [configuration](guide::configuration).
//! - [Testing](guide::testing): a month of schedules in milliseconds.
//! - [Coming from APScheduler](guide::coming_from_apscheduler), side by side, and
//!   [from tokio-cron-scheduler](guide::coming_from_tokio_cron_scheduler) and others.
//!
//! # What is where
//!
//! - [`Scheduler`], [`Background`], [`Blocking`], [`Local`], [`Pumped`]: the handles, one for each way of embedding.
//! - [`trigger`]: date, interval, cron and their like.
//! - [`JobSpec`], [`Job`], [`JobOptions`]: jobs and how they run.
//! - [`stores`], [`executors`]: where jobs are kept, and what runs them.
//! - [`store`] with [`JobStore`], [`Executor`], [`Runtime`]: what a store, an executor or a runtime of your own implements.
//! - `#[task]` and `#[scheduled]`, under the feature `macros`: tasks and jobs from functions.
//! - [`EventKind`]: what is told to listeners.
//! - [`observability`]: logs, spans, numbers, health, and why a job did or did not run.
//! - [`chrono`], [`chrono_tz`] and [`serde_json`] in the versions whose types are in signatures here.
//!
//! # Features
//!
//! A feature makes something available; a value picks it. Any combination compiles.
//!
//! | feature | gives |
//! |---|---|
//! | `tokio` (default), `smol`, `async-std`, `thread` | a runtime each |
//! | `sqlite`, `postgres`, `mysql`, `redis`, `mongodb`, `etcd`, `zookeeper`, `rethinkdb` | a store each; memory needs none |
//! | `tls` | encrypted connections to the stores that are servers |
//! | `process` | executors that run work in other processes: a pool of workers, and programs |
//! | `macros` | `#[task]` and `#[scheduled]`: tasks and jobs from functions |
//! | `config` | schedulers and their jobs from TOML, JSON, the environment, and APScheduler's flat keys |
//! | `metrics` | numbers for the recorder that the program has installed |
//! | `web` | [`web`]: the dashboard and its JSON API, as a service that any server mounts |
//! | `web-serve` | [`web::serve`]: a server for it, on tokio, for programs that have none |
//! | `cron` | schedules of the `cron` crate as triggers |
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod observability;

pub use scheduler_core::{
    Answer, AttemptError, BODY_VERSION, BoxFuture, CancellationToken, ClockChange, Coalesce, Conflict, Delivery,
    Dispatch, Error, ErrorKind, Event, EventKind, EventMask, Executor, ExecutorName, Explanation, Failures,
    InvalidRunId, InvalidUid, JobBody, JobChange, JobId, JobOptions, JobRef, JobRow, JobSpec, JobState, JobStore,
    LimitKey, Listed, NESTING_LIMIT, NodeId, Outcome, Outdated, Output, Overlap, PartialOptions, Pause, RawJob,
    Removal, Retry, Run, RunContext, RunId, RunOutput, RunRef, RunState, Scheduled, SpawnBlocking, State, StateType,
    States, StoreName, Tags, Task, TaskCall, TaskName, Together, Totals, Trigger, Uid, Verdict, Version, Wait,
    WhenFinished, WhoseClock, explain, store, trigger, version,
};
pub use scheduler_executors as executors;
pub use scheduler_runtime::{
    Background, Blocking, BlockingJob, BlockingPool, Builder, Cursor, EventStream, ExportedJob, FoundJobs, FoundRuns,
    GroupDone, GroupError, Health, Job, Lease, ListenerId, Local, LoopState, Missed, Now, Page, PreparedJob, Pumped,
    RunContextExt, Runtime, Scheduler, SchedulerState, ShutdownMode, Sleep, StoreHealth, StoreLink, SystemClock,
};
pub use scheduler_stores as stores;

pub use scheduler_core::forward_job_store;
pub use {chrono, chrono_tz, serde_json};

#[cfg(feature = "config")]
pub use scheduler_config as config;

#[cfg(feature = "web")]
pub use scheduler_web as web;

#[cfg(feature = "async-std")]
pub use scheduler_async_std::AsyncStdRuntime;
#[cfg(feature = "macros")]
pub use scheduler_macros::{scheduled, task};
#[cfg(feature = "smol")]
pub use scheduler_smol::SmolRuntime;
#[cfg(feature = "thread")]
pub use scheduler_thread::ThreadRuntime;
#[cfg(feature = "tokio")]
pub use scheduler_tokio::TokioRuntime;

#[cfg(any(doc, doctest))]
pub mod guide;

/// What most programs use: `use apscheduler::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Background, Blocking, Coalesce, Conflict, Delivery, Error, ErrorKind, Event, EventKind, EventMask, Job,
        JobChange, JobSpec, JobState, Local, Now, Overlap, Page, PartialOptions, Pumped, Retry, Run, RunContext,
        RunContextExt, Runtime, Scheduler, SchedulerState, ShutdownMode, State, SystemClock, Trigger, Verdict,
        WhenFinished,
        executors::{Inline, Spawn, ThreadPool, blocking, task},
        store::{JobFilter, JobOrder, JobStateKind, RunFilter},
        stores::MemoryStore,
        trigger::{CalendarInterval, Cron, Date, Interval},
    };

    #[cfg(feature = "async-std")]
    pub use crate::AsyncStdRuntime;
    #[cfg(feature = "smol")]
    pub use crate::SmolRuntime;
    #[cfg(feature = "thread")]
    pub use crate::ThreadRuntime;
    #[cfg(feature = "tokio")]
    pub use crate::TokioRuntime;
    #[cfg(feature = "config")]
    pub use crate::config::BuilderByUrl;
    #[cfg(all(feature = "process", unix))]
    pub use crate::executors::process::ProcessPool;
    #[cfg(feature = "process")]
    pub use crate::executors::process::{CommandLine, Commands};
    #[cfg(feature = "etcd")]
    pub use crate::stores::EtcdStore;
    #[cfg(feature = "mongodb")]
    pub use crate::stores::MongoDbStore;
    #[cfg(feature = "mysql")]
    pub use crate::stores::MySqlStore;
    #[cfg(feature = "postgres")]
    pub use crate::stores::PostgresStore;
    #[cfg(feature = "redis")]
    pub use crate::stores::RedisStore;
    #[cfg(feature = "rethinkdb")]
    pub use crate::stores::RethinkDbStore;
    #[cfg(feature = "sqlite")]
    pub use crate::stores::SqliteStore;
    #[cfg(feature = "zookeeper")]
    pub use crate::stores::ZooKeeperStore;
    #[cfg(feature = "macros")]
    pub use crate::{scheduled, task};
}

/// What the code that the attributes write refers to.
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod __macros {
    pub use serde::{Serialize, de::DeserializeOwned};
}

/// The readme's programs compile.
#[cfg(all(doctest, feature = "tokio", feature = "thread", feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of the attributes, whose own crate does not depend on this one, not even for tests.
#[cfg(all(doctest, feature = "macros"))]
mod attributes {
    #[doc = include_str!("../scheduler-macros/src/task.md")]
    struct Task;

    #[doc = include_str!("../scheduler-macros/src/scheduled.md")]
    struct Scheduled;

    #[doc = include_str!("../scheduler-macros/README.md")]
    struct Readme;
}
