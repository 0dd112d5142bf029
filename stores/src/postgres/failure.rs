//! What PostgreSQL's errors mean for a store.

use scheduler_core::store::StoreErrorKind;

use crate::sql::Failures;

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
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => return (Unavailable, "the connection failed"),
        _ => code(error).unwrap_or_default(),
    };
    match code.as_str() {
        "25006" => (ReadOnly, "it takes no writes; connect to the primary server"),
        "42501" => (ReadOnly, "the user lacks a privilege; grant it, or let an owner create the tables"),
        "40001" | "40P01" => (Unavailable, "the call met another one again and again; it will be repeated"),
        "55P03" => (Unavailable, "somebody keeps a row locked; the call will be repeated"),
        "57014" => (Unavailable, "a statement took too long; the call will be repeated"),
        "53300" => (Unavailable, "it has no connection left; allow it more, or the stores fewer"),
        "53100" => (Unavailable, "its disk is full; free some space"),
        "3D000" => (Unavailable, "the database is not there; create it"),
        _ => match code.get(..2).unwrap_or_default() {
            "28" => (Unavailable, "it refuses the user; check the name and the password"),
            "22" | "23" => (Rejected, "an item breaks a rule of the tables"),
            "42" => (Incompatible, "its tables are not those of this store; use another table prefix"),
            "54" => (TooLarge, "an item is larger than PostgreSQL takes"),
            _ => (Unavailable, "the call failed"),
        },
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}
