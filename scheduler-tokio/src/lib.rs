//! apscheduler on tokio.
//!
//! A [`TokioRuntime`] is the runtime that the service is already in, one given by its handle, or
//! one of its own:
//!
//! ```
//! use scheduler_tokio::TokioRuntime;
//!
//! # fn main() -> std::io::Result<()> {
//! let own = TokioRuntime::new()?;
//! assert!(TokioRuntime::try_current().is_none());
//!
//! let host = tokio::runtime::Runtime::new()?;
//! let by_handle = TokioRuntime::from(host.handle().clone());
//! let current = host.block_on(async { TokioRuntime::current() });
//! # let _ = (own, by_handle, current);
//! # Ok(())
//! # }
//! ```

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;

use scheduler_runtime::{BoxFuture, Runtime};
use tokio::runtime::Handle;

/// Runs schedulers on tokio; either flavour of it.
///
/// Clones are the same runtime. tokio's clock and timer are not used: sleeps end to about 0.1 ms
/// rather than to the next millisecond, a runtime built without timers will do, and tokio's paused
/// time does not reach the scheduler (its virtual clock is `scheduler_testkit::SimulatedRuntime`).
///
/// ```
/// use scheduler_runtime::Runtime;
/// use scheduler_tokio::TokioRuntime;
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = TokioRuntime::new()?;
/// runtime.block_on(Box::pin(async {
///     tokio::task::yield_now().await;
/// }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TokioRuntime {
    handle: Handle,
    /// None for the host's runtime, which outlives us or not as it pleases.
    _own: Option<Arc<Own>>,
}

impl TokioRuntime {
    /// A runtime of its own, with a worker thread per core.
    ///
    /// It goes when the last clone is dropped, without waiting: its futures are dropped where they
    /// stand, blocking work that has begun runs to its end. Dropping it is safe anywhere, inside of
    /// async code too.
    ///
    /// # Errors
    ///
    /// If the system refuses threads or descriptors.
    pub fn new() -> io::Result<Self> {
        let own = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(Self { handle: own.handle().clone(), _own: Some(Arc::new(Own(Some(own)))) })
    }

    /// The runtime that this code runs in.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime; see [`try_current`](Self::try_current).
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        Self::try_current().expect(
            "TokioRuntime::current is called from within a tokio runtime; elsewhere use \
             TokioRuntime::new, or TokioRuntime::from with a handle",
        )
    }

    /// The runtime that this code runs in, if it runs in one.
    #[must_use]
    pub fn try_current() -> Option<Self> {
        Handle::try_current().ok().map(Self::from)
    }
}

impl From<Handle> for TokioRuntime {
    /// The runtime behind `handle`. The value does not keep it alive.
    fn from(handle: Handle) -> Self {
        Self { handle, _own: None }
    }
}

impl Runtime for TokioRuntime {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.handle.spawn(future);
    }

    /// Runs work on tokio's blocking threads; 512 at most unless the runtime was built otherwise.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.handle.spawn_blocking(work);
    }

    /// Runs a future to its end on the calling thread, inside of the runtime's context.
    ///
    /// On a current-thread runtime this drives the future only; the host drives the rest, by
    /// `tokio::runtime::Runtime::block_on` in another thread.
    ///
    /// # Panics
    ///
    /// If `future` panics, and when called from async code, whose thread must not wait: await the
    /// future there, or move the call to `spawn_blocking` or a plain thread.
    #[track_caller]
    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        let begun = Cell::new(false);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            self.handle.block_on(async {
                begun.set(true);
                future.await;
            });
        }));
        match ended {
            Ok(()) => {}
            Err(panic) if begun.get() => resume_unwind(panic),
            Err(_) => panic!(
                "TokioRuntime::block_on was called from async code: await the future there, or \
                 call from a plain thread or from spawn_blocking"
            ),
        }
    }
}

/// A runtime that goes without waiting; tokio's own drop waits, and panics in async code.
#[derive(Debug)]
struct Own(Option<tokio::runtime::Runtime>);

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
