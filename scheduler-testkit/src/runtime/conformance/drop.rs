//! Promises of dropping a runtime.

use std::future::pending;
use std::sync::{Arc, mpsc as threads};
use std::time::Duration;

use futures_channel::oneshot;
use scheduler_runtime::Runtime;

const HOUR: Duration = Duration::from_secs(3_600);

/// Dropping a runtime waits for nothing that is pending on it, and aborts nothing outside of it.
pub fn a_runtime_with_work_pending_may_be_dropped(runtime: Arc<dyn Runtime>) {
    let (gate, open) = threads::channel::<()>();
    let sleep = runtime.sleep(HOUR);
    runtime.spawn(sleep);
    runtime.spawn(Box::pin(pending()));
    for _ in 0..1_000 {
        runtime.spawn(Box::pin(async { super::yield_now().await }));
    }
    let (begun, begin) = threads::channel();
    runtime.spawn_blocking(Box::new(move || {
        let _ = begun.send(());
        let _ = open.recv();
    }));
    assert_eq!(begin.recv(), Ok(()));

    let weak = Arc::downgrade(&runtime);
    drop(runtime);

    assert!(weak.upgrade().is_none(), "nothing pending keeps the runtime");
    drop(gate);
}

/// The last owner of a runtime may be one of its own futures.
pub fn a_runtime_may_be_dropped_in_async_code(runtime: Arc<dyn Runtime>) {
    let (go, gone) = oneshot::channel();
    let (done, end) = threads::channel();
    let last = Arc::clone(&runtime);
    runtime.spawn(Box::pin(async move {
        let _ = gone.await;
        let weak = Arc::downgrade(&last);
        drop(last);
        let _ = done.send(weak.upgrade().is_none());
    }));
    drop(runtime);
    go.send(()).expect("the future goes on without other owners");
    assert_eq!(end.recv(), Ok(true));
}
