//! What RethinkDB's errors mean for a store.

use scheduler_core::store::{StoreError, StoreErrorKind};
use unreql::{Driver, Error, Runtime};

/// Turns RethinkDB's errors into a store's, with the name of the place.
#[derive(Debug, Clone)]
pub(super) struct Failures {
    place: String,
}

impl Failures {
    pub(super) fn new(place: String) -> Self {
        Self { place }
    }

    /// Servers and database, for the head of a message.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn of(&self, error: Error) -> StoreError {
        let (kind, advice) = judge(&error);
        self.error(kind, format!("{advice}: {error}")).with_source(error)
    }

    /// Rows that the server refused; the reason is its own.
    pub(super) fn refused(&self, reason: &str) -> StoreError {
        self.error(StoreErrorKind::Rejected, format!("a document was refused: {reason}"))
    }

    pub(super) fn unavailable(&self, reason: &str) -> StoreError {
        self.error(StoreErrorKind::Unavailable, reason.to_owned())
    }

    pub(super) fn error(&self, kind: StoreErrorKind, message: String) -> StoreError {
        StoreError::new(kind, format!("{}: {message}", self.place))
    }
}

/// Whether the session that gave the error can be used further: the server has answered.
pub(super) fn is_answer(error: &Error) -> bool {
    !matches!(error, Error::Driver(_))
}

/// Whether the connection broke.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Driver(Driver::Io(..) | Driver::ConnectionBroken))
}

fn judge(error: &Error) -> (StoreErrorKind, &'static str) {
    match error {
        Error::Driver(Driver::Auth(_)) => (StoreErrorKind::Incompatible, "the login fails; check user and password"),
        Error::Runtime(Runtime::Permission(message)) if message.contains("`write`") => {
            (StoreErrorKind::ReadOnly, "the user may not write; grant it `read`, `write` and `config` on the database")
        }
        Error::Runtime(Runtime::Permission(_)) => (
            StoreErrorKind::Incompatible,
            "the user may not do that; grant it `read`, `write` and `config` on the database",
        ),
        Error::Runtime(Runtime::ResourceLimit(_)) => (StoreErrorKind::TooLarge, "a limit of the server is reached"),
        Error::Runtime(Runtime::QueryLogic(_) | Runtime::NonExistence(_)) | Error::Compile(_) => {
            (StoreErrorKind::Incompatible, "the server does not take the query; it has to be RethinkDB 2.3 or newer")
        }
        _ => (StoreErrorKind::Unavailable, "the query failed"),
    }
}
