//! The scheduler on async-std. The runtime is a value; nothing else changes.
//!
//!     cargo run -p examples-runtimes --bin async_std
//!
//! You see three ticks, one each second. async-std is discontinued: new programs are better off with smol, which has
//! the same timers and thread pool underneath.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use apscheduler::prelude::*;

fn main() -> Result<(), Error> {
    async_std::task::block_on(async {
        let scheduler = Scheduler::builder(AsyncStdRuntime)
            .task("tick", |context: RunContext| async move {
                async_std::task::yield_now().await;
                println!("tick {}", context.run_id.seq);
            })
            .build()?;
        let mut ticks = scheduler.events(EventMask::RUN_EXECUTED);
        scheduler.add_job(JobSpec::new("tick", Interval::seconds(1))).await?;
        scheduler.start().await?;
        for _ in 0..3 {
            ticks.next().await;
        }
        scheduler.shutdown(ShutdownMode::Wait).await
    })
}
