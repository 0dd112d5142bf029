//! Limits by key: the places of each key beside the jobs.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use scheduler_core::{
    LimitKey, NodeId, RunState, Uid,
    store::{Hint, KeyLimit, Move, SettleOutcome},
};

use super::{
    entry::Entry,
    index::{Slot, Table},
};
use crate::kit::rules::{Granted, Held, Places, Runs, earlier, whole_micros};

impl Table {
    pub(super) fn set_key_limit(&mut self, at: DateTime<Utc>, key: &LimitKey, limit: Option<NonZeroU32>) {
        if limit.is_none() && !self.places.contains_key(key) {
            return;
        }
        let mut places = self.places.remove(key).unwrap_or_else(|| Places::new(key.clone()));
        places.set_limit(limit);
        if places.is_to_be_counted() {
            places.count(self.counted(key));
        }
        self.places.insert(key.clone(), places);
        self.wake(key, whole_micros(at));
        if limit.is_none() {
            self.places.remove(key);
        }
    }

    pub(super) fn key_limits(&self, key: Option<&LimitKey>) -> Vec<KeyLimit> {
        let wanted = self.places.iter().filter(|(of, _)| key.is_none_or(|key| key == *of));
        wanted.filter_map(|(_, places)| places.shown()).collect()
    }

    /// The places of the running runs of jobs with a key; and of the jobs that are claimed, which may be about to start: but for claims
    /// of a node that has been taken over, which databases do not find either.
    fn counted(&self, key: &LimitKey) -> Vec<Held> {
        let is_known = |node: &NodeId| self.nodes.contains_key(node) || self.running.is_any_of(node);
        let claims = self.claims.iter().filter(|(node, _)| is_known(node));
        let claimed = claims.flat_map(|(_, claims)| claims).map(|(_, uid)| *uid);
        let nodes: Vec<_> = self.running.nodes().cloned().collect();
        let running = nodes.iter().flat_map(|node| self.running.of(node)).map(|run| run.uid);
        let mut uids: Vec<Uid> = claimed.chain(running).collect();
        uids.sort_unstable();
        uids.dedup();
        let of_key = |entry: &&Entry| entry.shape().options.limit_key.as_ref() == Some(key);
        let jobs = uids.into_iter().filter_map(|uid| self.slot(uid)).map(|slot| self.entry(slot)).filter(of_key);
        jobs.flat_map(held_by).collect()
    }

    /// Takes places for what a move starts. Says what became of the move if it does not find them: its job waits. Others that wait are
    /// woken if there is room.
    pub(super) fn take_places(&mut self, slot: Slot, to: &Move, now: DateTime<Utc>) -> Option<SettleOutcome> {
        let key = to.limit_key.as_ref()?;
        let mut places = self.places.remove(key)?;
        if !places.has_room_for(to) {
            places.retain(|held| self.is_needed(held));
        }
        let granted = places.take(to, self.entry(slot).due().unwrap_or(now));
        self.places.insert(key.clone(), places);
        let outcome = match granted {
            Granted::Places => None,
            Granted::None { waits, since } => {
                self.edit(slot, |head, _| head.wait_for_place(since, now));
                Some(SettleOutcome::Waits(waits))
            }
        };
        self.wake(key, now);
        outcome
    }

    /// Gives back the place of a run that needs it no more, and wakes jobs that wait for it. Says when those are due.
    pub(super) fn give_place_back(&mut self, key: &LimitKey, held: Held, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_needed(&held) {
            return None;
        }
        self.places.get_mut(key)?.give_back(held);
        self.wake(key, now)
    }

    fn is_needed(&self, held: &Held) -> bool {
        let expanded = self.slot(held.0).and_then(|slot| self.entry(slot).expanded());
        expanded.is_some_and(|expanded| held.is_needed(&expanded.head, &expanded.runs))
    }

    /// Makes jobs that wait for a key due, so many as there are free places for.
    fn wake(&mut self, key: &LimitKey, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (mut woken, mut due) = (0, None);
        loop {
            let next = self.places.get_mut(key)?.next_waiting(woken);
            if next.is_empty() {
                break;
            }
            for (uid, since) in next {
                let Some(slot) = self.slot(uid) else { continue };
                if self.edit(slot, |head, _| head.wake_for_place(since, now)) {
                    woken += 1;
                    due = earlier(due, self.entry(slot).due());
                }
            }
        }
        if let Some(due) = due {
            self.changes.note(Hint::Due(due));
        }
        due
    }
}

fn held_by(entry: &Entry) -> Vec<Held> {
    let Some(expanded) = entry.expanded() else { return Vec::new() };
    let claimed = expanded.head.claim.iter().map(|_| Held(entry.uid(), 0, expanded.head.fence));
    let running = expanded.runs.open().filter(|run| run.state == RunState::Running);
    claimed.chain(running.map(|run| Held(entry.uid(), run.id.seq, run.fence))).collect()
}
