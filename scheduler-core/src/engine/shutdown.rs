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

use super::{
    CallId, Engine, InFlight, OpId, Reply, SchedulerState, ShutdownMode, StoreCall,
    store_state::{Drain, Stop},
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
        for index in 0..self.stores.len() {
            self.begin_drain(now, index, mode);
        }
    }

    fn begin_drain(&mut self, now: Now, index: usize, mode: ShutdownMode) {
        let state = &mut self.stores[index];
        if state.removal.drain == Drain::No {
            state.removal.drain = Drain::Draining { until: None };
        }
        state.give_back_waiting();
        if mode == ShutdownMode::Now {
            let store = state.name.clone();
            let running: Vec<RunId> = state.runs.running().collect();
            for run in running {
                self.cancel_if_active(&store, run, Stop::Asked);
                self.end(now, run, Outcome::Cancelled);
            }
        }
    }

    /// Moves stores that are being given up on, and ends when all of them have been.
    pub(super) fn drain(&mut self, now: Now) {
        let draining = self.stores.iter().filter(|state| !matches!(state.removal.drain, Drain::No | Drain::Done));
        for store in draining.map(|state| state.name.clone()).collect::<Vec<_>>() {
            self.drain_store(now, &store);
        }
        let is_drained = self.stores.iter().all(|state| state.removal.drain == Drain::Done);
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
        // Each call gets its answer before the scheduler's last event.
        let is_waited_for = self.state == SchedulerState::ShutDown && self.pending_calls_of(store).next().is_some();
        let node = self.config.node.clone();
        let Some(state) = self.store_state(store) else {
            return;
        };
        match state.removal.drain {
            // It would be waited for in vain; what is held there is free when its lease ends.
            Drain::Draining { .. } if state.link.is_incompatible() && state.runs.running().next().is_none() => {
                self.abandon(now, store);
                self.on_drained(now, store);
            }
            Drain::Draining { until: Some(until) } | Drain::Releasing { until } if until <= now.monotonic => {
                self.give_up(now, store);
            }
            Drain::Draining { .. } if state.is_idle() && !is_waited_for => {
                state.removal.drain = Drain::Releasing { until: until_then };
                let at = state.clock.time(now);
                self.call_store(store.clone(), StoreCall::Release(at, node), InFlight::Release(store.clone()));
            }
            // What is left depends on the store alone, whose leases end by themselves if it does not answer.
            Drain::Draining { until: None } if state.runs.running().next().is_none() => {
                state.removal.drain = Drain::Draining { until: Some(until_then) };
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
        let Some(state) = self.store_state(store) else {
            return;
        };
        state.removal.drain = Drain::Done;
        if let Some(call) = state.removal.call.take() {
            self.stores.retain(|state| state.name != *store);
            self.notify(now, EventKind::StoreRemoved(store.clone()));
            self.reply(call, Ok(Reply::Done));
        }
    }

    pub(super) fn remove_store(&mut self, now: Now, call: CallId, store: &StoreName) {
        let Some(index) = self.stores.iter().position(|state| state.name == *store) else {
            return self.reply(call, Err(self.unknown_store(store)));
        };
        if self.stores[index].removal.call.is_some() {
            let message = format!("store `{store}` is being removed already; wait for that");
            return self.reply(call, Err(Error::new(ErrorKind::Config, message)));
        }
        self.stores[index].removal.call = Some(call);
        self.begin_drain(now, index, ShutdownMode::Wait);
    }
}
