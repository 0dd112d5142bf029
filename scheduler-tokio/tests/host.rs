//! A scheduler inside of a service that runs on tokio.

use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use scheduler_runtime::Runtime;
use scheduler_runtime::SystemClock;
use scheduler_tokio::TokioRuntime;
use tokio::runtime::Builder;

/// Only what hangs takes this long.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn the_current_runtime_is_found_inside_of_one_only() {
    assert!(TokioRuntime::try_current().is_none());

    multi_thread().block_on(async {
        let (done, end) = mpsc::channel();
        TokioRuntime::current().spawn(Box::pin(async move {
            let found = TokioRuntime::try_current().is_some();
            done.send(found).expect("awaited");
        }));
        assert_eq!(end.recv_timeout(DEADLINE), Ok(true));
    });
}

#[test]
#[should_panic(expected = "elsewhere use TokioRuntime::new")]
fn asking_for_the_current_runtime_outside_of_one_says_what_to_use() {
    let _ = TokioRuntime::current();
}

#[test]
fn block_on_in_async_code_panics_and_says_what_to_do_instead() {
    for host in [multi_thread(), current_thread()] {
        let message = host.block_on(async {
            let runtime = TokioRuntime::current();
            let panic = catch_unwind(AssertUnwindSafe(|| runtime.block_on(Box::pin(ready(())))))
                .expect_err("a thread that drives futures must not wait");
            *panic.downcast::<&str>().expect("a message")
        });
        assert!(message.contains("await the future there"), "{message}");
    }
}

#[test]
fn a_runtime_of_its_own_is_dropped_in_async_code_with_its_futures() {
    let (held, dropped) = mpsc::channel::<()>();
    multi_thread().block_on(async {
        let own = TokioRuntime::new().expect("the system has threads");
        let clone = own.clone();
        own.spawn(Box::pin(async move {
            pending::<()>().await;
            drop(held);
        }));
        drop(own);
        assert_eq!(dropped.try_recv(), Err(mpsc::TryRecvError::Empty), "the clone keeps it");
        drop(clone);
    });
    assert_eq!(dropped.recv_timeout(DEADLINE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_value_that_goes_leaves_the_hosts_runtime_and_its_futures_alone() {
    let host = multi_thread();
    let (go, gone) = tokio::sync::oneshot::channel();
    let (done, end) = mpsc::channel();
    let runtime = TokioRuntime::from(host.handle().clone());
    runtime.spawn(Box::pin(async move {
        let _ = gone.await;
        done.send("still here").expect("awaited");
    }));

    drop(runtime);
    go.send(()).expect("the future waits for this");

    assert_eq!(end.recv_timeout(DEADLINE), Ok("still here"));
}

#[test]
fn a_clock_of_tokio_that_is_paused_later_does_not_shorten_a_sleep() {
    let host = Builder::new_current_thread().enable_time().build().expect("a host");
    host.block_on(async {
        let runtime = TokioRuntime::current();
        tokio::time::pause();
        let start = SystemClock::now().monotonic;
        runtime.sleep(Duration::from_millis(20)).await;
        assert!(SystemClock::now().monotonic - start >= Duration::from_millis(20));
    });
}

fn multi_thread() -> tokio::runtime::Runtime {
    Builder::new_multi_thread().worker_threads(1).build().expect("the system has threads")
}

fn current_thread() -> tokio::runtime::Runtime {
    Builder::new_current_thread().build().expect("a host")
}
