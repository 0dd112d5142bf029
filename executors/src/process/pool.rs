//! The executor with processes of its own.

use std::{
    ffi::OsString,
    fmt, mem,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use futures_lite::future;
use scheduler_core::{BoxFuture, CancellationToken, Dispatch, Executor, Outcome};

use super::{
    wire::{self, Order, ToWorker},
    worker::{Attempt, Options, Worker},
};
use crate::{ThreadPool, handoff::Dropped};

/// Runs tasks in worker processes: work that may crash, leak or be killed, and work that needs the processors for itself.
///
/// A worker is this program once more, which calls [`serve`](super::serve) first in `main` and goes no further. A job's
/// arguments go to it as JSON, and so does the result come back. Both async and blocking tasks run in a worker, one at a
/// time; see [`serve_with`](super::serve_with) for those that need a runtime around them.
///
/// A worker that dies, by a signal, by `exit` or for want of memory, ends its run as [`Outcome::Crashed`], is replaced when
/// the next run needs it, and disturbs no other run. A run that is cancelled or too late has the
/// [`grace`](Self::grace) to end by itself, as its token tells it; then its worker is killed with all that it has started.
/// Dropping the future of a run kills the worker at once.
///
/// Workers start when they are first needed and stay until the pool is dropped. Dropping it returns at once; what runs and
/// is still waited for ends as it would, and the workers end with it. If the pool's process dies, each worker cancels
/// what it runs, and ends after the grace at the latest.
///
/// It runs on any runtime: for each worker there is a thread that talks to it, so that a scheduler's own threads
/// neither start a process nor read a large result. It is there on Unix only.
///
/// In a test, where `main` is not yours, a test of its own serves: `#[test] fn worker() { process::serve(tasks()) }`,
/// with `ProcessPool::new().args(["--exact", "worker", "--nocapture"])`.
///
/// ```no_run
/// use scheduler_core::Executor;
/// use scheduler_executors::{blocking, process, process::ProcessPool};
///
/// process::serve([blocking("square", |n: u64| n * n)]); // workers do not get any further
/// let executor: Box<dyn Executor> = Box::new(ProcessPool::new().workers(4).runs_per_worker(1_000));
/// ```
#[derive(Debug)]
#[doc(alias = "ProcessPoolExecutor")]
pub struct ProcessPool {
    workers: NonZeroUsize,
    threads: ThreadPool,
    options: Arc<Options>,
    idle: Arc<Idle>,
}

impl ProcessPool {
    /// A pool with the defaults of the methods below.
    pub fn new() -> Self {
        let options = Options {
            program: None,
            args: Vec::new(),
            env: Vec::new(),
            runs_per_worker: None,
            memory_limit: None,
            grace: Duration::from_secs(1),
            start_timeout: Duration::from_secs(10),
        };
        let pool = Self {
            workers: NonZeroUsize::MIN,
            threads: ThreadPool::new().named("apscheduler-worker"),
            options: Arc::new(options),
            idle: Arc::default(),
        };
        pool.workers(thread::available_parallelism().map_or(1, NonZeroUsize::get))
    }

    /// At most this many workers, and at least one: 0 counts as 1. Defaults to the number of processors: more workers would only share
    /// them, and each costs the memory of a process. APScheduler has 10 on any machine.
    #[doc(alias = "max_workers")]
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN);
        self.threads = mem::take(&mut self.threads).threads(self.workers.get());
        self
    }

    /// After how many runs a worker is replaced, at least one (0 counts as 1): for tasks that leave something behind. Defaults to never.
    #[doc(alias = "max_tasks_per_child")]
    #[must_use]
    pub fn runs_per_worker(self, runs: u64) -> Self {
        self.with(|options| options.runs_per_worker = Some(runs.max(1)))
    }

    /// How many bytes of memory each worker may map; one that has too few to start says so when it is needed. Defaults to no
    /// limit.
    ///
    /// What is counted is the address space, as `RLIMIT_AS` does: the program itself, stacks, and what the allocator keeps
    /// in reserve, so that a small program begins at about 100 MiB. An allocation beyond it fails, which usually aborts the worker.
    /// Under Linux a worker that has come to three quarters of it is replaced after its run, so that a slow leak ends no
    /// run. macOS does not heed the limit.
    #[must_use]
    pub fn memory_limit(self, bytes: u64) -> Self {
        self.with(|options| options.memory_limit = Some(bytes))
    }

    /// How long a cancelled run may go on before its worker is killed; with zero it is killed at once. Defaults to one
    /// second: enough to clean up, and little for those who wait for the slot.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        self.with(|options| options.grace = grace)
    }

    /// How long a new worker has to get to [`serve`](super::serve). Defaults to ten seconds, which even a large program on a
    /// busy machine does not need.
    #[must_use]
    pub fn start_timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.start_timeout = timeout)
    }

    /// Sets an environment variable of the workers, beside those of this process.
    #[must_use]
    pub fn env(self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.with(|options| options.env.push((name.into(), value.into())))
    }

    /// Arguments of the workers' command line. Defaults to none.
    #[must_use]
    pub fn args(self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.with(|options| options.args = args.into_iter().map(Into::into).collect())
    }

    /// The workers' program, which calls [`serve`](super::serve) with the same tasks, and is built with the same version of
    /// this crate. Defaults to the program of this process.
    #[must_use]
    pub fn program(self, program: impl Into<PathBuf>) -> Self {
        self.with(|options| options.program = Some(program.into()))
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(Arc::make_mut(&mut self.options));
        self
    }
}

impl Default for ProcessPool {
    fn default() -> Self {
        Self::new()
    }
}

impl Executor for ProcessPool {
    fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
        let (options, idle) = (self.options.clone(), self.idle.clone());
        let conduct = move |dispatch, dropped: Dropped<'_>| {
            // This thread waits for its worker's socket itself, where another `block_on` would have a second one do it.
            async_io::block_on(future::or(conduct(dispatch, &options, &idle), dropped))
        };
        self.threads.start_with(conduct, dispatch)
    }

    fn limit(&self) -> Option<NonZeroUsize> {
        Some(self.workers)
    }
}

impl Drop for ProcessPool {
    fn drop(&mut self) {
        self.idle.close();
    }
}

/// Runs a task in a worker, on the thread that is this run's.
async fn conduct(dispatch: Dispatch, options: &Options, idle: &Idle) -> Outcome {
    let cancellation = dispatch.context.cancellation.clone();
    if cancellation.is_cancelled() {
        return Outcome::Cancelled;
    }
    let order = match wire::frame(&ToWorker::Run(Box::new(Order::new(dispatch)))) {
        Ok(order) => order,
        Err(error) => return Outcome::Error(format!("the run cannot be given to a worker: {error}")),
    };
    while let Some(mut worker) = idle.take() {
        match worker.run(&order, &cancellation, options).await {
            Attempt::Ended(outcome) => {
                idle.keep(worker, options);
                return outcome;
            }
            Attempt::Died(outcome) => return outcome,
            Attempt::Unread(_) => {} // It had died while it was idle, which costs no run.
        }
    }
    let Some(started) = start(&cancellation, options, idle).await else { return Outcome::Cancelled };
    let mut worker = match started {
        Ok(worker) => worker,
        Err(error) => return Outcome::Error(format!("no worker process: {error}")),
    };
    match worker.run(&order, &cancellation, options).await {
        Attempt::Ended(outcome) => {
            idle.keep(worker, options);
            outcome
        }
        Attempt::Died(outcome) => outcome,
        Attempt::Unread(death) => Outcome::Crashed(format!("its worker ended with {death} before it took the run")),
    }
}

/// A new worker, or why there is none; nothing if the run is cancelled meanwhile.
async fn start(cancellation: &CancellationToken, options: &Options, idle: &Idle) -> Option<Result<Worker, String>> {
    if let Some(error) = idle.failure() {
        return Some(Err(error));
    }
    let cancelled = async {
        cancellation.cancelled().await;
        None
    };
    let started = future::or(async { Some(Worker::start(options).await) }, cancelled).await?;
    idle.note(started.as_ref().err());
    Some(started)
}

/// The workers that have nothing to do, and whether new ones can be had.
#[derive(Default)]
struct Idle(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    workers: Vec<Worker>,
    failure: Option<Failure>,
    is_closed: bool,
}

/// Why the last worker did not start. Until the pause is over, runs fail for the same reason: a program that cannot serve
/// is not started over and over.
struct Failure {
    error: String,
    pause: Duration,
    since: Instant,
}

/// The pause after the first failure: next to nothing, as it may be a matter of the moment.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// The pause after many failures, which has doubled with each.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Idle {
    /// The worker that was busy last, whose memory is still at hand.
    fn take(&self) -> Option<Worker> {
        self.lock().workers.pop()
    }

    /// Keeps a worker for the next run, unless it has done enough.
    fn keep(&self, worker: Worker, options: &Options) {
        let mut waiting = self.lock();
        if !waiting.is_closed && !worker.is_worn(options) {
            waiting.workers.push(worker);
        }
    }

    /// Lets go of the workers, which end by themselves.
    fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        waiting.workers.clear();
    }

    fn failure(&self) -> Option<String> {
        let waiting = self.lock();
        let failure = waiting.failure.as_ref()?;
        (failure.since.elapsed() < failure.pause).then(|| failure.error.clone())
    }

    #[expect(clippy::disallowed_methods, reason = "processes start in real time, whatever the runtime's clock says")]
    fn note(&self, error: Option<&String>) {
        let mut waiting = self.lock();
        waiting.failure = error.map(|error| Failure {
            error: error.clone(),
            pause: waiting.failure.as_ref().map_or(SHORTEST_PAUSE, |last| (last.pause * 2).min(LONGEST_PAUSE)),
            since: Instant::now(),
        });
    }

    /// No user's code runs under the lock, so that poison says nothing.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.lock();
        f.debug_struct("Idle")
            .field("workers", &waiting.workers.len())
            .field("failure", &waiting.failure.as_ref().map(|failure| &failure.error))
            .field("is_closed", &waiting.is_closed)
            .finish()
    }
}
