//! State of tasks in workers, each of which makes its own.

use std::{fs, io::Write as _, path::Path, process::id};

use scheduler_core::{Outcome, State, Task};
use scheduler_executors::{blocking, process, process::ProcessPool, task};

use crate::stage::{error, ok, outcome, pool};

/// Names the case that the worker of [`serves_with_state`] is to be.
const CASE: &str = "WORKER_STATE";

#[derive(Clone)]
struct Fonts(Vec<String>);

fn tasks() -> Vec<Task> {
    vec![
        blocking("fonts", |State(fonts): State<Fonts>| fonts.0),
        task("fonts later", async |State(fonts): State<Fonts>, n: usize| fonts.0[n].clone()),
    ]
}

/// Where the workers of this module begin; for any other process it is nothing.
#[test]
fn serves_with_state() {
    let Ok(case) = std::env::var(CASE) else { return };
    let worker = process::Worker::new(tasks());
    match case.as_str() {
        "none" => worker,
        "fails" => worker.try_state(|| Err::<Fonts, _>("no font is installed")),
        "panics" => worker.state(|| -> Fonts { panic!("the font is broken (this panic is part of the test)") }),
        file => worker.state(|| load(Path::new(file))),
    }
    .serve();
}

/// Leaves a line in the file for each process that loads them.
fn load(file: &Path) -> Fonts {
    let mut lines = fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    writeln!(lines, "{}", id()).unwrap();
    Fonts(vec!["serif".to_owned(), "sans".to_owned()])
}

fn pool_with(case: &str) -> ProcessPool {
    pool().args(["--exact", "state::serves_with_state", "--nocapture"]).env(CASE, case)
}

#[test]
fn state_is_made_once_in_a_worker_and_not_in_the_process_of_the_pool() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("loaded");
    let pool = pool_with(file.to_str().unwrap());
    assert!(!file.exists());
    for _ in 0..2 {
        assert_eq!(outcome(&pool, "fonts", ()), ok(vec!["serif", "sans"]));
        assert_eq!(outcome(&pool, "fonts later", 1), ok("sans"));
    }
    let loaded = fs::read_to_string(&file).unwrap();
    assert_eq!(loaded.lines().count(), 1, "{loaded}");
    assert_ne!(loaded.trim(), id().to_string());
}

#[test]
fn a_worker_whose_state_cannot_be_made_says_why() {
    for (case, told) in [
        (
            "none",
            "task `fonts` takes `State<processes::state::Fonts>`, which this worker does not have: give it to `process::Worker` with `.state(..)`",
        ),
        ("fails", "the state `processes::state::Fonts` cannot be made: no font is installed"),
        (
            "panics",
            "making the state `processes::state::Fonts` panicked: the font is broken (this panic is part of the test)",
        ),
    ] {
        let ended: Outcome = outcome(&pool_with(case), "fonts", ());
        let text = error(ended);
        assert!(text.contains(told), "{text}");
    }
}
