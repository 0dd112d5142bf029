//! Several stores and executors in one scheduler, and defaults for its jobs.
//!
//!     cargo run -p examples-tokio --bin several_stores
//!
//! Jobs that must survive are in a SQLite file, those that need not are in memory; what blocks its thread runs on a pool,
//! what is async on the runtime. You see each of them run, and the list of jobs store by store. The file is a temporary
//! one and goes with the program.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{io::stdout, thread, time::Duration};

use apscheduler::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("jobs.db");
    let scheduler = Scheduler::builder(TokioRuntime::current())
        .store("default", MemoryStore::new())
        .store("durable", SqliteStore::connect(&format!("sqlite://{}", file.display())).await?)
        .executor("default", Spawn::new())
        .executor("pool", ThreadPool::new().threads(4).named("pool"))
        .job_defaults(
            PartialOptions::default()
                .coalesce(Coalesce::Latest)
                .max_instances(3)
                .misfire_grace_time(Duration::from_secs(60)),
        )
        .timezone_named("UTC")
        .task("refresh", || async { println!("cache refreshed, kept in memory") })
        .blocking_task("compress", |file: String| {
            println!("{file} compressed on thread {:?}", thread::current().name().unwrap_or("unnamed"));
        })
        .build()?;
    let mut done = scheduler.events(EventMask::RUN_EXECUTED);

    scheduler.add_job(JobSpec::new("refresh", Interval::seconds(1)).id("cache")).await?;
    let compress = JobSpec::new("compress", Interval::seconds(1)).id("logs").args("access.log");
    scheduler.add_job(compress.store("durable").executor("pool")).await?;
    scheduler.print_jobs(&mut stdout()).await?;

    scheduler.start().await?;
    for _ in 0..4 {
        done.next().await;
    }

    let options = scheduler.job("logs").await?.map(|job| job.body.options.clone());
    println!("options of `logs`, defaults included: {options:?}");
    println!("jobs in store `durable`: {}", scheduler.in_store("durable").jobs().await?.len());
    scheduler.shutdown(ShutdownMode::Wait).await?;
    Ok(())
}
