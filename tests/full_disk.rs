//! A disk without room under a running scheduler, which goes on by itself when there is room again.
#![cfg(all(unix, feature = "sqlite", feature = "tokio"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, process::Command, sync::Arc, time::Duration};

use apscheduler::{
    Event, EventKind, EventMask, EventStream, JobSpec, Scheduler, ShutdownMode, StoreLink, TokioRuntime,
    stores::SqliteStore,
    trigger::{First, Interval},
};
use rustix::process::{Resource, Rlimit, setrlimit};
use tempfile::TempDir;

/// How long the test waits for something before it fails.
const DEADLINE: Duration = Duration::from_secs(60);

const IS_CHILD: &str = "FULL_DISK_CHILD";

#[test]
fn a_scheduler_goes_on_when_its_disk_has_room_again_and_says_so_no_earlier() {
    // A process that ignores the signal gets an error for what it writes beyond the limit of its files' size.
    let mut child = Command::new("sh");
    child.args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#]).arg(env::current_exe().unwrap());
    child.args(["--exact", "child", "--ignored", "--nocapture"]).env(IS_CHILD, "1");
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is the process whose files are limited"]
async fn child() {
    if env::var_os(IS_CHILD).is_none() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("jobs.db").display());
    let scheduler = Scheduler::builder(TokioRuntime::current())
        .store("default", SqliteStore::connect(&url).await.unwrap())
        .task("tick", || async {})
        .build()
        .unwrap();
    scheduler
        .add_job(JobSpec::new("tick", Interval::every(Duration::from_millis(20)).first(First::Now)))
        .await
        .unwrap();
    let mut events = scheduler.events(EventMask::STORE_FAILED | EventMask::STORE_RECOVERED | EventMask::RUN_EXECUTED);
    scheduler.start().await.unwrap();
    for _ in 0..2 {
        until(&mut events, |kind| matches!(kind, EventKind::RunExecuted { .. })).await;

        // Below what its `-wal` has already: nothing can be written, everything can be read.
        limit_files_to(Some(1_000));
        let told = until(&mut events, |kind| matches!(kind, EventKind::StoreFailed { .. })).await;
        let EventKind::StoreFailed { error, .. } = &told.kind else { unreachable!() };
        assert!(error.contains("limits of the file size"), "{error}");
        // Some polls of the store, which succeed.
        let recovered = until(&mut events, |kind| matches!(kind, EventKind::StoreRecovered(_)));
        assert!(tokio::time::timeout(Duration::from_secs(3), recovered).await.is_err(), "it is still full");
        assert!(!scheduler.jobs().await.unwrap().is_empty(), "it can be read");
        assert!(matches!(scheduler.health().await.stores[0].link, StoreLink::Down { .. }));
        scheduler.add_job(JobSpec::now("tick")).await.unwrap_err();

        limit_files_to(None);
        until(&mut events, |kind| matches!(kind, EventKind::StoreRecovered(_))).await;
        until(&mut events, |kind| matches!(kind, EventKind::RunExecuted { .. })).await;
        assert_eq!(scheduler.health().await.stores[0].link, StoreLink::Up);
        scheduler.add_job(JobSpec::now("tick")).await.unwrap();
    }
    scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    // So that it can be copied.
    assert!(!folder.path().join("jobs.db-wal").exists());
}

fn limit_files_to(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// The next event of this kind.
async fn until(events: &mut EventStream, is_it: impl Fn(&EventKind) -> bool) -> Arc<Event> {
    let event = async {
        loop {
            let event = events.next().await.expect("the scheduler is there").expect("the reader keeps up");
            if is_it(&event.kind) {
                return event;
            }
        }
    };
    tokio::time::timeout(DEADLINE, event).await.expect("it is told")
}
