//! The verb `claim`.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobState, RunId, Uid, Wait,
    store::{Claim, Claimed, ClaimedJob, DECLINED_LIMIT, Declined, Report},
};

use super::{
    entry::Entry,
    index::{Node, Slot, Table},
    shape::Shape,
};
use crate::kit::rules::{Runs, earlier, lease_end, whole_micros};

/// How many jobs whose retention has passed one claim deletes: more than it usually takes, and few enough to be quick.
const EXPIRED: usize = 1_000;

/// What a claim does with the jobs that are due.
#[derive(Debug)]
struct Selection {
    take: Vec<Slot>,
    /// The due of the first job that the limit left out.
    left_out: Option<DateTime<Utc>>,
}

impl Table {
    pub(super) fn claim(&mut self, claim: &Claim) -> Claimed {
        let now = whole_micros(claim.at);
        if self.nodes.get(&claim.owner).is_some_and(|node| claim.seq <= node.last_claim_seq) {
            // Not the caller's latest claim: it takes nothing, but must not let its caller sleep either.
            let by_due = claim.clone().with_recent_since(None);
            let first = self.select(&by_due, now).take.first().and_then(|slot| self.entry(*slot).due());
            return Claimed::nothing(now, earlier(first, self.next_due(claim, now)));
        }
        let are_runs_left = self.adopt(claim, now);
        let selection = self.select(claim, now);
        for slot in &selection.take {
            self.edit(*slot, |head, _| head.claim(&claim.owner, lease_end(now, claim.lease)));
        }
        if self.claims.contains_key(&claim.owner) || self.running.is_any_of(&claim.owner) {
            let known = self.nodes.get(&claim.owner).and_then(|node| node.lease_until);
            let lease_until = known.max(Some(lease_end(now, claim.lease)));
            let node = Node { lease_until, last_claim_seq: claim.seq, info: Arc::clone(&claim.info) };
            self.nodes.insert(claim.owner.clone(), node);
        }
        for slot in self.expired(now, EXPIRED) {
            self.delete(slot);
        }
        let more = are_runs_left || selection.left_out.is_some();
        Claimed::nothing(now, if more { earlier(Some(now), selection.left_out) } else { self.next_due(claim, now) })
            .with_jobs(selection.take.iter().map(|slot| claimed(self.entry(*slot))).collect())
            .with_declined(self.declined(claim, now))
            .with_more(more)
    }

    /// Takes over the runs of nodes whose lease has passed, up to a limit and if the claim is to, and says whether some are
    /// left.
    fn adopt(&mut self, claim: &Claim, now: DateTime<Utc>) -> bool {
        let Some(lapsed_by) = claim.lapsed_by(now) else {
            return false;
        };
        let is_lapsed = |node: &Node| node.lease_until.is_none_or(|until| until <= lapsed_by);
        let lapsed =
            self.nodes.iter().filter(|(id, node)| **id != claim.owner && is_lapsed(node)).map(|(id, _)| id.clone());
        let mut free = claim.limit;
        for id in lapsed.collect::<Vec<_>>() {
            let runs: Vec<RunId> = self.running.of(&id).take(free).collect();
            for run in &runs {
                self.take_from_node(*run, Wait::Orphan, now);
            }
            free -= runs.len();
            if !self.running.is_any_of(&id) {
                self.nodes.remove(&id);
            } else {
                if let Some(node) = self.nodes.get_mut(&id).filter(|_| !runs.is_empty()) {
                    node.lease_until = None;
                }
                return true;
            }
        }
        false
    }

    fn select(&self, claim: &Claim, now: DateTime<Utc>) -> Selection {
        let mut reader = Reader::new(claim);
        let mut can_take = |slot: &Slot| {
            let entry = self.entry(*slot);
            is_claimable(entry) && is_free(entry, claim, now) && reader.can_run(entry.shape())
        };
        let recent = self.due_slots(claim.recent_since, now).filter(&mut can_take).take(claim.recent_limit());
        let mut take: Vec<Slot> = recent.collect();
        let recent: HashSet<Slot> = take.iter().copied().collect();
        let mut left_out = None;
        for slot in self.due_slots(None, now).filter(|slot| !recent.contains(slot)).filter(can_take) {
            if take.len() == claim.limit {
                left_out = self.entry(slot).due();
                break;
            }
            take.push(slot);
        }
        Selection { take, left_out }
    }

    /// The due jobs that no node holds and this node cannot run, if it asks.
    fn declined(&self, claim: &Claim, now: DateTime<Utc>) -> Vec<Declined> {
        if claim.declined == Report::Nothing {
            return Vec::new();
        }
        let mut reader = Reader::new(claim);
        let entries = self.due_slots(None, now).map(|slot| self.entry(slot));
        let is_declined = |entry: &&Entry| {
            let is_held = entry.expanded().is_some_and(|expanded| expanded.head.claim.is_some());
            is_claimable(entry) && !is_held && !reader.can_run(entry.shape())
        };
        let declined = entries.filter(is_declined).take(DECLINED_LIMIT);
        declined
            .map(|entry| Declined { id: entry.id.clone(), task: entry.shape().task.clone(), v: entry.shape().v })
            .collect()
    }

    /// The jobs that are due by `now`, since a time if one is given.
    fn due_slots(&self, since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> impl Iterator<Item = Slot> {
        self.due_between(since, now).map(|uid| self.slot(uid).expect("the index of due jobs names jobs"))
    }

    /// When the node should claim again, if it has taken all that is due.
    fn next_due(&self, claim: &Claim, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut reader = Reader::new(claim);
        let mut can_take = |uid: &Uid| {
            let entry = self.entry(self.slot(*uid).expect("the indexes name jobs"));
            is_claimable(entry) && reader.can_run(entry.shape())
        };
        let is_unheld = |uid: &Uid| {
            let entry = self.entry(self.slot(*uid).expect("the indexes name jobs"));
            entry
                .expanded()
                .is_none_or(|expanded| expanded.head.claim.as_ref().is_none_or(|held| held.owner == claim.owner))
        };
        let next = self.due_after(now).find(|(_, uid)| is_unheld(uid) && can_take(uid)).map(|(due, _)| due);
        let others = self.claims.iter().filter(|(id, _)| **id != claim.owner);
        let claims = others.filter_map(|(_, claims)| claims.iter().find(|(_, uid)| can_take(uid)));
        let claim_end = claims.map(|(until, _)| *until).min();
        let leases = self.nodes.iter().filter(|(id, _)| **id != claim.owner && self.running.is_any_of(id));
        let lease_end = leases.map(|(_, node)| node.lease_until.unwrap_or(now)).min();
        earlier(next, earlier(claim_end, lease_end))
    }
}

/// Whether the claiming node can run a job, by its task and version.
struct Reader<'a> {
    claim: &'a Claim,
    /// The last answer; jobs of one task share their shape, which spares the search by name.
    last: Option<(*const Shape, bool)>,
}

impl<'a> Reader<'a> {
    fn new(claim: &'a Claim) -> Self {
        Self { claim, last: None }
    }

    fn can_run(&mut self, shape: &Shape) -> bool {
        match self.last {
            Some((last, answer)) if std::ptr::eq(last, shape) => answer,
            _ => {
                let answer = shape.v <= self.claim.max_v && self.claim.tasks.contains(&shape.task);
                self.last = Some((std::ptr::from_ref(shape), answer));
                answer
            }
        }
    }
}

fn is_claimable(entry: &Entry) -> bool {
    entry.expanded().is_none_or(|expanded| !matches!(expanded.head.state, JobState::Quarantined(_)))
}

fn is_free(entry: &Entry, claim: &Claim, now: DateTime<Utc>) -> bool {
    entry.expanded().is_none_or(|expanded| expanded.head.is_free(claim, now))
}

fn claimed(entry: &Entry) -> ClaimedJob {
    ClaimedJob::new(entry.row(), entry.expanded().into_iter().flat_map(|expanded| expanded.runs.open()))
}
