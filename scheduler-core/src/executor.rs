//! The port to executors: what runs tasks.

use std::num::NonZeroUsize;

use serde_json::Value;

use crate::{BoxFuture, Outcome, RunContext, Task};

/// Runs tasks, each in its own way: as a future, on a pool of threads, in place.
///
/// The future that `start` gives is polled by the scheduler's runtime and resolves when the run has ended. A task that
/// panics is an [`Outcome::Panicked`], whichever the executor; dropping the future drops an async task.
#[doc(alias = "BaseExecutor")]
pub trait Executor: std::fmt::Debug + Send + Sync + 'static {
    /// Starts one run. Must not block: it is called on the scheduler's own loop.
    fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome>;

    /// The most runs that it takes at once on this node. Further ones wait at the scheduler: those of a higher
    /// [priority](crate::JobOptions::priority) come first, then those that were due first. A run that waits is this node's
    /// and counts as running; its timeout begins when it starts, and until then it can be cancelled without having started.
    /// How many a node takes on is limited for all its executors together. Read once, when the executor is added. Defaults
    /// to none: it takes any number.
    fn limit(&self) -> Option<NonZeroUsize> {
        None
    }
}

/// One run, ready to start.
#[derive(Clone)]
#[non_exhaustive]
pub struct Dispatch {
    /// The task.
    pub task: Task,
    /// What it is called with.
    pub args: Value,
    /// What it is told about the run.
    pub context: RunContext,
    /// The runtime's pool for work that blocks, for an executor without threads of its own.
    pub blocking: SpawnBlocking,
}

impl Dispatch {
    /// A run of a task.
    pub fn new(task: Task, args: Value, context: RunContext, blocking: SpawnBlocking) -> Self {
        Self { task, args, context, blocking }
    }
}

/// Hands work that blocks to the threads that a runtime keeps for it.
pub type SpawnBlocking = std::sync::Arc<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatch")
            .field("task", &self.task)
            .field("args", &self.args)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}
