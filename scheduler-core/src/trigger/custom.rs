//! Triggers written by users.

use super::{TriggerError, TriggerErrorKind};
use crate::panics;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A trigger of your own, known by its name: the name and the arguments are persisted, the implementation is looked up
/// again wherever the job is read.
///
/// ```
/// use chrono::{DateTime, TimeDelta, Utc};
/// use scheduler_core::{Trigger, trigger::{Custom, CustomTrigger}};
/// use serde_json::{Value, json};
/// use std::sync::Arc;
///
/// struct EveryPrimeMinute;
///
/// impl CustomTrigger for EveryPrimeMinute {
///     fn next(&self, _: &Value, previous: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, String> {
///         let from = previous.map_or(now.timestamp(), |previous| previous.timestamp() + 1);
///         Ok((from..).find(|second| second % 60 == 0 && [2, 3, 5, 7, 11].contains(&(second / 60 % 60)))
///             .and_then(|second| DateTime::from_timestamp(second, 0)))
///     }
/// }
///
/// let trigger = Trigger::from(Custom::new("prime-minute", json!({})).with_implementation(Arc::new(EveryPrimeMinute)));
/// let now = DateTime::from_timestamp(0, 0).unwrap();
/// assert_eq!(trigger.next(None, now)?, Some(now + TimeDelta::minutes(2)));
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct Custom {
    /// The name under which the implementation is registered.
    pub name: String,
    /// What the implementation gets with each call.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub args: Value,
    /// The code; neither compared nor persisted.
    #[serde(skip)]
    pub implementation: Option<Arc<dyn CustomTrigger>>,
}

/// The code of a [`Custom`] trigger: a pure function of its arguments, so that each node computes the same.
///
/// See [`Custom`] for an example.
///
/// ```
/// use chrono::{DateTime, TimeDelta, Utc};
/// use scheduler_core::trigger::CustomTrigger;
/// use serde_json::{Value, json};
///
/// /// Fires at the times that are in its arguments.
/// struct AtEachOf;
///
/// impl CustomTrigger for AtEachOf {
///     fn next(&self, args: &Value, previous: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, String> {
///         let times: Vec<DateTime<Utc>> = serde_json::from_value(args.clone()).map_err(|error| error.to_string())?;
///         let is_next = |at: &DateTime<Utc>| previous.map_or(*at >= now, |previous| *at > previous);
///         Ok(times.into_iter().filter(is_next).min())
///     }
/// }
///
/// let at: DateTime<Utc> = "2026-11-21T09:00:00Z".parse().unwrap();
/// let args = json!([at, at + TimeDelta::hours(5)]);
/// assert_eq!(AtEachOf.next(&args, Some(at), at), Ok(Some(at + TimeDelta::hours(5))));
/// assert!(AtEachOf.next(&json!(7), None, at).is_err());
/// ```
#[doc(alias = "BaseTrigger")]
pub trait CustomTrigger: Send + Sync {
    /// The next fire time: without a previous one the first at or after `now`, else the first strictly after `previous`.
    ///
    /// # Errors
    ///
    /// Any text; it ends up in the event that puts the job in quarantine.
    fn next(
        &self,
        args: &Value,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, String>;

    /// The last fire time at or before `at`.
    ///
    /// By default `None`, which means "not known": catch-up after a long pause then walks forward with
    /// [`next`](Self::next) instead of jumping.
    ///
    /// # Errors
    ///
    /// Any text, as for [`next`](Self::next).
    fn previous(&self, args: &Value, at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, String> {
        let _ = (args, at);
        Ok(None)
    }
}

impl Custom {
    /// Names a trigger and its arguments; the implementation is added here or when the job is read.
    pub fn new(name: impl Into<String>, args: Value) -> Self {
        Self { name: name.into(), args, implementation: None }
    }

    /// Adds the code.
    #[must_use]
    pub fn with_implementation(mut self, implementation: Arc<dyn CustomTrigger>) -> Self {
        self.implementation = Some(implementation);
        self
    }

    pub(super) fn next(
        &self,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        let next = self.call(|implementation| implementation.next(&self.args, previous, now))?;
        match (previous, next) {
            (Some(previous), Some(next)) if next <= previous => Err(self.error(
                TriggerErrorKind::NotAfterPrevious,
                format!("returned {next}, which is not after the previous fire time {previous}"),
            )),
            _ => Ok(next),
        }
    }

    /// The first fire time at or after an instant.
    pub(super) fn at_or_after(&self, from: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, TriggerError> {
        match self.next(None, from)? {
            Some(next) if next < from => Err(self.error(
                TriggerErrorKind::NotAfterPrevious,
                format!("returned {next}, which is before the present {from}"),
            )),
            next => Ok(next),
        }
    }

    pub(super) fn previous(&self, at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, TriggerError> {
        match self.call(|implementation| implementation.previous(&self.args, at))? {
            Some(previous) if previous > at => Err(self.error(
                TriggerErrorKind::NotAfterPrevious,
                format!("returned {previous} as the last fire time up to {at}"),
            )),
            previous => Ok(previous),
        }
    }

    fn call(
        &self,
        code: impl FnOnce(&dyn CustomTrigger) -> Result<Option<DateTime<Utc>>, String>,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        let Some(implementation) = &self.implementation else {
            return Err(
                self.error(TriggerErrorKind::Unresolved, "not registered on this node; register its implementation")
            );
        };
        match catch_unwind(AssertUnwindSafe(|| code(implementation.as_ref()))) {
            Ok(Ok(time)) => Ok(time),
            Ok(Err(text)) => Err(self.error(TriggerErrorKind::Custom, text)),
            Err(panic) => Err(self.error(TriggerErrorKind::Panicked, format!("panicked: {}", panics::text(&*panic)))),
        }
    }

    fn error(&self, kind: TriggerErrorKind, text: impl fmt::Display) -> TriggerError {
        TriggerError::new(kind, format!("custom trigger `{}`: {text}", self.name))
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.args == other.args
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").field("name", &self.name).field("args", &self.args).finish()
    }
}

impl fmt::Display for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "custom {}", Value::from(self.name.as_str()))?;
        if self.args.is_null() { Ok(()) } else { write!(f, " {}", self.args) }
    }
}
