//! What a record reports of runs, job by job.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, NodeId, RunId, Uid,
    store::{Entry, Fate, Hold, Record, RecordOutcome, Recorded},
};

use super::{job::LoadedJob, rules::earlier};

/// The most jobs that are looked through for runs to be stopped; the next life sign comes soon.
pub(super) const STOPPING_JOBS: usize = 1_000;

/// The reports of a record, and what became of them.
#[derive(Debug)]
pub(super) struct Reports<'a> {
    entries: BTreeMap<String, Vec<(usize, &'a Entry)>>,
    owner: &'a NodeId,
    now: DateTime<Utc>,
    taken: BTreeMap<String, OfJob>,
}

/// What became of the reports about one job.
#[derive(Debug, Default)]
struct OfJob {
    outcomes: Vec<(usize, RecordOutcome)>,
    deleted: Option<(Uid, JobId)>,
    next_due: Option<DateTime<Utc>>,
    /// The runs that are asked to stop, as the job is now.
    stopping: Vec<RunId>,
}

impl<'a> Reports<'a> {
    pub(super) fn new(record: Option<&'a Record>, owner: &'a NodeId, now: DateTime<Utc>) -> Self {
        let mut entries: BTreeMap<String, Vec<(usize, &Entry)>> = BTreeMap::new();
        for (at, entry) in record.into_iter().flat_map(|record| &record.entries).enumerate() {
            entries.entry(entry.run.uid.to_string()).or_default().push((at, entry));
        }
        Self { entries, owner, now, taken: BTreeMap::new() }
    }

    /// Takes the reports about a job, which may be gone. What it does last for a job holds.
    pub(super) fn take(&mut self, key: &str, job: Option<&mut LoadedJob>) {
        let Some(entries) = self.entries.get(key) else { return };
        let mut of_job = OfJob::default();
        let gone = |(at, _): &(usize, &Entry)| (*at, RecordOutcome::Gone);
        match job {
            None => of_job.outcomes = entries.iter().map(gone).collect(),
            Some(job) => {
                for (at, entry) in entries {
                    let outcome = of_job.take(job, entry, self.owner, self.now);
                    of_job.outcomes.push((*at, outcome));
                }
                of_job.stopping = job.stopping(self.owner).collect();
            }
        }
        self.taken.insert(key.to_owned(), of_job);
    }

    /// The reply. `stopping` are the node's runs that are asked to stop, as they were before.
    pub(super) fn recorded(self, record: &Record, hold: Hold, stopping: Vec<RunId>) -> Recorded {
        let mut outcomes: Vec<(usize, RecordOutcome)> =
            self.taken.values().flat_map(|job| job.outcomes.iter().copied()).collect();
        outcomes.sort_unstable_by_key(|(at, _)| *at);
        let elsewhere = stopping.into_iter().filter(|run| !self.taken.contains_key(&run.uid.to_string()));
        let mut cancel: Vec<RunId> =
            self.taken.values().flat_map(|job| job.stopping.iter().copied()).chain(elsewhere).collect();
        cancel.sort_unstable();
        let next_due = self.taken.values().filter_map(|job| job.next_due).min();
        let mut deleted: BTreeMap<Uid, JobId> = self.taken.into_values().filter_map(|job| job.deleted).collect();
        // In the order of the entries that deleted them.
        let deleted = record.entries.iter().filter_map(|entry| deleted.remove_entry(&entry.run.uid)).collect();
        let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        Recorded::new(self.now, outcomes, hold).with_cancel(cancel).with_deleted(deleted).with_next_due(next_due)
    }
}

impl OfJob {
    fn take(&mut self, job: &mut LoadedJob, entry: &Entry, owner: &NodeId, now: DateTime<Utc>) -> RecordOutcome {
        if job.is_deleted() {
            return RecordOutcome::Gone;
        }
        let outcome = job.apply(|head, runs| head.record(runs, entry, owner, now));
        if outcome.is_written() {
            match job.decide_fate() {
                Fate::Deleted => self.deleted = Some((entry.run.uid, job.id().clone())),
                Fate::Stays => self.next_due = earlier(self.next_due, job.head().due),
            }
        }
        outcome
    }
}
