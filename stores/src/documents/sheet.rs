//! One document while a verb works on it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scheduler_core::{JobBody, NodeId, Run, RunState, Uid, store::Fate};
use serde_json::Value;

use super::{
    document::{ENDED, RUNS, run_fields},
    shelf::{Document, Replace},
};
use crate::{
    codec::StoredHead,
    head::{Head, Runs, is_time_to_prune},
};

/// A job's document, read, and how the steps of a verb have changed it.
#[derive(Debug)]
pub(super) struct Sheet {
    document: Document,
    pub(super) stored: StoredHead,
    before: Head,
    pub(super) book: Book,
    /// What becomes of the job.
    pub(super) fate: Fate,
    definition: Option<(JobBody, String)>,
    quarantine: Option<String>,
}

/// The runs of a job.
#[derive(Debug, Default)]
pub(super) struct Book {
    open: BTreeMap<u64, Run>,
    /// Those that had ended when the document was written last.
    unfiled: BTreeMap<u64, Run>,
    /// Those that have ended since.
    ended: BTreeMap<u64, Run>,
    /// Those that are in the files already, as far as somebody has asked for them.
    filed: BTreeMap<u64, Run>,
    is_touched: bool,
    is_full: bool,
}

impl Sheet {
    pub(super) fn new(document: Document) -> Self {
        let stored = document.head();
        let by_seq = |name| document.runs(name).0.into_iter().map(|run| (run.id.seq, run)).collect();
        let book = Book { open: by_seq(RUNS), unfiled: by_seq(ENDED), ..Book::default() };
        let before = stored.head.clone();
        Self { document, stored, before, book, fate: Fate::Stays, definition: None, quarantine: None }
    }

    pub(super) fn document(&self) -> &Document {
        &self.document
    }

    pub(super) fn into_document(self) -> Document {
        self.document
    }

    /// The uid, if it can be read.
    pub(super) fn uid(&self) -> Option<Uid> {
        self.stored.uid.clone().ok()
    }

    /// Lets a step change the job.
    pub(super) fn step<T>(&mut self, step: impl FnOnce(&mut Head, &mut Book) -> T) -> T {
        step(&mut self.stored.head, &mut self.book)
    }

    /// Whether the job is over and has no open run.
    pub(super) fn fate_now(&self) -> Fate {
        self.stored.head.fate(&self.book)
    }

    /// Whether there is nothing left to do but to delete the job. A run that nobody can read is never deleted by itself.
    pub(super) fn is_over(&self) -> bool {
        self.fate_now() == Fate::Deleted && self.document.runs(RUNS).1.is_empty()
    }

    /// Gives the job another definition.
    pub(super) fn define(&mut self, body: JobBody, text: String) {
        self.definition = Some((body, text));
    }

    /// Takes a job that nobody can read out of the claims' way, and leaves everything else as it is.
    pub(super) fn quarantine(&mut self, reason: String) {
        self.quarantine = Some(reason);
    }

    /// Whether there is something to write.
    pub(super) fn is_changed(&self) -> bool {
        self.fate == Fate::Deleted
            || self.book.is_touched
            || self.stored.head != self.before
            || self.definition.is_some()
            || self.quarantine.is_some()
    }

    /// Whether the node has claimed the job.
    pub(super) fn is_claimed_by(&self, node: &NodeId) -> bool {
        self.stored.head.held.as_ref().is_some_and(|held| held.owner == *node)
    }

    /// Whether the node has claimed the job or runs a run of it.
    pub(super) fn is_held_by(&self, node: &NodeId) -> bool {
        self.is_claimed_by(node) || self.book.running_on(node).next().is_some()
    }

    /// Whether rows of the job can be in the files: all but the runs that end with this write.
    pub(super) fn is_filed(&self) -> bool {
        usize::try_from(self.stored.head.last_seq).unwrap_or(usize::MAX) > self.book.ended.len()
    }

    /// The runs to be filed before the document is written, since it will not have them any more.
    pub(super) fn unfiled(&self) -> impl Iterator<Item = &Run> {
        // A job that goes takes its files along.
        self.book.unfiled.values().filter(|_| self.fate == Fate::Stays && self.quarantine.is_none())
    }

    /// The number below which the history is to be cut, if it is time.
    pub(super) fn cut(&self) -> Option<u64> {
        if !self.book.is_full {
            return None;
        }
        let mut cut = self.stored.head.last_seq.saturating_sub(u64::from(self.stored.history));
        // Open runs are no history: for each of the newest ones another row is kept.
        for seq in self.book.open.keys().rev().take_while(|seq| **seq > 0) {
            if *seq <= cut {
                break;
            }
            cut = cut.saturating_sub(1);
        }
        (cut > 0).then_some(cut + 1)
    }

    /// The write that makes the database have what the steps have changed.
    pub(super) fn replace(&self, now: DateTime<Utc>) -> Replace {
        let is_gone = self.fate == Fate::Deleted && !self.is_filed();
        let new = (!is_gone).then(|| self.rewritten(now));
        Replace { old: self.document.clone(), new }
    }

    fn rewritten(&self, now: DateTime<Utc>) -> Document {
        let mut document = self.document.clone();
        if let Some(reason) = &self.quarantine {
            document.put_quarantine(reason, self.stored.head.state.is_live());
            return document;
        }
        document.put_head(&self.stored.head);
        if let Some((body, text)) = &self.definition {
            document.define(body, text);
        }
        let objects = |runs: &BTreeMap<u64, Run>| runs.values().map(|run| Value::Object(run_fields(run))).collect();
        let broken = |name| self.document.runs(name).1.into_iter().map(|(value, _)| value);
        let mut open: Vec<Value> = objects(&self.book.open);
        open.extend(broken(RUNS));
        document.put_list(RUNS, open);
        let mut ended: Vec<Value> = objects(&self.book.ended);
        ended.extend(broken(ENDED));
        document.put_list(ENDED, ended);
        if self.fate == Fate::Deleted {
            // Its files go first. Should that stop half way, the next claim finds it.
            document.put_over(now);
        }
        document
    }
}

impl Book {
    /// The running runs of a node, by number.
    pub(super) fn running_on(&self, node: &NodeId) -> impl Iterator<Item = &Run> {
        self.open.values().filter(move |run| run.state == RunState::Running && run.owner.as_ref() == Some(node))
    }

    /// All runs in the document, by number.
    pub(super) fn into_runs(self) -> impl Iterator<Item = Run> {
        let mut runs = self.unfiled;
        runs.extend(self.open);
        runs.into_values()
    }

    /// Takes in a run from the files.
    pub(super) fn show(&mut self, run: Run) {
        self.filed.insert(run.id.seq, run);
    }
}

impl Runs for Book {
    fn run(&self, seq: u64) -> Option<&Run> {
        let books = [&self.open, &self.ended, &self.unfiled, &self.filed];
        books.into_iter().find_map(|book| book.get(&seq))
    }

    fn open(&self) -> impl Iterator<Item = &Run> {
        self.open.values()
    }

    fn put(&mut self, run: Run) {
        self.is_touched = true;
        if run.is_open() {
            self.open.insert(run.id.seq, run);
        } else {
            self.open.remove(&run.id.seq);
            self.is_full |= is_time_to_prune(&run);
            self.ended.insert(run.id.seq, run);
        }
    }
}
