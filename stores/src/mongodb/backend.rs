//! The collections as a backend of the kit.

use std::{
    any::Any,
    collections::{BTreeSet, HashSet},
    fmt,
};

use ::mongodb::{
    bson::{Bson, DateTime as BsonTime, Document as Bsons, doc},
    error::ErrorKind,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use scheduler_core::{
    JobId, NodeId, Run, RunId, Uid,
    store::{Changed, Claim, Clock, Declined, Durability, Hint, StoreError, StoreErrorKind, StoreLimits, Wakes},
};

use super::{
    MongoDbOptions, form,
    guest::Guest,
    query,
    schema::{DUPLICATE, is_duplicate},
    server::{Page, Server, Writes},
    watch::{self, Watch},
};
use crate::kit::{
    Access, Archive, Backend, Document, HoldKind, Inserting, JobFinder, LoadedJob, NewJob, Node, Nodes, Replace,
    RunFinder, Session,
    rules::{earlier, whole_micros},
};

/// The collections of a store.
pub(super) struct Collections {
    pub(super) server: Server,
    pub(super) options: MongoDbOptions,
    /// None on a server without change streams.
    pub(super) watch: Option<Watch>,
}

impl Collections {
    /// The most jobs, moves or entries of one call: enough for a busy second, few enough for one command.
    const BATCH: usize = 1_000;

    async fn find(&self, query: Bsons, page: Page) -> Result<Vec<Document>, StoreError> {
        let found = self.server.find(&self.server.jobs, query, page).await?;
        Ok(found.into_iter().filter_map(form::document_of).collect())
    }

    /// The keys of those jobs that are there, with their versions.
    async fn versions(&self, keys: Vec<&str>) -> Result<HashSet<(String, i64)>, StoreError> {
        let ids: Vec<Bson> = keys.into_iter().map(Bson::from).collect();
        let page = Page { projection: Some(doc! { "version": 1 }), ..Page::default() };
        let found = self.server.find(&self.server.jobs, doc! { "_id": { "$in": ids } }, page).await?;
        let version = |bsons: &Bsons| bsons.get_i64("version").unwrap_or_default();
        Ok(found.iter().filter_map(|bsons| Some((form::key_of(bsons.get("_id")?)?, version(bsons)))).collect())
    }

    /// Writes the documents that stay.
    async fn update(&self, replacements: &[&Replace]) -> Result<HashSet<String>, StoreError> {
        let versions: Vec<i64> = replacements.iter().map(|_| self.server.version()).collect();
        let update = |(replace, version): (&&Replace, &i64)| {
            let new = replace.new.as_ref()?;
            Some(doc! { "q": form::as_read(&replace.old), "u": form::changes(replace, new, *version) })
        };
        let updates: Vec<Bsons> = replacements.iter().zip(&versions).filter_map(update).collect();
        let found = self.server.write(Writes::Update, &self.server.jobs, &updates).await?;
        let keys = replacements.iter().map(|replace| replace.old.key.clone());
        if found == updates.len() {
            return Ok(keys.collect());
        }
        // The reply does not say which; the documents do, by their versions.
        let there = self.versions(replacements.iter().map(|replace| replace.old.key.as_str()).collect()).await?;
        Ok(keys.zip(versions).filter(|write| there.contains(write)).map(|(key, _)| key).collect())
    }

    /// Deletes the documents that go.
    async fn delete(&self, replacements: &[&Replace]) -> Result<HashSet<String>, StoreError> {
        let delete = |replace: &&Replace| doc! { "q": form::as_read(&replace.old), "limit": 1 };
        let deletes: Vec<Bsons> = replacements.iter().map(delete).collect();
        let found = self.server.write(Writes::Delete, &self.server.jobs, &deletes).await?;
        let keys = replacements.iter().map(|replace| replace.old.key.clone());
        if found == deletes.len() {
            return Ok(keys.collect());
        }
        if found == 0 {
            return Ok(HashSet::new());
        }
        // What is not there any more has been deleted, if not by this call, then by another one at the same time.
        let there = self.versions(replacements.iter().map(|replace| replace.old.key.as_str()).collect()).await?;
        let there: HashSet<String> = there.into_iter().map(|(key, _)| key).collect();
        Ok(keys.filter(|key| !there.contains(key)).collect())
    }
}

impl fmt::Debug for Collections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collections")
            .field("place", &self.place())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for Collections {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(
            self.options.clock,
            if self.watch.is_some() { Wakes::Push } else { Wakes::Poll(self.options.poll) },
            Durability::Durable,
        )
        .with_payload(self.options.payload)
        .with_batch(Self::BATCH)
    }

    fn place(&self) -> String {
        self.server.failures.place().to_owned()
    }

    async fn begin(&self) -> Result<Box<dyn Session + '_>, StoreError> {
        Ok(Box::new(self))
    }

    async fn begin_in<'t>(
        &'t self,
        transaction: &'t mut (dyn Any + Send),
    ) -> Result<Box<dyn Session + 't>, StoreError> {
        Ok(Box::new(Guest::begin(self, transaction).await?))
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        if let Some(watch) = &self.watch {
            return watch.next(&self.server, seen).await;
        }
        let changes = watch::read(&self.server).await?;
        Ok(Changed { seen: changes, hint: (changes != seen).then_some(Hint::Resync) })
    }
}

#[async_trait]
impl Session for &Collections {
    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        if self.options.clock == Clock::Caller {
            return Ok(whole_micros(at));
        }
        let time = self.server.hello().await?.get_datetime("localTime").copied().map(BsonTime::timestamp_millis);
        time.ok().and_then(DateTime::from_timestamp_millis).ok_or_else(|| {
            self.server
                .failures
                .with(StoreErrorKind::Incompatible, "the server does not say what time it is; use 5.0 or newer")
        })
    }

    async fn insert(&self, jobs: &[NewJob<'_>]) -> Result<Vec<Inserting>, StoreError> {
        let documents: Vec<Document> = jobs.iter().map(Document::inserted).collect();
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let jobs = self.server.jobs.clone();
        let bsons: Vec<Bsons> = documents.iter().map(|it| form::added(it, self.server.version())).collect();
        let call = async move {
            match jobs.insert_many(bsons).ordered(false).await {
                Ok(_) => Ok(Vec::new()),
                Err(error) => match &*error.kind {
                    ErrorKind::InsertMany(failed) if failed.write_concern_error.is_none() => {
                        Ok(failed.write_errors.clone().unwrap_or_default())
                    }
                    _ => Err(error),
                },
            }
        };
        let failed = self.server.run(call).await?;
        if let Some(other) = failed.iter().find(|failed| failed.code != DUPLICATE) {
            return Err(self.server.failures.of_write(other.code, &other.message, other.index));
        }
        let mut added = vec![Inserting::Done; documents.len()];
        if !failed.is_empty() {
            let keys = failed.iter().map(|failed| documents[failed.index].key.as_str()).collect();
            let there: HashSet<String> = self.versions(keys).await?.into_iter().map(|(key, _)| key).collect();
            for failed in failed {
                let is_there = there.contains(&documents[failed.index].key);
                added[failed.index] = if is_there { Inserting::UidIsTaken } else { Inserting::IdIsTaken };
            }
        }
        Ok(added)
    }

    async fn by_key(&self, keys: &BTreeSet<String>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let mut ids: Vec<Bson> = keys.iter().map(|key| key.as_str().into()).collect();
        ids.extend(keys.iter().filter_map(|key| form::object_id(key)));
        Ok(LoadedJob::all(self.find(doc! { "_id": { "$in": ids } }, Page::default()).await?))
    }

    async fn by_live_id(&self, ids: &BTreeSet<JobId>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
        Ok(LoadedJob::all(self.find(doc! { "live_id": { "$in": ids } }, Page::default()).await?))
    }

    async fn list(&self, after: Option<&JobId>, limit: usize, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let page = Page { sort: Some(doc! { "live_id": 1 }), limit: Some(limit), ..Page::default() };
        Ok(LoadedJob::all(self.find(query::after(after), page).await?))
    }

    async fn write(&self, jobs: &[&LoadedJob], now: DateTime<Utc>) -> Result<Vec<bool>, StoreError> {
        let replacements = Replace::all(jobs, now);
        let (updates, deletes): (Vec<&Replace>, Vec<&Replace>) = replacements.iter().partition(|it| it.new.is_some());
        let (updated, deleted) = try_join(self.update(&updates), self.delete(&deletes)).await?;
        let is_written = |it: &Replace| updated.contains(&it.old.key) || deleted.contains(&it.old.key);
        Ok(replacements.iter().map(is_written).collect())
    }

    async fn due(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let hint = Some(query::by_due());
        let page = Page { sort: Some(query::by_due()), limit: Some(limit), hint, ..Page::default() };
        Ok(LoadedJob::all(self.find(query::due(claim, since, now), page).await?))
    }

    async fn next(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        _: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (due, claim_end) = try_join(self.next_due(claim, now), self.next_claim_end(claim)).await?;
        Ok(earlier(due, claim_end))
    }

    async fn expired(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<LoadedJob>, StoreError> {
        let hint = Some(query::by_retention());
        let page = Page { sort: Some(query::by_retention()), limit: Some(limit), hint, ..Page::default() };
        Ok(LoadedJob::all(self.find(query::expired(now), page).await?))
    }

    async fn declined(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Declined>, StoreError> {
        let projection = Some(doc! { "id": 1, "task": 1, "v": 1 });
        let page = Page { sort: Some(query::by_due()), limit: Some(limit), projection, hint: Some(query::by_due()) };
        let found = self.find(query::declined(claim, now), page).await?;
        Ok(found.iter().map(Document::declined).collect())
    }

    async fn held_by(
        &self,
        node: &NodeId,
        hold: HoldKind,
        limit: usize,
        _: Access,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let (query, sort) = match hold {
            HoldKind::Claim => (query::claimed_by(node), None),
            HoldKind::Run => (query::naming("running", node), Some(doc! { "_id": 1 })),
            HoldKind::Stop => (query::naming("asked", node), Some(doc! { "_id": 1 })),
        };
        Ok(LoadedJob::all(self.find(query, Page { sort, limit: Some(limit), ..Page::default() }).await?))
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        let (known, running) = try_join(self.known_nodes(), self.running_nodes()).await?;
        Ok(Nodes { known, running })
    }

    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        let found = self.server.find(&self.server.nodes, doc! { "_id": id.as_str() }, Page::default()).await?;
        Ok(found.into_iter().find_map(form::node_of_bsons))
    }

    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        let (nodes, version) = (self.server.nodes.clone(), self.server.version());
        let bsons = form::node(node, version);
        let as_read = doc! { "_id": node.id.as_str(), "version": node.version.cast_signed() };
        let is_new = node.version == 0;
        let call = async move {
            if is_new {
                return match nodes.insert_one(bsons).await {
                    Err(error) if is_duplicate(&error) => Ok(false),
                    reply => reply.map(|_| true),
                };
            }
            Ok(nodes.replace_one(as_read, bsons).await?.matched_count == 1)
        };
        let is_written = self.server.run(call).await?;
        Ok(is_written.then(|| Node { version: version.cast_unsigned(), ..node.clone() }))
    }

    async fn remove_node(&self, node: &Node) -> Result<bool, StoreError> {
        let nodes = self.server.nodes.clone();
        let as_read = doc! { "_id": node.id.as_str(), "version": node.version.cast_signed() };
        Ok(self.server.run(async move { nodes.delete_one(as_read).await }).await?.deleted_count == 1)
    }

    async fn ended(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        let ids: Vec<String> =
            runs.iter().map(|(uid, seq)| form::archived_id(RunId { uid: *uid, seq: *seq })).collect();
        let found = self.server.find(&self.server.runs, doc! { "_id": { "$in": ids } }, Page::default()).await?;
        Ok(found.into_iter().filter_map(form::run_of_archived).collect())
    }

    async fn history(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let page = Page { sort: Some(doc! { "_id": -1 }), limit: Some(limit), ..Page::default() };
        let query = doc! { "_id": form::archived_below(uid, before) };
        let found = self.server.find(&self.server.runs, query, page).await?;
        Ok(found.into_iter().filter_map(form::run_of_archived).collect())
    }

    fn archive(&self) -> Option<&dyn Archive> {
        Some(self)
    }

    fn job_finder(&self) -> Option<&dyn JobFinder> {
        Some(self)
    }

    fn run_finder(&self) -> Option<&dyn RunFinder> {
        Some(self)
    }

    async fn announce(&self, _: &[Hint]) -> Result<(), StoreError> {
        let meta = self.server.meta.clone();
        let count = doc! { "$inc": { "value": 1_i64 } };
        self.server
            .run(async move { meta.update_one(doc! { "_id": "changes" }, count).upsert(true).await })
            .await
            .map(drop)
    }
}

#[async_trait]
impl Archive for &Collections {
    async fn archive(&self, runs: &[Run]) -> Result<(), StoreError> {
        let bsons: Vec<Bsons> = runs.iter().map(form::archived).collect();
        let collection = self.server.runs.clone();
        let call = async move {
            match collection.insert_many(bsons).ordered(false).await {
                Ok(_) => Ok(()),
                Err(error) => match &*error.kind {
                    ErrorKind::InsertMany(failed) if failed.write_concern_error.is_none() => {
                        let is_other = failed.write_errors.iter().flatten().any(|failed| failed.code != DUPLICATE);
                        if is_other { Err(error) } else { Ok(()) }
                    }
                    _ => Err(error),
                },
            }
        };
        self.server.run(call).await
    }

    async fn prune(&self, below: &[(Uid, u64)]) -> Result<(), StoreError> {
        let delete =
            |(uid, below): &(Uid, u64)| doc! { "q": { "_id": form::archived_below(*uid, *below) }, "limit": 0 };
        let deletes: Vec<Bsons> = below.iter().map(delete).collect();
        self.server.write(Writes::Delete, &self.server.runs, &deletes).await.map(drop)
    }
}

impl Collections {
    async fn next_due(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let hint = Some(query::by_due());
        let page = Page { sort: Some(query::by_due()), limit: Some(1), projection: Some(doc! { "due": 1 }), hint };
        Ok(time(&self.server.find(&self.server.jobs, query::due_later(claim, now), page).await?, "due"))
    }

    async fn next_claim_end(&self, claim: &Claim) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (sort, projection) = (Some(doc! { "claim_until": 1 }), Some(doc! { "claim_until": 1 }));
        let page = Page { sort, limit: Some(1), projection, hint: None };
        Ok(time(&self.server.find(&self.server.jobs, query::claimed_by_others(claim), page).await?, "claim_until"))
    }

    async fn running_nodes(&self) -> Result<BTreeSet<NodeId>, StoreError> {
        let jobs = self.server.jobs.clone();
        let call = async move { jobs.distinct("running", doc! {}).await };
        let nodes = self.server.run(call).await?;
        Ok(nodes.iter().filter_map(Bson::as_str).map(NodeId::from).collect())
    }

    async fn known_nodes(&self) -> Result<Vec<Node>, StoreError> {
        let found = self.server.find(&self.server.nodes, doc! {}, Page::default()).await?;
        Ok(found.into_iter().filter_map(form::node_of_bsons).collect())
    }
}

/// A time of the first document found.
fn time(found: &[Bsons], field: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(found.first()?.get_i64(field).ok()?)
}
