//! Promises of `sleep`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt as _;
use futures_util::future::{Either, join_all, select};
use scheduler_runtime::{BoxFuture, Runtime};

use super::run;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// A sleep lasts at least as long as was asked for, by the runtime's own monotonic clock, be it
/// shorter or longer than the steps of a timer.
pub fn a_sleep_never_ends_early(runtime: Arc<dyn Runtime>) {
    let spans = [1, 999, 1_000, 50_001, 999_999, 1_000_000, 1_500_001, 2_000_000, 9_999_999].map(Duration::from_nanos);
    run(&*runtime, async {
        for span in spans {
            slept(&*runtime, span).await;
        }
        join_all((0..500).map(|n| slept(&*runtime, Duration::from_micros(n * 37)))).await;
    });
}

async fn slept(runtime: &dyn Runtime, span: Duration) {
    let start = runtime.now().monotonic;
    runtime.sleep(span).await;
    let lasted = runtime.now().monotonic - start;
    assert!(lasted >= span, "a sleep of {span:?} lasted {lasted:?}");
}

/// A sleep of no time ends.
pub fn a_sleep_of_zero_ends(runtime: Arc<dyn Runtime>) {
    run(&*runtime, async {
        for _ in 0..100 {
            runtime.sleep(Duration::ZERO).await;
        }
    });
}

/// A sleep longer than the clock can count is no error; it does not end.
pub fn a_sleep_beyond_the_clock_does_not_end(runtime: Arc<dyn Runtime>) {
    run(&*runtime, async {
        let endless = runtime.sleep(Duration::MAX);
        let short = runtime.sleep(5 * MILLISECOND);
        // The short one may be over when it is first polled, so that the other has not been asked since.
        let is_over = match select(endless, short).await {
            Either::Left(_) => true,
            Either::Right(((), endless)) => endless.now_or_never().is_some(),
        };
        assert!(!is_over, "a sleep without an end has ended");
    });
}

/// The span of a sleep begins when it is made, not when it is first polled.
pub fn a_sleep_is_counted_from_its_making(runtime: Arc<dyn Runtime>) {
    run(&*runtime, async {
        let made_first = runtime.sleep(50 * MILLISECOND);
        runtime.sleep(60 * MILLISECOND).await;
        assert!(made_first.now_or_never().is_some(), "a sleep of 50 ms, made more than 60 ms ago, goes on");
    });
}

/// A sleep that moves from one task to another wakes the task that has it.
pub fn a_sleep_wakes_who_polled_it_last(runtime: Arc<dyn Runtime>) {
    run(&*runtime, async {
        let mut span = 5 * MILLISECOND;
        // Nothing is shown by a sleep that is over before both have polled it.
        while !is_handed_over(&*runtime, span).await {
            span *= 2;
        }
    });
}

/// Polls a sleep here and then awaits it in a task. False if the task found it over.
async fn is_handed_over(runtime: &dyn Runtime, span: Duration) -> bool {
    let mut sleep = runtime.sleep(span);
    let _ = sleep.poll_unpin(&mut Context::from_waker(Waker::noop()));
    let (done, end) = oneshot::channel();
    runtime.spawn(Box::pin(async move {
        let is_over = poll_fn(|context| Poll::Ready(sleep.poll_unpin(context).is_ready())).await;
        if !is_over {
            sleep.await;
        }
        let _ = done.send(!is_over);
    }));
    end.await.expect("the task that has the sleep is woken")
}

/// A dropped sleep keeps nothing: of a hundred thousand sleeps of up to a day, a hundredth
/// at most is still to be cleared up after the last is dropped.
pub fn dropped_sleeps_are_forgotten(runtime: Arc<dyn Runtime>) {
    const SLEEPS: usize = 100_000;
    let sleeper = Arc::new(Sleeper);
    let waker = Waker::from(Arc::clone(&sleeper));
    run(&*runtime, async {
        for n in 0..SLEEPS {
            let mut sleep: BoxFuture<'_, ()> = runtime.sleep(HOUR + Duration::from_secs((n % 86_400) as u64));
            assert!(sleep.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        }
    });
    drop(waker);

    let kept = Arc::strong_count(&sleeper) - 1;
    assert!(kept <= SLEEPS / 100, "{kept} of {SLEEPS} dropped sleeps are kept");
}

struct Sleeper;

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {}
}

/// A sleep may be made outside of the runtime and polled by an executor of another kind.
pub fn a_sleep_ends_in_any_executor(runtime: Arc<dyn Runtime>) {
    let start = runtime.now().monotonic;
    let sleep = runtime.sleep(5 * MILLISECOND);
    futures_executor::block_on(sleep);
    assert!(runtime.now().monotonic - start >= 5 * MILLISECOND);
}
