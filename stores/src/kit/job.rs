//! A job while a verb works on it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use scheduler_core::{JobBody, JobId, JobRow, NodeId, RawJob, Run, RunId, RunState, TaskName, Uid, store::Fate};
use serde_json::Value;

use super::{
    backend::Access,
    columns::{Columns, StoredHead, decode_head, decode_job},
    document::{Document, ENDED, RUNS, run_fields},
    rules::{Head, Runs, is_time_to_prune},
};

/// A job as it was loaded, and what the rules have changed of it since.
///
/// A backend makes one of what it has read, by [`from_row`](Self::from_row) or [`from_document`](Self::from_document), and
/// writes what has changed: either the parts that the other methods name, or the whole [`new_document`](Self::new_document).
#[derive(Debug)]
pub struct LoadedJob {
    key: String,
    version: u64,
    stored: StoredHead,
    before: Head,
    runs: LoadedRuns,
    definition: Definition,
    document: Option<Document>,
    redefined: Option<Box<(JobBody, String)>>,
    quarantine: Option<String>,
    fate: Fate,
    /// Whether the archive has no run of the job any more.
    is_emptied: bool,
}

/// The definition of a loaded job.
#[derive(Debug)]
enum Definition {
    NotLoaded,
    Loaded(Box<Result<JobRow, RawJob>>),
    /// In the document, from which it is decoded when it is asked for.
    InDocument,
}

/// The runs of a loaded job.
#[derive(Debug, Default)]
pub(super) struct LoadedRuns {
    open: BTreeMap<u64, Run>,
    /// Why an open run cannot be read.
    unreadable: Option<String>,
    /// Those that had ended when the record was written last, and are still in it.
    unarchived: BTreeMap<u64, Run>,
    /// Those that have ended since.
    ended: BTreeMap<u64, Run>,
    /// Those that had ended before and were loaded because a step looks at them.
    earlier: BTreeMap<u64, Run>,
    changed: BTreeSet<u64>,
    /// The changed ones that were open, as they were loaded.
    before: BTreeMap<u64, Run>,
    is_to_be_pruned: bool,
}

impl LoadedJob {
    /// A job from the columns that [`decode_job`] reads, or only those of [`decode_head`] if the access does not need the
    /// definition. `version` is the database's mark of what was read.
    pub fn from_row(row: &impl Columns, version: u64, access: Access) -> Self {
        let (stored, definition) = match access {
            Access::Change | Access::ChangeUnlocked => (decode_head(row), Definition::NotLoaded),
            Access::Show | Access::Redefine => {
                let (stored, job) = decode_job(row);
                (stored, Definition::Loaded(Box::new(job)))
            }
        };
        let key = stored.uid.as_ref().map_or_else(Clone::clone, Uid::to_string);
        Self::new(key, version, stored, LoadedRuns::default(), definition, None)
    }

    /// A job from its document, with the runs that are in it.
    pub fn from_document(document: Document) -> Self {
        let stored = document.head();
        let (open, unreadable) = document.runs(RUNS);
        let by_seq = |runs: Vec<Run>| runs.into_iter().map(|run| (run.id.seq, run)).collect();
        let runs = LoadedRuns {
            open: by_seq(open),
            unreadable: unreadable.into_iter().next().map(|(_, reason)| reason),
            unarchived: by_seq(document.runs(ENDED).0),
            ..LoadedRuns::default()
        };
        let (key, version) = (document.key.clone(), document.version);
        Self::new(key, version, stored, runs, Definition::InDocument, Some(document))
    }

    /// The jobs of documents.
    pub fn all(documents: impl IntoIterator<Item = Document>) -> Vec<Self> {
        documents.into_iter().map(Self::from_document).collect()
    }

    fn new(
        key: String,
        version: u64,
        stored: StoredHead,
        runs: LoadedRuns,
        definition: Definition,
        document: Option<Document>,
    ) -> Self {
        let before = stored.head.clone();
        let (redefined, quarantine) = (None, None);
        let (fate, is_emptied) = (Fate::Stays, false);
        Self { key, version, stored, before, runs, definition, document, redefined, quarantine, fate, is_emptied }
    }

    /// Takes in an open run, or why one cannot be read.
    pub fn add_run(&mut self, run: Result<Run, String>) {
        match run {
            Ok(run) => drop(self.runs.open.insert(run.id.seq, run)),
            Err(reason) => drop(self.runs.unreadable.get_or_insert(reason)),
        }
    }

    /// Takes in a run that has ended before.
    pub(super) fn add_ended(&mut self, run: Run) {
        self.runs.earlier.insert(run.id.seq, run);
    }

    /// The text of the uid, or what stands in its place.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The database's mark of what was read.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The uid, if it can be read.
    pub fn uid(&self) -> Option<Uid> {
        self.stored.uid.clone().ok()
    }

    /// The database's own name for the row, as [`Columns::key`] has given it.
    pub fn row_key(&self) -> &Value {
        &self.stored.key
    }

    /// The id.
    pub fn id(&self) -> &JobId {
        &self.stored.id
    }

    /// The task, from its own column.
    pub fn task(&self) -> &TaskName {
        &self.stored.task
    }

    /// What the verbs change of the job, as it is to be.
    pub fn head(&self) -> &Head {
        &self.stored.head
    }

    /// The same as it was loaded.
    pub fn old_head(&self) -> &Head {
        &self.before
    }

    /// Whether the job is to be deleted, with all of its runs.
    pub fn is_deleted(&self) -> bool {
        self.fate == Fate::Deleted
    }

    /// The new definition, and its JSON text, if the job is given one.
    pub fn redefined(&self) -> Option<(&JobBody, &str)> {
        self.redefined.as_deref().map(|(body, text)| (body, text.as_str()))
    }

    /// Why the job is to be quarantined, if it cannot be read. Nothing but `state`, `reason`, `due` and the claim changes then;
    /// and not even the state of a finished job, since its id may belong to another job by now.
    pub fn quarantine(&self) -> Option<&str> {
        self.quarantine.as_deref()
    }

    /// The runs that were added or changed, open and ended ones, by number.
    pub fn changed_runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.changed.iter().filter_map(|seq| self.runs.run(*seq))
    }

    /// A changed run as it was loaded, if it was open.
    pub fn old_run(&self, seq: u64) -> Option<&Run> {
        self.runs.before.get(&seq)
    }

    /// How many ended runs the job's history keeps.
    pub fn history(&self) -> u32 {
        self.stored.history
    }

    /// Whether it is time to delete what is more than the [`history`](Self::history) keeps: seldom, so that it costs little a
    /// run.
    pub fn is_to_be_pruned(&self) -> bool {
        self.runs.is_to_be_pruned
    }

    /// The number below which the history is to be deleted, if it is time.
    pub fn pruned_below(&self) -> Option<u64> {
        if !self.runs.is_to_be_pruned {
            return None;
        }
        let mut below = self.stored.head.last_seq.saturating_sub(u64::from(self.stored.history));
        // Open runs are no history: for each of the newest ones another row is kept.
        for seq in self.runs.open.keys().rev().take_while(|seq| **seq > 0) {
            if *seq <= below {
                break;
            }
            below = below.saturating_sub(1);
        }
        (below > 0).then_some(below.saturating_add(1))
    }

    /// The document that the job was made of.
    pub fn document(&self) -> Option<&Document> {
        self.document.as_ref()
    }

    /// The document as it is to be; none if it is to be deleted. A job that has archived runs is marked as finished first, and
    /// deleted with the next write, after the runs.
    pub fn new_document(&self, now: DateTime<Utc>) -> Option<Document> {
        let mut document = self.document.clone()?;
        if self.is_deleted() && !self.may_have_archived_runs() {
            return None;
        }
        if let Some(reason) = &self.quarantine {
            document.put_quarantine(reason, self.stored.head.state.is_live());
            return Some(document);
        }
        document.put_head(&self.stored.head);
        if let Some((body, text)) = self.redefined.as_deref() {
            document.define(body, text);
        }
        for (name, runs) in [(RUNS, &self.runs.open), (ENDED, &self.runs.ended)] {
            let mut values: Vec<Value> = runs.values().map(|run| Value::Object(run_fields(run))).collect();
            values.extend(document.runs(name).1.into_iter().map(|(value, _)| value));
            document.put_list(name, values);
        }
        if self.is_deleted() {
            document.put_finished(now);
        }
        Some(document)
    }

    /// Whether the job was loaded with its definition and cannot be read.
    pub fn is_broken(&self) -> bool {
        match &self.definition {
            Definition::NotLoaded => false,
            Definition::Loaded(job) => job.is_err() || self.runs.unreadable.is_some(),
            Definition::InDocument => self.readable().is_some_and(|job| job.is_err()),
        }
    }

    /// Whether the definition was loaded.
    pub(super) fn is_defined(&self) -> bool {
        !matches!(self.definition, Definition::NotLoaded)
    }

    /// The job with its definition, if that was loaded, or why it cannot be read. The state is that of the record.
    pub(super) fn job(&self) -> Option<Result<JobRow, RawJob>> {
        match &self.definition {
            Definition::NotLoaded => None,
            Definition::Loaded(job) => Some((**job).clone()),
            Definition::InDocument => self.document.as_ref().map(|document| document.job().1),
        }
    }

    /// The job and its open runs, if all of them can be read: a job with an unreadable run cannot be counted, and is left to a
    /// person as well.
    pub(super) fn readable(&self) -> Option<Result<JobRow, RawJob>> {
        Some(self.job()?.and_then(|job| match &self.runs.unreadable {
            None => Ok(job),
            Some(reason) => {
                let body = serde_json::to_string(&job.body).unwrap_or_default();
                let next_fire_time = job.next_fire_time;
                Err(RawJob { uid: job.uid.to_string(), id: job.id, body, next_fire_time, reason: reason.clone() })
            }
        }))
    }

    pub(super) fn runs(&self) -> &LoadedRuns {
        &self.runs
    }

    /// Applies a rule to the job.
    pub(super) fn apply<T>(&mut self, rule: impl FnOnce(&mut Head, &mut LoadedRuns) -> T) -> T {
        rule(&mut self.stored.head, &mut self.runs)
    }

    /// The job's row with this definition.
    pub(super) fn row(&self, uid: Uid, body: JobBody) -> JobRow {
        super::columns::job_row(uid, &self.stored, body)
    }

    /// Whether the job was in quarantine already when it was loaded.
    pub(super) fn is_quarantined(&self) -> bool {
        self.stored.is_quarantined
    }

    /// What becomes of the job, as the rules have decided.
    pub(super) fn fate(&self) -> Fate {
        self.fate
    }

    /// Takes over what a rule has decided to become of the job.
    pub(super) fn set_fate(&mut self, fate: Fate) {
        self.fate = fate;
    }

    /// Decides what becomes of the job as it is now.
    pub(super) fn decide_fate(&mut self) -> Fate {
        self.fate = self.stored.head.fate(&self.runs);
        self.fate
    }

    /// Whether nothing is left to do but to delete the record. One that has an unreadable run is never deleted by itself.
    pub(super) fn is_finished(&self) -> bool {
        self.stored.head.fate(&self.runs) == Fate::Deleted && self.runs.unreadable.is_none()
    }

    /// Gives the job another definition.
    pub(super) fn redefine(&mut self, body: JobBody, text: String) {
        self.redefined = Some(Box::new((body, text)));
    }

    /// Takes an unreadable job out of the claims' way, and leaves everything else as it is.
    pub(super) fn put_in_quarantine(&mut self, reason: String) {
        self.quarantine = Some(reason);
    }

    /// Whether there is something to write.
    pub(super) fn is_changed(&self) -> bool {
        self.is_deleted()
            || !self.runs.changed.is_empty()
            || self.stored.head != self.before
            || self.redefined.is_some()
            || self.quarantine.is_some()
    }

    /// Whether the node has claimed the job or runs a run of it.
    pub(super) fn is_held_by(&self, node: &NodeId) -> bool {
        let is_claimed = self.stored.head.claim.as_ref().is_some_and(|claim| claim.owner == *node);
        is_claimed || self.runs.running_on(node).next().is_some()
    }

    /// The runs of a node that are asked to stop.
    pub(super) fn stopping(&self, node: &NodeId) -> impl Iterator<Item = RunId> {
        self.runs.running_on(node).filter(|run| run.cancel_requested).map(|run| run.id)
    }

    /// The archive has no run of the finished job any more, so that its record can be deleted.
    pub(super) fn mark_emptied(&mut self) {
        (self.fate, self.is_emptied) = (Fate::Deleted, true);
    }

    /// Whether rows of the job can be in the archive: all but the runs that end with this write.
    pub(super) fn may_have_archived_runs(&self) -> bool {
        !self.is_emptied && usize::try_from(self.stored.head.last_seq).unwrap_or(usize::MAX) > self.runs.ended.len()
    }

    /// The runs to be archived before the record is written, since it will not have them any more.
    pub(super) fn to_be_archived(&self) -> impl Iterator<Item = &Run> {
        // The history of a deleted job is deleted too, so that nothing of it needs archiving.
        self.runs.unarchived.values().filter(|_| self.fate == Fate::Stays && self.quarantine.is_none())
    }

    /// The runs that are in the record, by number.
    pub(super) fn into_runs(self) -> impl Iterator<Item = Run> {
        let mut runs = self.runs.unarchived;
        runs.extend(self.runs.open);
        runs.into_values()
    }
}

impl LoadedRuns {
    /// The running runs of a node, by number.
    pub(super) fn running_on(&self, node: &NodeId) -> impl Iterator<Item = &Run> {
        self.open.values().filter(move |run| run.state == RunState::Running && run.owner.as_ref() == Some(node))
    }
}

impl Runs for LoadedRuns {
    fn run(&self, seq: u64) -> Option<&Run> {
        let kinds = [&self.open, &self.ended, &self.unarchived, &self.earlier];
        kinds.into_iter().find_map(|runs| runs.get(&seq))
    }

    fn open(&self) -> impl Iterator<Item = &Run> {
        self.open.values()
    }

    fn put(&mut self, run: Run) {
        let seq = run.id.seq;
        let old = if run.is_open() {
            self.open.insert(seq, run)
        } else {
            self.is_to_be_pruned |= is_time_to_prune(&run);
            self.ended.insert(seq, run);
            self.open.remove(&seq)
        };
        if self.changed.insert(seq)
            && let Some(old) = old
        {
            self.before.insert(seq, old);
        }
    }
}
