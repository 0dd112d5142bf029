//! A month of schedules, tested in milliseconds: a shop's own jobs on a runtime whose clock the test moves.
//!
//!     cargo run -p examples-tokio --bin virtual_time
//!     cargo test -p examples-tokio --bin virtual_time
//!
//! You see the March of 2026 in Berlin go by: the night in which the clocks skip the hour from two to three, an import that
//! takes longer than its interval, and two days in which the machine is suspended. Then each schedule is held to what the shop
//! expects of it. Nothing waits and nothing is random: it goes the same way each time.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use apscheduler::{Builder, prelude::*, trigger::First};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::{Europe::Berlin, Tz};
use scheduler_testkit::SimulatedRuntime;

/// The shop's tasks, the same ones as in production. The runtime comes from outside, since a task waits on it.
fn tasks(runtime: Arc<dyn Runtime>) -> Builder {
    Scheduler::builder_on(Arc::clone(&runtime))
        .timezone(Berlin)
        .task("backup", || async {})
        .task("invoices", || async {})
        .task("import", move |context: RunContext| {
            let is_full_import = context.fire_time == berlin("2026-03-16 04:00");
            runtime.sleep(Duration::from_secs(if is_full_import { 150 * 60 } else { 60 }))
        })
}

/// The shop's schedules, the same ones as in production.
fn jobs() -> Result<Vec<JobSpec>, Box<dyn std::error::Error>> {
    let each_night = Cron::fields().hour("2").minute("30").build()?;
    let last_working_day = Cron::quartz("0 0 18 LW * ?")?;
    Ok(vec![
        JobSpec::new("backup", each_night).id("backup"),
        JobSpec::new("invoices", last_working_day).id("invoices"),
        JobSpec::new("import", Interval::hours(1).first(First::Now))
            .id("import")
            .misfire_grace_time(Duration::from_secs(2 * 3600)),
    ])
}

#[expect(clippy::disallowed_methods, reason = "the example shows real time")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let begin = Instant::now();
    let month = Month::live()?;
    println!("March 2026 had {} runs and took {:?}", month.starts.len(), begin.elapsed());
    month.check();
    println!("each schedule does what the shop expects");
    Ok(())
}

/// What became of March 2026.
struct Month {
    /// The job of each run, and when it started by the clocks of Berlin.
    starts: Vec<(String, DateTime<Tz>)>,
    /// What was given up: the job, why, and how many of its fire times.
    given_up: Vec<(String, Verdict, u64)>,
}

impl Month {
    fn live() -> Result<Self, Box<dyn std::error::Error>> {
        let runtime = SimulatedRuntime::starting_at(berlin("2026-03-01 00:00"));
        let scheduler = tasks(Arc::new(runtime.clone())).build()?;
        let mut submitted = scheduler.events(EventMask::RUN_SUBMITTED);
        for job in runtime.run(scheduler.add_jobs(jobs()?)) {
            job?;
        }
        runtime.run(scheduler.start())?;

        runtime.run_until(berlin("2026-03-10 12:30"));
        // The machine is suspended for two days: its clock goes on without it.
        runtime.step_clock(TimeDelta::days(2));
        runtime.run_until(berlin("2026-04-01 00:00"));

        let mut given_up = Vec::new();
        for job in runtime.run(scheduler.jobs())? {
            for verdict in [Verdict::Coalesced, Verdict::Missed, Verdict::Skipped] {
                given_up.push((job.id.to_string(), verdict, job.totals.of(verdict)));
            }
        }
        runtime.run(scheduler.shutdown(ShutdownMode::Now))?;

        let mut starts = Vec::new();
        while let Some(event) = runtime.run(submitted.next()) {
            let event = event?;
            if let EventKind::RunSubmitted(run) = &event.kind {
                starts.push((run.job.id.to_string(), event.at.with_timezone(&Berlin)));
            }
        }
        Ok(Self { starts, given_up })
    }

    /// What the shop expects.
    fn check(&self) {
        let backups = self.starts_of("backup");
        let (usual, unusual): (Vec<_>, Vec<_>) = backups.into_iter().partition(|start| start.ends_with("02:30"));
        println!("backup    {} at half past two, and {}", usual.len(), unusual.join(", "));
        assert_eq!(usual.len(), 28, "one each night");
        assert_eq!(
            unusual,
            ["Thu 12 12:31", "Sun 29 03:00"],
            "within a minute after the suspension, and right after the gap"
        );
        assert_eq!(self.given_up("backup", Verdict::Coalesced), 1, "one backup for both nights of the suspension");

        println!("invoices  {}", self.starts_of("invoices").join(", "));
        assert_eq!(self.starts_of("invoices"), ["Tue 31 18:00"], "on the last working day");

        let imports = self.starts_of("import").len() as u64;
        let given_up = [Verdict::Skipped, Verdict::Missed, Verdict::Coalesced];
        let [skipped, missed, coalesced] = given_up.map(|verdict| self.given_up("import", verdict));
        println!("import    {imports} runs, {skipped} skipped, {missed} missed, {coalesced} coalesced");
        assert_eq!(skipped, 2, "while the full import went on");
        assert_eq!((missed, coalesced), (46, 1), "of the suspension all but what two hours of grace allow");
        assert_eq!(
            imports + skipped + missed + coalesced,
            31 * 24,
            "each hour has its verdict; the gap had none to give"
        );
    }

    fn starts_of(&self, job: &str) -> Vec<String> {
        let starts = self.starts.iter().filter(|(id, _)| id == job);
        starts.map(|(_, start)| start.format("%a %d %H:%M").to_string()).collect()
    }

    fn given_up(&self, job: &str, verdict: Verdict) -> u64 {
        let counts = self.given_up.iter().filter(|(id, of, _)| id == job && *of == verdict);
        counts.map(|(_, _, count)| count).sum()
    }
}

/// An instant by the clocks of Berlin.
fn berlin(text: &str) -> DateTime<Utc> {
    let civil = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a date and a time");
    civil.and_local_timezone(Berlin).earliest().expect("a time that the clocks show").to_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_schedule_does_in_march_what_the_shop_expects() {
        Month::live().expect("the month goes by").check();
    }

    #[test]
    fn a_month_goes_the_same_way_twice() {
        let months = [Month::live(), Month::live()].map(|month| month.expect("the month goes by"));
        assert_eq!(months[0].starts, months[1].starts);
    }
}
