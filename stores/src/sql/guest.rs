//! The tables as a transaction of the application's reaches them.
//!
//! Its connection is set up by the application: it may look for tables elsewhere than the store's own do, so that they are named
//! with their schema or database; it may have any isolation level and time-outs, which are the application's. What fails is not
//! repeated.

use std::{any::Any, marker::PhantomData};

use scheduler_core::store::{SqlStatement, SqlValue, StoreError, StoreErrorKind};
use serde_json::Value;
use sqlx::Connection;

use super::{
    Failures, Statement, Statements, Tables,
    rows::{Rows, written_tags},
    statements::inserted,
};
use crate::kit::{NewJob, columns::Columns};

/// Tables that are reached over a connection of the application's.
pub(crate) struct Guest<R> {
    /// What the names of the tables begin with.
    prefix: String,
    sql: Statements,
    failures: Failures,
    room: usize,
    rows: PhantomData<fn() -> R>,
}

impl<R> Guest<R> {
    pub(crate) fn new(prefix: String, sql: Statements, failures: &Failures, room: usize) -> Self {
        Self { prefix, sql, failures: failures.of_application(), room, rows: PhantomData }
    }

    /// What the names of the tables begin with; MySQL notes changes in a table of its own.
    #[cfg(feature = "mysql")]
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The connection in which a transaction of the application's is.
    pub(crate) fn connection<'t, C: Connection + 'static>(
        &self,
        transaction: &'t mut (dyn Any + Send),
        database: &str,
    ) -> Result<&'t mut C, StoreError> {
        let refuse = |why: &str| Err(self.failures.because(StoreErrorKind::Incompatible, why));
        let Some(connection) = transaction.downcast_mut::<C>() else {
            return refuse(&format!(
                "the transaction is of another database; one of sqlx on {database} is needed, in the database of the store"
            ));
        };
        if !connection.is_in_transaction() {
            return refuse("no transaction is open on the connection; begin one with `begin` of sqlx, and commit it");
        }
        Ok(connection)
    }

    /// The statements that add a job and its tags, for other clients; `place` gives the name of a place by its number, from 1.
    pub(crate) fn insertion(&self, job: &NewJob<'_>, place: impl Fn(usize) -> String) -> Vec<SqlStatement> {
        let mut row = Rows::default();
        row.add(|row| row.job(job));
        let rows: Vec<Vec<Value>> = serde_json::from_str(&row.finish()).expect("the row was written as JSON");
        let (mut columns, mut places, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (column, value) in inserted().into_iter().zip(rows.into_iter().flatten()) {
            values.push(match value {
                Value::Null => continue,
                Value::String(text) => SqlValue::Text(text),
                number => SqlValue::Integer(number.as_i64().unwrap_or(i64::MAX)),
            });
            columns.push(column);
            places.push(place(values.len()));
        }
        let (columns, places) = (columns.join(", "), places.join(", "));
        let insert = format!("INSERT INTO {}jobs ({columns}) VALUES ({places})", self.prefix);
        let mut statements = vec![SqlStatement::new(insert, values)];
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        for tag in written_tags(&job.row.body.tags) {
            rows.push(format!("({}, {})", place(values.len() + 1), place(values.len() + 2)));
            values.extend([job.row.uid.to_string(), tag.to_owned()].map(SqlValue::Text));
        }
        if !rows.is_empty() {
            let insert = format!("INSERT INTO {}tags (uid, tag) VALUES {}", self.prefix, rows.join(", "));
            statements.push(SqlStatement::new(insert, values));
        }
        statements
    }
}

impl<R: Columns + Send + Sync> Tables for Guest<R> {
    type Row = R;

    fn sql(&self) -> &Statements {
        &self.sql
    }

    fn failures(&self) -> &Failures {
        &self.failures
    }

    async fn read(&self, _: Statement) -> Result<Vec<R>, StoreError> {
        let why = "a call in a transaction was to read outside of it; this is a bug of scheduler-stores";
        Err(self.failures.because(StoreErrorKind::Incompatible, why))
    }

    fn room(&self) -> usize {
        self.room
    }
}
