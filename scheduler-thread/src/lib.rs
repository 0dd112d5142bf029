//! apscheduler on plain OS threads, without an async runtime.

use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::thread;

use futures_executor::ThreadPool;
use futures_util::FutureExt as _;
use scheduler_runtime::runtime::{BlockingPool, BoxFuture, Runtime};

/// Runs schedulers on plain OS threads.
///
/// A few worker threads, one per core by default, share all spawned futures, so that ten thousand
/// of them cost memory and no threads. Blocking work has threads of its own: at most
/// [512](BlockingPool::DEFAULT_LIMIT), started as needed, ended after ten idle seconds. No thread
/// wakes while there is nothing to do.
///
/// Clones share the threads. Dropping the last one waits for nothing and loses nothing: futures and
/// work already given to it run to their end, and the threads go with the last of them.
///
/// ```
/// use std::sync::mpsc;
///
/// use scheduler_runtime::runtime::Runtime;
/// use scheduler_thread::ThreadRuntime;
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = ThreadRuntime::new()?;
/// let (answer, answers) = mpsc::channel();
/// runtime.spawn(Box::pin(async move { answer.send(42).unwrap() }));
/// assert_eq!(answers.recv(), Ok(42));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ThreadRuntime {
    workers: ThreadPool,
    worker_threads: NonZeroUsize,
    blocking: BlockingPool,
}

impl ThreadRuntime {
    /// A runtime with a worker thread per core.
    ///
    /// # Errors
    ///
    /// If the system refuses threads.
    pub fn new() -> io::Result<Self> {
        Self::with_worker_threads(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// A runtime with this many threads that drive futures.
    ///
    /// One is enough for a scheduler whose tasks block, since those have threads of their own.
    ///
    /// # Errors
    ///
    /// If the system refuses threads.
    pub fn with_worker_threads(worker_threads: NonZeroUsize) -> io::Result<Self> {
        Ok(Self {
            workers: ThreadPool::builder().pool_size(worker_threads.get()).name_prefix("scheduler-worker-").create()?,
            worker_threads,
            blocking: BlockingPool::default(),
        })
    }
}

impl Runtime for ThreadRuntime {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        // Uncaught, a panic would end the worker thread for good.
        self.workers.spawn_ok(AssertUnwindSafe(future).catch_unwind().map(drop));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.blocking.run(work);
    }

    /// Runs a future to its end on the calling thread, which is parked while the future waits.
    ///
    /// # Panics
    ///
    /// If `future` panics, and when called from a future of this runtime or of `futures-executor`,
    /// whose thread must not wait: await the future there, or move the call to `spawn_blocking`.
    #[track_caller]
    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        assert!(
            futures_executor::enter().is_ok(),
            "ThreadRuntime::block_on was called from async code: await the future there, or call \
             from a plain thread or from spawn_blocking"
        );
        futures_executor::block_on(future);
    }
}

impl fmt::Debug for ThreadRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadRuntime")
            .field("worker_threads", &self.worker_threads)
            .field("blocking", &self.blocking)
            .finish()
    }
}
