//! Pauses: why a job is paused, who did that and since when, and when it goes on by itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::whole_micros;

/// Why a job is paused, who did that and since when, and when it goes on by itself.
///
/// All of it may be left out. It is kept with the job, and shown by
/// [`JobRow::current_pause`](crate::JobRow::current_pause), in explanations and in
/// [`EventKind::JobPaused`](crate::EventKind::JobPaused).
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::Pause;
///
/// let noon = Utc.with_ymd_and_hms(2026, 12, 1, 12, 0, 0).unwrap();
/// let pause = Pause::new().by("anna").note("the printer is away").until(noon);
/// assert_eq!(pause.by.as_deref(), Some("anna"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pause {
    /// Why; at most [`NOTE_LIMIT`](Self::NOTE_LIMIT) bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who did it; at most [`BY_LIMIT`](Self::BY_LIMIT) bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When the job goes on by itself, by the store's clock; none if it has to be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Since when, by the store's clock. The scheduler sets it when the job is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// The first fire time that had neither a run nor a verdict when the job was paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stands_at: Option<DateTime<Utc>>,
    /// Fields that a newer version wrote; they are kept as they are.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

impl Pause {
    /// The bytes of the longest note.
    pub const NOTE_LIMIT: usize = 4_096;

    /// The bytes of the longest name of who paused a job.
    pub const BY_LIMIT: usize = 256;

    /// A pause without a note, until the job is resumed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for this reason.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The same by this person or program.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.by = Some(who.into());
        self
    }

    /// The same until this instant, at which the job goes on by itself: with the first fire time that is not before it.
    ///
    /// What became due by then is not made up for; what becomes due while no scheduler runs afterwards is late as after any downtime.
    pub fn until(mut self, end: DateTime<Utc>) -> Self {
        self.until = Some(end);
        self
    }

    /// Whether it says nothing but that the job is paused.
    pub(crate) fn is_plain(&self) -> bool {
        self.note.is_none() && self.by.is_none() && self.until.is_none()
    }

    /// The pause as a job keeps it that has been paused at this time.
    pub(crate) fn begun(mut self, at: DateTime<Utc>, stands_at: Option<DateTime<Utc>>) -> Self {
        self.since = Some(whole_micros(at));
        self.until = self.until.map(whole_micros);
        self.stands_at = stands_at;
        self
    }

    /// Refuses what a job cannot keep, or an end that has passed.
    pub(crate) fn check(&self, at: DateTime<Utc>) -> Result<(), String> {
        if let Some(until) = self.until.filter(|until| *until <= at) {
            return Err(format!("its pause is to end at {until}, which has passed; give a time to come"));
        }
        let texts = [("note", &self.note, Self::NOTE_LIMIT), ("`by`", &self.by, Self::BY_LIMIT)];
        for (what, text, limit) in texts {
            let length = text.as_ref().map_or(0, String::len);
            if length > limit {
                return Err(format!("the {what} of its pause has {length} bytes; at most {limit} are kept"));
            }
        }
        Ok(())
    }

    /// Whether a fire time that has passed has neither a run nor a verdict, of a job with runs up to this number.
    pub(crate) fn leaves_open(&self, fire_time: DateTime<Utc>, last_seq: u64) -> bool {
        self.stands_at.map_or(last_seq == 0, |stands_at| stands_at <= fire_time)
    }

    /// As in `by anna, since 10:00, until 12:00: the printer is away`.
    pub(crate) fn words(&self, time: impl Fn(DateTime<Utc>) -> String) -> String {
        let by = self.by.as_ref().map(|by| format!("by {by}"));
        let since = self.since.map(|since| format!("since {}", time(since)));
        let until = self.until.map(|until| format!("until {}", time(until)));
        let mut words = [by, since, until].into_iter().flatten().collect::<Vec<_>>().join(", ");
        if let Some(note) = &self.note {
            words = if words.is_empty() { note.clone() } else { format!("{words}: {note}") };
        }
        words
    }
}
