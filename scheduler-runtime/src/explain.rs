//! Asking why a job did, did not, or will (not) run.

use chrono::{DateTime, TimeZone, Utc};
use scheduler_core::{
    Error, ErrorKind, Explanation, JobId, JobState, Run, StoreName, Uid, engine::Command, explain, store::RunQuery,
};

use crate::{Job, Scheduler};

/// How many runs a page holds: the whole history, for most jobs.
const PAGE: usize = 1_000;

impl Scheduler {
    /// Why a job did, did not, or will (not) run at a time: for the people who ask that, and as a value.
    ///
    /// It is told from the job's row and its history, so that it holds whichever node ran the job, and reaches back as far
    /// as the history does. A time in whole seconds stands for the fire time within that second.
    ///
    /// ```
    /// use chrono::{TimeDelta, Utc};
    /// use scheduler_core::{Answer, JobSpec, trigger::Interval};
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_tokio::TokioRuntime;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let rt = tokio::runtime::Builder::new_current_thread().build()?;
    /// # rt.block_on(async {
    /// let scheduler = Scheduler::builder(TokioRuntime::current()).task("report", || async {}).build()?;
    /// let job = scheduler.add_job(JobSpec::new("report", Interval::hours(1)).id("hourly")).await?;
    /// let next = job.next_fire_time.expect("it has been added right now");
    ///
    /// assert_eq!(scheduler.explain("hourly", next).await?.answer, Answer::Next);
    /// let between = scheduler.explain("hourly", next - TimeDelta::minutes(10)).await?;
    /// println!("{between}"); // `hourly` at …: that is not a fire time; the trigger fires at …
    /// job.pause().await?;
    /// assert_eq!(job.explain(next).await?.answer, Answer::Paused);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], also for a job that is over and has gone with its history; [`ErrorKind::Quarantined`] if
    /// its row cannot be read; the store's own.
    pub async fn explain<Z: TimeZone>(&self, id: impl Into<JobId>, at: DateTime<Z>) -> Result<Explanation, Error> {
        let (id, at) = (id.into(), at.to_utc());
        let Some(job) = self.job(id.clone()).await? else {
            return Err(Error::new(ErrorKind::NotFound, format!("job `{id}` is in no store of this scheduler")));
        };
        self.explain_job(&job, at).await
    }

    async fn explain_job(&self, job: &Job, at: DateTime<Utc>) -> Result<Explanation, Error> {
        let runs = self.runs_back_to(job.store(), job.uid, at).await?;
        let now = self.runtime().now().utc;
        let explanation = explain(job, &runs, now, at);
        let Some(key) = job.body.options.limit_key.clone() else { return Ok(explanation) };
        let limit = self.limit_in(job.store(), key).await?;
        Ok(match limit {
            Some(limit) => explanation.with_key_limit(&limit, now),
            None => explanation,
        })
    }

    /// The runs of a job from the newest back to a time, and at least one before that if there is one.
    async fn runs_back_to(&self, store: &StoreName, uid: Uid, at: DateTime<Utc>) -> Result<Vec<Run>, Error> {
        let mut runs: Vec<Run> = Vec::new();
        loop {
            let query = RunQuery { uid, before: runs.last().map(|run| run.id.seq), limit: PAGE };
            let page: Vec<Run> = self.call(Command::Runs(store.clone(), query)).await?;
            let is_last = page.len() < PAGE || page.last().is_some_and(|run| run.fire_time < at);
            runs.extend(page);
            if is_last {
                return Ok(runs);
            }
        }
    }
}

impl Job {
    /// Why the job did, did not, or will (not) run at a time; see [`Scheduler::explain`]. Also of a job that is over and was found by a
    /// search.
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::explain`].
    pub async fn explain<Z: TimeZone>(&self, at: DateTime<Z>) -> Result<Explanation, Error> {
        match self.state {
            JobState::Ending => self.scheduler().explain_job(self, at.to_utc()).await,
            _ => self.scheduler().explain(self.id.clone(), at).await,
        }
    }
}
