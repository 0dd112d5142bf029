//! The one driver loop of apscheduler, over any runtime, and the handles that applications hold.
//!
//! | handle | how it runs | APScheduler's |
//! |---|---|---|
//! | [`Scheduler`] | on the runtime's own tasks; async calls | `AsyncIOScheduler` |
//! | [`Background`] | on a thread of its own; blocking calls from anywhere | `BackgroundScheduler` |
//! | [`Blocking`] | as that, and `start` returns only after shutdown | `BlockingScheduler` |
//! | [`Local`] | on the calling thread, with tasks that need not be `Send` | `GeventScheduler` |
//! | [`Pumped`] | within the event loop of its host, which it never holds up | `QtScheduler`, `TornadoScheduler`, `TwistedScheduler` |
//!
//! Each is built by a [`Builder`] over any [`Runtime`]; the adapters are crates of their own. How each ends, and what becomes
//! of wrong use, is written down [with `Scheduler`](Scheduler#what-happens-when-).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod background;
mod builder;
mod driver;
mod explain;
mod fire_times;
mod groups;
mod health;
mod job;
mod jobs;
mod let_go;
mod limits;
mod listen;
mod local;
mod local_set;
mod opening;
mod own_run;
mod pumped;
mod registry;
mod results;
mod run_context;
mod runtime;
mod scheduled;
mod scheduler;
mod search;
mod transaction;

pub use background::{Background, Blocking, BlockingJob};
pub use builder::Builder;
pub use groups::{GroupDone, GroupError};
pub use health::{Health, LoopState};
pub use job::Job;
pub use listen::{EventStream, ListenerId, Missed};
pub use local::Local;
pub use pumped::Pumped;
pub use run_context::RunContextExt;
pub use runtime::{BlockingPool, BoxFuture, Now, Runtime, Sleep, SystemClock};
pub use scheduler::Scheduler;
pub use scheduler_core::engine::{ExportedJob, Lease, SchedulerState, ShutdownMode, StoreHealth, StoreLink};
pub use search::{Cursor, FoundJobs, FoundRuns, Page};
pub use transaction::PreparedJob;

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
