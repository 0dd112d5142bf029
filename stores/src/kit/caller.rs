//! The node that makes a call, and its lease.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{future::try_join, lock::MutexGuard};
use scheduler_core::{
    NodeId,
    store::{Claim, Hold, StoreError},
};

use super::{
    backend::{HoldKind, Node},
    change::{Call, ROUNDS},
    job::LoadedJob,
    rules::lease_end,
};

/// The node that makes a call.
///
/// Its row is written before any job that it holds something of, so that what it holds is found when it dies. In a transaction the
/// row comes last, since it is locked from then on, and calls of one node that are about different jobs need not wait for each other.
pub(super) struct Caller<'a> {
    call: Call<'a>,
    owner: &'a NodeId,
    /// As the database had it last.
    node: Option<Node>,
    /// Whether the row can be changed as it is known: a transaction has to lock it before.
    is_locked: bool,
    /// Whether the row has shown during this call that another node had taken the lease.
    was_taken_over: bool,
    /// The number of the claim that the next write of the row is to name.
    claim: Option<u64>,
    /// What the node says of itself, if this call knows.
    info: Option<Arc<str>>,
}

/// A claim that was overtaken by a later one of its node.
#[derive(Debug)]
pub(super) struct Overtaken;

impl<'a> Caller<'a> {
    /// The node as it was read, which is not locked. In a transaction it need not be read at all: what depends on it
    /// [locks](Self::lock) it.
    pub(super) fn new(call: Call<'a>, owner: &'a NodeId, node: Option<Node>) -> Self {
        let was_taken_over = node.as_ref().is_some_and(is_taken_over);
        Self { call, owner, node, is_locked: !call.session.is_transaction(), was_taken_over, claim: None, info: None }
    }

    /// Locks the row until the end of the transaction.
    pub(super) async fn lock(&mut self) -> Result<(), StoreError> {
        if !self.is_locked {
            let was_known = self.node.is_some();
            self.load().await?;
            // A node that has taken this one over has deleted its row since it was read.
            self.was_taken_over |= was_known && self.node.is_none();
            self.is_locked = true;
        }
        Ok(())
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
        self.write(|node| renewed(node, until, None)).await.map(drop)
    }

    /// As [`renew`](Self::renew), and then writes jobs and says of each whether it was written. None if the claim that was
    /// begun is overtaken; nothing is written then.
    pub(super) async fn renew_and_write(
        &mut self,
        lease: Duration,
        jobs: &[&LoadedJob],
    ) -> Result<Option<Vec<bool>>, StoreError> {
        let (Call { session, now, .. }, until) = (self.call, lease_end(self.call.now, lease));
        if !self.is_locked {
            self.call.archive(jobs).await?;
            let written = session.write(jobs, now).await?;
            self.renew(lease).await?;
            return Ok(Some(written));
        }
        let mut row = self.row().await;
        for _ in 0..ROUNDS {
            let known = self.node.clone().unwrap_or_else(|| self.new_node());
            let Some(node) = renewed(&known, until, self.claim) else { return Ok(None) };
            if node == known {
                drop(row);
                self.call.archive(jobs).await?;
                return session.write(jobs, now).await.map(Some);
            }
            let put = match session.archive() {
                None => session.put_node_and_write(&node, jobs, now).await?,
                Some(_) => match try_join(session.put_node(&node), self.call.archive(jobs)).await?.0 {
                    Some(node) => Some((node, session.write(jobs, now).await?)),
                    None => None,
                },
            };
            if let Some((node, written)) = put {
                self.claim = None;
                self.note(node, &mut row);
                return Ok(Some(written));
            }
            self.load().await?;
        }
        Err(self.call.contended(&format!("node `{}`", self.owner)))
    }

    /// Writes jobs and says of each whether it was written; together with what [`hold`](Self::hold) writes next, if that is one call
    /// for the database and others have not taken what the node holds.
    pub(super) async fn hold_and_write(
        &mut self,
        lease: Duration,
        jobs: &[&LoadedJob],
    ) -> Result<Vec<bool>, StoreError> {
        let Call { session, now, .. } = self.call;
        if session.archive().is_none() && self.is_locked && !self.was_taken_over {
            let mut row = self.row().await;
            let known = self.node.as_ref();
            let node = known.and_then(|known| renewed(known, lease_end(now, lease), None));
            if let Some(node) = node.filter(|node| Some(node) != known) {
                if let Some((node, written)) = session.put_node_and_write(&node, jobs, now).await? {
                    self.note(node, &mut row);
                    return Ok(written);
                }
                self.load().await?;
            }
        }
        self.call.archive(jobs).await?;
        session.write(jobs, now).await
    }

    /// Lets the next renewal be one for a claim, after which an earlier one takes nothing.
    pub(super) fn begin_claim(&mut self, claim: &Claim) {
        self.claim = Some(claim.seq);
        if self.node.is_none() && !claim.info.is_empty() {
            // It has a JSON form, being texts.
            self.info = serde_json::to_string(&*claim.info).ok().map(Arc::from);
        }
    }

    /// The node that is to be written if it has no row.
    fn new_node(&self) -> Node {
        Node { info: self.info.clone(), ..Node::unknown(self.owner) }
    }

    /// Renews for the claim that was begun, unless a write has done that.
    pub(super) async fn end_claim(&mut self, lease: Duration) -> Result<Result<(), Overtaken>, StoreError> {
        let Some(seq) = self.claim.take() else { return Ok(Ok(())) };
        let until = lease_end(self.call.now, lease);
        Ok(self.write(|node| renewed(node, until, Some(seq))).await?.ok_or(Overtaken))
    }

    /// Whether the node's runs are still its own; if they are, its lease is renewed.
    pub(super) async fn hold(&mut self, lease: Duration) -> Result<Hold, StoreError> {
        self.lock().await?;
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

    /// Deletes the node, which holds nothing any more, and says whether it was there.
    pub(super) async fn leave(&mut self) -> Result<bool, StoreError> {
        self.lock().await?;
        if let Some(mut row) = self.row().await {
            *row = None;
        }
        let is_there = self.node.is_some();
        for _ in 0..ROUNDS {
            let Some(node) = self.node.take() else { return Ok(is_there) };
            if self.call.session.remove_node(&node).await? {
                return Ok(true);
            }
            self.load().await?;
        }
        Err(self.call.contended(&format!("node `{}`", self.owner)))
    }

    /// Writes what a change makes of the node, unless that is nothing new. None if the change refuses.
    async fn write(&mut self, change: impl Fn(&Node) -> Option<Node> + Send) -> Result<Option<()>, StoreError> {
        self.lock().await?;
        let mut row = self.row().await;
        for _ in 0..ROUNDS {
            let known = self.node.clone().unwrap_or_else(|| self.new_node());
            let Some(node) = change(&known) else { return Ok(None) };
            if node == known {
                return Ok(Some(()));
            }
            if let Some(node) = self.call.session.put_node(&node).await? {
                self.note(node, &mut row);
                return Ok(Some(()));
            }
            self.load().await?;
        }
        Err(self.call.contended(&format!("node `{}`", self.owner)))
    }

    /// Waits until no other call of this store writes the row, and takes it to be as the last of them has left it. If it is not, the
    /// write fails, and the row is loaded. None in a transaction, which locks the row.
    async fn row(&mut self) -> Option<MutexGuard<'a, Option<Node>>> {
        let row = self.call.recent?.row.lock().await;
        let is_alive = self.node.as_ref().is_some_and(|node| !is_taken_over(node));
        if let Some(last) = row.as_ref().filter(|last| is_alive && last.id == *self.owner) {
            self.node = Some(last.clone());
        }
        Some(row)
    }

    /// The row is as this call has written it.
    fn note(&mut self, node: Node, row: &mut Option<MutexGuard<'_, Option<Node>>>) {
        if let Some(row) = row {
            **row = Some(node.clone());
        }
        self.node = Some(node);
    }

    async fn load(&mut self) -> Result<(), StoreError> {
        self.node = self.call.session.lock_own_node(self.owner).await?;
        self.was_taken_over |= self.node.as_ref().is_some_and(is_taken_over);
        Ok(())
    }
}

/// A node with a lease that lasts until then at least, for a claim if that is its latest one.
fn renewed(node: &Node, until: DateTime<Utc>, claim: Option<u64>) -> Option<Node> {
    let is_overtaken = claim.is_some_and(|seq| node.version > 0 && seq <= node.last_claim_seq);
    let (lease_until, last_claim_seq) = (node.lease_until.max(Some(until)), claim.unwrap_or(node.last_claim_seq));
    (!is_overtaken).then(|| Node { lease_until, last_claim_seq, ..node.clone() })
}

fn is_taken_over(node: &Node) -> bool {
    node.version > 0 && node.lease_until.is_none()
}
