use std::{
    sync::{Arc, Mutex},
    thread,
};

use futures_lite::future::block_on;
use scheduler_core::{Dispatch, Executor, Outcome, SpawnBlocking, Task};
use scheduler_executors::{Spawn, blocking, task};
use serde_json::Value;

use crate::runs::{Report, dispatch, ok};

#[test]
fn an_async_task_runs_where_its_future_is_polled_and_not_before() {
    let (called, report) = Report::new();
    let here = task("here", move || {
        called.send(()).unwrap();
        let is_named = thread::current().name() == Some("runtime");
        async move { is_named }
    });
    let run = Spawn::new().start(dispatch(&here, Value::Null));
    assert!(!report.has_come());
    let runtime = thread::Builder::new().name("runtime".into()).spawn(|| block_on(run)).unwrap();
    assert_eq!(runtime.join().unwrap(), ok(true));
}

/// A run of a task, on a runtime with this pool.
fn on_pool(pool: SpawnBlocking, task: &Task) -> Dispatch {
    let mut dispatch = dispatch(task, Value::Null);
    dispatch.blocking = pool;
    dispatch
}

#[test]
fn a_blocking_task_runs_on_the_runtimes_pool() {
    let pool: SpawnBlocking =
        Arc::new(|work| drop(thread::Builder::new().name("runtime-pool".into()).spawn(work).unwrap()));
    let there = blocking("there", || thread::current().name().map(ToOwned::to_owned));
    let run = Spawn::new().start(on_pool(pool, &there));
    assert_eq!(block_on(run), ok("runtime-pool"));
}

#[test]
fn a_run_that_waits_for_the_runtimes_pool_is_cancelled_at_once_and_withdrawn_with_its_future() {
    let queue = Arc::new(Mutex::new(Vec::new()));
    let queued = queue.clone();
    let pool: SpawnBlocking = Arc::new(move |work| queued.lock().unwrap().push(work));
    let (called, report) = Report::new();
    let task = blocking("t", move || called.send(()).unwrap());

    let first = on_pool(pool.clone(), &task);
    let token = first.context.cancellation.clone();
    let first = Spawn::new().start(first);
    let second = Spawn::new().start(on_pool(pool, &task));
    token.cancel();
    assert_eq!(block_on(first), Outcome::Cancelled);
    drop(second);

    for work in queue.lock().unwrap().drain(..) {
        work();
    }
    assert!(!report.has_come());
}

#[test]
fn a_run_whose_runtime_goes_away_before_it_starts_ends() {
    let pool: SpawnBlocking = Arc::new(drop);
    let task = blocking("t", || {});

    let run = Spawn::new().start(on_pool(pool.clone(), &task));
    assert_eq!(block_on(run), Outcome::Error("the threads were gone before the task could start".into()));

    let cancelled = on_pool(pool, &task);
    cancelled.context.cancellation.cancel();
    assert_eq!(block_on(Spawn::new().start(cancelled)), Outcome::Cancelled);
}
