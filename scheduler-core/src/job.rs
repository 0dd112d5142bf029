//! Jobs: what is persisted of them, and how a user describes a new one.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ExecutorName, JobId, JobOptions, Pause, RunId, Tags, TaskName, Totals, Trigger, Uid};

/// The newest version of the persisted form that this build reads and writes.
///
/// A job with a higher number is left to nodes that know it. A job gets the lowest number that has words for it, so that
/// nodes of an earlier release run what they can read: 2 if a cron expression in it has what 1 did not know (a crontab
/// with seconds, with `?`, `L-3` or `15W`; a long name such as `monday`; a step beyond the range), 3 if it has a
/// [limit key](crate::JobOptions::limit_key), which an earlier node would not keep, else 1.
///
/// ```
/// use scheduler_core::{BODY_VERSION, JobBody};
///
/// /// Whether this program can run a job that another one has written, perhaps of a later release.
/// fn can_read(body: &JobBody) -> bool {
///     body.v <= BODY_VERSION
/// }
///
/// let trigger = serde_json::json!({"type": "date", "at": "2026-11-21T09:00:00Z"});
/// let body: JobBody = serde_json::from_value(serde_json::json!({"v": 1, "task": "report", "trigger": trigger}))?;
/// assert!(can_read(&body));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub const BODY_VERSION: u32 = 3;

/// A job as a store hands it out: its definition and how far it is.
///
/// ```
/// use scheduler_core::{JobRow, JobState, Verdict};
///
/// /// A line of a listing.
/// fn line(job: &JobRow) -> String {
///     let next = job.next_fire_time.map_or("never".to_owned(), |next| next.to_string());
///     format!("{} ({}): next {next}, {} ok", job.id, job.state.as_str(), job.totals.of(Verdict::Ok))
/// }
/// # let row = serde_json::json!({
/// #     "uid": scheduler_core::Uid(1), "id": "nightly", "state": JobState::Active, "next_fire_time": "2026-11-21T10:00:00Z",
/// #     "due": null, "last_end": null, "blocked": false, "revision": 0, "fence": 0, "last_seq": 0,
/// #     "totals": scheduler_core::Totals::default(),
/// #     "body": {"v": 1, "task": "report", "trigger": {"type": "cron", "dialect": "crontab", "expression": "0 * * * *"}},
/// # });
/// # let job: JobRow = serde_json::from_value(row)?;
///
/// assert_eq!(line(&job), "nightly (active): next 2026-11-21 10:00:00 UTC, 0 ok");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    /// The primary key, drawn when the job was added.
    pub uid: Uid,
    /// The id under which its user knows it.
    pub id: JobId,
    /// What the job is: task, arguments, trigger, options.
    pub body: JobBody,
    /// Whether the job is active, paused or over.
    pub state: JobState,
    /// The next nominal fire time; every earlier one has its verdict. None if paused, waiting for the end of a run, or
    /// [over with its last run](Self::is_ending).
    #[doc(alias = "next_run_time")]
    pub next_fire_time: Option<DateTime<Utc>>,
    /// When a claim shall look at the job next: the fire time with its jitter, a retry, a freed slot.
    pub due: Option<DateTime<Utc>>,
    /// When the latest run of the job ended, or when the job had its last fire time.
    pub last_end: Option<DateTime<Utc>>,
    /// Whether the job waits for the end of a run.
    pub blocked: bool,
    /// Grows with each update; a claim made before it cannot settle.
    pub revision: u64,
    /// Grows with each claim and each move.
    pub fence: u64,
    /// The number of the job's newest run.
    pub last_seq: u64,
    /// How many fire times ended in each way.
    pub totals: Totals,
}

impl JobRow {
    /// Whether the job has had its last fire time and goes when its last run has ended.
    ///
    /// Until then, through retries too, it is a job like any other: [`Active`](JobState::Active), listed, its id taken. It
    /// can be paused, modified, removed and run now, and with another trigger or another next fire time it goes on.
    pub fn is_ending(&self) -> bool {
        // A row that another program has written waits, without a next fire time, for the first claim, which computes it.
        let has_fired = self.last_seq > 0;
        let is_exhausted = self.next_fire_time.is_none() && !self.body.trigger.waits_for_end();
        self.state == JobState::Active && is_exhausted && has_fired
    }

    /// The id of the run that comes next: the first one of a job that was added a moment ago. It is one for a fire time, or one
    /// that is asked for, whichever comes first; fire times that are given up count as runs, too.
    pub fn next_run(&self) -> RunId {
        RunId { uid: self.uid, seq: self.last_seq.saturating_add(1) }
    }
}

impl JobRow {
    /// Why the job is paused, who did that and since when, and when it goes on by itself; none if it is not paused, or was paused by
    /// another program or when it was added.
    pub fn current_pause(&self) -> Option<&Pause> {
        self.body.pause.as_deref().filter(|_| self.state == JobState::Paused)
    }

    /// The end of the job's pause, if it is paused and that has one.
    pub(crate) fn paused_until(&self) -> Option<DateTime<Utc>> {
        self.current_pause()?.until
    }
}

/// What a job is: the persisted, versioned JSON form.
///
/// ```
/// use scheduler_core::JobBody;
///
/// let json = r#"{"v": 1, "task": "report", "args": {"to": "ann"},
///                "trigger": {"type": "date", "at": "2026-11-21T09:00:00Z"}, "colour": "red"}"#;
/// let body: JobBody = serde_json::from_str(json).unwrap();
/// assert_eq!(body.task, "report");
/// // A field that this version does not know survives.
/// assert!(serde_json::to_string(&body).unwrap().contains("\"colour\":\"red\""));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobBody {
    /// The version of this form, at most [`BODY_VERSION`] if this build can read it.
    pub v: u32,
    /// A name for people. Defaults to the task's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The task that the job runs.
    #[doc(alias = "func")]
    pub task: TaskName,
    /// What the task is called with.
    #[serde(default)]
    #[doc(alias = "kwargs")]
    pub args: Value,
    /// When the job runs.
    pub trigger: Trigger,
    /// The executor that runs it.
    #[serde(default)]
    pub executor: ExecutorName,
    /// How it runs.
    #[serde(default)]
    pub options: JobOptions,
    /// The next fire time that a user has chosen for the job, which its trigger need not know. One that has passed has no
    /// meaning any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_fire_time: Option<DateTime<Utc>>,
    /// The words by which the job is grouped and found. A node of a version without them keeps them.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// What the application notes about the job, which means nothing to the scheduler. A node of a version without it keeps it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub meta: Value,
    /// Why the job is paused and until when. It means something only while the [state](JobRow::state) is
    /// [`Paused`](JobState::Paused): a pause that has ended by itself stays here until the definition is written again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Box<Pause>>,
    /// Fields that a newer version wrote; they are kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl JobBody {
    /// The lowest version of the form that has words for a job of this trigger and these options.
    pub(crate) fn version_for(trigger: &Trigger, options: &JobOptions) -> u32 {
        if options.limit_key.is_some() {
            3
        } else if trigger.is_newer() {
            2
        } else {
            1
        }
    }

    /// The name for people: the given one, or the task's.
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.task.as_str())
    }

    /// Whether a user has chosen this fire time, whatever the trigger says.
    pub(crate) fn is_chosen(&self, fire_time: DateTime<Utc>) -> bool {
        self.chosen_fire_time == Some(fire_time)
    }
}

/// Whether a job is active, paused or over.
///
/// ```
/// use scheduler_core::JobState;
///
/// let state = JobState::Quarantined("its trigger fails".to_owned());
/// assert!(state.is_live(), "it is listed, and its id is taken");
/// // As a store keeps it, in two columns.
/// assert_eq!(JobState::parse(state.as_str(), Some("its trigger fails".to_owned())), Some(state));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// The job fires, or has had its last fire time and goes when its last run has ended: see [`JobRow::is_ending`].
    Active,
    /// The job keeps its place and does not fire until it is resumed.
    Paused,
    /// The job is over and hidden, and stays for its [retention](crate::JobOptions::retention). A move gives this state
    /// to a job that has no further fire time; while it has an open run, stores keep such a job as active. Earlier
    /// versions kept it as ending, hidden and its id free.
    Ending,
    /// The job was removed, is hidden from listings, and goes when its last run has ended.
    Removed,
    /// The job has no further fire time and stays, as its options ask.
    Kept,
    /// The job cannot be read or its trigger fails, for this reason. It is skipped until it is repaired or removed.
    Quarantined(String),
}

impl JobState {
    /// The word in stores and logs, without the reason of a quarantine.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ending => "ending",
            Self::Removed => "removed",
            Self::Kept => "kept",
            Self::Quarantined(_) => "quarantined",
        }
    }

    /// Reads what [`as_str`](Self::as_str) gives, with the reason for a quarantine.
    pub fn parse(word: &str, reason: Option<String>) -> Option<Self> {
        Some(match word {
            "active" => Self::Active,
            "paused" => Self::Paused,
            "ending" => Self::Ending,
            "removed" => Self::Removed,
            "kept" => Self::Kept,
            "quarantined" => Self::Quarantined(reason.unwrap_or_default()),
            _ => return None,
        })
    }

    /// Whether a listing shows the job and its id is taken.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::Ending | Self::Removed)
    }
}

/// A row that this version cannot decode, kept as it is.
///
/// ```
/// use scheduler_core::{Listed, RawJob};
///
/// /// What is to be repaired or removed by hand.
/// fn unreadable(listing: Vec<Listed>) -> Vec<RawJob> {
///     let raw = |entry| match entry {
///         Listed::Raw(raw) => Some(raw),
///         Listed::Job(_) => None,
///     };
///     listing.into_iter().filter_map(raw).collect()
/// }
///
/// let raw = RawJob {
///     uid: "7".to_owned(),
///     id: "nightly".into(),
///     body: r#"{"v": 1, "ta"#.to_owned(),
///     next_fire_time: None,
///     reason: "EOF while parsing a string".to_owned(),
/// };
/// assert_eq!(unreadable(vec![Listed::Raw(raw)])[0].reason, "EOF while parsing a string");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RawJob {
    /// The text in the place of the uid.
    pub uid: String,
    /// The id.
    pub id: JobId,
    /// The body's text, cut to 64 KiB.
    pub body: String,
    /// The next fire time, as far as it can be read.
    pub next_fire_time: Option<DateTime<Utc>>,
    /// Why it cannot be decoded.
    pub reason: String,
}

/// An entry of a listing.
///
/// ```
/// use scheduler_core::{JobStore, Listed, store::{JobQuery, StoreError}};
///
/// async fn print(store: &dyn JobStore) -> Result<(), StoreError> {
///     for entry in store.jobs(&JobQuery { after: None, limit: 100 }).await? {
///         match entry {
///             Listed::Job(job) => println!("{}: next {:?}", job.id, job.next_fire_time),
///             Listed::Raw(raw) => println!("{}: cannot be read: {}", raw.id, raw.reason),
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly every entry is a job; boxing it would cost an allocation a row")]
pub enum Listed {
    /// A job.
    Job(JobRow),
    /// A row that cannot be decoded.
    Raw(RawJob),
}

impl Listed {
    /// The id of the job, decodable or not.
    pub fn id(&self) -> &JobId {
        match self {
            Self::Job(job) => &job.id,
            Self::Raw(raw) => &raw.id,
        }
    }
}
