//! A job while a verb works on it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use scheduler_core::{JobBody, JobId, JobRow, NodeId, RawJob, Run, RunId, TaskName, Uid, store::Fate};
use serde_json::Value;

use super::{
    backend::Access,
    columns::{Columns, StoredHead, decode_head, decode_job},
    document::{Document, ENDED, RUNS, run_fields},
    rules::{Head, Runs},
    runs::{LoadedRuns, RunMap},
};

/// A job as it was loaded, and what the rules have changed of it since.
///
/// A backend makes one of what it has read, by [`from_row`](Self::from_row) or [`from_document`](Self::from_document), and
/// writes what has changed: either the parts that the other methods name, or the whole [`new_document`](Self::new_document).
#[derive(Debug)]
pub struct LoadedJob(Box<Parts>);

/// Of a thousand jobs, which pass through several lists, only the pointers are moved.
#[derive(Debug)]
struct Parts {
    key: Arc<str>,
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
    /// Whether the job is as this store has written it last, and was not loaded since.
    is_remembered: bool,
}

/// The definition of a loaded job.
#[derive(Debug)]
enum Definition {
    NotLoaded,
    Loaded(Box<Result<JobRow, RawJob>>),
    /// In the document, from which it is decoded when it is asked for.
    InDocument,
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
        let key = stored.uid.as_ref().map_or_else(Clone::clone, Uid::to_string).into();
        Self::new(key, version, stored, LoadedRuns::default(), definition, None)
    }

    /// A job from its document, with the runs that are in it.
    pub fn from_document(document: Document) -> Self {
        let stored = document.head();
        let (open, unreadable) = document.runs(RUNS);
        let by_seq = |runs: Vec<Run>| {
            let mut of_job = RunMap::default();
            runs.into_iter().for_each(|run| drop(of_job.insert(run)));
            of_job
        };
        let runs = LoadedRuns {
            open: by_seq(open),
            unreadable: unreadable.into_iter().next().map(|(_, reason)| reason),
            unarchived: by_seq(document.runs(ENDED).0),
            ..LoadedRuns::default()
        };
        let (key, version) = (document.key.as_str().into(), document.version);
        Self::new(key, version, stored, runs, Definition::InDocument, Some(document))
    }

    /// The jobs of documents.
    pub fn all(documents: impl IntoIterator<Item = Document>) -> Vec<Self> {
        documents.into_iter().map(Self::from_document).collect()
    }

    fn new(
        key: Arc<str>,
        version: u64,
        stored: StoredHead,
        runs: LoadedRuns,
        definition: Definition,
        document: Option<Document>,
    ) -> Self {
        let before = stored.head.clone();
        let (redefined, quarantine) = (None, None);
        let (fate, is_emptied) = (Fate::Stays, false);
        Self(Box::new(Parts {
            key,
            version,
            stored,
            before,
            runs,
            definition,
            document,
            redefined,
            quarantine,
            fate,
            is_emptied,
            is_remembered: false,
        }))
    }

    /// Takes in an open run, or why one cannot be read.
    pub fn add_run(&mut self, run: Result<Run, String>) {
        match run {
            Ok(run) => drop(self.0.runs.open.insert(run)),
            Err(reason) => drop(self.0.runs.unreadable.get_or_insert(reason)),
        }
    }

    /// Takes in a run that has ended before.
    pub(super) fn add_ended(&mut self, run: Run) {
        self.0.runs.earlier.insert(run);
    }

    /// The text of the uid, or what stands in its place.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// The same, to be kept.
    pub(super) fn shared_key(&self) -> Arc<str> {
        Arc::clone(&self.0.key)
    }

    /// The database's mark of what was read.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// The uid, if it can be read.
    pub fn uid(&self) -> Option<Uid> {
        self.0.stored.uid.clone().ok()
    }

    /// The database's own name for the row, as [`Columns::key`] has given it.
    pub fn row_key(&self) -> &Value {
        &self.0.stored.key
    }

    /// The id.
    pub fn id(&self) -> &JobId {
        &self.0.stored.id
    }

    /// The task, from its own column.
    pub fn task(&self) -> &TaskName {
        &self.0.stored.task
    }

    /// What the verbs change of the job, as it is to be.
    pub fn head(&self) -> &Head {
        &self.0.stored.head
    }

    /// The same as it was loaded.
    pub fn old_head(&self) -> &Head {
        &self.0.before
    }

    /// Whether the job is to be deleted, with all of its runs.
    pub fn is_deleted(&self) -> bool {
        self.0.fate == Fate::Deleted
    }

    /// The new definition, and its JSON text, if the job is given one.
    pub fn redefined(&self) -> Option<(&JobBody, &str)> {
        self.0.redefined.as_deref().map(|(body, text)| (body, text.as_str()))
    }

    /// Why the job is to be quarantined, if it cannot be read. Nothing but `state`, `reason`, `due` and the claim changes then;
    /// and not even the state of a finished job, since its id may belong to another job by now.
    pub fn quarantine(&self) -> Option<&str> {
        self.0.quarantine.as_deref()
    }

    /// The runs that were added or changed, open and ended ones, by number.
    pub fn changed_runs(&self) -> impl Iterator<Item = &Run> {
        self.0.runs.changed.iter().filter_map(|seq| self.0.runs.run(*seq))
    }

    /// A changed run as it was loaded, if it was open.
    pub fn old_run(&self, seq: u64) -> Option<&Run> {
        self.0.runs.before.get(seq)
    }

    /// How many ended runs the job's history keeps.
    pub fn history(&self) -> u32 {
        self.0.stored.history
    }

    /// Whether it is time to delete what is more than the [`history`](Self::history) keeps: seldom, so that it costs little a
    /// run.
    pub fn is_to_be_pruned(&self) -> bool {
        self.0.runs.is_to_be_pruned
    }

    /// The number below which the history is to be deleted, if it is time.
    pub fn pruned_below(&self) -> Option<u64> {
        if !self.0.runs.is_to_be_pruned {
            return None;
        }
        let mut below = self.0.stored.head.last_seq.saturating_sub(u64::from(self.0.stored.history));
        // Open runs are no history: for each of the newest ones another row is kept.
        for seq in self.0.runs.open.iter().rev().map(|run| run.id.seq).take_while(|seq| *seq > 0) {
            if seq <= below {
                break;
            }
            below = below.saturating_sub(1);
        }
        (below > 0).then_some(below.saturating_add(1))
    }

    /// The document that the job was made of.
    pub fn document(&self) -> Option<&Document> {
        self.0.document.as_ref()
    }

    /// The document as it is to be; none if it is to be deleted. A job that has archived runs is marked as finished first, and
    /// deleted with the next write, after the runs.
    pub fn new_document(&self, now: DateTime<Utc>) -> Option<Document> {
        let mut document = self.0.document.clone()?;
        if self.is_deleted() && !self.may_have_archived_runs() {
            return None;
        }
        if let Some(reason) = &self.0.quarantine {
            document.put_quarantine(reason, self.0.stored.head.state.is_live());
            return Some(document);
        }
        document.put_head(&self.0.stored.head);
        if let Some((body, text)) = self.0.redefined.as_deref() {
            document.define(body, text);
        }
        for (name, runs) in [(RUNS, &self.0.runs.open), (ENDED, &self.0.runs.ended)] {
            let mut values: Vec<Value> = runs.iter().map(|run| Value::Object(run_fields(run))).collect();
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
        match &self.0.definition {
            Definition::NotLoaded => false,
            Definition::Loaded(job) => job.is_err() || self.0.runs.unreadable.is_some(),
            Definition::InDocument => {
                let decoded = self.0.document.as_ref().map(|document| document.job().1);
                decoded.is_some_and(|job| job.is_err() || self.0.runs.unreadable.is_some())
            }
        }
    }

    /// Whether the definition was loaded.
    pub(super) fn is_defined(&self) -> bool {
        !matches!(self.0.definition, Definition::NotLoaded)
    }

    /// Gives the job with its definition away, once, if that was loaded, or why it cannot be read. The state is that of the record.
    pub(super) fn take_row(&mut self) -> Option<Result<JobRow, RawJob>> {
        match std::mem::replace(&mut self.0.definition, Definition::NotLoaded) {
            Definition::NotLoaded => None,
            Definition::Loaded(job) => Some(*job),
            Definition::InDocument => self.0.document.as_ref().map(|document| document.job().1),
        }
    }

    /// As [`take_row`](Self::take_row); a job with an unreadable open run cannot be counted, and is left to a person as well.
    pub(super) fn take_readable(&mut self) -> Option<Result<JobRow, RawJob>> {
        Some(self.take_row()?.and_then(|job| match &self.0.runs.unreadable {
            None => Ok(job),
            Some(reason) => {
                let body = serde_json::to_string(&job.body).unwrap_or_default();
                let next_fire_time = job.next_fire_time;
                Err(RawJob { uid: job.uid.to_string(), id: job.id, body, next_fire_time, reason: reason.clone() })
            }
        }))
    }

    pub(super) fn runs(&self) -> &LoadedRuns {
        &self.0.runs
    }

    /// Applies a rule to the job.
    pub(super) fn apply<T>(&mut self, rule: impl FnOnce(&mut Head, &mut LoadedRuns) -> T) -> T {
        rule(&mut self.0.stored.head, &mut self.0.runs)
    }

    /// The job's row with this definition.
    pub(super) fn row(&self, uid: Uid, body: JobBody) -> JobRow {
        super::columns::job_row(uid, &self.0.stored, body)
    }

    /// Whether the job was in quarantine already when it was loaded.
    pub(super) fn is_quarantined(&self) -> bool {
        self.0.stored.is_quarantined
    }

    /// What becomes of the job, as the rules have decided.
    pub(super) fn fate(&self) -> Fate {
        self.0.fate
    }

    /// Takes over what a rule has decided to become of the job.
    pub(super) fn set_fate(&mut self, fate: Fate) {
        self.0.fate = fate;
    }

    /// Decides what becomes of the job as it is now.
    pub(super) fn decide_fate(&mut self) -> Fate {
        self.0.fate = self.0.stored.head.fate(&self.0.runs);
        self.0.fate
    }

    /// Whether nothing is left to do but to delete the record. One that has an unreadable run is never deleted by itself.
    pub(super) fn is_finished(&self) -> bool {
        self.0.stored.head.fate(&self.0.runs) == Fate::Deleted && self.0.runs.unreadable.is_none()
    }

    /// Gives the job another definition.
    pub(super) fn redefine(&mut self, body: JobBody, text: String) {
        self.0.stored.head.retention = body.options.retention;
        self.0.redefined = Some(Box::new((body, text)));
    }

    /// Takes an unreadable job out of the claims' way, and leaves everything else as it is.
    pub(super) fn put_in_quarantine(&mut self, reason: String) {
        self.0.quarantine = Some(reason);
    }

    /// Whether there is something to write.
    pub(super) fn is_changed(&self) -> bool {
        self.is_deleted()
            || !self.0.runs.changed.is_empty()
            || self.0.stored.head != self.0.before
            || self.0.redefined.is_some()
            || self.0.quarantine.is_some()
    }

    /// The job as the database has it after this write. None if its definition was written, which a row does not have any more.
    pub(super) fn into_written(mut self, version: u64, now: DateTime<Utc>) -> Option<Self> {
        if self.0.redefined.is_some() || self.0.quarantine.is_some() {
            return None;
        }
        if self.0.document.is_some() {
            self.0.document = Some(Document { version, ..self.new_document(now)? });
        }
        let parts = &mut *self.0;
        parts.version = version;
        parts.before = parts.stored.head.clone();
        parts.is_remembered = true;
        parts.runs.forget_changes();
        Some(self)
    }

    /// Whether the job is as this store has written it last, and was not loaded since.
    pub(super) fn is_remembered(&self) -> bool {
        self.0.is_remembered
    }

    /// Whether the node has claimed the job or runs a run of it.
    pub(super) fn is_held_by(&self, node: &NodeId) -> bool {
        let is_claimed = self.0.stored.head.claim.as_ref().is_some_and(|claim| claim.owner == *node);
        is_claimed || self.0.runs.running_on(node).next().is_some()
    }

    /// The runs of a node that are asked to stop.
    pub(super) fn stopping(&self, node: &NodeId) -> impl Iterator<Item = RunId> {
        self.0.runs.running_on(node).filter(|run| run.cancel_requested).map(|run| run.id)
    }

    /// Whether the retention of the job has passed. One that has an open run, readable or not, is never deleted by itself.
    pub(super) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        let is_over = self.0.stored.head.fate(&self.0.runs).is_over() && self.0.runs.unreadable.is_none();
        is_over && self.0.stored.head.is_expired(now)
    }

    /// Whether the job is over and stays known.
    pub(super) fn is_retained(&self) -> bool {
        let head = &self.0.stored.head;
        !head.state.is_live() && head.retained_until.is_some()
    }

    /// The archive has no run of the finished job any more, so that its record can be deleted.
    pub(super) fn mark_emptied(&mut self) {
        (self.0.fate, self.0.is_emptied) = (Fate::Deleted, true);
    }

    /// Whether rows of the job can be in the archive: all but the runs that end with this write.
    pub(super) fn may_have_archived_runs(&self) -> bool {
        !self.0.is_emptied
            && usize::try_from(self.0.stored.head.last_seq).unwrap_or(usize::MAX) > self.0.runs.ended.len()
    }

    /// The runs to be archived before the record is written, since it will not have them any more.
    pub(super) fn to_be_archived(&self) -> impl Iterator<Item = &Run> {
        // The history of a deleted job is deleted too, so that nothing of it needs archiving.
        self.0.runs.unarchived.iter().filter(|_| self.0.fate != Fate::Deleted && self.0.quarantine.is_none())
    }

    /// The runs that are in the record, by number.
    pub(super) fn into_runs(self) -> impl Iterator<Item = Run> {
        let LoadedRuns { unarchived: mut runs, open, .. } = self.0.runs;
        open.into_iter().for_each(|run| drop(runs.insert(run)));
        runs.into_iter()
    }
}
