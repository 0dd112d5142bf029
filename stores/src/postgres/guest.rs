//! A transaction of the application's.

use std::any::Any;

use chrono::{DateTime, Utc};
use scheduler_core::store::{Clock, Hint, StoreError};
use sqlx::{AssertSqlSafe, PgConnection, postgres::PgRow};

use super::{
    Database, channel,
    connection::{bound, notify, server_time},
};
use crate::{
    kit::rules::whole_micros,
    sql::{Guest, RowOf, Statement, Tables, Transaction},
};

/// What a verb does in a transaction of the application's, which commits it or undoes it.
pub(super) struct GuestTx<'a> {
    database: &'a Database,
    connection: &'a mut PgConnection,
    /// The server's time, if its clock decides.
    now: Option<DateTime<Utc>>,
    hints: Vec<Hint>,
}

impl<'a> GuestTx<'a> {
    pub(super) async fn begin(
        database: &'a Database,
        transaction: &'a mut (dyn Any + Send),
    ) -> Result<Self, StoreError> {
        let connection: &mut PgConnection = database.guest.connection(transaction, "PostgreSQL")?;
        let now = match database.options.clock {
            Clock::Server => Some(server_time(connection).await.map_err(|error| database.guest.failures().of(error))?),
            Clock::Caller => None,
        };
        Ok(Self { database, connection, now, hints: Vec::new() })
    }

    fn fail(&self, error: sqlx::Error) -> StoreError {
        self.database.guest.failures().of(error)
    }
}

impl Transaction for GuestTx<'_> {
    type Tables = Guest<PgRow>;

    fn now(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.now.unwrap_or_else(|| whole_micros(at))
    }

    async fn all(&mut self, statement: Statement) -> Result<Vec<RowOf<Self>>, StoreError> {
        let rows = bound(statement).fetch_all(&mut *self.connection).await;
        rows.map_err(|error| self.fail(error))
    }

    async fn run(&mut self, statement: Statement) -> Result<(), StoreError> {
        let done = bound(statement).execute(&mut *self.connection).await;
        done.map(drop).map_err(|error| self.fail(error))
    }

    fn tell(&mut self, hint: Hint) {
        self.hints.push(hint);
    }

    /// The server lets others know when the application commits.
    async fn commit(&mut self) -> Result<(), StoreError> {
        let notify = notify(&channel(&self.database.options.prefix), &self.hints);
        let told = sqlx::raw_sql(AssertSqlSafe(notify)).execute(&mut *self.connection).await;
        told.map(drop).map_err(|error| self.fail(error))
    }
}
