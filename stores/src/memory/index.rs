//! The table of jobs and the indexes over it, which change with each entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use hashbrown::HashTable;
use scheduler_core::{JobBody, JobId, LimitKey, NodeId, Run, RunId, RunState, Uid, store::NodeInfo};

use super::{
    entry::{Entry, JobRuns},
    shape::{Definition, Shapes},
};
use crate::{
    changes::Changes,
    kit::rules::{Head, Places, Runs},
};

/// All that the store keeps.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Option<Entry>>,
    free: Vec<Slot>,
    by_uid: HashTable<Slot>,
    by_id: BTreeMap<JobId, Slot>,
    due: BTreeSet<DueKey>,
    /// The jobs that are over, by the time until which they stay known.
    retained: BTreeSet<DueKey>,
    pub(super) claims: BTreeMap<NodeId, BTreeSet<(DateTime<Utc>, Uid)>>,
    pub(super) running: Running,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) changes: Changes,
    pub(super) shapes: Shapes,
    /// The limit keys that have a limit.
    pub(super) places: BTreeMap<LimitKey, Places>,
}

/// How many jobs that are over stay known at most; memory is for those that are not.
const RETAINED: usize = 1_000;

/// The place of an entry. Four bytes hold more jobs than memory does.
pub(super) type Slot = u32;

/// A node that holds a claim or a running run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// None once other nodes have begun to take over.
    pub(super) lease_until: Option<DateTime<Utc>>,
    pub(super) last_claim_seq: u64,
    /// What it says of itself.
    pub(super) info: Arc<NodeInfo>,
}

/// The running runs by their nodes.
#[derive(Debug, Default)]
pub(super) struct Running {
    by_node: BTreeMap<NodeId, BTreeSet<RunId>>,
    asked: BTreeMap<NodeId, BTreeSet<RunId>>,
}

/// A place in the order of claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct DueKey {
    due: i64,
    uid: [u64; 2], // in halves, since a u128 would pad the key to 32 bytes
}

/// The runs of one entry, with the index of running ones kept up to date.
pub(super) struct Indexed<'a> {
    runs: &'a mut JobRuns,
    running: &'a mut Running,
}

impl Table {
    pub(super) fn slot(&self, uid: Uid) -> Option<Slot> {
        self.by_uid.find(hash(uid), |slot| self.entry(*slot).uid() == uid).copied()
    }

    pub(super) fn live_slot(&self, id: &JobId) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    /// The live jobs after an id, by id.
    pub(super) fn live_slots(&self, after: Option<&JobId>) -> impl Iterator<Item = Slot> {
        let from = after.map_or(Unbounded, Excluded);
        self.by_id.range::<JobId, _>((from, Unbounded)).map(|(_, slot)| *slot)
    }

    pub(super) fn entry(&self, slot: Slot) -> &Entry {
        filled(&self.slots, slot)
    }

    /// The jobs that are due by this time, and since another one if one is given, by (due, uid).
    pub(super) fn due_between(&self, since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> impl Iterator<Item = Uid> {
        let end = DueKey { due: now.timestamp_micros(), uid: [u64::MAX; 2] };
        let start = DueKey { due: since.map_or(i64::MIN, |since| since.timestamp_micros()).min(end.due), uid: [0; 2] };
        self.due.range(start..=end).map(DueKey::uid)
    }

    /// The jobs that are due after this time, by (due, uid).
    pub(super) fn due_after(&self, now: DateTime<Utc>) -> impl Iterator<Item = (DateTime<Utc>, Uid)> {
        let start = DueKey { due: now.timestamp_micros(), uid: [u64::MAX; 2] };
        self.due.range((Excluded(start), Unbounded)).map(|key| (key.time(), key.uid()))
    }

    /// The first jobs that are over and need not stay known any more: those of which the time has passed, and the first of those
    /// that are more than the store keeps.
    pub(super) fn expired(&self, now: DateTime<Utc>, limit: usize) -> Vec<Slot> {
        let surplus = self.retained.len().saturating_sub(RETAINED);
        let is_expired = |(at, key): &(usize, &DueKey)| *at < surplus || key.due <= now.timestamp_micros();
        let expired = self.retained.iter().enumerate().take_while(is_expired).take(limit);
        expired.filter_map(|(_, key)| self.slot(key.uid())).collect()
    }

    /// The jobs that are over and stay known.
    pub(super) fn retained_slots(&self) -> impl Iterator<Item = Slot> {
        self.retained.iter().filter_map(|key| self.slot(key.uid()))
    }

    /// Adds an entry whose uid and id are free.
    pub(super) fn add(&mut self, entry: Entry) {
        let key = entry.due().map(|at| DueKey::new(at, entry.uid()));
        let id = entry.is_live().then(|| entry.id.clone());
        let slot = self.fill(entry);
        self.due.extend(key);
        self.by_id.extend(id.map(|id| (id, slot)));
    }

    /// Adds many entries whose ids are free, and leaves out those whose uids are not: trees that grow by much are
    /// rebuilt at once, which is faster than growing them and leaves no half-filled nodes. `by_id` gives the order of
    /// the entries' ids.
    pub(super) fn add_many(&mut self, entries: impl ExactSizeIterator<Item = Entry>, by_id: &[usize]) {
        self.slots.reserve(entries.len());
        let slots = &self.slots;
        self.by_uid.reserve(entries.len(), |slot| hash(filled(slots, *slot).uid()));
        let mut due = Vec::with_capacity(entries.len());
        let mut live = Vec::with_capacity(entries.len());
        for entry in entries {
            if self.slot(entry.uid()).is_some() {
                live.push(None);
                continue;
            }
            due.extend(entry.due().map(|at| DueKey::new(at, entry.uid())));
            let is_live = entry.is_live();
            let slot = self.fill(entry);
            live.push(is_live.then_some(slot));
        }
        let ids = by_id.iter().filter_map(|at| live[*at]).map(|slot| (self.entry(slot).id.clone(), slot));
        let mut ids = ids.collect();
        self.by_id.append(&mut ids);
        self.due.append(&mut due.into_iter().collect());
    }

    /// How many jobs there are, hidden ones included.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Changes an entry, and the indexes with it.
    pub(super) fn edit<T>(&mut self, slot: Slot, step: impl FnOnce(&mut Head, &mut Indexed<'_>) -> T) -> T {
        let entry = self.slots[slot as usize].as_mut().expect("the indexes name filled slots only");
        let (uid, history) = (entry.uid(), entry.shape().options.history);
        let expanded = entry.expand();
        let head = &mut expanded.head;
        let (due, held, was_live) = (head.due, head.claim.clone(), head.state.is_live());
        let retained = head.retained_until;
        let reply = step(head, &mut Indexed { runs: &mut expanded.runs, running: &mut self.running });
        expanded.runs.prune(history);
        if head.due != due {
            if let Some(at) = due {
                self.due.remove(&DueKey::new(at, uid));
            }
            self.due.extend(head.due.map(|at| DueKey::new(at, uid)));
        }
        if head.retained_until != retained {
            if let Some(until) = retained {
                self.retained.remove(&DueKey::new(until, uid));
            }
            self.retained.extend(head.retained_until.map(|until| DueKey::new(until, uid)));
        }
        if head.claim != held {
            let now_held = head.claim.clone();
            if let Some(it) = held {
                remove_from(&mut self.claims, &it.owner, &(it.until, uid));
            }
            if let Some(it) = now_held {
                self.claims.entry(it.owner).or_default().insert((it.until, uid));
            }
        }
        if was_live && !entry.is_live() {
            self.by_id.remove(&entry.id);
        }
        reply
    }

    /// Writes a job's definition.
    pub(super) fn define(&mut self, slot: Slot, body: &JobBody) {
        let definition = Definition::new(body, &mut self.shapes);
        let entry = self.slots[slot as usize].as_mut().expect("the indexes name filled slots only");
        entry.define(definition);
    }

    /// Deletes a job and its runs, none of which is open.
    pub(super) fn delete(&mut self, slot: Slot) -> Entry {
        let entry = self.slots[slot as usize].take().expect("the indexes name filled slots only");
        self.free.push(slot);
        if let Ok(found) = self.by_uid.find_entry(hash(entry.uid()), |it| *it == slot) {
            found.remove();
        }
        if entry.is_live() {
            self.by_id.remove(&entry.id);
        }
        if let Some(due) = entry.due() {
            self.due.remove(&DueKey::new(due, entry.uid()));
        }
        if let Some(until) = entry.retained_until() {
            self.retained.remove(&DueKey::new(until, entry.uid()));
        }
        if let Some(held) = entry.expanded().and_then(|expanded| expanded.head.claim.as_ref()) {
            remove_from(&mut self.claims, &held.owner, &(held.until, entry.uid()));
        }
        entry
    }

    fn fill(&mut self, entry: Entry) -> Slot {
        let uid = entry.uid();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot::try_from(self.slots.len() - 1).expect("four billion jobs do not fit into memory")
        });
        self.slots[slot as usize] = Some(entry);
        let slots = &self.slots;
        self.by_uid.insert_unique(hash(uid), slot, |slot| hash(filled(slots, *slot).uid()));
        slot
    }
}

impl Runs for Indexed<'_> {
    fn run(&self, seq: u64) -> Option<&Run> {
        self.runs.run(seq)
    }

    fn open(&self) -> impl Iterator<Item = &Run> {
        self.runs.open()
    }

    fn put(&mut self, run: Run) {
        if let Some(old) = self.runs.run(run.id.seq) {
            self.running.leave(old);
        }
        self.running.enter(&run);
        self.runs.put(run);
    }
}

impl Running {
    /// The running runs of a node, by id.
    pub(super) fn of(&self, node: &NodeId) -> impl Iterator<Item = RunId> {
        self.by_node.get(node).into_iter().flatten().copied()
    }

    /// Those of them that are asked to stop.
    pub(super) fn asked(&self, node: &NodeId) -> impl Iterator<Item = RunId> {
        self.asked.get(node).into_iter().flatten().copied()
    }

    /// The nodes that run something.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.by_node.keys()
    }

    pub(super) fn is_any_of(&self, node: &NodeId) -> bool {
        self.by_node.contains_key(node)
    }

    fn enter(&mut self, run: &Run) {
        if let (RunState::Running, Some(owner)) = (run.state, &run.owner) {
            self.by_node.entry(owner.clone()).or_default().insert(run.id);
            if run.cancel_requested {
                self.asked.entry(owner.clone()).or_default().insert(run.id);
            }
        }
    }

    fn leave(&mut self, run: &Run) {
        if let (RunState::Running, Some(owner)) = (run.state, &run.owner) {
            remove_from(&mut self.by_node, owner, &run.id);
            if run.cancel_requested {
                remove_from(&mut self.asked, owner, &run.id);
            }
        }
    }
}

impl DueKey {
    fn new(due: DateTime<Utc>, uid: Uid) -> Self {
        Self { due: due.timestamp_micros(), uid: [(uid.0 >> 64) as u64, uid.0 as u64] }
    }

    fn uid(&self) -> Uid {
        Uid(u128::from(self.uid[0]) << 64 | u128::from(self.uid[1]))
    }

    fn time(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.due).expect("it was made from a time")
    }
}

fn filled(slots: &[Option<Entry>], slot: Slot) -> &Entry {
    slots[slot as usize].as_ref().expect("the indexes name filled slots only")
}

fn remove_from<T: Ord>(sets: &mut BTreeMap<NodeId, BTreeSet<T>>, node: &NodeId, item: &T) {
    if let Some(set) = sets.get_mut(node) {
        set.remove(item);
        if set.is_empty() {
            sets.remove(node);
        }
    }
}

/// Uids are random; the folded product is for those that are numbered, in whichever of their bits.
fn hash(uid: Uid) -> u64 {
    let [high, low] = [(uid.0 >> 64) as u64, uid.0 as u64];
    let product = u128::from(high ^ 0x9E37_79B9_7F4A_7C15) * u128::from(low ^ 0xD1B5_4A32_D192_ED03);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbered_uids_do_not_collide() {
        for uid in [|n: u128| n, |n| n << 64 | n, |n| n << 100, |n| n << 64, |n| u128::MAX - n] {
            let hashes: BTreeSet<u64> = (0..10_000).map(|n| hash(Uid(uid(n))) & 0xFFFF_FFFF).collect();
            assert!(hashes.len() > 9_900, "{}", hashes.len());
        }
    }
}
