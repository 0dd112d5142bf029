//! Ending: nothing new is taken, what runs ends or is cut off, what has not started or is cut off is given back.
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
//! With a time within which it is to end:
//!
//! ```text
//! shutdown (within 25 s)
//! wake (shutdown), after 20 s
//!   → cancel run 7
//! wake (shutdown), after 25 s
//!   → store turn: record run 7: given back
//!   ← done
//!   → notify given back
//!   → store release
//! ```
//!
//! Giving up a single store goes as without a time.

use std::time::Duration;

use super::{
    CallId, Engine, InFlight, OpId, Reply, SchedulerState, ShutdownMode, StoreCall, Wake, WakeReason,
    store_state::{Drain, Stop, StoreState},
};
use crate::{
    Error, ErrorKind, EventKind, Now, Outcome, StoreName,
    store::{StoreError, StoreErrorKind},
};

/// How far the shutdown is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ending {
    /// The stores are being given up; these calls wait for it.
    Draining { calls: Vec<CallId>, patience: Patience },
    /// The engine has shut down.
    Over,
}

/// How long runs are waited for; none for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Patience {
    /// When they are told to stop, unless they have been.
    stop_at: Option<Duration>,
    /// When they are cut off.
    cut_off_at: Option<Duration>,
}

impl Patience {
    fn of(mode: ShutdownMode, now: Now) -> Self {
        let time = match mode {
            ShutdownMode::Wait => return Self::default(),
            ShutdownMode::Within(time) => time,
            ShutdownMode::Now => Duration::ZERO,
        };
        let cut_off_at = now.monotonic.saturating_add(time);
        Self { stop_at: Some(cut_off_at.saturating_sub(ShutdownMode::grace(time))), cut_off_at: Some(cut_off_at) }
    }

    /// The lesser of both.
    fn and(self, other: Self) -> Self {
        let earlier = |a: Option<Duration>, b: Option<Duration>| a.into_iter().chain(b).min();
        Self { stop_at: earlier(self.stop_at, other.stop_at), cut_off_at: earlier(self.cut_off_at, other.cut_off_at) }
    }
}

impl Ending {
    /// When what still runs is to be told to stop, or to be cut off.
    pub(super) fn next_wake(&self, now: Now) -> Option<Wake> {
        let Self::Draining { patience: Patience { stop_at, cut_off_at }, .. } = self else { return None };
        let next = (*stop_at).or(*cut_off_at)?;
        Some(Wake { after: next.saturating_sub(now.monotonic), reason: WakeReason::Shutdown })
    }
}

impl Engine {
    pub(super) fn shut_down(&mut self, now: Now, call: CallId, mode: ShutdownMode) {
        let hurried = Patience::of(mode, now);
        match &mut self.ending {
            Some(Ending::Over) => return self.reply(call, Ok(Reply::Done)),
            Some(Ending::Draining { calls, patience }) => {
                calls.push(call);
                *patience = patience.and(hurried);
            }
            None => self.ending = Some(Ending::Draining { calls: vec![call], patience: hurried }),
        }
        self.state = SchedulerState::ShutDown;
        self.stores.iter_mut().for_each(StoreState::begin_drain);
    }

    /// Tells runs to stop that are not waited for any longer, and cuts them off some time later.
    pub(super) fn lose_patience(&mut self, now: Now) {
        let Some(Ending::Draining { patience, .. }) = &mut self.ending else {
            return;
        };
        let is_stopping = patience.stop_at.take_if(|at| *at <= now.monotonic).is_some();
        let is_cut_off = patience.cut_off_at.take_if(|at| *at <= now.monotonic).is_some();
        if !is_stopping && !is_cut_off {
            return;
        }
        let running =
            self.stores.iter().flat_map(|state| state.runs.running().into_iter().map(|run| (state.name.clone(), run)));
        for (store, run) in running.collect::<Vec<_>>() {
            if is_stopping {
                self.cancel_if_active(&store, run, Stop::ShutDown);
            }
            if is_cut_off {
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
            if let Some(Ending::Draining { calls, .. }) = self.ending.replace(Ending::Over) {
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
            Drain::Draining { .. } if state.link.is_incompatible() && state.runs.running_count() == 0 => {
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
            Drain::Draining { until: None } if state.runs.running_count() == 0 => {
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

    pub(super) fn remove_store(&mut self, call: CallId, store: &StoreName) {
        let Some(index) = self.stores.iter().position(|state| state.name == *store) else {
            return self.reply(call, Err(self.unknown_store(store)));
        };
        if self.stores[index].removal.call.is_some() {
            let message = format!("store `{store}` is being removed already; wait for that");
            return self.reply(call, Err(Error::new(ErrorKind::Config, message)));
        }
        self.stores[index].removal.call = Some(call);
        self.stores[index].begin_drain();
    }
}
