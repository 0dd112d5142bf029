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
    use StoreErrorKind::{Incompatible, ReadOnly, Rejected, TooLarge, Unavailable};
    let (code, message) = match error {
        sqlx::Error::Database(database) => {
            (database.code().and_then(|code| code.parse::<i32>().ok()), database.message())
        }
        sqlx::Error::Configuration(_) => return (Incompatible, "the options are not valid"),
        _ => return (Unavailable, "the call failed"),
    };
    match code.map(|code| (code, code & 0xff)) {
        Some((_, 1)) if is_of_tables(message) => {
            (Incompatible, "its tables are not those of this store; use another table prefix")
        }
        Some((_, 1)) => (Incompatible, "it does not take the statement"),
        Some((_, 5 | 6)) => (Unavailable, "another process keeps it locked; the call will be repeated"),
        Some((_, 7)) => (Unavailable, "there is no memory for the call, which will be repeated"),
        Some((1544, _)) => (ReadOnly, "its folder is read-only, where SQLite puts `-wal` and `-shm`; make it writable"),
        Some((_, 8)) => (ReadOnly, "it is read-only; make the file and its folder writable"),
        Some((_, 9)) => (Unavailable, "the call was interrupted, and will be repeated"),
        Some((_, 10)) => {
            (Unavailable, "its disk or file system fails; look at the system's log, and at limits of the file size")
        }
        Some((_, 11 | 26)) => (Incompatible, "it is damaged or no database; restore it from a backup"),
        Some((_, 13)) => (Unavailable, "the disk is full; free some space"),
        Some((_, 14)) => (Unavailable, "it cannot be opened; check that it and its folder are accessible"),
        Some((_, 18)) => (TooLarge, "an item is larger than SQLite takes"),
        Some((_, 19 | 20)) => (Rejected, "an item breaks a rule of the tables"),
        _ => (Unavailable, "the call failed"),
    }
}

/// SQLITE_ERROR has no code of its own for what a statement does not find.
fn is_of_tables(message: &str) -> bool {
    ["no such table", "no such column", "no such index", "has no column named", "already exists"]
        .iter()
        .any(|words| message.contains(words))
}
