//! How a session reads: rows, jobs with their open runs, nodes.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use scheduler_core::{
    NodeId, Uid,
    store::{StoreError, StoreErrorKind},
};

use super::{RowOf, Sql, SqlSession, Statement, Tables, Transaction, rows::Rows, session::VERSION, statement};
use crate::kit::{
    Access, HoldKind, LoadedJob, NewJob, Node, Session,
    columns::{Columns, decode_run},
};

/// How often a page is looked for again of which others have deleted jobs in the meantime.
const LOOKS: usize = 10;

impl<Tx: Transaction> SqlSession<'_, Tx> {
    pub(super) async fn all(&self, statement: Statement) -> Result<Vec<RowOf<Tx>>, StoreError> {
        match &self.tx {
            Some(tx) => tx.lock().await.all(statement).await,
            None => self.tables.read(statement).await,
        }
    }

    pub(super) async fn first(&self, statement: Statement) -> Result<Option<RowOf<Tx>>, StoreError> {
        Ok(self.all(statement).await?.into_iter().next())
    }

    pub(super) async fn run(&self, statement: Statement) -> Result<(), StoreError> {
        self.transaction()?.lock().await.run(statement).await
    }

    /// The texts in the first column of a statement's rows.
    pub(super) async fn texts<C: FromIterator<String>>(&self, statement: Statement) -> Result<C, StoreError> {
        self.all(statement).await?.iter().map(|row| self.text(row, 0, "uid")).collect()
    }

    /// Loads jobs by their uids. Those that are shown are not locked, the others in the order of their uids.
    pub(super) async fn load(&self, uids: &BTreeSet<String>, access: Access) -> Result<Vec<LoadedJob>, StoreError> {
        if uids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = match access {
            Access::Change => &self.sql().heads,
            Access::ChangeUnlocked => &self.sql().free_heads,
            Access::Show => &self.sql().shown,
            Access::Redefine => &self.sql().jobs_by_uid,
        };
        let rows = self.all(statement(sql).list(uids.iter().map(String::as_str))).await?;
        self.with_open_runs(rows.iter().map(|row| LoadedJob::from_row(row, VERSION, access)).collect()).await
    }

    /// Loads the jobs whose uids a statement finds. It looks again if others have deleted some of them before they were locked, so
    /// that a page is full for as long as there are more.
    pub(super) async fn load_found(&self, find: Statement, access: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let mut jobs = Vec::new();
        for _ in 0..LOOKS {
            let uids: BTreeSet<String> = self.texts(find.clone()).await?;
            jobs = self.load(&uids, access).await?;
            if jobs.len() == uids.len() || access == Access::ChangeUnlocked {
                break;
            }
        }
        Ok(jobs)
    }

    /// Reads jobs to show them.
    pub(super) async fn show(&self, statement: Statement) -> Result<Vec<LoadedJob>, StoreError> {
        let rows = self.all(statement).await?;
        Ok(rows.iter().map(|row| LoadedJob::from_row(row, VERSION, Access::Show)).collect())
    }

    pub(super) async fn with_open_runs(&self, mut jobs: Vec<LoadedJob>) -> Result<Vec<LoadedJob>, StoreError> {
        let ran = jobs.iter().enumerate().filter(|(_, job)| job.head().last_seq > 0);
        let places: HashMap<Option<Uid>, usize> = ran.map(|(at, job)| (job.uid(), at)).collect();
        if places.is_empty() {
            return Ok(jobs);
        }
        let keys = jobs.iter().filter(|job| job.head().last_seq > 0).map(LoadedJob::key);
        for row in &self.all(statement(&self.sql().open_runs).list(keys)).await? {
            let run = decode_run(row);
            let at = match &run {
                Ok(run) => places.get(&Some(run.id.uid)).copied(),
                Err(_) => {
                    let key = self.text(row, 0, "uid")?;
                    jobs.iter().position(|job| job.key() == key)
                }
            };
            if let Some(job) = at.and_then(|at| jobs.get_mut(at)) {
                job.add_run(run);
            }
        }
        Ok(jobs)
    }

    /// Adds those jobs whose uid and id are free, and gives back the uids of those that were added, if the database tells.
    pub(super) async fn add(&self, jobs: &[&NewJob<'_>]) -> Result<HashSet<String>, StoreError> {
        let mut added = HashSet::new();
        let mut rows = Rows::default();
        for (n, job) in jobs.iter().enumerate() {
            rows.add(|row| row.job(job));
            if rows.len() > self.tables.room() || n + 1 == jobs.len() {
                let full = std::mem::take(&mut rows).finish();
                added.extend(self.texts::<Vec<String>>(statement(&self.sql().insert).text(full)).await?);
            }
        }
        Ok(added)
    }

    /// A statement that finds the uids of the jobs that a node holds.
    pub(super) async fn holding(&self, node: &NodeId, hold: HoldKind, limit: usize) -> Result<Statement, StoreError> {
        let sql = self.sql();
        Ok(match hold {
            // A claimed job is due, so that some databases find them up to now. By the callers' clocks they look at all.
            HoldKind::Claim => {
                let now = self.now(DateTime::<Utc>::MAX_UTC).await?;
                statement(&sql.claimed).node(node).count(limit).time(Some(now))
            }
            HoldKind::Run => statement(&sql.running).node(node).count(limit),
            HoldKind::Stop => statement(&sql.stopping).node(node).count(limit),
        })
    }

    pub(super) fn node_of(&self, id: NodeId, row: &RowOf<Tx>, at: usize) -> Result<Node, StoreError> {
        let lease_until = self.integer(row, at, "lease_until")?.map(|micros| {
            let unreadable = || self.unreadable(&format!("`lease_until` of node `{id}` is {micros}, which is no time"));
            DateTime::from_timestamp_micros(micros).ok_or_else(unreadable)
        });
        let last_claim_seq = self.number(row, at + 1, "last_claim_seq")?;
        Ok(Node { lease_until: lease_until.transpose()?, last_claim_seq, version: VERSION, info: None, id })
    }

    /// A node by one of the statements for that, which differ in how they lock its row.
    pub(super) async fn one_node(&self, sql: &Sql, id: &NodeId) -> Result<Option<Node>, StoreError> {
        let row = self.first(statement(sql).node(id)).await?;
        row.map(|row| self.node_of(id.clone(), &row, 0)).transpose()
    }

    pub(super) fn text(&self, row: &RowOf<Tx>, at: usize, name: &str) -> Result<String, StoreError> {
        let bytes = row.bytes(at).map_err(|_| self.unreadable(&format!("a `{name}` is no text")))?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    }

    pub(super) fn integer(&self, row: &RowOf<Tx>, at: usize, name: &str) -> Result<Option<i64>, StoreError> {
        row.integer(at).map_err(|_| self.unreadable(&format!("a `{name}` is no whole number")))
    }

    /// A number that counts.
    pub(super) fn number(&self, row: &RowOf<Tx>, at: usize, name: &str) -> Result<u64, StoreError> {
        let integer = self.integer(row, at, name)?.unwrap_or_default();
        u64::try_from(integer).map_err(|_| self.unreadable(&format!("a `{name}` is {integer}, less than 0")))
    }

    pub(super) fn unreadable(&self, what: &str) -> StoreError {
        let why =
            format!("its tables are not those of this store, or a row was changed by hand, for {what}; correct it");
        self.tables.failures().because(StoreErrorKind::Incompatible, &why)
    }
}
