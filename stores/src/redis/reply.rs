//! Replies of the script.

use chrono::{DateTime, Utc};
use redis::Value;
use scheduler_core::{JobRow, Listed, RawJob, Run, Uid};
use serde_json::Map;

use super::failure::Misread;
use crate::kit::columns::{
    BEFORE_HEAD, Columns, DEFINITION, HEAD, RUN, StoredHead, Unreadable, decode_job, decode_run,
};

/// The cells of a job's row, as `JOB_ROW` in `lua/job.lua` lists them.
#[derive(Debug)]
pub(super) struct Row {
    cells: Vec<Value>,
}

impl Row {
    pub(super) fn new(value: Value) -> Result<Self, Misread> {
        Ok(Self { cells: items(value)? })
    }

    pub(super) fn decode(&self) -> (StoredHead, Result<JobRow, RawJob>) {
        decode_job(self)
    }

    pub(super) fn listed(&self) -> Listed {
        self.decode().1.map_or_else(Listed::Raw, Listed::Job)
    }

    /// The text in the place of the fence, by which the script sees that a job is as it was read.
    pub(super) fn fence(&self) -> Option<String> {
        let at = HEAD.iter().position(|name| *name == "fence").expect("a head has a fence");
        self.bytes(BEFORE_HEAD + at).ok().flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Columns for Row {
    fn integer(&self, at: usize) -> Result<Option<i64>, Unreadable> {
        let Some(bytes) = self.bytes(at)? else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).map_err(|_| Unreadable)?;
        text.parse().map(Some).map_err(|_| Unreadable)
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, Unreadable> {
        match self.cells.get(cell(at)) {
            Some(Value::BulkString(bytes)) => Ok(Some(bytes.clone())),
            Some(Value::Nil) => Ok(default(at).map(Into::into)),
            _ => Err(Unreadable),
        }
    }
}

/// Where the script has a column. It sends the task only with the definition: the body, the task and the version, in this order.
fn cell(at: usize) -> usize {
    const TASK: usize = BEFORE_HEAD - 1;
    let definition = BEFORE_HEAD + HEAD.len();
    let name = match at {
        TASK => Some(&"task"),
        at => at.checked_sub(definition).and_then(|at| DEFINITION.get(at)),
    };
    let sent = ["body", "task", "v"];
    let place = |name| definition - 1 + sent.iter().position(|it| it == name).unwrap_or(sent.len());
    match name {
        Some(name) => place(name),
        None if at < TASK => at,
        None => at.saturating_sub(1),
    }
}

/// What a field is that is not there, where it is not none.
fn default(at: usize) -> Option<&'static str> {
    match at.checked_sub(BEFORE_HEAD).and_then(|at| HEAD.get(at)) {
        Some(&"state") => Some("active"),
        Some(&"totals") => Some("{}"),
        _ if at == 1 => Some("100"), // history
        _ => None,
    }
}

/// A run as it is kept, with its job.
struct KeptRun {
    uid: Uid,
    fields: Map<String, serde_json::Value>,
}

/// Reads a run in the form in which it is kept.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn run(uid: Uid, value: Value) -> Result<Run, String> {
    let Value::BulkString(json) = value else { return Err("a run is no text".to_owned()) };
    let fields = serde_json::from_slice(&json).map_err(|error| format!("a run is no JSON object: {error}"))?;
    decode_run(&KeptRun { uid, fields })
}

impl KeptRun {
    fn field(&self, at: usize) -> Option<&serde_json::Value> {
        self.fields.get(RUN[at]).filter(|value| !value.is_null())
    }
}

impl Columns for KeptRun {
    fn integer(&self, at: usize) -> Result<Option<i64>, Unreadable> {
        self.field(at).map(|value| value.as_i64().ok_or(Unreadable)).transpose()
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, Unreadable> {
        if RUN[at] == "uid" {
            return Ok(Some(self.uid.to_string().into_bytes()));
        }
        self.field(at).map(|value| value.as_str().map(Into::into).ok_or(Unreadable)).transpose()
    }
}

/// The items of a reply, as many as are expected.
pub(super) fn fixed<const N: usize>(value: Value) -> Result<[Value; N], Misread> {
    items(value)?.try_into().map_err(|_| Misread("a list of another length"))
}

pub(super) fn items(value: Value) -> Result<Vec<Value>, Misread> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(Misread("something else than a list")),
    }
}

/// Nothing, or what a function reads.
pub(super) fn optional<T>(value: Value, read: impl FnOnce(Value) -> Result<T, Misread>) -> Result<Option<T>, Misread> {
    match value {
        Value::Nil => Ok(None),
        value => read(value).map(Some),
    }
}

pub(super) fn text(value: Value) -> Result<String, Misread> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        _ => Err(Misread("something else than a text")),
    }
}

/// A number, or the digits of one.
pub(super) fn number<T: TryFrom<i64>>(value: Value) -> Result<T, Misread> {
    let number = match value {
        Value::Int(number) => Some(number),
        value => text(value)?.parse().ok(),
    };
    number.and_then(|number| T::try_from(number).ok()).ok_or(Misread("something else than a number"))
}

pub(super) fn time(value: Value) -> Result<DateTime<Utc>, Misread> {
    DateTime::from_timestamp_micros(number(value)?).ok_or(Misread("a number that is no time"))
}

pub(super) fn uid(value: Value) -> Result<Option<Uid>, Misread> {
    Ok(text(value)?.parse().ok())
}
