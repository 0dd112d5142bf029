//! What a store does in a transaction of the application's own.

use super::{StoreError, StoreErrorKind};

/// A statement for a client of the database that is not the store's, with the values of its places in their order.
///
/// ```
/// use scheduler_core::store::{SqlStatement, SqlValue};
///
/// // As another client of PostgreSQL would have it.
/// let statement = SqlStatement::new("SELECT pg_notify($1, $2)", vec![
///     SqlValue::Text("scheduler_changes".to_owned()),
///     SqlValue::Text("resync".to_owned()),
/// ]);
/// assert_eq!(statement.values.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqlStatement {
    /// The text in the dialect of the database: its places are `$1`, `$2` and so on for PostgreSQL, `?` for MySQL, and `?1`,
    /// `?2` for SQLite.
    pub sql: String,
    /// A value for each place.
    pub values: Vec<SqlValue>,
}

/// A value of a [`SqlStatement`].
///
/// ```
/// use scheduler_core::store::{SqlStatement, SqlValue};
///
/// /// A statement as a line for a log.
/// fn shown(statement: &SqlStatement) -> String {
///     let values = statement.values.iter().map(|value| match value {
///         SqlValue::Integer(number) => number.to_string(),
///         SqlValue::Text(text) => format!("{text:?}"),
///     });
///     format!("{} {}", statement.sql, values.collect::<Vec<_>>().join(", "))
/// }
///
/// let statement = SqlStatement::new("SELECT ?, ?", vec![SqlValue::Integer(7), SqlValue::Text("seven".to_owned())]);
/// assert_eq!(shown(&statement), r#"SELECT ?, ? 7, "seven""#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlValue {
    /// A whole number of 64 bits, with a sign.
    Integer(i64),
    /// A text.
    Text(String),
}

impl SqlStatement {
    /// A statement with the values of its places.
    pub fn new(sql: impl Into<String>, values: Vec<SqlValue>) -> Self {
        Self { sql: sql.into(), values }
    }
}

/// The error of a store that takes part in no transaction of the application's.
pub(super) fn no_transactions() -> StoreError {
    StoreError::new(
        StoreErrorKind::Incompatible,
        "this store takes part in no transaction of the application; SQLite, PostgreSQL, MySQL and MongoDB do: keep the job in \
         one of them, or add it by `add_job` after the commit",
    )
}

/// The error of a store that is no SQL database.
pub(super) fn no_statements() -> StoreError {
    StoreError::new(
        StoreErrorKind::Incompatible,
        "this store is no SQL database, so that no statements add a job to it; SQLite, PostgreSQL and MySQL are",
    )
}
