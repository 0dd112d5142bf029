//! A database's errors as a store's.

use scheduler_core::store::{StoreError, StoreErrorKind};

/// What an error of the driver means, and what can be done about it.
pub(crate) type Judge = fn(&sqlx::Error) -> (StoreErrorKind, &'static str);

/// Of an encrypted connection: that none can be had in this build is not a failure that passes.
#[cfg(feature = "sql-servers")]
pub(crate) fn judge_tls(error: &sqlx::Error) -> (StoreErrorKind, &'static str) {
    if error.to_string().contains("built without TLS") {
        return (
            StoreErrorKind::Incompatible,
            "the URL asks for an encrypted connection; build with the feature `tls`",
        );
    }
    (StoreErrorKind::Unavailable, "no encrypted connection came about; check the server's certificate and its name")
}

/// Turns the driver's errors into a store's, with the name of the place.
#[derive(Debug, Clone)]
pub(crate) struct Failures {
    place: String,
    judge: Judge,
    /// Whether a call that fails is repeated, of which the advice speaks then.
    is_repeated: bool,
}

impl Failures {
    /// `place` is the head of the messages, without a password.
    pub(crate) fn new(place: String, judge: Judge) -> Self {
        Self { place, judge, is_repeated: true }
    }

    /// The same for calls in transactions of the application's, which are not repeated.
    pub(crate) fn of_application(&self) -> Self {
        Self { is_repeated: false, ..self.clone() }
    }

    /// The database, for the head of a message.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn of(&self, error: sqlx::Error) -> StoreError {
        let (kind, mut advice) = (self.judge)(&error);
        if !self.is_repeated {
            let end = [", and the call repeated", "; the call will be repeated", "; it will be repeated"];
            advice = end.iter().find_map(|end| advice.strip_suffix(end)).unwrap_or(advice);
        }
        StoreError::new(kind, format!("{}: {advice}: {error}", self.place)).with_source(error)
    }

    pub(crate) fn because(&self, kind: StoreErrorKind, why: &str) -> StoreError {
        StoreError::new(kind, format!("{}: {why}", self.place))
    }

    #[cfg(feature = "sql-servers")]
    pub(crate) fn late(&self) -> StoreError {
        self.because(StoreErrorKind::Unavailable, "it has not answered in time; the call will be repeated")
    }

    /// The version of the tables, which is refused if a newer build than this one has made them.
    pub(crate) fn known_schema(&self, prefix: &str, version: i64, newest: i64) -> Result<i64, StoreError> {
        if version <= newest {
            return Ok(version);
        }
        let why = format!(
            "its tables `{prefix}*` have schema {version}, and this build knows schemas up to {newest}; update this \
             program, or use another table prefix"
        );
        Err(self.because(StoreErrorKind::Incompatible, &why))
    }
}
