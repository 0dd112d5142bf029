//! One connection: its transaction, and the rows that come from it.

use chrono::{DateTime, Utc};
use scheduler_core::{
    NodeId,
    store::{Hint, StoreError, StoreErrorKind},
};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Connection, Row, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    Database,
    connections::{Lent, Role},
};
use crate::Synchronous;
use crate::{
    kit::{
        columns::{Columns, Unreadable},
        rules::whole_micros,
    },
    sql::{Argument, Statement, Transaction, node_name},
};

/// A transaction that has the write lock from its start, so that it never fails halfway because of another process. If it is
/// dropped before its end, its connection is closed, which undoes it.
pub(super) struct Tx<'a> {
    database: &'a Database,
    /// None after the end, or an error.
    lent: Option<Lent<'a>>,
    is_change_told: bool,
}

impl<'a> Tx<'a> {
    pub(super) async fn begin(database: &'a Database) -> Result<Self, StoreError> {
        let mut lent = database.connections.lend(Role::Writer).await?;
        let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut lent.connection).await;
        begun.map_err(|error| database.failures.of(error))?;
        Ok(Self { database, lent: Some(lent), is_change_told: false })
    }

    /// The connection, which is closed if it is not put back.
    fn take_connection(&mut self) -> Result<Lent<'a>, StoreError> {
        let over = || self.database.failures.because(StoreErrorKind::Unavailable, "the call has failed before");
        self.lent.take().ok_or_else(over)
    }
}

impl Transaction for Tx<'_> {
    type Tables = Database;

    fn now(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        whole_micros(at)
    }

    async fn all(&mut self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        let mut lent = self.take_connection()?;
        let rows = bound(statement).fetch_all(&mut lent.connection).await;
        let rows = rows.map_err(|error| self.database.failures.of(error))?;
        self.lent = Some(lent);
        Ok(rows)
    }

    async fn run(&mut self, statement: Statement) -> Result<(), StoreError> {
        let mut lent = self.take_connection()?;
        let done = bound(statement).execute(&mut lent.connection).await;
        done.map_err(|error| self.database.failures.of(error))?;
        self.lent = Some(lent);
        Ok(())
    }

    /// What the change was is not told: processes that look out for it look at everything.
    fn tell(&mut self, _: Hint) {
        self.is_change_told = true;
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let mut lent = self.take_connection()?;
        let fail = |error| self.database.failures.of(error);
        if self.is_change_told {
            let count = sqlx::query(AssertSqlSafe(self.database.count_change.clone()));
            count.execute(&mut lent.connection).await.map_err(fail)?;
        }
        sqlx::query("COMMIT").execute(&mut lent.connection).await.map_err(fail)?;
        self.database.connections.give_back(lent)
    }
}

/// All rows of a statement outside of a transaction.
pub(super) async fn read(database: &Database, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
    let mut reader = database.connections.lend(Role::Reader).await?;
    let rows = bound(statement).fetch_all(&mut reader.connection).await;
    let rows = rows.map_err(|error| database.failures.of(error))?;
    database.connections.give_back(reader)?;
    Ok(rows)
}

pub(super) fn bound(statement: Statement) -> Query<'static, Sqlite, SqliteArguments> {
    let query = sqlx::query(AssertSqlSafe(statement.sql));
    statement.arguments.into_iter().fold(query, |query, argument| match argument {
        Argument::Integer(integer) => query.bind(integer),
        Argument::Text(text) => query.bind(text),
    })
}

/// Sets what holds for the writing connection, or for the file.
pub(super) async fn configure(connection: &mut SqliteConnection, synchronous: Synchronous) -> Result<(), sqlx::Error> {
    let level = match synchronous {
        Synchronous::Full => "PRAGMA synchronous = FULL",
        Synchronous::Normal => "PRAGMA synchronous = NORMAL",
    };
    for pragma in [level, CACHE, TEMPORARY, CHECKPOINT] {
        sqlx::query(pragma).execute(&mut *connection).await?;
    }
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
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
        connection.begin_with("BEGIN IMMEDIATE").await?.rollback().await?;
        switched = switch_to_wal(connection).await;
    }
    switched
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

impl Columns for SqliteRow {
    fn node(name: String) -> NodeId {
        node_name::read(name)
    }

    fn integer(&self, at: usize) -> Result<Option<i64>, Unreadable> {
        self.try_get(at).map_err(|_| Unreadable)
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, Unreadable> {
        self.try_get(at).map_err(|_| Unreadable)
    }

    fn key(&self, at: usize) -> Result<Option<Value>, Unreadable> {
        Ok(self.integer(at)?.map(Value::from))
    }
}
