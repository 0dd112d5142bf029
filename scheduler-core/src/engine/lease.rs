//! Who holds what: signs of life, cancelled runs, and runs that others have taken over.
//!
//! ```text
//! wake (life sign)
//!   → store turn: record nothing
//!   ← hold kept, cancel run 7
//!   → cancel run 7
//! ```

use std::time::Duration;

use super::{
    Effect, Engine, InFlight, SchedulerState, StoreCall,
    store_state::{Drain, LinkState, Stop, pause_after},
};
use crate::{
    EventKind, Now, RunId, StoreName,
    store::{Changed, Hint, Hold, StoreError},
};

impl Engine {
    /// Acts on whether the node's runs are still its own. If they may not be, they are told to stop, and most of their ends
    /// will be stale.
    ///
    /// `sent` is when the store was asked: of what has been started since then it did not know.
    pub(super) fn on_hold(&mut self, store: &StoreName, sent: Duration, hold: Hold) {
        let Some(state) = self.store_state(store) else {
            return;
        };
        if hold == Hold::Lost {
            let lost = state.runs.in_order(|active| active.since < sent && active.stop == Stop::No);
            if !lost.is_empty() {
                // Another node may have taken them over, whose lease is to be watched.
                state.claims.note_change();
            }
            for run in lost {
                self.cancel_if_active(store, run, Stop::Lost);
            }
        }
    }

    /// Tells a run to stop, once, if it is running here; one that waits for its executor never starts.
    pub(super) fn cancel_if_active(&mut self, store: &StoreName, run: RunId, why: Stop) {
        let Some(state) = self.store_state(store) else {
            return;
        };
        let Some(active) = state.runs.active.get_mut(&run).filter(|active| active.ended.is_none()) else {
            return;
        };
        match (active.stop, why) {
            _ if active.waiting.is_some() => state.withdraw(run, why),
            (Stop::No, _) => {
                active.stop = why;
                self.effects.push_back(Effect::Cancel(run));
            }
            // It has been told already; now it is not to be repeated either, nor given back.
            (Stop::TimedOut | Stop::ShutDown, Stop::Asked) => active.stop = Stop::Asked,
            _ => {}
        }
    }

    /// Asks for changes by other nodes, if the store can tell of them.
    pub(super) fn ask_for_changes(&mut self, now: Now, index: usize) {
        let is_started = !matches!(self.state, SchedulerState::Stopped | SchedulerState::ShutDown);
        let state = &mut self.stores[index];
        if is_started && state.feed.is_due(now) && state.removal.drain == Drain::No {
            state.feed.is_in_flight = true;
            let (store, seen) = (state.name.clone(), state.feed.seen);
            self.call_store(store.clone(), StoreCall::Changed(seen), InFlight::Changed(store));
        }
    }

    pub(super) fn on_changes(&mut self, now: Now, store: &StoreName, result: Result<Changed, StoreError>) {
        let node = self.config.node.clone();
        let Some(state) = self.store_state(store) else {
            return;
        };
        state.feed.is_in_flight = false;
        let change = match result {
            Ok(change) => change,
            Err(error) => return self.on_feed_failed(now, store, &error),
        };
        state.feed.note_answer(now, change.seen);
        if let Some(hint) = &change.hint {
            state.note_change_by_others(now, hint);
        }
        match change.hint {
            Some(Hint::Due(due)) => state.claims.note_due(Some(due)),
            Some(Hint::Cancel(of)) if of == node => state.reports.sign_at = now.monotonic,
            Some(Hint::Cancel(_)) | None => {}
            Some(Hint::Resync) => {
                state.claims.note_change();
                state.reports.sign_at = now.monotonic;
            }
        }
        self.on_store_answered(now, store, None);
        // While other calls fail, their end is the store's recovery.
        let state = self.store_state(store).filter(|state| state.link.failures == 0);
        if state.is_some_and(|state| std::mem::take(&mut state.feed.is_failure_told)) {
            self.notify(now, EventKind::StoreRecovered(store.clone()));
        }
    }

    /// Asks again after a pause of its own, since the other calls may well go through, and looks at the jobs until then:
    /// what would have been told may be lost.
    fn on_feed_failed(&mut self, now: Now, store: &StoreName, error: &StoreError) {
        let longest = self.longest_pause();
        let Some(state) = self.store_state(store) else {
            return;
        };
        let retry_in = pause_after(state.feed.failures, longest);
        let is_news = state.feed.failures == 0 && state.link.state == LinkState::Up;
        state.feed.note_failure(now, retry_in);
        state.link.unbroken_since = None;
        state.link.note_trouble(now, error);
        state.claims.note_change();
        if is_news {
            state.feed.is_failure_told = true;
            let (store, error) = (store.clone(), format!("asking for changes: {error}"));
            self.notify(now, EventKind::StoreFailed { store, error, retry_in: Some(retry_in) });
        }
    }
}
