//! Telling a host that a pump is wanted earlier than it was told.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Wake,
};

use scheduler_executors::panics;

/// Woken by whatever there is to do; calls the host's callback if the host would come too late otherwise.
#[derive(Default)]
pub(super) struct Signal {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Something is to be done.
    is_raised: bool,
    /// The host was told when to pump, and not yet that it is to come earlier.
    is_armed: bool,
    callback: Option<Callback>,
}

pub(super) type Callback = Arc<dyn Fn() + Send + Sync>;

impl Signal {
    /// Calls this from now on, or nothing.
    pub(super) fn set_callback(&self, callback: Option<Callback>) {
        let replaced = std::mem::replace(&mut self.state().callback, callback);
        // Dropped when the lock is free: it may hold anything.
        drop(replaced);
    }

    /// Something is to be done.
    pub(super) fn raise(&self) {
        let callback = {
            let mut state = self.state();
            state.is_raised = true;
            if std::mem::take(&mut state.is_armed) { state.callback.clone() } else { None }
        };
        let Some(callback) = callback else { return };
        // A panic of the host's callback must not reach the thread that raises the signal, which may be a store's client.
        if let Err(panic) = panics::catch(|| callback()) {
            tracing::error!(target: "apscheduler", panic, "the callback of `Pumped::on_wake` panicked");
        }
    }

    /// The host is here: it need not be called.
    pub(super) fn disarm(&self) {
        self.state().is_armed = false;
    }

    /// Whether something is to be done, as of now.
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut self.state().is_raised)
    }

    /// The host goes, and comes back at the time that it is told, if nothing is to be done before; true if nothing is.
    pub(super) fn arm(&self) -> bool {
        let mut state = self.state();
        state.is_armed = !state.is_raised;
        state.is_armed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise();
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").finish_non_exhaustive()
    }
}
