//! The jobs of one call: loaded together, changed one by one, written together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use scheduler_core::{
    JobId, Run, RunId, Uid,
    store::{Fate, StoreError},
};
use serde_json::{Value, json};

use super::connection::{Statement, Tx, list, query};
use crate::{
    codec::{Rows, StoredHead, decode_head, decode_run},
    head::{Head, Runs, is_time_to_prune},
};

/// The jobs of one call.
#[derive(Debug, Default)]
pub(super) struct Batch {
    jobs: Vec<Loaded>,
    by_uid: HashMap<Uid, usize>,
    by_id: HashMap<JobId, usize>,
}

/// A job with its open runs.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) stored: StoredHead,
    before: Head,
    book: Book,
    pub(super) fate: Fate,
}

/// The runs of a job that are loaded.
#[derive(Debug, Default)]
pub(super) struct Book {
    runs: BTreeMap<u64, Run>,
    touched: BTreeSet<u64>,
    is_full: bool,
}

impl Batch {
    /// Loads the jobs that a statement of heads finds, with their open runs.
    pub(super) async fn load(tx: &mut Tx<'_>, heads: Statement) -> Result<Self, StoreError> {
        let rows = tx.all(heads).await?;
        let mut batch = Self::default();
        for stored in rows.iter().map(decode_head) {
            batch.add(stored);
        }
        batch.load_open_runs(tx).await?;
        Ok(batch)
    }

    /// Loads the jobs with these uids.
    pub(super) async fn of(tx: &mut Tx<'_>, uids: impl Iterator<Item = Uid>) -> Result<Self, StoreError> {
        let uids: BTreeSet<Uid> = uids.collect();
        if uids.is_empty() {
            return Ok(Self::default());
        }
        let heads = query(&tx.sql.heads).bind(list(uids.into_iter().map(|uid| json!(uid))));
        Self::load(tx, heads).await
    }

    /// A batch of one job that has been read already.
    pub(super) async fn of_one(tx: &mut Tx<'_>, stored: StoredHead) -> Result<Self, StoreError> {
        let mut batch = Self::default();
        batch.add(stored);
        batch.load_open_runs(tx).await?;
        Ok(batch)
    }

    fn add(&mut self, stored: StoredHead) {
        let at = self.jobs.len();
        if let Ok(uid) = stored.uid {
            self.by_uid.insert(uid, at);
        }
        self.by_id.insert(stored.id.clone(), at);
        let before = stored.head.clone();
        self.jobs.push(Loaded { stored, before, book: Book::default(), fate: Fate::Stays });
    }

    async fn load_open_runs(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let ran = self.jobs.iter().filter(|job| job.before.last_seq > 0);
        let uids: Vec<Value> = ran.filter_map(|job| job.stored.uid.as_ref().ok()).map(|uid| json!(uid)).collect();
        if uids.is_empty() {
            return Ok(());
        }
        let rows = tx.all(query(&tx.sql.open_runs).bind(list(uids))).await?;
        self.take_in(rows.iter().filter_map(|row| decode_run(row).ok()));
        Ok(())
    }

    /// Loads runs that may have ended, unless they are loaded.
    pub(super) async fn load_runs(
        &mut self,
        tx: &mut Tx<'_>,
        ids: impl Iterator<Item = RunId>,
    ) -> Result<(), StoreError> {
        let is_missing = |id: &RunId| {
            let job = self.by_uid.get(&id.uid).map(|at| &self.jobs[*at]);
            job.is_some_and(|job| !job.book.runs.contains_key(&id.seq))
        };
        let keys: Vec<Value> = ids.filter(is_missing).map(|id| json!([id.uid, id.seq])).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let rows = tx.all(query(&tx.sql.runs_by_key).bind(list(keys))).await?;
        self.take_in(rows.iter().filter_map(|row| decode_run(row).ok()));
        Ok(())
    }

    fn take_in(&mut self, runs: impl Iterator<Item = Run>) {
        for run in runs {
            if let Some(at) = self.by_uid.get(&run.id.uid) {
                self.jobs[*at].book.runs.insert(run.id.seq, run);
            }
        }
    }

    pub(super) fn job(&mut self, uid: Uid) -> Option<&mut Loaded> {
        let job = &mut self.jobs[*self.by_uid.get(&uid)?];
        (job.fate == Fate::Stays).then_some(job)
    }

    pub(super) fn job_by_id(&mut self, id: &JobId) -> Option<&mut Loaded> {
        let job = &mut self.jobs[*self.by_id.get(id)?];
        job.stored.head.state.is_live().then_some(job)
    }

    pub(super) fn jobs(&mut self) -> &mut [Loaded] {
        &mut self.jobs
    }

    /// Writes what has changed.
    pub(super) async fn write(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let staying = || self.jobs.iter().filter(|job| job.fate == Fate::Stays);
        let mut heads = Rows::new();
        for job in staying().filter(|job| job.stored.head != job.before) {
            heads.add(|row| {
                row.integer(job.stored.key);
                row.head(&job.stored.head);
            });
        }
        if !heads.is_empty() {
            tx.run(query(&tx.sql.write_heads).bind(heads.finish())).await?;
        }
        let mut runs = Rows::new();
        for run in staying().flat_map(|job| job.book.touched()) {
            runs.add(|row| row.run(run));
        }
        if !runs.is_empty() {
            tx.run(query(&tx.sql.write_runs).bind(runs.finish())).await?;
        }
        for job in staying().filter(|job| job.book.is_full) {
            if let Ok(uid) = job.stored.uid {
                let prune = query(&tx.sql.prune).bind(uid.to_string()).bind(i64::from(job.stored.history));
                tx.run(prune).await?;
            }
        }
        let deleted: Vec<Value> =
            self.jobs.iter().filter(|job| job.fate == Fate::Deleted).map(|job| json!(job.stored.key)).collect();
        if !deleted.is_empty() {
            let keys = list(deleted);
            tx.run(query(&tx.sql.delete_runs).bind(keys.clone())).await?;
            tx.run(query(&tx.sql.delete_jobs).bind(keys)).await?;
        }
        Ok(())
    }
}

impl Loaded {
    /// Lets a step change the job.
    pub(super) fn step<T>(&mut self, step: impl FnOnce(&mut Head, &mut Book) -> T) -> T {
        step(&mut self.stored.head, &mut self.book)
    }

    /// Whether the job is over and has no open run.
    pub(super) fn fate_now(&self) -> Fate {
        self.stored.head.fate(&self.book)
    }
}

impl Book {
    fn touched(&self) -> impl Iterator<Item = &Run> {
        self.touched.iter().filter_map(|seq| self.runs.get(seq))
    }
}

impl Runs for Book {
    fn run(&self, seq: u64) -> Option<&Run> {
        self.runs.get(&seq)
    }

    fn open(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(|run| run.is_open())
    }

    fn put(&mut self, run: Run) {
        self.is_full |= !run.is_open() && is_time_to_prune(&run);
        self.touched.insert(run.id.seq);
        self.runs.insert(run.id.seq, run);
    }
}
