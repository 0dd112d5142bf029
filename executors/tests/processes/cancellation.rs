//! Runs that are to end.

use std::{thread, time::Duration};

use futures_lite::future::block_on;
use rustix::process::{Signal, kill_process};
use scheduler_core::{Executor, Outcome};

use crate::{
    deaths::number,
    stage::{DEADLINE, begin, dispatch, eventually, is_alive, ok, outcome, pid, pool},
};

#[test]
fn a_blocking_task_that_heeds_its_token_keeps_its_worker() {
    let pool = pool().grace(Duration::from_secs(20));
    let worker = pid(&pool);
    let begun = begin(&pool, "heeds");
    begun.token.cancel();
    assert_eq!(block_on(begun.run), Outcome::Cancelled);
    assert_eq!(pid(&pool), worker);
}

#[test]
fn a_cancelled_task_that_goes_on_is_killed_after_the_grace_and_its_worker_replaced() {
    let pool = pool().grace(Duration::from_millis(50));
    let worker = pid(&pool);
    let begun = begin(&pool, "stubborn");
    begun.token.cancel();
    assert_eq!(block_on(begun.run), Outcome::Cancelled);
    assert!(!is_alive(worker), "it has been waited for");
    assert_eq!(outcome(&pool, "double", 1), ok(2));
}

#[test]
fn what_a_killed_task_has_started_is_killed_with_it() {
    let pool = pool().grace(Duration::from_millis(50));
    let begun = begin(&pool, "waits for a program");
    let program = number(&begun.file);
    assert!(is_alive(program));
    begun.token.cancel();
    assert_eq!(block_on(begun.run), Outcome::Cancelled);
    eventually("the task's program is killed", || !is_alive(program));
}

#[test]
fn a_worker_that_reads_nothing_any_more_is_killed_after_the_grace() {
    let pool = pool().grace(Duration::from_millis(50));
    let worker = pid(&pool);
    kill_process(worker, Signal::STOP).unwrap();
    // As much as its socket takes under Linux, so that not even the word to stop finds room.
    let dispatch = dispatch("double", "x".repeat(212_000));
    let token = dispatch.context.cancellation.clone();
    let run = pool.start(dispatch);
    let (report, end) = std::sync::mpsc::channel();
    thread::spawn(move || report.send(block_on(run)));
    let is_early = end.recv_timeout(Duration::from_millis(300));
    assert!(is_early.is_err(), "it has no worker that could end it: {is_early:?}");
    token.cancel();
    assert_eq!(end.recv_timeout(DEADLINE), Ok(Outcome::Cancelled));
    assert!(!is_alive(worker), "it has been waited for");
}
