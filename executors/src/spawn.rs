//! The executor that leaves it to the runtime.

use std::num::NonZeroUsize;

use scheduler_core::{BoxFuture, Dispatch, Executor, Outcome, TaskCall};

use crate::{attempt::attempt, handoff::hand_over};

/// Runs async tasks as futures on the scheduler's runtime, and blocking ones on the threads that the runtime keeps for
/// such work. The executor to use unless there is a reason for another one.
///
/// The number of runs at a time is bounded by the scheduler and, for blocking tasks, by the runtime's pool; a
/// [`limit`](Self::limit) of its own comes before both.
///
/// ```
/// use scheduler_core::Executor;
/// use scheduler_executors::Spawn;
///
/// let executor: Box<dyn Executor> = Box::new(Spawn::new());
/// let gentle: Box<dyn Executor> = Box::new(Spawn::new().limit(8));
/// assert_eq!(gentle.limit().map(|limit| limit.get()), Some(8));
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[doc(alias = "AsyncIOExecutor")]
#[doc(alias = "TornadoExecutor")]
#[doc(alias = "TwistedExecutor")]
pub struct Spawn {
    limit: Option<NonZeroUsize>,
}

impl Spawn {
    /// The executor, without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most this many runs at once on this node, and at least one (0 counts as 1); further ones wait at the scheduler, those of a
    /// higher priority first. Defaults to none: any number.
    #[doc(alias = "max_workers")]
    #[must_use]
    pub fn limit(self, runs: usize) -> Self {
        Self { limit: Some(NonZeroUsize::new(runs).unwrap_or(NonZeroUsize::MIN)) }
    }
}

impl Executor for Spawn {
    fn limit(&self) -> Option<NonZeroUsize> {
        self.limit
    }

    fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
        match dispatch.task.call() {
            TaskCall::Async(_) => Box::pin(attempt(dispatch)),
            TaskCall::Blocking(_) => {
                let pool = dispatch.blocking.clone();
                let (work, run) = hand_over(dispatch);
                pool(work);
                run
            }
        }
    }
}
