//! Calls as the script takes them: JSON objects, without the fields that have no value.

use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobBody, JobRow, JobState, Run, RunState,
    store::{Adopt, Claim, Clock, Entry, Move, OnClaim, Record, Report, RunChange, RunReport, Settle, Turn, Update},
};
use serde_json::{Map, Value, json};

use super::RedisStore;
use crate::{
    kit::columns::encode_totals,
    kit::rules::{Head, kept},
};

/// Writes calls for a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer {
    pub(super) clock: Clock,
}

impl Writer {
    pub(super) fn job(job: &JobRow) -> Value {
        let head = Head::inserted(job);
        object(
            [
                ("uid", json!(job.uid)),
                ("id", json!(job.id)),
                ("next_fire_time", exact(head.next_fire_time)),
                ("due", exact(head.due)),
                ("last_end", exact(head.last_end)),
                ("blocked", if head.blocked { "1".into() } else { Value::Null }),
                ("totals", encode_totals(&head.totals).into()),
            ]
            .into_iter()
            .chain(state(&head.state))
            .chain(definition(&job.body)),
        )
    }

    pub(super) fn update(self, at: DateTime<Utc>, update: &Update) -> Value {
        object(
            [
                ("at", self.at(at)),
                ("uid", json!(update.uid)),
                ("revision", json!(update.revision)),
                ("fence", json!(update.fence)),
                ("next_fire_time", exact(update.next_fire_time)),
                ("due", exact(update.due)),
                ("runs", update.runs.iter().map(run).collect()),
                ("gives_way", u8::from(update.on_claim == OnClaim::GiveWay).into()),
            ]
            .into_iter()
            .chain(state(&update.state))
            .chain(update.body.iter().flat_map(definition)),
        )
    }

    pub(super) fn turn(self, turn: &Turn) -> Value {
        let optional = |value: Option<Value>| value.unwrap_or_default();
        object([
            ("record", optional(turn.record.as_ref().map(|record| self.record(record)))),
            ("settle", optional(turn.settle.as_ref().map(|settle| self.settle(settle)))),
            ("claim", optional(turn.claim.as_ref().map(|claim| self.claim(claim)))),
        ])
    }

    fn record(self, record: &Record) -> Value {
        object([
            ("at", self.at(record.at)),
            ("owner", json!(record.owner)),
            ("lease", span(record.lease)),
            ("entries", record.entries.iter().map(entry).collect()),
        ])
    }

    fn settle(self, settle: &Settle) -> Value {
        object([
            ("at", self.at(settle.at)),
            ("owner", json!(settle.owner)),
            ("lease", span(settle.lease)),
            ("moves", settle.moves.iter().map(moved).collect()),
        ])
    }

    fn claim(self, claim: &Claim) -> Value {
        object([
            ("at", self.at(claim.at)),
            ("owner", json!(claim.owner)),
            ("seq", json!(claim.seq)),
            ("lease", span(claim.lease)),
            ("limit", json!(claim.limit.min(RedisStore::BATCH))),
            ("tasks", json!(claim.tasks)),
            ("max_v", json!(claim.max_v)),
            (
                "lapsed_by",
                match claim.adopt {
                    Adopt::LapsedBy(sent) => time(sent),
                    Adopt::Nothing => Value::Null,
                },
            ),
            ("declined", json!(claim.declined == Report::Declined)),
        ])
    }

    /// The caller's time, if that decides.
    pub(super) fn at(self, at: DateTime<Utc>) -> Value {
        match self.clock {
            Clock::Caller => time(at),
            Clock::Server => Value::Null,
        }
    }
}

/// An object of the fields that are not null.
pub(super) fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn definition(body: &JobBody) -> [(&'static str, Value); 4] {
    [
        ("task", json!(body.task)),
        ("v", body.v.to_string().into()),
        ("max_instances", body.options.max_instances.to_string().into()),
        ("history", body.options.history.to_string().into()),
    ]
}

fn state(state: &JobState) -> [(&'static str, Value); 2] {
    let reason = match kept(state) {
        JobState::Quarantined(reason) => reason.into(),
        _ => Value::Null,
    };
    [("state", json!(state.as_str())), ("reason", reason)]
}

fn moved(to: &Move) -> Value {
    object(
        [
            ("uid", json!(to.uid)),
            ("revision", json!(to.revision)),
            ("fence", json!(to.fence)),
            ("next_fire_time", exact(to.next_fire_time)),
            ("due", exact(to.due)),
            ("blocked", json!(to.blocked)),
            ("runs", to.runs.iter().map(change).collect()),
        ]
        .into_iter()
        .chain(state(&to.state)),
    )
}

fn change(change: &RunChange) -> Value {
    match change {
        RunChange::Insert(inserted) => object([("kind", json!("insert")), ("run", run(inserted))]),
        RunChange::Start { seq, attempt } => {
            object([("kind", json!("start")), ("seq", json!(seq)), ("attempt", json!(attempt))])
        }
        RunChange::End { seq, verdict, error } => object([
            ("kind", json!("end")),
            ("seq", json!(seq)),
            ("verdict", json!(verdict.as_str())),
            ("error", error_text(error.as_ref())),
        ]),
        RunChange::Cancel { seq } => object([("kind", json!("cancel")), ("seq", json!(seq))]),
    }
}

fn entry(entry: &Entry) -> Value {
    let report = match &entry.report {
        RunReport::End { verdict, error, duration } => vec![
            ("kind", json!("end")),
            ("verdict", json!(verdict.as_str())),
            ("error", error_text(error.as_ref())),
            ("duration", span(*duration)),
        ],
        RunReport::Retry { due, error } => {
            vec![("kind", json!("retry")), ("due", time(*due)), ("error", error_text(error.as_ref()))]
        }
        RunReport::Release => vec![("kind", json!("release"))],
    };
    let run = [("uid", json!(entry.run.uid)), ("seq", json!(entry.run.seq)), ("fence", json!(entry.fence))];
    object(run.into_iter().chain(report))
}

/// A run in the form in which it is kept, without its job.
fn run(run: &Run) -> Value {
    let (state, wait, verdict) = match run.state {
        RunState::Waiting(wait) => ("waiting", json!(wait.as_str()), Value::Null),
        RunState::Running => ("running", Value::Null, Value::Null),
        RunState::Ended(verdict) => ("ended", Value::Null, json!(verdict.as_str())),
    };
    let optional = |at: Option<DateTime<Utc>>| at.map_or(Value::Null, time);
    object([
        ("seq", json!(run.id.seq)),
        ("fire_time", time(run.fire_time)),
        ("first", optional(run.first)),
        ("count", json!(run.count)),
        ("state", json!(state)),
        ("wait", wait),
        ("verdict", verdict),
        ("attempt", json!(run.attempt)),
        ("takeovers", json!(run.takeovers)),
        ("due", time(run.due)),
        ("owner", json!(run.owner)),
        ("fence", json!(run.fence)),
        ("cancel_requested", if run.cancel_requested { json!(1) } else { Value::Null }),
        ("started", optional(run.started)),
        ("ended", optional(run.ended)),
        ("duration", run.duration.map_or(Value::Null, span)),
        ("error", error_text(run.error.as_ref())),
    ])
}

fn error_text(error: Option<&String>) -> Value {
    error.map_or(Value::Null, |error| Run::error_text(error.clone()).into())
}

fn time(at: DateTime<Utc>) -> Value {
    at.timestamp_micros().into()
}

/// A time as text, since a number of Lua has not all digits of one beyond the year 2255.
fn exact(at: Option<DateTime<Utc>>) -> Value {
    at.map_or(Value::Null, |at| at.timestamp_micros().to_string().into())
}

fn span(time: Duration) -> Value {
    json!(time.as_micros() as u64)
}
