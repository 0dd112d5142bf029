//! A fresh SQLite file with two handles on it, and how to damage its rows.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "helpers of tests, of which each file uses its part"
)]

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use scheduler_core::{
    JobId, JobStore, Uid,
    store::{Inserted, JobQuery, StoreError},
};
use scheduler_stores::{SqliteOptions, SqliteStore, Synchronous};
use scheduler_testkit::store::{Bench, Damage, StoreUnderTest};
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

/// A file that goes with the last clone of this.
#[derive(Debug, Clone)]
pub struct File {
    folder: Arc<TempDir>,
}

impl File {
    pub fn new() -> Self {
        Self { folder: Arc::new(TempDir::new().unwrap()) }
    }

    pub fn url(&self) -> String {
        format!("sqlite://{}/jobs.db", self.folder.path().display())
    }

    /// Puts bytes in the place of the file.
    pub fn write(&self, bytes: &[u8]) {
        std::fs::write(self.path(""), bytes).unwrap();
    }

    /// The file, or with `-wal` and `-shm` one of those beside it.
    pub fn path(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("jobs.db{suffix}"))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A store on the file. Nothing here outlives a power failure.
    pub async fn open(&self) -> SqliteStore {
        SqliteOptions::new().synchronous(Synchronous::Normal).connect(&self.url()).await.unwrap()
    }

    /// A connection that goes round the store.
    pub async fn connection(&self) -> SqliteConnection {
        SqliteConnectOptions::from_str(&self.url()).unwrap().connect().await.unwrap()
    }

    pub async fn run(&self, sql: &str) {
        let mut connection = self.connection().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// The texts that a statement gives.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::query_scalar(sql).fetch_all(&mut self.connection().await).await.unwrap()
    }

    async fn damage(&self, id: JobId, damage: Damage) {
        let set = match damage {
            Damage::Body => r#"body = '{"v": 1, "task"'"#,
            Damage::Version => "v = 0, body = json_set(body, '$.v', 0)",
            Damage::State => "state = 'sleeping'",
            Damage::Uid => "uid = 'not a uid'",
        };
        let sql = format!("UPDATE scheduler_jobs SET {set} WHERE id = ?1 AND state NOT IN ('ending', 'removed')");
        let mut connection = self.connection().await;
        let done = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).execute(&mut connection).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
    }
}

/// A fresh file with two stores on it.
pub async fn setup() -> StoreUnderTest {
    let file = File::new();
    let (a, b) = (file.open().await, file.open().await);
    let (reopened, damaged) = (file.clone(), file);
    StoreUnderTest::new(a, b)
        .reopen(move || {
            let file = reopened.clone();
            async move { file.open().await }
        })
        .damage(move |id, damage| {
            let file = damaged.clone();
            async move { file.damage(id, damage).await }
        })
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Jobs that are far from due, in one store.
pub struct Jobs {
    pub store: SqliteStore,
    pub bench: Bench,
}

impl Jobs {
    pub fn new(store: SqliteStore) -> Self {
        let bench = Bench::new(StoreUnderTest::new(store.clone(), store.clone()));
        Self { store, bench }
    }

    pub async fn of(file: &File) -> Self {
        Self::new(file.open().await)
    }

    pub async fn add(&self, id: &str) -> Result<(), StoreError> {
        self.add_with(id, 10).await
    }

    /// Adds a job with an argument of this size.
    pub async fn add_with(&self, id: &str, size: usize) -> Result<(), StoreError> {
        let mut job = self.bench.job(id, self.bench.at() + chrono::TimeDelta::hours(1));
        job.body.args = "x".repeat(size).into();
        // Each bench counts for itself, and so does each process.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        job.uid = Uid(u128::from(std::process::id()) << 64 | u128::from(number));
        let added = self.store.insert(self.bench.at(), &[job]).await?;
        assert_eq!(added.value, [Inserted::Added]);
        Ok(())
    }

    pub async fn ids(&self) -> Vec<String> {
        ids(&self.store).await.unwrap()
    }
}

pub async fn ids(store: &SqliteStore) -> Result<Vec<String>, StoreError> {
    let jobs = store.jobs(&JobQuery { after: None, limit: 1_000 }).await?;
    Ok(jobs.iter().map(|job| job.id().to_string()).collect())
}
