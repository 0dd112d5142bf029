//! What a record reports of runs, job by job.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, NodeId, RunId, Uid,
    store::{Entry, Fate, Hold, Record, RecordOutcome, Recorded, RunReport},
};

use super::{job::LoadedJob, rules::earlier};

/// The most jobs that are looked through for runs to be stopped; the next life sign comes soon.
pub(super) const STOPPING_JOBS: usize = 1_000;

/// The reports of a record, and what became of them.
#[derive(Debug)]
pub(super) struct Reports<'a> {
    /// With their places in the record, by job.
    entries: Vec<(usize, &'a Entry)>,
    owner: &'a NodeId,
    now: DateTime<Utc>,
    /// By the place of the entry.
    outcomes: Vec<RecordOutcome>,
    taken: HashMap<Uid, OfJob>,
}

/// What became of the reports about one job.
#[derive(Debug, Default)]
struct OfJob {
    over: Option<(Uid, JobId)>,
    next_due: Option<DateTime<Utc>>,
    /// Whether a run was given back, which other nodes can have at once.
    is_given_back: bool,
    /// The runs that are asked to stop, as the job is now.
    stopping: Vec<RunId>,
}

impl<'a> Reports<'a> {
    pub(super) fn new(record: Option<&'a Record>, owner: &'a NodeId, now: DateTime<Utc>) -> Self {
        let mut entries: Vec<(usize, &Entry)> =
            record.into_iter().flat_map(|record| &record.entries).enumerate().collect();
        entries.sort_by_key(|(_, entry)| entry.run.uid);
        let outcomes = vec![RecordOutcome::Gone; entries.len()];
        Self { entries, owner, now, outcomes, taken: HashMap::new() }
    }

    /// Takes the reports about a job, which may be gone. What it does last for a job holds.
    pub(super) fn take(&mut self, uid: Uid, mut job: Option<&mut LoadedJob>) {
        let begin = self.entries.partition_point(|(_, entry)| entry.run.uid < uid);
        let of_uid = self.entries.iter().skip(begin).take_while(|(_, entry)| entry.run.uid == uid);
        let (mut of_job, mut is_any) = (OfJob::default(), false);
        for (at, entry) in of_uid {
            is_any = true;
            let outcome = match &mut job {
                Some(job) => of_job.take(job, entry, self.owner, self.now),
                None => RecordOutcome::Gone,
            };
            if let Some(of_entry) = self.outcomes.get_mut(*at) {
                *of_entry = outcome;
            }
        }
        if is_any {
            of_job.stopping = job.map(|job| job.stopping(self.owner).collect()).unwrap_or_default();
            self.taken.insert(uid, of_job);
        }
    }

    /// When what was given back is due, if something was. Also by an earlier sending, which may have died before it announced that.
    pub(super) fn given_back(&self) -> Option<DateTime<Utc>> {
        self.taken.values().filter(|job| job.is_given_back).filter_map(|job| job.next_due).min()
    }

    /// The reply. `stopping` are the node's runs that are asked to stop, as they were before.
    pub(super) fn recorded(self, record: &Record, hold: Hold, stopping: Vec<RunId>) -> Recorded {
        let elsewhere = stopping.into_iter().filter(|run| !self.taken.contains_key(&run.uid));
        let mut cancel: Vec<RunId> =
            self.taken.values().flat_map(|job| job.stopping.iter().copied()).chain(elsewhere).collect();
        cancel.sort_unstable();
        let next_due = self.taken.values().filter_map(|job| job.next_due).min();
        let mut over: HashMap<Uid, JobId> = self.taken.into_values().filter_map(|job| job.over).collect();
        // In the order of the entries that ended them.
        let over = record.entries.iter().filter_map(|entry| over.remove_entry(&entry.run.uid)).collect();
        Recorded::new(self.now, self.outcomes, hold).with_cancel(cancel).with_over(over).with_next_due(next_due)
    }
}

impl OfJob {
    fn take(&mut self, job: &mut LoadedJob, entry: &Entry, owner: &NodeId, now: DateTime<Utc>) -> RecordOutcome {
        if job.is_deleted() {
            return RecordOutcome::Gone;
        }
        let outcome = job.apply(|head, runs| head.record(runs, entry, owner, now));
        if outcome.is_written() {
            self.is_given_back |= entry.report == RunReport::Release;
            match job.decide_fate() {
                Fate::Finished | Fate::Deleted => self.over = Some((entry.run.uid, job.id().clone())),
                Fate::Stays => self.next_due = earlier(self.next_due, job.head().due),
            }
        }
        outcome
    }
}
