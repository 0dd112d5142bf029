//! The pure core of apscheduler: trigger math, the plan of a firing, the engine and the ports.
//!
//! Nothing here reads a clock, draws a random number, starts a thread or knows an async runtime: time is an argument,
//! randomness is hashing, and what has to happen outside is an effect that a driver performs.
//!
//! | where | what it holds |
//! |---|---|
//! | here | jobs, runs, events, tasks, and the port to executors |
//! | [`trigger`] | when a job fires |
//! | [`store`] | the port to stores |
//! | [`explain()`] | why a job did, did not, or will (not) run at a time |
//! | `plan` | what becomes of the fire times of one job; for this project's crates |
//! | `engine` | the scheduler as a state machine; for this project's crates |
//!
//! Each type has one path.
#![cfg_attr(docsrs, feature(doc_cfg))]
// Stored rows and arguments reach all of it: what can overflow says what then. `allow` marks where no such number can come.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod cancellation;
mod change;
pub mod duration;
#[doc(hidden)]
pub mod engine;
mod error;
mod event;
mod executor;
mod explain;
mod id;
mod job;
mod nesting;
mod now;
mod options;
mod outdated;
#[doc(hidden)]
pub mod panics;
mod partial_options;
mod pause;
#[doc(hidden)]
pub mod plan;
mod retry;
mod run;
mod scheduled;
mod spec;
mod state;
pub mod store;
mod tags;
mod task;
pub mod trigger;
mod version;

pub use cancellation::CancellationToken;
pub use change::JobChange;
pub use error::{Error, ErrorKind};
pub use event::{Event, EventKind, EventMask, JobRef, Removal, RunRef, WhoseClock};
pub use executor::{Dispatch, Executor, SpawnBlocking};
pub use explain::{Answer, ClockChange, Explanation, Together, explain};
pub use id::{ExecutorName, InvalidRunId, InvalidUid, JobId, LimitKey, NodeId, RunId, StoreName, TaskName, Uid};
pub use job::{BODY_VERSION, JobBody, JobRow, JobState, Listed, RawJob};
pub use nesting::{NESTING_LIMIT, is_nested_too_deeply};
pub use now::Now;
pub use options::{Coalesce, Conflict, Delivery, JobOptions, Output, Overlap, WhenFinished};
pub use outdated::Outdated;
pub use partial_options::PartialOptions;
pub use pause::Pause;
pub use retry::{Failures, Retry};
pub use run::{AttemptError, Run, RunOutput, RunState, Totals, Verdict, Wait};
pub use scheduled::Scheduled;
pub use spec::JobSpec;
pub use state::{State, StateType, States};
pub use store::job_store::JobStore;
pub use tags::Tags;
pub use task::{BoxFuture, Outcome, RunContext, Task, TaskCall};
pub use trigger::any::Trigger;
pub use version::{Version, version};

/// What the macros of this crate name.
#[doc(hidden)]
pub mod __private {
    pub use async_trait::async_trait;
    pub use chrono::{DateTime, Utc};
}

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
