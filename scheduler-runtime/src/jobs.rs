//! What a scheduler's handle does with jobs.

use std::fmt::Write as _;

use scheduler_core::{
    Conflict, Error, ErrorKind, JobChange, JobId, JobRow, JobSpec, JobState, Listed, Pause, RawJob, Run, RunId,
    StoreName, Task, Trigger, Uid,
    engine::{Command, ExportedJob, JobEdit},
    store::{JobQuery, RunQuery},
};
use scheduler_executors::panics;

use crate::{Job, Scheduler, driver::Attachment, registry::next_closure};

/// How many jobs or runs a page of a listing holds: one round trip each, and no reply that fills memory.
const PAGE: usize = 1_000;

impl Scheduler {
    /// Adds a job. Works before the start as well; a duplicate is an error at once.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Conflict`] if a job with this id is there and the description does not say what to do about it.
    /// - [`ErrorKind::UnknownTask`], [`ErrorKind::UnknownExecutor`], [`ErrorKind::UnknownStore`].
    /// - [`ErrorKind::Arguments`] if they are not what the task takes.
    /// - [`ErrorKind::NeverFires`] if the trigger has no fire time; [`ErrorKind::Trigger`] if it fails.
    /// - [`ErrorKind::Closure`] for a closure in a store that outlives the process.
    /// - [`ErrorKind::TooLarge`] if the store takes no job so large; otherwise the store's own.
    pub async fn add_job(&self, spec: JobSpec) -> Result<Job, Error> {
        let mut added = self.add_jobs(vec![spec]).await;
        added.pop().unwrap_or_else(|| Err(unanswered()))
    }

    /// Adds many jobs, each by itself, in as few round trips as their stores allow. The results come in the same order.
    pub async fn add_jobs(&self, specs: Vec<JobSpec>) -> Vec<Result<Job, Error>> {
        let (mut results, batches) = self.batches(specs);
        for (store, Batch { places, specs, closures }) in batches {
            let has_closures = closures.iter().any(Option::is_some);
            let attachment = if has_closures { Attachment::Closures(closures) } else { Attachment::Nothing };
            let added = self.call_with(Command::AddJobs(store.clone(), specs), attachment).await;
            for (place, job) in places.iter().zip(each(added, places.len())) {
                results[*place] = Some(job.map(|row| self.job_handle(store.clone(), row)));
            }
        }
        results.into_iter().flatten().collect()
    }

    /// The jobs whose arguments are right, by their stores, and a place for the result of each, with the errors of the others.
    pub(crate) fn batches(&self, specs: Vec<JobSpec>) -> (Results, Vec<(StoreName, Batch)>) {
        let mut results = Results::new();
        results.resize_with(specs.len(), || None);
        let mut batches: Vec<(StoreName, Batch)> = Vec::new();
        for (place, spec) in specs.into_iter().enumerate() {
            let store = self.scope().or_else(|| spec.store_name()).cloned().unwrap_or_default();
            match self.checked(spec) {
                Ok((spec, closure)) => {
                    let at = batches.iter().position(|(name, _)| *name == store).unwrap_or_else(|| {
                        batches.push((store, Batch::default()));
                        batches.len() - 1
                    });
                    let batch = &mut batches[at].1;
                    batch.places.push(place);
                    batch.specs.push(spec);
                    batch.closures.push(closure);
                }
                Err(error) => results[place] = Some(Err(error)),
            }
        }
        (results, batches)
    }

    fn checked(&self, mut spec: JobSpec) -> Result<(JobSpec, Option<Task>), Error> {
        let closure = spec.take_closure(next_closure());
        let task = closure.clone().or_else(|| self.registry().task(spec.task_name()));
        if let Some(closure) = &closure {
            self.registry().check_task(closure, |_| false)?;
        }
        // An unknown task is the engine's to refuse; it names the job.
        if let Some(task) = task {
            if let Ok(args) = spec.arguments() {
                check(&task, args)?;
            }
            spec.inherit(&task);
        }
        if let Some(trigger) = spec.trigger_mut() {
            self.registry().resolve(trigger);
        }
        Ok((spec, closure))
    }

    /// The job with this id, from the first store that has it; none if there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Quarantined`] if its row cannot be read; the store's own.
    #[doc(alias = "get_job")]
    pub async fn job(&self, id: impl Into<JobId>) -> Result<Option<Job>, Error> {
        let found: Option<(StoreName, Box<JobRow>)> = self.call(Command::Job(self.scope().cloned(), id.into())).await?;
        Ok(found.map(|(store, row)| self.job_handle(store, *row)))
    }

    /// All jobs by their next fire time, paused ones last. Jobs that cannot be read are left out; see
    /// [`unreadable_jobs`](Self::unreadable_jobs).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownStore`]; the store's own.
    #[doc(alias = "get_jobs")]
    pub async fn jobs(&self) -> Result<Vec<Job>, Error> {
        let mut jobs: Vec<Job> = Vec::new();
        for store in self.stores().await? {
            for listed in self.listing(&store).await? {
                if let Listed::Job(row) = listed {
                    jobs.push(self.job_handle(store.clone(), row));
                }
            }
        }
        jobs.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        Ok(jobs)
    }

    /// The rows that cannot be read, as they are, with the reason. They can be removed by id, or repaired in the store.
    ///
    /// # Errors
    ///
    /// As [`jobs`](Self::jobs).
    pub async fn unreadable_jobs(&self) -> Result<Vec<(StoreName, RawJob)>, Error> {
        let mut rows = Vec::new();
        for store in self.stores().await? {
            for listed in self.listing(&store).await? {
                if let Listed::Raw(raw) = listed {
                    rows.push((store.clone(), raw));
                }
            }
        }
        Ok(rows)
    }

    /// The newest runs of a job, newest first: those that are running or waiting, and the history that its options keep.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; the store's own.
    pub async fn runs(&self, id: impl Into<JobId>, limit: usize) -> Result<Vec<Run>, Error> {
        let id = id.into();
        match self.job(id.clone()).await? {
            Some(job) => self.runs_of(job.store(), job.uid, limit).await,
            None => Err(Error::new(ErrorKind::NotFound, format!("job `{id}` is in no store of this scheduler"))),
        }
    }

    pub(crate) async fn runs_of(&self, store: &StoreName, uid: Uid, limit: usize) -> Result<Vec<Run>, Error> {
        let mut runs: Vec<Run> = Vec::new();
        while runs.len() < limit {
            let query =
                RunQuery { uid, before: runs.last().map(|run| run.id.seq), limit: PAGE.min(limit - runs.len()) };
            let asked = query.limit;
            let page: Vec<Run> = self.call(Command::Runs(store.clone(), query)).await?;
            let is_last = page.len() < asked;
            runs.extend(page);
            if is_last {
                break;
            }
        }
        Ok(runs)
    }

    /// Changes properties of a job; what the change does not name stays.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Busy`] if others kept changing the job meanwhile; those of
    /// [`add_job`](Self::add_job) for what the change brings in. Nothing has changed then.
    pub async fn modify_job(&self, id: impl Into<JobId>, mut change: JobChange) -> Result<Job, Error> {
        let id = id.into();
        if let Some(trigger) = change.trigger_mut() {
            self.registry().resolve(trigger);
        }
        self.check_change(&id, &change).await?;
        self.change(id, JobEdit::Modify(change)).await
    }

    /// Gives a job another trigger; its next fire time is computed from now. A paused job stays paused.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::NeverFires`]; [`ErrorKind::Busy`] if others kept changing the job meanwhile; the
    /// store's own error. Nothing has changed then.
    pub async fn reschedule_job(&self, id: impl Into<JobId>, trigger: impl Into<Trigger>) -> Result<Job, Error> {
        let mut trigger = trigger.into();
        self.registry().resolve(&mut trigger);
        self.change(id.into(), JobEdit::Reschedule(trigger)).await
    }

    /// Keeps a job from firing until it is resumed. Its waiting runs wait, but for those that were asked for with
    /// [`run_job_now`](Self::run_job_now); running ones end. Fire times that are due and
    /// have not been settled end as cancelled.
    ///
    /// [`pause_job_with`](Self::pause_job_with) says why, who does it and until when. Does nothing if the job is
    /// paused. A job that [is over with its last run](scheduler_core::JobRow::is_ending) is kept while it is paused:
    /// its run does not go on to a further attempt before the job is resumed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Busy`] if others kept changing the job meanwhile; the store's own error. Nothing
    /// has changed then.
    pub async fn pause_job(&self, id: impl Into<JobId>) -> Result<Job, Error> {
        self.change(id.into(), JobEdit::Pause(Pause::new())).await
    }

    /// As [`pause_job`](Self::pause_job), with a note, who does it, or an end after which the job goes on by itself, as if it were
    /// [resumed](Self::resume_job) then; whichever node runs lets it. Of a job that is paused already, this takes the place of what was
    /// said before.
    ///
    /// ```
    /// use chrono::{TimeDelta, Utc};
    /// use scheduler_core::Pause;
    /// # use scheduler_runtime::Scheduler;
    /// # async fn example(scheduler: Scheduler) -> Result<(), scheduler_core::Error> {
    /// let pause = Pause::new().by("anna").note("the printer is away").until(Utc::now() + TimeDelta::hours(2));
    /// let job = scheduler.pause_job_with("nightly", pause).await?;
    /// assert_eq!(job.current_pause().and_then(|pause| pause.by.as_deref()), Some("anna"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`pause_job`](Self::pause_job); [`ErrorKind::Job`] if the end has passed, or a text is too long.
    pub async fn pause_job_with(&self, id: impl Into<JobId>, pause: Pause) -> Result<Job, Error> {
        self.change(id.into(), JobEdit::Pause(pause)).await
    }

    /// Moves the job to the trigger's next fire time after now and lets it run again.
    ///
    /// Does nothing if the job is not paused. A one-shot whose time has passed fires, unless it has had its run before. A
    /// trigger without a further fire time finishes the job, when its last open run has ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if no job has this id; [`ErrorKind::Busy`] if others kept changing it meanwhile; the store's own
    /// error otherwise. Nothing has changed then.
    pub async fn resume_job(&self, id: impl Into<JobId>) -> Result<Job, Error> {
        self.change(id.into(), JobEdit::Resume).await
    }

    /// Runs a job once, now, beside its fire times, which stay as they are. The run is in the store when this returns, and any
    /// node that knows the task may run it; a node that dies does not take it along.
    ///
    /// If `max_instances` runs of the job are running, the overlap policy decides, as for a fire time.
    /// [`Overlap::Skip`](scheduler_core::Overlap::Skip) ends the run as skipped, with an event;
    /// [`Queue`](scheduler_core::Overlap::Queue) lets it wait if there is a place;
    /// [`CancelPrevious`](scheduler_core::Overlap::CancelPrevious) cancels the others first. A paused job runs, too, and stays
    /// paused; only further attempts of the run wait until it is resumed. So does a job that is kept after its last fire
    /// time.
    ///
    /// The event is [`RunQueued`](scheduler_core::EventKind::RunQueued), then those of any run. A scheduler that has not been
    /// started, or is paused, leaves the run to others or for later.
    ///
    /// ```
    /// use scheduler_core::{JobSpec, trigger::Interval};
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_tokio::TokioRuntime;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let rt = tokio::runtime::Builder::new_current_thread().build()?;
    /// # rt.block_on(async {
    /// let scheduler = Scheduler::builder(TokioRuntime::current()).task("report", || async {}).build()?;
    /// let job = scheduler.add_job(JobSpec::new("report", Interval::hours(1)).id("hourly")).await?;
    /// let run = scheduler.run_job_now("hourly").await?;
    /// assert_eq!(job.runs(1).await?[0].id, run);
    /// assert_eq!(job.refresh().await?.next_fire_time, job.next_fire_time);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotFound`] if no job has this id.
    /// - [`ErrorKind::Quarantined`] until the job is repaired; [`ErrorKind::NewerVersion`].
    /// - [`ErrorKind::Busy`] if others kept changing the job meanwhile.
    /// - The store's own. After [`ErrorKind::StoreUnavailable`] the run may be there all the same; [`runs`](Self::runs) tells.
    #[doc(alias = "run_job")]
    pub async fn run_job_now(&self, id: impl Into<JobId>) -> Result<RunId, Error> {
        self.call(Command::RunJobNow(self.scope().cloned(), id.into())).await
    }

    /// Asks a run of a job to stop, wherever it is. Does nothing if it has ended already.
    ///
    /// A waiting run, be it for a slot or for its next attempt, does not start any more: the next claim ends it as cancelled,
    /// with the event [`RunCancelled`](scheduler_core::EventKind::RunCancelled). A run that runs on this node is told at once:
    /// its [token](scheduler_core::CancellationToken) is cancelled, and what becomes of it is up to its executor. One that runs
    /// on another node is told as soon as that node hears of it: at once if the store can tell
    /// ([`Wakes`](scheduler_core::store::Wakes)), with its next life sign otherwise, which is after a third of the lease at
    /// the latest. A run that ends in another way before it has heard has that verdict; one that fails is not retried.
    ///
    /// The run of a job that was removed while it ran can be stopped as well.
    ///
    /// ```
    /// # async fn example(scheduler: scheduler_runtime::Scheduler) -> Result<(), Box<dyn std::error::Error>> {
    /// // As they come over HTTP.
    /// let (job, run) = ("hourly", "0193a1b2c3d4000100000000000000ff-7");
    /// scheduler.cancel_run(job, run.parse()?).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the job has no such run, also if another job has; the store's own.
    pub async fn cancel_run(&self, id: impl Into<JobId>, run: RunId) -> Result<(), Error> {
        self.done(Command::CancelRun(self.scope().cloned(), id.into(), run)).await
    }

    /// Removes a job. Its id is free at once. Waiting runs, queued ones and those that are to be repeated, end as cancelled,
    /// with an event [`RunCancelled`](scheduler_core::EventKind::RunCancelled) each on this scheduler; running ones go on to
    /// their end, without a further attempt.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; the store's own error.
    pub async fn remove_job(&self, id: impl Into<JobId>) -> Result<(), Error> {
        self.done(Command::RemoveJob(self.scope().cloned(), id.into())).await
    }

    /// Removes all jobs, each as [`remove_job`](Self::remove_job) does, and says how many there were.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownStore`]; the store's own error, after which the stores before it have been emptied.
    pub async fn remove_all_jobs(&self) -> Result<u64, Error> {
        self.call(Command::RemoveAllJobs(self.scope().cloned())).await
    }

    /// Writes a list of all jobs for people, store by store: a line each, with the id, the name, the trigger and the next fire
    /// time.
    ///
    /// # Errors
    ///
    /// As [`jobs`](Self::jobs); what the writer says as [`ErrorKind::Config`].
    pub async fn print_jobs(&self, out: &mut (dyn std::io::Write + Send)) -> Result<(), Error> {
        let mut text = String::new();
        for store in self.stores().await? {
            let mut jobs: Vec<Job> = Vec::new();
            let mut unreadable = Vec::new();
            for listed in self.listing(&store).await? {
                match listed {
                    Listed::Job(row) => jobs.push(self.job_handle(store.clone(), row)),
                    Listed::Raw(raw) => unreadable.push(raw),
                }
            }
            jobs.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "Store {store}:");
            if jobs.is_empty() && unreadable.is_empty() {
                text.push_str("    No scheduled jobs\n");
            }
            for job in jobs {
                let _ = writeln!(text, "    {}: {job}", job.id);
            }
            for raw in unreadable {
                let _ = writeln!(text, "    {}: unreadable: {}", raw.id, raw.reason);
            }
        }
        out.write_all(text.as_bytes()).map_err(|error| {
            Error::new(ErrorKind::Config, format!("the list of jobs cannot be written: {error}")).with_source(error)
        })
    }

    /// All jobs in their exported form, which is JSON when serialised: to keep them elsewhere, or to move them to another
    /// store or scheduler with [`import_jobs`](Self::import_jobs). Their history stays behind.
    ///
    /// Closures, quarantined jobs, and jobs that have had their last fire time are left out;
    /// [`unreadable_jobs`](Self::unreadable_jobs) has what cannot be read.
    ///
    /// ```
    /// # async fn example(scheduler: scheduler_runtime::Scheduler) -> Result<(), Box<dyn std::error::Error>> {
    /// use scheduler_core::Conflict;
    ///
    /// // From one store of a scheduler to the other.
    /// let (old, new) = (scheduler.in_store("old"), scheduler.in_store("new"));
    /// let json = serde_json::to_string(&old.export_jobs().await?)?;
    /// old.remove_all_jobs().await?;
    /// for added in new.import_jobs(serde_json::from_str(&json)?, Conflict::Error).await {
    ///     added?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`jobs`](Self::jobs).
    pub async fn export_jobs(&self) -> Result<Vec<ExportedJob>, Error> {
        let jobs = self.jobs().await?;
        let is_exportable = |job: &&Job| {
            let goes_on = matches!(job.state, JobState::Active | JobState::Paused) && !job.is_ending();
            goes_on && !job.body.task.as_str().starts_with("closure#")
        };
        Ok(jobs.iter().filter(is_exportable).map(exported).collect())
    }

    /// Adds exported jobs, each by itself, to the store to which this handle is confined, or to `default`. The results come
    /// in the same order.
    ///
    /// A next fire time is kept even if it has passed: the job catches up as its options say.
    pub async fn import_jobs(&self, mut jobs: Vec<ExportedJob>, conflict: Conflict) -> Vec<Result<Job, Error>> {
        let store = self.scope().cloned().unwrap_or_default();
        let count = jobs.len();
        let mut checks = Vec::with_capacity(count);
        for job in &mut jobs {
            self.registry().resolve(&mut job.job.trigger);
            let task = self.registry().task(&job.job.task);
            checks.push(task.map_or(Ok(()), |task| check(&task, &job.job.args)));
        }
        let (good, checks): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .zip(checks)
            .map(|(job, check)| match check {
                Ok(()) => (Some(job), None),
                Err(error) => (None, Some(error)),
            })
            .unzip();
        let command = Command::ImportJobs(store.clone(), good.into_iter().flatten().collect(), conflict);
        let mut added = each(self.call(command).await, count);
        let result = |check: Option<Error>| match check {
            Some(error) => Err(error),
            None => added.next().unwrap_or_else(|| Err(unanswered())).map(|row| self.job_handle(store.clone(), row)),
        };
        checks.into_iter().map(result).collect()
    }

    pub(crate) async fn change(&self, id: JobId, change: JobEdit) -> Result<Job, Error> {
        let (store, row): (StoreName, Box<JobRow>) =
            self.call(Command::ChangeJob(self.scope().cloned(), id, Box::new(change))).await?;
        Ok(self.job_handle(store, *row))
    }

    /// Whether the task would understand the arguments that it has after the change.
    async fn check_change(&self, id: &JobId, change: &JobChange) -> Result<(), Error> {
        let (task, args) = change.call();
        if task.is_none() && args.is_none() {
            return Ok(());
        }
        let Some(job) = self.job(id.clone()).await? else {
            return Ok(());
        };
        let task = self.registry().task(task.unwrap_or(&job.body.task));
        match (task, args.unwrap_or(Ok(&job.body.args))) {
            (Some(task), Ok(args)) => check(&task, args),
            _ => Ok(()),
        }
    }

    /// The stores that this handle lists.
    pub(crate) async fn stores(&self) -> Result<Vec<StoreName>, Error> {
        match self.scope() {
            Some(store) => Ok(vec![store.clone()]),
            None => self.call(Command::Stores).await,
        }
    }

    async fn listing(&self, store: &StoreName) -> Result<Vec<Listed>, Error> {
        let mut listing: Vec<Listed> = Vec::new();
        loop {
            let query = JobQuery { after: listing.last().map(|listed| listed.id().clone()), limit: PAGE };
            let page: Vec<Listed> = self.call(Command::Jobs(store.clone(), query)).await?;
            let is_last = page.len() < PAGE;
            listing.extend(page);
            if is_last {
                return Ok(listing);
            }
        }
    }

    pub(crate) fn job_handle(&self, store: StoreName, row: JobRow) -> Job {
        Job::new(self.in_store(store.clone()), store, row)
    }
}

/// The answer for each of the jobs that were added, which are so many.
pub(crate) fn each(
    added: Result<Vec<Result<JobRow, Error>>, Error>,
    count: usize,
) -> impl Iterator<Item = Result<JobRow, Error>> {
    let (added, error) = match added {
        Ok(added) => (added, unanswered()),
        Err(error) => (Vec::new(), error),
    };
    added.into_iter().chain(std::iter::repeat(Err(error))).take(count)
}

pub(crate) fn unanswered() -> Error {
    Error::new(ErrorKind::Bug, "the scheduler has not said what became of a job that was to be added; please report it")
}

/// A place for what comes of each of the jobs of one call.
pub(crate) type Results = Vec<Option<Result<Job, Error>>>;

/// The jobs of one call that go to one store.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) places: Vec<usize>,
    pub(crate) specs: Vec<JobSpec>,
    pub(crate) closures: Vec<Option<Task>>,
}

fn check(task: &Task, args: &serde_json::Value) -> Result<(), Error> {
    let checked = panics::catch(|| task.check(args));
    let checked = checked.unwrap_or_else(|panic| Err(format!("reading the arguments panicked: {panic}")));
    checked.map_err(|error| {
        Error::new(ErrorKind::Arguments, format!("the arguments do not fit task `{}`: {error}", task.name()))
    })
}

pub(crate) fn sort_key(job: &Job) -> impl Ord + use<'_> {
    (job.next_fire_time.is_none(), job.next_fire_time, &job.id)
}

fn exported(job: &Job) -> ExportedJob {
    let mut body = job.body.clone();
    if job.current_pause().is_none() {
        body.pause = None;
    }
    ExportedJob {
        id: job.id.clone(),
        paused: job.state == JobState::Paused,
        next_fire_time: job.next_fire_time,
        job: body,
    }
}
