//! A connection: how it is set up, its transaction, and the rows that come from it.

use chrono::{DateTime, Utc};
use scheduler_core::{
    NodeId,
    store::{Clock, Hint, StoreError, StoreErrorKind},
};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, MySql, MySqlConnection, Row,
    mysql::{MySqlArguments, MySqlConnectOptions, MySqlRow},
    query::Query,
};

use super::{
    Database,
    failure::{is_conflict, is_lost},
    statements::Places,
};
use crate::{
    kit::{
        columns::{Columns, Unreadable},
        rules::whole_micros,
    },
    sql::{ANSWER_TIMEOUT, Argument, Lent, Statement, Transaction, node_name, within},
};

/// What holds for each connection, whatever the server's defaults are: values that do not fit are errors, each statement
/// sees what is committed, may write, and is a transaction of its own outside of one, a transaction ends with its `COMMIT`,
/// all rows are found, none twice in a unique index, and no call waits for long. A transaction about which the server hears
/// nothing, since its process is stopped or its machine gone, ends before those that wait for its rows give up. MySQL
/// (`!80000`) has no time for that but the one after which any connection ends, and MariaDB alone (`M!`) has one for
/// statements.
const SETTINGS: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 5, \
    autocommit = 1, completion_type = 0, unique_checks = 1, foreign_key_checks = 1, sql_safe_updates = 0, \
    sql_big_selects = 1, sql_select_limit = 18446744073709551615 \
    /*!80000 , wait_timeout = 4 */ /*M!100600 , max_statement_time = 10, idle_transaction_timeout = 4 */; \
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE";

/// Begins a transaction and asks for the time, whatever the time zone is.
const BEGIN: &str = "START TRANSACTION; SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

/// Opens a connection.
pub(super) async fn open(options: MySqlConnectOptions) -> Result<MySqlConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    set_up(&mut connection).await?;
    Ok(connection)
}

async fn set_up(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(SETTINGS)).await?;
    Ok(())
}

/// A transaction on a connection of its own. If it is dropped before its end, the connection is closed, and the server
/// undoes it.
pub(super) struct Tx<'a> {
    database: &'a Database,
    /// None after the end.
    lent: Option<Lent<MySqlConnection>>,
    now: DateTime<Utc>,
    is_change_told: bool,
    has_met_another: bool,
    is_lost: bool,
}

impl<'a> Tx<'a> {
    pub(super) async fn begin(database: &'a Database) -> Result<Self, StoreError> {
        // Whatever is wrong with an idle one, nothing has begun on it.
        let begun = database.pool.ask(|_| true, |connection| Ok(Box::pin(begin(connection))));
        let (now, lent) = begun.await?;
        let [is_change_told, has_met_another, is_lost] = [false; 3];
        Ok(Self { database, lent: Some(lent), now, is_change_told, has_met_another, is_lost })
    }

    /// The connection, which is closed if it is not put back.
    fn take_connection(&mut self) -> Result<Lent<MySqlConnection>, StoreError> {
        let over = || self.database.failures.because(StoreErrorKind::Unavailable, "the call has failed before");
        self.lent.take().ok_or_else(over)
    }

    /// Goes on with a connection, unless it is of no use any more.
    fn keep(&mut self, lent: Lent<MySqlConnection>) {
        self.lent = (!self.is_lost).then_some(lent);
    }

    async fn answered<T>(&mut self, answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        match within(ANSWER_TIMEOUT, answer).await {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                self.has_met_another |= is_conflict(&error);
                self.is_lost |= is_lost(&error);
                Err(self.database.failures.of(error))
            }
            None => {
                self.is_lost = true;
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

    async fn all(&mut self, statement: Statement) -> Result<Vec<MySqlRow>, StoreError> {
        let query = bound(self.database, statement)?;
        let mut lent = self.take_connection()?;
        let rows = self.answered(query.fetch_all(lent.connection())).await;
        self.keep(lent);
        rows
    }

    async fn run(&mut self, statement: Statement) -> Result<(), StoreError> {
        let query = bound(self.database, statement)?;
        let mut lent = self.take_connection()?;
        let done = self.answered(query.execute(lent.connection())).await;
        self.keep(lent);
        done.map(drop)
    }

    /// What the change was is not told: nodes that look out for it look at everything.
    fn tell(&mut self, _: Hint) {
        self.is_change_told = true;
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let commit =
            if self.is_change_told { self.database.count_change_and_commit.clone() } else { "COMMIT".to_owned() };
        let mut lent = self.take_connection()?;
        self.answered(lent.connection().execute(sqlx::raw_sql(AssertSqlSafe(commit)))).await?;
        lent.give_back();
        Ok(())
    }

    /// The connection is kept, and the rows are free for the next call at once.
    async fn undo(&mut self) {
        if let Some(mut lent) = self.lent.take()
            && let Some(Ok(_)) = within(ANSWER_TIMEOUT, lent.connection().execute("ROLLBACK")).await
        {
            lent.give_back();
        }
    }

    fn has_met_another(&self) -> bool {
        self.has_met_another
    }
}

async fn begin(connection: &mut MySqlConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    let rows = sqlx::raw_sql(BEGIN).fetch_all(connection).await?;
    time(rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?)
}

/// The server's time.
pub(super) async fn server_time(connection: &mut MySqlConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    const NOW: &str = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";
    time(sqlx::query_scalar(NOW).fetch_one(connection).await?)
}

fn time(micros: i64) -> Result<DateTime<Utc>, sqlx::Error> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| sqlx::Error::Protocol(format!("{micros} is no time")))
}

/// All rows of a statement outside of a transaction.
pub(super) async fn read(database: &Database, statement: Statement) -> Result<Vec<MySqlRow>, StoreError> {
    let asked = database
        .pool
        .ask(is_lost, |connection| Ok(Box::pin(bound(database, statement.clone())?.fetch_all(connection))));
    let (rows, lent) = asked.await?;
    lent.give_back();
    Ok(rows)
}

/// What a packet carries besides the arguments.
const PACKET_HEAD: usize = 64 << 10;

/// A server ends the connection when a packet is too large, so that it is not sent.
pub(super) fn bound(
    database: &Database,
    statement: Statement,
) -> Result<Query<'static, MySql, MySqlArguments>, StoreError> {
    let Places { text, order } = Places::of(&statement.sql);
    let length = |at: &usize| match &statement.arguments[*at] {
        Argument::Text(text) => text.len(),
        Argument::Integer(_) => 0,
    };
    if order.iter().map(length).sum::<usize>() + PACKET_HEAD > database.packet {
        let why =
            "the call is larger than `max_allowed_packet` lets through; raise it on the server, or send less at once";
        return Err(database.failures.because(StoreErrorKind::TooLarge, why));
    }
    let mut arguments: Vec<_> = statement.arguments.into_iter().map(Some).collect();
    let mut query = sqlx::query(AssertSqlSafe(text));
    for (place, at) in order.iter().enumerate() {
        let is_last = !order[place + 1..].contains(at);
        let argument = if is_last { arguments[*at].take() } else { arguments[*at].clone() };
        query = match argument.expect("it is taken at its last place") {
            Argument::Integer(integer) => query.bind(integer),
            Argument::Text(text) => query.bind(text),
        };
    }
    Ok(query)
}

impl Columns for MySqlRow {
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
        let text: Option<String> = self.try_get(at).map_err(|_| Unreadable)?;
        Ok(text.map(Value::from))
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use sqlx::{ConnectOptions, Executor, Row, mysql::MySqlConnectOptions};

    use super::set_up;
    use crate::sql::server::url;

    #[test]
    fn a_connection_relies_on_no_default_of_the_server() {
        async_io::block_on(async {
            let mut connection = MySqlConnectOptions::from_str(&url("mysql")).unwrap().connect().await.unwrap();
            let spoil = "SET SESSION sql_mode = 'ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH', autocommit = 0, \
                completion_type = 2, unique_checks = 0, sql_safe_updates = 1, sql_big_selects = 0, sql_select_limit = 1; \
                SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY";
            connection.execute(sqlx::raw_sql(spoil)).await.unwrap();

            set_up(&mut connection).await.unwrap();

            let asked = "SELECT CONCAT_WS(' ', @@sql_mode, @@autocommit + 0, @@completion_type, @@unique_checks + 0, \
                @@sql_safe_updates + 0, @@sql_big_selects + 0, @@sql_select_limit)";
            let row = connection.fetch_one(sqlx::raw_sql(asked)).await.unwrap();
            let expected = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION 1 NO_CHAIN 1 0 1 18446744073709551615";
            assert_eq!(row.get::<String, _>(0), expected);
            let server = connection.fetch_one("SELECT VERSION()").await.unwrap().get::<String, _>(0);
            let [isolation, read_only] = match server.contains("MariaDB") {
                true => ["tx_isolation", "tx_read_only"],
                false => ["transaction_isolation", "transaction_read_only"],
            };
            let asked = format!("SELECT CONCAT(@@{isolation}, ' ', @@{read_only} + 0)");
            let row = connection.fetch_one(sqlx::raw_sql(sqlx::AssertSqlSafe(asked))).await.unwrap();
            assert_eq!(row.get::<String, _>(0), "READ-COMMITTED 0");
        });
    }
}
