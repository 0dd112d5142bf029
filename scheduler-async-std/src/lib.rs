//! apscheduler on async-std.
//!
//! async-std is discontinued. New code is better off with `scheduler-smol`, which runs on the same
//! reactor.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;

use async_std::task;
use scheduler_runtime::{BlockingPool, BoxFuture, Runtime};

/// Runs schedulers on async-std's global executor.
///
/// It has a thread per core, or as many as the environment variable `ASYNC_STD_THREAD_COUNT` says.
/// Futures that were spawned stay when this value is dropped, since the executor stays. Blocking work
/// runs in threads of the scheduler's own, at most [512](BlockingPool::DEFAULT_LIMIT) in the process:
/// those of async-std wake twice a second for as long as the process lives.
///
/// ```
/// use scheduler_runtime::Runtime;
/// use scheduler_async_std::AsyncStdRuntime;
///
/// AsyncStdRuntime.block_on(Box::pin(async {
///     async_std::task::sleep(std::time::Duration::ZERO).await;
/// }));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AsyncStdRuntime;

impl AsyncStdRuntime {
    /// Runs any future to its end on the calling thread and gives what comes of it: what a program without async has to await,
    /// as the connection to a store.
    ///
    /// ```
    /// assert_eq!(scheduler_async_std::AsyncStdRuntime.block_on(async { 6 * 7 }), 42);
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

impl Runtime for AsyncStdRuntime {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        task::spawn(future);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        static POOL: OnceLock<BlockingPool> = OnceLock::new();
        POOL.get_or_init(BlockingPool::default).run(work);
    }

    /// Runs a future to its end on the calling thread, which handles async-std's I/O meanwhile.
    ///
    /// From inside of async code this works but holds up the thread; if all threads are held up by waits for
    /// other spawned futures, they wait for ever. Await there instead.
    ///
    /// # Panics
    ///
    /// If `future` panics.
    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        task::block_on(future);
    }
}

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
