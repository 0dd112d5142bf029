//! Promises of `now`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use scheduler_runtime::Runtime;

use super::{run, yield_now};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A reading of the wall clock has no fraction of a microsecond, because no store keeps one.
pub fn readings_are_whole_microseconds(runtime: Arc<dyn Runtime>) {
    for _ in 0..1_000 {
        let nanoseconds = runtime.now().utc.timestamp_subsec_nanos();
        assert_eq!(nanoseconds % 1_000, 0, "now has {nanoseconds} nanoseconds");
    }
}

/// Both clocks go forward while a future sleeps.
pub fn both_clocks_advance(runtime: Arc<dyn Runtime>) {
    let start = runtime.now();
    run(&*runtime, async {
        loop {
            runtime.sleep(MILLISECOND).await;
            let now = runtime.now();
            assert!(now.monotonic >= start.monotonic + MILLISECOND);
            // An operator may have set the wall clock back; then it has to catch up.
            if now.utc > start.utc {
                break;
            }
        }
    });
}

/// The monotonic clock never goes back, whatever the futures between two readings do.
pub fn the_monotonic_clock_never_goes_back(runtime: Arc<dyn Runtime>) {
    run(&*runtime, async {
        let mut latest = runtime.now().monotonic;
        for round in 0..1_000 {
            if round % 100 == 0 {
                runtime.sleep(MILLISECOND).await;
            } else {
                yield_now().await;
            }
            let now = runtime.now().monotonic;
            assert!(now >= latest, "the clock went back from {latest:?} to {now:?}");
            latest = now;
        }
    });
}

/// The monotonic clock never goes back, whichever thread reads it.
pub fn the_monotonic_clock_never_goes_back_in_any_thread(runtime: Arc<dyn Runtime>) {
    let latest = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    let before = latest.load(Ordering::SeqCst);
                    let now = u64::try_from(runtime.now().monotonic.as_nanos())
                        .expect("a process lives less than five hundred years");
                    assert!(now >= before, "the clock went back from {before} ns to {now} ns");
                    latest.fetch_max(now, Ordering::SeqCst);
                }
            });
        }
    });
}
