//! Processes that open one SQLite file at the same moment: as none of them has used it yet, and as others leave it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod file;

use std::{
    env,
    io::Write,
    process::{Command, Stdio},
};

use file::{File, Jobs};
use scheduler_core::JobStore;
use scheduler_stores::SqliteStore;
use scheduler_testkit::store::block_on;

const URL: &str = "SQLITE_STARTS_URL";

const NUMBER: &str = "SQLITE_STARTS_NUMBER";

const PROCESSES: usize = 6;

/// How often each opens the file, adds a job, and leaves.
const TIMES: usize = 5;

#[test]
fn processes_that_start_at_once_on_an_empty_file_and_come_and_go_do_not_disturb_each_other() {
    for _ in 0..3 {
        let file = File::new();
        let mut children: Vec<_> = (0..PROCESSES)
            .map(|number| {
                let mut child = Command::new(env::current_exe().unwrap());
                child.args(["--exact", "child", "--ignored", "--nocapture"]);
                child.env(URL, file.url()).env(NUMBER, number.to_string());
                child.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for child in &mut children {
            child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        }
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let ids = block_on(async { Jobs::of(&file).await.ids().await });
        assert_eq!(ids.len(), PROCESSES * TIMES, "{ids:?}");
    }
}

#[test]
#[ignore = "it is each of the processes of the test above"]
fn child() {
    let Ok(url) = env::var(URL) else { return };
    let number = env::var(NUMBER).unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    block_on(async {
        for time in 0..TIMES {
            let jobs = Jobs::new(SqliteStore::connect(&url).await.unwrap());
            jobs.add(&format!("{number}-{time}")).await.unwrap();
            jobs.store.release(jobs.bench.at(), &number.as_str().into()).await.unwrap();
        }
    });
}
