//! Promises of `spawn`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as threads;
use std::thread;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt as _;
use scheduler_runtime::Runtime;

use super::{quiet_panic, run, yield_now};

/// A spawned future runs to its end, through waits of any kind.
pub fn a_spawned_future_runs_to_its_end(runtime: Arc<dyn Runtime>) {
    let (done, end) = oneshot::channel();
    let inner = Arc::clone(&runtime);
    runtime.spawn(Box::pin(async move {
        yield_now().await;
        inner.sleep(Duration::from_millis(1)).await;
        yield_now().await;
        let _ = done.send("the end");
    }));
    assert_eq!(run(&*runtime, end), Ok("the end"));
}

/// A spawned future runs while no thread is in `block_on`.
pub fn a_spawned_future_needs_nobody_to_wait_for_it(runtime: Arc<dyn Runtime>) {
    let (done, end) = threads::channel();
    let inner = Arc::clone(&runtime);
    runtime.spawn(Box::pin(async move {
        inner.sleep(Duration::from_millis(1)).await;
        let _ = done.send("the end");
    }));
    assert_eq!(end.recv(), Ok("the end"));
}

/// `spawn` does not wait for what it spawns.
pub fn spawn_returns_before_the_future_ends(runtime: Arc<dyn Runtime>) {
    let (go, gone) = oneshot::channel();
    let (done, end) = oneshot::channel();
    run(&*runtime, async {
        runtime.spawn(Box::pin(async {
            let _ = done.send(gone.await);
        }));
        go.send("after spawn").expect("the future waits for this");
        assert_eq!(end.await, Ok(Ok("after spawn")));
    });
}

/// Ten thousand futures that all wait for each other get there.
pub fn ten_thousand_futures_run_concurrently(runtime: Arc<dyn Runtime>) {
    const FUTURES: usize = 10_000;
    run(&*runtime, async {
        let (arrive, arrivals) = mpsc::unbounded();
        let (leave, departures) = mpsc::unbounded();
        for n in 0..FUTURES {
            let (arrive, leave) = (arrive.clone(), leave.clone());
            runtime.spawn(Box::pin(async move {
                let (release, released) = oneshot::channel::<()>();
                let _ = arrive.unbounded_send(release);
                let _ = released.await;
                let _ = leave.unbounded_send(n);
            }));
        }
        drop((arrive, leave));

        let all_here: Vec<_> = arrivals.take(FUTURES).collect().await;
        assert_eq!(all_here.len(), FUTURES);
        for release in all_here {
            release.send(()).expect("each future waits for its release");
        }
        let mut all_gone: Vec<_> = departures.collect().await;
        all_gone.sort_unstable();
        assert_eq!(all_gone, (0..FUTURES).collect::<Vec<_>>());
    });
}

/// A spawned future may spawn another, a thousand deep.
pub fn a_spawned_future_may_spawn(runtime: Arc<dyn Runtime>) {
    let (done, end) = oneshot::channel();
    nest(Arc::clone(&runtime), 1_000, done);
    assert_eq!(run(&*runtime, end), Ok(()));
}

fn nest(runtime: Arc<dyn Runtime>, deeper: u32, done: oneshot::Sender<()>) {
    let inner = Arc::clone(&runtime);
    runtime.spawn(Box::pin(async move {
        match deeper.checked_sub(1) {
            Some(deeper) => nest(inner, deeper, done),
            None => {
                let _ = done.send(());
            }
        }
    }));
}

/// A future that is ready to run again and again leaves room for the others.
pub fn a_future_that_yields_lets_others_run(runtime: Arc<dyn Runtime>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (done, end) = oneshot::channel();
    let seen = Arc::clone(&stop);
    runtime.spawn(Box::pin(async move {
        while !seen.load(Ordering::SeqCst) {
            yield_now().await;
        }
        let _ = done.send(());
    }));
    runtime.spawn(Box::pin(async move { stop.store(true, Ordering::SeqCst) }));
    assert_eq!(run(&*runtime, end), Ok(()));
}

/// A future that panics ends; the others, the threads and the runtime stay.
pub fn a_panicking_future_takes_nothing_down(runtime: Arc<dyn Runtime>) {
    let (go, gone) = oneshot::channel();
    let (done, end) = oneshot::channel();
    runtime.spawn(Box::pin(async {
        let _ = gone.await;
        let _ = done.send("an older future");
    }));
    // More than there are threads to lose, at their first poll and at a later one.
    for n in 0..256 {
        runtime.spawn(Box::pin(async move {
            if n % 2 == 0 {
                yield_now().await;
            }
            quiet_panic();
        }));
    }
    run(&*runtime, async {
        let (later, later_end) = oneshot::channel();
        runtime.spawn(Box::pin(async {
            let _ = later.send("a younger future");
        }));
        assert_eq!(later_end.await, Ok("a younger future"));
        go.send(()).expect("the older future is still there");
        assert_eq!(end.await, Ok("an older future"));
    });
}

/// A spawned future is woken by threads that know nothing of the runtime.
pub fn a_wake_up_from_a_plain_thread_is_seen(runtime: Arc<dyn Runtime>) {
    let (ping, mut pings) = mpsc::unbounded();
    let (pong, pongs) = threads::channel();
    runtime.spawn(Box::pin(async move {
        while let Some(n) = pings.next().await {
            let _ = pong.send(n);
        }
    }));
    for n in 0..1_000 {
        ping.unbounded_send(n).expect("the future listens");
        assert_eq!(pongs.recv(), Ok(n));
    }
}

/// Threads of the program may all use one runtime, with nothing entered or set up.
pub fn plain_threads_may_share_a_runtime(runtime: Arc<dyn Runtime>) {
    thread::scope(|scope| {
        for n in 0..8 {
            let runtime = Arc::clone(&runtime);
            scope.spawn(move || {
                let (done, end) = threads::channel();
                let inner = Arc::clone(&runtime);
                let spawned = done.clone();
                runtime.spawn(Box::pin(async move {
                    inner.sleep(Duration::from_millis(1)).await;
                    let _ = spawned.send(n);
                }));
                runtime.spawn_blocking(Box::new(move || {
                    let _ = done.send(n);
                }));
                let until = runtime.now().monotonic + Duration::from_millis(1);
                runtime.block_on(runtime.sleep(Duration::from_millis(1)));
                assert!(runtime.now().monotonic >= until);
                assert_eq!(end.iter().collect::<Vec<_>>(), [n, n]);
            });
        }
    });
}
