//! What SQLite's errors mean for a store.

use std::fmt::Display;

use scheduler_core::store::StoreErrorKind;

use crate::sql::Failures;

/// Failures at a file.
pub(super) fn failures(file: impl Display) -> Failures {
    Failures::new(format!("sqlite file `{file}`"), judge)
}

/// By the primary result code, which is the low byte of the extended one (sqlite.org/rescode.html).
fn judge(error: &sqlx::Error) -> (StoreErrorKind, &'static str) {
    let code = match error {
        sqlx::Error::Database(database) => database.code().and_then(|code| code.parse::<i32>().ok()),
        sqlx::Error::Configuration(_) => return (StoreErrorKind::Incompatible, "the options are not valid"),
        _ => return (StoreErrorKind::Unavailable, "the call failed"),
    };
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => (StoreErrorKind::Unavailable, "another process keeps it locked; the call will be repeated"),
        Some(8) => (StoreErrorKind::ReadOnly, "it is read-only; make the file and its folder writable"),
        Some(11 | 26) => (StoreErrorKind::Incompatible, "it is damaged or no database; restore it from a backup"),
        Some(13) => (StoreErrorKind::Unavailable, "the disk is full; free some space"),
        Some(14) => {
            (StoreErrorKind::Unavailable, "it cannot be opened; check that its folder exists and is accessible")
        }
        Some(18) => (StoreErrorKind::TooLarge, "an item is larger than SQLite takes"),
        Some(19 | 20) => (StoreErrorKind::Rejected, "an item breaks a rule of the tables"),
        Some(1) => (StoreErrorKind::Incompatible, "its tables are not those of this store; use another table prefix"),
        _ => (StoreErrorKind::Unavailable, "the call failed"),
    }
}
