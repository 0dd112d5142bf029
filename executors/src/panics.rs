//! Panics of users' code, as values, for the executors, the driver and the listeners, which all call such code.
//!
//! What the code has left half done is dropped with it and only the user's own shared state can show it, so that unwind
//! safety is the user's matter.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

pub use scheduler_core::panics::catch;

/// A user's future, whose panics are an error, those of its drop too.
///
/// ```
/// use scheduler_executors::panics;
///
/// # std::panic::set_hook(Box::new(|_| {}));
/// # futures_lite::future::block_on(async {
/// assert_eq!(panics::contain(Box::pin(async { 42 })).await, Ok(42));
/// assert_eq!(panics::contain(Box::pin(async { panic!("no disk") })).await, Err::<(), _>("no disk".to_owned()));
/// # });
/// ```
pub fn contain<F: Future + Unpin>(future: F) -> Contained<F> {
    Contained(Some(future))
}

/// A user's future, whose panics are an error. Made by [`contain`].
///
/// ```
/// use scheduler_executors::panics::{Contained, contain};
///
/// let mut contained: Contained<_> = contain(std::future::pending::<()>());
/// assert_eq!(contained.stop(), Ok(()));
/// ```
///
/// # Panics
///
/// If it is polled after its end.
pub struct Contained<F>(Option<F>);

impl<F> Contained<F> {
    /// Drops the future.
    ///
    /// # Errors
    ///
    /// The text of the panic with which it was dropped.
    pub fn stop(&mut self) -> Result<(), String> {
        catch(|| drop(self.0.take()))
    }
}

impl<F: Future + Unpin> Future for Contained<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.0.as_mut().expect("a future is not polled after its end");
        let ended = match catch(|| Pin::new(future).poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(panic) => Err(panic),
        };
        // What it has come to stands, whatever its leftovers do.
        drop(self.stop());
        Poll::Ready(ended)
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

/// It never pins what it holds: only a future that is `Unpin` can be contained.
impl<F> Unpin for Contained<F> {}

impl<F> fmt::Debug for Contained<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contained").field("has_ended", &self.0.is_none()).finish()
    }
}
