//! What the engine is told: four inputs.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{Search, StoreReply};
use crate::{
    ExecutorName, JobBody, JobChange, JobId, JobSpec, LimitKey, Outcome, Pause, RunId, StoreName, TaskName, Trigger,
    store::{StoreError, StoreLimits},
};

/// The number of a call of the application; the driver keeps who waits for its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// The number of a store call in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// What the engine is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// The application asks for something.
    Command(CallId, Command),
    /// A store has answered.
    Stored(OpId, Result<StoreReply, StoreError>),
    /// An attempt of a run has ended.
    Finished(RunId, Outcome),
    /// Time has passed, or the caller wants the engine to look.
    Wake,
}

/// What the application can ask for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Starts claiming jobs, unless paused.
    Start(Mode),
    /// Stops claiming jobs; running runs go on.
    Pause,
    /// Claims jobs again.
    Resume,
    /// Asks for the scheduler's state.
    State,
    /// Asks how the scheduler and its stores are.
    Health,
    /// Ends the scheduler.
    Shutdown(ShutdownMode),
    /// Makes a store known.
    AddStore(StoreName, StoreLimits),
    /// Gives a store up; its jobs stay in it.
    RemoveStore(StoreName),
    /// Lists the names of the stores, in the order in which they were added.
    Stores,
    /// Makes an executor known, and how many runs it takes at once, if that is limited.
    AddExecutor(ExecutorName, Option<NonZeroUsize>),
    /// Gives an executor up.
    RemoveExecutor(ExecutorName),
    /// Makes tasks known.
    AddTasks(Vec<TaskName>),
    /// Gives tasks up.
    RemoveTasks(Vec<TaskName>),
    /// Asks for an engine that answers calls about a store in a transaction of the application.
    InTransaction(StoreName),
    /// Adds jobs to a store.
    AddJobs(StoreName, Vec<JobSpec>),
    /// Adds jobs in their exported form.
    ImportJobs(StoreName, Vec<ExportedJob>, crate::Conflict),
    /// Changes one job; without a store, the first that has it.
    ChangeJob(Option<StoreName>, JobId, Box<JobEdit>),
    /// Runs one job now, beside its fire times; without a store, the first that has it.
    RunJobNow(Option<StoreName>, JobId),
    /// Asks a run of a job to stop; without a store, the first that has it.
    CancelRun(Option<StoreName>, JobId, RunId),
    /// Removes one job; without a store, from the first that has it.
    RemoveJob(Option<StoreName>, JobId),
    /// Removes all jobs of a store, or of all.
    RemoveAllJobs(Option<StoreName>),
    /// Looks for one job; without a store, in the first that has it.
    Job(Option<StoreName>, JobId),
    /// Lists a page of a store's jobs.
    Jobs(StoreName, crate::store::JobQuery),
    /// Lists a page of a job's runs.
    Runs(StoreName, crate::store::RunQuery),
    /// Sets a limit by key in a store, or takes it away.
    SetKeyLimit(StoreName, LimitKey, Option<NonZeroU32>),
    /// Searches a store.
    Search(StoreName, Search),
    /// Tells the listeners what is amiss with a store that is added.
    StoreWarned(StoreName, String),
    /// Tells the listeners that one of them panicked.
    ListenerFailed(String),
    /// A call of the loop's held it up, for this long.
    LoopHeldUp(String, Duration),
}

/// Whether a scheduler starts to claim at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The scheduler claims jobs at once.
    Running,
    /// The scheduler waits to be resumed.
    Paused,
}

/// How a scheduler ends.
///
/// Each way it takes no further jobs, and gives back at once what has not started. What becomes of the runs that are running:
///
/// | | [`Wait`](Self::Wait) | [`Within`](Self::Within), when the time is nearly over | [`Now`](Self::Now) |
/// |---|---|---|---|
/// | an async task | runs to its end | is dropped at its next `await` | the same |
/// | a blocking task | runs to its end | its token is cancelled; it has until the end of the time to look at that, and is then not waited for | its token is cancelled, and it is not waited for |
/// | a task in a worker process, a program | runs to its end | is asked to stop, and killed with the pool or after its grace | the same |
/// | with a timeout | it strikes also now | it strikes also now | |
///
/// A run that is cut off so is **given back** if its job asks for [`Delivery::AtLeastOnce`](crate::Delivery::AtLeastOnce): it waits in
/// the store, another node runs it at once, or this one when it is started again, and
/// [`EventKind::RunGivenBack`](crate::EventKind::RunGivenBack) tells of it. That uses up no retry and no takeover: the attempt begins
/// anew, with its number. A run under [`Delivery::AtMostOnce`](crate::Delivery::AtMostOnce) ends as cancelled, and so does one that
/// was asked to stop before, or whose job has been removed. A task that was told to stop and returns a value all the same has ended
/// with that; if it returns an error or panics, that counts as being cut off under `AtLeastOnce`, and else as it always does.
///
/// The **thread** of a blocking task that does not look at its token goes on until the function returns, or until the process ends,
/// which cuts it off wherever it is. Its outcome is dropped, and if its run was given back, another node may run it meanwhile: end the
/// process soon after the scheduler.
///
/// A further call may hurry an earlier one: `Within` ends a `Wait`, the earlier end of two `Within` counts, and `Now` ends both. None
/// gives more time than an earlier one.
///
/// ```
/// use std::time::Duration;
///
/// use scheduler_core::engine::ShutdownMode;
///
/// // Under a platform that kills the process 30 s after it has asked it to end.
/// assert_eq!(ShutdownMode::within(Duration::from_secs(25)), ShutdownMode::Within(Duration::from_secs(25)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownMode {
    /// The scheduler ends when its running runs have ended, however long that takes.
    Wait,
    /// The scheduler ends when its running runs have ended, or when this time is over. For its last fifth, but 5 s at most, those
    /// that still run are told to stop; what has not ended then is cut off, and given back or cancelled.
    ///
    /// Reporting to the stores comes on top: milliseconds, or one lease at most with a store that does not answer.
    Within(Duration),
    /// The scheduler ends at once: the running runs are told to stop, and given back or cancelled without being waited for.
    Now,
}

impl ShutdownMode {
    /// [`Within`](Self::Within) this time.
    pub const fn within(time: Duration) -> Self {
        Self::Within(time)
    }

    /// How long those that still run at the end of [`Within`](Self::Within) have to look at their tokens: a part of the time.
    pub(super) fn grace(time: Duration) -> Duration {
        const PART: u32 = 5;
        const LONGEST: Duration = Duration::from_secs(5);
        time.checked_div(PART).map_or(LONGEST, |part| part.min(LONGEST))
    }
}

/// A change of one job.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "wherever it is kept, it is in a box")]
pub enum JobEdit {
    /// Other properties.
    Modify(JobChange),
    /// Another trigger; the next fire time is computed from now.
    Reschedule(Trigger),
    /// No fire times until it is resumed, or until its end.
    Pause(Pause),
    /// Fire times again, from now.
    Resume,
}

/// A job in the form in which it leaves one scheduler and enters another: as JSON, when serialised.
///
/// ```
/// use scheduler_core::engine::ExportedJob;
///
/// let json = r#"{"id": "nightly", "paused": true,
///                "job": {"v": 1, "task": "report", "trigger": {"type": "date", "at": "2026-11-21T09:00:00Z"}}}"#;
/// let job: ExportedJob = serde_json::from_str(json)?;
/// assert!(job.paused && job.job.task == "report");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ExportedJob {
    /// The id.
    pub id: JobId,
    /// Whether the job is paused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The next fire time, kept even if it has passed meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_fire_time: Option<DateTime<Utc>>,
    /// The persisted form.
    pub job: JobBody,
}
