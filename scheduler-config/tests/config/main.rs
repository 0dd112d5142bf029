//! Configurations, from their texts to a scheduler that runs.

mod environment;
mod flat;
mod jobs;
mod opening;
mod reading;
mod running;
mod servers;
mod stores;

use scheduler_runtime::Runtime;

/// Lives until a call has its answer.
fn wait<T>(runtime: &dyn Runtime, call: impl Future<Output = T>) -> T {
    let mut answer = None;
    runtime.block_on(Box::pin(async { answer = Some(call.await) }));
    answer.expect("block_on returns when its future has ended")
}
