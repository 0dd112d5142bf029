//! The executor that leaves it to the runtime.

use scheduler_core::{BoxFuture, Dispatch, Executor, Outcome, TaskCall};

use crate::{attempt::attempt, handoff::hand_over};

/// Runs async tasks as futures on the scheduler's runtime, and blocking ones on the threads that the runtime keeps for
/// such work. The executor to use unless there is a reason for another one.
///
/// The number of runs at a time is bounded by the scheduler and, for blocking tasks, by the runtime's pool.
///
/// ```
/// use scheduler_core::Executor;
/// use scheduler_executors::Spawn;
///
/// let executor: Box<dyn Executor> = Box::new(Spawn::new());
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[doc(alias = "AsyncIOExecutor")]
#[doc(alias = "TornadoExecutor")]
#[doc(alias = "TwistedExecutor")]
pub struct Spawn(());

impl Spawn {
    /// The executor; all of its kind are alike.
    pub fn new() -> Self {
        Self(())
    }
}

impl Executor for Spawn {
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
