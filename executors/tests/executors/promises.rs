//! What every executor promises.

use std::{
    future::{pending, poll_fn},
    panic::panic_any,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Waker},
};

use futures_lite::future::{block_on, yield_now};
use scheduler_core::{Executor, Outcome, RunContext, Task};
use scheduler_executors::{Inline, Spawn, ThreadPool, blocking, task};
use serde_json::{Value, json};

use crate::runs::{Report, dispatch, ok, outcome};

fn for_each_executor(promise: impl Fn(&dyn Executor)) {
    for executor in [&Spawn::new() as &dyn Executor, &ThreadPool::new().threads(1), &Inline::new()] {
        eprintln!("{executor:?}");
        promise(executor);
    }
    // The one for tasks in other processes has the same promises in `tests/processes`.
    #[cfg(feature = "process")]
    promise(&scheduler_executors::process::Commands::new().grace(std::time::Duration::ZERO));
}

/// An async task that reports that it runs, and never ends.
fn endless(started: mpsc::Sender<()>) -> Task {
    // The sender goes with the future, which is how a test sees that one dropped.
    let sender = Mutex::new(Some(started));
    task("endless", move || {
        let started = sender.lock().expect("no task panics here").take();
        async move {
            if let Some(started) = &started {
                started.send(()).expect("the test waits for it");
            }
            pending::<()>().await;
        }
    })
}

#[test]
fn a_task_that_returns_is_ok_with_its_value_and_one_that_fails_is_an_error() {
    for_each_executor(|executor| {
        let waits = task("waits", || async {
            yield_now().await;
            7
        });
        assert_eq!(outcome(executor, &waits), ok(7));
        assert_eq!(outcome(executor, &blocking("computes", || 8)), ok(8));
        assert_eq!(outcome(executor, &task("fails", || async { Err::<(), _>("a") })), Outcome::Error("a".into()));
        assert_eq!(outcome(executor, &blocking("fails", || Err::<(), _>("b"))), Outcome::Error("b".into()));
    });
}

#[test]
fn a_task_finds_its_arguments_and_its_run() {
    for_each_executor(|executor| {
        let task = blocking("t", |context: RunContext, n: u64| format!("{} {n}", context.run_id.seq));
        assert_eq!(block_on(executor.start(dispatch(&task, json!(5)))), ok("7 5"));
    });
}

#[test]
fn a_panic_is_an_outcome_with_its_text_and_harms_no_later_run() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic_any(vec![1]);
        }
    }

    for_each_executor(|executor| {
        let panicked = |text: &str| Outcome::Panicked(text.into());
        let number = 3;
        assert_eq!(
            outcome(
                executor,
                &blocking("t", || if true {
                    panic!("plain")
                })
            ),
            panicked("plain")
        );
        assert_eq!(
            outcome(
                executor,
                &blocking("t", move || if true {
                    panic!("no. {number}")
                })
            ),
            panicked("no. 3")
        );
        assert_eq!(
            outcome(
                executor,
                &blocking("t", || if true {
                    panic_any(7_u8)
                })
            ),
            panicked("a value that is not text")
        );
        assert_eq!(
            outcome(
                executor,
                &blocking("t", || if true {
                    panic_any(PanicsInDrop)
                })
            ),
            panicked("a value that is not text")
        );

        let before_its_future = task("t", move || {
            assert!(number > 3, "too few");
            async {}
        });
        let after_an_await = task("t", move || async move {
            yield_now().await;
            assert!(number > 3, "too late");
        });
        assert_eq!(outcome(executor, &before_its_future), panicked("too few"));
        assert_eq!(outcome(executor, &after_an_await), panicked("too late"));

        assert_eq!(outcome(executor, &blocking("t", || "well")), ok("well"));
    });
}

#[test]
fn a_run_that_is_cancelled_before_it_starts_is_never_called() {
    let called = Arc::new(AtomicBool::new(false));
    let flag = called.clone();
    let blocks = blocking("blocks", move || flag.store(true, SeqCst));
    let flag = called.clone();
    let waits = task("waits", move || {
        flag.store(true, SeqCst);
        async {}
    });

    for_each_executor(|executor| {
        for task in [&blocks, &waits] {
            let dispatch = dispatch(task, Value::Null);
            dispatch.context.cancellation.cancel();
            assert_eq!(block_on(executor.start(dispatch)), Outcome::Cancelled);
            assert!(!called.load(SeqCst), "{task:?}");
        }
    });
}

#[test]
fn a_run_that_is_cancelled_between_start_and_its_first_poll_is_cancelled() {
    let executor = Spawn::new();
    let (started, _report) = Report::new();
    let dispatch = dispatch(&endless(started), Value::Null);
    let token = dispatch.context.cancellation.clone();
    let run = executor.start(dispatch);
    token.cancel();
    assert_eq!(block_on(run), Outcome::Cancelled);
}

#[test]
fn an_async_task_is_dropped_at_its_next_await_after_it_is_cancelled() {
    for_each_executor(|executor| {
        let (started, report) = Report::new();
        let dispatch = dispatch(&endless(started), Value::Null);
        let token = dispatch.context.cancellation.clone();
        let mut run = executor.start(dispatch);
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        report.wait();

        token.cancel();
        assert_eq!(block_on(run), Outcome::Cancelled);
        report.wait_for_drop();
    });
}

#[test]
fn an_async_task_that_ends_by_itself_when_it_is_cancelled_keeps_its_outcome() {
    for_each_executor(|executor| {
        let (started, report) = Report::new();
        let tidy = task("tidy", move |context: RunContext| {
            let started = started.clone();
            async move {
                started.send(()).unwrap();
                context.cancellation.cancelled().await;
                "swept"
            }
        });
        let dispatch = dispatch(&tidy, Value::Null);
        let token = dispatch.context.cancellation.clone();
        let mut run = executor.start(dispatch);
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        report.wait();
        token.cancel();
        assert_eq!(block_on(run), ok("swept"));
    });
}

#[test]
fn an_async_task_that_is_cancelled_just_after_it_was_polled_can_end_by_itself() {
    for_each_executor(|executor| {
        let tidy = task("tidy", |context: RunContext| async move {
            let mut is_told = pin!(context.cancellation.cancelled());
            let told = poll_fn(|cx| {
                let polled = is_told.as_mut().poll(cx);
                // What another thread may do between this poll and the next one.
                context.cancellation.cancel();
                polled
            });
            told.await;
            "swept"
        });
        assert_eq!(outcome(executor, &tidy), ok("swept"));
    });
}

#[test]
fn a_blocking_task_that_returns_after_it_is_cancelled_keeps_its_outcome() {
    for_each_executor(|executor| {
        let stubborn = blocking("stubborn", |context: RunContext| {
            context.cancellation.cancel();
            "done all the same"
        });
        assert_eq!(outcome(executor, &stubborn), ok("done all the same"));
    });
}

#[test]
fn a_cancelled_task_that_panics_while_it_is_dropped_is_panicked() {
    struct Careless;
    impl Drop for Careless {
        fn drop(&mut self) {
            panic!("dropped the vase");
        }
    }

    for_each_executor(|executor| {
        let careless = task("careless", |context: RunContext| async move {
            let _vase = Careless;
            context.cancellation.cancel();
            pending::<()>().await;
        });
        assert_eq!(outcome(executor, &careless), Outcome::Panicked("dropped the vase".into()));

        // Dropped with its run, it panics into nobody's face.
        let careless = task("careless", || {
            let vase = Careless;
            async move {
                pending::<()>().await;
                drop(vase);
            }
        });
        drop(executor.start(dispatch(&careless, Value::Null)));
        assert_eq!(outcome(executor, &blocking("t", || "well")), ok("well"));
    });
}

#[test]
fn dropping_the_future_of_a_run_drops_an_async_task() {
    for_each_executor(|executor| {
        let (started, report) = Report::new();
        let mut run = executor.start(dispatch(&endless(started), Value::Null));
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        report.wait();

        drop(run);
        report.wait_for_drop();
        assert_eq!(outcome(executor, &blocking("t", || "well")), ok("well"));
    });
}
