//! ZooKeeper as a backend of the kit.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::{
    FutureExt,
    future::{join_all, try_join, try_join_all},
};
use scheduler_core::{
    JobId, NodeId, Run, Uid,
    store::{Changed, Claim, Clock, Declined, Durability, Hint, StoreError, StoreErrorKind, StoreLimits, Wakes},
};
use serde_json::{Map, Value};
use zookeeper_client::{CreateMode, Error};

use super::{
    BATCH, Shared,
    call::{Call, Via, held_name},
    names::{sorted_ids, unescape},
    write::{Write, Written, is_lost, version_from, version_of},
};
use crate::kit::{
    Access, Archive, Backend, Document, HoldKind, Inserting, LoadedJob, NewJob, Node, Nodes, Replace, Session,
    node_fields, node_of, rules::earlier, run_fields, run_of, text,
};

#[async_trait]
impl Backend for Shared {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(Clock::Caller, Wakes::Push, Durability::Durable)
            .with_payload(self.options.payload)
            .with_batch(BATCH)
    }

    fn place(&self) -> String {
        self.failures.place().to_owned()
    }

    async fn begin(&self) -> Result<Box<dyn Session + '_>, StoreError> {
        Ok(Box::new(self))
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        let path = self.names.changes();
        loop {
            let call = self.begin().await?;
            let look = async { call.client.get_and_watch_data(&path).await.map_err(|error| self.failures.of(error)) };
            let (_, stat, watcher) = call.bound(look).await?;
            // The number of the last transaction that has written to it, the same on all servers.
            let now = stat.mzxid.cast_unsigned();
            if now != seen {
                return Ok(Changed { seen: now, hint: Some(Hint::Resync) });
            }
            // After the end of the session the next look is through another one; what came in between shows then. A
            // client of the application's may end without a word, with its runtime, of which the watcher makes a panic.
            if AssertUnwindSafe(watcher.changed()).catch_unwind().await.is_err() {
                return Err(self.failures.new_error(StoreErrorKind::Unavailable, "the client is gone"));
            }
        }
    }
}

#[async_trait]
impl Session for &Shared {
    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        Ok(at)
    }

    async fn insert(&self, jobs: &[NewJob<'_>]) -> Result<Vec<Inserting>, StoreError> {
        let documents: Vec<Document> = jobs.iter().map(Document::inserted).collect();
        let call = self.begin().await?;
        call.bound(call.add(&documents)).await
    }

    async fn by_key(&self, keys: &BTreeSet<String>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let call = self.begin().await?;
        Ok(LoadedJob::all(call.bound(call.documents(keys.iter().map(|key| (key.clone(), Via::Key)))).await?))
    }

    async fn by_live_id(&self, ids: &BTreeSet<JobId>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let call = self.begin().await?;
        let ids: Vec<_> = ids.iter().cloned().collect();
        // The servers take what is sent in its order.
        Ok(LoadedJob::all(
            call.bound(async { try_join(call.sync(), call.by_live_ids(&ids)).await.map(|((), documents)| documents) })
                .await?,
        ))
    }

    async fn list(&self, after: Option<&JobId>, limit: usize, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let call = self.begin().await?;
        Ok(LoadedJob::all(call.bound(call.list(after, limit)).await?))
    }

    async fn write(&self, jobs: &[&LoadedJob], now: DateTime<Utc>) -> Result<Vec<bool>, StoreError> {
        let replacements = Replace::all(jobs, now);
        let call = self.begin().await?;
        call.bound(call.replace(&replacements)).await
    }

    fn version_after(&self, version: u64) -> Option<u64> {
        Some(version_from(version_of(version).wrapping_add(1)))
    }

    async fn due(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let call = self.begin().await?;
        Ok(LoadedJob::all(call.bound(call.due(claim, since, now, limit)).await?))
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
        let call = self.begin().await?;
        Ok(LoadedJob::all(call.bound(call.expired(now, limit)).await?))
    }

    async fn declined(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Declined>, StoreError> {
        let call = self.begin().await?;
        call.bound(call.declined(claim, now, limit)).await
    }

    async fn held_by(
        &self,
        node: &NodeId,
        hold: HoldKind,
        limit: usize,
        _: Access,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let call = self.begin().await?;
        Ok(LoadedJob::all(call.bound(call.held_by(node, hold, limit)).await?))
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        let (known, running) = try_join(self.known_nodes(), self.running_nodes()).await?;
        Ok(Nodes { known, running })
    }

    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        let call = self.begin().await?;
        call.bound(call.node(id)).await
    }

    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        let call = self.begin().await?;
        call.bound(call.put_node(node)).await
    }

    async fn remove_node(&self, node: &Node) -> Result<bool, StoreError> {
        let call = self.begin().await?;
        let path = self.names.node(&node.id);
        let deleted = call.client.delete(&path, Some(version_of(node.version)));
        call.bound(async { Ok(call.done(deleted.await)?.is_some()) }).await
    }

    async fn ended(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        let call = self.begin().await?;
        call.bound(call.archived(runs.iter().copied())).await
    }

    async fn history(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError> {
        let call = self.begin().await?;
        call.bound(async {
            let page = call.numbers(uid).await?.into_iter().filter(|seq| *seq < before).take(limit);
            call.archived(page.map(|seq| (uid, seq))).await
        })
        .await
    }

    fn archive(&self) -> Option<&dyn Archive> {
        Some(self)
    }

    async fn announce(&self, _: &[Hint]) -> Result<(), StoreError> {
        let call = self.begin().await?;
        let path = self.names.changes();
        call.bound(async { call.client.set_data(&path, &[], None).await.map_err(|error| self.failures.of(error)) })
            .await
            .map(drop)
    }
}

#[async_trait]
impl Archive for &Shared {
    async fn archive(&self, runs: &[Run]) -> Result<(), StoreError> {
        let call = self.begin().await?;
        call.bound(call.archive(runs)).await
    }

    async fn prune(&self, below: &[(Uid, u64)]) -> Result<(), StoreError> {
        let call = self.begin().await?;
        call.bound(try_join_all(below.iter().map(|(uid, end)| call.prune(*uid, *end)))).await.map(drop)
    }
}

impl Shared {
    async fn next_due(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let call = self.begin().await?;
        call.bound(call.next_due(claim, now)).await
    }

    async fn next_claim_end(&self, claim: &Claim) -> Result<Option<DateTime<Utc>>, StoreError> {
        let call = self.begin().await?;
        call.bound(call.next_claim_end(claim)).await
    }

    async fn running_nodes(&self) -> Result<BTreeSet<NodeId>, StoreError> {
        let call = self.begin().await?;
        call.bound(call.running_nodes()).await
    }

    async fn known_nodes(&self) -> Result<Vec<Node>, StoreError> {
        let call = self.begin().await?;
        call.bound(call.nodes()).await
    }
}

impl Call<'_> {
    async fn bound<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.shared.session.bound(&self.client, call).await
    }

    async fn add(&self, documents: &[Document]) -> Result<Vec<Inserting>, StoreError> {
        let mut added = Vec::with_capacity(documents.len());
        while added.len() < documents.len() {
            // Documents that might be in each other's way are not under way at the same time.
            let (mut keys, mut ids) = (BTreeSet::new(), BTreeSet::new());
            let round = documents[added.len()..].iter().take_while(|document| {
                let id = document.index().live_id;
                keys.insert(&document.key) && id.is_none_or(|id| ids.insert(id))
            });
            let round = round.map(|document| Write::add(self, document)).collect::<Result<Vec<_>, _>>()?;
            added.extend(self.write(&round).await?.into_iter().map(|written| match written {
                Written::Done => Inserting::Done,
                Written::Lost => Inserting::UidIsTaken,
                Written::IdIsTaken => Inserting::IdIsTaken,
            }));
        }
        Ok(added)
    }

    async fn replace(&self, replacements: &[Replace]) -> Result<Vec<bool>, StoreError> {
        let writes = replacements.iter().map(|it| Write::replace(self, &it.old, it.new.as_ref()));
        let writes = writes.collect::<Result<Vec<_>, _>>()?;
        Ok(self.write(&writes).await?.into_iter().map(|written| written == Written::Done).collect())
    }

    async fn list(&self, after: Option<&JobId>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let folder = self.names().ids();
        let ((), names) = try_join(self.sync(), self.children(&folder)).await?;
        let ids = sorted_ids(names);
        let mut left = &ids[ids.partition_point(|id| after.is_some_and(|after| id <= after))..];
        let mut documents = Vec::new();
        // Mostly the first look is enough; ids that another program has left without a job take more of them.
        let mut width = limit;
        while documents.len() < limit && !left.is_empty() {
            let (page, rest) = left.split_at(left.len().min(width));
            documents.extend(self.by_live_ids(page).await?);
            left = rest;
            width = (width * 2).clamp(1, BATCH);
        }
        documents.truncate(limit);
        Ok(documents)
    }

    async fn held_by(&self, node: &NodeId, hold: HoldKind, limit: usize) -> Result<Vec<Document>, StoreError> {
        let names = self.children(&self.names().held(hold, node)).await?;
        let mut keys: Vec<_> = names.iter().filter_map(|name| held_name(hold, node, name)).collect();
        keys.sort_unstable();
        let mut left = keys.as_slice();
        let mut documents = Vec::new();
        while documents.len() < limit && !left.is_empty() {
            let (page, rest) = left.split_at(left.len().min(limit - documents.len()));
            let found: Vec<_> = page.iter().map(|key| (key.clone(), Via::Hold(hold, node))).collect();
            documents.extend(self.documents(found).await?);
            left = rest;
        }
        Ok(documents)
    }

    async fn running_nodes(&self) -> Result<BTreeSet<NodeId>, StoreError> {
        let names = self.children(&self.names().holders(HoldKind::Run)).await?;
        let nodes = names.iter().filter_map(|name| unescape(name)).map(|node| async move {
            let node = NodeId::from(node);
            let folder = self.names().held(HoldKind::Run, &node);
            let stat = self.client.check_stat(&folder).await.map_err(|error| self.failures().of(error))?;
            // An empty folder stays until the servers sweep.
            Ok::<_, StoreError>(stat.filter(|stat| stat.num_children > 0).map(|_| node))
        });
        Ok(try_join_all(nodes).await?.into_iter().flatten().collect())
    }

    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        let ids = self.children(&self.names().nodes()).await?;
        let nodes = ids.iter().filter_map(|id| unescape(id)).map(|id| async move { self.node(&id.into()).await });
        Ok(try_join_all(nodes).await?.into_iter().flatten().collect())
    }

    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        let found = self.data(&self.names().node(id)).await?;
        Ok(found.map(|(data, stat)| {
            let fields: Map<String, Value> = serde_json::from_slice(&data).unwrap_or_default();
            node_of(id.clone(), version_from(stat.version), &fields)
        }))
    }

    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        let (path, data) = (self.names().node(&node.id), text(&node_fields(node)));
        let stat = if node.version > 0 {
            self.client.set_data(&path, data.as_bytes(), Some(version_of(node.version))).await
        } else {
            let options = CreateMode::Persistent.with_acls(self.acls());
            self.client.create(&path, data.as_bytes(), &options).await.map(|(stat, _)| stat)
        };
        let version = self.done(stat)?.map(|stat| version_from(stat.version));
        Ok(version.map(|version| Node { version, ..node.clone() }))
    }

    /// None if another call was faster.
    fn done<T>(&self, result: Result<T, Error>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_lost(&error) => Ok(None),
            Err(error) => Err(self.failures().of(error)),
        }
    }

    async fn archive(&self, runs: &[Run]) -> Result<(), StoreError> {
        let mut rows: BTreeMap<String, String> = BTreeMap::new();
        rows.extend(runs.iter().map(|run| (self.names().run(run.id.uid, run.id.seq), text(&run_fields(run)))));
        // The server may sweep an empty folder just before.
        for _ in 0..3 {
            self.make_folders(rows.keys().map(String::as_str)).await?;
            let options = CreateMode::Persistent.with_acls(self.acls());
            let created = rows.iter().map(|(path, row)| self.client.create(path, row.as_bytes(), &options));
            let created = join_all(created).await;
            let mut left = BTreeMap::new();
            for (row, result) in rows.into_iter().zip(created) {
                match result {
                    Ok(_) | Err(Error::NodeExists) => {}
                    Err(Error::NoNode) => drop(left.insert(row.0, row.1)),
                    Err(error) => return Err(self.failures().of(error)),
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            self.shared.forget_folders();
            rows = left;
        }
        Err(self.failures().new_error(StoreErrorKind::Unavailable, "the folders of ended runs go all the time"))
    }

    async fn archived(&self, runs: impl Iterator<Item = (Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        let read = runs.map(|(uid, seq)| async move { self.data(&self.names().run(uid, seq)).await });
        let rows = try_join_all(read).await?.into_iter().flatten();
        let fields = rows.filter_map(|(data, _)| serde_json::from_slice::<Map<String, Value>>(&data).ok());
        Ok(fields.filter_map(|fields| run_of(&fields).ok()).collect())
    }

    /// The numbers of a job's ended runs, newest first.
    async fn numbers(&self, uid: Uid) -> Result<Vec<u64>, StoreError> {
        let names = self.children(&self.names().runs(uid)).await?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    async fn prune(&self, uid: Uid, end: u64) -> Result<(), StoreError> {
        let numbers = self.numbers(uid).await?;
        let paths: Vec<_> =
            numbers.into_iter().filter(|seq| *seq < end).map(|seq| self.names().run(uid, seq)).collect();
        for result in join_all(paths.iter().map(|path| self.client.delete(path, None))).await {
            self.done(result)?;
        }
        Ok(())
    }
}
