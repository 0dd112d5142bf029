//! What can be done with jobs: add, list, pause, resume, modify, reschedule, export, remove.
//!
//!     cargo run -p examples-tokio --bin job_management
//!
//! You see the list of jobs after each step. Nothing has to run for that: jobs can be managed before the scheduler starts.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::io::stdout;

use apscheduler::prelude::*;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Report {
    to: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scheduler = Scheduler::builder(TokioRuntime::current())
        .task("report", |report: Report| async move { println!("a report for {}", report.to) })
        .timezone_named("Europe/Berlin")
        .build()?;

    println!("add:");
    let hourly = JobSpec::new("report", Interval::hours(1)).id("hourly").args(json!({"to": "ann"}));
    let hourly = scheduler.add_job(hourly).await?;
    let nightly = Cron::fields().day_of_week("mon-fri").hour("22").minute("30").build()?;
    scheduler.add_job(JobSpec::new("report", nightly).id("nightly").args(json!({"to": "bob"}))).await?;
    scheduler.print_jobs(&mut stdout()).await?;

    println!("\nwhat is wrong is an error at once:");
    let twice = JobSpec::new("report", Interval::hours(1)).id("hourly").args(json!({"to": "eve"}));
    if let Err(error) = scheduler.add_job(twice).await {
        println!("    {error}");
    }
    let misspelt = JobSpec::new("report", Interval::hours(1)).args(json!({"too": "ann"}));
    if let Err(error) = scheduler.add_job(misspelt).await {
        println!("    {error}");
    }
    if let Err(error) = Cron::fields().minute("*/60").build() {
        println!("    {error}");
    }

    println!("\npause, then resume:");
    let hourly = hourly.pause().await?;
    println!("    {hourly}");
    let hourly = hourly.resume().await?;
    println!("    {hourly}");

    println!("\nmodify, then reschedule:");
    let hourly = hourly.modify(JobChange::default().name("report for carl").args(json!({"to": "carl"}))).await?;
    println!("    {hourly}, arguments {}", hourly.body.args);
    let hourly = hourly.reschedule(Interval::minutes(15)).await?;
    println!("    {hourly}");

    println!("\nexport, which is JSON:");
    println!("{}", serde_json::to_string_pretty(&scheduler.export_jobs().await?)?);

    println!("\nremove:");
    hourly.remove().await?;
    scheduler.print_jobs(&mut stdout()).await?;
    println!("{} job removed with all the others", scheduler.remove_all_jobs().await?);
    scheduler.shutdown(ShutdownMode::Wait).await?;
    Ok(())
}
