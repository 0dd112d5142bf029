//! Runs by their ids: reading one, and waiting for its end on whichever node that comes.
//!
//! ```text
//! wait for run 7
//!   → store: runs of its job below 8
//!   ← running on node-b
//!   · after 100 ms, 200 ms, 400 ms, .. up to 5 s, or once this node tells of its end: the same question
//!   ← ended, ok
//! ```

use std::time::Duration;

use async_channel::{Receiver, TryRecvError};
use futures_util::future::{Either, select};
use scheduler_core::{
    Error, ErrorKind, Event, EventKind, EventMask, Run, RunId, RunOutput, RunRef, RunState, Uid, Verdict,
    engine::Command, store::RunQuery,
};

use crate::{Job, ListenerId, Scheduler, driver::gone, own_run};

/// How long a wait pauses at first before it reads the run again, and how long at most: stores do not tell of ends of runs.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Scheduler {
    /// The run with this id, open or ended: for as long as its job's history keeps it, and when the job is over, for its
    /// [`retention`](scheduler_core::JobOptions::retention). None if there is no such run, or none any more.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn find_run(&self, run: RunId) -> Result<Option<Run>, Error> {
        let query = RunQuery { uid: run.uid, before: run.seq.checked_add(1), limit: 1 };
        for store in self.stores().await? {
            let newest: Vec<Run> = self.call(Command::Runs(store, query.clone())).await?;
            if let Some(found) = newest.into_iter().find(|found| found.id == run) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The newest runs of a job, newest first, by its uid: also when the job is over, for its
    /// [`retention`](scheduler_core::JobOptions::retention), and if another job has its id. Empty if it is not known, or not any
    /// more.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn history(&self, uid: Uid, limit: usize) -> Result<Vec<Run>, Error> {
        for store in self.stores().await? {
            let runs = self.runs_of(&store, uid, limit).await?;
            if !runs.is_empty() {
                return Ok(runs);
            }
        }
        Ok(Vec::new())
    }

    /// Waits for the end of a run, whichever node runs it, and gives the run as it has ended: with its
    /// [verdict](Run::verdict), its error, and its [output](Run::output) if its job keeps that. Retries and takeovers belong to the
    /// run, so that it waits for the last of them.
    ///
    /// An end on this node is noticed at once. Stores do not tell of ends on other nodes: the run is read again after
    /// 100 ms, then after pauses that double up to 5 s. It goes on while the store does not answer. A run whose job
    /// goes with it, as one without a [`retention`](scheduler_core::JobOptions::retention) does, is given as this node
    /// has told of it.
    ///
    /// There is no time limit; put one around it, as `tokio::time::timeout` does. Dropping the call ends the wait and nothing else.
    ///
    /// ```
    /// use scheduler_core::{JobSpec, Verdict, trigger::Interval};
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_tokio::TokioRuntime;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let rt = tokio::runtime::Builder::new_current_thread().build()?;
    /// # rt.block_on(async {
    /// let scheduler = Scheduler::builder(TokioRuntime::current()).task("report", || async {}).build()?;
    /// scheduler.start().await?;
    /// let job = scheduler.add_job(JobSpec::new("report", Interval::hours(1)).id("hourly")).await?;
    ///
    /// let run = job.run_now().await?;
    /// let ended = scheduler.wait_for(run).await?;
    /// assert_eq!(ended.verdict(), Some(Verdict::Ok));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotFound`], at once, if no such run is known; or later if it went with its job before its end was read.
    /// - [`ErrorKind::OwnRun`] if a task waits for its own run, which would never end.
    /// - [`ErrorKind::ShutDown`] if the scheduler shuts down meanwhile; the run goes on on its node.
    /// - The store's own.
    pub async fn wait_for(&self, run: RunId) -> Result<Run, Error> {
        self.wait(run, None).await
    }

    /// Waits for the end of a run, which may be yet to come if it is one of a job that is given and goes on.
    async fn wait(&self, run: RunId, job: Option<&Job>) -> Result<Run, Error> {
        own_run::refuse_to_wait_for(self.node(), run)?;
        let ends = Ends::of(self, run);
        let (mut seen, mut told, mut pause): (Option<Run>, Option<End>, _) = (None, None, FIRST_PAUSE);
        let mut is_waiting = false;
        loop {
            match self.look(run, job).await {
                Ok(Look::Found(found)) if !found.is_open() => return Ok(*found),
                Ok(Look::Found(found)) => seen = Some(*found),
                Ok(Look::ToCome) => {}
                Ok(Look::Gone) => {
                    return told.map(|end| end.of(seen.as_ref())).ok_or_else(|| gone_or_unknown(run, is_waiting));
                }
                Err(error) if is_waiting && is_passing(&error) => {}
                Err(error) => return Err(error),
            }
            is_waiting = true;
            told = ends.next(pause).await?.or(told);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn look(&self, run: RunId, job: Option<&Job>) -> Result<Look, Error> {
        if let Some(found) = self.find_run(run).await? {
            return Ok(Look::Found(Box::new(found)));
        }
        let Some(job) = job else { return Ok(Look::Gone) };
        match job.refresh().await {
            Ok(_) => Ok(Look::ToCome),
            // It may have come and ended between the two looks.
            Err(error) if error.is_not_found() => {
                Ok(self.find_run(run).await?.map_or(Look::Gone, |found| Look::Found(Box::new(found))))
            }
            Err(error) => Err(error),
        }
    }
}

/// What a look for a run has found.
enum Look {
    Found(Box<Run>),
    /// Its job goes on, and has not come to it yet.
    ToCome,
    Gone,
}

impl Job {
    /// Waits for the end of a run of this job, as [`Scheduler::wait_for`] does; also for one that is yet to come, for as long as the
    /// job is there.
    ///
    /// ```
    /// use scheduler_core::JobSpec;
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_tokio::TokioRuntime;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let rt = tokio::runtime::Builder::new_current_thread().build()?;
    /// # rt.block_on(async {
    /// let scheduler = Scheduler::builder(TokioRuntime::current()).task("report", || async {}).build()?;
    /// scheduler.start().await?;
    /// let job = scheduler.add_job(JobSpec::now("report")).await?;
    /// assert!(job.join(job.next_run()).await?.error.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::wait_for`]; [`ErrorKind::NotFound`] for a run of another job.
    pub async fn join(&self, run: RunId) -> Result<Run, Error> {
        if run.uid != self.uid {
            return Err(Error::new(ErrorKind::NotFound, format!("run {run} is not one of job `{}`", self.id)));
        }
        self.scheduler().wait(run, Some(self)).await
    }
}

/// Whether a wait goes on after this error of a call.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StoreUnavailable | ErrorKind::Busy)
}

fn gone_or_unknown(run: RunId, was_there: bool) -> Error {
    let message = match was_there {
        true => format!("run {run} has gone with its job before its end was read"),
        false => format!("run {run} is not known: there is none, or none any more"),
    };
    Error::new(ErrorKind::NotFound, message)
}

/// The end of a run as an event tells of it.
#[derive(Debug)]
struct End {
    run: RunRef,
    verdict: Verdict,
    error: Option<String>,
    output: Option<RunOutput>,
    duration: Option<Duration>,
    at: chrono::DateTime<chrono::Utc>,
}

impl End {
    fn told_by(event: &Event, run: RunId) -> Option<Self> {
        let output = match &event.kind {
            EventKind::RunExecuted { output, .. } => Some(RunOutput::of(output)),
            _ => None,
        };
        let end = |of: &RunRef, verdict, error: Option<&String>, duration| {
            let error = error.cloned().map(Run::error_text);
            (of.run == run).then(|| Self {
                run: of.clone(),
                verdict,
                error,
                output: output.clone(),
                duration,
                at: event.at,
            })
        };
        match &event.kind {
            EventKind::RunExecuted { run, duration, .. } => end(run, Verdict::Ok, None, Some(*duration)),
            EventKind::RunError { run, error, duration } => end(run, Verdict::Error, Some(error), Some(*duration)),
            EventKind::RunTimeout { run, duration } => end(run, Verdict::Timeout, None, Some(*duration)),
            EventKind::RunCancelled(run) => end(run, Verdict::Cancelled, None, None),
            EventKind::RunLost(run) => end(run, Verdict::Lost, None, None),
            EventKind::RunCoalesced(run) => end(run, Verdict::Coalesced, None, None),
            EventKind::RunMissed(run) => end(run, Verdict::Missed, None, None),
            EventKind::RunSkipped(run) => end(run, Verdict::Skipped, None, None),
            _ => None,
        }
    }

    /// The run as it has ended, with what was read of it before.
    fn of(self, seen: Option<&Run>) -> Run {
        let state = RunState::Ended(self.verdict);
        let run = seen.cloned().unwrap_or_else(|| Run::new(self.run.run, self.run.fire_time, state));
        let (ended, attempt) = (Some(self.at), self.run.attempt);
        Run { state, ended, attempt, error: self.error, output: self.output, duration: self.duration, ..run }
    }
}

/// Listens for the end of a run on this node.
struct Ends<'a> {
    scheduler: &'a Scheduler,
    listener: ListenerId,
    told: Receiver<End>,
}

impl<'a> Ends<'a> {
    fn of(scheduler: &'a Scheduler, run: RunId) -> Self {
        let (tell, told) = async_channel::bounded(1);
        let mask = EventMask::RUN_EXECUTED
            | EventMask::RUN_ERROR
            | EventMask::RUN_TIMEOUT
            | EventMask::RUN_CANCELLED
            | EventMask::RUN_LOST
            | EventMask::RUN_COALESCED
            | EventMask::RUN_MISSED
            | EventMask::RUN_SKIPPED;
        let listener = scheduler.add_listener(mask, move |event| {
            if let Some(end) = End::told_by(event, run) {
                // A run ends once, so that there is room.
                drop(tell.try_send(end));
            }
        });
        Self { scheduler, listener, told }
    }

    /// The end that this node has told of, or none after a pause.
    async fn next(&self, pause: Duration) -> Result<Option<End>, Error> {
        let told = std::pin::pin!(self.told.recv());
        match select(told, self.scheduler.runtime().sleep(pause)).await {
            Either::Left((Ok(end), _)) => Ok(Some(end)),
            // The scheduler lets its listeners go with its end.
            Either::Left((Err(_), _)) => Err(self.scheduler.failure().err().unwrap_or_else(gone)),
            Either::Right(_) => match self.told.try_recv() {
                Ok(end) => Ok(Some(end)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => Ok(None),
            },
        }
    }
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.scheduler.remove_listener(self.listener);
    }
}
