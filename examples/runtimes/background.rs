//! A scheduler beside a main thread that goes on with its own work.
//!
//!     cargo run -p examples-runtimes --bin background
//!
//! You see the main thread count to ten while a job of the scheduler prints a line every second. The calls of
//! `Background` block, so that a program without async can use them from any thread.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{io::stdout, thread, time::Duration};

use apscheduler::prelude::*;

#[expect(clippy::disallowed_methods, reason = "this main thread works at its own pace")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scheduler = Scheduler::builder(TokioRuntime::new()?)
        .blocking_task("report", |to: String| {
            println!("    scheduler: a report for {to}, on {:?}", thread::current().name().unwrap_or("a thread"));
        })
        .executor("pool", ThreadPool::new().threads(2).named("pool"))
        .background()?;
    let job = scheduler.add_job(JobSpec::new("report", Interval::seconds(1)).args("ann").executor("pool"))?;
    scheduler.start()?;
    scheduler.print_jobs(&mut stdout())?;

    for step in 1..=10 {
        println!("main: step {step} of 10");
        thread::sleep(Duration::from_millis(400));
        if step == 6 {
            job.pause()?;
            println!("main: the report is paused");
        }
    }

    scheduler.shutdown(ShutdownMode::Wait)?;
    println!("main: done");
    Ok(())
}
