//! What PostgreSQL's errors mean for a store.

use scheduler_core::store::StoreErrorKind;

use crate::sql::{Failures, judge_tls};

/// Failures at a server, which `place` names.
pub(super) fn failures(place: String) -> Failures {
    Failures::new(place, judge)
}

/// Whether the transaction lost against another one, so that it is worth to be repeated at once.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("40001" | "40P01"))
}

/// Whether the connection is lost, or about to be.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    code(error).is_none_or(|code| code.starts_with("57P") || code.starts_with("08"))
}

/// By the SQLSTATE, whose first two characters are its class (appendix A of PostgreSQL's manual).
fn judge(error: &sqlx::Error) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Incompatible, ReadOnly, Rejected, TooLarge, Unavailable};
    let code = match error {
        sqlx::Error::Configuration(_) => return (Incompatible, "the options are not valid"),
        sqlx::Error::Tls(_) => return judge_tls(error),
        sqlx::Error::Io(_) => return (Unavailable, "the connection failed"),
        _ => code(error).unwrap_or_default(),
    };
    match code.as_str() {
        "25006" => (ReadOnly, "it takes no writes; connect to the primary server"),
        "42501" => (ReadOnly, "the user lacks a privilege; grant it, or let an owner create the tables"),
        "40001" | "40P01" => (Unavailable, "the call met another one again and again; it will be repeated"),
        "55P03" => (Unavailable, "another transaction keeps a row locked; the call will be repeated"),
        "57014" => (Unavailable, "a statement took too long; the call will be repeated"),
        "53300" => (Unavailable, "it has no connection left; allow it more, or the stores fewer"),
        "53100" => (Unavailable, "its disk is full; free some space"),
        "3D000" => (Unavailable, "the database is not there; create it"),
        "3F000" => (Incompatible, "no schema of the user's search path is there; name one, or create one"),
        "53200" => (Unavailable, "its memory is full; the call will be repeated"),
        "57P01" | "57P02" | "57P03" => (Unavailable, "it stops or starts; the call will be repeated"),
        "25P03" => (Unavailable, "this process took too long within a call; it will be repeated"),
        "58030" | "58P01" | "XX001" | "XX002" => (Unavailable, "its files cannot be read or are damaged; see its log"),
        // What a pooler does that gives each transaction another session.
        "26000" | "42P05" => (
            Incompatible,
            "its statements and sessions are mixed up; let the pooler in between pool by session (`pool_mode = session`)",
        ),
        "08P01" if is_of_startup(error) => (
            Incompatible,
            "the pooler in between refuses a parameter of the connection; add it to its `ignore_startup_parameters`",
        ),
        "42P01" | "42703" | "42P10" | "42804" | "42809" | "42P07" | "42701" | "42710" => {
            (Incompatible, "its tables are not those of this store; use another table prefix")
        }
        "42601" | "42883" | "42704" => {
            (Incompatible, "it does not know a statement of this store; take PostgreSQL 12 or newer")
        }
        _ => match code.get(..2).unwrap_or_default() {
            "28" => (Unavailable, "it refuses the user; check the name and the password"),
            "22" | "23" => (Rejected, "an item breaks a rule of the tables"),
            "42" => (Incompatible, "it does not take a statement of this store"),
            "54" => (TooLarge, "an item is larger than PostgreSQL takes"),
            _ => (Unavailable, "the call failed"),
        },
    }
}

/// PgBouncer has one code for all that it refuses.
fn is_of_startup(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("startup parameter"))
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use scheduler_core::store::StoreErrorKind::{self, Incompatible, ReadOnly, Rejected, Unavailable};
    use sqlx::{ConnectOptions, Executor, postgres::PgConnectOptions};

    use super::judge;
    use crate::sql::server::url;

    /// Raised by the server itself, under each code.
    #[test]
    fn advice_goes_by_the_exact_code() {
        let cases: [(&str, StoreErrorKind, &str); 15] = [
            ("42P05", Incompatible, "pool by session"),
            ("26000", Incompatible, "pool by session"),
            ("42P01", Incompatible, "another table prefix"),
            ("42703", Incompatible, "another table prefix"),
            ("42883", Incompatible, "PostgreSQL 12"),
            ("42P18", Incompatible, "does not take a statement"),
            ("42501", ReadOnly, "lacks a privilege"),
            ("25006", ReadOnly, "primary server"),
            ("3F000", Incompatible, "search path"),
            ("23514", Rejected, "breaks a rule"),
            ("53100", Unavailable, "disk is full"),
            ("53200", Unavailable, "memory is full"),
            ("57P03", Unavailable, "stops or starts"),
            ("XX001", Unavailable, "damaged"),
            ("0A000", Unavailable, "the call failed"),
        ];
        async_io::block_on(async {
            let mut connection = PgConnectOptions::from_str(&url("postgres")).unwrap().connect().await.unwrap();
            for (code, kind, advice) in cases {
                let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'as it may be' USING ERRCODE = '{code}'; END $$");
                let error = connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(raise))).await.unwrap_err();
                let judged = judge(&error);
                assert!(judged.0 == kind && judged.1.contains(advice), "{code}: {judged:?}");
            }
        });
    }
}
