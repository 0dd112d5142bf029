//! Tasks that need not be `Send`.

use std::{rc::Rc, sync::Arc};

use futures_util::future::LocalBoxFuture;
use scheduler_core::{BoxFuture, Outcome, RunContext, Task, TaskCall, TaskName};
use scheduler_executors::{AsyncTaskFn, IntoOutcome, LocalStates, Source, parameters::Parameters};
use serde_json::Value;

use super::EXECUTOR;

/// How a local task is called.
pub(crate) type LocalCall = Rc<dyn Fn(RunContext, &LocalStates, Value) -> LocalBoxFuture<'static, Outcome>>;

pub(crate) fn call<P: Parameters>(function: impl AsyncTaskFn<P>) -> LocalCall {
    Rc::new(move |context, local, args| match P::read(&Source { context: &context, local }, &args) {
        Ok(values) => {
            let future = function.call(values);
            Box::pin(async move { future.await.into_outcome() })
        }
        Err(message) => Box::pin(std::future::ready(Outcome::Error(message))),
    })
}

/// What other executors see of a local task.
pub(crate) fn stand_in<P: Parameters>(name: TaskName) -> Task {
    let message = format!("task `{name}` is local to its scheduler's thread: its jobs need the executor `{EXECUTOR}`");
    let call =
        move |_, _| -> BoxFuture<'static, Outcome> { Box::pin(std::future::ready(Outcome::Error(message.clone()))) };
    Task::new(name, TaskCall::Async(Arc::new(call)), P::check).with_states(P::state_types())
}
