//! What a runtime promises, one function per promise.
//!
//! A runtime is supported if and only if it keeps them all. An adapter runs them in its tests:
//!
//! ```
//! # use scheduler_thread::ThreadRuntime;
//! scheduler_testkit::runtime_conformance!(ThreadRuntime::new().unwrap());
//! ```
//!
//! That makes one `#[test]` of each promise, with a runtime of its own.

mod block_on;
mod blocking;
mod clock;
mod drop;
mod sleep;
mod spawn;

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use scheduler_runtime::Runtime;

pub use self::block_on::*;
pub use self::blocking::*;
pub use self::clock::*;
pub use self::drop::*;
pub use self::sleep::*;
pub use self::spawn::*;

/// How long a promise may take: far beyond what a loaded machine needs, so that only what hangs
/// fails by it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Makes one `#[test]` per promise of [`conformance`](crate::runtime::conformance).
///
/// The expression makes the runtime, afresh for each test. A runtime that nothing but its
/// `block_on` drives, such as [`SimulatedRuntime`](crate::SimulatedRuntime), is held to the
/// promises that can be kept in one thread:
///
/// ```
/// # use chrono::DateTime;
/// # use scheduler_testkit::SimulatedRuntime;
/// scheduler_testkit::runtime_conformance!(
///     SimulatedRuntime::starting_at(DateTime::UNIX_EPOCH),
///     in_one_thread
/// );
/// ```
#[macro_export]
macro_rules! runtime_conformance {
    ($make:expr) => {
        $crate::runtime_conformance!($make, in_one_thread);
        $crate::runtime_conformance!(
            @promises $make;
            a_runtime_may_be_dropped_in_async_code
            a_runtime_with_work_pending_may_be_dropped
            a_sleep_ends_in_any_executor
            a_spawned_future_needs_nobody_to_wait_for_it
            a_wake_up_from_a_plain_thread_is_seen
            block_on_runs_in_several_threads_at_once
            block_on_sees_a_wake_up_from_a_plain_thread
            blocking_work_leaves_the_async_threads_free
            plain_threads_may_share_a_runtime
            the_monotonic_clock_never_goes_back_in_any_thread
        );
    };
    ($make:expr, in_one_thread) => {
        $crate::runtime_conformance!(
            @promises $make;
            a_future_that_yields_lets_others_run
            a_panicking_future_takes_nothing_down
            a_sleep_beyond_the_clock_does_not_end
            a_sleep_is_counted_from_its_making
            a_sleep_never_ends_early
            a_sleep_of_zero_ends
            a_sleep_wakes_who_polled_it_last
            a_spawned_future_may_spawn
            a_spawned_future_runs_to_its_end
            block_on_drives_a_future_that_is_not_send
            block_on_may_borrow
            block_on_raises_the_panic_of_its_future
            blocking_work_may_block_on
            blocking_work_runs
            both_clocks_advance
            dropped_sleeps_are_forgotten
            panicking_work_takes_nothing_down
            readings_are_whole_microseconds
            spawn_returns_before_the_future_ends
            ten_thousand_futures_run_concurrently
            the_monotonic_clock_never_goes_back
        );
    };
    (@promises $make:expr; $($promise:ident)+) => {$(
        #[test]
        fn $promise() {
            $crate::runtime::conformance::keeps(
                $crate::runtime::conformance::$promise,
                ::std::sync::Arc::new($make),
                $crate::runtime::conformance::DEADLINE,
            );
        }
    )+};
}

/// Checks one promise, in a thread of its own, within a deadline.
///
/// ```
/// use std::sync::Arc;
///
/// use scheduler_testkit::runtime::conformance::{DEADLINE, a_sleep_of_zero_ends, keeps};
/// use scheduler_thread::ThreadRuntime;
///
/// keeps(a_sleep_of_zero_ends, Arc::new(ThreadRuntime::new().unwrap()), DEADLINE);
/// ```
///
/// # Panics
///
/// If the promise is broken: it fails, or takes longer than `deadline`.
pub fn keeps(promise: fn(Arc<dyn Runtime>), runtime: Arc<dyn Runtime>, deadline: Duration) {
    let (done, end) = mpsc::channel::<()>();
    let check = thread::spawn(move || {
        let _done = done;
        promise(runtime);
    });
    if end.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("the promise is not kept within {deadline:?}");
    }
    if let Err(panic) = check.join() {
        resume_unwind(panic);
    }
}

/// Runs a future that has a value, borrowed from the caller.
fn run<T>(runtime: &dyn Runtime, future: impl Future<Output = T>) -> T {
    let mut value = None;
    runtime.block_on(Box::pin(async { value = Some(future.await) }));
    value.expect("block_on runs its future to its end")
}

/// Lets others run, once.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return std::task::Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// A panic that the panic hook does not print, since it is part of the promise.
fn quiet_panic() -> ! {
    resume_unwind(Box::new("this panic is part of the promise"))
}
