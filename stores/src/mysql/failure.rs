//! What the errors of MySQL and MariaDB mean for a store.

use scheduler_core::store::StoreErrorKind;
use sqlx::mysql::MySqlDatabaseError;

use crate::sql::Failures;

/// Failures at a server, which `place` names.
pub(super) fn failures(place: String) -> Failures {
    Failures::new(place, judge)
}

/// Whether the transaction lost against another one and is undone, so that it is worth to be repeated at once.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(1213 | 1020))
}

/// Whether the connection is lost, or about to be.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    number(error).is_none_or(|number| matches!(number, 1053 | 1158..=1161 | 1317 | 1927 | 4031))
}

/// Whether a change of the tables that the store can do without has failed because the user may not, because the table is
/// busy, or because another node was faster.
pub(super) fn may_go_without(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(1044 | 1091 | 1142 | 1205 | 1227 | 3940))
}

/// By the server's own number, since its SQLSTATE is mostly the same (the lists of errors in both manuals).
fn judge(error: &sqlx::Error) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Incompatible, ReadOnly, Rejected, TooLarge, Unavailable};
    let number = match error {
        // So the driver refuses the usual way to log in to MySQL over a connection that is not encrypted.
        sqlx::Error::Configuration(why) if why.to_string().contains("RSA") => {
            return (Incompatible, "it wants an encrypted connection to log in; build with the feature `tls`");
        }
        sqlx::Error::Configuration(_) => return (Incompatible, "the options are not valid"),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => return (Unavailable, "the connection failed"),
        _ => number(error).unwrap_or_default(),
    };
    match number {
        1213 | 1020 => (Unavailable, "the call met another one again and again; it will be repeated"),
        1205 => (Unavailable, "somebody keeps a row locked; the call will be repeated"),
        1317 | 1969 | 3024 => (Unavailable, "a statement took too long; the call will be repeated"),
        1040 | 1203 | 1226 => (Unavailable, "it has no connection left; allow it more, or the stores fewer"),
        1021 | 1114 => (Unavailable, "its disk is full; free some space"),
        1045 | 1698 | 1862 => (Unavailable, "it refuses the user; check the name and the password"),
        1049 => (Unavailable, "the database is not there; create it"),
        1290 | 1792 | 1836 => (ReadOnly, "it takes no writes; connect to the primary server"),
        1044 | 1142 | 1143 | 1227 | 1370 => {
            (ReadOnly, "the user lacks a privilege; grant it, or let an owner create the tables")
        }
        1153 | 1301 => (TooLarge, "an item is larger than `max_allowed_packet` lets through; raise it on the server"),
        1665 => (Incompatible, "its `binlog_format` is STATEMENT, which cannot keep up with many writers; take ROW"),
        1046 | 1054 | 1064 | 1146 | 1176 | 1305 => {
            (Incompatible, "its tables are not those of this store, or it is too old; see the versions in the docs")
        }
        1048 | 1062 | 1264 | 1265 | 1366 | 1406 | 3140 | 3141 | 3819 | 4025 | 4038 => {
            (Rejected, "an item breaks a rule of the tables")
        }
        _ => (Unavailable, "the call failed"),
    }
}

fn number(error: &sqlx::Error) -> Option<u16> {
    Some(error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?.number())
}
