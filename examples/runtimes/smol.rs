//! The scheduler on smol. The runtime is a value; nothing else changes.
//!
//!     cargo run -p examples-runtimes --bin smol
//!
//! You see three ticks, one each second.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use apscheduler::prelude::*;

fn main() -> Result<(), Error> {
    smol::block_on(async {
        let scheduler = Scheduler::builder(SmolRuntime)
            .task("tick", |context: RunContext| async move {
                smol::future::yield_now().await;
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
