//! The verbs but for `claim`.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use scheduler_core::{
    BODY_VERSION, JobId, JobRow, NodeId, RunId, Uid, Wait,
    store::{
        Cancelled, Fate, Hint, Hold, Inserted, Move, Record, RecordOutcome, Recorded, Removed, RemovedAll, RunReport,
        Settle, SettleOutcome, Settled, Stamped, StoreError, Update, Updated,
    },
};

use super::{
    entry::Entry,
    index::{Node, Slot, Table},
    shape::Definition,
};
use crate::kit::rules::{Held, Runs, UpdateStep, all_removed, check_id, earlier, lease_end, whole_micros};

impl Table {
    pub(super) fn insert(&mut self, at: DateTime<Utc>, jobs: &[JobRow]) -> Result<Stamped<Vec<Inserted>>, StoreError> {
        for (item, job) in jobs.iter().enumerate() {
            check_id(&job.id).map_err(|error| error.with_item(item))?;
        }
        let by_id = if self.is_bulk(jobs) { order_by_id(jobs).filter(|_| self.are_ids_free(jobs)) } else { None };
        let value = match by_id {
            Some(by_id) => {
                self.insert_many(jobs, &by_id);
                vec![Inserted::Added; jobs.len()]
            }
            None => jobs.iter().map(|job| self.insert_one(job)).collect(),
        };
        Ok(Stamped { now: whole_micros(at), value })
    }

    fn insert_one(&mut self, job: &JobRow) -> Inserted {
        if self.slot(job.uid).is_some() {
            return Inserted::Added;
        }
        if let Some(slot) = self.live_slot(&job.id) {
            return Inserted::Conflict(Box::new(self.listed(slot)));
        }
        let definition = Definition::new(&job.body, &mut self.shapes);
        let entry = Entry::new(job, definition);
        self.changes.note(entry.due().map_or(Hint::Resync, Hint::Due));
        self.add(entry);
        Inserted::Added
    }

    /// Whether the jobs are many compared with those that are there.
    fn is_bulk(&self, jobs: &[JobRow]) -> bool {
        jobs.len() >= 64 && jobs.len() >= self.len() / 4
    }

    fn are_ids_free(&self, jobs: &[JobRow]) -> bool {
        self.len() == 0 || jobs.iter().all(|job| self.live_slot(&job.id).is_none() && self.slot(job.uid).is_none())
    }

    fn insert_many(&mut self, jobs: &[JobRow], by_id: &[usize]) {
        let mut shapes = std::mem::take(&mut self.shapes);
        self.add_many(jobs.iter().map(|job| Entry::new(job, Definition::new(&job.body, &mut shapes))), by_id);
        self.shapes = shapes;
        let first = jobs.iter().filter_map(|job| job.due).min();
        self.changes.note(first.map_or(Hint::Resync, Hint::Due));
    }

    pub(super) fn update(&mut self, at: DateTime<Utc>, update: &Update) -> Stamped<Updated> {
        let now = whole_micros(at);
        let is_open_to_us = |slot: &Slot| self.entry(*slot).is_live() && self.entry(*slot).shape().v <= BODY_VERSION;
        let slot = self.slot(update.uid).filter(is_open_to_us);
        let value = slot.map_or(Updated::Gone, |slot| self.update_slot(slot, update, now));
        Stamped { now, value }
    }

    fn update_slot(&mut self, slot: Slot, update: &Update, now: DateTime<Utc>) -> Updated {
        let same_body = update.body.as_ref().is_none_or(|body| self.entry(slot).definition.body() == *body);
        let step = self.edit(slot, |head, runs| head.update(runs, update, same_body, now));
        if step == UpdateStep::Written {
            if let Some(body) = &update.body {
                self.define(slot, body);
            }
            self.changes.note(self.entry(slot).due().map_or(Hint::Resync, Hint::Due));
        }
        let row = Box::new(self.entry(slot).row());
        match step {
            UpdateStep::Written | UpdateStep::Repeated => Updated::Updated(row),
            UpdateStep::Conflict => Updated::Conflict(row),
        }
    }

    pub(super) fn cancel(&mut self, at: DateTime<Utc>, job: &JobId, run: RunId) -> Stamped<Cancelled> {
        let now = whole_micros(at);
        let slot = self.slot(run.uid).filter(|slot| self.entry(*slot).id == *job);
        let value = slot.map_or(Cancelled::Gone, |slot| {
            let (cancelled, hint) = self.edit(slot, |head, runs| head.cancel(runs, run.seq, now));
            if let Some(hint) = hint {
                self.changes.note(hint);
            }
            cancelled
        });
        Stamped { now, value }
    }

    pub(super) fn remove(&mut self, at: DateTime<Utc>, ids: &[JobId]) -> Stamped<Vec<Removed>> {
        let now = whole_micros(at);
        let value = ids.iter().map(|id| self.live_slot(id).map_or(Removed::Gone, |slot| self.remove_slot(slot, now)));
        Stamped { now, value: value.collect() }
    }

    pub(super) fn remove_all(&mut self, at: DateTime<Utc>) -> Stamped<RemovedAll> {
        let now = whole_micros(at);
        let slots: Vec<Slot> = self.live_slots(None).collect();
        Stamped { now, value: all_removed(slots.into_iter().map(|slot| self.remove_slot(slot, now))) }
    }

    fn remove_slot(&mut self, slot: Slot, now: DateTime<Utc>) -> Removed {
        let runs = self.edit(slot, |head, runs| head.remove(runs, now));
        let entry = self.entry(slot);
        let is_over = runs.running == 0;
        let removed = runs.outcome(Some(entry.uid()), &entry.id, &entry.shape().task);
        if is_over {
            self.delete(slot);
        }
        self.changes.note(Hint::Resync);
        removed
    }

    pub(super) fn settle(&mut self, settle: &Settle) -> Settled {
        let now = whole_micros(settle.at);
        let mut next_due: Option<DateTime<Utc>> = None;
        let mut outcomes = Vec::with_capacity(settle.moves.len());
        for to in &settle.moves {
            let Some(slot) = self.slot(to.uid) else {
                next_due = earlier(next_due, self.give_places_back(to, now));
                outcomes.push(SettleOutcome::Gone);
                continue;
            };
            if to.limit_key.is_some()
                && self.can_move(slot, to, &settle.owner)
                && let Some(waits) = self.take_places(slot, to, now)
            {
                // It has no claim any more, as which it may have been counted.
                let woken = self.give_places_back(to, now);
                next_due = earlier(next_due, earlier(woken, self.entry(slot).due()));
                outcomes.push(waits);
                continue;
            }
            let (outcome, asked) = self.edit(slot, |head, runs| head.settle(runs, to, &settle.owner, now));
            if !matches!(outcome, SettleOutcome::Applied { .. }) {
                next_due = earlier(next_due, self.give_places_back(to, now));
            }
            for node in asked {
                self.changes.note(Hint::Cancel(node));
            }
            match outcome {
                SettleOutcome::Applied { job: Fate::Deleted } => {
                    self.delete(slot);
                }
                SettleOutcome::Applied { job: Fate::Stays } => next_due = earlier(next_due, self.entry(slot).due()),
                _ => {}
            }
            outcomes.push(outcome);
        }
        self.renew(&settle.owner, now, settle.lease);
        Settled::new(now, outcomes, next_due)
    }

    fn can_move(&self, slot: Slot, to: &Move, owner: &NodeId) -> bool {
        self.entry(slot).expanded().is_some_and(|expanded| expanded.head.can_move(to, owner))
    }

    /// Gives back the places that a move has taken and that was not applied.
    fn give_places_back(&mut self, to: &Move, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let key = to.limit_key.as_ref()?;
        let held: Vec<Held> = to.starts().map(|seq| Held(to.uid, seq, to.fence)).collect();
        held.into_iter().filter_map(|held| self.give_place_back(key, held, now)).min()
    }

    pub(super) fn record(&mut self, record: &Record) -> Recorded {
        let now = whole_micros(record.at);
        let mut next_due: Option<DateTime<Utc>> = None;
        let mut outcomes = Vec::with_capacity(record.entries.len());
        let mut over: Vec<(Uid, JobId)> = Vec::new();
        for entry in &record.entries {
            let Some(slot) = self.slot(entry.run.uid) else {
                outcomes.push(RecordOutcome::Gone);
                continue;
            };
            let (outcome, fate) = self.edit(slot, |head, runs| {
                let outcome = head.record(runs, entry, &record.owner, now);
                (outcome, head.fate(runs))
            });
            if outcome.is_written() && entry.report == RunReport::Release {
                self.changes.note(self.entry(slot).due().map_or(Hint::Resync, Hint::Due));
            }
            match fate {
                Fate::Deleted if outcome.is_written() => {
                    let entry = self.delete(slot);
                    over.push((entry.uid(), entry.id));
                }
                Fate::Finished if outcome.is_written() => {
                    let entry = self.entry(slot);
                    over.push((entry.uid(), entry.id.clone()));
                }
                Fate::Stays if outcome.is_written() => next_due = earlier(next_due, self.entry(slot).due()),
                Fate::Finished | Fate::Deleted | Fate::Stays => {}
            }
            outcomes.push(outcome);
        }
        // Once they are all written, so that one that ends leaves its place to the first that waits.
        for entry in &record.entries {
            if let Some(key) = &entry.limit_key {
                let held = Held(entry.run.uid, entry.run.seq, entry.fence);
                next_due = earlier(next_due, self.give_place_back(key, held, now));
            }
        }
        let hold = self.hold(&record.owner, now, record.lease);
        let cancel: Vec<RunId> = self.running.asked(&record.owner).collect();
        Recorded::new(now, outcomes, hold).with_cancel(cancel).with_over(over).with_next_due(next_due)
    }

    pub(super) fn release(&mut self, at: DateTime<Utc>, owner: &NodeId) {
        let now = whole_micros(at);
        let claimed: Vec<Uid> = self.claims.get(owner).into_iter().flatten().map(|(_, uid)| *uid).collect();
        for uid in &claimed {
            if let Some(slot) = self.slot(*uid) {
                self.edit(slot, |head, _| head.claim = None);
            }
        }
        let running: Vec<RunId> = self.running.of(owner).collect();
        for run in &running {
            self.take_from_node(*run, Wait::Released, now);
        }
        self.nodes.remove(owner);
        if !claimed.is_empty() || !running.is_empty() {
            self.changes.note(Hint::Resync);
        }
    }

    /// Lets a running run wait for another node.
    pub(super) fn take_from_node(&mut self, run: RunId, wait: Wait, now: DateTime<Utc>) {
        if let Some(slot) = self.slot(run.uid) {
            self.edit(slot, |head, runs| {
                if let Some(run) = runs.run(run.seq).cloned() {
                    head.take_from_node(runs, run, wait, now);
                }
            });
        }
    }

    /// Renews the lease of a node that holds something.
    fn renew(&mut self, owner: &NodeId, now: DateTime<Utc>, lease: Duration) {
        if let Some(node) = self.nodes.get_mut(owner) {
            // A call that was delayed must not take back what a later one has been told.
            node.lease_until = node.lease_until.max(Some(lease_end(now, lease)));
        } else if self.running.is_any_of(owner) {
            let node = Node { lease_until: Some(lease_end(now, lease)), last_claim_seq: 0, info: Arc::default() };
            self.nodes.insert(owner.clone(), node);
        }
    }

    /// Whether a node's runs are still its own; if they are, its lease is renewed.
    fn hold(&mut self, owner: &NodeId, now: DateTime<Utc>, lease: Duration) -> Hold {
        let is_lost = match self.nodes.get(owner) {
            Some(node) => node.lease_until.is_none(),
            None => !self.running.is_any_of(owner),
        };
        if is_lost {
            return Hold::Lost;
        }
        self.renew(owner, now, lease);
        Hold::Kept
    }
}

/// The jobs' places in the order of their ids, unless two have the same.
fn order_by_id(jobs: &[JobRow]) -> Option<Vec<usize>> {
    // The first bytes decide most comparisons without a look at the text.
    let head = |id: &str| {
        let mut bytes = [0; 8];
        let n = id.len().min(8);
        bytes[..n].copy_from_slice(&id.as_bytes()[..n]);
        u64::from_be_bytes(bytes)
    };
    let mut order: Vec<(u64, usize)> = jobs.iter().enumerate().map(|(at, job)| (head(job.id.as_str()), at)).collect();
    order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| jobs[a.1].id.cmp(&jobs[b.1].id)));
    let is_unique = order.windows(2).all(|pair| pair[0].0 != pair[1].0 || jobs[pair[0].1].id != jobs[pair[1].1].id);
    is_unique.then(|| order.into_iter().map(|(_, at)| at).collect())
}
