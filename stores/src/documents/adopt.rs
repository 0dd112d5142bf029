//! Taking over what dead nodes ran.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use scheduler_core::{
    NodeId, Wait,
    store::{Claim, StoreError},
};

use super::{
    change::{Call, ROUNDS},
    sheet::Sheet,
    shelf::{HoldKind, Node, Shelf},
    verbs::take_from_node,
};

/// The nodes as a claim finds them.
#[derive(Debug)]
pub(super) struct Nodes {
    all: BTreeMap<NodeId, Node>,
    /// Those that run something. One of them that is not in the database was taken over while its call was on the way.
    running: BTreeSet<NodeId>,
}

/// Whether runs of a node are left that the limit spared.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    All,
    Some,
}

impl Nodes {
    pub(super) async fn load(shelf: &dyn Shelf) -> Result<Self, StoreError> {
        let (all, running) = try_join(shelf.nodes(), shelf.running_nodes()).await?;
        Ok(Self { all: all.into_iter().map(|node| (node.id.clone(), node)).collect(), running })
    }

    /// One node.
    pub(super) fn node(&self, id: &NodeId) -> Option<Node> {
        self.all.get(id).cloned()
    }

    /// The earliest end of another node's lease that covers runs.
    pub(super) fn next_lease_end(&self, owner: &NodeId, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let others = self.running.iter().filter(|id| *id != owner);
        others.map(|id| self.all.get(id).and_then(|node| node.lease_until).unwrap_or(now)).min()
    }

    /// Takes over the runs of nodes whose lease has passed, up to a limit and if the claim is to, and says whether some are
    /// left.
    pub(super) async fn adopt(&mut self, call: Call<'_>, claim: &Claim) -> Result<bool, StoreError> {
        let Some(lapsed_by) = claim.lapsed_by(call.now) else {
            return Ok(false);
        };
        let is_lapsed = |node: &Node| node.lease_until.is_none_or(|until| until <= lapsed_by);
        let known = self.all.values().filter(|node| is_lapsed(node)).map(|node| node.id.clone());
        let stray = self.running.iter().filter(|id| !self.all.contains_key(*id)).cloned();
        let mut lapsed: BTreeSet<NodeId> = known.chain(stray).collect();
        lapsed.remove(&claim.owner);
        let mut free = claim.limit;
        for id in lapsed {
            let mut node = self.node(&id);
            if self.running.contains(&id) {
                if free == 0 {
                    return Ok(true);
                }
                node = take_lease(call, &id, node).await?;
                let Some(node) = &node else {
                    self.look_again(call, id).await?;
                    continue;
                };
                if take_runs(call, node, &mut free).await? == Taken::Some {
                    return Ok(true);
                }
            }
            if let Some(node) = node
                && !call.shelf.remove_node(&node).await?
            {
                self.look_again(call, id).await?;
                continue;
            }
            self.all.remove(&id);
            self.running.remove(&id);
        }
        Ok(false)
    }

    /// A node has shown life in the meantime.
    async fn look_again(&mut self, call: Call<'_>, id: NodeId) -> Result<(), StoreError> {
        match call.shelf.node(&id).await? {
            Some(node) => self.all.insert(id, node),
            None => self.all.remove(&id),
        };
        Ok(())
    }
}

/// Takes the lease of a node, after which it learns that it has been taken over. None if it has shown life.
async fn take_lease(call: Call<'_>, id: &NodeId, node: Option<Node>) -> Result<Option<Node>, StoreError> {
    match node {
        Some(node) if node.lease_until.is_none() => Ok(Some(node)),
        Some(node) => call.shelf.put_node(&Node { lease_until: None, ..node }).await,
        None => {
            let node = Node { id: id.clone(), lease_until: None, last_claim_seq: 0, version: 0 };
            call.shelf.put_node(&node).await
        }
    }
}

/// Takes over the runs of a node, whose lease has been taken, up to a limit.
async fn take_runs(call: Call<'_>, node: &Node, free: &mut usize) -> Result<Taken, StoreError> {
    let mut losses = 0;
    while losses < ROUNDS {
        let documents = call.shelf.held_by(&node.id, HoldKind::Run, (*free).max(1)).await?;
        // What a claim of the node has started since then is not to be taken. The look comes after the documents were
        // read, so that none of them has such a run.
        if call.shelf.node(&node.id).await?.as_ref() != Some(node) {
            return Ok(Taken::All);
        }
        let mut sheets: Vec<Sheet> = documents.into_iter().map(Sheet::new).collect();
        sheets.retain(|sheet| sheet.book.running_on(&node.id).next().is_some());
        if sheets.is_empty() {
            return Ok(Taken::All);
        }
        if *free == 0 {
            return Ok(Taken::Some);
        }
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for sheet in &mut sheets {
            let count = take_from_node(sheet, &node.id, Wait::Orphan, *free, call.now);
            *free -= count;
            taken.insert(sheet.document().key.clone(), count);
        }
        let lost = call.write(sheets, &mut None).await?;
        losses = if lost.is_empty() { 0 } else { losses + 1 };
        *free += lost.iter().filter_map(|key| taken.get(key)).sum::<usize>();
    }
    Err(call.crowded(&format!("the runs of node `{}`", node.id)))
}
