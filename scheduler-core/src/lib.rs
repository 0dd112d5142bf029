//! The pure core of apscheduler: trigger math, the plan of a firing, the engine and the ports.
//!
//! Nothing here reads a clock, draws a random number, starts a thread or knows an async runtime: time is an argument,
//! randomness is hashing, and what has to happen outside is an effect that a driver performs.
//!
//! | module | what it holds |
//! |---|---|
//! | [`trigger`] | when a job fires |
//! | [`plan`] | what becomes of the fire times of one job |
//! | [`mod@explain`] | why a job did, did not, or will (not) run at a time |
//! | [`engine`] | the scheduler as a state machine |
//! | [`store`], [`executor`], [`task`] | the ports: what stores, executors and tasks are to the engine |

// Stored rows and arguments reach all of it: what can overflow says what then. `allow` marks where no such number can come.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod cancellation;
pub mod change;
pub mod duration;
pub mod engine;
pub mod error;
pub mod event;
pub mod executor;
pub mod explain;
pub mod id;
pub mod job;
pub mod nesting;
pub mod now;
pub mod options;
mod outdated;
mod panics;
pub mod partial_options;
pub mod plan;
pub mod retry;
pub mod run;
pub mod scheduled;
pub mod spec;
pub mod store;
pub mod task;
pub mod trigger;
mod version;

pub use cancellation::CancellationToken;
pub use change::JobChange;
pub use error::{Error, ErrorKind};
pub use event::{Event, EventKind, EventMask, JobRef, Removal, RunRef, WhoseClock};
pub use executor::{BlockingPool, Dispatch, Executor};
pub use explain::{Answer, Explanation};
pub use id::{ExecutorName, JobId, NodeId, RunId, StoreName, TaskName, Uid};
pub use job::{BODY_VERSION, JobBody, JobRow, JobState, Listed, RawJob};
pub use nesting::{NESTING_LIMIT, is_nested_too_deeply};
pub use now::Now;
pub use options::{Coalesce, Conflict, Delivery, JobOptions, Overlap, WhenFinished};
pub use outdated::Outdated;
pub use partial_options::PartialOptions;
pub use retry::{Failures, Retry};
pub use run::{Run, RunState, Totals, Verdict, Wait};
pub use scheduled::Scheduled;
pub use spec::JobSpec;
pub use store::JobStore;
pub use task::{BoxFuture, Outcome, RunContext, Task, TaskCall};
pub use trigger::Trigger;
pub use version::{Version, version};
