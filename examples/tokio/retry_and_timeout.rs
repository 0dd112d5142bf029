//! Failed runs that are repeated, and runs that take too long.
//!
//!     cargo run -p examples-tokio --bin retry_and_timeout
//!
//! Three jobs run once. `flaky` fails three times and is repeated after 0.2, 0.4 and 0.8 seconds. `hopeless` may be tried
//! twice and then ends as an error. `hanging` waits for an answer that never comes, and is stopped when its time is up. You
//! see each attempt, and then what the store has kept of the runs. It takes about two seconds.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::{Duration, Instant};

use apscheduler::{Failures, Retry, prelude::*};

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "the example shows real time")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let begin = Instant::now();
    let scheduler = Scheduler::builder(TokioRuntime::current())
        .task("fetch", |context: RunContext, succeeds_at: u32| async move {
            if context.attempt < succeeds_at { Err("the server is busy") } else { Ok("the page") }
        })
        .task("hang", std::future::pending::<()>)
        .listener(EventMask::ALL, move |event| tell(begin.elapsed(), event))
        .build()?;
    let mut ends = scheduler.events(EventMask::RUN_EXECUTED | EventMask::RUN_ERROR | EventMask::RUN_TIMEOUT);

    // Without jitter, so that the pauses are those of the text above. In a service it keeps what failed together apart.
    let retry = Retry::attempts(4).backoff(Duration::from_millis(200)).factor(2.0).jitter(0.0);
    let jobs = [
        JobSpec::now("fetch").id("flaky").args(4).retry(retry),
        JobSpec::now("fetch").id("hopeless").args(9).retry(Retry::attempts(2).on(Failures::ERROR)),
        JobSpec::now("hang").id("hanging").timeout(Duration::from_millis(500)),
    ];
    for job in scheduler.add_jobs(jobs.map(|job| job.when_finished(WhenFinished::Keep)).into()).await {
        job?;
    }
    scheduler.start().await?;
    for _ in 0..3 {
        ends.next().await;
    }

    println!();
    for id in ["flaky", "hopeless", "hanging"] {
        for run in scheduler.runs(id, 1).await? {
            let verdict = run.verdict().map_or("open", Verdict::as_str);
            let error = run.error.unwrap_or_default();
            println!("{id:<8}  {verdict} in attempt {}  {error}", run.attempt);
        }
    }
    scheduler.shutdown(ShutdownMode::Wait).await?;
    Ok(())
}

fn tell(at: Duration, event: &Event) {
    let Some(run) = event.kind.run() else { return };
    let what = match &event.kind {
        EventKind::RunSubmitted(_) => "begins".to_owned(),
        EventKind::RunRetried { error, due, .. } => {
            let pause = (*due - event.at).num_milliseconds() as f64 / 1000.0;
            format!("failed: {error}; again in {pause:.1} s")
        }
        EventKind::RunExecuted { output, .. } => format!("worked: {output}"),
        EventKind::RunError { error, .. } => format!("failed for good: {error}"),
        EventKind::RunTimeout { duration, .. } => format!("was stopped after {:.1} s", duration.as_secs_f64()),
        _ => return,
    };
    println!("{:3.1} s  {:<8}  attempt {}  {what}", at.as_secs_f64(), run.job.id, run.attempt);
}
