//! The executor that runs tasks in place.

use std::task::{Context, Poll, Waker};

use futures_lite::future;
use scheduler_core::{BoxFuture, Dispatch, Executor, Outcome};

use crate::attempt::attempt;

/// Runs tasks in place, on the scheduler's own loop, as a debugger, a test or a very short task wants it.
///
/// A blocking task has ended when the loop goes on; meanwhile nothing else fires, no timeout strikes and no command is
/// answered, so that a task which waits for its own scheduler waits for ever. An async task is polled once in place and
/// goes on as a future on the runtime if that was not enough, as with [`Spawn`](crate::Spawn).
///
/// ```
/// use scheduler_core::Executor;
/// use scheduler_executors::Inline;
///
/// let executor: Box<dyn Executor> = Box::new(Inline::new());
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[doc(alias = "DebugExecutor")]
pub struct Inline(());

impl Inline {
    /// The executor; all of its kind are alike.
    pub fn new() -> Self {
        Self(())
    }
}

impl Executor for Inline {
    fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
        let mut run = Box::pin(attempt(dispatch));
        // The next poll leaves a waker that works.
        match run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Box::pin(future::ready(outcome)),
            Poll::Pending => run,
        }
    }
}
