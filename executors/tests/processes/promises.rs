//! What every executor promises, for tasks that run in another process.

use std::path::PathBuf;

use futures_lite::future::block_on;
use scheduler_core::{Executor, NESTING_LIMIT, Outcome};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{DEADLINE, begin, dispatch, eventually, is_alive, now, ok, outcome, pid, pool};

#[test]
fn a_task_that_returns_is_ok_with_its_value_and_one_that_fails_is_an_error() {
    let pool = pool();
    assert_eq!(outcome(&pool, "waits", ()), ok(7));
    assert_eq!(outcome(&pool, "double", 4), ok(8));
    assert_eq!(outcome(&pool, "fails", ()), Outcome::Error("the disk is full".into()));
    assert_eq!(outcome(&pool, "fails later", ()), Outcome::Error("the disk is full".into()));
}

#[test]
fn a_task_finds_its_arguments_and_its_run() {
    let pool = pool();
    let args = json!({"text": "ä \u{0} \u{1F600}", "numbers": [1, -2.5, 1e300], "nothing": null});
    assert_eq!(outcome(&pool, "echo", &args), Outcome::Ok(args));
    assert_eq!(
        outcome(&pool, "context", ()),
        ok(json!([
            "nightly",
            {"uid": "00000000000000000000000000000001", "seq": 7},
            "Nightly",
            "default",
            "a",
            "1970-01-01T00:00:00Z",
            2,
            3,
        ]))
    );
}

#[test]
fn arguments_and_results_come_as_deep_as_a_scheduler_takes_them() {
    let pool = pool();
    let worker = pid(&pool);
    let deepest = (0..NESTING_LIMIT).fold(Value::Null, |inner, _| json!({ "in": inner }));
    assert_eq!(outcome(&pool, "echo", &deepest), Outcome::Ok(deepest));
    let Outcome::Error(text) = outcome(&pool, "digs", NESTING_LIMIT + 1) else { panic!("it came through") };
    assert!(text.ends_with("in it more than 120 arrays and objects lie in each other"), "{text}");
    assert_eq!(pid(&pool), worker);
}

#[test]
fn wrong_arguments_are_an_error_that_names_what_the_task_takes() {
    let message = "the task takes `u64`, which these arguments are not: \
                   invalid type: string \"four\", expected u64";
    assert_eq!(outcome(&pool(), "double", "four"), Outcome::Error(message.into()));
}

#[test]
fn a_panic_is_an_outcome_with_its_text_and_the_worker_goes_on() {
    let pool = pool();
    let worker = pid(&pool);
    let panicked = |text: &str| Outcome::Panicked(text.into());
    assert_eq!(outcome(&pool, "panics", "plain"), panicked("plain"));
    assert_eq!(outcome(&pool, "panics oddly", ()), panicked("a value that is not text"));
    assert_eq!(outcome(&pool, "panics later", ()), panicked("too late"));
    assert_eq!(pid(&pool), worker);
}

#[test]
fn a_run_that_is_cancelled_before_it_starts_is_never_called() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("begun");
    let pool = pool();
    let dispatch = dispatch("endless", &file);
    dispatch.context.cancellation.cancel();
    assert_eq!(block_on(pool.start(dispatch)), Outcome::Cancelled);
    assert_eq!(outcome(&pool, "double", 1), ok(2));
    assert!(!file.exists());
}

#[test]
fn an_async_task_is_dropped_at_its_next_await_after_it_is_cancelled() {
    let pool = pool();
    let worker = pid(&pool);
    let begun = begin(&pool, "endless");
    begun.token.cancel();
    assert_eq!(block_on(begun.run), Outcome::Cancelled);
    assert_eq!(pid(&pool), worker, "that costs no worker");
}

#[test]
fn an_async_task_that_ends_by_itself_when_it_is_cancelled_keeps_its_outcome() {
    let pool = pool();
    let begun = begin(&pool, "tidy");
    begun.token.cancel();
    assert_eq!(block_on(begun.run), ok("swept"));
}

#[test]
fn dropping_the_future_of_a_run_kills_its_worker() {
    let pool = pool().grace(2 * DEADLINE); // for which nobody waits
    let worker = pid(&pool);
    let begun = begin(&pool, "stubborn");
    drop(begun.run);
    eventually("the worker is killed", || !is_alive(worker));
    assert_eq!(outcome(&pool, "double", 1), ok(2));
}

#[test]
fn a_queued_run_is_cancelled_at_once_although_no_worker_is_free_and_is_never_called() {
    let pool = pool();
    let busy = begin(&pool, "tidy");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("begun");
    let queued = dispatch("endless", &file);
    let token = queued.context.cancellation.clone();
    let queued = pool.start(queued);
    token.cancel();
    assert_eq!(block_on(queued), Outcome::Cancelled);
    drop(pool.start(dispatch("endless", &file)));

    busy.token.cancel();
    assert_eq!(block_on(busy.run), ok("swept"));
    assert_eq!(outcome(&pool, "double", 1), ok(2));
    assert!(!file.exists());
}

#[test]
fn as_many_runs_run_at_a_time_as_there_are_workers() {
    let pool = pool().workers(3);
    assert_eq!(pool.limit().map(|limit| limit.get()), Some(3));
    let folder = TempDir::new().unwrap();
    let files: Vec<PathBuf> = (0..3).map(|number| folder.path().join(number.to_string())).collect();
    let runs: Vec<_> =
        (0..3).map(|number| pool.start(dispatch("meets", (&files[number], &files[(number + 1) % 3])))).collect();
    for run in runs {
        assert_eq!(block_on(run), ok(Value::Null));
    }
}

#[test]
fn what_a_task_prints_or_reads_does_no_harm() {
    let pool = pool();
    for _ in 0..3 {
        assert_eq!(outcome(&pool, "prints", ()), ok(""), "it reads the end of its input");
    }
}

#[test]
fn arguments_and_results_may_have_megabytes() {
    let pool = pool();
    let text = "0123456789abcdef".repeat(1 << 19); // 8 MiB
    assert_eq!(outcome(&pool, "echo", &text), Outcome::Ok(Value::String(text)));
    assert_eq!(outcome(&pool, "large", 20 << 20), ok("x".repeat(20 << 20)));
}

#[test]
fn arguments_that_are_nested_too_deep_are_an_error_and_harm_no_later_run() {
    let pool = pool();
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let text = crate::stage::error(outcome(&pool, "echo", deep));
    assert!(text.contains("recursion limit"), "{text}");
    assert_eq!(outcome(&pool, "double", 1), ok(2));
}

#[test]
fn a_worker_is_no_worker_to_the_programs_that_it_starts() {
    assert_eq!(outcome(&pool(), "nested", ()), ok(true));
}

#[test]
fn workers_have_the_environment_that_the_pool_gives_them() {
    let pool = pool().env("WORKER_COLOUR", "blue");
    assert_eq!(outcome(&pool, "variable", "WORKER_COLOUR"), ok("blue"));
    assert!(matches!(outcome(&pool, "variable", "PATH"), Outcome::Ok(Value::String(_))), "and that of its process");
}

#[test]
fn ten_thousand_runs_at_once_are_all_told() {
    const RUNS: u64 = 10_000;
    let pool = pool().workers(2);
    assert_eq!(outcome(&pool, "double", 0), ok(0));
    let start = now();
    let runs: Vec<_> = (0..RUNS).map(|n| (n, pool.start(dispatch("double", n)))).collect();
    for (n, run) in runs {
        assert_eq!(block_on(run), ok(n * 2));
    }
    eprintln!("{:.0} runs/s by two workers", RUNS as f64 / start.elapsed().as_secs_f64());
}
