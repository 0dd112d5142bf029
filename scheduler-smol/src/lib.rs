//! apscheduler on smol.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;

use scheduler_runtime::{BlockingPool, BoxFuture, Runtime};

/// Runs schedulers on smol's global executor.
///
/// smol has one thread for it by default; the environment variable `SMOL_THREADS` asks for more.
/// Futures that were spawned stay when this value is dropped, since the executor stays. Blocking work
/// runs in threads of the scheduler's own, at most [512](BlockingPool::DEFAULT_LIMIT) in the process:
/// those of `smol::unblock` wake twice a second for as long as the process lives.
///
/// ```
/// use scheduler_runtime::Runtime;
/// use scheduler_smol::SmolRuntime;
///
/// SmolRuntime.block_on(Box::pin(async {
///     smol::future::yield_now().await;
/// }));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SmolRuntime;

impl SmolRuntime {
    /// Runs any future to its end on the calling thread and gives what comes of it: what a program without async has to await,
    /// as the connection to a store.
    ///
    /// ```
    /// assert_eq!(scheduler_smol::SmolRuntime.block_on(async { 6 * 7 }), 42);
    /// ```
    ///
    /// # Panics
    ///
    /// If the future panics.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut result = None;
        Runtime::block_on(self, Box::pin(async { result = Some(future.await) }));
        result.expect("block_on returns when its future has ended")
    }
}

impl Runtime for SmolRuntime {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        smol::spawn(future).detach();
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        static POOL: OnceLock<BlockingPool> = OnceLock::new();
        POOL.get_or_init(BlockingPool::default).run(work);
    }

    /// Runs a future to its end on the calling thread, which handles smol's I/O meanwhile.
    ///
    /// From inside of async code this works but holds up the thread: with smol's one thread, a future that
    /// waits for another spawned one then waits for ever. Await it there instead.
    ///
    /// # Panics
    ///
    /// If `future` panics.
    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        smol::block_on(future);
    }
}

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
