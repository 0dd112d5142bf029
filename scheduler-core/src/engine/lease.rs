//! Who holds what: signs of life, cancelled runs, and runs that others have taken over.
//!
//! ```text
//! wake (life sign)
//!   → store turn: record nothing
//!   ← hold kept, cancel run 7
//!   → cancel run 7
//! ```

use std::{sync::Arc, time::Duration};

use super::{
    Effect, Engine, InFlight, SchedulerState, StoreCall, StoreReply,
    contact::{Contact, Drain},
};
use crate::{
    Now, RunId, StoreName,
    store::{Hint, Hold, StoreError, Turn, Wakes},
};

impl Contact {
    /// Whether this node may take over what belongs to nodes whose lease has passed: only if it has been in touch with the
    /// store for a whole lease, since otherwise the others may not have been either.
    pub(super) fn may_adopt(&self, now: Now, lease: Duration) -> bool {
        self.link.failures == 0 && now.monotonic >= self.link.since + lease
    }
}

impl Engine {
    /// Reports what has ended, or gives a sign of life.
    pub(super) fn record_if_needed(&mut self, now: Now, index: usize) {
        if let Some(record) = self.next_record(now, index) {
            self.send_turn(
                now.monotonic,
                self.contacts[index].name.clone(),
                Arc::new(Turn { record: Some(record), ..Turn::default() }),
            );
            return;
        }
        let contact = &self.contacts[index];
        if contact.holds_something() && contact.records_in_flight == 0 && contact.sign_at <= now.monotonic {
            let record = self.record_of(now, index, Vec::new());
            self.send_turn(
                now.monotonic,
                self.contacts[index].name.clone(),
                Arc::new(Turn { record: Some(record), ..Turn::default() }),
            );
        }
    }

    /// Acts on whether the node's runs are still its own. Those that are not are told to stop; their ends will be stale.
    pub(super) fn on_hold(&mut self, store: &StoreName, hold: Hold) {
        let Some(contact) = self.contact(store) else {
            return;
        };
        if hold == Hold::Lost {
            let running: Vec<RunId> = contact.running().collect();
            self.effects.extend(running.into_iter().map(Effect::Cancel));
        }
    }

    pub(super) fn cancel_if_held(&mut self, store: &StoreName, run: RunId) {
        let is_running = |contact: &mut Contact| contact.held.get(&run).is_some_and(|held| held.ended.is_none());
        if self.contact(store).is_some_and(is_running) {
            self.effects.push_back(Effect::Cancel(run));
        }
    }

    /// Whether changes by other nodes matter.
    pub(super) fn is_watching(&self) -> bool {
        matches!(self.state, SchedulerState::Running | SchedulerState::Paused)
    }

    /// Asks for changes by other nodes, if the store can tell of them.
    pub(super) fn watch(&mut self, now: Now, index: usize) {
        let is_watching = self.is_watching();
        let contact = &mut self.contacts[index];
        let is_wanted = match contact.limits.wakes {
            Wakes::Push => true,
            Wakes::Poll(_) => contact.watch.poll_at <= now.monotonic,
            Wakes::Never => false,
        };
        if is_wanted && is_watching && !contact.watch.is_in_flight && contact.drain == Drain::No {
            contact.watch.is_in_flight = true;
            let (store, seen) = (contact.name.clone(), contact.watch.seen);
            self.call_store(store.clone(), StoreCall::Changed(seen), InFlight::Changed(store));
        }
    }

    pub(super) fn on_changed(&mut self, now: Now, store: &StoreName, result: Result<StoreReply, StoreError>) {
        let node = self.config.node.clone();
        let Some(contact) = self.contact(store) else {
            return;
        };
        contact.watch.is_in_flight = false;
        if let Wakes::Poll(period) = contact.limits.wakes {
            contact.watch.poll_at = now.monotonic + period;
        }
        let change = match result {
            Ok(StoreReply::Changed(change)) => change,
            Ok(_) => return debug_assert!(false, "a question for changes is answered by changes"),
            Err(error) => return self.on_store_failed(now, store, &error),
        };
        contact.watch.seen = change.seen;
        match change.hint {
            Some(Hint::Due(due)) => contact.hear_due(Some(due)),
            Some(Hint::Cancel(of)) if of == node => contact.sign_at = now.monotonic,
            Some(Hint::Cancel(_)) | None => {}
            Some(Hint::Resync) => {
                contact.hear_change();
                contact.sign_at = now.monotonic;
            }
        }
        self.on_store_answered(now, store);
    }
}

impl Contact {
    /// The runs that are running here.
    pub(super) fn running(&self) -> impl Iterator<Item = RunId> + '_ {
        self.held.iter().filter(|(_, held)| held.ended.is_none()).map(|(run, _)| *run)
    }
}
