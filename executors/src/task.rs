//! From functions to tasks.

use std::sync::Arc;

use futures_lite::future;
use scheduler_core::{BoxFuture, Outcome, RunContext, Task, TaskCall, TaskName};
use serde::de::DeserializeOwned;

use crate::{
    FromRun, IntoOutcome,
    from_run::{LocalStates, Source},
    panics,
    parameters::{Extracted, ExtractedAndArgs, Parameters},
};

/// Makes a task of an async function or of a closure that gives a future.
///
/// The function takes what it needs of its run, as axum's handlers do: a [`RunContext`],
/// [`State`](scheduler_core::State) of any types, in any order, and behind them arguments of one type that serde can
/// read, or none. The arguments of a job are checked against that type when the job is added, and read anew for each
/// run. A struct takes named arguments, a tuple positional ones; a job without arguments fits if all of the struct's
/// fields have defaults.
///
/// ```
/// use scheduler_core::RunContext;
/// use scheduler_executors::task;
/// use serde::Deserialize;
/// use serde_json::json;
///
/// #[derive(Deserialize)]
/// struct Report {
///     to: String,
///     #[serde(default)]
///     copies: u32,
/// }
///
/// async fn send(context: RunContext, report: Report) -> Result<String, std::io::Error> {
///     Ok(format!("{} copies for {} at {}", report.copies, report.to, context.fire_time))
/// }
///
/// let send = task("send-report", send);
/// assert!(send.check(&json!({"to": "ann"})).is_ok());
/// assert_eq!(
///     send.check(&json!({"to": 7})).unwrap_err(),
///     "the task takes `Report`, which these arguments are not: to: invalid type: integer `7`, expected a string",
/// );
///
/// let tick = task("tick", || async { println!("tick") });
/// assert!(tick.check(&json!(null)).is_ok());
/// ```
///
/// A closure that gives `async move { .. }` clones what it has captured, as it may be running more than once at a time:
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
/// # use scheduler_executors::task;
///
/// let runs = Arc::new(AtomicU32::new(0));
/// let count = task("count", move || {
///     let runs = runs.clone();
///     async move { runs.fetch_add(1, Ordering::Relaxed) }
/// });
/// # assert_eq!(count.name().as_str(), "count");
/// ```
///
/// A blocking function is refused by the compiler, which says so; it is for [`blocking`]:
///
/// ```compile_fail,E0277
/// fn compress() {}
/// scheduler_executors::task("compress", compress);
/// ```
///
/// A future that is not `Send` is refused with the value and the line that make it so. It is for a scheduler on one thread,
/// `Builder::local`.
///
/// ```compile_fail
/// async fn count() {
///     let count = std::rc::Rc::new(1);
///     std::future::ready(()).await;
///     println!("{count}");
/// }
/// scheduler_executors::task("count", count);
/// ```
pub fn task<F, P>(name: impl Into<TaskName>, function: F) -> Task
where
    P: Parameters,
    F: AsyncTaskFn<P> + Send + Sync,
    F::Future: Send, // a task that is not `Send` can be one of `Scheduler::builder(..).local()`
{
    let call = move |context: RunContext, args| match read::<P>(&context, &args) {
        Ok(values) => run(function.call(values)),
        Err(message) => Box::pin(future::ready(Outcome::Error(message))),
    };
    Task::new(name, TaskCall::Async(Arc::new(call)), check::<P>).with_states(P::state_types())
}

fn run(future: impl Future<Output: IntoOutcome> + Send + 'static) -> BoxFuture<'static, Outcome> {
    Box::pin(async move { future.await.into_outcome() })
}

/// Makes a task of a function or closure that blocks its thread: computes, or waits for files and sockets.
///
/// It takes what the functions of [`task`] take, and runs on a thread for such work (but see
/// [`Inline`](crate::Inline)). It cannot be stopped from outside: one that runs for long looks at its
/// [`cancellation`](RunContext::cancellation) now and then.
///
/// ```
/// use scheduler_core::{Outcome, RunContext};
/// use scheduler_executors::blocking;
///
/// let clean = blocking("clean", |context: RunContext, folders: Vec<String>| {
///     for folder in &folders {
///         if context.cancellation.is_cancelled() {
///             return Outcome::Cancelled;
///         }
///         let _ = std::fs::remove_dir_all(folder);
///     }
///     Outcome::Ok(folders.len().into())
/// });
/// assert!(clean.check(&serde_json::json!(["/tmp/cache"])).is_ok());
/// ```
///
/// An async function is refused by the compiler: its future would never be polled.
///
/// ```compile_fail,E0277
/// async fn fetch() {}
/// scheduler_executors::blocking("fetch", fetch);
/// ```
pub fn blocking<F, P>(name: impl Into<TaskName>, function: F) -> Task
where
    P: Parameters,
    F: BlockingTaskFn<P>,
{
    let call = move |context, args| match read::<P>(&context, &args) {
        Ok(values) => function.call(values),
        Err(message) => Outcome::Error(message),
    };
    Task::new(name, TaskCall::Blocking(Arc::new(call)), check::<P>).with_states(P::state_types())
}

fn read<P: Parameters>(context: &RunContext, args: &serde_json::Value) -> Result<P::Values, String> {
    P::read(&Source { context, local: &LocalStates::NONE }, args)
}

/// A `Deserialize` that panics is an error of the arguments, and does not unwind into the program that adds the job.
fn check<P: Parameters>(args: &serde_json::Value) -> Result<(), String> {
    panics::catch(|| P::check(args)).unwrap_or_else(|panic| Err(format!("reading the arguments panicked: {panic}")))
}

/// An async function that can be a task: one that [`task`] takes, if it and its future are `Send`.
///
/// Implemented for each `Fn` that gives a future of something that is [`IntoOutcome`], and takes up to eight things that are
/// [`FromRun`] and then arguments or none. `P` stands for what it takes; the compiler infers it.
///
/// ```
/// use scheduler_core::Task;
/// use scheduler_executors::{AsyncTaskFn, parameters::Parameters, task};
///
/// fn nightly<P: Parameters>(function: impl AsyncTaskFn<P, Future: Send> + Send + Sync) -> Task {
///     task("nightly", function)
/// }
/// # nightly(|| async {});
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async function that can be a task",
    label = "cannot be made a task",
    note = "a task is an `async fn` or a closure that gives a future; it takes any of `State<T>` and `RunContext`,\n\
            up to eight, and behind them arguments of one type, or none",
    note = "the type of the arguments is `DeserializeOwned`: it has `#[derive(serde::Deserialize)]` and borrows nothing;\n\
            several arguments are a struct or a tuple",
    note = "it gives `()`, a `Result<T, E>` with `T: Serialize` and `E: Display`, or something else that is `IntoOutcome`",
    note = "for a function that is not async use `blocking`",
    note = "with `#[apscheduler::task]` on the function (feature `macros`) the compiler says which of these it is"
)]
pub trait AsyncTaskFn<P: Parameters>: 'static {
    /// What it gives.
    type Future: Future<Output: IntoOutcome> + 'static;

    /// Calls the function.
    fn call(&self, values: P::Values) -> Self::Future;
}

/// A function that [`blocking`] takes.
///
/// Implemented for each `Fn` that is `Send + Sync + 'static` and gives something that is [`IntoOutcome`], and takes what an
/// [`AsyncTaskFn`] takes. `P` stands for that; the compiler infers it.
///
/// ```
/// use scheduler_core::Task;
/// use scheduler_executors::{BlockingTaskFn, blocking, parameters::Parameters};
///
/// fn nightly<P: Parameters>(function: impl BlockingTaskFn<P>) -> Task {
///     blocking("nightly", function)
/// }
/// # nightly(|| {});
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function that can be a blocking task",
    label = "cannot be made a blocking task",
    note = "a blocking task is a function or closure; it takes any of `State<T>` and `RunContext`, up to eight,\n\
            and behind them arguments of one type, or none",
    note = "the type of the arguments is `DeserializeOwned`: it has `#[derive(serde::Deserialize)]` and borrows nothing;\n\
            several arguments are a struct or a tuple",
    note = "it gives `()`, a `Result<T, E>` with `T: Serialize` and `E: Display`, or something else that is `IntoOutcome`",
    note = "for an `async` function use `task`"
)]
pub trait BlockingTaskFn<P: Parameters>: Send + Sync + 'static {
    /// Calls the function and turns what it gives into an outcome.
    fn call(&self, values: P::Values) -> Outcome;
}

/// Both traits for the functions that take so many things from their runs, without arguments and with them.
macro_rules! functions_taking {
    ($($one:ident $value:ident),*) => {
        functions_taking!(Extracted<($($one,)*)>, ($($value,)*), [$($one $value),*], []);
        functions_taking!(ExtractedAndArgs<($($one,)*), Args>, (($($value,)*), args), [$($one $value),*], [Args args]);
    };
    ($parameters:ty, $values:tt, [$($one:ident $value:ident),*], [$($args:ident $arg:ident)?]) => {
        impl<F, R, $($one,)* $($args)?> AsyncTaskFn<$parameters> for F
        where
            F: Fn($($one,)* $($args)?) -> R + 'static,
            R: Future<Output: IntoOutcome> + 'static,
            $($one: FromRun,)*
            $($args: DeserializeOwned + 'static,)?
        {
            type Future = R;

            fn call(&self, $values: <$parameters as Parameters>::Values) -> R {
                self($($value,)* $($arg)?)
            }
        }

        impl<F, R, $($one,)* $($args)?> BlockingTaskFn<$parameters> for F
        where
            F: Fn($($one,)* $($args)?) -> R + Send + Sync + 'static,
            R: IntoOutcome,
            $($one: FromRun,)*
            $($args: DeserializeOwned + 'static,)?
        {
            fn call(&self, $values: <$parameters as Parameters>::Values) -> Outcome {
                self($($value,)* $($arg)?).into_outcome()
            }
        }
    };
}

functions_taking!();
functions_taking!(A a);
functions_taking!(A a, B b);
functions_taking!(A a, B b, C c);
functions_taking!(A a, B b, C c, D d);
functions_taking!(A a, B b, C c, D d, E e);
functions_taking!(A a, B b, C c, D d, E e, G g);
functions_taking!(A a, B b, C c, D d, E e, G g, H h);
functions_taking!(A a, B b, C c, D d, E e, G g, H h, I i);
