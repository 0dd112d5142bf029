//! What the errors of MySQL and MariaDB mean for a store.

use scheduler_core::store::StoreErrorKind;
use sqlx::mysql::MySqlDatabaseError;

use crate::sql::{Failures, judge_tls};

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

/// Whether columns and indexes were not added to a table because it has them already.
pub(super) fn is_altered(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(1060 | 1061))
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
        sqlx::Error::Tls(_) => return judge_tls(error),
        sqlx::Error::Io(_) => return (Unavailable, "the connection failed"),
        _ => number(error).unwrap_or_default(),
    };
    match number {
        1213 | 1020 => (Unavailable, "the call met another one again and again; it will be repeated"),
        1205 => (Unavailable, "another transaction keeps a row locked; the call will be repeated"),
        1317 | 1969 | 3024 => (Unavailable, "a statement took too long; the call will be repeated"),
        1040 | 1203 | 1226 => (Unavailable, "it has no connection left; allow it more, or the stores fewer"),
        1021 | 1114 => (Unavailable, "its disk is full; free some space"),
        1045 | 1130 | 1698 | 1820 | 1862 => (Unavailable, "it refuses the user; check the name and the password"),
        1129 => (Unavailable, "it has locked this host out after many failures; run `mariadb-admin flush-hosts` there"),
        1461 => (Unavailable, "it keeps too many prepared statements; raise `max_prepared_stmt_count`"),
        1053 => (Unavailable, "it shuts down; the call will be repeated"),
        1034 | 1035 | 1194 | 1195 | 1712 => (Unavailable, "its tables are damaged; see its log"),
        3159 => {
            (Incompatible, "it wants an encrypted connection; build with the feature `tls`, and ask for one in the URL")
        }
        1243 | 1295 => (
            Incompatible,
            "its statements and sessions are mixed up; let the proxy in between keep each connection to one session",
        ),
        1049 => (Unavailable, "the database is not there; create it"),
        1290 | 1792 | 1836 => (ReadOnly, "it takes no writes; connect to the primary server"),
        1044 | 1142 | 1143 | 1227 | 1370 => {
            (ReadOnly, "the user lacks a privilege; grant it, or let an owner create the tables")
        }
        1153 | 1301 => (TooLarge, "an item is larger than `max_allowed_packet` lets through; raise it on the server"),
        1665 => (Incompatible, "its `binlog_format` is STATEMENT, which cannot keep up with many writers; take ROW"),
        1046 => (Incompatible, "the url names no database; add one, as in `mysql://user:password@host:3306/database`"),
        1054 | 1136 | 1146 | 1176 | 1364 => {
            (Incompatible, "its tables are not those of this store; use another table prefix")
        }
        1064 | 1193 | 1231 | 1235 | 1305 => {
            (Incompatible, "it does not know a statement of this store; take MariaDB 10.6 or MySQL 8.0, or newer")
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

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use scheduler_core::store::StoreErrorKind::{self, Incompatible, ReadOnly, Rejected, Unavailable};
    use sqlx::{ConnectOptions, Executor, mysql::MySqlConnectOptions};

    use super::judge;
    use crate::sql::server::url;

    /// Raised by the server itself, under each number.
    #[test]
    fn advice_goes_by_the_exact_number() {
        let cases: [(u16, StoreErrorKind, &str); 12] = [
            (1046, Incompatible, "names no database"),
            (1146, Incompatible, "another table prefix"),
            (1064, Incompatible, "MariaDB 10.6"),
            (1193, Incompatible, "MariaDB 10.6"),
            (1461, Unavailable, "max_prepared_stmt_count"),
            (3159, Incompatible, "feature `tls`"),
            (1243, Incompatible, "proxy"),
            (1142, ReadOnly, "lacks a privilege"),
            (1129, Unavailable, "flush-hosts"),
            (1114, Unavailable, "disk is full"),
            (4025, Rejected, "breaks a rule"),
            (1105, Unavailable, "the call failed"),
        ];
        async_io::block_on(async {
            let mut connection = MySqlConnectOptions::from_str(&url("mysql")).unwrap().connect().await.unwrap();
            for (number, kind, advice) in cases {
                let signal =
                    format!("SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'as it may be'");
                let error = connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(signal))).await.unwrap_err();
                let judged = judge(&error);
                assert!(judged.0 == kind && judged.1.contains(advice), "{number}: {judged:?}");
            }
        });
    }
}
