//! A transaction of the application's.

use std::any::Any;

use chrono::{DateTime, Utc};
use scheduler_core::store::{Clock, Hint, StoreError};
use sqlx::{AssertSqlSafe, MySqlConnection, mysql::MySqlRow};

use super::{
    Database,
    connection::{bound, server_time},
    statements,
};
use crate::{
    kit::rules::whole_micros,
    noted,
    sql::{Guest, RowOf, Statement, Tables, Transaction},
};

/// What a verb does in a transaction of the application's, which commits it or undoes it.
pub(super) struct GuestTx<'a> {
    database: &'a Database,
    connection: &'a mut MySqlConnection,
    /// The server's time, if its clock decides.
    now: Option<DateTime<Utc>>,
    is_change_told: bool,
}

impl<'a> GuestTx<'a> {
    pub(super) async fn begin(
        database: &'a Database,
        transaction: &'a mut (dyn Any + Send),
    ) -> Result<Self, StoreError> {
        let connection: &mut MySqlConnection = database.guest.connection(transaction, "MySQL")?;
        let now = match database.options.clock {
            Clock::Server => Some(server_time(connection).await.map_err(|error| database.guest.failures().of(error))?),
            Clock::Caller => None,
        };
        Ok(Self { database, connection, now, is_change_told: false })
    }

    fn fail(&self, error: sqlx::Error) -> StoreError {
        self.database.guest.failures().of(error)
    }
}

impl Transaction for GuestTx<'_> {
    type Tables = Guest<MySqlRow>;

    fn now(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.now.unwrap_or_else(|| whole_micros(at))
    }

    async fn all(&mut self, statement: Statement) -> Result<Vec<RowOf<Self>>, StoreError> {
        let rows = bound(self.database, statement)?.fetch_all(&mut *self.connection).await;
        rows.map_err(|error| self.fail(error))
    }

    async fn run(&mut self, statement: Statement) -> Result<(), StoreError> {
        let done = bound(self.database, statement)?.execute(&mut *self.connection).await;
        done.map(drop).map_err(|error| self.fail(error))
    }

    fn tell(&mut self, _: Hint) {
        self.is_change_told = true;
    }

    /// Others see the change when the application has committed.
    async fn commit(&mut self) -> Result<(), StoreError> {
        if !self.is_change_told {
            return Ok(());
        }
        let note = AssertSqlSafe(statements::note_change(self.database.guest.prefix()));
        let noted = sqlx::query(note).bind(noted::new_key()).execute(&mut *self.connection).await;
        noted.map(drop).map_err(|error| self.fail(error))
    }
}
