//! How a store fails.

use std::{error::Error as StdError, fmt, sync::Arc};

/// A failure of a store call.
///
/// ```
/// use scheduler_core::store::{StoreError, StoreErrorKind};
/// let error = StoreError::new(StoreErrorKind::ReadOnly, "the file `jobs.db` is read-only; open it for writing");
/// assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
/// ```
#[derive(Debug, Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    item: Option<usize>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// An error with a message that says what failed and what to do.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), item: None, source: None }
    }

    /// Names the item of the batch at which the call was refused; the items are counted from 0.
    pub fn with_item(mut self, item: usize) -> Self {
        self.item = Some(item);
        self
    }

    /// Keeps the error that caused this one.
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind of failure it is, on which the engine decides.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The item of the batch at which the call was refused, if one is to blame.
    pub fn item(&self) -> Option<usize> {
        self.item
    }
}

/// Equal by kind, message and item; the source is left out.
impl PartialEq for StoreError {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.message, self.item) == (other.kind, &other.message, other.item)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The kinds of store failures.
///
/// ```
/// use std::io;
/// use scheduler_core::store::{StoreError, StoreErrorKind};
///
/// /// How a store that writes files tells its errors.
/// fn told(file: &str, error: io::Error) -> StoreError {
///     let (kind, advice) = match error.kind() {
///         io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
///             (StoreErrorKind::ReadOnly, "let this process write to it")
///         }
///         io::ErrorKind::FileTooLarge => (StoreErrorKind::TooLarge, "keep less in the arguments"),
///         // Whether it has been written is unknown, and the call is repeated.
///         _ => (StoreErrorKind::Unavailable, "the call will be repeated"),
///     };
///     StoreError::new(kind, format!("the file `{file}`: {error}; {advice}")).with_source(error)
/// }
///
/// let error = told("jobs.db", io::ErrorKind::PermissionDenied.into());
/// assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store cannot be reached or did not answer; whether the call was applied is unknown. The engine repeats the
    /// same call, with growing pauses.
    Unavailable,
    /// The store refuses an item for good, and nothing of the call was written. The engine sends the items singly and
    /// quarantines the job at fault.
    Rejected,
    /// The store is not what it should be: it has a schema that this version cannot use, its tables are gone, a page of it is
    /// damaged. The engine repeats the same call, with pauses that grow to a minute: after the restore of a backup it may be
    /// whole again in a second.
    Incompatible,
    /// The store cannot be written to.
    ReadOnly,
    /// An item is larger than the store takes.
    TooLarge,
}
