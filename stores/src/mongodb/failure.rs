//! What MongoDB's errors mean for a store.

use std::{error::Error as StdError, sync::Arc};

use ::mongodb::error::{Error, ErrorKind, WriteFailure};
use scheduler_core::store::{StoreError, StoreErrorKind};

/// Turns MongoDB's errors into a store's, with the name of the place.
#[derive(Debug, Clone)]
pub(super) struct Failures {
    place: Arc<str>,
}

impl Failures {
    pub(super) fn new(database: &str, hosts: &[String]) -> Self {
        Self { place: format!("mongodb database `{database}` at {}", hosts.join(", ")).into() }
    }

    /// Before it is known which database at which servers is meant.
    pub(super) fn unplaced() -> Self {
        Self { place: "mongodb".into() }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn of(&self, error: Error) -> StoreError {
        let (kind, advice) = judge(&error);
        self.with(kind, &format!("{advice}: {error}")).with_source(error)
    }

    pub(super) fn with(&self, kind: StoreErrorKind, message: &str) -> StoreError {
        StoreError::new(kind, format!("{}: {message}", self.place))
    }

    /// Of a reply, or of what was to be sent, which has no BSON form.
    pub(super) fn of_bson(&self, error: impl StdError + Send + Sync + 'static) -> StoreError {
        self.with(StoreErrorKind::Rejected, &format!("a document has no BSON form: {error}")).with_source(error)
    }

    /// Of one write of a batch.
    pub(super) fn of_write(&self, code: i32, message: &str, item: usize) -> StoreError {
        let (kind, advice) = judge_code(code);
        self.with(kind, &format!("{advice}: {message}")).with_item(item)
    }
}

fn judge(error: &Error) -> (StoreErrorKind, &'static str) {
    match &*error.kind {
        ErrorKind::InvalidArgument { .. } | ErrorKind::InvalidTlsConfig { .. } => {
            (StoreErrorKind::Incompatible, "the URL or the options are not valid")
        }
        ErrorKind::IncompatibleServer { .. } => {
            (StoreErrorKind::Incompatible, "the server is too old; use 5.0 or newer")
        }
        ErrorKind::Authentication { .. } => (StoreErrorKind::Unavailable, "check the user and the password of the URL"),
        ErrorKind::ServerSelection { .. } => {
            (StoreErrorKind::Unavailable, "no server can be reached that takes writes")
        }
        ErrorKind::Command(command) => judge_code(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => judge_code(write.code),
        _ => (StoreErrorKind::Unavailable, "the call failed"),
    }
}

/// By the server's code (its `error_codes.yml`).
fn judge_code(code: i32) -> (StoreErrorKind, &'static str) {
    match code {
        13 => (StoreErrorKind::Unavailable, "the user may not do that; give it the role `readWrite` on the database"),
        18 => (StoreErrorKind::Unavailable, "check the user and the password of the URL"),
        73 => (StoreErrorKind::Incompatible, "the database or the collection prefix has no valid name"),
        85 | 86 => (StoreErrorKind::Incompatible, "the collections have other indexes; use another collection prefix"),
        10_334 | 17_419 | 17_420 => {
            (StoreErrorKind::TooLarge, "a document would be larger than the 16 MiB that the server takes")
        }
        121 => (StoreErrorKind::Rejected, "a document breaks a rule of the collection"),
        11_600 | 91 | 189 | 10_058 | 10_107 | 11_602 | 13_435 | 13_436 => {
            (StoreErrorKind::Unavailable, "it stops, or another server becomes the primary; the call will be repeated")
        }
        14_031 => (StoreErrorKind::Unavailable, "its disk is full; free some space"),
        112 | 251 => (
            StoreErrorKind::Unavailable,
            "another call has changed the same at the same time, or the transaction has ended; run the transaction again",
        ),
        50 | 262 => (StoreErrorKind::Unavailable, "it took too long; the call will be repeated"),
        64 => {
            (StoreErrorKind::Unavailable, "a majority of the servers has not confirmed it in time; it will be repeated")
        }
        59 | 115 | 303 => (StoreErrorKind::Incompatible, "it does not know a command of this store; use 5.0 or newer"),
        _ => (StoreErrorKind::Unavailable, "the call failed"),
    }
}
