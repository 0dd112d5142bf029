//! The one driver loop of apscheduler, over any runtime, and the handles that applications hold.
//!
//! | handle | how it runs | APScheduler's |
//! |---|---|---|
//! | [`Scheduler`] | on the runtime's own tasks; async calls | `AsyncIOScheduler` |
//! | [`Background`] | on a thread of its own; blocking calls from anywhere | `BackgroundScheduler` |
//! | [`Blocking`] | as that, and `start` returns only after shutdown | `BlockingScheduler` |
//! | [`Local`] | on the calling thread, with tasks that need not be `Send` | `GeventScheduler` |
//!
//! Each is built by a [`Builder`] over any [`Runtime`]; the adapters are crates of their own.

mod background;
mod builder;
mod driver;
mod job;
mod jobs;
mod listen;
mod local;
mod registry;
pub mod runtime;
mod scheduler;

pub use background::{Background, Blocking, BlockingJob};
pub use builder::Builder;
pub use job::Job;
pub use listen::{EventStream, ListenerId, Missed};
pub use local::{Local, LocalTaskFn};
pub use runtime::{BlockingPool, BoxFuture, Now, Runtime, Sleep, SystemClock};
pub use scheduler::Scheduler;
pub use scheduler_core::engine::{ExportedJob, SchedulerState, ShutdownMode};
