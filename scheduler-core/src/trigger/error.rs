//! What can be wrong with a trigger.

use std::fmt;

/// An error of a trigger: an expression that says nothing, a period of zero, a custom trigger that misbehaves.
///
/// The text says where and what to do; [`kind`](Self::kind) is for programs.
///
/// ```
/// use scheduler_core::trigger::{Cron, TriggerErrorKind};
///
/// let error = Cron::fields().minute("*/60").build().unwrap_err();
/// assert_eq!(error.kind(), TriggerErrorKind::Expression);
/// assert_eq!(error.to_string(), "cron field `minute`: `*/60` at column 1: the step must be 1 to 59");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerError {
    kind: TriggerErrorKind,
    message: Box<str>,
}

/// The sort of a [`TriggerError`].
///
/// ```
/// use scheduler_core::trigger::{Interval, TriggerErrorKind};
///
/// let error = Interval::seconds(0).check().unwrap_err();
/// assert_eq!(error.kind(), TriggerErrorKind::Period);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TriggerErrorKind {
    /// A cron expression that cannot be read, or a value outside its field's range.
    Expression,
    /// A period of zero, or longer than the bound.
    Period,
    /// A date or time that no calendar has, or that lies outside the years that can be kept.
    OutOfRange,
    /// A combination of triggers that makes no sense.
    Combination,
    /// A search gave up at its bound.
    SearchLimit,
    /// A custom trigger whose implementation is not registered.
    Unresolved,
    /// A custom trigger's implementation returned an error.
    Custom,
    /// A custom trigger's implementation panicked.
    Panicked,
    /// A custom trigger's implementation returned a fire time that is not after the previous one.
    NotAfterPrevious,
}

impl TriggerError {
    pub(crate) fn new(kind: TriggerErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into().into_boxed_str() }
    }

    /// Says which sort of error this is.
    pub fn kind(&self) -> TriggerErrorKind {
        self.kind
    }

    /// True if the trigger's own definition is at fault, so that trying again cannot help.
    pub fn is_definition(&self) -> bool {
        use TriggerErrorKind::*;
        matches!(self.kind, Expression | Period | OutOfRange | Combination)
    }
}

impl fmt::Display for TriggerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TriggerError {}
