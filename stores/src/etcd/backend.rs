//! etcd as a backend of the kit.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    client::Client,
    key::{Keys, next, read_said},
    message::{Compare, DeleteRangeRequest, KeyValue, RangeRequest, Request, TxnRequest},
    options::EtcdOptions,
    read::{Named, PAGE, found, read_run, version},
    watch::Watched,
    write::{self, put},
};
use crate::kit::{
    Access, Archive, Backend, Document, HoldKind, Index, Inserting, LoadedJob, NewJob, Node, Nodes, Replace, Session,
    node_fields,
    rules::{earlier, whole_micros},
    run_fields, text,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::future::{try_join, try_join_all};
use prost::bytes::Bytes;
use scheduler_core::{
    JobId, NodeId, Run, Uid,
    store::{Changed, Claim, Clock, Declined, Durability, Hint, StoreError, StoreLimits, Wakes},
};

/// The documents of one store.
#[derive(Debug)]
pub(super) struct EtcdBackend {
    pub(super) client: Client,
    pub(super) keys: Keys,
    pub(super) options: EtcdOptions,
}

/// The most jobs, moves or entries of one call: what one request takes. With more, nodes would be in each other's way for
/// longer.
const BATCH: usize = 100;

#[async_trait]
impl Backend for EtcdBackend {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(Clock::Caller, Wakes::Push, Durability::Durable)
            .with_payload(self.options.payload)
            .with_batch(BATCH)
    }

    fn place(&self) -> String {
        self.client.failures().place().to_owned()
    }

    async fn begin(&self) -> Result<Box<dyn Session + '_>, StoreError> {
        Ok(Box::new(self))
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        loop {
            let request = RangeRequest { key: self.keys.changes(), ..RangeRequest::default() };
            let answer = self.client.range(request).await?;
            // Should another program have deleted it: no key is written at the first revision.
            let written = answer.kvs.first().map_or(1, version);
            if written != seen {
                return Ok(Changed { seen: written, hint: Some(Hint::Resync) });
            }
            // Nothing was written up to here. The servers may have forgotten older revisions.
            let read_at = answer.header.and_then(|header| u64::try_from(header.revision).ok()).unwrap_or(written);
            if let Watched::Written(seen) = self.client.watch(self.keys.changes(), read_at.max(written)).await? {
                return Ok(Changed { seen, hint: Some(Hint::Resync) });
            }
        }
    }
}

#[async_trait]
impl Session for &EtcdBackend {
    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        Ok(whole_micros(at))
    }

    async fn insert(&self, jobs: &[NewJob<'_>]) -> Result<Vec<Inserting>, StoreError> {
        let documents: Vec<Document> = jobs.iter().map(Document::inserted).collect();
        let mut added = Vec::with_capacity(documents.len());
        // A transaction writes no key twice, so that documents that are in each other's way come one after the other.
        for wave in waves(&documents) {
            added.extend(self.add_wave(wave).await?);
        }
        Ok(added)
    }

    async fn by_key(&self, keys: &BTreeSet<String>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let found = self.read(keys.iter().map(|key| self.keys.job(key)).collect()).await?;
        Ok(LoadedJob::all(found.into_iter().flatten().filter_map(|kv| self.document(&kv))))
    }

    async fn by_live_id(&self, ids: &BTreeSet<JobId>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let entries = self.read(ids.iter().map(|id| self.keys.id(id)).collect()).await?;
        Ok(LoadedJob::all(
            self.named_by(entries.iter().flatten().filter_map(|entry| self.live(entry)).collect()).await?,
        ))
    }

    async fn list(&self, after: Option<&JobId>, limit: usize, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        Ok(LoadedJob::all(self.walk(self.keys.ids(after), limit, |entry| self.live(entry)).await?))
    }

    async fn write(&self, jobs: &[&LoadedJob], now: DateTime<Utc>) -> Result<Vec<bool>, StoreError> {
        let replacements = Replace::all(jobs, now);
        let txns = replacements.iter().map(|replacement| write::replace(&self.keys, replacement)).collect();
        Ok(self.txns(txns).await?.into_iter().map(|answer| answer.succeeded).collect())
    }

    async fn due(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let is_wanted = |index: &Index| index.is_for(claim) && index.is_free(claim, now);
        Ok(LoadedJob::all(
            self.walk(self.keys.due_between(since, now), limit, |entry| self.due_named(entry, is_wanted)).await?,
        ))
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
        let name = |entry: &KeyValue| {
            let (until, key) = self.keys.retained_name(&entry.key)?;
            let accept = move |document: &mut Document| document.index().retained_until == Some(until);
            Some(Named { key: key.to_owned(), accept: Box::new(accept) })
        };
        Ok(LoadedJob::all(self.walk(self.keys.retained_until(now), limit, name).await?))
    }

    async fn declined(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Declined>, StoreError> {
        let is_wanted = |index: &Index| !index.is_for(claim) && index.claim.is_none();
        let documents = self.walk(self.keys.due_until(now), limit, |entry| self.due_named(entry, is_wanted)).await?;
        Ok(documents.iter().map(Document::declined).collect())
    }

    async fn held_by(
        &self,
        node: &NodeId,
        hold: HoldKind,
        limit: usize,
        _: Access,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let range = self.keys.held_by(hold, node);
        Ok(LoadedJob::all(
            self.walk(range, limit, |entry| {
                let (node, key) = self.keys.held_name(hold, &entry.key)?;
                let holds = move |index: &Index| match hold {
                    HoldKind::Claim => index.claim.as_ref().is_some_and(|(owner, _)| *owner == node),
                    HoldKind::Run => index.running.contains(&node),
                    HoldKind::Stop => index.stopping.contains(&node),
                };
                Some(Named { key: key.to_owned(), accept: Box::new(move |document| holds(&document.index())) })
            })
            .await?,
        ))
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        let (known, running) = try_join(self.known_nodes(), self.running_nodes()).await?;
        Ok(Nodes { known, running })
    }

    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        let found = self.read(vec![self.keys.node(id)]).await?;
        Ok(found.into_iter().flatten().find_map(|kv| self.read_node(&kv)))
    }

    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        let key = self.keys.node(&node.id);
        let value = Bytes::from(text(&node_fields(node)));
        let txn = TxnRequest {
            compare: vec![Compare::unwritten_since(key.clone(), node.version)],
            success: vec![put(key, value)],
            failure: Vec::new(),
        };
        let answer = self.client.txn(txn).await?;
        let version = answer.header.and_then(|header| u64::try_from(header.revision).ok()).unwrap_or_default();
        Ok(answer.succeeded.then(|| Node { version, ..node.clone() }))
    }

    async fn remove_node(&self, node: &Node) -> Result<bool, StoreError> {
        let key = self.keys.node(&node.id);
        let txn = TxnRequest {
            compare: vec![Compare::unwritten_since(key.clone(), node.version)],
            success: vec![write::delete(key)],
            failure: Vec::new(),
        };
        Ok(self.client.txn(txn).await?.succeeded)
    }

    async fn ended(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        let rows = self.read(runs.iter().map(|(uid, seq)| self.keys.run(*uid, *seq)).collect()).await?;
        Ok(rows.iter().flatten().filter_map(read_run).collect())
    }

    async fn history(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError> {
        let page = self.range(&self.keys.runs_below(uid, before), limit).await?;
        Ok(page.kvs.iter().filter_map(read_run).collect())
    }

    fn archive(&self) -> Option<&dyn Archive> {
        Some(self)
    }

    async fn announce(&self, _: &[Hint]) -> Result<(), StoreError> {
        self.all_steps(vec![put(self.keys.changes(), Bytes::new())]).await?;
        Ok(())
    }
}

#[async_trait]
impl Archive for &EtcdBackend {
    async fn archive(&self, runs: &[Run]) -> Result<(), StoreError> {
        // By key, since a transaction writes none twice.
        let rows: BTreeMap<Vec<u8>, Bytes> =
            runs.iter().map(|run| (self.keys.run(run.id.uid, run.id.seq), text(&run_fields(run)).into())).collect();
        self.all_steps(rows.into_iter().map(|(key, value)| put(key, value)).collect()).await?;
        Ok(())
    }

    async fn prune(&self, below: &[(Uid, u64)]) -> Result<(), StoreError> {
        let deletes = below.iter().map(|(uid, seq)| {
            let range = self.keys.runs_below(*uid, *seq);
            Request::DeleteRange(DeleteRangeRequest { key: range.start, range_end: range.end }).into()
        });
        self.all_steps(deletes.collect()).await?;
        Ok(())
    }
}

impl EtcdBackend {
    async fn next_due(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let is_wanted =
            |index: &Index| index.is_for(claim) && index.claim.as_ref().is_none_or(|(owner, _)| *owner == claim.owner);
        let mut range = self.keys.due_after(now);
        // It nearly always is the first one.
        let mut limit = 8;
        loop {
            let page = self.range(&range, limit).await?;
            let wanted = page.kvs.iter().filter(|entry| read_said(&entry.value).is_none_or(|index| is_wanted(&index)));
            let first = wanted.filter_map(|entry| self.keys.due_name(&entry.key)).next();
            match (first, page.kvs.last()) {
                (Some((due, _)), _) => return Ok(Some(due)),
                (None, Some(last)) if page.more => range.start = next(last.key.clone()),
                _ => return Ok(None),
            }
            limit = PAGE;
        }
    }

    async fn next_claim_end(&self, claim: &Claim) -> Result<Option<DateTime<Utc>>, StoreError> {
        let nodes = self.holders(HoldKind::Claim).await?;
        let others = nodes.iter().filter(|node| **node != claim.owner);
        let entries = try_join_all(others.map(|node| self.entries(self.keys.held_by(HoldKind::Claim, node)))).await?;
        let said = entries.into_iter().flatten().filter_map(|entry| read_said(&entry.value));
        Ok(said.filter(|index| index.is_for(claim)).filter_map(|index| Some(index.claim?.1)).min())
    }

    async fn running_nodes(&self) -> Result<BTreeSet<NodeId>, StoreError> {
        self.holders(HoldKind::Run).await
    }

    async fn known_nodes(&self) -> Result<Vec<Node>, StoreError> {
        let entries = self.entries(self.keys.nodes()).await?;
        Ok(entries.iter().filter_map(|kv| self.read_node(kv)).collect())
    }
}

impl EtcdBackend {
    async fn add_wave(&self, documents: &[Document]) -> Result<Vec<Inserting>, StoreError> {
        let txns = documents.iter().map(|document| write::add(&self.keys, document, 0)).collect();
        let mut added = Vec::with_capacity(documents.len());
        for (document, answer) in documents.iter().zip(self.txns(txns).await?) {
            let mut there = answer.responses.into_iter().map(found);
            added.push(match answer.succeeded {
                true => Inserting::Done,
                false if there.next().flatten().is_some() => Inserting::UidIsTaken,
                false => match there.next().flatten() {
                    Some(entry) => self.add_over(document, &entry).await?,
                    None => Inserting::IdIsTaken,
                },
            });
        }
        Ok(added)
    }

    /// Adds a document whose id has an entry, if that names no job: another program may have left it behind.
    async fn add_over(&self, document: &Document, entry: &KeyValue) -> Result<Inserting, StoreError> {
        let named = self.live(entry).into_iter().collect();
        if !self.named_by(named).await?.is_empty() {
            return Ok(Inserting::IdIsTaken);
        }
        let answer = self.client.txn(write::add(&self.keys, document, version(entry))).await?;
        Ok(if answer.succeeded { Inserting::Done } else { Inserting::IdIsTaken })
    }
}

/// The documents in runs of such that are not in each other's way.
fn waves(documents: &[Document]) -> Vec<&[Document]> {
    let (mut waves, mut start) = (Vec::new(), 0);
    let mut taken = BTreeSet::new();
    for (at, document) in documents.iter().enumerate() {
        let names = [Ok(document.key.as_str()), Err(document.index().live_id)];
        let names = names.map(|name| name.map(ToOwned::to_owned));
        if names.iter().any(|name| taken.contains(name)) {
            waves.push(&documents[start..at]);
            start = at;
            taken.clear();
        }
        taken.extend(names);
    }
    waves.push(&documents[start..]);
    waves
}
