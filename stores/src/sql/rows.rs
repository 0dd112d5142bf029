//! Rows on their way into a statement.

use std::fmt::{self, Write};

use chrono::{DateTime, Utc};
use scheduler_core::{JobBody, JobState, Run, RunOutput, RunState, Tags, Uid};
use serde_json::Value;

use super::node_name;
use crate::kit::{
    NewJob,
    columns::{HEAD, encode_errors, encode_totals, retention_column},
    rules::Head,
};

/// The tags that are written into the table of tags.
pub(super) fn written_tags(tags: &Tags) -> impl Iterator<Item = &str> {
    tags.iter().filter(|tag| tag.len() <= Tags::LENGTH_LIMIT && !tag.contains('\0'))
}

/// One JSON array of arrays.
#[derive(Debug)]
pub(super) struct Rows {
    text: String,
}

impl Default for Rows {
    fn default() -> Self {
        Self { text: "[".to_owned() }
    }
}

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.text.len() == 1
    }

    /// How many bytes the rows have so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Adds a row.
    pub(super) fn add(&mut self, row: impl FnOnce(&mut Self)) {
        self.text.push_str(if self.is_empty() { "[" } else { ",[" });
        row(self);
        self.text.pop(); // the last comma
        self.text.push(']');
    }

    /// The JSON text.
    pub(super) fn finish(mut self) -> String {
        self.text.push(']');
        self.text
    }

    pub(super) fn integer(&mut self, value: impl fmt::Display) {
        write!(self.text, "{value},").expect("a string takes all that is written");
    }

    pub(super) fn value(&mut self, value: &Value) {
        self.integer(value);
    }

    pub(super) fn word(&mut self, value: &str) {
        self.text.push_str(&serde_json::to_string(value).expect("a text has a JSON form"));
        self.text.push(',');
    }

    /// The columns of a job that is added.
    pub(super) fn job(&mut self, job: &NewJob<'_>) {
        self.word(&job.row.uid.to_string());
        self.word(job.row.id.as_str());
        self.head(&Head::inserted(job.row), &HEAD);
        self.definition(&job.row.body, job.body);
    }

    /// Columns of a head, some of [`HEAD`].
    pub(super) fn head(&mut self, head: &Head, columns: &[&str]) {
        let claim = head.claim.as_ref();
        for column in columns {
            match *column {
                "state" => self.word(head.state.as_str()),
                "reason" => match &head.state {
                    JobState::Quarantined(reason) => self.word(reason),
                    _ => self.text.push_str("null,"),
                },
                "next_fire_time" => self.time(head.next_fire_time),
                "due" => self.time(head.due),
                "last_end" => self.time(head.last_end),
                "blocked" => self.integer(u8::from(head.blocked)),
                "nudged" => self.integer(u8::from(head.claim_is_stale)),
                "revision" => self.integer(head.revision),
                "fence" => self.integer(head.fence),
                "settled_fence" => self.integer(head.settled_fence),
                "last_seq" => self.integer(head.last_seq),
                "owner" => {
                    self.optional(claim.map(|claim| node_name::written(&claim.owner)), |row, name| row.word(&name));
                }
                "claim_until" => self.time(claim.map(|claim| claim.until)),
                "totals" => self.word(&encode_totals(&head.totals)),
                "retained_until" => self.time(head.retained_until),
                _ => unreachable!("`{column}` is no column of a head"),
            }
        }
    }

    /// The columns of [`DEFINITION`](crate::kit::columns::DEFINITION), where the body is given as text.
    pub(super) fn definition(&mut self, body: &JobBody, text: &str) {
        self.word(body.task.as_str());
        self.integer(body.v);
        self.integer(body.options.max_instances);
        self.integer(body.options.history);
        self.optional(retention_column(body.options.retention), Self::integer);
        self.word(text);
    }

    /// A row for each tag of a job. What no job may have as a tag is left out, since a database might not take it.
    pub(super) fn tags(&mut self, uid: &Uid, tags: &Tags) {
        for tag in written_tags(tags) {
            self.add(|row| {
                row.word(&uid.to_string());
                row.word(tag);
            });
        }
    }

    /// The columns of [`RUN`](crate::kit::columns::RUN).
    pub(super) fn run(&mut self, run: &Run) {
        let (state, wait, verdict) = match run.state {
            RunState::Waiting(wait) => ("waiting", Some(wait.as_str()), None),
            RunState::Running => ("running", None, None),
            RunState::Ended(verdict) => ("ended", None, Some(verdict.as_str())),
        };
        self.word(&run.id.uid.to_string());
        self.integer(run.id.seq);
        self.time(Some(run.fire_time));
        self.time(run.first);
        self.optional(run.count, Self::integer);
        self.word(state);
        self.optional(wait, Self::word);
        self.optional(verdict, Self::word);
        self.integer(run.attempt);
        self.integer(run.takeovers);
        self.time(Some(run.due));
        self.optional(run.owner.as_ref().map(node_name::written), |row, name| row.word(&name));
        self.integer(run.fence);
        self.integer(u8::from(run.cancel_requested));
        self.time(run.started);
        self.time(run.ended);
        self.optional(run.duration.map(|it| it.as_micros()), Self::integer);
        self.optional(run.error.as_deref(), Self::word);
        self.optional(encode_errors(&run.errors).as_deref(), Self::word);
        self.optional(run.output.as_ref().map(RunOutput::text).as_deref(), Self::word);
    }

    fn time(&mut self, time: Option<DateTime<Utc>>) {
        self.optional(time.map(|time| time.timestamp_micros()), Self::integer);
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.text.push_str("null,"),
        }
    }
}
