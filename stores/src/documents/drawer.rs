//! A shelf in memory for tests, which goes wrong when it is told to.

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
use scheduler_core::{
    JobId, NodeId, Run, Uid,
    store::{Changed, Claim, Clock, Declined, Durability, Hint, StoreError, StoreErrorKind, StoreLimits, Wakes},
};

use super::{
    sheet::Sheet,
    shelf::{Added, Document, HoldKind, Node, Replace, Shelf},
};
use crate::head::whole_micros;

/// Documents in memory. Clones share them.
#[derive(Clone)]
pub(super) struct Drawer {
    pub(super) papers: Arc<Mutex<Papers>>,
    trouble: Trouble,
    calls: Arc<AtomicU64>,
}

/// What goes wrong with each call that writes, by its number.
pub(super) type Trouble = Arc<dyn Fn(u64) -> Mishap + Send + Sync>;

/// What is in the drawer.
#[derive(Debug, Default)]
pub(super) struct Papers {
    pub(super) documents: BTreeMap<String, Document>,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) filed: BTreeMap<(Uid, u64), Run>,
    version: u64,
    changes: u64,
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    Nothing,
    /// It fails and has done nothing.
    Before,
    /// It fails and has done each other item, or the only one: the reply is lost.
    After,
    /// Somebody else writes each other document first.
    Race,
    /// The reply is lost, and the shelf's client sends the call once more by itself.
    Again,
}

impl Drawer {
    pub(super) fn new(trouble: impl Fn(u64) -> Mishap + Send + Sync + 'static) -> Self {
        Self { papers: Arc::default(), trouble: Arc::new(trouble), calls: Arc::default() }
    }

    /// The same papers with other trouble.
    pub(super) fn with(&self, trouble: impl Fn(u64) -> Mishap + Send + Sync + 'static) -> Self {
        Self { papers: self.papers.clone(), ..Self::new(trouble) }
    }

    /// Writes item by item, and goes wrong as told.
    async fn write<T: Copy>(
        &self,
        items: usize,
        lost: Option<T>,
        write: impl Fn(&mut Papers, usize) -> T,
    ) -> Result<Vec<T>, StoreError> {
        yield_now().await;
        let mishap = (self.trouble)(self.calls.fetch_add(1, Ordering::Relaxed));
        let fails = || StoreError::new(StoreErrorKind::Unavailable, "the drawer is stuck");
        let mut papers = self.papers.lock().unwrap();
        match mishap {
            Mishap::Before => Err(fails()),
            Mishap::After => {
                for item in (0..items).filter(|item| items == 1 || item.is_multiple_of(2)) {
                    write(&mut papers, item);
                }
                Err(fails())
            }
            Mishap::Again => {
                for item in 0..items {
                    write(&mut papers, item);
                }
                Ok((0..items).map(|item| write(&mut papers, item)).collect())
            }
            Mishap::Race | Mishap::Nothing => {
                let lost = lost.filter(|_| mishap == Mishap::Race);
                let is_lost = |item: usize| item.is_multiple_of(2);
                let write = |item| lost.filter(|_| is_lost(item)).unwrap_or_else(|| write(&mut papers, item));
                Ok((0..items).map(write).collect())
            }
        }
    }

    async fn find(&self, mut is_wanted: impl FnMut(&Document) -> bool) -> Vec<Document> {
        // Others get on between any two calls.
        yield_now().await;
        let papers = self.papers.lock().unwrap();
        papers.documents.values().filter(|document| is_wanted(document)).cloned().collect()
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

impl Papers {
    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn add(&mut self, document: &Document) -> Added {
        let id = document.index().live_id;
        if self.documents.contains_key(&document.key) {
            return Added::KeyIsTaken;
        }
        if id.is_some() && self.documents.values().any(|other| other.index().live_id == id) {
            return Added::IdIsTaken;
        }
        let document = Document { version: self.next_version(), ..document.clone() };
        self.documents.insert(document.key.clone(), document);
        Added::Added
    }

    fn replace(&mut self, replace: &Replace) -> bool {
        let key = &replace.old.key;
        if self.documents.get(key) != Some(&replace.old) {
            return false;
        }
        match &replace.new {
            Some(new) => {
                assert_eq!((&new.key, new.fields.get("id")), (key, replace.old.fields.get("id")));
                let document = Document { version: self.next_version(), ..new.clone() };
                self.documents.insert(key.clone(), document)
            }
            None => self.documents.remove(key),
        };
        true
    }
}

impl fmt::Debug for Drawer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drawer")
    }
}

#[async_trait]
impl Shelf for Drawer {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(Clock::Caller, Wakes::Poll(std::time::Duration::from_secs(1)), Durability::Durable)
            .with_payload(1 << 20)
            .with_batch(100)
    }

    fn place(&self) -> String {
        "the drawer".to_owned()
    }

    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        Ok(whole_micros(at))
    }

    async fn add(&self, documents: &[Document]) -> Result<Vec<Added>, StoreError> {
        self.write(documents.len(), None, |papers, item| papers.add(&documents[item])).await
    }

    async fn by_key(&self, keys: &BTreeSet<String>) -> Result<Vec<Document>, StoreError> {
        Ok(self.find(|document| keys.contains(&document.key)).await)
    }

    async fn by_live_id(&self, ids: &BTreeSet<JobId>) -> Result<Vec<Document>, StoreError> {
        Ok(self.live(|id| ids.contains(id)).await)
    }

    async fn list(&self, after: Option<&JobId>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let mut documents = self.live(|id| after.is_none_or(|after| id > after)).await;
        documents.truncate(limit);
        Ok(documents)
    }

    async fn replace(&self, replacements: &[Replace]) -> Result<Vec<bool>, StoreError> {
        let is_over = |old: &Document| Sheet::new(old.clone()).is_over();
        // Nobody writes the document of a job that is over, but to delete it.
        let lost = (!replacements.iter().any(|it| is_over(&it.old))).then_some(false);
        self.write(replacements.len(), lost, |papers, item| papers.replace(&replacements[item])).await
    }

    async fn due(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let due = self.due_until(now).await.into_iter();
        let can_take = |document: &Document| document.index().is_for(claim) && document.index().is_free(claim, now);
        Ok(due.filter(can_take).take(limit).collect())
    }

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

    async fn declined(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Declined>, StoreError> {
        let mut due = self.due_until(now).await;
        due.retain(|document| !document.index().is_for(claim) && document.index().claim.is_none());
        Ok(due.iter().take(limit).map(Document::declined).collect())
    }

    async fn held_by(&self, node: &NodeId, hold: HoldKind, limit: usize) -> Result<Vec<Document>, StoreError> {
        let mut documents = self
            .find(|document| {
                let index = document.index();
                match hold {
                    HoldKind::Claim => index.claim.is_some_and(|(owner, _)| owner == *node),
                    HoldKind::Run => index.running.contains(node),
                    HoldKind::Asked => index.asked.contains(node),
                }
            })
            .await;
        documents.truncate(limit);
        Ok(documents)
    }

    async fn running_nodes(&self) -> Result<BTreeSet<NodeId>, StoreError> {
        Ok(self.find(|_| true).await.into_iter().flat_map(|document| document.index().running).collect())
    }

    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        yield_now().await;
        Ok(self.papers.lock().unwrap().nodes.values().cloned().collect())
    }

    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        yield_now().await;
        Ok(self.papers.lock().unwrap().nodes.get(id).cloned())
    }

    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        let put = |papers: &mut Papers, _| {
            if papers.nodes.get(&node.id).map_or(0, |known| known.version) != node.version {
                return None;
            }
            let version = papers.next_version();
            papers.nodes.insert(node.id.clone(), Node { version, ..node.clone() });
            Some(version)
        };
        let version = self.write(1, None, put).await?[0];
        Ok(version.map(|version| Node { version, ..node.clone() }))
    }

    async fn remove_node(&self, node: &Node) -> Result<bool, StoreError> {
        let remove = |papers: &mut Papers, _| {
            let is_as_read = papers.nodes.get(&node.id) == Some(node);
            is_as_read && papers.nodes.remove(&node.id).is_some()
        };
        Ok(self.write(1, None, remove).await?[0])
    }

    async fn file(&self, runs: &[Run]) -> Result<(), StoreError> {
        let file = |papers: &mut Papers, item: usize| {
            let run: &Run = &runs[item];
            let known = papers.filed.insert((run.id.uid, run.id.seq), run.clone());
            assert!(known.is_none_or(|known| known == *run), "a filed run changes: {run:?}");
        };
        self.write(runs.len(), None, file).await.map(drop)
    }

    async fn filed(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        yield_now().await;
        let papers = self.papers.lock().unwrap();
        Ok(runs.iter().filter_map(|run| papers.filed.get(run)).cloned().collect())
    }

    async fn filed_page(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError> {
        yield_now().await;
        let papers = self.papers.lock().unwrap();
        Ok(papers.filed.range((uid, 0)..(uid, before)).rev().map(|(_, run)| run.clone()).take(limit).collect())
    }

    async fn prune(&self, below: &[(Uid, u64)]) -> Result<(), StoreError> {
        let prune = |papers: &mut Papers, item: usize| {
            let (job, end) = below[item];
            papers.filed.retain(|(uid, seq), _| *uid != job || *seq >= end);
        };
        self.write(below.len(), None, prune).await.map(drop)
    }

    async fn tell(&self) -> Result<(), StoreError> {
        self.write(1, None, |papers, _| papers.changes += 1).await.map(drop)
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        let now = self.papers.lock().unwrap().changes + 1;
        Ok(Changed { seen: now, hint: (now != seen).then_some(Hint::Resync) })
    }
}
