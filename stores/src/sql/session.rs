//! A session of the kit over tables.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use async_lock::Mutex;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, NodeId, Run, RunId, Uid,
    store::{Claim, Declined, Hint, StoreError, StoreErrorKind},
};
use serde_json::json;

use super::{RowOf, Sql, Statement, Statements, Tables, Transaction, node_name, rows::Rows, statement, write::Changes};
use crate::kit::{
    Access, HoldKind, Inserting, JobFinder, LoadedJob, NewJob, Node, Nodes, RunFinder, Session,
    columns::{Columns, decode_run},
    rules::{earlier, whole_micros},
};

/// What is the version of each row, since none that is locked changes. 0 is for those that are not there.
pub(super) const VERSION: u64 = 1;

/// A verb's access to the tables.
///
/// The kit calls several methods at the same time. Their statements go over one connection, one after the other, in the order in
/// which the methods were first polled.
pub(crate) struct SqlSession<'a, Tx: Transaction> {
    pub(super) tables: &'a Tx::Tables,
    /// None if the session only reads.
    pub(super) tx: Option<Mutex<Tx>>,
}

impl<'a, Tx: Transaction> SqlSession<'a, Tx> {
    /// A session that changes the tables in a transaction.
    pub(crate) fn within(tables: &'a Tx::Tables, tx: Tx) -> Self {
        Self { tables, tx: Some(Mutex::new(tx)) }
    }

    /// A session whose statements only read, each by itself.
    pub(crate) fn reading(tables: &'a Tx::Tables) -> Self {
        Self { tables, tx: None }
    }

    pub(super) fn sql(&self) -> &'a Statements {
        self.tables.sql()
    }

    pub(super) fn transaction(&self) -> Result<&Mutex<Tx>, StoreError> {
        let why = "a call that only reads was to change something; this is a bug of scheduler-stores";
        self.tx.as_ref().ok_or_else(|| self.tables.failures().because(StoreErrorKind::Incompatible, why))
    }
}

#[async_trait]
impl<Tx: Transaction> Session for SqlSession<'_, Tx> {
    fn is_transaction(&self) -> bool {
        self.tx.is_some()
    }

    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        Ok(match &self.tx {
            Some(tx) => tx.lock().await.now(at),
            None => whole_micros(at),
        })
    }

    async fn insert(&self, jobs: &[NewJob<'_>]) -> Result<Vec<Inserting>, StoreError> {
        // One order for all calls, so that no two of them wait for each other.
        let mut in_order: Vec<&NewJob<'_>> = jobs.iter().collect();
        in_order.sort_by(|a, b| a.row.id.cmp(&b.row.id));
        let added = self.add(&in_order).await?;
        let is_left = |job: &&NewJob<'_>| !added.contains(&job.row.uid.to_string());
        let left: Vec<String> = jobs.iter().filter(is_left).map(|job| job.row.uid.to_string()).collect();
        let known: HashSet<String> = match left.is_empty() {
            true => HashSet::new(),
            // Those that MySQL has added, too, which does not tell.
            false => self.texts(statement(&self.sql().known).list(left)).await?,
        };
        let outcome = |job: &NewJob<'_>| match job.row.uid.to_string() {
            uid if added.contains(&uid) => Inserting::Done,
            uid if known.contains(&uid) => Inserting::UidIsTaken,
            _ => Inserting::IdIsTaken,
        };
        let inserting: Vec<Inserting> = jobs.iter().map(outcome).collect();
        let there = jobs.iter().zip(&inserting).filter(|(_, inserting)| **inserting != Inserting::IdIsTaken);
        let mut tags = Rows::default();
        there.for_each(|(job, _)| tags.tags(&job.row.uid, &job.row.body.tags));
        if !tags.is_empty() {
            self.run(statement(&self.sql().insert_tags).text(tags.finish())).await?;
        }
        Ok(inserting)
    }

    async fn by_key(&self, keys: &BTreeSet<String>, access: Access) -> Result<Vec<LoadedJob>, StoreError> {
        self.load(keys, access).await
    }

    async fn by_live_id(&self, ids: &BTreeSet<JobId>, access: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let ids = ids.iter().map(JobId::as_str);
        match access {
            Access::Show => self.show(statement(&self.sql().jobs_by_id).list(ids)).await,
            _ => self.load_found(statement(&self.sql().live).list(ids), access).await,
        }
    }

    async fn list(&self, after: Option<&JobId>, limit: usize, access: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let after = after.map_or("", JobId::as_str);
        match access {
            Access::Show => self.show(statement(&self.sql().jobs).text(after).count(limit)).await,
            _ => self.load_found(statement(&self.sql().live_after).text(after).count(limit), access).await,
        }
    }

    /// All of it in one go, so that no other statement of the session, as [`next`](Self::next), sees a part of it: of two futures
    /// that are polled one after the other, the first has the transaction first.
    async fn write(&self, jobs: &[&LoadedJob], _: DateTime<Utc>) -> Result<Vec<bool>, StoreError> {
        let changes = Changes::of(jobs);
        let mut tx = self.transaction()?.lock().await;
        changes.write(&mut *tx, self.sql()).await?;
        Ok(vec![true; jobs.len()])
    }

    async fn due(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let due = able(&self.sql().due, claim, now)
            .node(&claim.owner)
            .time(claim.lapsed_by(now))
            .count(limit)
            .integer(since.map_or(i64::MIN, |since| since.timestamp_micros()));
        let rows = self.all(due).await?;
        self.with_open_runs(rows.iter().map(|row| LoadedJob::from_row(row, VERSION, Access::Redefine)).collect()).await
    }

    async fn next(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let next = able(&self.sql().next, claim, now).node(&claim.owner).time(Some(until));
        let Some(row) = self.first(next).await? else { return Ok(None) };
        // What is no time is after all times. The job is found to be unreadable if a claim ever takes it.
        let time = |at| row.integer(at).ok().flatten().and_then(DateTime::from_timestamp_micros);
        Ok(earlier(time(0), time(1)))
    }

    async fn expired(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<LoadedJob>, StoreError> {
        let expired = statement(&self.sql().expired).time(Some(now)).count(limit);
        self.load_found(expired, Access::ChangeUnlocked).await
    }

    async fn declined(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Declined>, StoreError> {
        let rows = self.all(able(&self.sql().declined, claim, now).count(limit)).await?;
        let declined = |row: &RowOf<Tx>| {
            // A version that is out of range is none of this program's either.
            let v = self.integer(row, 2, "v")?.and_then(|v| u32::try_from(v).ok()).unwrap_or_default();
            Ok(Declined { id: self.text(row, 0, "id")?.into(), task: self.text(row, 1, "task")?.into(), v })
        };
        rows.iter().map(declined).collect()
    }

    async fn held_by(
        &self,
        node: &NodeId,
        hold: HoldKind,
        limit: usize,
        access: Access,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        self.load_found(self.holding(node, hold, limit).await?, access).await
    }

    async fn holds(&self, node: &NodeId, hold: HoldKind) -> Result<bool, StoreError> {
        let holding = self.holding(node, hold, 1).await?;
        Ok(self.first(holding).await?.is_some())
    }

    async fn stopping(&self, node: &NodeId, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let rows = self.all(statement(&self.sql().stopping).node(node).count(limit)).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in &rows {
            // Of a run with an unreadable uid no node can know that it is asked to stop.
            if let Ok(uid) = self.text(row, 0, "uid")?.parse() {
                runs.push(RunId { uid, seq: self.number(row, 1, "seq")? });
            }
        }
        Ok(runs)
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        let mut nodes = Nodes::default();
        for row in &self.all(statement(&self.sql().nodes)).await? {
            let node = self.node_of(node_name::read(self.text(row, 0, "id")?), row, 1)?;
            if self.number(row, 3, "running")? > 0 {
                nodes.running.insert(node.id.clone());
            }
            nodes.known.push(node);
        }
        Ok(nodes)
    }

    async fn node_infos(&self) -> Result<BTreeMap<NodeId, Arc<str>>, StoreError> {
        let rows = self.all(statement(&self.sql().node_infos)).await?;
        let info = |row| Ok((node_name::read(self.text(row, 0, "id")?), Arc::from(self.text(row, 1, "info")?)));
        rows.iter().map(info).collect()
    }

    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        self.one_node(&self.sql().node, id).await
    }

    async fn lock_own_node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        self.one_node(&self.sql().own_node, id).await
    }

    async fn lock_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        self.one_node(&self.sql().free_node, &node.id).await
    }

    /// A row that was there is locked, and stays as it was read. One that was not may be there by now.
    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        let is_new = node.version == 0;
        let sql = if is_new { &self.sql().insert_node } else { &self.sql().write_node };
        let mut put = statement(sql).node(&node.id).time(node.lease_until).count(node.last_claim_seq);
        if is_new {
            put = put.text(node.info.as_deref().unwrap_or_default());
        }
        self.run(put).await?;
        // What a node says of itself is read with all nodes only.
        let written = Node { version: VERSION, info: None, ..node.clone() };
        if is_new && self.node(&node.id).await?.as_ref() != Some(&written) {
            return Ok(None);
        }
        Ok(Some(written))
    }

    async fn remove_node(&self, node: &Node) -> Result<bool, StoreError> {
        self.run(statement(&self.sql().delete_node).node(&node.id)).await?;
        Ok(true)
    }

    /// No run has a number that a database could not keep.
    async fn ended(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        let can_be = |(_, seq): &&(Uid, u64)| i64::try_from(*seq).is_ok();
        let keys: Vec<_> = runs.iter().filter(can_be).map(|(uid, seq)| json!([uid, seq])).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.all(statement(&self.sql().runs_by_key).list(keys)).await?;
        Ok(readable_runs(&rows))
    }

    async fn history(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError> {
        let runs = statement(&self.sql().runs).text(uid.to_string()).count(before).count(limit);
        Ok(readable_runs(&self.all(runs).await?))
    }

    async fn announce(&self, hints: &[Hint]) -> Result<(), StoreError> {
        let mut tx = self.transaction()?.lock().await;
        hints.iter().for_each(|hint| tx.tell(hint.clone()));
        Ok(())
    }

    async fn commit(&self) -> Result<(), StoreError> {
        match &self.tx {
            Some(tx) => tx.lock().await.commit().await,
            None => Ok(()),
        }
    }

    async fn undo(&self) {
        if let Some(tx) = &self.tx {
            tx.lock().await.undo().await;
        }
    }

    fn job_finder(&self) -> Option<&dyn JobFinder> {
        Some(self)
    }

    fn run_finder(&self) -> Option<&dyn RunFinder> {
        Some(self)
    }

    fn has_met_another(&self) -> bool {
        // No method is at work any more.
        self.tx.as_ref().and_then(Mutex::try_lock).is_some_and(|tx| tx.has_met_another())
    }
}

/// A run that cannot be read is left out: it is in no list, and is asked for by no node.
fn readable_runs(rows: &[impl Columns]) -> Vec<Run> {
    rows.iter().filter_map(|row| decode_run(row).ok()).collect()
}

/// A statement whose first arguments are a time, the node's tasks and the newest version that it reads.
fn able(sql: &Sql, claim: &Claim, now: DateTime<Utc>) -> Statement {
    statement(sql).time(Some(now)).text(json!(claim.tasks).to_string()).integer(claim.max_v)
}
