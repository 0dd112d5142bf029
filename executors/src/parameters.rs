//! What the functions behind tasks take, and reading it from a job's arguments.
//!
//! The types here are never written by hand: the compiler infers them from a function given to [`task`](crate::task) or
//! [`blocking`](crate::blocking).

use std::{any::type_name, fmt, marker::PhantomData};

use scheduler_core::RunContext;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A list of parameters that the function behind a task may have.
///
/// ```
/// use scheduler_executors::parameters::{Args, Nothing, Parameters};
/// use serde_json::json;
///
/// assert!(Args::<(String, u32)>::check(&json!(["ann", 2])).is_ok());
/// assert_eq!(
///     Args::<(String, u32)>::check(&json!(["ann"])).unwrap_err(),
///     "the task takes `(String, u32)`, which these arguments are not: invalid length 1, expected a tuple of size 2",
/// );
/// assert!(Nothing::check(&json!({})).is_ok());
/// ```
pub trait Parameters: 'static {
    /// The values for one call, as a tuple.
    type Values: Send;

    /// Reads the values for one call.
    ///
    /// # Errors
    ///
    /// What the task takes, and what is wrong with the arguments.
    fn read(context: RunContext, args: &Value) -> Result<Self::Values, String>;

    /// Says whether arguments would be understood.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    fn check(args: &Value) -> Result<(), String>;
}

/// No parameters: the job's arguments are absent or empty.
///
/// ```
/// use scheduler_executors::parameters::{Nothing, Parameters};
/// assert_eq!(
///     Nothing::check(&serde_json::json!({"to": "ann"})).unwrap_err(),
///     r#"the task takes no arguments, but the job has {"to":"ann"}"#,
/// );
/// ```
#[derive(Debug)]
pub struct Nothing(());

/// The run's context only: the job's arguments are absent or empty.
///
/// ```
/// use scheduler_executors::parameters::{Context, Parameters};
/// assert!(Context::check(&serde_json::Value::Null).is_ok());
/// ```
#[derive(Debug)]
pub struct Context(());

/// The job's arguments, read as `A`.
///
/// ```
/// use scheduler_executors::parameters::{Args, Parameters};
/// assert!(Args::<u32>::check(&serde_json::json!(7)).is_ok());
/// ```
#[derive(Debug)]
pub struct Args<A>(PhantomData<fn() -> A>);

/// The run's context and the job's arguments, read as `A`.
///
/// ```
/// use scheduler_executors::parameters::{ContextAndArgs, Parameters};
/// assert!(ContextAndArgs::<u32>::check(&serde_json::json!("seven")).is_err());
/// ```
#[derive(Debug)]
pub struct ContextAndArgs<A>(PhantomData<fn() -> A>);

impl Parameters for Nothing {
    type Values = ();

    fn read(_: RunContext, args: &Value) -> Result<(), String> {
        Self::check(args)
    }

    fn check(args: &Value) -> Result<(), String> {
        nothing(args)
    }
}

impl Parameters for Context {
    type Values = (RunContext,);

    fn read(context: RunContext, args: &Value) -> Result<(RunContext,), String> {
        Self::check(args).map(|()| (context,))
    }

    fn check(args: &Value) -> Result<(), String> {
        nothing(args)
    }
}

impl<A: DeserializeOwned + Send + 'static> Parameters for Args<A> {
    type Values = (A,);

    fn read(_: RunContext, args: &Value) -> Result<(A,), String> {
        typed(args).map(|args| (args,))
    }

    fn check(args: &Value) -> Result<(), String> {
        typed::<A>(args).map(drop)
    }
}

impl<A: DeserializeOwned + Send + 'static> Parameters for ContextAndArgs<A> {
    type Values = (RunContext, A);

    fn read(context: RunContext, args: &Value) -> Result<(RunContext, A), String> {
        typed(args).map(|args| (context, args))
    }

    fn check(args: &Value) -> Result<(), String> {
        typed::<A>(args).map(drop)
    }
}

fn nothing(args: &Value) -> Result<(), String> {
    let is_empty = match args {
        Value::Null => true,
        Value::Object(named) => named.is_empty(),
        Value::Array(positional) => positional.is_empty(),
        _ => false,
    };
    if is_empty { Ok(()) } else { Err(format!("the task takes no arguments, but the job has {}", Excerpt(args))) }
}

fn typed<A: DeserializeOwned>(args: &Value) -> Result<A, String> {
    let error = match serde_path_to_error::deserialize(args) {
        Ok(args) => return Ok(args),
        Err(error) => error,
    };
    if !args.is_null() {
        return Err(format!("the task takes `{}`, which these arguments are not: {error}", short_name::<A>()));
    }
    // A struct whose fields all have defaults needs no arguments; serde reads it from `{}` alone.
    A::deserialize(Value::Object(Map::new()))
        .map_err(|_| format!("the task takes `{}`, but the job has no arguments", short_name::<A>()))
}

/// The name of a type without the paths in it.
fn short_name<T>() -> String {
    type_name::<T>()
        .split_inclusive(|c: char| !(c.is_alphanumeric() || "_:{}".contains(c)))
        .map(|part| part.rsplit("::").next().unwrap_or(part))
        .collect()
}

/// The beginning of a value's JSON: arguments may be long, and end up in logs.
struct Excerpt<'a>(&'a Value);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = self.0.to_string();
        match json.char_indices().nth(80) {
            Some((end, _)) => write!(f, "{} ...", &json[..end]),
            None => f.write_str(&json),
        }
    }
}
