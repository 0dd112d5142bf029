//! From functions to tasks.

use std::sync::Arc;

use futures_lite::future;
use scheduler_core::{BoxFuture, Outcome, RunContext, Task, TaskCall, TaskName};
use serde::de::DeserializeOwned;

use crate::{
    IntoOutcome, panics,
    parameters::{Args, Context, ContextAndArgs, Nothing, Parameters},
};

/// Makes a task of an async function or of a closure that gives a future.
///
/// The function may take a [`RunContext`], arguments of any type that serde can read, both in this order, or nothing.
/// The arguments of a job are checked against that type when the job is added, and read anew for each run. A struct takes
/// named arguments, a tuple positional ones; a job without arguments fits if all of the struct's fields have defaults.
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
pub fn task<F, P>(name: impl Into<TaskName>, function: F) -> Task
where
    F: AsyncTaskFn<P>,
    P: Parameters,
{
    let call = move |context: RunContext, args| match P::read(context, &args) {
        Ok(values) => function.call(values),
        Err(message) => Box::pin(future::ready(Outcome::Error(message))),
    };
    Task::new(name, TaskCall::Async(Arc::new(call)), check::<P>)
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
    F: BlockingTaskFn<P>,
    P: Parameters,
{
    let call = move |context, args| match P::read(context, &args) {
        Ok(values) => function.call(values),
        Err(message) => Outcome::Error(message),
    };
    Task::new(name, TaskCall::Blocking(Arc::new(call)), check::<P>)
}

/// A `Deserialize` that panics is an error of the arguments, and does not unwind into the program that adds the job.
fn check<P: Parameters>(args: &serde_json::Value) -> Result<(), String> {
    panics::catch(|| P::check(args)).unwrap_or_else(|panic| Err(format!("reading the arguments panicked: {panic}")))
}

/// A function that [`task`] takes.
///
/// Implemented for each `Fn` that is `Send + Sync + 'static` and gives a future of something that is [`IntoOutcome`].
/// `P` stands for what it takes; the compiler infers it.
///
/// ```
/// use scheduler_core::Task;
/// use scheduler_executors::{AsyncTaskFn, parameters::Parameters, task};
///
/// fn nightly<P: Parameters>(function: impl AsyncTaskFn<P>) -> Task {
///     task("nightly", function)
/// }
/// # nightly(|| async {});
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async function that can be a task",
    label = "cannot be made a task",
    note = "a task is an `async fn` or a closure that gives a future, and takes one of\n\
            `()`, `(RunContext)`, `(Args)` or `(RunContext, Args)` with `Args: DeserializeOwned + Send + 'static`",
    note = "its future is `Send + 'static` and gives `()`, a `Result<T, E>` with `T: Serialize` and `E: Display`,\n\
            or something else that is `IntoOutcome`",
    note = "for a function that is not async use `blocking`"
)]
pub trait AsyncTaskFn<P: Parameters>: Send + Sync + 'static {
    /// Calls the function and turns what its future gives into an outcome.
    fn call(&self, values: P::Values) -> BoxFuture<'static, Outcome>;
}

/// A function that [`blocking`] takes.
///
/// Implemented for each `Fn` that is `Send + Sync + 'static` and gives something that is [`IntoOutcome`].
/// `P` stands for what it takes; the compiler infers it.
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
    note = "a blocking task is a function or closure that takes one of\n\
            `()`, `(RunContext)`, `(Args)` or `(RunContext, Args)` with `Args: DeserializeOwned + Send + 'static`",
    note = "it gives `()`, a `Result<T, E>` with `T: Serialize` and `E: Display`,\n\
            or something else that is `IntoOutcome`",
    note = "for an `async` function use `task`"
)]
pub trait BlockingTaskFn<P: Parameters>: Send + Sync + 'static {
    /// Calls the function and turns what it gives into an outcome.
    fn call(&self, values: P::Values) -> Outcome;
}

/// Both traits for the functions with one list of parameters.
macro_rules! functions_with {
    ($parameters:ty, [$($args:ident)?], ($($name:ident: $type:ty),*)) => {
        impl<F, R $(, $args)?> AsyncTaskFn<$parameters> for F
        where
            F: Fn($($type),*) -> R + Send + Sync + 'static,
            R: Future + Send + 'static,
            R::Output: IntoOutcome,
            $($args: DeserializeOwned + Send + 'static,)?
        {
            fn call(&self, ($($name,)*): <$parameters as Parameters>::Values) -> BoxFuture<'static, Outcome> {
                let result = self($($name),*);
                Box::pin(async move { result.await.into_outcome() })
            }
        }

        impl<F, R $(, $args)?> BlockingTaskFn<$parameters> for F
        where
            F: Fn($($type),*) -> R + Send + Sync + 'static,
            R: IntoOutcome,
            $($args: DeserializeOwned + Send + 'static,)?
        {
            fn call(&self, ($($name,)*): <$parameters as Parameters>::Values) -> Outcome {
                self($($name),*).into_outcome()
            }
        }
    };
}

functions_with!(Nothing, [], ());
functions_with!(Context, [], (context: RunContext));
functions_with!(Args<A>, [A], (args: A));
functions_with!(ContextAndArgs<A>, [A], (context: RunContext, args: A));
