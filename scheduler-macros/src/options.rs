//! The options of the jobs of a task.

use proc_macro2::TokenStream;
use quote::quote;
use scheduler_core::PartialOptions;
use syn::{Expr, Ident, Path, Result};

use crate::{
    arguments::{Arguments, number_of, refused, text_of},
    schedule::duration_of,
};

/// The setters of a job's description that a task can have for all of its jobs.
pub(crate) fn names() -> Vec<&'static str> {
    ["executor"].into_iter().chain(NOTES).chain(PartialOptions::NAMES.iter().copied()).collect()
}

/// What the jobs that the function makes are given, and other jobs of the task are not.
const NOTES: [&str; 2] = ["tags", "meta"];

fn is_note(name: &Ident) -> bool {
    NOTES.iter().any(|note| name == note)
}

/// Some names and those of the options, as one says them.
pub(crate) fn known(others: &str) -> String {
    let mut names = names();
    let last = names.pop().unwrap_or_default();
    format!("{others}, {} and {last}", names.join(", "))
}

/// The options that the jobs of a task have.
pub(crate) struct Options(Vec<(Ident, Expr)>);

impl Options {
    pub(crate) fn take(arguments: &mut Arguments) -> Result<Self> {
        let names = names();
        let given = std::iter::from_fn(|| arguments.take_one_of(&names));
        let options = given.map(|option| Ok((option.name.clone(), option.expression()?)));
        Ok(Self(options.collect::<Result<_>>()?))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(option, _)| option == name)
    }

    /// Calls of the setters of the task, one after the other.
    pub(crate) fn calls(&self, library: &Path) -> Result<TokenStream> {
        let of_task = self.0.iter().filter(|(name, _)| !is_note(name));
        of_task.map(|(name, value)| call(name, value, library)).collect()
    }

    /// Calls of the setters that each of its jobs has by itself.
    pub(crate) fn notes(&self) -> TokenStream {
        self.0.iter().filter(|(name, _)| is_note(name)).map(|(name, value)| quote! { .#name(#value) }).collect()
    }
}

fn call(name: &Ident, value: &Expr, library: &Path) -> Result<TokenStream> {
    let value = match name.to_string().as_str() {
        "misfire_grace_time" | "timeout" | "retention" => duration(name, value)?,
        "max_instances" | "retry" if number_of(value).is_some_and(|number| number.base10_digits() == "0") => {
            return Err(refused(value, format!("`{name}` of 0: at least 1")));
        }
        "retry" if number_of(value).is_some() => quote! { #library::Retry::attempts(#value) },
        _ => quote! { #value },
    };
    Ok(quote! { .#name(#value) })
}

/// A duration as text is read now; one that is an expression is the compiler's.
fn duration(option: &Ident, value: &Expr) -> Result<TokenStream> {
    let Some(text) = text_of(value) else {
        return Ok(quote! { #value });
    };
    let duration = duration_of(text)?;
    let checked = match option.to_string().as_str() {
        "timeout" => PartialOptions::default().timeout(duration).check(),
        "retention" => Ok(()),
        _ => PartialOptions::default().misfire_grace_time(duration).check(),
    };
    checked.map_err(|error| refused(text, error))?;
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    Ok(quote! { ::core::time::Duration::new(#seconds, #nanos) })
}
