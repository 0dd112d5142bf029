//! The host's runtime, but for what is spawned: that runs on the set's thread.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_channel::{mpsc, oneshot};
use scheduler_core::{BoxFuture, Dispatch, Executor, Outcome};
use tracing::Span;

use crate::runtime::{Now, Runtime};

/// What comes to the thread of a local set, from wherever.
pub(super) enum Arrival {
    /// A future that it is to poll.
    Future(BoxFuture<'static, ()>),
    /// A run that it is to start.
    Run(Box<Dispatch>, Span, oneshot::Sender<Outcome>),
}

/// Has nothing run on other threads but what blocks.
pub(super) struct LocalRuntime {
    pub(super) host: Arc<dyn Runtime>,
    /// Bounded by the runs and store calls in flight, which the engine bounds, and by async listeners.
    pub(super) arrivals: mpsc::UnboundedSender<Arrival>,
}

impl Runtime for LocalRuntime {
    fn now(&self) -> Now {
        self.host.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.host.sleep(duration)
    }

    fn is_time_virtual(&self) -> bool {
        self.host.is_time_virtual()
    }

    fn hold_time(&self) -> Option<Box<dyn Send>> {
        self.host.hold_time()
    }

    fn spawn(&self, future: BoxFuture<'static, ()>) {
        // What comes when the scheduler's thread has gone is dropped, as by a runtime that has ended.
        drop(self.arrivals.unbounded_send(Arrival::Future(future)));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.host.spawn_blocking(work);
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.host.block_on(future);
    }
}

impl fmt::Debug for LocalRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalRuntime").field(&self.host).finish()
    }
}

/// Hands runs to the thread of a local set.
pub(super) struct LocalExecutor {
    pub(super) arrivals: mpsc::UnboundedSender<Arrival>,
}

impl Executor for LocalExecutor {
    fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
        let (outcome, ended) = oneshot::channel();
        // The span of the run, for a task that is not called through its dispatch.
        drop(self.arrivals.unbounded_send(Arrival::Run(Box::new(dispatch), Span::current(), outcome)));
        Box::pin(async move { ended.await.unwrap_or(Outcome::Cancelled) })
    }
}

impl fmt::Debug for LocalExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalExecutor").finish_non_exhaustive()
    }
}
