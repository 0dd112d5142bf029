//! SQLite files that are moved, removed, replaced, or cut off from their logs while a store uses them; what a file has
//! after the end, and who can read it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod file;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use file::{File, Jobs, ids as ids_of};
use scheduler_core::{
    JobStore, NodeId,
    store::{StoreError, StoreErrorKind},
};
use scheduler_stores::SqliteStore;
use scheduler_testkit::store::block_on;

/// The jobs in a file as another process finds them, which gets this file and nothing beside it.
async fn ids_in_copy_of(path: &Path) -> Vec<String> {
    let copy = File::new();
    fs::copy(path, copy.path("")).unwrap();
    ids_of(&copy.open().await).await.unwrap()
}

fn assert_told(error: &StoreError, words: &str) {
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains(words) && error.to_string().contains("jobs.db"), "{error}");
}

#[test]
fn a_file_that_is_moved_away_takes_no_jobs_until_it_is_back() {
    block_on(async {
        let file = File::new();
        let jobs = Jobs::of(&file).await;
        jobs.add("before").await.unwrap();
        let elsewhere = file.path(".moved");
        fs::rename(file.path(""), &elsewhere).unwrap();

        assert_told(&jobs.add("into nothing").await.unwrap_err(), "it is not there any more");
        assert_told(&jobs.store.changed(0).await.unwrap_err(), "put it back");
        assert_told(&ids_of(&jobs.store).await.unwrap_err(), "put it back");
        assert!(!file.path("").exists(), "nothing is created in its place");
        assert_eq!(ids_in_copy_of(&elsewhere).await, ["before"], "what was moved is whole");

        fs::rename(&elsewhere, file.path("")).unwrap();
        jobs.add("after").await.unwrap();
        assert_eq!(jobs.ids().await, ["after", "before"]);
    });
}

#[test]
fn a_file_that_is_removed_is_noticed_by_whatever_is_asked_next() {
    block_on(async {
        for n in 0..3 {
            let file = File::new();
            let jobs = Jobs::of(&file).await;
            jobs.store.changed(0).await.unwrap();
            fs::remove_file(file.path("")).unwrap();
            let error = match n {
                0 => jobs.store.changed(1).await.unwrap_err(),
                1 => ids_of(&jobs.store).await.unwrap_err(),
                _ => jobs.add("report").await.unwrap_err(),
            };
            assert_told(&error, "it is not there any more");
        }
    });
}

#[test]
fn a_folder_that_is_moved_takes_its_jobs_along() {
    block_on(async {
        let file = File::new();
        let folder = file.path("-folder");
        fs::create_dir(&folder).unwrap();
        let url = format!("sqlite://{}", folder.join("jobs.db").display());
        let jobs = Jobs::new(SqliteStore::connect(&url).await.unwrap());
        jobs.add("before").await.unwrap();
        let elsewhere = file.path("-elsewhere");
        fs::rename(&folder, &elsewhere).unwrap();
        assert_told(&jobs.add("into nothing").await.unwrap_err(), "it is not there any more");
        assert_eq!(ids_in_copy_of(&elsewhere.join("jobs.db")).await, ["before"]);
    });
}

#[test]
fn a_restore_by_mv_is_told_and_then_used_and_the_former_file_is_whole() {
    block_on(async {
        let (file, backup) = (File::new(), File::new());
        let other = Jobs::of(&backup).await;
        other.add("restored").await.unwrap();
        other.store.release(other.bench.at(), &NodeId::from("a")).await.unwrap();
        let jobs = Jobs::of(&file).await;
        let second = Jobs::of(&file).await;
        jobs.add("former").await.unwrap();
        assert_eq!(second.ids().await, ["former"]);

        fs::rename(file.path(""), file.path(".old")).unwrap();
        fs::rename(backup.path(""), file.path("")).unwrap();
        assert_told(&jobs.add("lost").await.unwrap_err(), "another file has been put in its place");
        assert_eq!(jobs.ids().await, ["restored"]);
        jobs.add("new").await.unwrap();
        assert_eq!(jobs.ids().await, ["new", "restored"]);

        assert_told(&second.store.changed(0).await.unwrap_err(), "another file has been put in its place");
        assert_eq!(second.ids().await, ["new", "restored"], "each user of the file sees the same");
        assert_eq!(ids_in_copy_of(&file.path(".old")).await, ["former"]);
    });
}

#[test]
fn a_file_that_is_still_being_restored_is_waited_for_and_not_written_to() {
    block_on(async {
        let (file, backup) = (File::new(), File::new());
        let other = Jobs::of(&backup).await;
        other.add("restored").await.unwrap();
        other.store.release(other.bench.at(), &NodeId::from("a")).await.unwrap();
        let jobs = Jobs::of(&file).await;
        fs::remove_file(file.path("")).unwrap();
        assert_told(&jobs.add("lost").await.unwrap_err(), "it is not there any more");

        file.write(b"");
        assert_told(&jobs.add("lost").await.unwrap_err(), "it has no tables of this store");
        fs::copy(backup.path(""), file.path("")).unwrap();
        assert_eq!(jobs.ids().await, ["restored"]);
    });
}

#[test]
fn a_log_that_is_removed_is_saved_into_the_file() {
    block_on(async {
        for removed in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
            let file = File::new();
            let jobs = Jobs::of(&file).await;
            for n in 0..20 {
                jobs.add(&format!("job-{n}")).await.unwrap();
            }
            for suffix in removed {
                fs::remove_file(file.path(suffix)).unwrap();
            }
            assert_told(&jobs.add("into nothing").await.unwrap_err(), "was removed while it was in use");
            jobs.add("after").await.unwrap();
            let ids = jobs.ids().await;
            assert_eq!(ids.len(), 21, "{removed:?}: {ids:?}");
            assert_eq!(ids_of(&file.open().await).await.unwrap(), ids, "another process sees the same");
        }
    });
}

#[test]
fn a_log_that_is_removed_under_several_users_of_the_file_loses_nothing() {
    block_on(async {
        let file = File::new();
        let (jobs, second) = (Jobs::of(&file).await, Jobs::of(&file).await);
        jobs.add("first").await.unwrap();
        second.add("second").await.unwrap();
        fs::remove_file(file.path("-wal")).unwrap();
        assert_told(&jobs.add("lost").await.unwrap_err(), "was removed while it was in use");
        assert_told(&jobs.add("lost").await.unwrap_err(), "while other programs use it");
        assert_told(&second.store.changed(0).await.unwrap_err(), "was removed while it was in use");
        jobs.add("third").await.unwrap();
        assert_eq!(second.ids().await, ["first", "second", "third"]);
        assert_eq!(jobs.ids().await, ["first", "second", "third"]);
    });
}

#[test]
fn after_a_release_the_file_by_itself_has_everything() {
    block_on(async {
        let file = File::new();
        let jobs = Jobs::of(&file).await;
        jobs.add("report").await.unwrap();
        assert!(fs::metadata(file.path("-wal")).unwrap().len() > 0);
        jobs.store.release(jobs.bench.at(), &NodeId::from("a")).await.unwrap();
        assert!(!file.path("-wal").exists() && !file.path("-shm").exists());
        assert_eq!(ids_in_copy_of(&file.path("")).await, ["report"]);

        // The store can still be used, and so can the file while others have it open.
        jobs.add("another").await.unwrap();
        let second = Jobs::of(&file).await;
        jobs.store.release(jobs.bench.at(), &NodeId::from("a")).await.unwrap();
        assert_eq!(ids_in_copy_of(&file.path("")).await, ["another", "report"]);
        assert_eq!(second.ids().await, ["another", "report"]);
    });
}

#[test]
fn a_backup_is_made_by_vacuum_into_while_the_store_is_used() {
    block_on(async {
        let file = File::new();
        let jobs = Jobs::of(&file).await;
        jobs.add("report").await.unwrap();
        let backup = file.path(".backup");
        file.run(&format!("VACUUM INTO '{}'", backup.display())).await;
        jobs.add("later").await.unwrap();
        assert_eq!(ids_in_copy_of(&backup).await, ["report"]);
    });
}

#[test]
fn a_file_that_the_store_makes_is_its_owners_alone_and_one_that_is_there_stays_as_it_is() {
    block_on(async {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let file = File::new();
        let jobs = Jobs::of(&file).await;
        jobs.add("secret").await.unwrap();
        let modes = ["", "-wal", "-shm"].map(|suffix| mode(&file.path(suffix)));
        assert_eq!(modes, [0o600; 3]);
        let others = fs::read_dir(file.path("").parent().unwrap()).unwrap().count();
        assert_eq!(others, 3, "nothing else is left in the folder");

        let shared = File::new();
        shared.write(b"");
        fs::set_permissions(shared.path(""), fs::Permissions::from_mode(0o660)).unwrap();
        let jobs = Jobs::of(&shared).await;
        jobs.add("for the group").await.unwrap();
        let modes = ["", "-wal", "-shm"].map(|suffix| mode(&shared.path(suffix)));
        assert_eq!(modes, [0o660; 3]);
    });
}
