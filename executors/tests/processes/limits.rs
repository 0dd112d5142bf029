//! Workers that have had enough.

use scheduler_core::Outcome;
use serde_json::Value;

use crate::stage::{crash, ok, outcome, pid, pool};

#[test]
fn a_worker_is_replaced_after_as_many_runs_as_it_may_have() {
    let pool = pool().runs_per_worker(3);
    let workers: Vec<_> = (0..7).map(|_| pid(&pool)).collect();
    assert!(workers[0] == workers[1] && workers[1] == workers[2], "{workers:?}");
    assert!(workers[2] != workers[3] && workers[3] == workers[5] && workers[5] != workers[6], "{workers:?}");
}

#[test]
fn a_task_that_needs_more_memory_than_its_worker_may_have_crashes_alone() {
    let pool = pool().memory_limit(512 << 20);
    assert_eq!(outcome(&pool, "allocates", 50 << 20), ok(50 << 20));
    let text = crash(outcome(&pool, "allocates", 600 << 20));
    assert!(text.starts_with("its worker ended with signal 6 (SIGABRT)"), "{text}");
    assert!(text.ends_with("; its memory was limited to 536870912 bytes"), "{text}");
    assert_eq!(outcome(&pool, "double", 1), ok(2));
}

#[test]
#[cfg(target_os = "linux")]
fn a_worker_that_leaks_is_replaced_before_it_runs_out_of_memory() {
    let pool = pool().memory_limit(512 << 20);
    let mut workers: Vec<Value> = Vec::new();
    for _ in 0..12 {
        let Outcome::Ok(Value::Array(told)) = outcome(&pool, "leaks", 90 << 20) else { panic!("out of memory") };
        workers.push(told[0].clone());
    }
    workers.dedup();
    assert!((2..12).contains(&workers.len()), "{workers:?}");
}
