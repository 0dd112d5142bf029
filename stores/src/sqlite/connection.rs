//! One connection: its transaction, and the rows that come from it.

use std::{fmt::Write, mem};

use chrono::{DateTime, Utc};
use scheduler_core::{
    NodeId,
    store::{Hint, StoreError, StoreErrorKind},
};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Connection, Row, SqlSafeStr, Sqlite, SqliteConnection,
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

/// A transaction that has the write lock from its first statement, so that it never fails halfway because of another process. If
/// it is dropped before its end, its connection is closed, which undoes it.
///
/// A statement goes to the thread of its connection and back, which costs more than most statements do. So those without an
/// answer, the beginning and the end wait for the next one that has an answer, or for the end, and go together.
pub(super) struct Tx<'a> {
    database: &'a Database,
    /// None after the end, or an error.
    lent: Option<Lent<'a>>,
    waiting: Script,
    is_change_told: bool,
}

/// Statements that are sent as one text. Their arguments are numbered through.
struct Script {
    text: String,
    arguments: Vec<Argument>,
}

impl<'a> Tx<'a> {
    pub(super) async fn begin(database: &'a Database) -> Result<Self, StoreError> {
        let lent = database.connections.lend(Role::Writer).await?;
        let waiting = Script { text: "BEGIN IMMEDIATE".to_owned(), arguments: Vec::new() };
        Ok(Self { database, lent: Some(lent), waiting, is_change_told: false })
    }

    /// Sends what is waiting, and gives the rows of all of it. If it fails, the connection is closed.
    async fn send(&mut self) -> Result<(Vec<SqliteRow>, Lent<'a>), StoreError> {
        let over = || self.database.failures.because(StoreErrorKind::Unavailable, "the call has failed before");
        let mut lent = self.lent.take().ok_or_else(over)?;
        let Script { text, arguments } = self.waiting.take();
        let rows = bound(text, arguments).fetch_all(&mut lent.connection).await;
        Ok((rows.map_err(|error| self.database.failures.of(error))?, lent))
    }
}

impl Script {
    fn take(&mut self) -> Self {
        Self { text: mem::take(&mut self.text), arguments: mem::take(&mut self.arguments) }
    }

    /// Adds a statement, whose arguments `?1`, `?2` and so on become the next ones of the script. They are given names, as `$8`, since
    /// SQLite counts a statement's arguments up to its highest number, and the driver goes by that count.
    fn add(&mut self, sql: &str, arguments: Vec<Argument>) {
        if !self.text.is_empty() {
            self.text.push_str("; ");
        }
        let mut parts = sql.split('?');
        self.text.extend(parts.next());
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let number: usize = part[..digits].parse().expect("statements have arguments that are numbered");
            write!(self.text, "${}{}", self.arguments.len() + number, &part[digits..]).expect("a string takes all");
        }
        self.arguments.extend(arguments);
    }
}

impl Transaction for Tx<'_> {
    type Tables = Database;

    fn now(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        whole_micros(at)
    }

    async fn all(&mut self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        self.waiting.add(&statement.sql, statement.arguments);
        let (rows, lent) = self.send().await?;
        self.lent = Some(lent);
        Ok(rows)
    }

    /// The statement is sent with the next one that has an answer, or with the commit. That call gives back the error if it fails.
    async fn run(&mut self, statement: Statement) -> Result<(), StoreError> {
        self.waiting.add(&statement.sql, statement.arguments);
        Ok(())
    }

    /// What the change was is not told: processes that look out for it look at everything.
    fn tell(&mut self, _: Hint) {
        self.is_change_told = true;
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        if self.is_change_told {
            self.waiting.add(&self.database.count_change, Vec::new());
        }
        self.waiting.add("COMMIT", Vec::new());
        let (_, lent) = self.send().await?;
        self.database.connections.give_back(lent)
    }
}

/// All rows of a statement outside of a transaction.
pub(super) async fn read(database: &Database, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
    let mut reader = database.connections.lend(Role::Reader).await?;
    let rows = bound(statement.sql, statement.arguments).fetch_all(&mut reader.connection).await;
    let rows = rows.map_err(|error| database.failures.of(error))?;
    database.connections.give_back(reader)?;
    Ok(rows)
}

pub(super) fn bound<T>(text: T, arguments: Vec<Argument>) -> Query<'static, Sqlite, SqliteArguments>
where
    AssertSqlSafe<T>: SqlSafeStr,
{
    let query = sqlx::query(AssertSqlSafe(text));
    arguments.into_iter().fold(query, |query, argument| match argument {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::statements::statements;

    #[test]
    fn the_arguments_of_a_script_are_numbered_through() {
        let mut script = Script { text: "BEGIN IMMEDIATE".to_owned(), arguments: Vec::new() };
        let numbers = |numbers: &[i64]| numbers.iter().map(|n| Argument::Integer(Some(*n))).collect::<Vec<_>>();
        script.add("UPDATE a SET b = ?2 WHERE c = ?1", numbers(&[1, 2]));
        script.add("DELETE FROM a", Vec::new());
        script.add("SELECT d FROM a WHERE e = ?1 LIMIT ?12", numbers(&[3]));
        let expected =
            "BEGIN IMMEDIATE; UPDATE a SET b = $2 WHERE c = $1; DELETE FROM a; SELECT d FROM a WHERE e = $3 LIMIT $14";
        assert_eq!((script.text.as_str(), script.arguments.len()), (expected, 3));
        assert_eq!((script.take().arguments.len(), script.text.as_str()), (3, ""));
    }

    #[test]
    fn each_statement_fits_into_a_script() {
        for (name, sql) in statements("jobs_").all() {
            let mut script = Script { text: String::new(), arguments: Vec::new() };
            script.add(sql, Vec::new());
            assert_eq!(script.text, sql.replace('?', "$"), "{name}");
        }
    }
}
