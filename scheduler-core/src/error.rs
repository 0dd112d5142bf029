//! The error of every operation on a scheduler.

use std::{error::Error as StdError, fmt, sync::Arc};

use crate::{
    StoreName,
    store::{StoreError, StoreErrorKind},
};

/// Why an operation on a scheduler failed: what, where, and what to do.
///
/// ```
/// use scheduler_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::NotFound, "job `report` is in no store");
/// assert!(error.is_not_found());
/// assert_eq!(error.to_string(), "job `report` is in no store");
/// ```
#[derive(Debug, Clone)]
#[doc(alias = "JobLookupError")]
#[doc(alias = "ConflictingIdError")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with a message that says what failed and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Keeps the error that caused this one.
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The error of a store call.
    pub fn from_store(store: &StoreName, error: StoreError) -> Self {
        let kind = match error.kind() {
            StoreErrorKind::TooLarge => ErrorKind::TooLarge,
            StoreErrorKind::ReadOnly => ErrorKind::ReadOnly,
            StoreErrorKind::Unavailable => ErrorKind::StoreUnavailable,
            StoreErrorKind::Rejected | StoreErrorKind::Incompatible => ErrorKind::Store,
        };
        Self::new(kind, format!("store `{store}`: {error}")).with_source(error)
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether a job with the same id is there already.
    pub fn is_conflict(&self) -> bool {
        self.kind == ErrorKind::Conflict
    }

    /// Whether no such job is there.
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }
}

/// Equal by kind and message; the source is left out.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.message) == (other.kind, &other.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The kinds of failures.
///
/// ```
/// use scheduler_core::{Error, ErrorKind};
///
/// /// What a service answers when its call of a scheduler has failed.
/// fn status(error: &Error) -> u16 {
///     match error.kind() {
///         ErrorKind::NotFound => 404,
///         ErrorKind::Conflict => 409,
///         ErrorKind::Arguments | ErrorKind::Job | ErrorKind::NeverFires | ErrorKind::TooLarge => 422,
///         ErrorKind::StoreUnavailable | ErrorKind::Busy | ErrorKind::ShutDown => 503,
///         _ => 500,
///     }
/// }
///
/// assert_eq!(status(&Error::new(ErrorKind::Conflict, "job `report` is there already")), 409);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The arguments of a job are not what its task takes, or could not be read again.
    Arguments,
    /// The scheduler has been started already.
    #[doc(alias = "SchedulerAlreadyRunningError")]
    AlreadyStarted,
    /// Parts of the scheduler have contradicted each other, which is a bug of it. What was asked for may have been done.
    Bug,
    /// The scheduler's command channel is full, or others changed a job each time before this change of it came through.
    Busy,
    /// A closure was to be kept in a store that outlives the process.
    Closure,
    /// A configuration is contradictory or incomplete.
    Config,
    /// A live job with this id is there already.
    Conflict,
    /// The job's definition is not valid.
    Job,
    /// The job could never fire.
    NeverFires,
    /// The job was written by a newer version.
    NewerVersion,
    /// No live job has this id, or the job has no such run.
    NotFound,
    /// The scheduler has not been started.
    #[doc(alias = "SchedulerNotRunningError")]
    NotRunning,
    /// The output of a run is not kept, or it is not of the type that was asked for.
    Output,
    /// A task was to wait for the end of its own run, which would never come.
    OwnRun,
    /// Code panicked: that of a custom trigger, or the scheduler's own, which is a bug of it. Nothing has been written. If it was
    /// the loop that panicked, it has ended, and with it the scheduler.
    Panicked,
    /// The job is quarantined.
    Quarantined,
    /// The store cannot be written to.
    ReadOnly,
    /// The scheduler has been shut down, or its loop is gone.
    ShutDown,
    /// The store refused the call for good.
    Store,
    /// The store did not answer; whether the call was applied is unknown.
    StoreUnavailable,
    /// The job is larger than its store takes.
    TooLarge,
    /// A trigger failed.
    Trigger,
    /// The scheduler has no executor of this name.
    UnknownExecutor,
    /// The scheduler has no store of this name.
    UnknownStore,
    /// The scheduler has no task of this name.
    UnknownTask,
}
