use std::{
    cell::RefCell,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use futures_lite::future::{block_on, yield_now};
use scheduler_core::{Executor, Outcome};
use scheduler_executors::{ThreadPool, blocking, task};
use serde_json::{Value, json};

use crate::runs::{Report, dispatch, gate, ok, outcome};

#[test]
fn runs_start_in_the_order_in_which_they_were_queued() {
    let pool = ThreadPool::new().threads(1);
    let (open, wait) = gate();
    let first = pool.start(dispatch(&blocking("first", wait), Value::Null));
    let order = Arc::new(Mutex::new(Vec::new()));
    let runs: Vec<_> = (0..20)
        .map(|number| {
            let order = order.clone();
            let task = blocking("next", move |number: u8| order.lock().unwrap().push(number));
            pool.start(dispatch(&task, json!(number)))
        })
        .collect();
    drop(open);

    block_on(first);
    // The futures are polled in another order than their runs were queued.
    for run in runs.into_iter().rev() {
        assert_eq!(block_on(run), ok(Value::Null));
    }
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

#[test]
fn as_many_runs_run_at_a_time_as_the_pool_has_threads_and_never_more() {
    let pool = ThreadPool::new().threads(3);
    let (all_three, now, most) =
        (Arc::new(Barrier::new(3)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let task = blocking("t", {
        let most = most.clone();
        move || {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            all_three.wait(); // for ever, if there are less than three
            now.fetch_sub(1, SeqCst);
        }
    });
    let runs: Vec<_> = (0..30).map(|_| pool.start(dispatch(&task, Value::Null))).collect();
    for run in runs {
        assert_eq!(block_on(run), ok(Value::Null));
    }
    assert_eq!(most.load(SeqCst), 3);
}

#[test]
fn threads_start_when_they_are_needed_and_have_names() {
    let pool = ThreadPool::new().threads(0).named("re\0ports");
    assert!(format!("{pool:?}").contains("threads: 0"), "{pool:?}");
    let named = blocking("t", || thread::current().name().map(ToOwned::to_owned));
    for _ in 0..3 {
        assert_eq!(outcome(&pool, &named), ok("reports-1"), "none is rounded up to one");
    }
}

#[test]
fn an_async_task_is_driven_by_a_thread_of_the_pool() {
    let pool = ThreadPool::new().threads(1).named("pool");
    let (open, wait) = gate();
    let (wake, woken) = futures_channel::oneshot::channel::<()>();
    let woken = Mutex::new(Some(woken));
    let waits = task("waits", move || {
        let woken = woken.lock().unwrap().take().expect("it runs once");
        let wait = wait.clone();
        async move {
            yield_now().await;
            wait();
            woken.await.unwrap();
            thread::current().name().map(ToOwned::to_owned)
        }
    });
    let run = pool.start(dispatch(&waits, Value::Null));
    drop(open);
    wake.send(()).unwrap();
    assert_eq!(block_on(run), ok("pool-1"));
}

#[test]
fn a_queued_run_is_cancelled_at_once_although_no_thread_is_free() {
    let pool = ThreadPool::new().threads(1);
    let (open, wait) = gate();
    let busy = pool.start(dispatch(&blocking("busy", wait), Value::Null));
    let (called, report) = Report::new();
    let queued = dispatch(&blocking("queued", move || called.send(()).unwrap()), Value::Null);
    let token = queued.context.cancellation.clone();
    let queued = pool.start(queued);

    token.cancel();
    assert_eq!(block_on(queued), Outcome::Cancelled);
    drop(open);
    assert_eq!(block_on(busy), ok(Value::Null));
    assert_eq!(outcome(&pool, &blocking("later", || 1)), ok(1));
    assert!(!report.has_come());
}

#[test]
fn a_queued_run_whose_future_is_dropped_is_never_called() {
    let pool = ThreadPool::new().threads(1);
    let (open, wait) = gate();
    let busy = pool.start(dispatch(&blocking("busy", wait), Value::Null));
    let (called, report) = Report::new();
    drop(pool.start(dispatch(&blocking("queued", move || called.send(()).unwrap()), Value::Null)));
    report.wait_for_drop(); // what it held goes at once, not when a thread gets to it

    drop(open);
    assert_eq!(block_on(busy), ok(Value::Null));
    assert_eq!(outcome(&pool, &blocking("later", || 1)), ok(1));
}

#[test]
fn dropping_the_pool_returns_at_once_and_its_threads_end_after_what_is_still_waited_for() {
    thread_local!(static LAST_WORDS: RefCell<Option<mpsc::Sender<()>>> = const { RefCell::new(None) });
    let pool = ThreadPool::new().threads(1);
    let (open, wait) = gate();
    let (ended, report) = Report::new();
    let ended = Mutex::new(Some(ended));
    let busy = blocking("busy", move || {
        LAST_WORDS.set(ended.lock().unwrap().take());
        wait();
        "done"
    });
    let busy = pool.start(dispatch(&busy, Value::Null));
    let queued = pool.start(dispatch(&blocking("queued", || "done too"), Value::Null));
    let (called, withdrawn) = Report::new();
    drop(pool.start(dispatch(&blocking("withdrawn", move || called.send(()).unwrap()), Value::Null)));

    drop(pool);
    drop(open);
    assert_eq!(block_on(busy), ok("done"));
    assert_eq!(block_on(queued), ok("done too"));
    report.wait_for_drop();
    withdrawn.wait_for_drop();
}

#[test]
fn a_pool_may_be_dropped_by_its_own_run() {
    let pool = Arc::new(Mutex::new(Some(ThreadPool::new())));
    let owner = pool.clone();
    let suicidal = blocking("t", move || drop(owner.lock().unwrap().take()));
    let run = pool.lock().unwrap().as_ref().unwrap().start(dispatch(&suicidal, Value::Null));
    assert_eq!(block_on(run), ok(Value::Null));
    assert!(pool.lock().unwrap().is_none());
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_pool_that_can_start_no_thread_says_so() {
    let pool = ThreadPool::new().named("huge").stack_size(1 << 62);
    let Outcome::Error(message) = outcome(&pool, &blocking("t", || {})) else { panic!("it ran on half of all memory") };
    assert!(message.starts_with("pool `huge` could not start a thread: "), "{message}");
}
