//! How a call changes jobs that others change at the same time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
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
    recent::Recent,
    rules::Runs,
};

/// How often a call tries again when others were faster. Each time one of the others got on; so many losses in a row are no race.
pub(super) const ROUNDS: usize = 32;

/// A call of a verb.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) session: &'a dyn Session,
    pub(super) place: &'a str,
    /// None if jobs are always loaded before they are changed.
    pub(super) recent: Option<&'a Recent>,
    /// The time by which everything in it is decided.
    pub(super) now: DateTime<Utc>,
}

/// What a call is to change.
#[derive(Debug)]
pub(super) struct Batch {
    /// The jobs in their order, also those that are not there.
    keys: Vec<Arc<str>>,
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
    /// Whether the change takes something for the node; it only tells of what the node holds otherwise.
    pub(super) takes: bool,
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
        let keys = keys.into_iter().map(Arc::from).collect();
        Ok(Self { keys, jobs, runs: BTreeSet::new(), access })
    }

    /// As [`load`](Self::load), but those that the node holds as it has written them last.
    pub(super) async fn remember(
        session: &dyn Session,
        recent: Option<&Recent>,
        mut keys: BTreeSet<String>,
    ) -> Result<Self, StoreError> {
        let all = keys.iter().map(|key| Arc::from(key.as_str())).collect();
        let remembered = recent.map(|recent| recent.take(&mut keys)).unwrap_or_default();
        let mut batch = Self::load(session, keys, Access::Change).await?;
        batch.jobs.extend(remembered);
        Ok(Self { keys: all, ..batch })
    }

    /// Loads the jobs that were remembered.
    pub(super) async fn load_remembered(mut self, session: &dyn Session) -> Result<Self, StoreError> {
        let (remembered, loaded): (Vec<_>, Vec<_>) = self.jobs.into_iter().partition(LoadedJob::is_remembered);
        self.jobs = loaded;
        if !remembered.is_empty() {
            let keys = remembered.iter().map(|job| job.key().to_owned()).collect();
            self.jobs.extend(session.by_key(&keys, self.access).await?);
        }
        Ok(self)
    }

    /// Jobs that have been found in another way.
    pub(super) fn of(jobs: Vec<LoadedJob>, access: Access) -> Self {
        let mut keys: Vec<_> = jobs.iter().map(LoadedJob::shared_key).collect();
        keys.sort_unstable();
        Self { keys, jobs, runs: BTreeSet::new(), access }
    }

    /// Those that are there, as they were loaded or remembered.
    pub(super) fn jobs(&self) -> &[LoadedJob] {
        &self.jobs
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
            jobs.sort_unstable_by(|a, b| a.key().cmp(b.key()));
            let mut rest = jobs.iter_mut().peekable();
            for key in &keys {
                step(key, rest.next_if(|job| job.key() == &**key));
            }
            let lost = self.write(jobs, &mut cover).await?;
            if lost.is_empty() {
                return Ok(());
            }
            jobs = self.session.by_key(&lost, access).await?;
            keys = lost.into_iter().map(Arc::from).collect();
        }
        Err(self.contended(&format!("{} jobs", keys.len())))
    }

    /// The loaded jobs with the ended runs that the rules look at. Jobs that are to be deleted count as gone; a deletion of one that
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
        let mut jobs: HashMap<Uid, &mut LoadedJob> =
            open.iter_mut().filter_map(|job| Some((job.uid()?, job))).collect();
        let is_missing = |(uid, seq): &&(Uid, u64)| jobs.get(uid).is_some_and(|job| job.runs().run(*seq).is_none());
        let missing: BTreeSet<(Uid, u64)> = runs.iter().filter(is_missing).copied().collect();
        if !missing.is_empty() {
            for run in self.session.ended(&missing).await? {
                if let Some(job) = jobs.get_mut(&run.id.uid) {
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
        // What was decided from a remembered job is confirmed by its write, or by loading it.
        let unconfirmed = jobs.iter().filter(|job| job.is_remembered() && !job.is_changed());
        let unconfirmed: BTreeSet<String> = unconfirmed.map(|job| job.key().to_owned()).collect();
        jobs.retain(LoadedJob::is_changed);
        if jobs.is_empty() {
            return Ok(unconfirmed);
        }
        let Some(written) = self.write_covered(&jobs.iter().collect::<Vec<_>>(), cover).await? else {
            return Ok(unconfirmed);
        };
        let mut is_written = written.into_iter();
        let (written, lost): (Vec<LoadedJob>, Vec<LoadedJob>) =
            jobs.into_iter().partition(|_| is_written.next().unwrap_or(false));
        if let Some(archive) = self.session.archive() {
            try_join(prune(archive, &written), self.delete_marked(&written)).await?;
            self.unarchive(archive, &lost).await?;
        }
        if let (Some(recent), Some(Cover { caller, .. })) = (self.recent, cover) {
            recent.keep(written, caller.owner(), self.now, |version| self.session.version_after(version));
        }
        Ok(lost.into_iter().map(|job| job.key().to_owned()).chain(unconfirmed).collect())
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

    /// Before a node holds something, its lease covers it. None if that was for a claim which is overtaken: what it would take is
    /// not its own any more, nothing is written, and the verb asks the caller.
    async fn write_covered(
        self,
        jobs: &[&LoadedJob],
        cover: &mut Option<Cover<'_, 'a>>,
    ) -> Result<Option<Vec<bool>>, StoreError> {
        match cover {
            Some(Cover { caller, lease, takes: false }) => caller.hold_and_write(*lease, jobs).await.map(Some),
            Some(Cover { caller, lease, .. }) if jobs.iter().any(|job| job.is_held_by(caller.owner())) => {
                caller.renew_and_write(*lease, jobs).await
            }
            _ => {
                self.archive(jobs).await?;
                self.session.write(jobs, self.now).await.map(Some)
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

    /// Deletes jobs that are over, first their archived runs. A call that loses a race here finds the work done.
    pub(super) async fn delete(self, mut finished: Vec<LoadedJob>) -> Result<(), StoreError> {
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
    let staying = written.iter().filter(|job| job.fate() != Fate::Deleted);
    let below: Vec<(Uid, u64)> = staying.filter_map(|job| Some((job.uid()?, job.pruned_below()?))).collect();
    if below.is_empty() { Ok(()) } else { archive.prune(&below).await }
}
