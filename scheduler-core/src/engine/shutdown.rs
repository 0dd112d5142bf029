//! Ending: nothing new is taken, what runs ends or is cancelled, what has not started is given back.
//!
//! ```text
//! shutdown (wait)
//! finished run 7: ok
//!   → store turn: record run 7: ok
//!   ← done
//!   → store release
//!   ← released
//!   → notify executed … scheduler shut down · reply done
//! ```
//!
//! Giving up a single store goes the same way.

use std::time::Duration;

use super::{
    CallId, Engine, InFlight, OpId, Reply, SchedulerState, ShutdownMode, StoreCall, Wake, WakeReason,
    contact::{Drain, Stop},
};
use crate::{
    Error, ErrorKind, EventKind, Now, Outcome, RunId, StoreName,
    store::{StoreError, StoreErrorKind},
};

/// How far the shutdown is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ending {
    /// The stores are being given up; these calls wait for it.
    Draining { calls: Vec<CallId> },
    /// The engine has shut down.
    Over,
}

impl Engine {
    pub(super) fn shut_down(&mut self, now: Now, call: CallId, mode: ShutdownMode) {
        match &mut self.ending {
            Some(Ending::Over) => return self.reply(call, Ok(Reply::Done)),
            Some(Ending::Draining { calls }) => calls.push(call),
            None => self.ending = Some(Ending::Draining { calls: vec![call] }),
        }
        self.state = SchedulerState::ShutDown;
        for index in 0..self.contacts.len() {
            self.begin_drain(now, index, mode);
        }
    }

    fn begin_drain(&mut self, now: Now, index: usize, mode: ShutdownMode) {
        let contact = &mut self.contacts[index];
        if contact.drain == Drain::No {
            contact.drain = Drain::Draining { until: None };
        }
        contact.give_back_waiting();
        if mode == ShutdownMode::Now {
            let store = contact.name.clone();
            let running: Vec<RunId> = contact.running().collect();
            for run in running {
                self.cancel_if_held(&store, run, Stop::Asked);
                self.end(now, run, Outcome::Cancelled);
            }
        }
    }

    /// Moves stores that are being given up on, and ends when all of them have been.
    pub(super) fn drain(&mut self, now: Now) {
        let draining = self.contacts.iter().filter(|contact| !matches!(contact.drain, Drain::No | Drain::Done));
        for store in draining.map(|contact| contact.name.clone()).collect::<Vec<_>>() {
            self.drain_store(now, &store);
        }
        let is_drained = self.contacts.iter().all(|contact| contact.drain == Drain::Done);
        if is_drained && matches!(self.ending, Some(Ending::Draining { .. })) {
            self.notify(now, EventKind::SchedulerShutdown);
            if let Some(Ending::Draining { calls }) = self.ending.replace(Ending::Over) {
                for call in calls {
                    self.reply(call, Ok(Reply::Done));
                }
            }
        }
    }

    fn drain_store(&mut self, now: Now, store: &StoreName) {
        let until_then = now.monotonic.saturating_add(self.config.lease);
        // Before the scheduler's last event, whoever has asked for something gets an answer.
        let is_waited_for = self.state == SchedulerState::ShutDown && self.pending_calls_of(store).next().is_some();
        let node = self.config.node.clone();
        let Some(contact) = self.contact(store) else {
            return;
        };
        match contact.drain {
            // It would be waited for in vain; what is held there is free when its lease ends.
            Drain::Draining { .. } if contact.link.is_incompatible() && contact.running().next().is_none() => {
                self.abandon(now, store);
                self.on_drained(now, store);
            }
            Drain::Draining { until: Some(until) } | Drain::Releasing { until } if until <= now.monotonic => {
                self.give_up(now, store);
            }
            Drain::Draining { .. } if contact.is_idle() && !is_waited_for => {
                contact.drain = Drain::Releasing { until: until_then };
                let at = contact.time(now);
                self.call_store(store.clone(), StoreCall::Release(at, node), InFlight::Release(store.clone()));
            }
            // What is left depends on the store alone, whose leases end by themselves if it does not answer.
            Drain::Draining { until: None } if contact.running().next().is_none() => {
                contact.drain = Drain::Draining { until: Some(until_then) };
            }
            Drain::No | Drain::Draining { .. } | Drain::Releasing { .. } | Drain::Done => {}
        }
    }

    /// Waits no longer for a store.
    fn give_up(&mut self, now: Now, store: &StoreName) {
        const WHY: &str =
            "it did not answer while it was given up; what this node held there is free when its lease ends";
        self.notify(now, EventKind::StoreFailed { store: store.clone(), error: WHY.into(), retry_in: None });
        self.abandon(now, store);
        if self.state == SchedulerState::ShutDown {
            let ops: Vec<OpId> = self.pending_calls_of(store).collect();
            for op in ops {
                self.on_stored(now, op, Err(StoreError::new(StoreErrorKind::Unavailable, WHY)));
            }
        }
        self.on_drained(now, store);
    }

    /// The commands that wait for a store.
    fn pending_calls_of<'a>(&'a self, store: &'a StoreName) -> impl Iterator<Item = OpId> + 'a {
        self.in_flight.iter().filter_map(move |(op, in_flight)| match in_flight {
            InFlight::Call(pending) => (pending.store() == store).then_some(*op),
            InFlight::Turn { .. } | InFlight::Changed(_) | InFlight::Release(_) => None,
        })
    }

    pub(super) fn on_released(&mut self, now: Now, store: &StoreName, result: Result<(), StoreError>) {
        if let Err(error) = result {
            let error = format!("{error}; what this node held there is free when its lease ends");
            self.notify(now, EventKind::StoreFailed { store: store.clone(), error, retry_in: None });
        }
        self.on_drained(now, store);
    }

    fn on_drained(&mut self, now: Now, store: &StoreName) {
        // Nothing that is still on its way concerns a store that may be added anew under this name.
        self.in_flight.retain(|_, in_flight| match in_flight {
            InFlight::Call(_) => true,
            InFlight::Turn { store: of, .. } | InFlight::Changed(of) | InFlight::Release(of) => of != store,
        });
        let Some(contact) = self.contact(store) else {
            return;
        };
        contact.drain = Drain::Done;
        if let Some(call) = contact.removal.take() {
            self.contacts.retain(|contact| contact.name != *store);
            self.notify(now, EventKind::StoreRemoved(store.clone()));
            self.reply(call, Ok(Reply::Done));
        }
    }

    pub(super) fn remove_store(&mut self, now: Now, call: CallId, store: &StoreName) {
        let Some(index) = self.contacts.iter().position(|contact| contact.name == *store) else {
            return self.reply(call, Err(self.unknown_store(store)));
        };
        if self.contacts[index].removal.is_some() {
            let message = format!("store `{store}` is being removed already; wait for that");
            return self.reply(call, Err(Error::new(ErrorKind::Config, message)));
        }
        self.contacts[index].removal = Some(call);
        self.begin_drain(now, index, ShutdownMode::Wait);
    }

    pub(super) fn next_wake_of_shutdown(&self, now: Now) -> Option<Wake> {
        let untils = self.contacts.iter().filter_map(|contact| match contact.drain {
            Drain::Draining { until } => until,
            Drain::Releasing { until } => Some(until),
            Drain::No | Drain::Done => None,
        });
        let after: Duration = untils.min()?.saturating_sub(now.monotonic);
        Some(Wake { after, reason: WakeReason::Shutdown })
    }
}
