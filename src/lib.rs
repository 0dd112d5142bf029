//! The job scheduler that a service embeds: APScheduler for Rust, on any runtime and any store.
//!
//! ```
//! use apscheduler::prelude::*;
//!
//! # async fn example() -> Result<(), Error> {
//! let scheduler = Scheduler::builder(TokioRuntime::current())
//!     .task("greet", |name: String| async move { println!("hello, {name}") })
//!     .build()?;
//! scheduler.add_job(JobSpec::new("greet", Interval::seconds(10)).args("world")).await?;
//! scheduler.start().await?;
//! # Ok(())
//! # }
//! ```
//!
//! What is where:
//!
//! - [`Scheduler`], [`Background`], [`Blocking`], [`Local`]: the handles, one for each way of embedding.
//! - [`trigger`]: date, interval, cron and their like.
//! - [`JobSpec`], [`Job`], [`JobOptions`]: jobs and how they run.
//! - [`stores`], [`executors`]: where jobs are kept, and what runs them.
//! - [`EventKind`]: what is told to listeners.

pub use scheduler_core::{
    CancellationToken, Coalesce, Conflict, Delivery, Error, ErrorKind, Event, EventKind, EventMask, Executor,
    ExecutorName, JobBody, JobChange, JobId, JobOptions, JobRef, JobRow, JobSpec, JobState, JobStore, NodeId, Outcome,
    Overlap, PartialOptions, RawJob, Removal, Run, RunContext, RunId, RunRef, RunState, StoreName, Task, TaskName,
    Totals, Trigger, Uid, Verdict, Wait, WhenFinished, trigger,
};
pub use scheduler_executors as executors;
pub use scheduler_runtime::{
    Background, Blocking, BlockingJob, Builder, EventStream, ExportedJob, Job, ListenerId, Local, LocalTaskFn, Missed,
    Runtime, Scheduler, SchedulerState, ShutdownMode,
};
pub use scheduler_stores as stores;

#[cfg(feature = "async-std")]
pub use scheduler_async_std::AsyncStdRuntime;
#[cfg(feature = "smol")]
pub use scheduler_smol::SmolRuntime;
#[cfg(feature = "thread")]
pub use scheduler_thread::ThreadRuntime;
#[cfg(feature = "tokio")]
pub use scheduler_tokio::TokioRuntime;

/// What most programs use: `use apscheduler::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Background, Blocking, Coalesce, Conflict, Delivery, Error, ErrorKind, Event, EventKind, EventMask, Job,
        JobChange, JobSpec, JobState, Local, Overlap, PartialOptions, Run, RunContext, Runtime, Scheduler,
        SchedulerState, ShutdownMode, Trigger, Verdict, WhenFinished,
        executors::{Inline, Spawn, ThreadPool, blocking, task},
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
    #[cfg(feature = "sqlite")]
    pub use crate::stores::SqliteStore;
}

/// The readme's programs compile.
#[cfg(all(doctest, feature = "tokio", feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
