//! What is particular to the runtime of plain threads.

use std::future::{pending, ready};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use scheduler_runtime::Runtime;
use scheduler_thread::ThreadRuntime;

/// Only what hangs takes this long.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn block_on_takes_any_future_which_may_borrow_and_need_not_be_send() {
    let runtime = ThreadRuntime::new().expect("the system has threads");
    let text = std::rc::Rc::new("borrowed".to_owned());
    assert_eq!(runtime.block_on(async { text.len() }), 8);
    let failed: Result<(), String> = runtime.block_on(async { Err("as it was".to_owned()) });
    assert_eq!(failed, Err("as it was".to_owned()));
}

#[test]
fn block_on_in_async_code_panics_and_says_what_to_do_instead() {
    let runtime = ThreadRuntime::new().expect("the system has threads");
    let (tell, told) = mpsc::channel();
    let inner = runtime.clone();
    runtime.spawn(Box::pin(async move {
        let panic = catch_unwind(AssertUnwindSafe(|| inner.block_on(Box::pin(ready(())))))
            .expect_err("a thread that drives futures must not wait");
        tell.send(*panic.downcast::<&str>().expect("a message")).expect("awaited");
    }));

    let message = told.recv_timeout(DEADLINE).expect("the future says what it met");
    assert!(message.contains("await the future there"), "{message}");
}

#[test]
fn the_last_clone_takes_the_futures_with_it() {
    let runtime = ThreadRuntime::with_worker_threads(NonZeroUsize::MIN).expect("the system has threads");
    let clone = runtime.clone();
    let (held, dropped) = mpsc::channel::<()>();
    let (begun, begin) = mpsc::channel();
    runtime.spawn(Box::pin(async move {
        begun.send(()).expect("awaited");
        pending::<()>().await;
        drop(held);
    }));
    begin.recv_timeout(DEADLINE).expect("the future begins");

    drop(runtime);
    assert_eq!(dropped.try_recv(), Err(mpsc::TryRecvError::Empty), "the clone keeps it");

    drop(clone);
    assert_eq!(dropped.recv_timeout(DEADLINE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn blocking_work_outlives_the_runtime() {
    let runtime = ThreadRuntime::new().expect("the system has threads");
    let (gate, open) = mpsc::channel::<()>();
    let (done, end) = mpsc::channel();
    runtime.spawn_blocking(Box::new(move || {
        let _ = open.recv();
        done.send("the end").expect("awaited");
    }));

    drop(runtime);
    drop(gate);

    assert_eq!(end.recv_timeout(DEADLINE), Ok("the end"));
}
