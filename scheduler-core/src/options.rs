//! The options under which a job runs: misfire, coalesce, overlap, limit key, delivery, timeout, retry, priority, history, retention.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{LimitKey, Retry};

/// What is persisted of a job's options: each one settled when the job was added.
///
/// ```
/// use scheduler_core::{Coalesce, JobOptions, Overlap};
///
/// let options = JobOptions::default();
/// assert_eq!(options.misfire_grace_time, None); // run however late
/// assert_eq!(options.coalesce, Coalesce::Latest);
/// assert_eq!((options.max_instances.get(), options.overlap), (1, Overlap::Skip));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct JobOptions {
    /// How late a fire time may be settled and still run; in seconds in the persisted form. At least 1 ms: each run is
    /// a little later than its fire time, by what the machine and the store need. Defaults to none: it runs however
    /// late. APScheduler 3 drops a run that is later than one second, which is its users' first complaint.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub misfire_grace_time: Option<Duration>,
    /// Which of several fire times that are due at once run. Defaults to [`Coalesce::Latest`].
    pub coalesce: Coalesce,
    /// How many runs of the job may be running at once, counted over all nodes. From 1 to 4,294,967,295. Defaults to 1.
    pub max_instances: NonZeroU32,
    /// What becomes of a fire time when `max_instances` are running. Defaults to [`Overlap::Skip`].
    pub overlap: Overlap,
    /// The key under which the runs of the job count, with those of all jobs that have it: if it is given a
    /// [limit](crate::store::KeyLimit), at most so many of them are running at once, in the whole cluster. What finds no place waits, and
    /// holds up no other job: the fire time stays open until then, so that misfire grace time and coalescing are judged
    /// when a place is free. A run counts under the key that its job had when it started, until its end is in the store. Defaults to
    /// none: the runs count nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_key: Option<LimitKey>,
    /// What becomes of a run whose node dies. Defaults to [`Delivery::AtLeastOnce`] in a store that outlives
    /// the process and to [`Delivery::AtMostOnce`] in one that does not.
    pub delivery: Delivery,
    /// How long an attempt may take, counted from when its executor gets it; in seconds in the persisted form. After that
    /// its token is cancelled, an async task that goes on is dropped, and a process is killed; a blocking task has to look
    /// at its token. However such an attempt ends, it has timed out, unless it returns normally after all, which counts.
    /// A timeout strikes whether the store answers or not, and also while the scheduler is paused or shuts down.
    /// At least 1 ms. Defaults to none.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether and how a failed run is repeated: it waits in the store and starts as the next attempt for the same fire
    /// time, on any node. Only its last attempt decides its verdict. A run that was asked to stop, or whose job is
    /// removed, is not repeated. Defaults to none. In a box, since few jobs have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Box<Retry>>,
    /// Which of the runs that a node holds start first: those with the higher number. It orders the jobs that the node
    /// has claimed together, and the runs that wait for an executor with a [limit](crate::Executor::limit), there before
    /// the order of their fire times. It does not change which jobs a node claims from the store: those that have been
    /// due for longest. Defaults to 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// How many ended runs the store keeps, newest first; 0 keeps none of them. Defaults to 100. Totals are kept for ever.
    pub history: u32,
    /// What becomes of the job after its last fire time. Defaults to [`WhenFinished::Remove`].
    pub when_finished: WhenFinished,
    /// How long a job stays known after its last run has ended, with its history, though it is over: its id is free, and only
    /// who asks for it finds it. In seconds in the persisted form; a little longer than said, since such jobs go in steps of a
    /// 64th of it. Zero deletes it at once. Defaults to [3 days](Self::RETENTION) in a store that outlives the process, and to
    /// [5 minutes](Self::RETENTION_IN_MEMORY) in one that does not. In a definition that does not say, as an earlier version or
    /// another program has written it, it is zero. A job that is removed goes with its history at once.
    #[serde(with = "exact_seconds", skip_serializing_if = "Duration::is_zero")]
    pub retention: Duration,
    /// Whether what the task returns is kept with the run, as JSON. Defaults to [`Output::Discard`].
    #[serde(skip_serializing_if = "Output::is_default")]
    pub output: Output,
    /// Fields that a newer version wrote; they are kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            misfire_grace_time: None,
            coalesce: Coalesce::Latest,
            max_instances: NonZeroU32::MIN,
            overlap: Overlap::Skip,
            limit_key: None,
            delivery: Delivery::AtLeastOnce,
            timeout: None,
            retry: None,
            priority: 0,
            history: 100,
            when_finished: WhenFinished::Remove,
            retention: Duration::ZERO,
            output: Output::Discard,
            extra: Map::new(),
        }
    }
}

/// The shortest time that an option may be given: below it, it would only say that no run is ever in time.
const SHORTEST: Duration = Duration::from_millis(1);

impl JobOptions {
    /// The [`retention`](Self::retention) of a new job in a store that outlives the process: over a weekend.
    pub const RETENTION: Duration = Duration::from_secs(3 * 24 * 3600);

    /// That of a new job in a store that does not: long enough to ask what became of a run.
    pub const RETENTION_IN_MEMORY: Duration = Duration::from_secs(5 * 60);

    /// Whether each option is within its range.
    ///
    /// Asked when a job is written. What an earlier version has stored is read, whatever it is, and means what it did: with
    /// a timeout of zero each attempt times out, with a misfire grace time of zero each fire time is missed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use scheduler_core::JobOptions;
    ///
    /// let mut options = JobOptions::default();
    /// options.timeout = Some(Duration::ZERO);
    /// assert_eq!(options.check().unwrap_err(), "`timeout` of 0ns: at least 1ms, or none for no limit");
    /// ```
    ///
    /// # Errors
    ///
    /// The option and its range.
    pub fn check(&self) -> Result<(), String> {
        check_grace(self.misfire_grace_time)?;
        check_timeout(self.timeout)?;
        check_limit_key(self.limit_key.as_ref())?;
        self.retry.as_ref().map_or(Ok(()), |retry| retry.check())
    }
}

pub(crate) fn check_grace(grace: Option<Duration>) -> Result<(), String> {
    match grace.filter(|grace| *grace < SHORTEST) {
        Some(grace) => {
            Err(format!("`misfire_grace_time` of {grace:?}: at least {SHORTEST:?}, or none for any lateness"))
        }
        None => Ok(()),
    }
}

/// A key that is given is one that stores can keep.
pub(crate) fn check_limit_key(key: Option<&LimitKey>) -> Result<(), String> {
    key.map_or(Ok(()), LimitKey::check).map_err(|error| format!("`limit_key`: {error}"))
}

pub(crate) fn check_timeout(timeout: Option<Duration>) -> Result<(), String> {
    match timeout.filter(|timeout| *timeout < SHORTEST) {
        Some(timeout) => Err(format!("`timeout` of {timeout:?}: at least {SHORTEST:?}, or none for no limit")),
        None => Ok(()),
    }
}

pub(crate) fn check_max_instances(n: u32) -> Result<(), String> {
    if n > 0 {
        Ok(())
    } else {
        Err("`max_instances` of 0: at least 1; to keep a job from running, pause it".to_owned())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

/// Which of several fire times that are due at once run.
///
/// The misfire grace time is judged first; this decides over the fire times within it. The others end as
/// [`Verdict::Coalesced`](crate::Verdict::Coalesced), one row for the whole range.
///
/// ```
/// use scheduler_core::{Coalesce, JobSpec, trigger::Interval};
///
/// // After an hour's outage one report is enough, of the present state; but each hour is to be billed.
/// let report = JobSpec::new("report", Interval::minutes(5)).coalesce(Coalesce::Latest);
/// let bill = JobSpec::new("bill", Interval::hours(1)).coalesce(Coalesce::All);
/// # let _ = (report, bill);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[doc(alias = "coalesce")]
pub enum Coalesce {
    /// The newest one runs. APScheduler's `coalesce=True`.
    Latest,
    /// The oldest one runs.
    Earliest,
    /// Each of them runs, in order. APScheduler's `coalesce=False`.
    All,
}

/// What becomes of a fire time, or of a run that is asked for, when `max_instances` runs of its job are running.
///
/// ```
/// use scheduler_core::{JobSpec, Overlap, trigger::Interval};
///
/// // A poll that is still running need not be begun anew; each export is to happen, one after the other; and of a
/// // preview only the newest matters.
/// let poll = JobSpec::new("poll", Interval::seconds(10)).overlap(Overlap::Skip);
/// let export = JobSpec::new("export", Interval::minutes(10)).overlap(Overlap::Queue(6));
/// let preview = JobSpec::new("preview", Interval::minutes(1)).overlap(Overlap::CancelPrevious);
/// # let _ = (poll, export, preview);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[doc(alias = "max_instances")]
pub enum Overlap {
    /// The fire time is given up and ends as [`Verdict::Skipped`](crate::Verdict::Skipped).
    Skip,
    /// The fire time waits for a free slot; at most this many wait, further ones are skipped. With 0 none waits, as with `Skip`.
    Queue(u32),
    /// The fire time runs all the same: `max_instances` does not count.
    Allow,
    /// The running ones are cancelled, and it runs when they have ended. A fire time that was already
    /// waiting for that gives way to the newer one and ends as cancelled.
    CancelPrevious,
}

/// What becomes of a run whose node dies, or shuts down before it has ended.
///
/// ```
/// use scheduler_core::{Delivery, JobSpec, trigger::Interval};
///
/// // Cleaning up twice does no harm; a text message that may have been sent is not sent again.
/// let clean_up = JobSpec::new("clean-up", Interval::hours(1)).delivery(Delivery::AtLeastOnce);
/// let remind = JobSpec::new("remind", Interval::hours(24)).delivery(Delivery::AtMostOnce);
/// # let _ = (clean_up, remind);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Another node takes it over when the lease of its node has passed: same fire time, next attempt.
    /// After three takeovers it ends as [`Verdict::Lost`](crate::Verdict::Lost). A node that shuts down gives it back, and another
    /// node runs it at once.
    AtLeastOnce,
    /// The run ends as [`Verdict::Lost`](crate::Verdict::Lost) and is not run again; if its node shuts down, as
    /// [`Verdict::Cancelled`](crate::Verdict::Cancelled).
    AtMostOnce,
}

/// What becomes of a job after its last fire time.
///
/// ```
/// use scheduler_core::{JobSpec, WhenFinished, trigger::Date};
///
/// // The import stays in the listing when it is done, and its id cannot be taken again until somebody removes it.
/// let import = JobSpec::new("import", Date::at(chrono::Utc::now())).id("import-7").when_finished(WhenFinished::Keep);
/// # let _ = import;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFinished {
    /// The job is over when its last run has ended: its id is free, and it stays known for its
    /// [`retention`](JobOptions::retention).
    Remove,
    /// The job stays under its id, without a next fire time, with its history, until it is removed.
    Keep,
}

/// Whether what a task returns is kept with the run.
///
/// ```
/// use chrono::DateTime;
/// use scheduler_core::{JobSpec, Output, Run, RunId, RunOutput, RunState, Uid, Verdict};
///
/// let spec = JobSpec::now("count").output(Output::Keep);
/// # let _ = spec;
///
/// // Later, in the job's history:
/// # let mut run = Run::new(RunId { uid: Uid(7), seq: 1 }, DateTime::UNIX_EPOCH, RunState::Ended(Verdict::Ok));
/// # run.output = Some(RunOutput::of(&42.into()));
/// assert_eq!(run.output::<u64>()?, 42);
/// # Ok::<(), scheduler_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// It is told by the event [`RunExecuted`](crate::EventKind::RunExecuted), and forgotten.
    #[default]
    Discard,
    /// Its JSON text is kept, up to [`Run::OUTPUT_LIMIT`](crate::Run::OUTPUT_LIMIT) bytes: [`Run::output`](crate::Run::output) reads it.
    /// A larger one is left out, which the run says; it has ended ok all the same.
    Keep,
}

impl Output {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::Discard
    }
}

/// What to do when a job with the same id is in the store already.
///
/// ```
/// use scheduler_core::{Conflict, JobSpec, trigger::Interval};
///
/// // At each start of the program: the job of its code, as the code has it now. What users have set up stays as it is.
/// let built_in = JobSpec::new("clean-up", Interval::hours(1)).id("clean-up").on_conflict(Conflict::Replace);
/// let default_of_users = JobSpec::new("report", Interval::hours(24)).id("report").on_conflict(Conflict::Keep);
/// # let _ = (built_in, default_of_users);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[doc(alias = "replace_existing")]
pub enum Conflict {
    /// Adding is an error. The default, as in APScheduler.
    #[default]
    Error,
    /// The new definition takes the old one's place. If the trigger is as it was written before, the job keeps its
    /// anchor, its next fire time (even a past one), its pause and its history; otherwise the next fire time is
    /// computed from now. A job that is as it was is left alone: nothing is written, and no event says that it was modified.
    Replace,
    /// The old job stays as it is and is returned.
    Keep,
}

/// A duration that may be missing, as seconds in JSON.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::exact_seconds;

    pub(crate) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(duration) => exact_seconds::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        seconds.map(exact_seconds::duration).transpose()
    }
}

/// A duration as seconds in JSON, exact to the microsecond for two hundred years. A longer one than the longest is that.
pub(crate) mod exact_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    /// The longest that is kept, half a million years: in whole seconds, which are exact in any language.
    pub(crate) const LONGEST: Duration = Duration::from_secs(u64::MAX / 1_000_000);

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let duration = duration.min(&LONGEST);
        match duration.subsec_micros() {
            0 => duration.as_secs().serialize(serializer),
            _ => duration.as_secs_f64().serialize(serializer),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        duration(f64::deserialize(deserializer)?)
    }

    pub(crate) fn duration<E: de::Error>(seconds: f64) -> Result<Duration, E> {
        if seconds >= LONGEST.as_secs_f64() {
            return Ok(LONGEST);
        }
        let duration = Duration::try_from_secs_f64(seconds)
            .map_err(|_| E::custom(format!("{seconds} is not a number of seconds from 0")))?;
        // Rounded, since 0.1 has no exact binary form.
        let micros = duration.as_nanos().saturating_add(500) / 1_000;
        Ok(Duration::from_micros(u64::try_from(micros).map_err(E::custom)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(options: &JobOptions) -> JobOptions {
        let json = serde_json::to_string(options).unwrap();
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn whatever_duration_is_persisted_can_be_read() {
        let seconds = [0, 1, u64::MAX / 1_000_000, u64::MAX / 1_000_000 + 1, u64::MAX];
        let durations = seconds.map(Duration::from_secs).into_iter();
        for duration in durations.chain([Duration::MAX, Duration::from_micros(u64::MAX), Duration::from_nanos(1)]) {
            let options = JobOptions {
                timeout: Some(duration),
                misfire_grace_time: Some(duration),
                retry: Some(Box::new(Retry::attempts(3).backoff(duration).cap(duration))),
                ..JobOptions::default()
            };
            let read = kept(&options);
            let whole_micros = Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
            assert_eq!(read.timeout, Some(whole_micros.min(exact_seconds::LONGEST)), "{duration:?}");
            assert_eq!(kept(&read), read, "{duration:?}");
        }
    }

    #[test]
    fn a_persisted_duration_that_is_none_is_refused() {
        for seconds in ["-1", "\"1s\"", "[]"] {
            assert!(serde_json::from_str::<JobOptions>(&format!(r#"{{"timeout": {seconds}}}"#)).is_err(), "{seconds}");
        }
        let longest: JobOptions = serde_json::from_str(r#"{"timeout": 1e300}"#).unwrap();
        assert_eq!(longest.timeout, Some(exact_seconds::LONGEST));
    }
}
