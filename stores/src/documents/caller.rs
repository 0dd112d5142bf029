//! The node that makes a call, and its lease.

use std::time::Duration;

use futures_util::future::try_join;
use scheduler_core::{
    NodeId,
    store::{Hold, StoreError},
};

use super::{
    change::{Call, ROUNDS},
    shelf::{HoldKind, Node},
};
use crate::head::lease_end;

/// The node that makes a call.
///
/// Its row is written before any document that it holds something of, so that what it holds is found when it dies.
pub(super) struct Caller<'a> {
    call: Call<'a>,
    owner: &'a NodeId,
    /// As the database had it last.
    node: Option<Node>,
}

/// A claim that was overtaken by a later one of its node.
#[derive(Debug)]
pub(super) struct Overtaken;

impl<'a> Caller<'a> {
    pub(super) fn new(call: Call<'a>, owner: &'a NodeId, node: Option<Node>) -> Self {
        Self { call, owner, node }
    }

    pub(super) fn call(&self) -> Call<'a> {
        self.call
    }

    pub(super) fn owner(&self) -> &'a NodeId {
        self.owner
    }

    pub(super) fn is_known(&self) -> bool {
        self.node.is_some()
    }

    /// Whether the node has sent this claim or a later one before.
    pub(super) fn is_overtaken(&self, seq: u64) -> bool {
        self.node.as_ref().is_some_and(|node| seq <= node.last_claim_seq)
    }

    /// Makes the node's lease last that long at least.
    pub(super) async fn renew(&mut self, lease: Duration) -> Result<(), StoreError> {
        let until = lease_end(self.call.now, lease);
        let renewed = |node: &Node| Some(Node { lease_until: node.lease_until.max(Some(until)), ..node.clone() });
        self.write(renewed).await.map(drop)
    }

    /// As [`renew`](Self::renew), for a claim, after which an earlier one takes nothing.
    pub(super) async fn renew_for_claim(
        &mut self,
        lease: Duration,
        seq: u64,
    ) -> Result<Result<(), Overtaken>, StoreError> {
        let until = lease_end(self.call.now, lease);
        let claiming = |node: &Node| {
            let is_first = node.version == 0 || seq > node.last_claim_seq;
            let lease_until = node.lease_until.max(Some(until));
            is_first.then(|| Node { lease_until, last_claim_seq: seq, ..node.clone() })
        };
        Ok(self.write(claiming).await?.ok_or(Overtaken))
    }

    /// Whether the node's runs are still its own; if they are, its lease is renewed.
    pub(super) async fn hold(&mut self, lease: Duration) -> Result<Hold, StoreError> {
        if self.node.is_none() && !self.holds(HoldKind::Run).await? {
            return Ok(Hold::Lost);
        }
        let until = lease_end(self.call.now, lease);
        let holding = |node: &Node| {
            let is_taken_over = node.version > 0 && node.lease_until.is_none();
            (!is_taken_over).then(|| Node { lease_until: node.lease_until.max(Some(until)), ..node.clone() })
        };
        Ok(self.write(holding).await?.map_or(Hold::Lost, |()| Hold::Kept))
    }

    /// Whether the node holds anything in this way.
    pub(super) async fn holds(&self, hold: HoldKind) -> Result<bool, StoreError> {
        Ok(!self.call.shelf.held_by(self.owner, hold, 1).await?.is_empty())
    }

    /// Whether the node holds anything that its lease covers.
    pub(super) async fn holds_anything(&self) -> Result<bool, StoreError> {
        let (claims, runs) = try_join(self.holds(HoldKind::Claim), self.holds(HoldKind::Run)).await?;
        Ok(claims || runs)
    }

    /// Deletes the node, which holds nothing any more.
    pub(super) async fn leave(&mut self) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            let Some(node) = self.node.take() else { return Ok(()) };
            if self.call.shelf.remove_node(&node).await? {
                return Ok(());
            }
            self.node = self.call.shelf.node(self.owner).await?;
        }
        Err(self.call.crowded(&format!("node `{}`", self.owner)))
    }

    /// Writes what a change makes of the node, unless that is nothing new. None if the change refuses.
    async fn write(&mut self, change: impl Fn(&Node) -> Option<Node> + Send) -> Result<Option<()>, StoreError> {
        for _ in 0..ROUNDS {
            let unknown = || Node { id: self.owner.clone(), lease_until: None, last_claim_seq: 0, version: 0 };
            let known = self.node.clone().unwrap_or_else(unknown);
            let Some(node) = change(&known) else { return Ok(None) };
            if node == known {
                return Ok(Some(()));
            }
            self.node = self.call.shelf.put_node(&node).await?;
            if self.node.is_some() {
                return Ok(Some(()));
            }
            self.node = self.call.shelf.node(self.owner).await?;
        }
        Err(self.call.crowded(&format!("node `{}`", self.owner)))
    }
}
