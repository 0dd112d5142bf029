//! Streams that tell a browser that something has changed, so that it reads what it shows anew.
//!
//! They tell that, and nothing else: what has changed is read as any page is, by who may. A stream holds no queue, so that a reader that is
//! slow, or gone, costs nothing; and there are so many at once, the oldest of which ends for a further one.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use scheduler_core::EventMask;
use scheduler_runtime::{ListenerId, Scheduler};

/// How many streams there are at once. A browser has one for each page that is seen, so that this is the number of people who look.
const LIMIT: usize = 64;

/// The streams of a dashboard.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    /// The oldest first.
    signals: Vec<Weak<Signal>>,
    /// Whether there are to be no more.
    #[cfg(feature = "serve")]
    is_over: bool,
}

impl Streams {
    /// Another stream of the scheduler's changes.
    pub(crate) fn open(&self, scheduler: &Scheduler) -> Changes {
        let signal = Arc::new(Signal::default());
        let mut open = self.lock();
        open.signals.retain(|signal| signal.strong_count() > 0);
        if open.signals.len() >= LIMIT
            && let Some(oldest) = open.signals.remove(0).upgrade()
        {
            oldest.end();
        }
        open.signals.push(Arc::downgrade(&signal));
        #[cfg(feature = "serve")]
        if open.is_over {
            signal.end();
        }
        drop(open);
        let notifier = Notifier(Arc::clone(&signal));
        let listener = scheduler.add_listener(EventMask::ALL, move |_| notifier.notify());
        Changes { signal, listener, scheduler: scheduler.clone(), has_begun: false }
    }

    /// Ends those that are open, and each further one as soon as it is opened.
    #[cfg(feature = "serve")]
    pub(crate) fn end(&self) {
        let mut open = self.lock();
        open.is_over = true;
        open.signals.drain(..).filter_map(|signal| signal.upgrade()).for_each(|signal| signal.end());
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

/// A stream in the form of server-sent events: a first line, and then `event: change` whenever something has changed since the last one.
/// It ends with the scheduler.
pub(crate) struct Changes {
    signal: Arc<Signal>,
    listener: ListenerId,
    scheduler: Scheduler,
    has_begun: bool,
}

/// A browser that has lost its stream comes back after five seconds.
const FIRST: &[u8] = b"retry: 5000\n\n";
/// Events without data are not told to scripts.
const CHANGE: &[u8] = b"event: change\ndata: {}\n\n";

impl Changes {
    pub(crate) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.signal.lock();
        if state.has_ended {
            return Poll::Ready(None);
        }
        if !self.has_begun {
            self.has_begun = true;
            return Poll::Ready(Some(Bytes::from_static(FIRST)));
        }
        if state.has_changed {
            state.has_changed = false;
            return Poll::Ready(Some(Bytes::from_static(CHANGE)));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.scheduler.remove_listener(self.listener);
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

/// By which the listener tells its stream that something has changed.
#[derive(Default)]
struct Signal(Mutex<State>);

#[derive(Default)]
struct State {
    has_changed: bool,
    has_ended: bool,
    waker: Option<Waker>,
}

impl Signal {
    fn notify(&self) {
        self.wake(|state| state.has_changed = true);
    }

    fn end(&self) {
        self.wake(|state| state.has_ended = true);
    }

    fn wake(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        // Free before what waits runs, which may be at once.
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the listener holds. When the scheduler has ended, it lets go of its listeners, and so of this.
struct Notifier(Arc<Signal>);

impl Notifier {
    fn notify(&self) {
        self.0.notify();
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.0.end();
    }
}
