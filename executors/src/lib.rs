//! The executors of apscheduler, and the tasks that they run.
//!
//! [`task`] and [`blocking`] turn functions into tasks; an executor decides where a run of them happens:
//!
//! | executor | async task | blocking task |
//! |---|---|---|
//! | [`Spawn`] | a future on the scheduler's runtime | a thread of the runtime's pool for blocking work |
//! | [`ThreadPool`] | driven by a thread of the pool | a thread of the pool |
//! | [`Inline`] | polled in place | called in place, on the scheduler's own loop |
//! | `process::ProcessPool` | driven by the main thread of a worker process | the main thread of a worker process |
//! | `process::Commands` | a future that runs a program | a thread of the runtime's pool for blocking work |
//!
//! The last two are there with the feature `process`.
//!
//! They keep the same promises. A panic is [`Outcome::Panicked`](scheduler_core::Outcome::Panicked) and harms no other run.
//! A run whose token is cancelled before it starts is [`Outcome::Cancelled`](scheduler_core::Outcome::Cancelled) and never
//! called. After that an async task is polled once more, so that it can end by itself, and dropped if it is still
//! pending; a blocking task has to look at its token and ends as it likes. Dropping the future of a run drops an async
//! task and withdraws one that has not started; a blocking task that runs cannot be stopped, and its result goes nowhere.
//! In another process it can: there a run that goes on for too long after its token was cancelled is killed.
//!
//! Panics can be caught only where they unwind: under `panic = "abort"` a panicking task ends the process.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod parameters;
#[cfg(feature = "process")]
pub mod process;

mod attempt;
mod from_run;
mod handoff;
mod inline;
mod into_outcome;
pub mod panics;
mod spawn;
mod task;
mod tasks;
mod thread_pool;

pub use from_run::FromRun;
#[doc(hidden)]
pub use from_run::{LocalStates, Source};
pub use inline::Inline;
pub use into_outcome::IntoOutcome;
pub use spawn::Spawn;
pub use task::{AsyncTaskFn, BlockingTaskFn, blocking, task};
pub use tasks::Tasks;
pub use thread_pool::ThreadPool;

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
