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

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{
    Effect, Engine, Start,
    contact::{Contact, Stop},
};
use crate::{
    EventKind, ExecutorName, Now, Outcome, RunId, Uid, Verdict,
    store::{Entry, RunReport},
};

/// An executor, as far as the engine knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slots {
    limit: Option<NonZeroUsize>,
    /// What it runs; not counted where there is no limit.
    taken: BTreeSet<RunId>,
}

/// Where a run stands among those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    priority: Reverse<i32>,
    due: DateTime<Utc>,
    arrival: u64,
}

/// The runs of one store that wait, each for its executor.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Queues(BTreeMap<ExecutorName, BTreeMap<Place, Box<Start>>>);

impl Engine {
    /// Hands a run to its executor, now or when that has room.
    pub(super) fn start_or_queue(&mut self, now: Now, start: Start, priority: i32, due: DateTime<Utc>) {
        let has_room = self.executors.get(&start.executor).is_some_and(Slots::has_room);
        let Some(contact) = self.contacts.iter_mut().find(|contact| contact.name == start.store) else {
            return;
        };
        if has_room && contact.queues.first(&start.executor).is_none() {
            return self.begin(now, start);
        }
        let Some(held) = contact.held.get_mut(&start.run) else {
            return;
        };
        self.last_arrival = self.last_arrival.saturating_add(1);
        let place = Place { priority: Reverse(priority), due, arrival: self.last_arrival };
        held.waiting = Some(place);
        let run = held.run.clone();
        contact.queues.push(place, start);
        self.notify(now, EventKind::RunQueued(run));
    }

    /// Hands a run to its executor. Its time begins.
    fn begin(&mut self, now: Now, start: Start) {
        if let Some(slots) = self.executors.get_mut(&start.executor) {
            slots.take(start.run);
        }
        let Some(run) = self.contact(&start.store).and_then(|contact| contact.begin(now, start.run)) else {
            return;
        };
        self.notify(now, EventKind::RunSubmitted(run));
        self.effects.push_back(Effect::Start(start));
    }

    /// Starts what waits, as far as there is room.
    pub(super) fn start_waiting(&mut self, now: Now) {
        if self.contacts.iter().all(|contact| contact.queues.is_empty()) {
            return;
        }
        for contact in self.contacts.iter_mut().filter(|contact| contact.covered_until <= now.monotonic) {
            contact.give_back_waiting();
        }
        let with_room = self.executors.iter().filter(|(_, slots)| slots.has_room());
        for executor in with_room.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            while self.executors.get(&executor).is_some_and(Slots::has_room)
                && let Some(start) = self.next_waiting(&executor)
            {
                if self.tasks.contains(&start.task) {
                    self.begin(now, start);
                } else if let Some(contact) = self.contact(&start.store) {
                    // The task was removed while the run waited: it is left to nodes that have it.
                    contact.give_back(start.run);
                }
            }
        }
    }

    /// The first of those that wait for an executor, in whichever store.
    fn next_waiting(&mut self, executor: &ExecutorName) -> Option<Start> {
        let places = self.contacts.iter_mut().filter_map(|contact| Some((contact.queues.first(executor)?, contact)));
        let (place, contact) = places.min_by_key(|(place, _)| *place)?;
        contact.queues.remove(place)
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

impl Queues {
    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn first(&self, executor: &ExecutorName) -> Option<Place> {
        self.0.get(executor)?.first_key_value().map(|(place, _)| *place)
    }

    fn push(&mut self, place: Place, start: Start) {
        self.0.entry(start.executor.clone()).or_default().insert(place, Box::new(start));
    }

    fn remove(&mut self, place: Place) -> Option<Start> {
        let start = self.0.values_mut().find_map(|queue| queue.remove(&place))?;
        self.0.retain(|_, queue| !queue.is_empty());
        Some(*start)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Contact {
    /// Notes that the store has renewed the node's lease, not before `sent`. If the lease may have passed before that,
    /// others may have what waits here.
    pub(super) fn cover(&mut self, now: Now, sent: Duration, lease: Duration) {
        if self.covered_until <= now.monotonic {
            self.give_back_waiting();
        }
        self.covered_until = self.covered_until.max(sent.saturating_add(lease));
    }

    /// Withdraws a run that waits, so that it never starts.
    pub(super) fn withdraw(&mut self, run: RunId, why: Stop) {
        match why {
            Stop::Asked => self.cancel_waiting(run),
            Stop::No | Stop::TimedOut | Stop::Lost => self.give_back(run),
        }
    }

    fn cancel_waiting(&mut self, run: RunId) {
        let Some(held) = self.held.get_mut(&run) else {
            return;
        };
        if let Some(place) = held.waiting.take() {
            self.queues.remove(place);
        }
        held.ended = Some((Outcome::Cancelled, Duration::ZERO));
        let report = RunReport::End { verdict: Verdict::Cancelled, error: None, duration: Duration::ZERO };
        self.entries.push_back(Entry { run, fence: held.fence, report });
    }

    /// Cancels the runs of a job, or of all, that have not started.
    pub(super) fn cancel_waiting_of(&mut self, job: Option<Uid>) {
        let of_job = self.waiting().filter(|run| job.is_none_or(|uid| run.uid == uid));
        for run in of_job.collect::<Vec<_>>() {
            self.cancel_waiting(run);
        }
    }

    /// Leaves a run that has not started to whoever takes it.
    fn give_back(&mut self, run: RunId) {
        let Some(held) = self.held.remove(&run) else {
            return;
        };
        if let Some(place) = held.waiting {
            self.queues.remove(place);
        }
        self.entries.push_back(Entry { run, fence: held.fence, report: RunReport::Release });
    }

    pub(super) fn give_back_waiting(&mut self) {
        for run in self.waiting().collect::<Vec<_>>() {
            self.give_back(run);
        }
    }

    /// Gives back what waits for an executor that is not there any more.
    pub(super) fn give_back_waiting_for(&mut self, executor: &ExecutorName) {
        let waiting = self.queues.0.get(executor).into_iter().flat_map(BTreeMap::values);
        for run in waiting.map(|start| start.run).collect::<Vec<_>>() {
            self.give_back(run);
        }
    }

    /// The runs that wait, in the order in which they would start.
    fn waiting(&self) -> impl Iterator<Item = RunId> + '_ {
        self.queues.0.values().flat_map(BTreeMap::values).map(|start| start.run)
    }
}
