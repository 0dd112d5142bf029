//! One connection: its transaction, and the rows that come from it.

use scheduler_core::store::StoreError;
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Connection, Row, Sqlite, SqliteConnection, Transaction,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    Database,
    failure::Failures,
    options::Synchronous,
    sql::{Sql, Text},
};
use crate::codec::{Columns, Unreadable};

/// A statement with its arguments.
pub(super) type Statement = Query<'static, Sqlite, SqliteArguments>;

/// A statement of [`Sql`].
pub(super) fn query(text: &Text) -> Statement {
    sqlx::query(AssertSqlSafe(Text::clone(text)))
}

/// A list as the one argument of a statement.
pub(super) fn list(items: impl IntoIterator<Item = Value>) -> String {
    Value::Array(items.into_iter().collect()).to_string()
}

/// A transaction that has the write lock from its start, so that it never fails halfway because of another process.
pub(super) struct Tx<'a> {
    pub(super) sql: &'a Sql,
    failures: &'a Failures,
    transaction: Transaction<'a, Sqlite>,
}

impl<'a> Tx<'a> {
    pub(super) async fn begin(database: &'a Database, writer: &'a mut SqliteConnection) -> Result<Self, StoreError> {
        let failures = &database.failures;
        let transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| failures.of(error))?;
        Ok(Self { sql: &database.sql, failures, transaction })
    }

    pub(super) async fn all(&mut self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        statement.fetch_all(&mut *self.transaction).await.map_err(|error| self.failures.of(error))
    }

    pub(super) async fn first(&mut self, statement: Statement) -> Result<Option<SqliteRow>, StoreError> {
        statement.fetch_optional(&mut *self.transaction).await.map_err(|error| self.failures.of(error))
    }

    /// Runs a statement and says how many rows it has changed.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<u64, StoreError> {
        let done = statement.execute(&mut *self.transaction).await.map_err(|error| self.failures.of(error))?;
        Ok(done.rows_affected())
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(|error| self.failures.of(error))
    }
}

/// Sets what holds for the writing connection, or for the file.
pub(super) async fn configure(
    connection: &mut SqliteConnection,
    synchronous: Synchronous,
    failures: &Failures,
) -> Result<(), StoreError> {
    let level = match synchronous {
        Synchronous::Full => "PRAGMA synchronous = FULL",
        Synchronous::Normal => "PRAGMA synchronous = NORMAL",
    };
    for pragma in [level, CACHE, TEMPORARY, CHECKPOINT] {
        sqlx::query(pragma).execute(&mut *connection).await.map_err(|error| failures.of(error))?;
    }
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| failures.of(error))?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    // The switch does not wait for a lock as statements do. Processes that start together wait for each other by
    // taking the write lock in between.
    let mut switched = switch_to_wal(connection).await;
    for _ in 0..SWITCH_ATTEMPTS {
        if switched.is_ok() {
            break;
        }
        connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| failures.of(error))?
            .rollback()
            .await
            .map_err(|error| failures.of(error))?;
        switched = switch_to_wal(connection).await;
    }
    switched.map_err(|error| failures.of(error))
}

/// 32 MiB: a busy second fits, so that its transaction is not written piecemeal.
const CACHE: &str = "PRAGMA cache_size = -32768";
/// What undoes a failed statement is kept in memory; undoing a transaction needs no file in WAL mode.
const TEMPORARY: &str = "PRAGMA temp_store = MEMORY";
/// 32 MiB of pages: with the default of 4 MiB a busy store copies the log back at nearly each commit.
const CHECKPOINT: &str = "PRAGMA wal_autocheckpoint = 8192";

/// More than processes that start at once on one machine.
const SWITCH_ATTEMPTS: usize = 50;

async fn switch_to_wal(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA journal_mode = WAL").fetch_one(connection).await?;
    Ok(())
}

/// A count in a row that this store alone writes; what cannot be one is 0.
pub(super) fn number(row: &SqliteRow, at: usize) -> u64 {
    row.integer(at).ok().flatten().and_then(|it| u64::try_from(it).ok()).unwrap_or_default()
}

/// A text in a row; what is none is empty.
pub(super) fn text(row: &SqliteRow, at: usize) -> String {
    let bytes = row.bytes(at).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A time in a row.
pub(super) fn time(row: &SqliteRow, at: usize) -> Option<chrono::DateTime<chrono::Utc>> {
    row.integer(at).ok().flatten().and_then(chrono::DateTime::from_timestamp_micros)
}

impl Columns for SqliteRow {
    fn integer(&self, at: usize) -> Result<Option<i64>, Unreadable> {
        self.try_get(at).map_err(|_| Unreadable)
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, Unreadable> {
        self.try_get(at).map_err(|_| Unreadable)
    }
}
