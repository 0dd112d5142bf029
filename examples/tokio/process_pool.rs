//! Work in other processes: what crashes, hangs or computes for long does no harm to the scheduler.
//!
//!     cargo run -p examples-tokio --bin process_pool
//!
//! You see two workers count primes while a third job kills its worker and a fourth never ends. The one that dies is told
//! with its signal, the one that hangs is killed when its time is up, and the counting goes on in new workers. A program
//! of the system greets beside them.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{process, time::Duration};

use apscheduler::{Builder, Task, executors::process::serve, prelude::*};

/// The tasks, for the scheduler and for its workers alike.
fn tasks() -> [Task; 3] {
    [blocking("primes", primes), blocking("crash", crash), blocking("hang", hang)]
}

fn primes(below: u32) -> String {
    let count = (2..below).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count();
    format!("{count} primes below {below}, says process {}", process::id())
}

fn crash() {
    process::abort();
}

fn hang() {
    loop {
        std::thread::park();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A worker is this program, and goes no further than this line.
    serve(tasks());

    println!("the scheduler is process {}", process::id());
    tokio::runtime::Runtime::new()?.block_on(schedule())?;
    println!("the scheduler is well");
    Ok(())
}

async fn schedule() -> Result<(), Error> {
    let commands = Commands::new().limit(4);
    // Jobs of this task may choose the last arguments, and not the program.
    let greet = commands.program("greet", CommandLine::new("echo").arg("hello,"));
    let scheduler = tasks()
        .into_iter()
        .fold(Scheduler::builder(TokioRuntime::current()), Builder::register)
        .register(greet)
        .executor("default", ProcessPool::new().workers(2).runs_per_worker(100).grace(Duration::from_millis(100)))
        .executor("commands", commands)
        .build()?;
    let mut ends = scheduler.events(EventMask::RUN_EXECUTED | EventMask::RUN_ERROR | EventMask::RUN_TIMEOUT);
    scheduler.start().await?;

    scheduler.add_job(JobSpec::now("crash")).await?;
    scheduler.add_job(JobSpec::now("hang").timeout(Duration::from_millis(500))).await?;
    for below in [1_000, 100_000, 200_000] {
        scheduler.add_job(JobSpec::now("primes").args(below)).await?;
    }
    scheduler.add_job(JobSpec::now("greet").args(["world"]).executor("commands")).await?;

    for _ in 0..6 {
        if let Some(Ok(event)) = ends.next().await {
            tell(&event);
        }
    }
    scheduler.shutdown(ShutdownMode::Wait).await
}

fn tell(event: &Event) {
    match &event.kind {
        EventKind::RunExecuted { output, .. } => println!("worked: {output}"),
        EventKind::RunError { error, .. } => println!("failed: {error}"),
        EventKind::RunTimeout { duration, .. } => println!("killed after {duration:.1?}"),
        _ => {}
    }
}
