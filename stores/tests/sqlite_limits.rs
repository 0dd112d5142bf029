//! SQLite where there is no room, or where the process may not do what it wants.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod file;

use std::{env, fs, os::unix::fs::PermissionsExt, path::Path, process::Command, str::FromStr};

use file::{File, Jobs};
use rustix::process::{Resource, Rlimit, setrlimit};
use scheduler_core::{JobStore, store::StoreErrorKind};
use scheduler_stores::SqliteStore;
use scheduler_testkit::store::block_on;
use sqlx::sqlite::SqliteConnectOptions;

#[test]
fn a_full_database_takes_jobs_again_when_it_has_room() {
    block_on(async {
        let file = File::new();
        let options = SqliteConnectOptions::from_str(&file.url()).unwrap().create_if_missing(true);
        let full = options.pragma("max_page_count", "120");
        let jobs = Jobs::new(SqliteStore::connect_with(full).await.unwrap());
        let mut added = 0;
        let error = loop {
            match jobs.add_with(&format!("job-{added}"), 50_000).await {
                Ok(()) => added += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("the disk is full; free some space"), "{error}");
        assert_eq!(jobs.ids().await.len(), added, "it can be read");
        jobs.store.remove(jobs.bench.at(), &["job-0".into(), "job-1".into()]).await.unwrap();
        jobs.add_with("again", 50_000).await.unwrap();
    });
}

/// SQLite undoes a transaction by itself when a write fails.
#[test]
fn a_write_that_fails_leaves_a_store_that_can_be_written_to_when_there_is_room() {
    run_in_a_process_that_may_not_write_beyond_its_limit("child_with_a_limit");
}

#[test]
#[ignore = "it is the other process of the test above"]
fn child_with_a_limit() {
    if env::var_os(IS_CHILD).is_none() {
        return;
    }
    block_on(async {
        let file = File::new();
        let jobs = Jobs::of(&file).await;
        jobs.add("first").await.unwrap();
        for size in [600_000, 700_000, 800_000] {
            limit_files_to(Some(400_000));
            for id in ["too big", "too big again"] {
                let error = jobs.add_with(id, size).await.unwrap_err();
                assert_eq!(error.kind(), StoreErrorKind::Unavailable);
                let message = error.to_string();
                assert!(message.contains("limits of the file size") || message.contains("disk is full"), "{message}");
            }
            jobs.store.changed(0).await.unwrap();
            assert!(!jobs.ids().await.is_empty(), "it can be read");

            limit_files_to(None);
            jobs.add_with(&format!("job-{size}"), size).await.unwrap();
        }
        assert_eq!(jobs.ids().await, ["first", "job-600000", "job-700000", "job-800000"]);
    });
}

const IS_CHILD: &str = "SQLITE_LIMITS_CHILD";

fn run_in_a_process_that_may_not_write_beyond_its_limit(test: &str) {
    // Whoever ignores the signal gets an error for what it writes beyond the limit.
    let mut child = Command::new("sh");
    child.args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#]).arg(env::current_exe().unwrap());
    let output = child.args(["--exact", test, "--ignored", "--nocapture"]).env(IS_CHILD, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn limit_files_to(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_process_may_not_do_is_named() {
    use StoreErrorKind::{ReadOnly, Unavailable};
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let refused = async |file: &File| SqliteStore::connect(&file.url()).await.unwrap_err();
    as_nobody(move || {
        block_on(async {
            for (folder, kind, words) in [
                (0o500, ReadOnly, "does not exist, and this process may not create it in"),
                (0o600, Unavailable, "may not look into its folder"),
            ] {
                let file = File::new();
                allow(file.folder(), folder);
                let error = refused(&file).await;
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.to_string().contains(words), "{error}");
                allow(file.folder(), 0o700);
            }
            for (folder, file_, kind, words) in [
                (0o700, 0o000, Unavailable, "this process may not read it"),
                (0o500, 0o600, ReadOnly, "where SQLite puts `-wal` and `-shm`"),
                (0o500, 0o400, ReadOnly, "where SQLite puts `-wal` and `-shm`"),
            ] {
                let file = file_with_a_job().await;
                allow(&file.path(""), file_);
                allow(file.folder(), folder);
                let error = refused(&file).await;
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.to_string().contains(words), "{error}");
                allow(file.folder(), 0o700);
            }
            let file = file_with_a_job().await;
            allow(&file.path(""), 0o400);
            let jobs = Jobs::of(&file).await;
            assert_eq!(jobs.ids().await, ["report"]);
            let error = jobs.add("another").await.unwrap_err();
            assert_eq!(error.kind(), ReadOnly, "{error}");
            assert!(error.to_string().contains("it is read-only; make the file and its folder writable"), "{error}");
        });
    });
}

#[cfg(target_os = "linux")]
async fn file_with_a_job() -> File {
    let file = File::new();
    let jobs = Jobs::of(&file).await;
    jobs.add("report").await.unwrap();
    jobs.store.release(jobs.bench.at(), &"a".into()).await.unwrap();
    file
}

/// Runs a test on a thread that has not the rights of root, which stand above permissions; nor have those that it starts.
#[cfg(target_os = "linux")]
fn as_nobody(test: impl FnOnce() + Send + 'static) {
    use rustix::{
        process::{Gid, Uid, getuid},
        thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
    };
    let run = move || {
        if getuid().is_root() {
            let (user, group) = (Uid::from_raw(65_534), Gid::from_raw(65_534));
            set_thread_groups(&[]).unwrap();
            set_thread_res_gid(group, group, group).unwrap();
            set_thread_res_uid(user, user, user).unwrap();
        }
        test();
    };
    std::thread::spawn(run).join().unwrap();
}
