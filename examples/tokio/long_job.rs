//! Jobs that take longer than their interval, and what `max_instances` and the overlap policy make of that.
//!
//!     cargo run -p examples-tokio --bin long_job
//!
//! Three jobs work for five seconds every three seconds. `one` may run once at a time: every other fire time is skipped.
//! `two` may run twice at a time, so that its runs overlap. `queue` runs once at a time, too, and lets one fire time wait.
//! It takes about fifteen seconds.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::{Duration, Instant};

use apscheduler::prelude::*;

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "the example shows real time")]
async fn main() -> Result<(), Error> {
    let begin = Instant::now();
    let at = move || begin.elapsed().as_secs_f64();
    let scheduler = Scheduler::builder(TokioRuntime::current())
        .task("work", move |context: RunContext| async move {
            println!("{:5.1} s  {:5}  run {} begins", at(), context.job_id, context.run_id.seq);
            tokio::time::sleep(Duration::from_secs(5)).await;
            println!("{:5.1} s  {:5}  run {} ends", at(), context.job_id, context.run_id.seq);
        })
        .listener(EventMask::RUN_SKIPPED | EventMask::RUN_QUEUED, move |event| match &event.kind {
            EventKind::RunSkipped(run) => {
                println!("{:5.1} s  {:5}  run {} skipped: max_instances are running", at(), run.job.id, run.run.seq);
            }
            EventKind::RunQueued(run) => println!("{:5.1} s  {:5}  run {} waits", at(), run.job.id, run.run.seq),
            _ => {}
        })
        .build()?;

    let every_three_seconds = || JobSpec::new("work", Interval::seconds(3));
    scheduler.add_job(every_three_seconds().id("one")).await?;
    scheduler.add_job(every_three_seconds().id("two").max_instances(2)).await?;
    scheduler.add_job(every_three_seconds().id("queue").overlap(Overlap::Queue(1))).await?;
    scheduler.start().await?;

    tokio::time::sleep(Duration::from_secs(13)).await;
    println!("{:5.1} s  shutting down: cancels what runs", at());
    scheduler.shutdown(ShutdownMode::Now).await
}
