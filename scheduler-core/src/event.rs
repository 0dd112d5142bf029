//! Events: what a scheduler tells its listeners.

use std::{fmt, ops, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::{ExecutorName, JobId, LimitKey, Outdated, Pause, RunId, StoreName, Tags, TaskName, Uid};

/// Something that happened, told after the store has confirmed it.
///
/// Events of one run come in order: submitted first, its end last; a run that is repeated is submitted anew. Whatever
/// ends a run is told by the node that ends it, which need not be the one that has told of the run before. `seq` counts
/// from 1 without gaps, so that a listener can tell whether it missed one.
///
/// ```
/// use scheduler_core::{Event, EventKind};
///
/// /// A listener that tells what went wrong.
/// fn alert(event: &Event) -> Option<String> {
///     match &event.kind {
///         EventKind::RunError { run, error, .. } => Some(format!("{}: {} failed: {error}", event.at, run.job.id)),
///         EventKind::StoreFailed { store, error, .. } => Some(format!("{}: store {store}: {error}", event.at)),
///         _ => None,
///     }
/// }
///
/// let event = Event { seq: 1, at: chrono::DateTime::UNIX_EPOCH, kind: EventKind::SchedulerStarted };
/// assert_eq!(alert(&event), None);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[doc(alias = "SchedulerEvent")]
#[doc(alias = "JobEvent")]
#[doc(alias = "JobExecutionEvent")]
#[doc(alias = "JobSubmissionEvent")]
pub struct Event {
    /// The number of the event at this scheduler.
    pub seq: u64,
    /// When it was told, by the node's clock.
    pub at: DateTime<Utc>,
    /// What happened.
    pub kind: EventKind,
}

/// A job that an event is about.
///
/// ```
/// use scheduler_core::{EventKind, JobRef};
///
/// /// Whether an event is about a job of a tenant.
/// fn is_of_tenant(kind: &EventKind, tenant: &str) -> bool {
///     let job: &JobRef = match kind {
///         EventKind::JobAdded(job) | EventKind::JobModified(job) => job,
///         EventKind::JobRemoved { job, .. } => job,
///         kind => match kind.run() {
///             Some(run) => &run.job,
///             None => return false,
///         },
///     };
///     job.tags.contains(tenant)
/// }
///
/// assert!(!is_of_tenant(&EventKind::SchedulerStarted, "tenant:42"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRef {
    /// The store that keeps it.
    pub store: StoreName,
    /// Its id.
    pub id: JobId,
    /// Its uid.
    pub uid: Uid,
    /// Its tags, as far as they are known: what is removed, and what ends with that, is not read once more for them.
    pub tags: Tags,
}

/// A run, or a range of fire times, that an event is about.
///
/// ```
/// use chrono::TimeDelta;
/// use scheduler_core::{Event, EventKind};
///
/// /// By how much a run was submitted later than its fire time.
/// fn lateness(event: &Event) -> Option<TimeDelta> {
///     match &event.kind {
///         EventKind::RunSubmitted(run) if run.attempt == 1 => Some(event.at - run.fire_time),
///         _ => None,
///     }
/// }
/// # let event = Event { seq: 1, at: chrono::DateTime::UNIX_EPOCH, kind: EventKind::SchedulerStarted };
/// # assert_eq!(lateness(&event), None);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RunRef {
    /// Its job.
    pub job: JobRef,
    /// The run.
    pub run: RunId,
    /// The task of the job.
    pub task: TaskName,
    /// Its fire time, the last one of a range.
    #[doc(alias = "scheduled_run_time")]
    pub fire_time: DateTime<Utc>,
    /// The first fire time of a range.
    pub first: Option<DateTime<Utc>>,
    /// How many fire times a range has, where that is cheap to know.
    pub count: Option<u64>,
    /// The attempt; 1 for the first.
    pub attempt: u32,
}

/// What happened.
///
/// ```
/// use scheduler_core::{EventKind, EventMask};
///
/// /// What a chat channel is told.
/// fn message(kind: &EventKind) -> Option<String> {
///     Some(match kind {
///         EventKind::RunError { run, error, .. } => format!("{} failed: {error}", run.job.id),
///         EventKind::RunMissed(run) => format!("{} was due at {} and came too late", run.job.id, run.fire_time),
///         EventKind::JobQuarantined { job, reason, .. } => format!("{job} is put aside: {reason}"),
///         // Later versions have more kinds.
///         _ => return None,
///     })
/// }
///
/// // What a listener asks for, so that it is called for these alone.
/// let mask = EventMask::RUN_ERROR | EventMask::RUN_MISSED | EventMask::JOB_QUARANTINED;
/// let kind = EventKind::JobQuarantined { store: "default".into(), job: "report".into(), reason: "no trigger".to_owned() };
/// assert!(mask.contains(kind.mask()));
/// assert_eq!(message(&kind).unwrap(), "report is put aside: no trigger");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// The scheduler started.
    SchedulerStarted,
    /// The scheduler has shut down; no event follows.
    SchedulerShutdown,
    /// The scheduler's loop has panicked and ended, which is a bug, in this crate or in the runtime that it was given; no event
    /// follows. What was running has been told to stop, and is taken over by other nodes when the lease has passed.
    SchedulerFailed {
        /// What it panicked with.
        error: String,
    },
    /// The scheduler claims no jobs until it is resumed.
    SchedulerPaused,
    /// The scheduler claims jobs again.
    SchedulerResumed,
    /// An executor was added.
    ExecutorAdded(ExecutorName),
    /// An executor was removed.
    ExecutorRemoved(ExecutorName),
    /// A store was added.
    StoreAdded(StoreName),
    /// A store was removed.
    StoreRemoved(StoreName),
    /// All jobs of a store were removed.
    AllJobsRemoved {
        /// The store.
        store: StoreName,
        /// How many there were.
        count: u64,
    },
    /// A job was added.
    JobAdded(JobRef),
    /// A job was removed by request, or is over with its last run.
    JobRemoved {
        /// The job.
        job: JobRef,
        /// Why.
        reason: Removal,
    },
    /// A job was modified, replaced, rescheduled, paused or resumed, or its pause has ended.
    JobModified(JobRef),
    /// A job was paused, or its pause was changed. Told after [`JobModified`](Self::JobModified), which is told of that, too.
    JobPaused {
        /// The job.
        job: JobRef,
        /// Why, who did it, and until when.
        pause: Box<Pause>,
    },
    /// A due job waits, since as many runs are running under its [limit key](crate::JobOptions::limit_key) as may. Its fire time stays open
    /// until there is a place; the job then runs on whichever node comes first.
    JobWaiting {
        /// The job.
        job: JobRef,
        /// The key.
        key: LimitKey,
    },
    /// A job cannot be read, or its trigger fails; it is skipped until it is repaired or removed.
    JobQuarantined {
        /// The store.
        store: StoreName,
        /// The job.
        job: JobId,
        /// What is wrong with it.
        reason: String,
    },
    /// A due job was left to other nodes, since this one lacks its task, executor or custom trigger, or reads only older versions.
    /// Told once for each job: one that others have added while the scheduler runs some seconds after it was due, if no node has
    /// taken it by then. Where the store has not said when it is due, that takes up to a minute: with all but PostgreSQL and Redis,
    /// and with these if several jobs were added at once.
    JobDeclined {
        /// The store.
        store: StoreName,
        /// The job.
        job: JobId,
        /// Its task.
        task: TaskName,
        /// What this node lacks.
        reason: String,
    },
    /// The next fire time that a job had kept was not the one that its trigger gives, and was computed anew. One that was due
    /// too late is the exception: it runs as it was kept, with what follows computed anew
    /// ([`LateByOtherZoneRules`](Outdated::LateByOtherZoneRules)).
    FireTimeCorrected {
        /// The job.
        job: JobRef,
        /// What was wrong with it, and the right one.
        outdated: Outdated,
    },
    /// A run was handed to its executor.
    RunSubmitted(RunRef),
    /// A run waits for a free slot, of its job or of its executor, or has been asked for. It may start on another node.
    RunQueued(RunRef),
    /// A task returned normally.
    RunExecuted {
        /// The run.
        run: RunRef,
        /// What the task returned; `null` if nothing.
        output: Value,
        /// How long it took.
        duration: Duration,
    },
    /// A task failed or panicked, or its process died, and the run is not repeated.
    RunError {
        /// The run.
        run: RunRef,
        /// The error.
        error: String,
        /// How long it took.
        duration: Duration,
    },
    /// A task ran longer than its timeout, and the run is not repeated.
    RunTimeout {
        /// The run.
        run: RunRef,
        /// How long it took.
        duration: Duration,
    },
    /// An attempt of a run failed or ran longer than its timeout, and the run is repeated.
    RunRetried {
        /// The run, in the attempt that failed.
        run: RunRef,
        /// The error.
        error: String,
        /// How long the attempt took.
        duration: Duration,
        /// When the next attempt may start, by the store's clock.
        due: DateTime<Utc>,
    },
    /// A run was cancelled, before or after it started; also one that waited when its job was removed.
    RunCancelled(RunRef),
    /// A run's node died, and the run is not repeated.
    RunLost(RunRef),
    /// Fire times were given up for another one that was due at once.
    RunCoalesced(RunRef),
    /// Fire times were given up since they were later than the misfire grace time.
    RunMissed(RunRef),
    /// A fire time was given up since `max_instances` were running.
    RunSkipped(RunRef),
    /// This node takes over a run whose node has died, or has not shown life for the time of a lease; the run is submitted next.
    RunTakenOver(RunRef),
    /// A run goes on 10 s after it has run into its timeout: it was told to stop and does not, as a blocking task may that never
    /// looks at its token. It holds its slot, and its thread, until it ends.
    RunOverran {
        /// The run.
        run: RunRef,
        /// For how long it has been running.
        duration: Duration,
    },
    /// A run of this node is no longer its own: another node took it over after this one's lease had passed.
    RunTakenAway(RunRef),
    /// A run was cut off since the scheduler shuts down, and waits in the store: another node runs it at once, or this one when it is
    /// started again. Told of those that had started and are to run at least once; what had not started is given back without a word.
    RunGivenBack(RunRef),
    /// A store call failed; it is repeated.
    StoreFailed {
        /// The store.
        store: StoreName,
        /// The error.
        error: String,
        /// When it is repeated; none if it is not, since the store refuses an item for good or is given up.
        retry_in: Option<Duration>,
    },
    /// A store is well again: the calls that failed have gone through. That it can be read is not enough, as one can whose
    /// disk is full, or that has become a replica.
    StoreRecovered(StoreName),
    /// A clock was set, or stood still: the machine was suspended, or another server has taken over. Told beyond a second.
    ///
    /// Fire times follow the clock at once. What was computed while it was ahead is kept until the job is replaced, resumed or
    /// rescheduled; [`explain`](crate::explain()) names such a job.
    ClockStepped {
        /// Whose clock.
        clock: WhoseClock,
        /// By how much; negative if it was set back.
        by: TimeDelta,
    },
    /// A listener or an inline task held the scheduler's loop up for more than a second: meanwhile nothing fired, no timeout
    /// struck and no call was answered. Told once a minute at most.
    LoopHeldUp {
        /// What it was.
        by: String,
        /// For how long.
        duration: Duration,
    },
    /// The server of a store that has been added is set up so that it may lose jobs.
    StoreWarning {
        /// The store.
        store: StoreName,
        /// What may be lost, and what to change.
        warning: String,
    },
    /// A listener panicked; it goes on being called.
    ListenerFailed {
        /// What it panicked with.
        error: String,
    },
}

/// Whose clock.
///
/// ```
/// use chrono::TimeDelta;
/// use scheduler_core::{EventKind, WhoseClock};
///
/// fn advice(kind: &EventKind) -> Option<String> {
///     match kind {
///         EventKind::ClockStepped { clock: WhoseClock::Node, by } => Some(format!("this machine's clock went by {by}")),
///         EventKind::ClockStepped { clock: WhoseClock::Store(store), by } => Some(format!("that of {store} went by {by}")),
///         _ => None,
///     }
/// }
///
/// let stepped = EventKind::ClockStepped { clock: WhoseClock::Store("default".into()), by: TimeDelta::seconds(-90) };
/// assert_eq!(advice(&stepped).unwrap(), "that of default went by -PT90S");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhoseClock {
    /// The wall clock of this node.
    Node,
    /// That of the server of a store.
    Store(StoreName),
}

/// Why a job was removed.
///
/// ```
/// use scheduler_core::{EventKind, Removal};
///
/// /// Whether a one-off job has done its work, in contrast to one that was called off.
/// fn is_done(kind: &EventKind) -> bool {
///     matches!(kind, EventKind::JobRemoved { reason: Removal::Finished, .. })
/// }
/// # assert!(!is_done(&EventKind::SchedulerStarted));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// A user asked for it.
    Requested,
    /// The job has no further fire time, and its last run has ended.
    Finished,
}

impl EventKind {
    /// The bit of this kind.
    pub fn mask(&self) -> EventMask {
        match self {
            Self::SchedulerStarted => EventMask::SCHEDULER_STARTED,
            Self::SchedulerShutdown => EventMask::SCHEDULER_SHUTDOWN,
            Self::SchedulerFailed { .. } => EventMask::SCHEDULER_FAILED,
            Self::SchedulerPaused => EventMask::SCHEDULER_PAUSED,
            Self::SchedulerResumed => EventMask::SCHEDULER_RESUMED,
            Self::ExecutorAdded(_) => EventMask::EXECUTOR_ADDED,
            Self::ExecutorRemoved(_) => EventMask::EXECUTOR_REMOVED,
            Self::StoreAdded(_) => EventMask::STORE_ADDED,
            Self::StoreRemoved(_) => EventMask::STORE_REMOVED,
            Self::AllJobsRemoved { .. } => EventMask::ALL_JOBS_REMOVED,
            Self::JobAdded(_) => EventMask::JOB_ADDED,
            Self::JobRemoved { .. } => EventMask::JOB_REMOVED,
            Self::JobModified(_) => EventMask::JOB_MODIFIED,
            Self::JobPaused { .. } => EventMask::JOB_PAUSED,
            Self::JobWaiting { .. } => EventMask::JOB_WAITING,
            Self::JobQuarantined { .. } => EventMask::JOB_QUARANTINED,
            Self::JobDeclined { .. } => EventMask::JOB_DECLINED,
            Self::FireTimeCorrected { .. } => EventMask::FIRE_TIME_CORRECTED,
            Self::RunSubmitted(_) => EventMask::RUN_SUBMITTED,
            Self::RunQueued(_) => EventMask::RUN_QUEUED,
            Self::RunExecuted { .. } => EventMask::RUN_EXECUTED,
            Self::RunError { .. } => EventMask::RUN_ERROR,
            Self::RunTimeout { .. } => EventMask::RUN_TIMEOUT,
            Self::RunRetried { .. } => EventMask::RUN_RETRIED,
            Self::RunCancelled(_) => EventMask::RUN_CANCELLED,
            Self::RunLost(_) => EventMask::RUN_LOST,
            Self::RunCoalesced(_) => EventMask::RUN_COALESCED,
            Self::RunMissed(_) => EventMask::RUN_MISSED,
            Self::RunSkipped(_) => EventMask::RUN_SKIPPED,
            Self::RunTakenAway(_) => EventMask::RUN_TAKEN_AWAY,
            Self::RunGivenBack(_) => EventMask::RUN_GIVEN_BACK,
            Self::RunTakenOver(_) => EventMask::RUN_TAKEN_OVER,
            Self::RunOverran { .. } => EventMask::RUN_OVERRAN,
            Self::LoopHeldUp { .. } => EventMask::LOOP_HELD_UP,
            Self::StoreFailed { .. } => EventMask::STORE_FAILED,
            Self::StoreRecovered(_) => EventMask::STORE_RECOVERED,
            Self::ClockStepped { .. } => EventMask::CLOCK_STEPPED,
            Self::StoreWarning { .. } => EventMask::STORE_WARNING,
            Self::ListenerFailed { .. } => EventMask::LISTENER_FAILED,
        }
    }

    /// The run that the event is about, if it is about one.
    pub fn run(&self) -> Option<&RunRef> {
        match self {
            Self::RunSubmitted(run)
            | Self::RunQueued(run)
            | Self::RunExecuted { run, .. }
            | Self::RunError { run, .. }
            | Self::RunTimeout { run, .. }
            | Self::RunRetried { run, .. }
            | Self::RunCancelled(run)
            | Self::RunLost(run)
            | Self::RunCoalesced(run)
            | Self::RunMissed(run)
            | Self::RunSkipped(run)
            | Self::RunTakenAway(run)
            | Self::RunGivenBack(run)
            | Self::RunTakenOver(run)
            | Self::RunOverran { run, .. } => Some(run),
            _ => None,
        }
    }
}

/// A set of event kinds, for listeners that want only some.
///
/// ```
/// use scheduler_core::{EventKind, EventMask};
///
/// let mask = EventMask::RUN_ERROR | EventMask::RUN_MISSED;
/// assert!(!mask.contains(EventKind::SchedulerStarted.mask()));
/// assert!(EventMask::ALL.contains(mask));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventMask(u64);

macro_rules! masks {
    ($($bit:literal $name:ident $(= $alias:literal)?, $doc:literal;)*) => {
        impl EventMask {
            $(
                #[doc = $doc]
                $(#[doc(alias = $alias)])?
                pub const $name: Self = Self(1 << $bit);
            )*
            /// Every kind, also those that later versions add.
            #[doc(alias = "EVENT_ALL")]
            pub const ALL: Self = Self(u64::MAX);
            /// No kind.
            pub const NONE: Self = Self(0);
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, stringify!($name)),)*];
        }
    };
}

masks! {
    0 SCHEDULER_STARTED = "EVENT_SCHEDULER_STARTED", "The scheduler started.";
    1 SCHEDULER_SHUTDOWN = "EVENT_SCHEDULER_SHUTDOWN", "The scheduler has shut down.";
    2 SCHEDULER_PAUSED = "EVENT_SCHEDULER_PAUSED", "The scheduler was paused.";
    3 SCHEDULER_RESUMED = "EVENT_SCHEDULER_RESUMED", "The scheduler was resumed.";
    4 EXECUTOR_ADDED = "EVENT_EXECUTOR_ADDED", "An executor was added.";
    5 EXECUTOR_REMOVED = "EVENT_EXECUTOR_REMOVED", "An executor was removed.";
    6 STORE_ADDED = "EVENT_JOBSTORE_ADDED", "A store was added.";
    7 STORE_REMOVED = "EVENT_JOBSTORE_REMOVED", "A store was removed.";
    8 ALL_JOBS_REMOVED = "EVENT_ALL_JOBS_REMOVED", "All jobs of a store were removed.";
    9 JOB_ADDED = "EVENT_JOB_ADDED", "A job was added.";
    10 JOB_REMOVED = "EVENT_JOB_REMOVED", "A job was removed or is over.";
    11 JOB_MODIFIED = "EVENT_JOB_MODIFIED", "A job was changed.";
    12 RUN_EXECUTED = "EVENT_JOB_EXECUTED", "A task returned normally.";
    13 RUN_ERROR = "EVENT_JOB_ERROR", "A task failed or panicked.";
    14 RUN_MISSED = "EVENT_JOB_MISSED", "Fire times were later than the grace time.";
    15 RUN_SUBMITTED = "EVENT_JOB_SUBMITTED", "A run was handed to its executor.";
    16 RUN_SKIPPED = "EVENT_JOB_MAX_INSTANCES", "A fire time was given up since too many runs were running.";
    17 RUN_QUEUED, "A run waits for a free slot, or has been asked for.";
    18 RUN_TIMEOUT, "A task ran longer than its timeout.";
    19 RUN_CANCELLED, "A run was cancelled.";
    20 RUN_LOST, "A run's node died, and the run is not repeated.";
    21 RUN_COALESCED, "Fire times were given up for another one.";
    22 RUN_TAKEN_AWAY, "Another node took over a run of this one.";
    40 JOB_PAUSED, "A job was paused.";
    41 JOB_WAITING, "A due job waits for a place of its limit key.";
    23 JOB_QUARANTINED, "A job cannot be read, or its trigger fails.";
    24 JOB_DECLINED, "A due job was left to other nodes.";
    25 STORE_FAILED, "A store call failed.";
    26 STORE_RECOVERED, "The calls to a store that failed have gone through.";
    27 LISTENER_FAILED, "A listener panicked.";
    28 RUN_RETRIED, "An attempt of a run failed, and the run is repeated.";
    29 CLOCK_STEPPED, "A clock was set.";
    30 FIRE_TIME_CORRECTED, "A job's next fire time was not what its trigger gives.";
    39 RUN_GIVEN_BACK, "A run was cut off by the shutdown, and waits for another node.";
    36 RUN_TAKEN_OVER, "This node takes over a run whose node has died.";
    37 RUN_OVERRAN, "A run goes on after its timeout.";
    38 LOOP_HELD_UP, "A listener or an inline task held the scheduler's loop up.";
    33 SCHEDULER_FAILED, "The scheduler's loop has panicked and ended.";
    34 STORE_WARNING, "The server of a store may lose jobs.";
}

impl EventMask {
    /// Whether all kinds of `other` are in this set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl ops::BitOr for EventMask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for EventMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(mask, _)| self.contains(*mask)).map(|(_, name)| name);
        f.debug_set().entries(names).finish()
    }
}
