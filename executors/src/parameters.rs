//! What the functions behind tasks take, and reading it from a job's arguments.
//!
//! The types here are never written by hand: the compiler infers them from a function given to [`task`](crate::task) or
//! [`blocking`](crate::blocking).

use std::{any::type_name, fmt, marker::PhantomData};

use scheduler_core::StateType;
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::{Map, Value};
use serde_path_to_error::Track;

use crate::{FromRun, from_run::Source};

/// A list of parameters that the function behind a task may have: what it takes from its run, and then arguments or none.
///
/// ```
/// use scheduler_executors::parameters::{Extracted, ExtractedAndArgs, Parameters};
/// use serde_json::json;
///
/// assert!(ExtractedAndArgs::<(), (String, u32)>::check(&json!(["ann", 2])).is_ok());
/// assert_eq!(
///     ExtractedAndArgs::<(), (String, u32)>::check(&json!(["ann"])).unwrap_err(),
///     "the task takes `(String, u32)`, which these arguments are not: invalid length 1, expected a tuple of size 2",
/// );
/// assert!(Extracted::<()>::check(&json!({})).is_ok());
/// ```
pub trait Parameters: 'static {
    /// The values for one call.
    type Values;

    /// Reads the values for one call. The error says what the task takes, and what is wrong with the arguments.
    #[doc(hidden)]
    fn read(source: &Source<'_>, args: &Value) -> Result<Self::Values, String>;

    /// The types of state that are among them.
    #[doc(hidden)]
    fn state_types() -> Vec<StateType>;

    /// Says whether arguments would be understood, and nothing in them be passed over.
    ///
    /// # Errors
    ///
    /// What the task takes and what is wrong with the arguments; the fields that are not known.
    fn check(args: &Value) -> Result<(), String>;
}

/// What is taken from the run only, a tuple of [`FromRun`]: the job's arguments are absent or empty.
///
/// ```
/// use scheduler_executors::parameters::{Extracted, Parameters};
/// assert_eq!(
///     Extracted::<()>::check(&serde_json::json!({"to": "ann"})).unwrap_err(),
///     r#"the task takes no arguments, but the job has {"to":"ann"}"#,
/// );
/// ```
#[derive(Debug)]
pub struct Extracted<E>(PhantomData<fn() -> E>);

/// What is taken from the run, a tuple of [`FromRun`], and the job's arguments, read as `A`.
///
/// When a job is added or changed, a field that `A` does not know is an error, since it may be a misspelt one; a field of `A`
/// with `#[serde(flatten)]` and a map takes all that have no other place. (What serde reads by way of a buffer, enums that are
/// untagged or tagged within and what is flattened, it does not tell of.) At a run such a field is passed over, so that a
/// release can run the jobs of the next one.
///
/// ```
/// use scheduler_executors::parameters::{ExtractedAndArgs, Parameters};
/// use serde::Deserialize;
/// use serde_json::{Map, Value, json};
///
/// #[derive(Deserialize)]
/// struct Report {
///     to: Option<String>,
/// }
///
/// #[derive(Deserialize)]
/// struct Open {
///     to: Option<String>,
///     #[serde(flatten)]
///     others: Map<String, Value>,
/// }
///
/// assert!(ExtractedAndArgs::<(), Report>::check(&json!({"to": "ann"})).is_ok());
/// let error = ExtractedAndArgs::<(), Report>::check(&json!({"too": "ann"})).unwrap_err();
/// assert!(error.starts_with("the task takes `Report`, which has no `too`; "), "{error}");
/// assert!(ExtractedAndArgs::<(), Open>::check(&json!({"too": "ann"})).is_ok());
/// ```
#[derive(Debug)]
pub struct ExtractedAndArgs<E, A>(PhantomData<fn() -> (E, A)>);

impl<E: FromRun> Parameters for Extracted<E> {
    type Values = E;

    fn read(source: &Source<'_>, args: &Value) -> Result<E, String> {
        Self::check(args)?;
        E::from_run(source)
    }

    fn state_types() -> Vec<StateType> {
        state_types::<E>()
    }

    fn check(args: &Value) -> Result<(), String> {
        nothing(args)
    }
}

impl<E: FromRun, A: DeserializeOwned + 'static> Parameters for ExtractedAndArgs<E, A> {
    type Values = (E, A);

    fn read(source: &Source<'_>, args: &Value) -> Result<(E, A), String> {
        let args = typed(args, &mut |_| {})?;
        Ok((E::from_run(source)?, args))
    }

    fn state_types() -> Vec<StateType> {
        state_types::<E>()
    }

    fn check(args: &Value) -> Result<(), String> {
        wholly_known::<A>(args)
    }
}

fn state_types<E: FromRun>() -> Vec<StateType> {
    let mut types = Vec::new();
    E::state_types(&mut types);
    types
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

/// Whether the type reads the arguments and knows each of their fields: one that it passes over is a misspelt one. Asked when
/// a job is added or changed, not at its runs: those of a job of a later release may have fields that this one does not know.
fn wholly_known<A: DeserializeOwned>(args: &Value) -> Result<(), String> {
    let mut unknown = Vec::new();
    typed::<A>(args, &mut |path| unknown.push(format!("`{path}`")))?;
    if unknown.is_empty() {
        return Ok(());
    }
    let (name, unknown) = (short_name::<A>(), unknown.join(", "));
    Err(format!(
        "the task takes `{name}`, which has no {unknown}; correct or leave out what is not known, or let a field with \
         `#[serde(flatten)]` take it"
    ))
}

/// Reads arguments; tells of what the type passes over.
fn typed<A: DeserializeOwned>(args: &Value, on_ignored: &mut dyn FnMut(Path<'_>)) -> Result<A, String> {
    let mut track = Track::new();
    let read = serde_path_to_error::Deserializer::new(args, &mut track);
    let error = match serde_ignored::deserialize(read, on_ignored) {
        Ok(args) => return Ok(args),
        Err(error) => serde_path_to_error::Error::new(track.path(), error),
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
