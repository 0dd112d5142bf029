//! A store and a log, on which children work.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use apscheduler::{Scheduler, TokioRuntime};
use rustix::process::Signal;
use sqlx::Connection;
use tempfile::TempDir;

use crate::{
    child::{Child, Part},
    log::{Line, Log},
    test_store::{Contents, TestStore},
};

pub(crate) struct Stage {
    test_store: TestStore,
    folder: TempDir,
    pub(crate) log: Log,
}

impl Stage {
    pub(crate) fn new(store: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let log = Log::new(&folder.path().join("log"));
        Self { test_store: TestStore::new(store), folder, log }
    }

    pub(crate) fn start(&self, part: Part, lease: Duration) -> Child {
        Child::start(part, &self.test_store, &self.log_file(), lease)
    }

    /// Kills a process, of whose runs none counts any more from before that on.
    pub(crate) fn kill(&self, child: &Child) {
        self.log.write(&Line { what: "killed".to_owned(), pid: child.id(), ..Line::default() });
        child.signal(Signal::KILL);
    }

    pub(crate) fn set_limit(&self, key: &str, limit: u32) {
        block_on(async {
            let store = self.test_store.open().await;
            let scheduler = Scheduler::builder(TokioRuntime::current()).store("default", store).build().unwrap();
            scheduler.set_limit(key, limit).await.unwrap();
        });
    }

    /// What the store says when no process writes to it.
    pub(crate) fn contents(&self) -> Contents {
        self.check_file();
        Contents::read(&self.test_store)
    }

    /// Does something while no process holds a lock on what all of them share: one that is stopped with it would lock
    /// out the others, for as long as it is stopped.
    pub(crate) fn while_nobody_writes(&self, act: impl FnOnce()) {
        let ["sqlite", url, _] = self.test_store.parts() else { return act() };
        block_on(async {
            let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
            let transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
            act();
            transaction.rollback().await.unwrap();
        });
    }

    /// A file is sound in the eyes of its database.
    fn check_file(&self) {
        let ["sqlite", url, _] = self.test_store.parts() else { return };
        block_on(async {
            let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
            let told: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
            assert_eq!(told, "ok");
        });
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[expect(clippy::disallowed_methods, reason = "a crash comes at any moment, which no event tells of")]
pub(crate) fn wait_a_random_while(duration: Duration) {
    std::thread::sleep(duration);
}

#[expect(clippy::disallowed_methods, reason = "a deadline for other processes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Numbers that are the same in each run of the test (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
