//! Workers that do not get as far as to serve.

use std::time::Duration;

use crate::stage::{error, ok, outcome, pool};

/// Set for programs that forget to serve.
pub(crate) const FORGETFUL: &str = "FORGETFUL_WORKER";

/// What a program does that has forgotten to serve: it comes to its own work.
#[test]
fn forgetful() {
    match std::env::var(FORGETFUL).as_deref() {
        Ok("waits") => std::thread::park(),
        Ok("has a pool") => {
            let text = error(outcome(&pool(), "double", 1));
            std::fs::write(std::env::var("TELLS").unwrap(), text).unwrap();
        }
        _ => {}
    }
}

#[test]
fn a_task_that_the_worker_does_not_have_is_an_error_that_says_where_to_put_it() {
    let text = error(outcome(&pool(), "unheard of", ()));
    assert!(
        text.starts_with("the worker has no task `unheard of`: give it to `process::serve`, which has `"),
        "{text}"
    );
    assert!(text.contains("`double`"), "{text}");
}

#[test]
fn a_program_that_ends_without_serving_is_an_error_that_names_what_it_has_to_call() {
    let pool = pool().args(["--exact", "no such test"]);
    assert_eq!(
        error(outcome(&pool, "double", 1)),
        "no worker process: it ended with exit status 0 instead of serving: \
         call `process::serve` first in `main`, with the tasks"
    );
}

#[test]
fn a_program_that_goes_on_without_serving_is_killed_after_a_deadline() {
    let pool =
        pool().args(["--exact", "starts::forgetful"]).env(FORGETFUL, "waits").start_timeout(Duration::from_millis(300));
    assert_eq!(
        error(outcome(&pool, "double", 1)),
        "no worker process: it did not serve within 300ms: call `process::serve` first in `main`, with the tasks"
    );
}

#[test]
fn a_program_that_forgets_to_serve_and_has_a_pool_starts_no_workers_of_its_own() {
    let folder = tempfile::TempDir::new().unwrap();
    let told = folder.path().join("told");
    let pool = pool().args(["--exact", "starts::forgetful"]).env(FORGETFUL, "has a pool").env("TELLS", &told);
    error(outcome(&pool, "double", 1));
    assert_eq!(
        std::fs::read_to_string(told).unwrap(),
        "no worker process: this process is a worker of a process pool itself, and has no pool: \
         call `process::serve` first in `main`, with the tasks"
    );
}

#[test]
fn a_program_that_is_not_there_is_an_error_of_each_run_and_a_later_start_is_tried_again() {
    let folder = tempfile::TempDir::new().unwrap();
    let program = folder.path().join("program");
    let pool = pool().program(&program);
    for _ in 0..3 {
        let text = error(outcome(&pool, "double", 1));
        assert!(text.starts_with("no worker process: it could not be started: No such file"), "{text}");
    }
    std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &program).unwrap();
    crate::stage::eventually("the pause ends", || outcome(&pool, "double", 1) == ok(2));
}

#[test]
fn a_program_that_does_not_serve_is_not_started_over_and_over() {
    let folder = tempfile::TempDir::new().unwrap();
    let starts = folder.path().join("starts");
    let script = r#"echo "a start" >> "$0""#;
    let pool = pool().program("/bin/sh").args(["-c", script, starts.to_str().unwrap()]);
    let first = error(outcome(&pool, "double", 1));
    for _ in 0..500 {
        assert_eq!(error(outcome(&pool, "double", 1)), first);
    }
    let starts = std::fs::read_to_string(starts).unwrap().lines().count();
    assert!(starts < 50, "{starts} starts for 501 runs");
}
