//! The attribute macros of apscheduler, which `apscheduler` re-exports under its feature `macros`.
//!
//! [`task`] makes a function a named, typed task. [`scheduled`] gives it a time as well, like APScheduler's
//! `@scheduled_job`. What they are told is read while the program is compiled, by the parsers that the scheduler itself has.
//!
//! The examples of both are tests of `apscheduler`, from where programs have the attributes. A dev-dependency on it would build it,
//! and all that it needs, a second time: macros are built for the machine that compiles, and so is what their tests need.

mod arguments;
mod expansion;
mod function;
mod options;
mod schedule;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

#[cfg_attr(not(doctest), doc = include_str!("task.md"))]
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expansion::task(arguments.into(), function.into()).into()
}

#[cfg_attr(not(doctest), doc = include_str!("scheduled.md"))]
#[doc(alias = "scheduled_job")]
#[proc_macro_attribute]
pub fn scheduled(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expansion::scheduled(arguments.into(), function.into()).into()
}
