//! A job that outlives its process, in a file of redb: added by one scheduler, run by the next.
#![expect(clippy::print_stdout, reason = "an example")]

use std::{sync::mpsc, time::Duration};

use apscheduler::{
    chrono::{DateTime, Utc},
    prelude::*,
};
use redb_store::RedbStore;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "jobs.redb".to_owned());
    let (greeted, greetings) = mpsc::channel();
    let scheduler = |store: RedbStore| -> Result<Background, Box<dyn std::error::Error>> {
        let greeted = greeted.clone();
        Ok(Scheduler::builder(ThreadRuntime::new()?)
            .store("default", store)
            .task("greet", move |name: String| {
                let greeted = greeted.clone();
                async move { drop(greeted.send(format!("hello, {name}"))) }
            })
            .background()?)
    };

    let first = scheduler(RedbStore::open(&file)?)?;
    let at: DateTime<Utc> = "2026-11-01T09:00:00Z".parse()?;
    first.add_job(JobSpec::new("greet", Date::at(at)).args("ann"))?;
    println!("the first process adds a job and ends");
    first.shutdown(ShutdownMode::Wait)?;
    drop(first);

    let second = scheduler(RedbStore::open(&file)?)?;
    second.start()?;
    println!("the second process runs it: {}", greetings.recv_timeout(Duration::from_secs(20))?);
    second.shutdown(ShutdownMode::Wait)?;
    Ok(())
}
