//! Taking over what dead nodes ran.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use scheduler_core::{
    NodeId, Run, Wait,
    store::{Claim, StoreError},
};

use super::{
    backend::{Access, HoldKind, Node, Nodes, Session},
    change::{Call, ROUNDS},
    job::LoadedJob,
};

/// The nodes as a claim finds them.
#[derive(Debug)]
pub(super) struct KnownNodes {
    all: BTreeMap<NodeId, Node>,
    running: BTreeSet<NodeId>,
}

/// Whether runs of a node are left that the limit spared.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    All,
    Some,
}

impl KnownNodes {
    pub(super) async fn load(session: &dyn Session) -> Result<Self, StoreError> {
        let Nodes { known, running } = session.nodes().await?;
        Ok(Self { all: known.into_iter().map(|node| (node.id.clone(), node)).collect(), running })
    }

    /// Whether a node runs something.
    pub(super) fn is_running(&self, id: &NodeId) -> bool {
        self.running.contains(id)
    }

    /// The earliest end of another node's lease that covers runs.
    pub(super) fn next_lease_end(&self, owner: &NodeId, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let others = self.running.iter().filter(|id| *id != owner);
        others.map(|id| self.all.get(id).and_then(|node| node.lease_until).unwrap_or(now)).min()
    }

    /// Whether there may be something to take over.
    pub(super) fn are_some_lapsed(&self, claim: &Claim, now: DateTime<Utc>) -> bool {
        !self.lapsed(claim, now).is_empty()
    }

    /// The other nodes whose lease has passed, if the claim is to take over what they ran.
    fn lapsed(&self, claim: &Claim, now: DateTime<Utc>) -> BTreeSet<NodeId> {
        let Some(lapsed_by) = claim.lapsed_by(now) else { return BTreeSet::new() };
        let known = self.all.values().filter(|node| is_lapsed(node, lapsed_by)).map(|node| node.id.clone());
        let without_row = self.running.iter().filter(|id| !self.all.contains_key(*id)).cloned();
        let mut lapsed: BTreeSet<NodeId> = known.chain(without_row).collect();
        lapsed.remove(&claim.owner);
        lapsed
    }

    /// Takes over the runs of nodes whose lease has passed, up to a limit and if the claim is to, and says whether some are
    /// left.
    pub(super) async fn take_over(&mut self, call: Call<'_>, claim: &Claim) -> Result<bool, StoreError> {
        let Some(lapsed_by) = claim.lapsed_by(call.now) else {
            return Ok(false);
        };
        let mut free = claim.limit;
        for id in self.lapsed(claim, call.now) {
            let known = self.all.get(&id).cloned().unwrap_or_else(|| Node::unknown(&id));
            // Between the look at all nodes and this one the node may have shown life, or another one be at it.
            let Some(node) = call.session.lock_node(&known).await?.filter(|it| is_lapsed(it, lapsed_by)) else {
                continue;
            };
            let mut node = Some(node).filter(|node| node.version > 0);
            if self.running.contains(&id) {
                if free == 0 {
                    return Ok(true);
                }
                node = take_lease(call, &id, node).await?;
                let Some(node) = &node else {
                    self.load_again(call, id).await?;
                    continue;
                };
                if take_runs(call, node, &mut free).await? == Taken::Some {
                    return Ok(true);
                }
            }
            if let Some(node) = node
                && !call.session.remove_node(&node).await?
            {
                self.load_again(call, id).await?;
                continue;
            }
            self.all.remove(&id);
            self.running.remove(&id);
        }
        Ok(false)
    }

    /// The node has shown life in the meantime.
    async fn load_again(&mut self, call: Call<'_>, id: NodeId) -> Result<(), StoreError> {
        match call.session.node(&id).await? {
            Some(node) => self.all.insert(id, node),
            None => self.all.remove(&id),
        };
        Ok(())
    }
}

fn is_lapsed(node: &Node, by: DateTime<Utc>) -> bool {
    node.lease_until.is_none_or(|until| until <= by)
}

/// Takes the lease of a node, after which the node learns that it has been taken over. None if it has shown life.
async fn take_lease(call: Call<'_>, id: &NodeId, node: Option<Node>) -> Result<Option<Node>, StoreError> {
    match node {
        Some(node) if node.lease_until.is_none() => Ok(Some(node)),
        Some(node) => call.session.put_node(&Node { lease_until: None, ..node }).await,
        None => call.session.put_node(&Node::unknown(id)).await,
    }
}

/// Takes over the runs of a node, whose lease has been taken, up to a limit.
async fn take_runs(call: Call<'_>, node: &Node, free: &mut usize) -> Result<Taken, StoreError> {
    let mut losses = 0;
    while losses < ROUNDS {
        let limit = (*free).max(1);
        let mut jobs = call.session.held_by(&node.id, HoldKind::Run, limit, Access::ChangeUnlocked).await?;
        // What a claim of the node has started since then is not to be taken. The look comes after the jobs were read, so
        // that none of them has such a run.
        if call.session.node(&node.id).await?.as_ref() != Some(node) {
            return Ok(Taken::All);
        }
        if jobs.is_empty() {
            // Others may have locked the rest, which the next claim takes over.
            let are_some_left = call.session.holds(&node.id, HoldKind::Run).await?;
            return Ok(if are_some_left { Taken::Some } else { Taken::All });
        }
        jobs.retain(|job| job.runs().running_on(&node.id).next().is_some());
        if jobs.is_empty() {
            return Ok(Taken::All);
        }
        if *free == 0 {
            return Ok(Taken::Some);
        }
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for job in &mut jobs {
            let count = take_from_node(job, &node.id, Wait::Orphan, *free, call.now);
            *free -= count;
            taken.insert(job.key().to_owned(), count);
        }
        let lost = call.write(jobs, &mut None).await?;
        losses = if lost.is_empty() { 0 } else { losses + 1 };
        *free += lost.iter().filter_map(|key| taken.get(key)).sum::<usize>();
    }
    Err(call.contended(&format!("the runs of node `{}`", node.id)))
}

/// Lets the running runs of a node wait for another one, up to a limit, and says how many those were.
pub(super) fn take_from_node(
    job: &mut LoadedJob,
    node: &NodeId,
    wait: Wait,
    limit: usize,
    now: DateTime<Utc>,
) -> usize {
    let runs: Vec<Run> = job.runs().running_on(node).take(limit).cloned().collect();
    let taken = runs.len();
    for run in runs {
        job.apply(|head, runs| head.take_from_node(runs, run, wait, now));
    }
    taken
}
