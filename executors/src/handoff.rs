//! Handing a run to a thread, with a way back until the thread has taken it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_channel::oneshot;
use futures_lite::future;
use scheduler_core::{BoxFuture, Dispatch, Outcome};

use crate::attempt::attempt;

/// What a thread does for a run.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// Splits a run into the work for a thread, which runs the task, and the future of its end.
pub(crate) fn hand_over(dispatch: Dispatch) -> (Work, BoxFuture<'static, Outcome>) {
    hand_over_to(drive, dispatch)
}

/// Drives a task to its end on this thread, unless its future was dropped.
pub(crate) fn drive(dispatch: Dispatch, dropped: Dropped<'_>) -> Outcome {
    future::block_on(future::or(attempt(dispatch), dropped))
}

/// Splits a run into the work for a thread, which calls `conduct` for it, and the future of its end.
///
/// The future resolves at once when the run is cancelled before the thread takes it; dropping it withdraws the run.
pub(crate) fn hand_over_to<C>(conduct: C, dispatch: Dispatch) -> (Work, BoxFuture<'static, Outcome>)
where
    C: FnOnce(Dispatch, Dropped<'_>) -> Outcome + Send + 'static,
{
    let cancellation = dispatch.context.cancellation.clone();
    let (report, mut end) = oneshot::channel();
    let slot = Slot(Arc::new(Mutex::new(Some(dispatch))));
    let ours = Withdrawal(slot.clone());

    let run = async move {
        let ended = future::or(async { Some((&mut end).await) }, async {
            cancellation.cancelled().await;
            None
        })
        .await;
        let ended = match ended {
            Some(ended) => ended,
            None if ours.0.take().is_some() => return Outcome::Cancelled,
            None => end.await,
        };
        match ended {
            Ok(outcome) => outcome,
            Err(oneshot::Canceled) if cancellation.is_cancelled() => Outcome::Cancelled,
            Err(oneshot::Canceled) => Outcome::Error("the threads were gone before the task could start".to_owned()),
        }
    };
    (Box::new(move || slot.conduct(conduct, report)), Box::pin(run))
}

/// A run between its scheduler and a thread: the side that takes it decides what becomes of it.
#[derive(Clone)]
struct Slot(Arc<Mutex<Option<Dispatch>>>);

impl Slot {
    fn take(&self) -> Option<Dispatch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Has what is in the slot run, on this thread.
    fn conduct(&self, conduct: impl FnOnce(Dispatch, Dropped<'_>) -> Outcome, mut report: oneshot::Sender<Outcome>) {
        let Some(dispatch) = self.take() else { return };
        let outcome = conduct(dispatch, Dropped(report.cancellation()));
        // Fails if the future was dropped: the outcome is not wanted then.
        let _ = report.send(outcome);
    }
}

/// Resolves as cancelled when the run's future is dropped.
pub(crate) struct Dropped<'a>(oneshot::Cancellation<'a, Outcome>);

impl Future for Dropped<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.0).poll(cx).map(|()| Outcome::Cancelled)
    }
}

/// Empties the slot when the run's future is dropped, so that no thread starts a run whose result is not wanted.
struct Withdrawal(Slot);

impl Drop for Withdrawal {
    fn drop(&mut self) {
        self.0.take();
    }
}
