//! Jobs as documents: what the stores share whose databases write one document atomically.
//!
//! A database implements [`Shelf`]; [`DocumentStore`] makes the verbs of the port from that. A verb reads documents, lets
//! the steps of [`head`](crate::head) change them, and writes each if nobody has written it in between; otherwise it
//! starts anew with that one. Whatever a process does last before it dies, others can go on from there:
//!
//! - What a node holds is found when it dies, since its row, with a lease, is written before the document.
//! - Who takes over a node first takes its lease, which tells it and all others, then its runs, then its row.
//! - A run that ends stays in the document until the next write, which files it first; so no crash loses it.
//! - A job that goes is over first, then loses its files, then its document. Whoever meets one that is over does the rest.

mod adopt;
mod caller;
mod change;
#[cfg(test)]
mod chaos;
mod claim;
mod document;
#[cfg(test)]
mod drawer;
mod listing;
mod sheet;
mod shelf;
#[cfg(test)]
mod tests;
mod verbs;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use scheduler_core::{
    JobId, JobRow, JobStore, Listed, NodeId, Run, RunId,
    store::{
        Cancelled, Changed, Claim, Claimed, Inserted, JobQuery, Record, Recorded, Removed, RemovedAll, RunQuery,
        Settle, Settled, Stamped, StoreError, StoreLimits, Turn, TurnReply, Update, Updated,
    },
};

#[cfg(any(feature = "etcd", feature = "zookeeper"))]
pub(crate) use self::document::text;
#[cfg(any(feature = "mongodb", feature = "etcd", feature = "zookeeper"))]
pub(crate) use self::shelf::Index;
use self::{adopt::Nodes, caller::Caller, change::Call};
pub(crate) use self::{
    document::{node_fields, node_of, run_fields, run_of},
    shelf::{Added, Document, HoldKind, Node, Replace, Shelf},
};

/// Jobs on a shelf of documents. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct DocumentStore {
    shelf: Arc<dyn Shelf>,
}

impl DocumentStore {
    pub(crate) fn new(shelf: impl Shelf) -> Self {
        Self { shelf: Arc::new(shelf) }
    }

    /// Begins a call of a node.
    async fn begin<'a>(&'a self, at: DateTime<Utc>, owner: &'a NodeId) -> Result<Caller<'a>, StoreError> {
        let shelf = &*self.shelf;
        let (call, node) = try_join(Call::begin(shelf, at), shelf.node(owner)).await?;
        Ok(Caller::new(call, owner, node))
    }

    /// Begins a verb of a turn, or goes on with what an earlier one of it knows.
    async fn go_on<'c, 'a>(
        &'a self,
        caller: &'c mut Option<Caller<'a>>,
        at: DateTime<Utc>,
        owner: &'a NodeId,
    ) -> Result<&'c mut Caller<'a>, StoreError> {
        match caller.take().filter(|caller| caller.owner() == owner) {
            Some(known) => Ok(caller.insert(known)),
            None => Ok(caller.insert(self.begin(at, owner).await?)),
        }
    }
}

#[async_trait]
impl JobStore for DocumentStore {
    fn limits(&self) -> StoreLimits {
        self.shelf.limits()
    }

    async fn insert(&self, at: DateTime<Utc>, jobs: &[JobRow]) -> Result<Stamped<Vec<Inserted>>, StoreError> {
        verbs::insert(&*self.shelf, at, jobs).await
    }

    async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
        verbs::update(&*self.shelf, at, update).await
    }

    async fn cancel(&self, at: DateTime<Utc>, job: &JobId, run: RunId) -> Result<Stamped<Cancelled>, StoreError> {
        verbs::cancel(&*self.shelf, at, job, run).await
    }

    async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
        verbs::remove(&*self.shelf, at, ids).await
    }

    async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
        verbs::remove_all(&*self.shelf, at).await
    }

    async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
        listing::job(&*self.shelf, id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
        listing::jobs(&*self.shelf, query).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        listing::runs(&*self.shelf, query).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let (call, mut nodes) = try_join(Call::begin(&*self.shelf, claim.at), Nodes::load(&*self.shelf)).await?;
        let mut caller = Caller::new(call, &claim.owner, nodes.node(&claim.owner));
        claim::claim(&mut caller, &mut nodes, claim).await
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        verbs::settle(&mut self.begin(settle.at, &settle.owner).await?, settle).await
    }

    async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
        verbs::record(&mut self.begin(record.at, &record.owner).await?, record).await
    }

    async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
        verbs::release(&mut self.begin(at, owner).await?).await
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        self.shelf.changed(seen).await
    }

    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        let (mut caller, mut reply) = (None, TurnReply::default());
        if let Some(record) = &turn.record {
            let caller = self.go_on(&mut caller, record.at, &record.owner).await?;
            reply.record = Some(verbs::record(caller, record).await?);
        }
        if let Some(settle) = &turn.settle {
            let caller = self.go_on(&mut caller, settle.at, &settle.owner).await?;
            reply.settle = Some(verbs::settle(caller, settle).await?);
        }
        if let Some(claim) = &turn.claim {
            let mut nodes = Nodes::load(&*self.shelf).await?;
            let caller = self.go_on(&mut caller, claim.at, &claim.owner).await?;
            reply.claim = Some(claim::claim(caller, &mut nodes, claim).await?);
        }
        Ok(reply)
    }
}

/// Makes a job store of a type that has a [`DocumentStore`] in its field `documents`.
macro_rules! job_store {
    ($store:ty) => {
        const _: () = {
            use chrono::{DateTime, Utc};
            use scheduler_core::{JobId, JobRow, JobStore, Listed, NodeId, Run, RunId, store::*};

            #[async_trait::async_trait]
            impl JobStore for $store {
                fn limits(&self) -> StoreLimits {
                    self.documents.limits()
                }

                async fn insert(
                    &self,
                    at: DateTime<Utc>,
                    jobs: &[JobRow],
                ) -> Result<Stamped<Vec<Inserted>>, StoreError> {
                    self.documents.insert(at, jobs).await
                }

                async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
                    self.documents.update(at, update).await
                }

                async fn cancel(
                    &self,
                    at: DateTime<Utc>,
                    job: &JobId,
                    run: RunId,
                ) -> Result<Stamped<Cancelled>, StoreError> {
                    self.documents.cancel(at, job, run).await
                }

                async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
                    self.documents.remove(at, ids).await
                }

                async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
                    self.documents.remove_all(at).await
                }

                async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
                    self.documents.job(id).await
                }

                async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
                    self.documents.jobs(query).await
                }

                async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
                    self.documents.runs(query).await
                }

                async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
                    self.documents.claim(claim).await
                }

                async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
                    self.documents.settle(settle).await
                }

                async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
                    self.documents.record(record).await
                }

                async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
                    self.documents.release(at, owner).await
                }

                async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
                    self.documents.changed(seen).await
                }

                async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
                    self.documents.turn(turn).await
                }
            }
        };
    };
}
pub(crate) use job_store;
