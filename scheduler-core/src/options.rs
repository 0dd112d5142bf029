//! The options under which a job runs: misfire, coalesce, overlap, delivery, history.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    /// How late a fire time may be settled and still run; in seconds in the persisted form.
    /// Defaults to none: it runs however late. APScheduler 3 drops a run that is later than one second,
    /// which is its users' first complaint.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub misfire_grace_time: Option<Duration>,
    /// Which of several fire times that are due at once run. Defaults to [`Coalesce::Latest`].
    pub coalesce: Coalesce,
    /// How many runs of the job may be running at once, counted over all nodes. Defaults to 1.
    pub max_instances: NonZeroU32,
    /// What becomes of a fire time when `max_instances` are running. Defaults to [`Overlap::Skip`].
    pub overlap: Overlap,
    /// What becomes of a run whose node dies. Defaults to [`Delivery::AtLeastOnce`] in a store that outlives
    /// the process and to [`Delivery::AtMostOnce`] in one that does not.
    pub delivery: Delivery,
    /// How many ended runs the store keeps, newest first. Defaults to 100. Totals are kept for ever.
    pub history: u32,
    /// What becomes of the job after its last fire time. Defaults to [`WhenFinished::Remove`].
    pub when_finished: WhenFinished,
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
            delivery: Delivery::AtLeastOnce,
            history: 100,
            when_finished: WhenFinished::Remove,
            extra: Map::new(),
        }
    }
}

/// Which of several fire times that are due at once run.
///
/// The misfire grace time is judged first; this decides over the fire times within it. The others end as
/// [`Verdict::Coalesced`](crate::Verdict::Coalesced), one row for the whole range.
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

/// What becomes of a fire time when `max_instances` runs of its job are running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[doc(alias = "max_instances")]
pub enum Overlap {
    /// It is given up and ends as [`Verdict::Skipped`](crate::Verdict::Skipped).
    Skip,
    /// It waits for a free slot; at most this many wait, further ones are skipped.
    Queue(u32),
    /// It runs all the same: `max_instances` does not count.
    Allow,
    /// The running ones are cancelled, and it runs when they have ended. A fire time that was already
    /// waiting for that gives way to the newer one and ends as cancelled.
    CancelPrevious,
}

/// What becomes of a run whose node dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Another node takes it over when the lease of its node has passed: same fire time, next attempt.
    /// After three takeovers it ends as [`Verdict::Lost`](crate::Verdict::Lost).
    AtLeastOnce,
    /// It ends as [`Verdict::Lost`](crate::Verdict::Lost) and is not run again.
    AtMostOnce,
}

/// What becomes of a job after its last fire time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFinished {
    /// The job is removed when its last run has ended, with its history.
    Remove,
    /// The job stays, without a next fire time, with its history.
    Keep,
}

/// What to do when a job with the same id is in the store already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[doc(alias = "replace_existing")]
pub enum Conflict {
    /// Adding is an error. The default, as in APScheduler.
    #[default]
    Error,
    /// The new definition takes the old one's place. If the trigger is as it was written before, the job keeps its
    /// anchor, its next fire time (even a past one), its pause and its history; otherwise the next fire time is
    /// computed from now.
    Replace,
    /// The old job stays as it is and is returned.
    Keep,
}

/// A duration as seconds in JSON, exact to the microsecond for two hundred years.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(duration) if duration.subsec_micros() == 0 => duration.as_secs().serialize(serializer),
            Some(duration) => duration.as_secs_f64().serialize(serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let Some(seconds) = Option::<f64>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let duration = Duration::try_from_secs_f64(seconds)
            .map_err(|_| de::Error::custom(format!("{seconds} is not a number of seconds from 0")))?;
        // Rounded, since 0.1 has no exact binary form.
        let micros = (duration.as_nanos() + 500) / 1_000;
        Ok(Some(Duration::from_micros(u64::try_from(micros).map_err(de::Error::custom)?)))
    }
}
