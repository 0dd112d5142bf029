//! Promises of `spawn_blocking`.

use std::sync::{Arc, mpsc as threads};
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt as _;
use scheduler_runtime::Runtime;

use super::{quiet_panic, run};

/// Blocking work runs, and may wake futures.
pub fn blocking_work_runs(runtime: Arc<dyn Runtime>) {
    let (done, end) = oneshot::channel();
    runtime.spawn_blocking(Box::new(|| {
        let _ = done.send("the end");
    }));
    assert_eq!(run(&*runtime, end), Ok("the end"));
}

/// Sixty-four pieces of work block at the same time, and futures run on meanwhile.
pub fn blocking_work_leaves_the_async_threads_free(runtime: Arc<dyn Runtime>) {
    const WORKS: usize = 64;
    run(&*runtime, async {
        let (arrive, arrivals) = mpsc::unbounded();
        let (leave, departures) = mpsc::unbounded();
        for n in 0..WORKS {
            let (arrive, leave) = (arrive.clone(), leave.clone());
            runtime.spawn_blocking(Box::new(move || {
                let (release, released) = threads::channel::<()>();
                let _ = arrive.unbounded_send(release);
                let _ = released.recv();
                let _ = leave.unbounded_send(n);
            }));
        }
        drop((arrive, leave));
        let blocked: Vec<_> = arrivals.take(WORKS).collect().await;
        assert_eq!(blocked.len(), WORKS);

        for _ in 0..WORKS {
            let (done, end) = oneshot::channel();
            let inner = Arc::clone(&runtime);
            runtime.spawn(Box::pin(async move {
                inner.sleep(Duration::from_micros(10)).await;
                let _ = done.send(());
            }));
            assert_eq!(end.await, Ok(()));
        }

        drop(blocked);
        assert_eq!(departures.count().await, WORKS);
    });
}

/// Work that panics ends; its thread, the other work and the futures stay.
pub fn panicking_work_takes_nothing_down(runtime: Arc<dyn Runtime>) {
    // More than there are threads to lose: the pools here stop at 512.
    for _ in 0..1_024 {
        runtime.spawn_blocking(Box::new(|| quiet_panic()));
    }
    run(&*runtime, async {
        let (done, end) = mpsc::unbounded();
        let blocking = done.clone();
        runtime.spawn_blocking(Box::new(move || {
            let _ = blocking.unbounded_send("work");
        }));
        runtime.spawn(Box::pin(async move {
            let _ = done.unbounded_send("future");
        }));
        let mut both: Vec<_> = end.collect().await;
        both.sort_unstable();
        assert_eq!(both, ["future", "work"]);
    });
}

/// Blocking work may wait for futures by `block_on`.
pub fn blocking_work_may_block_on(runtime: Arc<dyn Runtime>) {
    let (done, end) = oneshot::channel();
    let inner = Arc::clone(&runtime);
    runtime.spawn_blocking(Box::new(move || {
        let (answer, answers) = oneshot::channel();
        let innermost = Arc::clone(&inner);
        inner.spawn(Box::pin(async move {
            innermost.sleep(Duration::from_millis(1)).await;
            let _ = answer.send(42);
        }));
        let _ = done.send(run(&*inner, answers));
    }));
    assert_eq!(run(&*runtime, end), Ok(Ok(42)));
}
