//! The async-std runtime keeps every promise of a runtime.

use scheduler_async_std::AsyncStdRuntime;

scheduler_testkit::runtime_conformance!(AsyncStdRuntime);

/// Allowed, as the documentation says; it holds up the thread until the inner future ends.
#[test]
fn block_on_in_async_code_runs_a_future_that_waits_for_no_other() {
    use std::time::Duration;

    use scheduler_runtime::Runtime;

    let (done, end) = std::sync::mpsc::channel();
    AsyncStdRuntime.spawn(Box::pin(async move {
        AsyncStdRuntime.block_on(AsyncStdRuntime.sleep(Duration::from_millis(1)));
        done.send("the end").expect("awaited");
    }));
    assert_eq!(end.recv(), Ok("the end"));
}
