//! A program that is nothing but its scheduler: `start` does not return until it is shut down.
//!
//!     cargo run -p examples-runtimes --bin blocking
//!
//! You see a tick each second. The fifth one shuts the scheduler down, `start` returns, and the program ends.
//! There is no async runtime in this program: the scheduler runs on plain threads.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use apscheduler::{Scheduler as Handle, prelude::*};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ticks = AtomicU32::new(0);
    let handle: Arc<OnceLock<Handle>> = Arc::default();
    let scheduler = Scheduler::builder(ThreadRuntime::new()?)
        .task("tick", {
            let handle = Arc::clone(&handle);
            move |context: RunContext| {
                let tick = ticks.fetch_add(1, Ordering::Relaxed) + 1;
                println!("tick {tick}, due at {}", context.fire_time.format("%H:%M:%S%.3f"));
                let handle = handle.get().filter(|_| tick == 5).cloned();
                async move {
                    if let Some(handle) = handle {
                        println!("that was the last one");
                        // Waiting for all runs to end would be waiting for this one.
                        handle.shutdown(ShutdownMode::Now).await?;
                    }
                    Ok::<(), Error>(())
                }
            }
        })
        .blocking()?;
    handle.get_or_init(|| scheduler.handle());

    scheduler.add_job(JobSpec::new("tick", Interval::seconds(1)))?;
    println!("starting; a tick each second");
    scheduler.start()?;
    println!("the scheduler has shut down");
    Ok(())
}
