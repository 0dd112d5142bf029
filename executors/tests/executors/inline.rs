use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    thread,
};

use futures_lite::future::{block_on, yield_now};
use scheduler_core::{BoxFuture, Executor, Outcome};
use scheduler_executors::{Inline, blocking, task};
use serde_json::Value;

use crate::runs::{Report, dispatch, ok};

fn poll_once(run: &mut BoxFuture<'static, Outcome>) -> Poll<Outcome> {
    Pin::new(run).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_blocking_task_has_ended_on_the_callers_thread_when_start_returns() {
    let caller = thread::current().id();
    let (called, report) = Report::new();
    let task = blocking("t", move || {
        assert_eq!(thread::current().id(), caller);
        called.send(()).unwrap();
    });
    let mut run = Inline::new().start(dispatch(&task, Value::Null));
    assert!(report.has_come());
    assert_eq!(poll_once(&mut run), Poll::Ready(ok(Value::Null)));
}

#[test]
fn an_async_task_is_polled_in_place_and_goes_on_as_a_future_if_it_has_to_wait() {
    let (called, report) = Report::new();
    let task = task("t", move || {
        let called = called.clone();
        async move {
            called.send(()).unwrap();
            yield_now().await;
            called.send(()).unwrap();
            yield_now().await;
            3
        }
    });
    let run = Inline::new().start(dispatch(&task, Value::Null));
    assert!(report.has_come());
    assert!(!report.has_come(), "it stops at its first await");
    assert_eq!(block_on(run), ok(3));
}
