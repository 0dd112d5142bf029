//! The port to executors: what runs tasks.

use std::num::NonZeroUsize;

use serde_json::Value;

use crate::{BoxFuture, Outcome, RunContext, Task};

/// Runs tasks, each in its own way: as a future, on a pool of threads, in place.
///
/// The future that `start` gives is polled by the scheduler's runtime and resolves when the run has ended. A task that
/// panics is an [`Outcome::Panicked`], whichever the executor; dropping the future drops an async task.
///
/// ```
/// use scheduler_core::{BoxFuture, Dispatch, Executor, Outcome, TaskCall};
///
/// /// Runs async tasks by itself, and refuses those that block.
/// #[derive(Debug)]
/// struct AsyncOnly;
///
/// impl Executor for AsyncOnly {
///     fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
///         match dispatch.task.call() {
///             TaskCall::Async(call) => call(dispatch.context, dispatch.args),
///             TaskCall::Blocking(_) => {
///                 let name = dispatch.task.name();
///                 let refusal = Outcome::Error(format!("task `{name}` blocks; give it a pool of threads"));
///                 Box::pin(std::future::ready(refusal))
///             }
///         }
///     }
/// }
/// # let _ = AsyncOnly;
/// ```
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
///
/// ```
/// use scheduler_core::{BoxFuture, Dispatch, Executor, Outcome};
///
/// /// Notes what it starts, and hands it on.
/// #[derive(Debug)]
/// struct Noting<E>(E);
///
/// impl<E: Executor> Executor for Noting<E> {
///     fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
///         let Dispatch { task, args, context, .. } = &dispatch;
///         println!("{}: {} with {args}, attempt {}", context.job_id, task.name(), context.attempt);
///         self.0.start(dispatch)
///     }
/// }
/// ```
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
///
/// ```
/// use std::{sync::{Arc, mpsc}, thread};
/// use scheduler_core::SpawnBlocking;
///
/// // What a runtime without a pool gives: a thread for each.
/// let blocking: SpawnBlocking = Arc::new(|work| drop(thread::spawn(work)));
/// let (done, is_done) = mpsc::channel();
/// blocking(Box::new(move || done.send("it has blocked").unwrap()));
/// assert_eq!(is_done.recv(), Ok("it has blocked"));
/// ```
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
