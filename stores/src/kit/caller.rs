//! The node that makes a call, and its lease.

use std::time::Duration;

use scheduler_core::{
    NodeId,
    store::{Hold, StoreError},
};

use super::{
    backend::{HoldKind, Node},
    change::{Call, ROUNDS},
    rules::lease_end,
};

/// The node that makes a call.
///
/// Its row is written before any job that it holds something of, so that what it holds is found when it dies.
pub(super) struct Caller<'a> {
    call: Call<'a>,
    owner: &'a NodeId,
    /// As the database had it last.
    node: Option<Node>,
    /// Whether the row has shown during this call that another node had taken the lease.
    was_taken_over: bool,
}

/// A claim that was overtaken by a later one of its node.
#[derive(Debug)]
pub(super) struct Overtaken;

impl<'a> Caller<'a> {
    pub(super) fn new(call: Call<'a>, owner: &'a NodeId, node: Option<Node>) -> Self {
        let was_taken_over = node.as_ref().is_some_and(is_taken_over);
        Self { call, owner, node, was_taken_over }
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
        if self.was_taken_over || self.node.is_none() && !self.holds(HoldKind::Run).await? {
            return Ok(Hold::Lost);
        }
        let until = lease_end(self.call.now, lease);
        let holding = |node: &Node| {
            (!is_taken_over(node)).then(|| Node { lease_until: node.lease_until.max(Some(until)), ..node.clone() })
        };
        Ok(self.write(holding).await?.map_or(Hold::Lost, |()| Hold::Kept))
    }

    /// Whether the node holds anything in this way.
    pub(super) async fn holds(&self, hold: HoldKind) -> Result<bool, StoreError> {
        self.call.session.holds(self.owner, hold).await
    }

    /// Deletes the node, which holds nothing any more.
    pub(super) async fn leave(&mut self) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            let Some(node) = self.node.take() else { return Ok(()) };
            if self.call.session.remove_node(&node).await? {
                return Ok(());
            }
            self.load().await?;
        }
        Err(self.call.contended(&format!("node `{}`", self.owner)))
    }

    /// Writes what a change makes of the node, unless that is nothing new. None if the change refuses.
    async fn write(&mut self, change: impl Fn(&Node) -> Option<Node> + Send) -> Result<Option<()>, StoreError> {
        for _ in 0..ROUNDS {
            let known = self.node.clone().unwrap_or_else(|| Node::unknown(self.owner));
            let Some(node) = change(&known) else { return Ok(None) };
            if node == known {
                return Ok(Some(()));
            }
            self.node = self.call.session.put_node(&node).await?;
            if self.node.is_some() {
                return Ok(Some(()));
            }
            self.load().await?;
        }
        Err(self.call.contended(&format!("node `{}`", self.owner)))
    }

    async fn load(&mut self) -> Result<(), StoreError> {
        self.node = self.call.session.node(self.owner).await?;
        self.was_taken_over |= self.node.as_ref().is_some_and(is_taken_over);
        Ok(())
    }
}

fn is_taken_over(node: &Node) -> bool {
    node.version > 0 && node.lease_until.is_none()
}
