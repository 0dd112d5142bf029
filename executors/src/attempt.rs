//! One attempt of a run, whichever the executor.

use futures_lite::future;
use scheduler_core::{Dispatch, Outcome, TaskCall};

use crate::panics;

/// Runs a task to its end, unless it is cancelled before. A blocking task is called within the first poll.
pub(crate) async fn attempt(dispatch: Dispatch) -> Outcome {
    attempt_with_grace(dispatch, future::ready(())).await
}

/// Runs a task to its end. An async one that is cancelled may go on until the `grace` is over.
pub(crate) async fn attempt_with_grace(dispatch: Dispatch, grace: impl Future<Output = ()>) -> Outcome {
    let Dispatch { task, args, context, .. } = dispatch;
    let cancellation = context.cancellation.clone();
    if cancellation.is_cancelled() {
        return Outcome::Cancelled;
    }
    let body = match task.call() {
        TaskCall::Blocking(call) => return panics::catch(|| call(context, args)).unwrap_or_else(Outcome::Panicked),
        TaskCall::Async(call) => panics::catch(|| call(context, args)),
    };
    let mut body = match body {
        Ok(body) => panics::contain(body),
        Err(panic) => return Outcome::Panicked(panic),
    };
    let stop = async {
        cancellation.cancelled().await;
        grace.await;
        None
    };
    // The body first, and once more at the end, since it may have been cancelled just after it was polled: one that ends by
    // itself when it is cancelled keeps its outcome.
    let mut end = future::or(async { Some((&mut body).await) }, stop).await;
    if end.is_none() {
        end = future::poll_once(&mut body).await;
    }
    let end = end.unwrap_or_else(|| body.stop().map(|()| Outcome::Cancelled));
    end.unwrap_or_else(Outcome::Panicked)
}
