//! A connection: how it is set up, its transaction, and the rows that come from it.

use chrono::{DateTime, Utc};
use scheduler_core::{
    NodeId,
    store::{Clock, Hint, StoreError, StoreErrorKind},
};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, PgConnection, Postgres, Row,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::Query,
};

use super::{
    Database, channel,
    failure::{is_conflict, is_lost},
};
use crate::{
    kit::{
        columns::{Columns, Unreadable},
        rules::whole_micros,
    },
    sql::{ANSWER_TIMEOUT, Argument, Lent, Statement, Transaction, node_name, within},
};

/// What holds for each connection, whatever is set for its database and its user: each statement sees what is committed, and
/// may write. How long the server waits for a row that someone else has locked, and works on a statement. A transaction about
/// which it hears nothing, since its process is stopped or its machine gone, ends before those that wait for its rows give up.
const SETTINGS: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; \
    SET standard_conforming_strings = on; SET lock_timeout = '5s'; SET statement_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = '4s'; \
    SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off";

/// Opens a connection.
///
/// Plans are made once, and never scan a table: what the statistics say of a table that fills and empties by the second
/// is old, and a scan of what has died in it is slow. Nor is one worth to be compiled.
pub(super) async fn open(options: PgConnectOptions, schema: Option<String>) -> Result<PgConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    let path = schema.map(|schema| format!("; SET search_path TO {schema}")).unwrap_or_default();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(format!("{SETTINGS}{path}")))).await?;
    Ok(connection)
}

/// A transaction on a connection of its own. If it is dropped, the connection is closed, and the server undoes it.
pub(super) struct Tx<'a> {
    database: &'a Database,
    /// None after the end.
    lent: Option<Lent<PgConnection>>,
    now: DateTime<Utc>,
    hints: Vec<Hint>,
    has_met_another: bool,
}

impl<'a> Tx<'a> {
    pub(super) async fn begin(database: &'a Database) -> Result<Self, StoreError> {
        // Whatever is wrong with an idle one, nothing has begun on it.
        let begun = database.pool.ask(|_| true, |connection| Ok(Box::pin(begin(connection))));
        let (now, lent) = begun.await?;
        Ok(Self { database, lent: Some(lent), now, hints: Vec::new(), has_met_another: false })
    }

    /// The connection, which is closed if it is not put back.
    fn take_connection(&mut self) -> Result<Lent<PgConnection>, StoreError> {
        let over = || self.database.failures.because(StoreErrorKind::Unavailable, "the call has failed before");
        self.lent.take().ok_or_else(over)
    }

    async fn answered<T>(&mut self, answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        match within(ANSWER_TIMEOUT, answer).await {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                self.has_met_another |= is_conflict(&error);
                Err(self.database.failures.of(error))
            }
            None => {
                self.database.pool.close_idle();
                Err(self.database.failures.late())
            }
        }
    }
}

impl Transaction for Tx<'_> {
    type Tables = Database;

    fn now(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        match self.database.options.clock {
            Clock::Server => self.now,
            Clock::Caller => whole_micros(at),
        }
    }

    async fn all(&mut self, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        let mut lent = self.take_connection()?;
        let rows = self.answered(bound(statement).fetch_all(lent.connection())).await;
        self.lent = Some(lent);
        rows
    }

    async fn run(&mut self, statement: Statement) -> Result<(), StoreError> {
        let mut lent = self.take_connection()?;
        let done = self.answered(bound(statement).execute(lent.connection())).await;
        self.lent = Some(lent);
        done.map(drop)
    }

    fn tell(&mut self, hint: Hint) {
        self.hints.push(hint);
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let commit = commit(&channel(&self.database.options.prefix), &self.hints);
        let mut lent = self.take_connection()?;
        self.answered(lent.connection().execute(sqlx::raw_sql(AssertSqlSafe(commit)))).await?;
        lent.give_back();
        Ok(())
    }

    fn has_met_another(&self) -> bool {
        self.has_met_another
    }
}

/// Begins a transaction of which each statement sees what is committed by then: what waits for a lock has to see what the
/// last holder has written.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Begins a transaction and asks for the time in one round trip.
async fn begin(connection: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    const BEGIN_AND_NOW: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
        SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let row = sqlx::raw_sql(BEGIN_AND_NOW).fetch_all(connection).await?;
    time(row.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?)
}

/// The server's time.
pub(super) async fn server_time(connection: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    time(sqlx::query_scalar(NOW).fetch_one(connection).await?)
}

fn time(micros: i64) -> Result<DateTime<Utc>, sqlx::Error> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| sqlx::Error::Protocol(format!("{micros} is no time")))
}

/// The end of a transaction, and what it lets others know.
fn commit(channel: &str, hints: &[Hint]) -> String {
    format!("{}COMMIT", notify(channel, hints))
}

/// What a transaction lets others know when it ends.
pub(super) fn notify(channel: &str, hints: &[Hint]) -> String {
    let mut payloads: Vec<String> = hints.iter().map(channel::payload).collect();
    payloads.sort_unstable();
    payloads.dedup();
    payloads.iter().map(|payload| format!("NOTIFY {channel}, '{payload}'; ")).collect()
}

/// All rows of a statement outside of a transaction.
pub(super) async fn read(database: &Database, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
    let asked = database.pool.ask(is_lost, |connection| Ok(Box::pin(bound(statement.clone()).fetch_all(connection))));
    let (rows, lent) = asked.await?;
    lent.give_back();
    Ok(rows)
}

pub(super) fn bound(statement: Statement) -> Query<'static, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(statement.sql));
    statement.arguments.into_iter().fold(query, |query, argument| match argument {
        Argument::Integer(integer) => query.bind(integer),
        Argument::Text(text) => query.bind(text),
    })
}

impl Columns for PgRow {
    fn node(name: String) -> NodeId {
        node_name::read(name)
    }

    fn integer(&self, at: usize) -> Result<Option<i64>, Unreadable> {
        self.try_get(at).map_err(|_| Unreadable)
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, Unreadable> {
        let text: Option<String> = self.try_get(at).map_err(|_| Unreadable)?;
        Ok(text.map(String::into_bytes))
    }

    fn key(&self, at: usize) -> Result<Option<Value>, Unreadable> {
        let text: Option<String> = self.try_get(at).map_err(|_| Unreadable)?;
        Ok(text.map(Value::from))
    }
}
