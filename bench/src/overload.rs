//! More runs than the machine can do: what becomes of the fire times.
//!
//! Interval jobs of a second, their phases spread over it, in memory, whose task does nothing, beside threads that keep
//! the machine's cores busy. A scheduler that is behind is late, and coalesces what it has not come to; it skips nothing,
//! since no run overlaps the next.

use apscheduler::{
    Builder, Event, EventKind, EventMask, JobSpec, RunContext, Scheduler, ShutdownMode, TokioRuntime, trigger::Interval,
};
use chrono::{TimeDelta, Utc};
use figures::{Flags, Line, cpu_seconds, quantile};
use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// How many jobs are added at once.
const BATCH: usize = 5_000;

/// In how long the first job is due, so that all have been added by then.
const LEAD: TimeDelta = TimeDelta::seconds(5);

pub(crate) fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let (n, seconds) = (flags.number("n", 100_000), flags.number("seconds", 15));
    let threads = flags.number("threads", 2).max(1);
    let is_over = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..flags.number("busy", 2)).map(|_| keep_busy(Arc::clone(&is_over))).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let _inside = runtime.enter();
    let counts = Arc::new(Counts::default());
    let told = Arc::clone(&counts);
    let builder = Scheduler::builder(TokioRuntime::current()).listener(EventMask::ALL, move |event| told.count(event));
    let cpu = cpu_seconds();
    if flags.number("local", 0) > 0 {
        let scheduler = builder.local()?;
        let late = Arc::clone(&counts);
        scheduler.task("tick", move |context| late.start(&context))?;
        scheduler.block_on(measure(&scheduler.handle(), n, seconds))?;
    } else {
        let scheduler = with_task(builder, &counts).build()?;
        runtime.block_on(measure(&scheduler, n, seconds))?;
    }
    let cpu = cpu_seconds() - cpu;
    is_over.store(true, Ordering::Relaxed);
    for thread in busy {
        thread.join().map_err(|_| "a busy thread panicked")?;
    }
    counts.report(n, seconds, cpu);
    Ok(())
}

fn with_task(builder: Builder, counts: &Arc<Counts>) -> Builder {
    let late = Arc::clone(counts);
    builder.task("tick", move |context| late.start(&context))
}

async fn measure(scheduler: &Scheduler, n: usize, seconds: usize) -> Result<(), Box<dyn Error>> {
    let base = Utc::now() + LEAD;
    for first in (0..n).step_by(BATCH) {
        let specs = (first..(first + BATCH).min(n)).map(|at| {
            let phase = TimeDelta::microseconds((at as i64 * 1_000_000) / n as i64);
            let spec = JobSpec::new("tick", Interval::seconds(1).starting_at(base + phase));
            spec.id(format!("job-{at:08}"))
        });
        for added in scheduler.add_jobs(specs.collect()).await {
            added?;
        }
    }
    scheduler.start().await?;
    let until = base + TimeDelta::seconds(seconds as i64);
    tokio::time::sleep((until - Utc::now()).to_std().unwrap_or(Duration::ZERO)).await;
    scheduler.shutdown(ShutdownMode::Wait).await?;
    Ok(())
}

fn keep_busy(is_over: Arc<AtomicBool>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    })
}

/// What has become of the fire times.
#[derive(Default)]
struct Counts {
    executed: AtomicUsize,
    skipped: AtomicUsize,
    coalesced: AtomicUsize,
    others: AtomicUsize,
    late_ms: Mutex<Vec<f64>>,
}

impl Counts {
    fn start(&self, context: &RunContext) -> std::future::Ready<()> {
        let micros = (Utc::now() - context.fire_time).num_microseconds().unwrap_or(i64::MAX);
        self.late_ms.lock().expect("nothing panics while it holds the list").push(micros as f64 / 1_000.0);
        std::future::ready(())
    }

    fn count(&self, event: &Event) {
        let (count, run) = match &event.kind {
            EventKind::RunExecuted { run, .. } => (&self.executed, run),
            EventKind::RunSkipped(run) => (&self.skipped, run),
            EventKind::RunCoalesced(run) => (&self.coalesced, run),
            EventKind::RunMissed(run) | EventKind::RunTakenAway(run) | EventKind::RunError { run, .. } => {
                (&self.others, run)
            }
            _ => return,
        };
        count.fetch_add(run.count.unwrap_or(1) as usize, Ordering::Relaxed);
    }

    fn report(&self, n: usize, seconds: usize, cpu: f64) {
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let all = of(&self.executed) + of(&self.skipped) + of(&self.coalesced) + of(&self.others);
        let mut late = std::mem::take(&mut *self.late_ms.lock().expect("nothing panics while it holds the list"));
        Line::new("overload", "ours")
            .int("n", n)
            .int("seconds", seconds)
            .int("executed", of(&self.executed))
            .int("skipped", of(&self.skipped))
            .int("coalesced", of(&self.coalesced))
            .int("others", of(&self.others))
            .num("skipped_percent", 100.0 * of(&self.skipped) as f64 / all.max(1) as f64)
            .num("runs_per_s", of(&self.executed) as f64 / seconds as f64)
            .num("late_ms_p50", quantile(&mut late, 0.5))
            .num("late_ms_p99", quantile(&mut late, 0.99))
            .num("late_ms_max", quantile(&mut late, 1.0))
            .num("cpu_s", cpu)
            .print();
    }
}
