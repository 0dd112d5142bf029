//! A great many runs through each executor: each outcome arrives, and nothing is left in memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use apscheduler::{
    Builder, EventKind, EventMask, JobSpec, Scheduler, ShutdownMode, TokioRuntime,
    executors::{
        Inline, Spawn, ThreadPool, blocking,
        process::{self, ProcessPool},
    },
};
use peak_alloc::PeakAlloc;
use test_support::repeats;
use tokio::{runtime::Runtime, sync::mpsc, time::timeout};

/// Counts what is allocated. What the system says of a process also has what its allocator keeps for later, which grows by
/// megabytes as threads come and go.
#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// How many batches of runs an executor gets. `scheduler-bench executor` has a million runs.
fn batches() -> usize {
    repeats(15, 50) as usize
}

const BATCH: usize = 2_000;

/// By how much what is allocated may grow after the first third of the runs: by the jobs of a batch that are not deleted yet. Were
/// anything left of each run, it would be more, even if that were 16 bytes in all of them, or 53 in a sample.
const GROWTH: usize = 1 << 20;

/// Nothing ends for so long: the test has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Tests that measure the memory of their process are run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn spawned_async_tasks() {
    of_builder(|builder| builder.task("tick", || async {}));
}

/// As many threads throughout, since each takes memory.
#[test]
fn spawned_blocking_tasks() {
    of_builder(|builder| builder.executor("default", Spawn::new().limit(4)).blocking_task("tick", || {}));
}

#[test]
fn a_thread_pool() {
    of_builder(|builder| builder.executor("default", ThreadPool::new().threads(4)).blocking_task("tick", || {}));
}

/// What the workers of the next test come to.
#[test]
fn worker() {
    process::serve([blocking("tick", || {})]);
}

#[test]
fn a_process_pool() {
    let pool = ProcessPool::new().workers(2).args(["--exact", "worker"]);
    of_builder(|builder| builder.executor("default", pool).blocking_task("tick", || {}));
}

#[test]
fn in_place() {
    of_builder(|builder| builder.executor("default", Inline::new()).task("tick", || async {}));
}

#[test]
fn a_local_scheduler() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Runtime::new().unwrap();
    let inside = runtime.enter();
    let (builder, ends) = listen(Scheduler::builder(TokioRuntime::current()));
    drop(inside);
    let scheduler = builder.local().unwrap();
    scheduler.task("tick", || async {}).unwrap();
    scheduler.block_on(run(&scheduler.handle(), ends));
}

fn of_builder(prepare: impl FnOnce(Builder) -> Builder) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let (builder, ends) = listen(prepare(Scheduler::builder(TokioRuntime::current())));
        run(&builder.build().unwrap(), ends).await;
    });
}

/// What has been told of the runs.
struct Ends {
    ok: Arc<AtomicUsize>,
    /// One for each run that ended, however.
    told: mpsc::UnboundedReceiver<()>,
}

fn listen(builder: Builder) -> (Builder, Ends) {
    let (tell, told) = mpsc::unbounded_channel();
    let ok: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&ok);
    let ends = EventMask::RUN_EXECUTED | EventMask::RUN_ERROR | EventMask::RUN_CANCELLED | EventMask::RUN_LOST;
    let builder = builder.listener(ends, move |event| {
        if matches!(event.kind, EventKind::RunExecuted { .. }) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        tell.send(()).unwrap();
    });
    (builder, Ends { ok, told })
}

async fn run(scheduler: &Scheduler, mut ends: Ends) {
    scheduler.start().await.unwrap();
    let mut early = None;
    let batches = batches();
    for batch in 1..=batches {
        // A job that is over stays known for a while, unless it says so.
        let job = || JobSpec::now("tick").retention(Duration::ZERO);
        for added in scheduler.add_jobs((0..BATCH).map(|_| job()).collect()).await {
            added.unwrap();
        }
        for _ in 0..BATCH {
            timeout(DEADLINE, ends.told.recv()).await.unwrap().unwrap();
        }
        if early.is_none() && batch >= batches / 3 {
            early = Some(ALLOCATED.current_usage());
        }
    }
    let (early, late) = (early.unwrap(), ALLOCATED.current_usage());
    timeout(DEADLINE, scheduler.shutdown(ShutdownMode::Wait)).await.unwrap().unwrap();
    assert_eq!(ends.ok.load(Ordering::Relaxed), batches * BATCH);
    assert!(late <= early + GROWTH, "{early} bytes after a third of the runs, {late} bytes at the end");
}
