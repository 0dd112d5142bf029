//! How many runs an executor takes at once, and those that wait until it has room.
//!
//! ```text
//! (the executor takes one run, and runs run 6)
//!   ← applied: run 7 starts
//!   → notify queued
//! finished run 6: ok
//!   → notify submitted · start run 7
//! ```
//!
//! A run that waits here is this node's: in the store it is running, and the node's lease covers it. If that passes without
//! having been renewed, others may have the run, and it is given back.

use std::{cmp::Reverse, collections::BTreeSet, num::NonZeroUsize};

use chrono::{DateTime, Utc};

use super::{Effect, Engine, Start, store_state::QueueKey};
use crate::{EventKind, ExecutorName, Now, RunId};

/// An executor, as far as the engine knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slots {
    limit: Option<NonZeroUsize>,
    /// What it runs; not counted where there is no limit.
    taken: BTreeSet<RunId>,
}

impl Engine {
    /// Hands a run to its executor, now or when that has room.
    pub(super) fn start_or_queue(&mut self, now: Now, start: Start, priority: i32, due: DateTime<Utc>) {
        let has_room = self.executors.get(&start.executor).is_some_and(Slots::has_room);
        let Some(state) = self.stores.iter_mut().find(|state| state.name == start.store) else {
            return;
        };
        if has_room && state.runs.queues.first(&start.executor).is_none() {
            return self.begin(now, start);
        }
        let Some(active) = state.runs.active.get_mut(&start.run) else {
            return;
        };
        self.last_arrival = self.last_arrival.saturating_add(1);
        let key = QueueKey { priority: Reverse(priority), due, arrival: self.last_arrival };
        active.waiting = Some(key);
        let run = active.run.clone();
        state.runs.queues.push(key, start);
        self.notify(now, EventKind::RunQueued(run));
    }

    /// Hands a run to its executor. Its time begins.
    fn begin(&mut self, now: Now, start: Start) {
        if let Some(slots) = self.executors.get_mut(&start.executor) {
            slots.take(start.run);
        }
        let Some(run) = self.store_state(&start.store).and_then(|state| state.runs.begin(now, start.run)) else {
            return;
        };
        self.notify(now, EventKind::RunSubmitted(run));
        self.effects.push_back(Effect::Start(start));
    }

    /// Starts what waits, as far as there is room.
    pub(super) fn start_waiting(&mut self, now: Now) {
        if self.stores.iter().all(|state| state.runs.queues.is_empty()) {
            return;
        }
        for state in self.stores.iter_mut().filter(|state| state.runs.is_uncovered(now)) {
            state.give_back_waiting();
        }
        let with_room = self.executors.iter().filter(|(_, slots)| slots.has_room());
        for executor in with_room.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            while self.executors.get(&executor).is_some_and(Slots::has_room)
                && let Some(start) = self.next_waiting(&executor)
            {
                if self.tasks.contains(&start.task) {
                    self.begin(now, start);
                } else if let Some(state) = self.store_state(&start.store) {
                    // The task was removed while the run waited: it is left to nodes that have it.
                    state.give_back(start.run);
                }
            }
        }
    }

    /// The first of those that wait for an executor, in whichever store.
    fn next_waiting(&mut self, executor: &ExecutorName) -> Option<Start> {
        let places = self.stores.iter_mut().filter_map(|state| Some((state.runs.queues.first(executor)?, state)));
        let (key, state) = places.min_by_key(|(key, _)| *key)?;
        state.runs.queues.remove(key)
    }

    /// An attempt has ended, whatever it counts for.
    pub(super) fn free_slot(&mut self, run: RunId) {
        for slots in self.executors.values_mut() {
            slots.taken.remove(&run);
        }
    }
}

impl Slots {
    pub(super) fn new(limit: Option<NonZeroUsize>) -> Self {
        Self { limit, taken: BTreeSet::new() }
    }

    fn has_room(&self) -> bool {
        self.limit.is_none_or(|limit| self.taken.len() < limit.get())
    }

    fn take(&mut self, run: RunId) {
        if self.limit.is_some() {
            self.taken.insert(run);
        }
    }
}
