//! Runs through an executor, from added to ended, in batches: how fast, whether each outcome arrives, and whether memory
//! grows.
//!
//! Each job is a one-shot for a store in memory, so that nothing but the executor and the scheduler is at work. Memory is
//! what the process has resident after the first tenth of the runs, and at the end.

use apscheduler::{
    Builder, EventKind, EventMask, JobSpec, Scheduler, ShutdownMode, TokioRuntime,
    executors::{Inline, Spawn, ThreadPool},
};
#[cfg(unix)]
use apscheduler::{
    Task,
    executors::{blocking, process},
};
use figures::{Flags, Line, cpu_seconds, resident_bytes};
use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// How many jobs are added at once.
const BATCH: usize = 5_000;

/// What one measurement does.
struct Work {
    executor: String,
    /// How many runs.
    n: usize,
}

pub(crate) fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let work = Work { executor: flags.text("executor", "spawn").to_owned(), n: flags.number("n", 1_000_000) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _inside = runtime.enter();
    let builder = Scheduler::builder(TokioRuntime::current());
    if work.executor == "local" {
        let (builder, ends) = work.listen(builder);
        let scheduler = builder.local()?;
        scheduler.task("tick", || async {})?;
        return scheduler.block_on(work.measure(&scheduler.handle(), ends));
    }
    let builder = match work.executor.as_str() {
        "spawn" => builder.executor("default", Spawn::new()).task("tick", || async {}),
        "blocking" => builder.executor("default", Spawn::new()).blocking_task("tick", || {}),
        "thread-pool" => builder.executor("default", ThreadPool::new()).blocking_task("tick", || {}),
        #[cfg(unix)]
        "process-pool" => builder.executor("default", process::ProcessPool::new()).register(tick()),
        "commands" => {
            let commands = process::Commands::new();
            let program = commands.program("tick", process::CommandLine::new("/bin/true"));
            builder.executor("default", commands).register(program)
        }
        "inline" => builder.executor("default", Inline::new()).task("tick", || async {}),
        other => return Err(format!("unknown executor `{other}`").into()),
    };
    let (builder, ends) = work.listen(builder);
    let scheduler = builder.build()?;
    runtime.block_on(work.measure(&scheduler, ends))
}

/// Serves the runs, in a worker of the process pool.
#[cfg(unix)]
pub(crate) fn serve() {
    process::serve([tick()]);
}

#[cfg(unix)]
fn tick() -> Task {
    blocking("tick", || {})
}

/// What has been told of the runs.
struct Ends {
    ok: Arc<AtomicUsize>,
    /// One for each run that ended, however.
    told: mpsc::UnboundedReceiver<()>,
}

impl Work {
    fn listen(&self, builder: Builder) -> (Builder, Ends) {
        let (tell, told) = mpsc::unbounded_channel();
        let ok: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&ok);
        let ends = EventMask::RUN_EXECUTED | EventMask::RUN_ERROR | EventMask::RUN_CANCELLED | EventMask::RUN_LOST;
        let builder = builder.listener(ends, move |event| {
            if matches!(event.kind, EventKind::RunExecuted { .. }) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            // The receiver is gone after the end.
            _ = tell.send(());
        });
        (builder, Ends { ok, told })
    }

    #[expect(clippy::disallowed_methods, reason = "it is what is measured")]
    async fn measure(&self, scheduler: &Scheduler, mut ends: Ends) -> Result<(), Box<dyn Error>> {
        scheduler.start().await?;
        let (began, cpu) = (Instant::now(), cpu_seconds());
        let (mut done, mut early) = (0, None);
        while done < self.n {
            let batch = BATCH.min(self.n - done);
            for added in scheduler.add_jobs((0..batch).map(|_| JobSpec::now("tick")).collect()).await {
                added?;
            }
            for _ in 0..batch {
                ends.told.recv().await.ok_or("the scheduler has gone")?;
            }
            done += batch;
            if early.is_none() && done >= self.n / 10 {
                early = Some(resident_bytes()? / 1_024);
            }
        }
        let (took, cpu) = (began.elapsed(), cpu_seconds() - cpu);
        let late = resident_bytes()? / 1_024;
        scheduler.shutdown(ShutdownMode::Wait).await?;
        self.report(took, cpu, ends.ok.load(Ordering::Relaxed), early.unwrap_or(late), late);
        Ok(())
    }

    fn report(&self, took: Duration, cpu: f64, ok: usize, early: usize, late: usize) {
        Line::new("executor", "ours")
            .text("executor", &self.executor)
            .int("n", self.n)
            .int("ok", ok)
            .num("runs_per_s", self.n as f64 / took.as_secs_f64())
            .num("cpu_s", cpu)
            .int("rss_kb_after_a_tenth", early)
            .int("rss_kb_at_the_end", late)
            .print();
    }
}
