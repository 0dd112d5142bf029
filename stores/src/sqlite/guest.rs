//! A transaction of the application's.

use std::any::Any;

use chrono::{DateTime, Utc};
use scheduler_core::store::{Hint, StoreError};
use sqlx::{AssertSqlSafe, SqliteConnection, sqlite::SqliteRow};

use super::{Database, connection::bound};
use crate::{
    kit::rules::whole_micros,
    sql::{Guest, RowOf, Statement, Tables, Transaction},
};

/// What a verb does in a transaction of the application's, which commits it or undoes it.
pub(super) struct GuestTx<'a> {
    database: &'a Database,
    connection: &'a mut SqliteConnection,
    is_change_told: bool,
}

impl<'a> GuestTx<'a> {
    pub(super) fn begin(database: &'a Database, transaction: &'a mut (dyn Any + Send)) -> Result<Self, StoreError> {
        let connection = database.guest.connection(transaction, "SQLite")?;
        Ok(Self { database, connection, is_change_told: false })
    }

    fn fail(&self, error: sqlx::Error) -> StoreError {
        self.database.guest.failures().of(error)
    }
}

impl Transaction for GuestTx<'_> {
    type Tables = Guest<SqliteRow>;

    fn now(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        whole_micros(at)
    }

    async fn all(&mut self, statement: Statement) -> Result<Vec<RowOf<Self>>, StoreError> {
        let rows = bound(statement.sql, statement.arguments).fetch_all(&mut *self.connection).await;
        rows.map_err(|error| self.fail(error))
    }

    async fn run(&mut self, statement: Statement) -> Result<(), StoreError> {
        let done = bound(statement.sql, statement.arguments).execute(&mut *self.connection).await;
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
        let count = sqlx::query(AssertSqlSafe(self.database.count_change.clone()));
        let counted = count.execute(&mut *self.connection).await;
        counted.map(drop).map_err(|error| self.fail(error))
    }
}
