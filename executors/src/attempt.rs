//! One attempt of a run, whichever the executor.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_lite::future;
use scheduler_core::{BoxFuture, CancellationToken, Dispatch, Outcome, TaskCall};

use crate::panics;

/// Calls a blocking task to its end; an async one gives its future.
pub(crate) enum Attempt {
    /// The task has ended.
    Ended(Outcome),
    /// The task is to be polled. Ready within one poll after its token is cancelled.
    Pending(BoxFuture<'static, Outcome>),
}

impl Attempt {
    /// Starts the task, unless it is cancelled already.
    pub(crate) fn start(dispatch: Dispatch) -> Self {
        let Dispatch { task, args, context, .. } = dispatch;
        if context.cancellation.is_cancelled() {
            return Self::Ended(Outcome::Cancelled);
        }
        match task.call() {
            TaskCall::Blocking(call) => {
                Self::Ended(panics::catch(|| call(context, args)).unwrap_or_else(Outcome::Panicked))
            }
            TaskCall::Async(call) => {
                let cancellation = context.cancellation.clone();
                match panics::catch(|| call(context, args)) {
                    Ok(body) => Self::Pending(run(Body(Some(body)), cancellation)),
                    Err(panic) => Self::Ended(Outcome::Panicked(panic)),
                }
            }
        }
    }
}

/// Polls an async task to its end, or until it is told to stop.
fn run(mut body: Body, cancellation: CancellationToken) -> BoxFuture<'static, Outcome> {
    Box::pin(async move {
        let stop = async {
            cancellation.cancelled().await;
            None
        };
        // The body first: one that ends by itself when it is cancelled keeps its outcome.
        let end = future::or(async { Some((&mut body).await) }, stop).await;
        end.unwrap_or_else(|| body.stop())
    })
}

/// The future of an async task. Its panics stay in here, those of its drop too.
struct Body(Option<BoxFuture<'static, Outcome>>);

impl Body {
    fn stop(&mut self) -> Outcome {
        panics::catch(|| drop(self.0.take())).map_or_else(Outcome::Panicked, |()| Outcome::Cancelled)
    }
}

impl Future for Body {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let body = self.0.as_mut().expect("a run is not polled after its end");
        let polled = panics::catch(|| body.as_mut().poll(cx));
        let outcome = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(panic) => Outcome::Panicked(panic),
        };
        // The outcome stands, whatever its leftovers do.
        self.stop();
        Poll::Ready(outcome)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.stop();
    }
}
