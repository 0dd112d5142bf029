//! Learning what became of each run: a listener for crashed ones, a stream for all.
//!
//!     cargo run -p examples-tokio --bin events
//!
//! A job divides 100 by a number that counts down each second and reaches zero. You see "worked" for the runs that
//! returned, and "crashed" for the one that panicked; the job goes on after it.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::atomic::{AtomicI32, Ordering};

use apscheduler::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let divisor = AtomicI32::new(2);
    let scheduler = Scheduler::builder(TokioRuntime::current())
        .task("divide", move || {
            let divisor = divisor.fetch_sub(1, Ordering::Relaxed);
            async move { 100 / divisor }
        })
        // A listener is called in the scheduler's own loop: it looks, and does not wait.
        .listener(EventMask::RUN_ERROR, |event| {
            if let EventKind::RunError { run, error, .. } = &event.kind {
                println!("listener: {} crashed: {error}", run.job.id);
            }
        })
        .build()?;
    // A stream is read by code that may wait. Its events carry numbers without gaps.
    let mut events = scheduler.events(EventMask::ALL);

    scheduler.add_job(JobSpec::new("divide", Interval::seconds(1)).id("division")).await?;
    scheduler.start().await?;

    let mut runs = 0;
    while let Some(event) = events.next().await {
        let Ok(event) = event else { continue };
        match &event.kind {
            EventKind::RunExecuted { run, output, .. } => {
                println!("event {:2}: {} worked: {output}", event.seq, run.job.id);
                runs += 1;
            }
            EventKind::RunError { run, error, .. } => {
                println!("event {:2}: {} crashed: {error}", event.seq, run.job.id);
                runs += 1;
            }
            EventKind::RunSubmitted(run) => println!("event {:2}: {} submitted", event.seq, run.job.id),
            other => println!("event {:2}: {other:?}", event.seq),
        }
        if runs == 4 {
            break;
        }
    }
    scheduler.shutdown(ShutdownMode::Wait).await
}
