//! The port to the host's runtime: five methods that an adapter implements.
//!
//! | adapter | package |
//! |---|---|
//! | `TokioRuntime` | `scheduler-tokio` |
//! | `SmolRuntime` | `scheduler-smol` |
//! | `AsyncStdRuntime` | `scheduler-async-std` |
//! | `ThreadRuntime` | `scheduler-thread`, plain OS threads |
//! | `SimulatedRuntime` | `scheduler-testkit`, virtual time |
//!
//! A runtime of your own is supported if and only if it passes
//! `scheduler_testkit::runtime_conformance!`.

mod blocking;
mod clock;
mod sleep;

use std::{fmt::Debug, pin::Pin, time::Duration};

pub use scheduler_core::{BoxFuture, Now};

pub use self::{blocking::BlockingPool, clock::SystemClock, sleep::Sleep};

/// What a scheduler asks of its host: the time, waiting, and running things.
///
/// Hold one as `Arc<dyn Runtime>`. A runtime is chosen by value, so that one process may use
/// several. An adapter writes `spawn`, `spawn_blocking` and `block_on`; the clock and the timer are
/// provided, because a runtime's own timer is often coarser than a scheduler wants (tokio's has
/// steps of a millisecond).
///
/// ```
/// use std::pin::Pin;
/// use std::sync::Arc;
/// use std::task::{Context, Wake, Waker};
/// use std::thread;
/// use std::time::Duration;
///
/// use scheduler_runtime::{BoxFuture, Runtime};
///
/// /// Each future gets a thread: a runtime for a handful of futures.
/// #[derive(Debug)]
/// struct ThreadPerFuture;
///
/// impl Runtime for ThreadPerFuture {
///     fn spawn(&self, future: BoxFuture<'static, ()>) {
///         thread::spawn(|| ThreadPerFuture.block_on(future));
///     }
///
///     fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
///         thread::spawn(work);
///     }
///
///     fn block_on(&self, mut future: Pin<Box<dyn Future<Output = ()> + '_>>) {
///         struct Unpark(thread::Thread);
///         impl Wake for Unpark {
///             fn wake(self: Arc<Self>) {
///                 self.0.unpark();
///             }
///         }
///
///         let waker = Waker::from(Arc::new(Unpark(thread::current())));
///         while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
///             thread::park();
///         }
///     }
/// }
///
/// ThreadPerFuture.block_on(Box::pin(ThreadPerFuture.sleep(Duration::from_millis(1))));
/// ```
pub trait Runtime: Debug + Send + Sync + 'static {
    /// Reads both clocks.
    ///
    /// Default: [`SystemClock::now`]. A runtime with a time of its own (a simulation) overrides
    /// this and [`sleep`](Self::sleep) together.
    fn now(&self) -> Now {
        SystemClock::now()
    }

    /// Waits for `duration`, counted from this call by the monotonic clock.
    ///
    /// Never ends early. A duration of zero ends at once; one that reaches past the end of the
    /// clock's range never ends. Dropping the future forgets it. The future may be polled by any
    /// executor.
    ///
    /// Default: [`Sleep`], which is about 0.1 ms late.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep::new(duration))
    }

    /// Whether time is a test's here, and jumps when nothing is left to do, so that no clock of another machine can share it.
    ///
    /// Default: no.
    fn is_time_virtual(&self) -> bool {
        false
    }

    /// Keeps a virtual time from jumping until what this gives is dropped: for as long as something outside of the runtime is
    /// waited for, such as a store that answers from another thread.
    ///
    /// Default: none, for a time that does not jump.
    fn hold_time(&self) -> Option<Box<dyn Send>> {
        None
    }

    /// Runs a future to its end, concurrently with the caller, and forgets its outcome.
    ///
    /// A future that panics ends, and nothing else is affected. Futures must not block a thread;
    /// see [`spawn_blocking`](Self::spawn_blocking).
    fn spawn(&self, future: BoxFuture<'static, ()>);

    /// Runs work that blocks its thread, off the threads that drive futures.
    ///
    /// Work that panics ends, and nothing else is affected. Adapters bound the number of threads;
    /// work beyond that waits its turn.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>);

    /// Runs a future to its end on the calling thread, which waits for it.
    ///
    /// The future need not be `Send`, and may borrow from the caller. Call this from a plain thread
    /// or from [`spawn_blocking`](Self::spawn_blocking).
    ///
    /// # Panics
    ///
    /// If `future` panics; the panic is the future's. From inside a future of the same runtime an
    /// adapter may panic too, because a thread that drives futures must not wait; each adapter
    /// says what it does.
    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>);
}
