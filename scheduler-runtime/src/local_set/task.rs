//! Tasks that need not be `Send`.

use std::{future::Future, rc::Rc, sync::Arc};

use futures_util::future::LocalBoxFuture;
use scheduler_core::{BoxFuture, Outcome, RunContext, Task, TaskCall, TaskName};
use scheduler_executors::{
    IntoOutcome,
    parameters::{Args, Context as ContextOnly, ContextAndArgs, Nothing, Parameters},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::EXECUTOR;

/// How a local task is called.
pub(crate) type LocalCall = Rc<dyn Fn(RunContext, Value) -> LocalBoxFuture<'static, Outcome>>;

pub(crate) fn call<P: Parameters>(function: impl LocalTaskFn<P>) -> LocalCall {
    Rc::new(move |context, args| match P::read(context, &args) {
        Ok(values) => function.call(values),
        Err(message) => Box::pin(std::future::ready(Outcome::Error(message))),
    })
}

/// What other executors see of a local task.
pub(crate) fn stand_in<P: Parameters>(name: TaskName) -> Task {
    let message = format!("task `{name}` is local to its scheduler's thread: its jobs need the executor `{EXECUTOR}`");
    let call =
        move |_, _| -> BoxFuture<'static, Outcome> { Box::pin(std::future::ready(Outcome::Error(message.clone()))) };
    Task::new(name, TaskCall::Async(Arc::new(call)), P::check)
}

/// An async function that can be a task of a [`Local`](crate::Local); see [`Local::task`](crate::Local::task).
///
/// Implemented for each `Fn` that gives a future of something that is [`IntoOutcome`]. `P` stands for what it takes; the
/// compiler infers it.
///
/// ```
/// use scheduler_core::Error;
/// use scheduler_executors::parameters::Parameters;
/// use scheduler_runtime::{Local, LocalTaskFn};
///
/// fn nightly<P: Parameters>(scheduler: &Local, function: impl LocalTaskFn<P>) -> Result<(), Error> {
///     scheduler.task("nightly", function)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a local task",
    note = "a local task is an async function or closure that takes nothing, arguments that serde can read, a \
            `RunContext`, or a `RunContext` and arguments"
)]
pub trait LocalTaskFn<P: Parameters>: 'static {
    /// Calls it.
    fn call(&self, values: P::Values) -> LocalBoxFuture<'static, Outcome>;
}

macro_rules! local_task_fn {
    ($parameters:ty, ($($value:ident: $type:ty),*) $(, $args:ident)?) => {
        impl<F, R $(, $args)?> LocalTaskFn<$parameters> for F
        where
            F: Fn($($type),*) -> R + 'static,
            R: Future<Output: IntoOutcome> + 'static,
            $($args: DeserializeOwned + Send + 'static,)?
        {
            fn call(&self, ($($value,)*): <$parameters as Parameters>::Values) -> LocalBoxFuture<'static, Outcome> {
                let future = self($($value),*);
                Box::pin(async move { future.await.into_outcome() })
            }
        }
    };
}

local_task_fn!(Nothing, ());
local_task_fn!(ContextOnly, (context: RunContext));
local_task_fn!(Args<A>, (args: A), A);
local_task_fn!(ContextAndArgs<A>, (context: RunContext, args: A), A);
