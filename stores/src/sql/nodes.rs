//! Nodes: their leases, and what becomes of what they hold.
//!
//! A lease is renewed, and taken, only by who has the node's row locked, so that the two cannot cross.

use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_core::{
    NodeId, Run, RunId, RunState, Wait,
    store::{Claim, Hold, StoreError},
};

use super::{
    Statement, Transaction,
    batch::{Batch, Lock},
    node_name, number, query, text, time,
};
use crate::{
    kit::columns::decode_run,
    kit::rules::{Runs, lease_end},
};

/// A node's row.
pub(super) struct Node {
    /// None once another node has begun to take it over.
    pub(super) lease_until: Option<DateTime<Utc>>,
    pub(super) last_claim_seq: u64,
}

/// What has been taken from a node.
pub(super) struct Taken {
    pub(super) runs: usize,
    /// Whether it runs something yet, as beyond a limit.
    pub(super) are_runs_left: bool,
}

/// The row of a node, which nobody else changes from now on.
pub(super) async fn node(tx: &mut impl Transaction, id: &NodeId) -> Result<Option<Node>, StoreError> {
    let row = tx.first(query(&tx.sql().node).node(id)).await?;
    Ok(row.map(|row| Node { lease_until: time(&row, 0), last_claim_seq: number(&row, 1) }))
}

/// Takes over the runs of nodes whose lease has passed, up to a limit and if the claim is to, and says whether some are
/// left.
pub(super) async fn adopt(tx: &mut impl Transaction, claim: &Claim, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let Some(lapsed_by) = claim.lapsed_by(now) else {
        return Ok(false);
    };
    let lapsed = tx.all(query(&tx.sql().lapsed).node(&claim.owner).time(Some(lapsed_by))).await?;
    let mut free = claim.limit;
    for row in &lapsed {
        let id = node_name::read(text(row, 0));
        let taken = take_from_node(tx, &id, Wait::Orphan, Lock::Free, free, now).await?;
        free -= taken.runs;
        if !taken.are_runs_left {
            tx.run(query(&tx.sql().delete_node).node(&id)).await?;
        } else {
            if taken.runs > 0 {
                tx.run(query(&tx.sql().take_node).node(&id)).await?;
            }
            return Ok(true);
        }
    }
    Ok(false)
}

/// Lets the running runs of a node wait for another one, up to a limit.
pub(super) async fn take_from_node(
    tx: &mut impl Transaction,
    node: &NodeId,
    wait: Wait,
    lock: Lock,
    limit: usize,
    now: DateTime<Utc>,
) -> Result<Taken, StoreError> {
    let rows = tx.all(running(tx, node, limit.saturating_add(1))).await?;
    let found: Vec<RunId> = rows.iter().filter_map(|row| decode_run(row).ok()).map(|run| run.id).collect();
    let wanted = &found[..found.len().min(limit)];
    let mut batch = Batch::of(tx, wanted.iter().map(|run| run.uid), lock).await?;
    let mut runs = 0;
    for id in wanted {
        let Some(job) = batch.job(id.uid) else { continue };
        job.step(|head, book| {
            // It may have ended before the job was locked.
            let is_its = |run: &&Run| run.state == RunState::Running && run.owner.as_ref() == Some(node);
            if let Some(run) = book.run(id.seq).filter(is_its).cloned() {
                head.take_from_node(book, run, wait, now);
                runs += 1;
            }
        });
    }
    batch.write(tx).await?;
    let are_runs_left = runs < found.len() && has_runs(tx, node).await?;
    Ok(Taken { runs, are_runs_left })
}

/// Renews the lease of a node that holds something.
pub(super) async fn renew(
    tx: &mut impl Transaction,
    owner: &NodeId,
    now: DateTime<Utc>,
    lease: Duration,
) -> Result<(), StoreError> {
    let until = lease_end(now, lease);
    tx.run(query(&tx.sql().renew_node).node(owner).time(Some(until))).await?;
    Ok(())
}

/// Whether a node's runs are still its own; if they are, its lease is renewed.
pub(super) async fn hold(
    tx: &mut impl Transaction,
    owner: &NodeId,
    now: DateTime<Utc>,
    lease: Duration,
) -> Result<Hold, StoreError> {
    let is_lost = match node(tx, owner).await? {
        Some(node) => node.lease_until.is_none(),
        None => !has_runs(tx, owner).await?,
    };
    if is_lost {
        return Ok(Hold::Lost);
    }
    renew(tx, owner, now, lease).await?;
    Ok(Hold::Kept)
}

/// Whether a node runs anything.
async fn has_runs(tx: &mut impl Transaction, node: &NodeId) -> Result<bool, StoreError> {
    Ok(tx.first(running(tx, node, 1)).await?.is_some())
}

fn running(tx: &impl Transaction, node: &NodeId, limit: usize) -> Statement {
    query(&tx.sql().running).node(node).count(limit)
}
