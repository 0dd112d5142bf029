//! The collections as a transaction of the application's reaches them.
//!
//! A duplicate key would end the transaction, so that what is there is looked for before something is added. What another call
//! has changed since the transaction began ends it as well: the server says so, and the application runs the transaction again.

use std::{
    any::Any,
    collections::{BTreeSet, HashSet},
};

use ::mongodb::{
    ClientSession, Collection,
    bson::{Bson, Document as Bsons, doc},
    error::Error,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use scheduler_core::{
    JobId, NodeId, Run, RunId, Uid,
    store::{Claim, Declined, Hint, StoreError, StoreErrorKind},
};
use tokio::sync::Mutex;

use super::{backend::Collections, form, query};
use crate::{
    kit::{Access, Archive, Document, HoldKind, Inserting, LoadedJob, NewJob, Node, Nodes, Replace, Session},
    noted,
};

/// What a verb does in a transaction of the application's, which commits it or undoes it.
pub(super) struct Guest<'a> {
    collections: &'a Collections,
    session: Mutex<&'a mut ClientSession>,
    jobs: Collection<Bsons>,
    runs: Collection<Bsons>,
    meta: Collection<Bsons>,
}

impl<'a> Guest<'a> {
    pub(super) async fn begin(
        collections: &'a Collections,
        transaction: &'a mut (dyn Any + Send),
    ) -> Result<Self, StoreError> {
        let refuse = |why: &str| Err(collections.server.failures.with(StoreErrorKind::Incompatible, why));
        let Some(session) = transaction.downcast_mut::<ClientSession>() else {
            return refuse("the transaction is of another database; a `ClientSession` of MongoDB's client is needed");
        };
        // The driver tells only by refusing a second one.
        if session.start_transaction().await.is_ok() {
            session.abort_transaction().await.map_err(|error| collections.server.failures.of(error))?;
            return refuse("no transaction is open on the session; begin one with `start_transaction`, and commit it");
        }
        let database = session.client().database(collections.server.jobs.namespace().db.as_str());
        let collection = |own: &Collection<Bsons>| database.collection(own.name());
        let [jobs, runs, meta] =
            [&collections.server.jobs, &collections.server.runs, &collections.server.meta].map(collection);
        Ok(Self { collections, session: Mutex::new(session), jobs, runs, meta })
    }

    fn fail(&self, error: Error) -> StoreError {
        self.collections.server.failures.of(error)
    }

    async fn find(&self, collection: &Collection<Bsons>, query: Bsons) -> Result<Vec<Bsons>, StoreError> {
        let mut session = self.session.lock().await;
        let mut cursor = collection.find(query).session(&mut **session).await.map_err(|error| self.fail(error))?;
        let found = cursor.stream(&mut session).try_collect().await;
        found.map_err(|error| self.fail(error))
    }

    async fn find_jobs(&self, query: Bsons) -> Result<Vec<LoadedJob>, StoreError> {
        let found = self.find(&self.jobs, query).await?;
        Ok(LoadedJob::all(found.into_iter().filter_map(form::document_of)))
    }

    /// The texts of a field of the documents that are found.
    async fn texts(
        &self,
        collection: &Collection<Bsons>,
        query: Bsons,
        field: &str,
    ) -> Result<HashSet<String>, StoreError> {
        let found = self.find(collection, query).await?;
        Ok(found.iter().filter_map(|bsons| bsons.get_str(field).ok()).map(str::to_owned).collect())
    }

    async fn add(&self, collection: &Collection<Bsons>, documents: Vec<Bsons>) -> Result<(), StoreError> {
        if documents.is_empty() {
            return Ok(());
        }
        let mut session = self.session.lock().await;
        let added = collection.insert_many(documents).session(&mut **session).await;
        added.map(drop).map_err(|error| self.fail(error))
    }

    /// Writes a job, and says whether it was still as it was read.
    async fn replace(&self, replace: &Replace) -> Result<bool, StoreError> {
        let as_read = form::as_read(&replace.old);
        let mut session = self.session.lock().await;
        let found = match &replace.new {
            Some(new) => {
                let changes = form::changes(replace, new, self.collections.server.version());
                let updated = self.jobs.update_one(as_read, changes).session(&mut **session).await;
                updated.map(|updated| updated.matched_count)
            }
            None => {
                let deleted = self.jobs.delete_one(as_read).session(&mut **session).await;
                deleted.map(|deleted| deleted.deleted_count)
            }
        };
        found.map(|found| found == 1).map_err(|error| self.fail(error))
    }

    fn is_of_nodes<T>(&self) -> Result<T, StoreError> {
        let why = "what nodes do for themselves is done in no transaction of the application; this is a bug of scheduler-stores";
        Err(self.collections.server.failures.with(StoreErrorKind::Incompatible, why))
    }
}

#[async_trait]
impl Session for Guest<'_> {
    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        self.collections.now(at).await
    }

    async fn insert(&self, jobs: &[NewJob<'_>]) -> Result<Vec<Inserting>, StoreError> {
        let documents: Vec<Document> = jobs.iter().map(Document::inserted).collect();
        let keys: Vec<&str> = documents.iter().map(|it| it.key.as_str()).collect();
        let ids: Vec<&str> = jobs.iter().map(|job| job.row.id.as_str()).collect();
        let known = self.texts(&self.jobs, doc! { "_id": { "$in": keys } }, "_id").await?;
        let mut taken = self.texts(&self.jobs, doc! { "live_id": { "$in": ids } }, "live_id").await?;
        let mut outcomes = Vec::with_capacity(jobs.len());
        let mut added = Vec::new();
        for (job, document) in jobs.iter().zip(&documents) {
            outcomes.push(if known.contains(&document.key) {
                Inserting::UidIsTaken
            } else if !taken.insert(job.row.id.to_string()) {
                Inserting::IdIsTaken
            } else {
                added.push(form::added(document, self.collections.server.version()));
                Inserting::Done
            });
        }
        self.add(&self.jobs, added).await?;
        Ok(outcomes)
    }

    async fn by_key(&self, keys: &BTreeSet<String>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let mut ids: Vec<Bson> = keys.iter().map(|key| key.as_str().into()).collect();
        ids.extend(keys.iter().filter_map(|key| form::object_id(key)));
        self.find_jobs(doc! { "_id": { "$in": ids } }).await
    }

    async fn by_live_id(&self, ids: &BTreeSet<JobId>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
        self.find_jobs(doc! { "live_id": { "$in": ids } }).await
    }

    async fn list(&self, after: Option<&JobId>, limit: usize, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let mut found = self.find_jobs(query::after(after)).await?;
        found.sort_by(|a, b| a.id().cmp(b.id()));
        found.truncate(limit);
        Ok(found)
    }

    async fn write(&self, jobs: &[&LoadedJob], now: DateTime<Utc>) -> Result<Vec<bool>, StoreError> {
        let mut written = Vec::with_capacity(jobs.len());
        for replace in Replace::all(jobs, now) {
            written.push(self.replace(&replace).await?);
        }
        Ok(written)
    }

    async fn due(
        &self,
        _: &Claim,
        _: Option<DateTime<Utc>>,
        _: DateTime<Utc>,
        _: usize,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        self.is_of_nodes()
    }

    async fn next(&self, _: &Claim, _: DateTime<Utc>, _: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.is_of_nodes()
    }

    async fn expired(&self, _: DateTime<Utc>, _: usize) -> Result<Vec<LoadedJob>, StoreError> {
        self.is_of_nodes()
    }

    async fn declined(&self, _: &Claim, _: DateTime<Utc>, _: usize) -> Result<Vec<Declined>, StoreError> {
        self.is_of_nodes()
    }

    async fn held_by(&self, _: &NodeId, _: HoldKind, _: usize, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        self.is_of_nodes()
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        self.is_of_nodes()
    }

    async fn node(&self, _: &NodeId) -> Result<Option<Node>, StoreError> {
        self.is_of_nodes()
    }

    async fn put_node(&self, _: &Node) -> Result<Option<Node>, StoreError> {
        self.is_of_nodes()
    }

    async fn remove_node(&self, _: &Node) -> Result<bool, StoreError> {
        self.is_of_nodes()
    }

    async fn ended(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        let ids: Vec<String> =
            runs.iter().map(|(uid, seq)| form::archived_id(RunId { uid: *uid, seq: *seq })).collect();
        let found = self.find(&self.runs, doc! { "_id": { "$in": ids } }).await?;
        Ok(found.into_iter().filter_map(form::run_of_archived).collect())
    }

    async fn history(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError> {
        let found = self.find(&self.runs, doc! { "_id": form::archived_below(uid, before) }).await?;
        let mut runs: Vec<Run> = found.into_iter().filter_map(form::run_of_archived).collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.id.seq));
        runs.truncate(limit);
        Ok(runs)
    }

    fn archive(&self) -> Option<&dyn Archive> {
        Some(self)
    }

    /// In a document of its own: one that transactions share would end one of them.
    async fn announce(&self, _: &[Hint]) -> Result<(), StoreError> {
        self.add(&self.meta, vec![doc! { "_id": noted::new_key(), "value": 1_i64 }]).await
    }
}

#[async_trait]
impl Archive for Guest<'_> {
    async fn archive(&self, runs: &[Run]) -> Result<(), StoreError> {
        let ids: Vec<String> = runs.iter().map(|run| form::archived_id(run.id)).collect();
        let there = self.texts(&self.runs, doc! { "_id": { "$in": ids } }, "_id").await?;
        let new = runs.iter().filter(|run| !there.contains(&form::archived_id(run.id)));
        self.add(&self.runs, new.map(form::archived).collect()).await
    }

    async fn prune(&self, below: &[(Uid, u64)]) -> Result<(), StoreError> {
        for (uid, below) in below {
            let mut session = self.session.lock().await;
            let old = doc! { "_id": form::archived_below(*uid, *below) };
            let deleted = self.runs.delete_many(old).session(&mut **session).await;
            deleted.map(drop).map_err(|error| self.fail(error))?;
        }
        Ok(())
    }
}
