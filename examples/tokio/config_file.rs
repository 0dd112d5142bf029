//! A scheduler from a file, `config_file.toml`: its zone, its job defaults, its stores by URL, its executors, its jobs.
//!
//!     cargo run -p examples-tokio --bin config_file
//!     APSCHEDULER_STORES__DEFAULT=memory: cargo run -p examples-tokio --bin config_file
//!     APSCHEDULER_JOBS__BEAT__TRIGGER='every 0.1s' cargo run -p examples-tokio --bin config_file
//!
//! You see what the file and the environment say, a beat each quarter of a second on a thread of the configured pool, and
//! what becomes of a configuration for APScheduler. After a second the program ends. The job is in `config_file.db` in the
//! current folder.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{thread, time::Duration};

use apscheduler::{config::SchedulerConfig, prelude::*};

/// As an INI file has it, which may hold settings of others, too.
const OF_APSCHEDULER: &str = "
apscheduler.jobstores.default.type = sqlalchemy
apscheduler.jobstores.default.url = postgresql+psycopg2://app:secret@db.example.com/app
apscheduler.jobstores.default.pickle_protocol = 4
apscheduler.executors.default.type = threadpool
apscheduler.executors.default.max_workers = 20
apscheduler.job_defaults.coalesce = false
";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A program would read a file here, so that it can be changed without building the program.
    let config = SchedulerConfig::from_toml(include_str!("config_file.toml"))?.with_env()?;
    for (name, store) in &config.stores {
        println!("store `{name}`: {}", store.url);
    }

    // What a file cannot say comes from code: the runtime and the tasks. The jobs are added when the scheduler starts.
    let scheduler = config
        .builder(TokioRuntime::current())
        .await?
        .blocking_task("beat", |context: RunContext| {
            let thread = thread::current();
            println!(
                "beat at {}, on {:?}",
                context.fire_time.format("%H:%M:%S%.3f"),
                thread.name().unwrap_or_default()
            );
        })
        .build()?;
    scheduler.start().await?;
    for job in scheduler.jobs().await? {
        println!("job `{}`: {}", job.id, job.body.trigger);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    scheduler.shutdown(ShutdownMode::Wait).await?;

    println!("\na configuration for APScheduler, key by key:");
    print!("{}", SchedulerConfig::from_flat_text(OF_APSCHEDULER));
    println!("ended");
    Ok(())
}
