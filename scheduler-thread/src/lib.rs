//! apscheduler on plain OS threads, without an async runtime.

use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use async_channel::Receiver;
use async_executor::Executor;
use scheduler_runtime::{BlockingPool, BoxFuture, Runtime};

/// Runs schedulers on plain OS threads.
///
/// A few worker threads, one per core by default, share all spawned futures, so that ten thousand
/// of them cost memory and no threads. Blocking work has threads of its own: at most
/// [512](BlockingPool::DEFAULT_LIMIT), started as needed, ended after ten idle seconds. No thread
/// wakes while there is nothing to do.
///
/// Clones share the threads. When the last is dropped, the futures are dropped where they stand and
/// the worker threads end, without being waited for; blocking work that was given to it runs to its
/// end.
///
/// ```
/// use std::sync::mpsc;
///
/// use scheduler_runtime::Runtime;
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
    workers: Arc<Workers>,
    blocking: BlockingPool,
}

struct Workers {
    executor: Arc<Executor<'static>>,
    threads: NonZeroUsize,
    /// Closed when this is dropped; each worker waits for that.
    _alive: async_channel::Sender<()>,
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
    pub fn with_worker_threads(threads: NonZeroUsize) -> io::Result<Self> {
        let executor = Arc::new(Executor::new());
        let (alive, end) = async_channel::bounded(1);
        for n in 1..=threads.get() {
            let executor = Arc::clone(&executor);
            let end = end.clone();
            thread::Builder::new().name(format!("scheduler-worker-{n}")).spawn(move || work(&executor, &end))?;
        }
        Ok(Self { workers: Arc::new(Workers { executor, threads, _alive: alive }), blocking: BlockingPool::default() })
    }

    /// Runs any future to its end on the calling thread and gives what comes of it: what a program without async has to await,
    /// as the connection to a store.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = scheduler_thread::ThreadRuntime::new()?;
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

impl Runtime for ThreadRuntime {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.workers.executor.spawn(future).detach();
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
            .field("worker_threads", &self.workers.threads)
            .field("blocking", &self.blocking)
            .finish()
    }
}

fn work(executor: &Executor<'_>, end: &Receiver<()>) {
    let _ = futures_executor::block_on(executor.run(end.recv()));
}

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
