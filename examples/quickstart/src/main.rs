//! Three jobs in a SQLite file, which survive the program: one every two seconds, one by cron, one once.
//!
//!     cargo run -p quickstart
//!     cargo run -p quickstart -- --for 5
//!     cargo run -p quickstart -- --db /tmp/jobs.db
//!
//! Ctrl-C ends it, `--for SECONDS` ends it by itself. Start it again, and you see the jobs that were restored and what was
//! caught up: the fire times that passed in between are given up for one late run, and the one-shot is not run twice.
//! The jobs are in `quickstart.db` in the current folder; delete it to begin anew.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{env, time::Duration};

use apscheduler::prelude::*;
use chrono::Utc;
use serde_json::json;

/// A task: an async function with typed arguments. It is known by the name under which it is registered.
async fn say(context: RunContext, text: String) {
    let late = (Utc::now() - context.fire_time).num_milliseconds();
    println!("{}: {text} (fire time {}, {late} ms late)", context.job_id, context.fire_time.format("%H:%M:%S"));
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::from_args()?;
    let store = SqliteStore::connect(&format!("sqlite://{}", options.db)).await?;
    let scheduler = Scheduler::builder(TokioRuntime::current())
        .store("default", store)
        .task("say", say)
        .listener(EventMask::RUN_COALESCED | EventMask::RUN_ERROR | EventMask::STORE_FAILED, report)
        .build()?;

    let restored = scheduler.jobs().await?;
    for job in &restored {
        println!("restored {}: {job}", job.id);
    }
    // Replacing a job by the same definition keeps its place in time, so that this can be said at each start.
    let steady = JobSpec::new("say", Interval::seconds(2)).id("steady").args("every two seconds");
    scheduler.add_job(steady.on_conflict(Conflict::Replace)).await?;
    let every_five = Cron::fields().second("*/5").build()?;
    let cron = JobSpec::new("say", every_five).id("cron").args(json!("at every fifth second of the clock"));
    scheduler.add_job(cron.on_conflict(Conflict::Replace)).await?;
    if restored.is_empty() {
        let soon = Utc::now() + Duration::from_secs(3);
        scheduler.add_job(JobSpec::new("say", Date::at(soon)).id("once").args("once in a lifetime")).await?;
        println!("added three jobs to {}", options.db);
    }

    scheduler.start().await?;
    tokio::select! {
        () = options.end() => println!("time is up"),
        result = tokio::signal::ctrl_c() => {
            result?;
            println!("interrupted");
        }
    }
    scheduler.shutdown(ShutdownMode::Wait).await?;
    println!("ended; the jobs stay in {}", options.db);
    Ok(())
}

/// Called for each event of interest, in the scheduler's own loop.
fn report(event: &Event) {
    match &event.kind {
        EventKind::RunCoalesced(run) => {
            let first = run.first.unwrap_or(run.fire_time);
            let count = run.count.map_or_else(|| "the".to_owned(), |count| format!("the {count}"));
            println!("caught up {}: one run for {count} fire times from {} on", run.job.id, first.format("%H:%M:%S"));
        }
        other => println!("{other:?}"),
    }
}

struct Options {
    seconds: Option<u64>,
    db: String,
}

impl Options {
    fn from_args() -> Result<Self, String> {
        let mut options = Self { seconds: None, db: "quickstart.db".to_owned() };
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
            match arg.as_str() {
                "--for" => options.seconds = Some(value.parse().map_err(|_| "--for takes whole seconds".to_owned())?),
                "--db" => options.db = value,
                _ => return Err(format!("unknown argument {arg}; known are --for SECONDS and --db FILE")),
            }
        }
        Ok(options)
    }

    async fn end(&self) {
        match self.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    }
}
