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
    CallId, Effect, Engine, InFlight, Reply, SchedulerState, ShutdownMode, StoreCall, StoreReply, Wake, WakeReason,
    contact::{Drain, LinkState},
};
use crate::{Error, ErrorKind, EventKind, Now, Outcome, RunId, StoreName, store::StoreError};

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
        if mode == ShutdownMode::Now {
            let running: Vec<RunId> = contact.running().collect();
            self.effects.extend(running.iter().map(|run| Effect::Cancel(*run)));
            for run in running {
                self.on_finished(now, run, Outcome::Cancelled);
            }
        }
    }

    /// Moves stores that are being given up on, and ends when all of them have been.
    pub(super) fn drain(&mut self, now: Now) {
        for index in 0..self.contacts.len() {
            self.drain_store(now, index);
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

    fn drain_store(&mut self, now: Now, index: usize) {
        let lease = self.config.lease;
        let contact = &mut self.contacts[index];
        let Drain::Draining { until } = contact.drain else {
            return;
        };
        if contact.link.state == LinkState::Unusable {
            contact.drain = Drain::Done;
        } else if contact.is_idle() {
            contact.drain = Drain::Releasing;
            let (store, at, node) = (contact.name.clone(), contact.time(now), self.config.node.clone());
            self.call_store(store.clone(), StoreCall::Release(at, node), InFlight::Release(store));
        } else if contact.running().next().is_none() {
            // What is left depends on the store alone, whose leases end by themselves if it does not answer.
            match until {
                None => contact.drain = Drain::Draining { until: Some(now.monotonic + lease) },
                Some(until) if until <= now.monotonic => {
                    contact.drain = Drain::Done;
                    let store = contact.name.clone();
                    let error = "it did not answer during the shutdown; what this node held there is free when its \
                                 lease ends";
                    self.notify(
                        now,
                        EventKind::StoreFailed { store: store.clone(), error: error.into(), retry_in: None },
                    );
                    self.abandon(&store);
                }
                Some(_) => {}
            }
        }
    }

    pub(super) fn on_released(&mut self, now: Now, store: &StoreName, result: Result<StoreReply, StoreError>) {
        if let Err(error) = result {
            let error = format!("{error}; what this node held there is free when its lease ends");
            self.notify(now, EventKind::StoreFailed { store: store.clone(), error, retry_in: None });
        }
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
            let message = format!("store `{store}` is being removed already");
            return self.reply(call, Err(Error::new(ErrorKind::Config, message)));
        }
        self.contacts[index].removal = Some(call);
        self.begin_drain(now, index, ShutdownMode::Wait);
    }

    pub(super) fn next_wake_of_shutdown(&self, now: Now) -> Option<Wake> {
        let untils = self.contacts.iter().filter_map(|contact| match contact.drain {
            Drain::Draining { until } => until,
            Drain::No | Drain::Releasing | Drain::Done => None,
        });
        let after: Duration = untils.min()?.saturating_sub(now.monotonic);
        Some(Wake { after, reason: WakeReason::Shutdown })
    }
}
