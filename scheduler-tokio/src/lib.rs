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

mod paused;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;

use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_runtime::{BoxFuture, Now, Runtime, Sleep};
use tokio::runtime::Handle;

use self::paused::PausedClock;

/// Runs schedulers on tokio; either flavour of it.
///
/// Clones are the same runtime. tokio's clock and timer are not used: sleeps end to about 0.1 ms
/// rather than to the next millisecond, and a runtime built without timers will do.
///
/// In a test they are, if tokio's clock is paused when the value is made; see below.
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
/// # Under tokio's paused clock
///
/// Made where tokio's clock is paused, as by `#[tokio::test(start_paused = true)]`, it follows that
/// clock: the test's own timers and the scheduler's jobs share one time, which jumps to the next of
/// them whenever there is nothing to do. The wall clock begins with the real one at which tokio's was
/// paused, or where [`paused_at`](Self::paused_at) says. Timers have steps of a millisecond then.
///
/// ```
/// use std::time::Duration;
///
/// use scheduler_core::{EventMask, JobSpec, trigger::Interval};
/// use scheduler_runtime::Scheduler;
/// use scheduler_tokio::TokioRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tokio = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
/// # tokio.block_on(async {
/// // In a `#[tokio::test(start_paused = true)]`:
/// let scheduler = Scheduler::builder(TokioRuntime::current())
///     .task("sync", || tokio::time::sleep(Duration::from_secs(60)))
///     .build()?;
/// let mut synced = scheduler.events(EventMask::RUN_EXECUTED);
/// scheduler.add_job(JobSpec::new("sync", Interval::hours(1))).await?;
/// scheduler.start().await?;
///
/// tokio::time::sleep(Duration::from_secs(24 * 3600 + 120)).await; // A day, in milliseconds.
/// for _ in 0..24 {
///     synced.next().await.expect("the scheduler is running")?;
/// }
/// # Ok(())
/// # })
/// # }
/// ```
///
/// Time stands still while something outside of tokio is waited for that the scheduler knows of: a store that
/// answers from another thread, and a blocking task on whichever executor. A store that goes by its server's clock
/// cannot share this time; a scheduler with such a store is not built, and the error says what to do. A clock that is paused
/// later does not reach the scheduler.
#[derive(Debug, Clone)]
pub struct TokioRuntime {
    handle: Handle,
    paused: Option<PausedClock>,
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
        Ok(Self { handle: own.handle().clone(), paused: None, _own: Some(Arc::new(Own(Some(own)))) })
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

    /// The runtime that this code runs in, whose clock is paused, with a wall clock that shows this time now: for tests of
    /// schedules, which are to go the same way each day.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use scheduler_runtime::Runtime;
    /// use scheduler_tokio::TokioRuntime;
    ///
    /// # let tokio = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    /// # tokio.block_on(async {
    /// let runtime = TokioRuntime::paused_at("2026-12-24T17:59:00Z".parse().unwrap());
    /// tokio::time::sleep(Duration::from_secs(60)).await;
    /// assert_eq!(runtime.now().utc.to_rfc3339(), "2026-12-24T18:00:00+00:00");
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, and if its clock is not paused.
    #[must_use]
    #[track_caller]
    pub fn paused_at(utc: DateTime<Utc>) -> Self {
        let mut current = Self::current();
        let paused = current.paused.as_mut().expect(
            "TokioRuntime::paused_at is called where tokio's clock is paused, as by #[tokio::test(start_paused = true)]",
        );
        paused.set_wall_clock(utc);
        current
    }

    /// The runtime that this code runs in, if it runs in one.
    #[must_use]
    pub fn try_current() -> Option<Self> {
        Handle::try_current().ok().map(Self::from)
    }

    /// Runs any future to its end on the calling thread and gives what comes of it: what a program without async has to await,
    /// as the connection to a store.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = scheduler_tokio::TokioRuntime::new()?;
    /// assert_eq!(runtime.block_on(async { 6 * 7 }), 42);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the future panics, and when called from async code, as [`Runtime::block_on`] does.
    #[track_caller]
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut result = None;
        Runtime::block_on(self, Box::pin(async { result = Some(future.await) }));
        result.expect("block_on returns when its future has ended")
    }
}

impl From<Handle> for TokioRuntime {
    /// The runtime behind `handle`. The value does not keep it alive.
    fn from(handle: Handle) -> Self {
        let paused = PausedClock::of(&handle);
        Self { handle, paused, _own: None }
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Now {
        match &self.paused {
            None => scheduler_runtime::SystemClock::now(),
            Some(paused) => paused.now(&self.handle),
        }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        match &self.paused {
            None => Box::pin(Sleep::new(duration)),
            Some(paused) => paused.sleep(&self.handle, duration),
        }
    }

    fn is_time_virtual(&self) -> bool {
        self.paused.is_some()
    }

    fn hold_time(&self) -> Option<Box<dyn Send>> {
        self.paused.as_ref().map(|paused| Box::new(paused.hold(&self.handle)) as _)
    }

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

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
