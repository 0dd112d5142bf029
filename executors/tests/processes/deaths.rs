//! Workers that die.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use futures_lite::future::block_on;
use rustix::process::{Pid, Signal, kill_process};
use scheduler_core::Executor;
use scheduler_executors::process::ProcessPool;
use serde::Serialize;
use tempfile::TempDir;

use crate::stage::{begin, crash, dispatch, eventually, is_alive, ok, outcome, pid, pool};

/// Lets a task end its worker, and says how the run has crashed; the next run is well.
#[track_caller]
fn death(pool: &ProcessPool, name: &str, args: impl Serialize) -> String {
    let text = crash(outcome(pool, name, args));
    assert_eq!(outcome(pool, "double", 2), ok(4));
    text
}

#[test]
fn a_worker_that_dies_costs_its_run_which_says_how_and_is_replaced() {
    let pool = pool();
    assert!(death(&pool, "aborts", ()).starts_with("its worker ended with signal 6 (SIGABRT)"));
    assert!(death(&pool, "signals itself", "SIGSEGV").starts_with("its worker ended with signal 11 (SIGSEGV)"));
    assert_eq!(death(&pool, "signals itself", "SIGKILL"), "its worker ended with signal 9 (SIGKILL)");
    assert!(death(&pool, "overflows", ()).starts_with("its worker ended with signal 6 (SIGABRT)"));
}

#[test]
fn a_task_that_ends_its_process_has_crashed_even_with_success() {
    let pool = pool();
    assert_eq!(death(&pool, "exits", 3), "its worker ended with exit status 3");
    assert_eq!(death(&pool, "exits", 0), "its worker ended with exit status 0");
}

#[test]
fn the_death_of_one_worker_disturbs_no_run_of_another() {
    let pool = pool().workers(2);
    let steady = begin(&pool, "tidy");
    for _ in 0..3 {
        crash(outcome(&pool, "aborts", ()));
    }
    steady.token.cancel();
    assert_eq!(block_on(steady.run), ok("swept"));
}

#[test]
fn a_worker_that_is_killed_from_outside_in_the_middle_of_a_run_costs_that_run() {
    let pool = pool();
    let worker = pid(&pool);
    let begun = begin(&pool, "endless");
    kill_process(worker, Signal::KILL).unwrap();
    assert_eq!(crash(block_on(begun.run)), "its worker ended with signal 9 (SIGKILL)");
    assert_eq!(outcome(&pool, "double", 2), ok(4));
}

#[test]
#[cfg(target_os = "linux")]
fn a_worker_that_dies_while_it_is_idle_costs_no_run() {
    let pool = pool();
    for _ in 0..20 {
        let worker = pid(&pool);
        // The next run may come before the worker is dead, and finds out.
        kill_process(worker, Signal::KILL).unwrap();
        assert_ne!(pid(&pool), worker);
    }
}

#[test]
fn what_a_dead_worker_has_started_dies_with_it() {
    let pool = pool();
    let worker = pid(&pool);
    let begun = begin(&pool, "waits for a program");
    let program = number(&begun.file);
    kill_process(worker, Signal::KILL).unwrap();
    crash(block_on(begun.run));
    eventually("the worker's program is killed", || !is_alive(program));
}

#[test]
fn dropping_the_pool_ends_its_workers() {
    let pool = pool();
    let idle = pid(&pool);
    drop(pool);
    eventually("the worker ends", || !is_alive(idle));
}

#[test]
fn a_run_that_is_still_waited_for_outlives_its_pool_and_the_worker_ends_with_it() {
    let pool = pool();
    let worker = pid(&pool);
    let begun = begin(&pool, "tidy");
    let queued = pool.start(dispatch("double", 3));
    drop(pool);
    assert!(is_alive(worker));
    begun.token.cancel();
    assert_eq!(block_on(begun.run), ok("swept"));
    assert_eq!(block_on(queued), ok(6));
    eventually("the worker ends", || !is_alive(worker));
}

/// What a program does whose death is tested: it has a pool, and waits.
#[test]
fn program() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let pool = pool().workers(2).grace(Duration::from_millis(100));
    let busy = pool.start(dispatch("stubborn", folder.join("busy")));
    eventually("the task begins", || folder.join("busy").exists());
    let idle = pid(&pool);
    fs::write(folder.join("idle.new"), idle.as_raw_nonzero().to_string()).unwrap();
    fs::rename(folder.join("idle.new"), folder.join("idle")).unwrap();
    block_on(busy);
}

const FOLDER: &str = "FOLDER_OF_A_PROGRAM_THAT_IS_KILLED";

#[test]
fn a_program_that_dies_leaves_no_workers_not_even_busy_ones() {
    let folder = TempDir::new().unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "deaths::program", "--nocapture"])
        .env(FOLDER, folder.path())
        .spawn()
        .unwrap();
    eventually("the program has a worker", || folder.path().join("idle").exists());
    let busy = number(&folder.path().join("busy"));
    let idle = number(&folder.path().join("idle"));
    assert!(is_alive(busy) && is_alive(idle));

    program.kill().unwrap();
    program.wait().unwrap();
    eventually("both workers end", || !is_alive(busy) && !is_alive(idle));
}

pub(crate) fn number(file: &std::path::Path) -> Pid {
    Pid::from_raw(fs::read_to_string(file).unwrap().trim().parse().unwrap()).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_worker_that_the_pool_kills_for_what_it_says_is_named_with_the_reason() {
    let pool = pool();
    let worker = pid(&pool);
    let text = crash(outcome(&pool, "babbles", ()));
    assert_eq!(
        text,
        format!("its pool killed its worker, process {worker}, whose answer cannot be understood: this is not a frame")
    );
    assert_eq!(outcome(&pool, "double", 1), ok(2));
}
