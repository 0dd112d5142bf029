//! How a call changes jobs that others change at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use scheduler_core::{
    Run, Uid,
    store::{Fate, StoreError, StoreErrorKind},
};

use super::{
    backend::{Access, Archive, Session},
    caller::Caller,
    job::LoadedJob,
    rules::Runs,
};

/// How often a call tries again when others were faster. Each time one of the others got on; so many losses in a row are no race.
pub(super) const ROUNDS: usize = 32;

/// A call of a verb.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) session: &'a dyn Session,
    pub(super) place: &'a str,
    /// The time by which everything in it is decided.
    pub(super) now: DateTime<Utc>,
}

/// What a call is to change.
#[derive(Debug)]
pub(super) struct Batch {
    /// The jobs, also those that are not there.
    keys: BTreeSet<String>,
    /// Those that are.
    jobs: Vec<LoadedJob>,
    /// Runs that the rules look at, whether they are open or not.
    runs: BTreeSet<(Uid, u64)>,
    /// How a job is loaded again that another call has changed in the meantime.
    access: Access,
}

/// For how long what a node holds after a change is to be left alone.
pub(super) struct Cover<'c, 'a> {
    pub(super) caller: &'c mut Caller<'a>,
    pub(super) lease: Duration,
}

/// What a verb does to each job, or learns of one that is not there. What it says last of a job holds.
pub(super) type Step<'s> = &'s mut (dyn FnMut(&str, Option<&mut LoadedJob>) + Send);

impl Batch {
    /// The jobs with these keys.
    pub(super) async fn load(
        session: &dyn Session,
        keys: BTreeSet<String>,
        access: Access,
    ) -> Result<Self, StoreError> {
        let jobs = if keys.is_empty() { Vec::new() } else { session.by_key(&keys, access).await? };
        Ok(Self { keys, jobs, runs: BTreeSet::new(), access })
    }

    /// Jobs that have been found in another way.
    pub(super) fn of(jobs: Vec<LoadedJob>, access: Access) -> Self {
        let keys = jobs.iter().map(|job| job.key().to_owned()).collect();
        Self { keys, jobs, runs: BTreeSet::new(), access }
    }

    /// Shows the rules these runs too.
    pub(super) fn with_runs(mut self, runs: impl Iterator<Item = (Uid, u64)>) -> Self {
        self.runs = runs.collect();
        self
    }
}

impl<'a> Call<'a> {
    /// Lets a step change jobs and writes them, once more from the start for each that another call has changed in the
    /// meantime.
    pub(super) async fn change(
        self,
        batch: Batch,
        mut cover: Option<Cover<'_, 'a>>,
        step: Step<'_>,
    ) -> Result<(), StoreError> {
        let Batch { mut keys, mut jobs, runs, access } = batch;
        for _ in 0..ROUNDS {
            jobs = self.open(jobs, &runs).await?;
            let mut open: BTreeMap<String, &mut LoadedJob> =
                jobs.iter_mut().map(|job| (job.key().to_owned(), job)).collect();
            for key in &keys {
                step(key, open.get_mut(key).map(|job| &mut **job));
            }
            keys = self.write(jobs, &mut cover).await?;
            if keys.is_empty() {
                return Ok(());
            }
            jobs = self.session.by_key(&keys, access).await?;
        }
        Err(self.contended(&format!("{} jobs", keys.len())))
    }

    /// The loaded jobs with the ended runs that the rules look at. Finished jobs count as gone; a deletion of one that
    /// stopped half way is completed on the occasion.
    async fn open(self, jobs: Vec<LoadedJob>, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<LoadedJob>, StoreError> {
        let mut open = jobs;
        if open.iter().any(LoadedJob::is_finished) {
            let (finished, others) = open.into_iter().partition(LoadedJob::is_finished);
            self.delete(finished).await?;
            open = others;
        }
        if runs.is_empty() {
            return Ok(open);
        }
        let mut jobs: BTreeMap<String, &mut LoadedJob> =
            open.iter_mut().map(|job| (job.key().to_owned(), job)).collect();
        let is_missing =
            |(uid, seq): &&(Uid, u64)| jobs.get(&uid.to_string()).is_some_and(|job| job.runs().run(*seq).is_none());
        let missing: BTreeSet<(Uid, u64)> = runs.iter().filter(is_missing).copied().collect();
        if !missing.is_empty() {
            for run in self.session.ended(&missing).await? {
                if let Some(job) = jobs.get_mut(&run.id.uid.to_string()) {
                    job.add_ended(run);
                }
            }
        }
        Ok(open)
    }

    /// Writes what has changed of jobs, each if no other call has written it since it was loaded, and gives back the keys of
    /// those that were not written.
    pub(super) async fn write(
        self,
        mut jobs: Vec<LoadedJob>,
        cover: &mut Option<Cover<'_, 'a>>,
    ) -> Result<BTreeSet<String>, StoreError> {
        jobs.retain(LoadedJob::is_changed);
        if jobs.is_empty() {
            return Ok(BTreeSet::new());
        }
        let written = self.write_covered(&jobs.iter().collect::<Vec<_>>(), cover).await?;
        let (written, lost): (Vec<_>, Vec<_>) = jobs.into_iter().zip(written).partition(|(_, is_written)| *is_written);
        let written: Vec<LoadedJob> = written.into_iter().map(|(job, _)| job).collect();
        let lost: Vec<LoadedJob> = lost.into_iter().map(|(job, _)| job).collect();
        if let Some(archive) = self.session.archive() {
            try_join(prune(archive, &written), self.delete_marked(&written)).await?;
            self.unarchive(archive, &lost).await?;
        }
        Ok(lost.into_iter().map(|job| job.key().to_owned()).collect())
    }

    /// Deletes what this call has archived of jobs that another one has deleted in the meantime, with their archives.
    async fn unarchive(self, archive: &dyn Archive, lost: &[LoadedJob]) -> Result<(), StoreError> {
        let archived = lost.iter().filter(|job| job.to_be_archived().next().is_some());
        let uids: BTreeMap<String, Uid> = archived.filter_map(|job| Some((job.key().to_owned(), job.uid()?))).collect();
        if uids.is_empty() {
            return Ok(());
        }
        let there = self.session.by_key(&uids.keys().cloned().collect(), Access::Change).await?;
        let gone = uids.iter().filter(|(key, _)| there.iter().all(|job| job.key() != key.as_str()));
        let gone: Vec<(Uid, u64)> = gone.map(|(_, uid)| (*uid, u64::MAX)).collect();
        if gone.is_empty() { Ok(()) } else { archive.prune(&gone).await }
    }

    /// Before a node holds something, its lease covers it.
    async fn write_covered(
        self,
        jobs: &[&LoadedJob],
        cover: &mut Option<Cover<'_, 'a>>,
    ) -> Result<Vec<bool>, StoreError> {
        match cover {
            Some(Cover { caller, lease }) if jobs.iter().any(|job| job.is_held_by(caller.owner())) => {
                let written = caller.renew_and_write(*lease, jobs).await?;
                // What an overtaken claim would take is not its own any more; the verb asks the caller.
                Ok(written.unwrap_or_else(|| vec![true; jobs.len()]))
            }
            _ => {
                self.archive(jobs).await?;
                self.session.write(jobs, self.now).await
            }
        }
    }

    /// Archives the runs that had ended before: a record keeps only those that end with its last write.
    pub(super) async fn archive(self, jobs: &[&LoadedJob]) -> Result<(), StoreError> {
        let runs: Vec<Run> = jobs.iter().flat_map(|job| job.to_be_archived()).cloned().collect();
        match self.session.archive() {
            Some(archive) if !runs.is_empty() => archive.archive(&runs).await,
            _ => Ok(()),
        }
    }

    /// Deletes the jobs that are marked as finished and still there because of their archived runs.
    async fn delete_marked(self, written: &[LoadedJob]) -> Result<(), StoreError> {
        let marked = written.iter().filter(|job| job.is_deleted() && job.may_have_archived_runs());
        let keys: BTreeSet<String> = marked.map(|job| job.key().to_owned()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let jobs = self.session.by_key(&keys, Access::Change).await?;
        self.delete(jobs.into_iter().filter(LoadedJob::is_finished).collect()).await
    }

    /// Deletes finished jobs, first their archived runs. A call that loses a race here finds the work done.
    async fn delete(self, mut finished: Vec<LoadedJob>) -> Result<(), StoreError> {
        if finished.is_empty() {
            return Ok(());
        }
        if let Some(archive) = self.session.archive() {
            let runs: Vec<(Uid, u64)> = finished.iter().filter_map(|job| Some((job.uid()?, u64::MAX))).collect();
            archive.prune(&runs).await?;
        }
        finished.iter_mut().for_each(LoadedJob::mark_emptied);
        self.session.write(&finished.iter().collect::<Vec<_>>(), self.now).await.map(drop)
    }

    pub(super) fn contended(self, what: &str) -> StoreError {
        let place = self.place;
        let message = format!("{place}: others changed {what} {ROUNDS} times in a row; the call will be repeated");
        StoreError::new(StoreErrorKind::Unavailable, message)
    }
}

async fn prune(archive: &dyn Archive, written: &[LoadedJob]) -> Result<(), StoreError> {
    let staying = written.iter().filter(|job| job.fate() == Fate::Stays);
    let below: Vec<(Uid, u64)> = staying.filter_map(|job| Some((job.uid()?, job.pruned_below()?))).collect();
    if below.is_empty() { Ok(()) } else { archive.prune(&below).await }
}
