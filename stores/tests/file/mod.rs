//! A fresh SQLite file with two handles on it, and how to damage its rows.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "helpers of tests, of which each file uses its part"
)]

use std::{str::FromStr, sync::Arc};

use scheduler_core::JobId;
use scheduler_stores::{SqliteOptions, SqliteStore, Synchronous};
use scheduler_testkit::store::{Damage, StoreUnderTest};
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
        std::fs::write(self.folder.path().join("jobs.db"), bytes).unwrap();
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
