//! A store that fails: the same calls are repeated with growing pauses, and the other stores carry on.
//!
//! ```text
//!   ← unavailable
//!   → notify store failed, repeated in 50 ms
//! wake (retry)
//!   → store turn: the same record and settle, without the claim
//!   ← recorded, settled
//!   → notify store recovered
//! ```
//!
//! A claim is not repeated, since its permission to take over from lapsed nodes may not hold any more; what it took, if
//! it was applied, is this node's own and is taken again.

use std::{sync::Arc, time::Duration};

use super::{
    Effect, Engine, InFlight,
    contact::{Contact, FIRST_PAUSE, LONGEST_PAUSE, LinkState},
    firing::quarantine,
};
use crate::{
    EventKind, JobState, Now, RunId, StoreName,
    store::{StoreError, StoreErrorKind, Turn},
};

impl Engine {
    pub(super) fn on_turn_failed(
        &mut self,
        now: Now,
        store: &StoreName,
        turn: &Turn,
        sent: Duration,
        error: StoreError,
    ) {
        let Some(contact) = self.contact(store) else {
            return;
        };
        if turn.claim.is_some() {
            contact.is_claiming = false;
            contact.hear_change();
        }
        let again = Turn { claim: None, ..turn.clone() };
        match error.kind() {
            StoreErrorKind::Unavailable | StoreErrorKind::ReadOnly => {
                if again != Turn::default() {
                    contact.failed.push((again, sent));
                }
                self.on_store_failed(now, store, &error);
            }
            StoreErrorKind::Rejected | StoreErrorKind::TooLarge => self.on_rejected(now, store, again, sent, &error),
            StoreErrorKind::Incompatible => self.on_store_failed(now, store, &error),
        }
    }

    /// Notes a failed call and pauses, unless a pause has begun already.
    pub(super) fn on_store_failed(&mut self, now: Now, store: &StoreName, error: &StoreError) {
        let Some(contact) = self.contact(store) else {
            return;
        };
        let retry_in = match error.kind() {
            StoreErrorKind::Incompatible => {
                contact.link.state = LinkState::Unusable;
                None
            }
            _ if contact.link.state == LinkState::Up => Some(contact.pause(now)),
            _ => return,
        };
        let is_given_up = retry_in.is_none();
        self.notify(now, EventKind::StoreFailed { store: store.clone(), error: error.to_string(), retry_in });
        if is_given_up {
            self.abandon(store);
        }
    }

    pub(super) fn on_store_answered(&mut self, now: Now, store: &StoreName) {
        let lease = self.config.lease;
        let Some(contact) = self.contact(store) else {
            return;
        };
        if contact.link.failures == 0 {
            return;
        }
        contact.link.failures = 0;
        contact.link.state = LinkState::Up;
        contact.link.since = now.monotonic;
        contact.adopt_at = Some(now.monotonic + lease);
        contact.sign_at = now.monotonic;
        self.notify(now, EventKind::StoreRecovered(store.clone()));
    }

    /// Sends the failed turns again. A run that one of them starts is started only if the lease still holds that its first
    /// sending began, since that one may have been applied.
    pub(super) fn repeat_failed(&mut self, index: usize) {
        for (turn, sent) in std::mem::take(&mut self.contacts[index].failed) {
            self.send_turn(sent, self.contacts[index].name.clone(), Arc::new(turn));
        }
    }

    /// The store refuses an item for good: the items are sent one by one, and the one at fault is put aside.
    fn on_rejected(&mut self, now: Now, store: &StoreName, turn: Turn, sent: Duration, error: &StoreError) {
        let entries = turn.record.as_ref().map_or(0, |record| record.entries.len());
        let moves = turn.settle.as_ref().map_or(0, |settle| settle.moves.len());
        if entries + moves > 1 {
            return self.send_singly(store, &turn, sent);
        }
        if let Some(record) = turn.record {
            self.notify(now, EventKind::StoreFailed { store: store.clone(), error: error.to_string(), retry_in: None });
            let runs: Vec<RunId> = record.entries.iter().map(|entry| entry.run).collect();
            let Some(contact) = self.contact(store) else {
                return;
            };
            contact.records_in_flight -= 1;
            let dropped: Vec<_> = runs.iter().filter_map(|run| contact.held.remove(run)).collect();
            for held in dropped {
                self.notify(now, EventKind::RunTakenAway(held.run));
            }
        }
        if let Some(mut settle) = turn.settle
            && let Some(planned) = settle.moves.pop()
        {
            let Some(contact) = self.contact(store) else {
                return;
            };
            let is_quarantine = matches!(planned.state, JobState::Quarantined(_));
            match contact.claimed.get(&planned.uid) {
                Some(claimed) if !is_quarantine => {
                    settle.moves.push(quarantine(&claimed.job, format!("the store refuses it: {error}")));
                    self.send_turn(sent, store.clone(), Arc::new(Turn { settle: Some(settle), ..Turn::default() }));
                }
                _ => {
                    contact.claimed.remove(&planned.uid);
                    let error = error.to_string();
                    self.notify(now, EventKind::StoreFailed { store: store.clone(), error, retry_in: None });
                }
            }
        }
    }

    fn send_singly(&mut self, store: &StoreName, turn: &Turn, sent: Duration) {
        let records = turn.record.iter().flat_map(|record| {
            record.entries.iter().map(|entry| Turn {
                record: Some(crate::store::Record { entries: vec![entry.clone()], ..record.clone() }),
                ..Turn::default()
            })
        });
        let settles = turn.settle.iter().flat_map(|settle| {
            settle.moves.iter().map(|planned| Turn {
                settle: Some(crate::store::Settle { moves: vec![planned.clone()], ..settle.clone() }),
                ..Turn::default()
            })
        });
        let turns: Vec<Turn> = records.chain(settles).collect();
        if let Some(contact) = self.contact(store) {
            let was_recording = usize::from(turn.record.is_some());
            contact.records_in_flight += turns.iter().filter(|turn| turn.record.is_some()).count();
            contact.records_in_flight -= was_recording;
        }
        for turn in turns {
            self.send_turn(sent, store.clone(), Arc::new(turn));
        }
    }

    /// Gives up what is held in a store that cannot be used any more; its runs are told to stop.
    pub(super) fn abandon(&mut self, store: &StoreName) {
        let Some(contact) = self.contact(store) else {
            return;
        };
        let running: Vec<RunId> = contact.running().collect();
        contact.held.clear();
        contact.claimed.clear();
        contact.entries.clear();
        contact.failed.clear();
        contact.is_claiming = false;
        contact.records_in_flight = 0;
        self.in_flight.retain(|_, in_flight| !matches!(in_flight, InFlight::Turn { store: of, .. } if of == store));
        self.effects.extend(running.into_iter().map(Effect::Cancel));
    }
}

impl Contact {
    /// Begins a pause and says how long it is.
    fn pause(&mut self, now: Now) -> Duration {
        let doublings = self.link.failures.min(16);
        let pause = (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE);
        self.link.failures += 1;
        self.link.state = LinkState::Down { retry_at: now.monotonic + pause };
        pause
    }
}
