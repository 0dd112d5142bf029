//! The jobs of one call: loaded together, changed one by one, written together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use scheduler_core::{
    JobId, Run, RunId, RunState, Uid,
    store::{Fate, StoreError},
};
use serde_json::{Value, json};

use super::{Statement, Transaction, query, rows::Rows};
use crate::{
    kit::columns::{StoredHead, decode_head, decode_run},
    kit::rules::{Head, Runs, is_time_to_prune},
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
    is_deleted: bool,
}

/// What to do about jobs that someone else has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Wait for them.
    Wait,
    /// Leave them out.
    Free,
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
    pub(super) async fn load(tx: &mut impl Transaction, heads: Statement) -> Result<Self, StoreError> {
        let rows = tx.all(heads).await?;
        let mut batch = Self::default();
        for stored in rows.iter().map(decode_head) {
            batch.add(stored);
        }
        batch.load_open_runs(tx).await?;
        Ok(batch)
    }

    /// Loads the jobs with these uids.
    pub(super) async fn of(
        tx: &mut impl Transaction,
        uids: impl Iterator<Item = Uid>,
        lock: Lock,
    ) -> Result<Self, StoreError> {
        let uids: BTreeSet<Uid> = uids.collect();
        if uids.is_empty() {
            return Ok(Self::default());
        }
        let heads = match lock {
            Lock::Wait => &tx.sql().heads,
            Lock::Free => &tx.sql().free_heads,
        };
        let heads = query(heads).list(uids.into_iter().map(|uid| json!(uid)));
        Self::load(tx, heads).await
    }

    /// A batch of one job that has been read already.
    pub(super) async fn of_one(tx: &mut impl Transaction, stored: StoredHead) -> Result<Self, StoreError> {
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
        self.jobs.push(Loaded { stored, before, book: Book::default(), fate: Fate::Stays, is_deleted: false });
    }

    async fn load_open_runs(&mut self, tx: &mut impl Transaction) -> Result<(), StoreError> {
        let ran = self.jobs.iter().filter(|job| job.before.last_seq > 0);
        let uids: Vec<Value> = ran.filter_map(|job| job.stored.uid.as_ref().ok()).map(|uid| json!(uid)).collect();
        if uids.is_empty() {
            return Ok(());
        }
        let rows = tx.all(query(&tx.sql().open_runs).list(uids)).await?;
        self.take_in(rows.iter().filter_map(|row| decode_run(row).ok()));
        Ok(())
    }

    /// Loads runs that may have ended, unless they are loaded. No run has a number that a database could not keep.
    pub(super) async fn load_runs(
        &mut self,
        tx: &mut impl Transaction,
        ids: impl Iterator<Item = RunId>,
    ) -> Result<(), StoreError> {
        let is_missing = |id: &RunId| {
            let job = self.by_uid.get(&id.uid).map(|at| &self.jobs[*at]);
            job.is_some_and(|job| !job.book.runs.contains_key(&id.seq))
        };
        let can_be = |id: &RunId| i64::try_from(id.seq).is_ok();
        let keys: Vec<Value> = ids.filter(can_be).filter(is_missing).map(|id| json!([id.uid, id.seq])).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let rows = tx.all(query(&tx.sql().runs_by_key).list(keys)).await?;
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

    /// Writes what has changed since it was loaded or written.
    pub(super) async fn write(&mut self, tx: &mut impl Transaction) -> Result<(), StoreError> {
        self.write_heads(tx).await?;
        self.write_runs(tx).await?;
        self.prune(tx).await?;
        self.delete(tx).await
    }

    async fn write_heads(&mut self, tx: &mut impl Transaction) -> Result<(), StoreError> {
        let mut heads = Rows::new();
        for job in self.staying().filter(|job| job.stored.head != job.before) {
            heads.add(|row| {
                row.value(&job.stored.key);
                row.head(&job.stored.head);
            });
            job.before = job.stored.head.clone();
        }
        if !heads.is_empty() {
            tx.run(query(&tx.sql().write_heads).text(heads.finish())).await?;
        }
        Ok(())
    }

    async fn write_runs(&mut self, tx: &mut impl Transaction) -> Result<(), StoreError> {
        let mut runs = Rows::new();
        for job in self.staying() {
            for seq in std::mem::take(&mut job.book.touched) {
                runs.add(|row| row.run(&job.book.runs[&seq]));
            }
        }
        if !runs.is_empty() {
            tx.run(query(&tx.sql().write_runs).text(runs.finish())).await?;
        }
        Ok(())
    }

    async fn prune(&mut self, tx: &mut impl Transaction) -> Result<(), StoreError> {
        let mut full = Vec::new();
        for job in self.staying().filter(|job| job.book.is_full) {
            job.book.is_full = false;
            full.extend(job.stored.uid.as_ref().ok().map(|uid| json!([uid, job.stored.history])));
        }
        if !full.is_empty() {
            tx.run(query(&tx.sql().prune).list(full)).await?;
        }
        Ok(())
    }

    async fn delete(&mut self, tx: &mut impl Transaction) -> Result<(), StoreError> {
        let mut deleted = Vec::new();
        for job in self.jobs.iter_mut().filter(|job| job.fate == Fate::Deleted && !job.is_deleted) {
            job.is_deleted = true;
            deleted.push(job.stored.key.clone());
        }
        if !deleted.is_empty() {
            tx.run(query(&tx.sql().delete_runs).list(deleted.clone())).await?;
            tx.run(query(&tx.sql().delete_jobs).list(deleted)).await?;
        }
        Ok(())
    }

    fn staying(&mut self) -> impl Iterator<Item = &mut Loaded> {
        self.jobs.iter_mut().filter(|job| job.fate == Fate::Stays)
    }
}

impl Loaded {
    /// Lets a step change the job.
    pub(super) fn step<T>(&mut self, step: impl FnOnce(&mut Head, &mut Book) -> T) -> T {
        step(&mut self.stored.head, &mut self.book)
    }

    /// Whether a run of the job waits.
    pub(super) fn has_waiting_run(&self) -> bool {
        self.book.open().any(|run| run.state != RunState::Running)
    }

    /// Whether the job is over and has no open run.
    pub(super) fn fate_now(&self) -> Fate {
        self.stored.head.fate(&self.book)
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
