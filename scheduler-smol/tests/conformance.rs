//! The smol runtime keeps every promise of a runtime.

use scheduler_smol::SmolRuntime;

scheduler_testkit::runtime_conformance!(SmolRuntime);

/// Allowed, as the documentation says; it holds up the thread until the inner future ends.
#[test]
fn block_on_in_async_code_runs_a_future_that_waits_for_no_other() {
    use std::time::Duration;

    use scheduler_runtime::Runtime;

    let (done, end) = std::sync::mpsc::channel();
    SmolRuntime.spawn(Box::pin(async move {
        SmolRuntime.block_on(SmolRuntime.sleep(Duration::from_millis(1)));
        done.send("the end").expect("awaited");
    }));
    assert_eq!(end.recv(), Ok("the end"));
}
