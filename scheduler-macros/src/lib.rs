//! The attribute macros of apscheduler, which `apscheduler` re-exports under its feature `macros`.
//!
//! [`task`] makes a function a named, typed task. [`scheduled`] gives it a time as well, like APScheduler's
//! `@scheduled_job`. What they are told is read while the program is compiled, by the parsers that the scheduler itself has.

mod arguments;
mod expansion;
mod function;
mod options;
mod schedule;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Makes a function a task: named, with arguments of its own types, and still the function that it was.
///
/// Beside the function there is a type of the same name, as visible as the function:
///
/// | written | what it is |
/// |---|---|
/// | `report::NAME` | the name under which the task is registered |
/// | `report::task()` | the task, for `Builder::register` |
/// | `report::job(trigger, args)` | a job that runs it; its arguments have the type that the function takes |
/// | `report::now(args)` | a job that runs it once, at once |
/// | `report(..)` | the function, to be called as before |
///
/// ```
/// use apscheduler::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Report {
///     to: String,
///     copies: u32,
/// }
///
/// /// Async, with the context of its run and arguments.
/// #[task(name = "send-report", timeout = "30s", retry = 3)]
/// async fn report(context: RunContext, report: Report) -> Result<String, std::io::Error> {
///     Ok(format!("{} copies for {} at {}", report.copies, report.to, context.fire_time))
/// }
///
/// /// Not async, so that it runs on a thread for work that blocks.
/// #[task]
/// fn tidy() {}
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let scheduler = Scheduler::builder(TokioRuntime::current())
///     .register(report::task())
///     .register(tidy::task())
///     .build()?;
/// scheduler.add_job(report::job(Interval::hours(1), Report { to: "ann".into(), copies: 2 }).id("hourly")).await?;
/// scheduler.add_job(tidy::now()).await?;
/// assert_eq!(report::NAME, "send-report");
/// tidy();
/// # Ok(())
/// # }
/// ```
///
/// # The function
///
/// It takes any of `State<T>` and `RunContext`, which are known by the names of their types, and behind them arguments, or none
/// of all this. Arguments are one value: a struct, whose fields are named arguments, a tuple, or a plain value. They are read from JSON
/// (`DeserializeOwned`), and written for `job` and `now` (`Serialize`). It gives `()`, a `Result`, or something else that is
/// `IntoOutcome`. An async function becomes what `executors::task` makes of it, another one what `executors::blocking` does.
///
/// A scope that has another type of the function's name cannot have this one; functions in an `impl` cannot be tasks.
///
/// What the tasks of a service share is its state, which the builder is given:
///
/// ```
/// use apscheduler::prelude::*;
/// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
///
/// #[derive(Clone, Default)]
/// struct Visits(Arc<AtomicU32>);
///
/// #[task]
/// async fn visit(State(visits): State<Visits>, context: RunContext, page: String) {
///     println!("visit {} of {page} at {}", visits.0.fetch_add(1, Ordering::Relaxed) + 1, context.fire_time);
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let builder = Scheduler::builder(TokioRuntime::current()).register(visit::task());
/// let scheduler = builder.state(Visits::default()).build()?;
/// scheduler.add_job(visit::now("home".to_owned())).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Options
///
/// - `name`: the task's name, which jobs in stores refer to. Defaults to the function's.
/// - Those that all jobs of the task have unless they say otherwise, as the setters of `Task` of the same name:
///   `executor`, `misfire_grace_time`, `coalesce`, `max_instances`, `overlap`, `limit_key`, `delivery`, `timeout`,
///   `retry`, `priority`, `history`, `when_finished`, `retention`, `output`. Durations are text (`"1h 30m"`, `"0.5s"`)
///   or expressions; a number for `retry` is that of its attempts. What is not given is left to the scheduler's job
///   defaults.
/// - `tags` (`["billing", "nightly"]`) and `meta`, as the setters of `JobSpec`: of the jobs that `job`, `now` and `scheduled` make.
/// - `crate`: the path of the library in text, if the program has it under another name than `apscheduler`.
///
/// # Errors
///
/// What a scheduler could not call is refused by the compiler, which says why: methods, generic functions, arguments that are
/// borrowed, more than one of them, and types that cannot be read.
///
/// ```compile_fail,E0277
/// struct Report(String); // Not `Deserialize`.
///
/// #[apscheduler::task]
/// async fn report(report: Report) {}
/// ```
///
/// ```compile_fail
/// #[apscheduler::task]
/// async fn report(to: &str) {}
/// ```
///
/// Wrong arguments of a job are refused as well:
///
/// ```compile_fail,E0308
/// use apscheduler::prelude::*;
///
/// #[task]
/// async fn report(to: String) {}
///
/// report::job(Interval::hours(1), 7);
/// ```
///
/// ```compile_fail,E0277
/// use apscheduler::prelude::*;
///
/// #[derive(serde::Deserialize)]
/// struct Report(String); // Not `Serialize`: only other programs can make jobs of it.
///
/// #[task]
/// async fn report(report: Report) {}
///
/// report::now(Report("ann".into()));
/// ```
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expansion::task(arguments.into(), function.into()).into()
}

/// Makes a function a task with a job that runs it. APScheduler's `@scheduled_job`.
///
/// It does what [`task`](macro@task) does, and adds `report::scheduled()`: the task and the job, for `Builder::scheduled`. The
/// job is added whenever the scheduler starts. If a store has it from before, it keeps its next fire time, its pause and its
/// history, unless it is to run at other times than before.
///
/// ```
/// use apscheduler::prelude::*;
///
/// #[scheduled(cron = "0 9 * * mon-fri", timezone = "Europe/Berlin", args = "ann", misfire_grace_time = "1h")]
/// async fn greet(name: String) {
///     println!("good morning, {name}");
/// }
///
/// #[scheduled(every = "10m", jitter = "30s", overlap = Overlap::Queue(1))]
/// fn tidy(context: RunContext) {
///     println!("tidying up for {}", context.fire_time);
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let scheduler = Scheduler::builder(TokioRuntime::current())
///     .scheduled(greet::scheduled())
///     .scheduled(tidy::scheduled())
///     .build()?;
/// scheduler.start().await?;
/// let greeting = scheduler.job("greet").await?.expect("it is there once the scheduler has started");
/// println!("{:?}", greeting.next_fire_time);
/// # scheduler.shutdown(ShutdownMode::Wait).await
/// # }
/// ```
///
/// # When
///
/// Exactly one of these:
///
/// | option | trigger |
/// |---|---|
/// | `cron = "0 9 * * mon-fri"` | the five fields of a crontab, or six with the second in front, or `@every 5m` |
/// | `cron(day_of_week = "mon-fri", hour = 9)` | APScheduler's fields |
/// | `quartz = "0 0 9 ? * MON-FRI"` | the six or seven fields of Quartz |
/// | `every = "1h 30m"` | an interval; `"1h starting now"` has it begin at once |
/// | `at = "2026-12-24T18:00:00Z"` | once; without an offset it needs a `timezone` |
/// | `trigger = ".."` | the text of any trigger, as it is displayed |
/// | `trigger = Interval::hours(1)` | an expression of one |
///
/// Cron takes `timezone`, the name of a zone (defaults to the scheduler's), and `jitter`, a duration, which `every` takes too.
///
/// A date has to say how late it may still run (`misfire_grace_time`), since the program may start after it; and its job stays
/// in its store when it has run, so that it does not run at each start.
///
/// # Further options
///
/// - `args`: what the function is called with, an expression of the type that it takes; text becomes a `String`.
/// - `id`: the job's id. Defaults to the task's name.
/// - `store`: the store that keeps it. Defaults to `default`.
/// - `on_conflict`: what wins if the store has the job already. Defaults to `Conflict::Replace`, which is the program; with
///   `Conflict::Keep` changes that were made to the job in its store last.
/// - All options of [`task`](macro@task).
///
/// # Errors
///
/// Expressions, zones and durations are read while the program is compiled, and what is wrong with them is told there:
///
/// ```compile_fail
/// // crontab field `hour`: `25` at column 3: the value must be 0 to 23
/// #[apscheduler::scheduled(cron = "0 25 * * *")]
/// async fn report() {}
/// ```
///
/// ```compile_fail
/// // `crontab 0 0 30 2 *` never fires: there is no such time
/// #[apscheduler::scheduled(cron = "0 0 30 2 *")]
/// async fn report() {}
/// ```
///
/// ```compile_fail
/// // time zone `Europe/Atlantis`: the tz database has no such zone; an example is `Europe/Berlin`
/// #[apscheduler::scheduled(cron = "0 9 * * *", timezone = "Europe/Atlantis")]
/// async fn report() {}
/// ```
///
/// ```compile_fail,E0308
/// #[apscheduler::scheduled(every = "1h", args = 7)]
/// async fn report(to: String) {}
/// ```
#[doc(alias = "scheduled_job")]
#[proc_macro_attribute]
pub fn scheduled(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expansion::scheduled(arguments.into(), function.into()).into()
}

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
