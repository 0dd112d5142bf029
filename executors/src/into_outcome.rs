//! From what a function gives to an outcome.

use std::{convert::Infallible, fmt::Display};

use scheduler_core::Outcome;
use serde::Serialize;
use serde_json::Value;

/// What the function behind a task may return.
///
/// `()` is a success, and so are numbers, texts, `Option`s and `Vec`s; any other value is wrapped in [`Ok`]. An `Err` is
/// a failure with the error's text, for errors that tell their sources in the alternate form (`{:#}`) with these.
/// A task that has more to say returns an [`Outcome`].
///
/// ```
/// use scheduler_core::Outcome;
/// use scheduler_executors::IntoOutcome;
///
/// assert_eq!(Ok::<_, String>(vec![1, 2]).into_outcome(), Outcome::Ok(serde_json::json!([1, 2])));
/// assert_eq!(Err::<(), _>("disk full").into_outcome(), Outcome::Error("disk full".into()));
/// ```
///
/// A type of one's own joins in:
///
/// ```
/// use scheduler_core::Outcome;
/// use scheduler_executors::{IntoOutcome, blocking};
///
/// struct ExitStatus(i32);
///
/// impl IntoOutcome for ExitStatus {
///     fn into_outcome(self) -> Outcome {
///         match self.0 {
///             0 => Outcome::Ok(0.into()),
///             status => Outcome::Error(format!("exit status {status}")),
///         }
///     }
/// }
///
/// blocking("backup", || ExitStatus(1));
/// ```
#[diagnostic::on_unimplemented(
    message = "a task cannot return `{Self}`",
    label = "not a result of a task",
    note = "return `()`, a `Result<T, E>` with `T: Serialize` and `E: Display`, or an `Outcome`;\n\
            or implement `IntoOutcome` for your type",
    note = "if this is a future, the function is async: make it a task with `task` instead of `blocking`"
)]
pub trait IntoOutcome {
    /// The outcome of the run that returned this.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Ok(Value::Null)
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

/// For functions that end only by being cancelled.
impl IntoOutcome for Infallible {
    fn into_outcome(self) -> Outcome {
        match self {}
    }
}

impl<T: Serialize, E: Display> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(value) => success(value),
            Err(error) => Outcome::Error(format!("{error:#}")),
        }
    }
}

/// `Result` is `Serialize` as well, so that one impl for all that is `Serialize` would swallow errors.
macro_rules! successes {
    ($($type:ty $(where $generic:ident)?),*) => {
        $(impl$(<$generic: Serialize>)? IntoOutcome for $type {
            fn into_outcome(self) -> Outcome {
                success(self)
            }
        })*
    };
}

successes!(bool, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, f32, f64);
successes!(&'static str, String, Value, Option<T> where T, Vec<T> where T);

fn success(value: impl Serialize) -> Outcome {
    match serde_json::to_value(value) {
        Ok(value) => Outcome::Ok(value),
        Err(error) => Outcome::Error(format!("the task succeeded, but its result cannot be written as JSON: {error}")),
    }
}
