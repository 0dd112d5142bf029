//! Runs: one row for each fire time, from waiting over running to its verdict.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Error, ErrorKind, NodeId, RunId};

/// The execution of a job for one fire time, or a range of fire times that were given up together.
///
/// A retry or a takeover changes the row and counts `attempt` up; it never adds a row.
///
/// ```
/// use chrono::{DateTime, TimeDelta, Utc};
/// use scheduler_core::{Run, RunId, RunState, Uid, Verdict};
///
/// /// How long the run had to wait for its start.
/// fn delay(run: &Run) -> Option<TimeDelta> {
///     Some(run.started? - run.fire_time)
/// }
///
/// let nine: DateTime<Utc> = "2026-11-21T09:00:00Z".parse()?;
/// let mut run = Run::new(RunId { uid: Uid(7), seq: 1 }, nine, RunState::Running);
/// assert!(run.is_open());
/// run.started = Some(nine + TimeDelta::milliseconds(3));
/// run.state = RunState::Ended(Verdict::Ok);
/// assert_eq!((run.verdict(), delay(&run)), (Some(Verdict::Ok), Some(TimeDelta::milliseconds(3))));
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The run's id: its job and its number there.
    pub id: RunId,
    /// The fire time; the last one if the row stands for a range.
    #[doc(alias = "scheduled_run_time")]
    pub fire_time: DateTime<Utc>,
    /// The first fire time of the range, if the row stands for more than one.
    pub first: Option<DateTime<Utc>>,
    /// How many fire times the range has, where that is cheap to know.
    pub count: Option<u64>,
    /// How far the run is.
    pub state: RunState,
    /// The attempt that runs, ran last or runs next; counts from 1.
    pub attempt: u32,
    /// How often another node took the run over.
    pub takeovers: u32,
    /// The earliest start, while the run is waiting.
    pub due: DateTime<Utc>,
    /// The node that runs it, or ran it last.
    pub owner: Option<NodeId>,
    /// The fence of the claim under which it was started; 0 before that.
    pub fence: u64,
    /// Whether the run has been asked to stop.
    pub cancel_requested: bool,
    /// When the last attempt was settled to run, by the store's clock.
    pub started: Option<DateTime<Utc>>,
    /// When the end was recorded, by the store's clock.
    pub ended: Option<DateTime<Utc>>,
    /// How long the last attempt took, measured by its node.
    pub duration: Option<Duration>,
    /// Why it failed or was given up; at most [`Run::ERROR_LIMIT`] bytes.
    pub error: Option<String>,
    /// Why its earlier attempts failed, the oldest first: of the last [`Run::ERRORS_LIMIT`] that failed and were followed by another
    /// one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<AttemptError>,
    /// What the task returned, if its job [keeps that](crate::JobOptions::output); [`Run::output`] reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<RunOutput>,
}

/// Why an attempt of a run failed that was followed by another one.
///
/// ```
/// use chrono::DateTime;
/// use scheduler_core::{Run, RunId, RunState, Uid};
///
/// let mut run = Run::new(RunId { uid: Uid(7), seq: 1 }, DateTime::UNIX_EPOCH, RunState::Running);
/// run.note_failed_attempt(Some("no paper".to_owned()), DateTime::UNIX_EPOCH);
/// run.attempt = 2;
/// let told: Vec<String> = run.errors.iter().map(|it| format!("attempt {}: {}", it.attempt, it.error)).collect();
/// assert_eq!(told, ["attempt 1: no paper"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// The attempt; 1 for the first.
    pub attempt: u32,
    /// Why it failed; at most [`Run::ERROR_LIMIT`] bytes.
    pub error: String,
    /// When that was recorded, by the store's clock.
    pub at: DateTime<Utc>,
}

/// What is kept of what a task returned.
///
/// ```
/// use scheduler_core::RunOutput;
///
/// /// What a page shows of it.
/// fn shown(output: &RunOutput) -> String {
///     match output {
///         RunOutput::Json(json) => json.clone(),
///         RunOutput::TooLarge { bytes } => format!("{bytes} bytes, not kept"),
///     }
/// }
///
/// assert_eq!(shown(&RunOutput::of(&serde_json::json!({"sent": 3}))), r#"{"sent":3}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutput {
    /// The JSON text of it.
    Json(String),
    /// Nothing, since its JSON text has more than [`Run::OUTPUT_LIMIT`] bytes.
    TooLarge {
        /// How many it has.
        bytes: u64,
    },
}

impl RunOutput {
    /// What is kept of a value.
    ///
    /// ```
    /// use scheduler_core::RunOutput;
    ///
    /// assert_eq!(RunOutput::of(&serde_json::json!([1, 2])), RunOutput::Json("[1,2]".to_owned()));
    /// let large = serde_json::json!("x".repeat(20_000));
    /// assert_eq!(RunOutput::of(&large), RunOutput::TooLarge { bytes: 20_002 });
    /// ```
    pub fn of(value: &Value) -> Self {
        let json = value.to_string();
        if json.len() > Run::OUTPUT_LIMIT { Self::TooLarge { bytes: json.len() as u64 } } else { Self::Json(json) }
    }

    /// The text in stores: the JSON text, or `!` and the number of bytes.
    ///
    /// ```
    /// use scheduler_core::RunOutput;
    ///
    /// for output in [RunOutput::Json("7".to_owned()), RunOutput::TooLarge { bytes: 20_002 }] {
    ///     assert_eq!(RunOutput::parse(output.text()), output);
    /// }
    /// ```
    pub fn text(&self) -> String {
        match self {
            Self::Json(json) => json.clone(),
            Self::TooLarge { bytes } => format!("!{bytes}"),
        }
    }

    /// Reads what [`text`](Self::text) gives.
    pub fn parse(text: String) -> Self {
        let bytes = text.strip_prefix('!').and_then(|bytes| bytes.parse().ok());
        bytes.map_or(Self::Json(text), |bytes| Self::TooLarge { bytes })
    }
}

impl Run {
    /// The bytes of an error text that are kept: enough for a message and the head of a backtrace.
    pub const ERROR_LIMIT: usize = 4_096;

    /// How many errors of earlier attempts are kept.
    pub const ERRORS_LIMIT: usize = 10;

    /// The bytes of the JSON text of an output that is kept: enough for a result, not for a report.
    pub const OUTPUT_LIMIT: usize = 16_384;

    /// What the task returned, if the job [keeps that](crate::JobOptions::output).
    ///
    /// ```
    /// use chrono::DateTime;
    /// use scheduler_core::{Run, RunId, RunOutput, RunState, Uid, Verdict};
    ///
    /// let mut run = Run::new(RunId { uid: Uid(7), seq: 1 }, DateTime::UNIX_EPOCH, RunState::Ended(Verdict::Ok));
    /// run.output = Some(RunOutput::Json("[1,2]".to_owned()));
    /// assert_eq!(run.output::<Vec<u32>>()?, [1, 2]);
    /// # Ok::<(), scheduler_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Output`] if nothing is kept, since the job does not ask for it or the run has not ended ok; if the output was too
    /// large; or if it is not of this type.
    pub fn output<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let refused = |why: String| Error::new(ErrorKind::Output, format!("run {}: {why}", self.id));
        match &self.output {
            Some(RunOutput::Json(json)) => serde_json::from_str(json)
                .map_err(|error| refused(format!("its output is of another type: {error}")).with_source(error)),
            Some(RunOutput::TooLarge { bytes }) => Err(refused(format!(
                "its output has {bytes} bytes as JSON, more than the {} that are kept; keep it elsewhere and return a reference",
                Self::OUTPUT_LIMIT
            ))),
            None if self.verdict() == Some(Verdict::Ok) => {
                Err(refused("its output is not kept; let its job keep it by `output(Output::Keep)`".to_owned()))
            }
            None => Err(refused("it has no output, since it has not ended ok".to_owned())),
        }
    }

    /// Notes why the attempt has failed, which another one follows.
    pub fn note_failed_attempt(&mut self, error: Option<String>, at: DateTime<Utc>) {
        let error = error.map(Self::error_text);
        let noted = AttemptError { attempt: self.attempt, error: error.clone().unwrap_or_default(), at };
        self.error = error;
        let surplus = self.errors.len().saturating_sub(Self::ERRORS_LIMIT - 1);
        self.errors.drain(..surplus);
        self.errors.push(noted);
    }

    /// An error text as it is kept: its head of at most [`ERROR_LIMIT`](Self::ERROR_LIMIT) bytes, cut between characters, with
    /// `U+FFFD` in the place of NUL, which databases cannot keep.
    ///
    /// ```
    /// use scheduler_core::Run;
    ///
    /// assert_eq!(Run::error_text("no\0paper".to_owned()), "no\u{FFFD}paper");
    /// assert_eq!(Run::error_text("é".repeat(4_096)).len(), Run::ERROR_LIMIT);
    /// ```
    pub fn error_text(mut error: String) -> String {
        if error.contains('\0') {
            error = error.replace('\0', "\u{FFFD}");
        }
        error.truncate(error.floor_char_boundary(Self::ERROR_LIMIT));
        error
    }

    /// A run for one fire time in its first attempt.
    pub fn new(id: RunId, fire_time: DateTime<Utc>, state: RunState) -> Self {
        Self {
            id,
            fire_time,
            first: None,
            count: None,
            state,
            attempt: 1,
            takeovers: 0,
            due: fire_time,
            owner: None,
            fence: 0,
            cancel_requested: false,
            started: None,
            ended: None,
            duration: None,
            error: None,
            errors: Vec::new(),
            output: None,
        }
    }

    /// Whether the run has not ended.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, RunState::Ended(_))
    }

    /// How the run ended, if it has.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.state {
            RunState::Ended(verdict) => Some(verdict),
            RunState::Waiting(_) | RunState::Running => None,
        }
    }
}

/// How far a run is.
///
/// ```
/// use scheduler_core::{RunState, Verdict, Wait};
///
/// /// What a page shows of a run.
/// fn word(state: RunState) -> String {
///     match state {
///         RunState::Waiting(wait) => format!("waits ({})", wait.as_str()),
///         RunState::Running => "is running".to_owned(),
///         RunState::Ended(verdict) => format!("ended: {verdict}"),
///     }
/// }
///
/// assert_eq!(word(RunState::Waiting(Wait::Retry)), "waits (retry)");
/// assert_eq!(word(RunState::Ended(Verdict::Ok)), "ended: ok");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// The run has not started, or waits for its next attempt.
    Waiting(Wait),
    /// A node runs it; the node's lease covers it.
    Running,
    /// The run is over.
    Ended(Verdict),
}

/// What a waiting run waits for.
///
/// ```
/// use scheduler_core::Wait;
///
/// assert_eq!(Wait::parse("orphan"), Some(Wait::Orphan));
/// assert_eq!(Wait::Orphan.as_str(), "orphan");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// A free slot, under [`Overlap::Queue`](crate::Overlap::Queue), [`Overlap::CancelPrevious`](crate::Overlap::CancelPrevious)
    /// or [`Coalesce::All`](crate::Coalesce::All).
    Queued,
    /// The time of its next attempt, after a failure.
    Retry,
    /// A node that takes it over, since its own has died.
    Orphan,
    /// Any node, since its own gave it back: without starting it, or cut off when it shut down.
    Released,
    /// A claim and a free slot, since a user asked for it. It starts in a paused job, too; once it has started, or a node has
    /// given it back, it waits as any other run does.
    Requested,
}

impl Wait {
    /// The word in stores and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Retry => "retry",
            Self::Orphan => "orphan",
            Self::Released => "released",
            Self::Requested => "requested",
        }
    }

    /// Reads what [`as_str`](Self::as_str) gives.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Queued, Self::Retry, Self::Orphan, Self::Released, Self::Requested]
            .into_iter()
            .find(|wait| wait.as_str() == word)
    }
}

/// How a fire time ended. Each fire time gets exactly one.
///
/// ```
/// use scheduler_core::Verdict;
///
/// /// Whether the task was called at all.
/// fn has_run(verdict: Verdict) -> bool {
///     !matches!(verdict, Verdict::Coalesced | Verdict::Missed | Verdict::Skipped | Verdict::Cancelled)
/// }
///
/// let never: Vec<String> = Verdict::ALL.into_iter().filter(|verdict| !has_run(*verdict)).map(|it| it.to_string()).collect();
/// assert_eq!(never, ["cancelled", "coalesced", "missed", "skipped"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The task returned normally.
    Ok,
    /// The task failed or panicked, or its process died.
    Error,
    /// The task ran longer than its timeout.
    Timeout,
    /// Its node died, and it is not run again.
    Lost,
    /// The run was asked to stop, or its job was removed before it started.
    Cancelled,
    /// The fire time was given up for another fire time of its job that was due at once.
    Coalesced,
    /// The fire time was given up since it was later than the misfire grace time.
    Missed,
    /// The fire time was given up since `max_instances` were running.
    Skipped,
}

impl Verdict {
    /// All verdicts, in the order of [`Totals`].
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Error,
        Self::Timeout,
        Self::Lost,
        Self::Cancelled,
        Self::Coalesced,
        Self::Missed,
        Self::Skipped,
    ];

    /// The word in stores, events and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
            Self::Coalesced => "coalesced",
            Self::Missed => "missed",
            Self::Skipped => "skipped",
        }
    }

    /// Reads what [`as_str`](Self::as_str) gives.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many fire times of a job have ended in each way; kept for ever, unlike the history.
///
/// A range of fire times whose number is not known counts as one.
///
/// ```
/// use scheduler_core::{Totals, Verdict};
/// let mut totals = Totals::default();
/// totals.add(Verdict::Ok, 3);
/// assert_eq!((totals.of(Verdict::Ok), totals.sum()), (3, 3));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals([u64; 8]);

impl Totals {
    /// The totals from counts in the order of [`Verdict::ALL`].
    pub fn from_counts(counts: [u64; 8]) -> Self {
        Self(counts)
    }

    /// The counts in the order of [`Verdict::ALL`].
    pub fn counts(&self) -> [u64; 8] {
        self.0
    }

    /// How many ended with this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.0[verdict as usize]
    }

    /// How many ended at all.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Counts `n` more fire times with this verdict.
    pub fn add(&mut self, verdict: Verdict, n: u64) {
        self.0[verdict as usize] = self.0[verdict as usize].saturating_add(n);
    }

    /// Counts an ended run; an open one changes nothing.
    pub fn add_run(&mut self, run: &Run) {
        if let Some(verdict) = run.verdict() {
            self.add(verdict, run.count.unwrap_or(1));
        }
    }
}
