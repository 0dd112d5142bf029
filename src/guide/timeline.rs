// Draws the time lines of the chapter on misfires from what a scheduler tells in virtual time. Its programs include it.
#[allow(dead_code)]
mod timeline {
    use std::{
        collections::BTreeMap,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use apscheduler::prelude::*;
    use chrono::{DateTime, TimeDelta, Utc};
    use scheduler_testkit::SimulatedRuntime;

    pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

    /// A job that fires every ten seconds, five times, and works for 24 seconds. A column is a second.
    pub(crate) fn long_runs(change: impl Fn(JobSpec) -> JobSpec) -> Result<String> {
        let start: DateTime<Utc> = "2026-11-24T10:00:00Z".parse()?;
        let chart = Chart::new(start + TimeDelta::seconds(10), TimeDelta::seconds(1), 10, "%S");
        let runtime = SimulatedRuntime::starting_at(start);
        let scheduler = chart.scheduler(&runtime, MemoryStore::new(), 24, 0)?;
        let five_times = Interval::seconds(10).until(start + TimeDelta::seconds(50));
        runtime.run(scheduler.add_job(change(JobSpec::new("work", five_times))))?;
        runtime.run(scheduler.start())?;
        runtime.advance(Duration::from_secs(180));
        Ok(chart.draw())
    }

    /// A job that fires each hour, while no process runs from 10:20 to 13:40. A column is five minutes.
    pub(crate) fn outage(change: impl Fn(JobSpec) -> JobSpec) -> Result<String> {
        let chart = Chart::new("2026-11-24T10:00:00Z".parse()?, TimeDelta::minutes(5), 12, "%H:%M");
        let runtime = SimulatedRuntime::starting_at(chart.origin - TimeDelta::minutes(1));
        let store = MemoryStore::new();
        let first = chart.scheduler(&runtime, store.clone(), 0, 0)?;
        runtime.run(first.add_job(change(JobSpec::new("work", Cron::crontab("0 * * * *")?))))?;
        runtime.run(first.start())?;
        runtime.run_until(chart.origin + TimeDelta::minutes(20));
        runtime.run(first.shutdown(ShutdownMode::Wait))?;
        runtime.run_until(chart.origin + TimeDelta::minutes(220));
        let second = chart.scheduler(&runtime, store, 0, 0)?;
        runtime.run(second.start())?;
        runtime.run_until(chart.origin + TimeDelta::minutes(250));
        Ok(chart.draw())
    }

    /// A job that fires once, works for so many seconds, and fails so many times. A column is a second.
    pub(crate) fn failures(takes: u64, fails: u32, change: impl Fn(JobSpec) -> JobSpec) -> Result<String> {
        let start: DateTime<Utc> = "2026-11-24T10:00:10Z".parse()?;
        let chart = Chart::new(start, TimeDelta::seconds(1), 10, "%S");
        let runtime = SimulatedRuntime::starting_at(start);
        let scheduler = chart.scheduler(&runtime, MemoryStore::new(), takes, fails)?;
        runtime.run(scheduler.add_job(change(JobSpec::new("work", Date::at(start)))))?;
        runtime.run(scheduler.start())?;
        runtime.advance(Duration::from_secs(120));
        Ok(chart.draw())
    }

    const MARGIN: usize = 16;

    struct Chart {
        origin: DateTime<Utc>,
        column: TimeDelta,
        /// How many columns lie between two times in the first line.
        step: i32,
        format: &'static str,
        rows: Arc<Mutex<BTreeMap<DateTime<Utc>, String>>>,
    }

    impl Chart {
        fn new(origin: DateTime<Utc>, column: TimeDelta, step: i32, format: &'static str) -> Self {
            Self { origin, column, step, format, rows: Arc::default() }
        }

        fn scheduler(&self, runtime: &SimulatedRuntime, store: MemoryStore, takes: u64, fails: u32) -> Result<Scheduler> {
            let (origin, column, format) = (self.origin, self.column, self.format);
            let rows = Arc::clone(&self.rows);
            let clock = runtime.clone();
            let builder = Scheduler::builder(runtime.clone()).store("default", store).accuracy(Duration::ZERO);
            let builder = builder.task("work", move |context: RunContext| {
                let work = clock.sleep(Duration::from_secs(takes));
                async move {
                    work.await;
                    if context.attempt <= fails { Err("it failed") } else { Ok(()) }
                }
            });
            let scheduler = builder.listener(EventMask::ALL, move |event| {
                let Some(run) = event.kind.run() else { return };
                let first = run.first.unwrap_or(run.fire_time);
                let mut rows = rows.lock().unwrap();
                let row = rows.entry(first).or_insert_with(|| match run.first {
                    Some(first) => format!("{} to {}", first.format(format), run.fire_time.format(format)),
                    None => first.format(format).to_string(),
                });
                let mut fill = |until: DateTime<Utc>, with: char| {
                    let column = (until - origin).num_seconds() / column.num_seconds();
                    while row.len() < MARGIN + column as usize {
                        row.push(with);
                    }
                };
                fill(first, ' ');
                let is_end = EventMask::RUN_EXECUTED | EventMask::RUN_ERROR | EventMask::RUN_TIMEOUT;
                let is_end = is_end | EventMask::RUN_CANCELLED | EventMask::RUN_RETRIED;
                fill(event.at, if is_end.contains(event.kind.mask()) { '=' } else { '.' });
                row.push_str(match &event.kind {
                    EventKind::RunSubmitted(_) => "[",
                    EventKind::RunExecuted { .. } => "] ok",
                    EventKind::RunRetried { .. } => "x",
                    EventKind::RunError { .. } => "x error",
                    EventKind::RunTimeout { .. } => "x timeout",
                    EventKind::RunCancelled(_) => "x cancelled",
                    EventKind::RunSkipped(_) => "x skipped",
                    EventKind::RunMissed(_) => "x missed",
                    EventKind::RunCoalesced(_) => "x coalesced",
                    _ => "",
                });
            });
            Ok(scheduler.build()?)
        }

        fn draw(&self) -> String {
            let mut text = format!("\n{:<MARGIN$}", "fire time");
            for n in 0..5 {
                let at = self.origin + self.column * (n * self.step);
                text.push_str(&format!("{:<1$}", at.format(self.format).to_string(), self.step as usize));
            }
            for row in self.rows.lock().unwrap().values() {
                text = format!("{}\n{row}", text.trim_end());
            }
            text + "\n"
        }
    }
}
