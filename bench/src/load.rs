//! A whole scheduler in one process, through its public interface: what it costs to add jobs, to fire them, to do nothing and to
//! catch up. Flags and figures are those of the programs that measure bare timers and other schedulers.
//!
//! ```text
//! add       far-future intervals, as fast as they are taken
//! fire      intervals of a second, their phases spread over it (`--phases same`: all in one instant)
//! burst     one-shots that are due in one instant
//! idle      intervals of an hour that are due in an hour
//! catch-up  hourly jobs that were left 72 hours ago, beside `--on-time` jobs of a second
//! ```

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use apscheduler::{
    AsyncStdRuntime, Builder, Coalesce, EventKind, EventMask, JobSpec, RunContext, Scheduler, SmolRuntime,
    ThreadRuntime, TokioRuntime,
    executors::{Inline, Spawn},
    trigger::{Date, Interval},
};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use figures::{Flags, Lateness, Line, context_switches, cpu_seconds, pause, resident_bytes, seconds, sleep_until};

use crate::store::StoreAddress;

/// A measurement in which nothing has run for so long is over.
const GIVE_UP: TimeDelta = TimeDelta::seconds(3);

/// What one measurement does.
struct Work {
    name: String,
    n: usize,
    secs: usize,
    lead: usize,
    /// How many jobs are added by one call.
    batch: usize,
    is_spread: bool,
    /// For `catch-up`: how many jobs of a second are on time.
    on_time: usize,
    address: StoreAddress,
    executor: String,
    runtime: String,
    threads: usize,
}

/// `--work` is the first argument.
pub(crate) fn run(name: &str, flags: &Flags) -> Result<(), Box<dyn Error>> {
    let work = Work {
        name: name.to_owned(),
        n: flags.number("n", 10_000).max(1),
        secs: flags.number("secs", 10),
        lead: flags.number("lead", 3),
        batch: flags.number("batch", 1_000).max(1),
        is_spread: flags.text("phases", "distinct") != "same",
        on_time: flags.number("on-time", 1_000),
        address: StoreAddress::or_memory(flags)?,
        executor: flags.text("executor", "spawn").to_owned(),
        runtime: flags.text("runtime", "tokio").to_owned(),
        threads: flags.number("threads", 2).max(1),
    };
    match work.runtime.as_str() {
        "tokio" => {
            let mut tokio = tokio::runtime::Builder::new_multi_thread();
            let tokio = tokio.worker_threads(work.threads).enable_all().build()?;
            tokio.block_on(async { work.measure(Scheduler::builder(TokioRuntime::current())).await })
        }
        "smol" => SmolRuntime.block_on(work.measure(Scheduler::builder(SmolRuntime))),
        "async-std" => AsyncStdRuntime.block_on(work.measure(Scheduler::builder(AsyncStdRuntime))),
        "thread" => {
            let runtime = ThreadRuntime::new()?;
            runtime.clone().block_on(work.measure(Scheduler::builder(runtime)))
        }
        other => Err(format!("--runtime {other}: there are tokio, smol, async-std, thread").into()),
    }
}

impl Work {
    async fn measure(&self, builder: Builder) -> Result<(), Box<dyn Error>> {
        let late = Arc::new(Lateness::new(self.expected() + self.expected() / 2 + 1_000));
        let told = Arc::new(Told::default());
        let scheduler = self.build(builder, &late, &told).await?;
        if self.name == "catch-up" {
            return self.catch_up(&scheduler, &late, &told).await;
        }
        scheduler.start().await?;
        let whole = Utc::now().duration_trunc(TimeDelta::seconds(1))? + TimeDelta::seconds(1);
        let first = whole + TimeDelta::seconds(self.lead as i64);
        if self.name == "burst" {
            late.watch(DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
        }
        let (before, began) = (resident_bytes()?, Utc::now());
        self.add(&scheduler, self.n, |at| self.spec(at, whole, first)).await?;
        let (added, bytes) = (Utc::now(), resident_bytes()?.saturating_sub(before));
        let line = self
            .line()
            .num("adds_per_s", self.n as f64 / seconds(added - began))
            .num("bytes_per_schedule", bytes as f64 / self.n as f64);
        match self.name.as_str() {
            "fire" => self.fire(line, first.max(added.duration_trunc(TimeDelta::seconds(1))?), &late, &told),
            "burst" => self.burst(line, first, added, &late),
            "idle" => self.idle(line),
            _ => line.print(),
        }
        Ok(())
    }

    /// How many runs are counted.
    fn expected(&self) -> usize {
        match self.name.as_str() {
            "fire" => self.n * self.secs,
            "burst" => self.n,
            "catch-up" => self.on_time * (self.secs + 5),
            _ => 0,
        }
    }

    async fn build(
        &self,
        builder: Builder,
        late: &Arc<Lateness>,
        told: &Arc<Told>,
    ) -> Result<Scheduler, Box<dyn Error>> {
        let (noted, counted) = (Arc::clone(late), Arc::clone(told));
        let task = move |context: RunContext| {
            noted.note(context.fire_time);
            std::future::ready(())
        };
        let builder = builder.task("tick", task).task("old", || std::future::ready(()));
        // A listener for what goes wrong: it hears nothing while all goes well.
        let builder =
            builder.listener(EventMask::RUN_SKIPPED | EventMask::RUN_COALESCED | EventMask::RUN_MISSED, move |event| {
                counted.count(&event.kind);
            });
        let builder = match self.executor.as_str() {
            "spawn" => builder.executor("default", Spawn::new()),
            "inline" => builder.executor("default", Inline::new()),
            other => return Err(format!("--executor {other}: there are spawn, inline").into()),
        };
        Ok(self.address.join(builder).await?.build()?)
    }

    fn spec(&self, at: usize, whole: DateTime<Utc>, first: DateTime<Utc>) -> JobSpec {
        let of_second = TimeDelta::microseconds(at as i64 * 1_000_000 / self.n as i64);
        match self.name.as_str() {
            "fire" if self.is_spread => JobSpec::new("tick", Interval::seconds(1).starting_at(first + of_second)),
            "fire" => JobSpec::new("tick", Interval::seconds(1).starting_at(first)),
            "burst" => JobSpec::new("tick", Date::at(first)),
            "idle" => JobSpec::new("tick", Interval::hours(1).starting_at(whole + TimeDelta::hours(1) + of_second)),
            _ => {
                // Within a day from tomorrow on, and not in order.
                let scatter = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
                let of_day = TimeDelta::microseconds((scatter % 86_400_000_000) as i64);
                JobSpec::new("tick", Interval::days(1).starting_at(whole + TimeDelta::days(1) + of_day))
            }
        }
    }

    async fn add(
        &self,
        scheduler: &Scheduler,
        count: usize,
        spec: impl Fn(usize) -> JobSpec,
    ) -> Result<(), Box<dyn Error>> {
        if self.batch == 1 {
            for at in 0..count {
                scheduler.add_job(spec(at)).await?;
            }
            return Ok(());
        }
        for first in (0..count).step_by(self.batch) {
            let specs = (first..(first + self.batch).min(count)).map(&spec).collect();
            for added in scheduler.add_jobs(specs).await {
                added?;
            }
        }
        Ok(())
    }

    fn line(&self) -> Line {
        Line::new(&self.name, "ours")
            .text("store", self.address.name())
            .text("runtime", &self.runtime)
            .text("executor", &self.executor)
            .int("n", self.n)
            .int("batch", self.batch)
    }

    fn fire(&self, line: Line, begin: DateTime<Utc>, late: &Lateness, told: &Told) {
        let from = begin + TimeDelta::seconds(2);
        let to = from + TimeDelta::seconds(self.secs as i64);
        late.watch(from, to);
        sleep_until(from);
        let (cpu, switches) = (cpu_seconds(), context_switches());
        sleep_until(to);
        let (cpu, switches) = (cpu_seconds() - cpu, context_switches() - switches);
        // What was due just before the end may still be on its way.
        sleep_until(to + TimeDelta::milliseconds(100));
        let (runs, expected) = (late.count(), self.n * self.secs);
        line.text("phases", if self.is_spread { "distinct" } else { "same" })
            .int("runs", runs)
            .int("expected", expected)
            .num("ran_share", runs as f64 / expected as f64)
            .quantiles(&mut late.micros())
            .num("cpu_s", cpu)
            .num("cpu_us_per_run", cpu * 1e6 / runs as f64)
            .int("ctx_switches", switches)
            .int("skipped", told.skipped.load(Relaxed))
            .int("coalesced_or_missed", told.given_up.load(Relaxed))
            .print();
    }

    fn burst(&self, line: Line, first: DateTime<Utc>, added: DateTime<Utc>, late: &Lateness) {
        sleep_until(first - TimeDelta::milliseconds(1));
        let cpu = cpu_seconds();
        while late.count() < self.n && Utc::now() < late.last().unwrap_or(first).max(first) + GIVE_UP {
            pause(Duration::from_millis(20));
        }
        let (cpu, runs) = (cpu_seconds() - cpu, late.count());
        let took = seconds(late.last().unwrap_or(first) - first);
        line.text("late_setup", if added > first { "yes" } else { "no" })
            .int("runs", runs)
            .num("ran_share", runs as f64 / self.n as f64)
            .num("last_ms", took * 1e3)
            .num("runs_per_s", runs as f64 / took)
            .quantiles(&mut late.micros())
            .num("cpu_s", cpu)
            .print();
    }

    fn idle(&self, line: Line) {
        pause(Duration::from_secs(1));
        let (cpu, switches) = (cpu_seconds(), context_switches());
        pause(Duration::from_secs(self.secs as u64));
        // This thread's own sleep is one of them.
        let switches = (context_switches() - switches).saturating_sub(1);
        line.num("cpu_s", cpu_seconds() - cpu).int("ctx_switches", switches).print();
    }

    /// `n` hourly jobs that were to begin three days ago, which run once for all that they have missed, and jobs on time beside them.
    async fn catch_up(&self, scheduler: &Scheduler, late: &Lateness, told: &Told) -> Result<(), Box<dyn Error>> {
        let now = Utc::now().duration_trunc(TimeDelta::seconds(1))?;
        let left = now - TimeDelta::hours(72);
        let old = |at: usize| {
            let phase = TimeDelta::microseconds(at as i64 * 3_600_000_000 / self.n as i64);
            let spec = JobSpec::new("old", Interval::hours(1).starting_at(left + phase)).coalesce(Coalesce::Latest);
            spec.first_fire_time(left + phase)
        };
        self.add(scheduler, self.n, old).await?;
        let first = Utc::now().duration_trunc(TimeDelta::seconds(1))? + TimeDelta::seconds(self.lead as i64);
        let phase = |at: usize| TimeDelta::microseconds(at as i64 * 1_000_000 / self.on_time as i64);
        self.add(scheduler, self.on_time, |at| {
            JobSpec::new("tick", Interval::seconds(1).starting_at(first + phase(at)))
        })
        .await?;
        let ended = Arc::clone(&told.old_ended);
        let last_end: Arc<AtomicI64> = Arc::default();
        let (noted, jobs) = (Arc::clone(&last_end), self.n);
        scheduler.add_listener(EventMask::RUN_EXECUTED, move |event| {
            if let EventKind::RunExecuted { run, .. } = &event.kind
                && run.task == "old"
            {
                // Each of them has had one run for what it has missed, before those of the hour that goes on.
                if ended.fetch_add(1, Relaxed) + 1 == jobs {
                    noted.store(event.at.timestamp_micros(), Relaxed);
                }
            }
        });
        late.watch(first, first + TimeDelta::seconds(self.secs as i64));
        // The last moment at which nothing is late yet.
        sleep_until(first - TimeDelta::milliseconds(10));
        let (began, cpu) = (Utc::now(), cpu_seconds());
        scheduler.start().await?;
        sleep_until(first + TimeDelta::seconds(self.secs as i64));
        let took = last_end.load(Relaxed) - began.timestamp_micros();
        self.line()
            .int("on_time", self.on_time)
            .int("caught_up", told.old_ended.load(Relaxed))
            .num("catch_up_ms", took as f64 / 1e3)
            .int("runs_on_time", late.count())
            .int("expected_on_time", self.on_time * self.secs)
            .quantiles(&mut late.micros())
            .num("cpu_s", cpu_seconds() - cpu)
            .print();
        Ok(())
    }
}

/// What has been told of fire times that did not run as they were to.
#[derive(Default)]
struct Told {
    skipped: AtomicUsize,
    given_up: AtomicUsize,
    old_ended: Arc<AtomicUsize>,
}

impl Told {
    fn count(&self, kind: &EventKind) {
        let (count, run) = match kind {
            EventKind::RunSkipped(run) => (&self.skipped, run),
            EventKind::RunCoalesced(run) | EventKind::RunMissed(run) => (&self.given_up, run),
            _ => return,
        };
        count.fetch_add(run.count.unwrap_or(1) as usize, Relaxed);
    }
}
