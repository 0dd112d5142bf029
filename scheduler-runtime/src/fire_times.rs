//! Fire times to come: of a job as it is, and as it would be with another trigger.

use chrono::{DateTime, Utc};
use scheduler_core::{Error, ErrorKind, JobId, JobState, Trigger, trigger::TriggerError};

use crate::{Job, Scheduler};

impl Scheduler {
    /// The time by the clock of the scheduler's runtime: the system's, or that of a test.
    pub fn now(&self) -> DateTime<Utc> {
        self.runtime().now().utc
    }

    /// The first `n` fire times that a job with this id would have if it were [rescheduled](Self::reschedule_job) now; fewer if there are
    /// no more. Nothing changes, and no store is asked.
    ///
    /// Of a trigger that waits for the end of each run, that is the first one alone. A store that goes by its server's
    /// clock may see a first fire time differ by as much as the clocks do.
    ///
    /// ```
    /// use scheduler_core::{Trigger, trigger::Interval};
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_tokio::TokioRuntime;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = TokioRuntime::new()?;
    /// let scheduler = Scheduler::builder(runtime).build()?;
    /// let hourly = scheduler.preview("report", Interval::hours(1), 3)?;
    /// assert_eq!(hourly[2] - hourly[0], chrono::TimeDelta::hours(2));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Trigger`] if the trigger fails.
    pub fn preview(
        &self,
        id: impl Into<JobId>,
        trigger: impl Into<Trigger>,
        n: usize,
    ) -> Result<Vec<DateTime<Utc>>, Error> {
        let (id, mut trigger, now) = (id.into(), trigger.into(), self.now());
        self.registry().resolve(&mut trigger);
        let trigger = trigger.bind(now, self.timezone(), id.as_str());
        let first = trigger.next(None, now).map_err(|error| failed(&id, error))?;
        from(&id, &trigger, first, n)
    }
}

impl Job {
    /// The next `n` fire times of the job as it is; fewer if there are no more, none while it is paused without an end, put aside or over.
    /// No store is asked.
    ///
    /// Of a trigger that waits for the end of each run, that is the next one at most.
    ///
    /// ```
    /// use scheduler_core::{JobSpec, trigger::Interval};
    /// # use scheduler_runtime::Scheduler;
    /// # async fn example(scheduler: Scheduler) -> Result<(), scheduler_core::Error> {
    /// let job = scheduler.add_job(JobSpec::new("report", Interval::hours(1))).await?;
    /// assert_eq!(job.fire_times(10)?.first().copied(), job.next_fire_time);
    /// assert!(job.pause().await?.fire_times(10)?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Trigger`] if the trigger fails.
    pub fn fire_times(&self, n: usize) -> Result<Vec<DateTime<Utc>>, Error> {
        let trigger = &self.body.trigger;
        let first = match self.state {
            JobState::Active => self.next_fire_time,
            JobState::Paused => match self.current_pause().and_then(|pause| pause.until) {
                Some(until) => trigger.next(None, until).map_err(|error| failed(&self.id, error))?,
                None => None,
            },
            _ => None,
        };
        from(&self.id, trigger, first, n)
    }
}

/// A first fire time and those that follow it, `n` together.
fn from(id: &JobId, trigger: &Trigger, first: Option<DateTime<Utc>>, n: usize) -> Result<Vec<DateTime<Utc>>, Error> {
    let Some((first, further)) = first.zip(n.checked_sub(1)) else { return Ok(Vec::new()) };
    let mut fire_times = vec![first];
    if !trigger.waits_for_end() {
        fire_times.extend(trigger.next_n(first, further).map_err(|error| failed(id, error))?);
    }
    Ok(fire_times)
}

fn failed(id: &JobId, error: TriggerError) -> Error {
    Error::new(ErrorKind::Trigger, format!("the trigger of job `{id}`: {error}")).with_source(error)
}
