//! A backend in memory for tests, whose calls fail when they are told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_lite::future::yield_now;
use futures_util::future::try_join;
use scheduler_core::{
    JobId, NodeId, Run, Uid,
    store::{Changed, Claim, Clock, Declined, Durability, Hint, StoreError, StoreErrorKind, StoreLimits, Wakes},
};

use super::{
    Access, Archive, Backend, Document, HoldKind, Inserting, LoadedJob, NewJob, Node, Nodes, Replace, Session,
    rules::{earlier, whole_micros},
};

/// Documents in memory. Clones share them.
#[derive(Clone)]
pub(super) struct FaultyBackend {
    pub(super) contents: Arc<Mutex<Contents>>,
    faults: Faults,
    calls: Arc<AtomicU64>,
}

/// What goes wrong with each call that writes, by its number.
pub(super) type Faults = Arc<dyn Fn(u64) -> Fault + Send + Sync>;

/// What is in the faulty database.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) documents: BTreeMap<String, Document>,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) archived: BTreeMap<(Uid, u64), Run>,
    version: u64,
    changes: u64,
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// It fails and has done nothing.
    Before,
    /// It fails and has done each other item, or the only one: the reply is lost.
    After,
    /// Another call writes every second document first.
    Race,
    /// The reply is lost, and the client sends the call once more by itself.
    Again,
}

impl FaultyBackend {
    pub(super) fn new(faults: impl Fn(u64) -> Fault + Send + Sync + 'static) -> Self {
        Self { contents: Arc::default(), faults: Arc::new(faults), calls: Arc::default() }
    }

    /// The same contents with other faults.
    pub(super) fn with(&self, faults: impl Fn(u64) -> Fault + Send + Sync + 'static) -> Self {
        Self { contents: self.contents.clone(), ..Self::new(faults) }
    }

    /// Writes item by item, and goes wrong as told.
    async fn perform<T: Copy>(
        &self,
        items: usize,
        lost: Option<T>,
        write: impl Fn(&mut Contents, usize) -> T,
    ) -> Result<Vec<T>, StoreError> {
        yield_now().await;
        let fault = (self.faults)(self.calls.fetch_add(1, Ordering::Relaxed));
        let fails = || StoreError::new(StoreErrorKind::Unavailable, "the database fails");
        let mut contents = self.contents.lock().unwrap();
        match fault {
            Fault::Before => Err(fails()),
            Fault::After => {
                for item in (0..items).filter(|item| items == 1 || item.is_multiple_of(2)) {
                    write(&mut contents, item);
                }
                Err(fails())
            }
            Fault::Again => {
                for item in 0..items {
                    write(&mut contents, item);
                }
                Ok((0..items).map(|item| write(&mut contents, item)).collect())
            }
            Fault::Race | Fault::Nothing => {
                let lost = lost.filter(|_| fault == Fault::Race);
                let is_lost = |item: usize| item.is_multiple_of(2);
                let write = |item| lost.filter(|_| is_lost(item)).unwrap_or_else(|| write(&mut contents, item));
                Ok((0..items).map(write).collect())
            }
        }
    }

    async fn find(&self, mut is_wanted: impl FnMut(&Document) -> bool) -> Vec<Document> {
        // Others get on between any two calls.
        yield_now().await;
        let contents = self.contents.lock().unwrap();
        contents.documents.values().filter(|document| is_wanted(document)).cloned().collect()
    }

    /// By the bytes of the live id.
    async fn live(&self, is_wanted: impl Fn(&JobId) -> bool) -> Vec<Document> {
        let mut documents = self.find(|document| document.index().live_id.is_some_and(|id| is_wanted(&id))).await;
        documents.sort_by_key(|document| document.index().live_id);
        documents
    }

    /// By due and key.
    async fn due_until(&self, now: DateTime<Utc>) -> Vec<Document> {
        let mut documents = self.find(|document| document.index().due.is_some_and(|due| due <= now)).await;
        documents.sort_by_key(|document| (document.index().due, document.key.clone()));
        documents
    }
}

impl Contents {
    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn add(&mut self, document: &Document) -> Inserting {
        let id = document.index().live_id;
        if self.documents.contains_key(&document.key) {
            return Inserting::UidIsTaken;
        }
        if id.is_some() && self.documents.values().any(|other| other.index().live_id == id) {
            return Inserting::IdIsTaken;
        }
        let document = Document { version: 1, ..document.clone() };
        self.documents.insert(document.key.clone(), document);
        Inserting::Done
    }

    fn replace(&mut self, replace: &Replace) -> bool {
        let key = &replace.old.key;
        if self.documents.get(key) != Some(&replace.old) {
            return false;
        }
        match &replace.new {
            Some(new) => {
                assert_eq!((&new.key, new.fields.get("id")), (key, replace.old.fields.get("id")));
                let document = Document { version: replace.old.version + 1, ..new.clone() };
                self.documents.insert(key.clone(), document)
            }
            None => self.documents.remove(key),
        };
        true
    }
}

impl fmt::Debug for FaultyBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyBackend")
    }
}

#[async_trait]
impl Backend for FaultyBackend {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(Clock::Caller, Wakes::Poll(std::time::Duration::from_secs(1)), Durability::Durable)
            .with_payload(1 << 20)
            .with_batch(100)
    }

    fn place(&self) -> String {
        "the faulty database".to_owned()
    }

    async fn begin(&self) -> Result<Box<dyn Session + '_>, StoreError> {
        Ok(Box::new(self))
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        let now = self.contents.lock().unwrap().changes + 1;
        Ok(Changed { seen: now, hint: (now != seen).then_some(Hint::Resync) })
    }
}

#[async_trait]
impl Session for &FaultyBackend {
    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        Ok(whole_micros(at))
    }

    async fn insert(&self, jobs: &[NewJob<'_>]) -> Result<Vec<Inserting>, StoreError> {
        let documents: Vec<Document> = jobs.iter().map(Document::inserted).collect();
        self.perform(documents.len(), None, |contents, item| contents.add(&documents[item])).await
    }

    async fn by_key(&self, keys: &BTreeSet<String>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        Ok(LoadedJob::all(self.find(|document| keys.contains(&document.key)).await))
    }

    async fn by_live_id(&self, ids: &BTreeSet<JobId>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        Ok(LoadedJob::all(self.live(|id| ids.contains(id)).await))
    }

    async fn list(&self, after: Option<&JobId>, limit: usize, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let mut documents = self.live(|id| after.is_none_or(|after| id > after)).await;
        documents.truncate(limit);
        Ok(LoadedJob::all(documents))
    }

    async fn write(&self, jobs: &[&LoadedJob], now: DateTime<Utc>) -> Result<Vec<bool>, StoreError> {
        let replacements = Replace::all(jobs, now);
        let is_over = |old: &Document| LoadedJob::from_document(old.clone()).is_finished();
        // The document of a finished job is written by no call but to delete it.
        let lost = (!replacements.iter().any(|it| is_over(&it.old))).then_some(false);
        self.perform(replacements.len(), lost, |contents, item| contents.replace(&replacements[item])).await
    }

    fn version_after(&self, version: u64) -> Option<u64> {
        Some(version + 1)
    }

    async fn due(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let due = self.due_until(now).await.into_iter().filter(|document| document.index().due >= since);
        let can_take = |document: &Document| document.index().is_for(claim) && document.index().is_free(claim, now);
        Ok(LoadedJob::all(due.filter(can_take).take(limit)))
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
        let is_expired = |document: &Document| document.index().retained_until.is_some_and(|until| until <= now);
        Ok(LoadedJob::all(self.find(is_expired).await.into_iter().take(limit)))
    }

    async fn declined(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Declined>, StoreError> {
        let mut due = self.due_until(now).await;
        due.retain(|document| !document.index().is_for(claim) && document.index().claim.is_none());
        Ok(due.iter().take(limit).map(Document::declined).collect())
    }

    async fn held_by(
        &self,
        node: &NodeId,
        hold: HoldKind,
        limit: usize,
        _: Access,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let mut documents = self
            .find(|document| {
                let index = document.index();
                match hold {
                    HoldKind::Claim => index.claim.is_some_and(|(owner, _)| owner == *node),
                    HoldKind::Run => index.running.contains(node),
                    HoldKind::Stop => index.stopping.contains(node),
                }
            })
            .await;
        documents.truncate(limit);
        Ok(LoadedJob::all(documents))
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        let (known, running) = try_join(self.known_nodes(), self.running_nodes()).await?;
        Ok(Nodes { known, running })
    }

    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        yield_now().await;
        Ok(self.contents.lock().unwrap().nodes.get(id).cloned())
    }

    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        let put = |contents: &mut Contents, _| {
            if contents.nodes.get(&node.id).map_or(0, |known| known.version) != node.version {
                return None;
            }
            let version = contents.next_version();
            contents.nodes.insert(node.id.clone(), Node { version, ..node.clone() });
            Some(version)
        };
        let version = self.perform(1, None, put).await?[0];
        Ok(version.map(|version| Node { version, ..node.clone() }))
    }

    async fn remove_node(&self, node: &Node) -> Result<bool, StoreError> {
        let remove = |contents: &mut Contents, _| {
            let is_as_read = contents.nodes.get(&node.id) == Some(node);
            is_as_read && contents.nodes.remove(&node.id).is_some()
        };
        Ok(self.perform(1, None, remove).await?[0])
    }

    async fn ended(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        yield_now().await;
        let contents = self.contents.lock().unwrap();
        Ok(runs.iter().filter_map(|run| contents.archived.get(run)).cloned().collect())
    }

    async fn history(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError> {
        yield_now().await;
        let contents = self.contents.lock().unwrap();
        Ok(contents.archived.range((uid, 0)..(uid, before)).rev().map(|(_, run)| run.clone()).take(limit).collect())
    }

    fn archive(&self) -> Option<&dyn Archive> {
        Some(self)
    }

    async fn announce(&self, _: &[Hint]) -> Result<(), StoreError> {
        self.perform(1, None, |contents, _| contents.changes += 1).await.map(drop)
    }
}

#[async_trait]
impl Archive for &FaultyBackend {
    async fn archive(&self, runs: &[Run]) -> Result<(), StoreError> {
        let file = |contents: &mut Contents, item: usize| {
            let run: &Run = &runs[item];
            let known = contents.archived.insert((run.id.uid, run.id.seq), run.clone());
            assert!(known.is_none_or(|known| known == *run), "an archived run changes: {run:?}");
        };
        self.perform(runs.len(), None, file).await.map(drop)
    }

    async fn prune(&self, below: &[(Uid, u64)]) -> Result<(), StoreError> {
        let prune = |contents: &mut Contents, item: usize| {
            let (job, end) = below[item];
            contents.archived.retain(|(uid, seq), _| *uid != job || *seq >= end);
        };
        self.perform(below.len(), None, prune).await.map(drop)
    }
}

impl FaultyBackend {
    async fn next_due(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let indexes = self.find(|_| true).await.into_iter().map(|document| document.index());
        let is_ours = |owner: &NodeId| *owner == claim.owner;
        let open = indexes.filter(|it| it.is_for(claim) && it.claim.as_ref().is_none_or(|(owner, _)| is_ours(owner)));
        Ok(open.filter_map(|index| index.due.filter(|due| *due > now)).min())
    }

    async fn next_claim_end(&self, claim: &Claim) -> Result<Option<DateTime<Utc>>, StoreError> {
        let indexes = self.find(|_| true).await.into_iter().map(|document| document.index());
        let claims = indexes.filter(|index| index.is_for(claim)).filter_map(|index| index.claim);
        Ok(claims.filter(|(owner, _)| *owner != claim.owner).map(|(_, until)| until).min())
    }

    async fn running_nodes(&self) -> Result<BTreeSet<NodeId>, StoreError> {
        Ok(self.find(|_| true).await.into_iter().flat_map(|document| document.index().running).collect())
    }

    async fn known_nodes(&self) -> Result<Vec<Node>, StoreError> {
        yield_now().await;
        Ok(self.contents.lock().unwrap().nodes.values().cloned().collect())
    }
}
