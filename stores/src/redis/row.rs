//! Jobs, runs and nodes as they are read.

use std::fmt::{self, Write};

use chrono::{DateTime, Utc};
use redis::Value;
use scheduler_core::{JobId, NodeId, Run, RunState, Uid};
use serde_json::{Map, json};

use super::{
    failure::Misread,
    reply::{fixed, items, text},
};
use crate::kit::{
    Access, LoadedJob, Node,
    columns::{BEFORE_HEAD, Columns, DEFINITION, HEAD, Unreadable, encode_errors},
    run_of,
};

/// The fields of a job before those of its head.
const FIRST: [&str; BEFORE_HEAD] = ["version", "history", "retention", "v", "id", "task"];
/// Where some of them are among the cells.
const VERSION: usize = 0;
const HISTORY: usize = 1;
const V: usize = 3;
const ID: usize = 4;
const TASK: usize = 5;
/// The place of the uid, which is in no field, among the columns of the kit.
const UID: usize = 3;
const STATE: usize = BEFORE_HEAD;
/// The copy of the definition's tags, which no column of the kit has.
const TAGS: usize = BEFORE_HEAD + HEAD.len();
const BODY: usize = TAGS + 1;

/// The version of a job whose hash is not there, which only has an entry in an index.
pub(super) const ABSENT: u64 = u64::MAX;

/// The fields that are loaded of a job, the body last, if it is.
pub(super) fn fields(is_defined: bool) -> impl Iterator<Item = &'static str> {
    FIRST.into_iter().chain(HEAD).chain(["tags"]).chain(is_defined.then_some("body"))
}

/// A job as it is read.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) uid: String,
    /// The id under which it was found; it may have another one, or none.
    id: Option<JobId>,
    /// In the order of [`fields`].
    cells: Vec<Value>,
    /// The open runs, or why one cannot be read.
    runs: Vec<Result<Run, String>>,
}

impl Row {
    /// A row of the scripts: uid, fields, open runs.
    pub(super) fn of_script(row: Value) -> Result<Self, Misread> {
        let [uid, cells, open] = fixed(row)?;
        let uid = text(uid)?;
        let runs = items(open)?.into_iter().map(|run| read_run(&uid, run)).collect();
        Ok(Self { uid, id: None, cells: items(cells)?, runs })
    }

    pub(super) fn found_by(mut self, id: Option<JobId>) -> Self {
        self.id = id;
        self
    }

    pub(super) fn is_there(&self) -> bool {
        self.word(ID).is_some() || self.word(TASK).is_some()
    }

    pub(super) fn is_quarantined(&self) -> bool {
        self.word(STATE) == Some(b"quarantined")
    }

    /// The version and the task as they are written, which the job's index entries go by.
    pub(super) fn kind(&self) -> String {
        let word = |at| String::from_utf8_lossy(self.word(at).unwrap_or_default());
        format!("{}:{}", word(V), word(TASK))
    }

    /// As `version_of` in `lua/write.lua`.
    pub(super) fn version(&self) -> u64 {
        let Some(version) = self.word(VERSION) else {
            return if self.cells.iter().all(|cell| *cell == Value::Nil) { ABSENT } else { 0 };
        };
        let is_plain = version.len() <= 15 && version.iter().all(u8::is_ascii_digit);
        let version = std::str::from_utf8(version).ok().filter(|_| is_plain).and_then(|text| text.parse().ok());
        version.unwrap_or_default()
    }

    /// The run of that number, if a node runs it.
    pub(super) fn running(&self, seq: u64, node: &NodeId) -> Option<&Run> {
        let mut runs = self.runs.iter().filter_map(|run| run.as_ref().ok());
        runs.find(|run| run.id.seq == seq && run.state == RunState::Running && run.owner.as_ref() == Some(node))
    }

    /// The tags under which the job is found.
    fn tags(&self) -> serde_json::Value {
        self.word(TAGS).and_then(|tags| serde_json::from_slice(tags).ok()).unwrap_or_default()
    }

    pub(super) fn has_body(&self) -> bool {
        self.cells.len() > BODY
    }

    pub(super) fn loaded(self, access: Access) -> LoadedJob {
        let access = if self.has_body() { access } else { Access::Change };
        let mut job = LoadedJob::from_row(&self, self.version(), access);
        self.runs.into_iter().for_each(|run| job.add_run(run));
        job
    }

    fn word(&self, cell: usize) -> Option<&[u8]> {
        match self.cells.get(cell)? {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// What is in a column of the kit, or what that is if it is not there.
    fn column(&self, at: usize) -> Result<Option<&[u8]>, Unreadable> {
        let definition = at.checked_sub(TAGS).and_then(|at| DEFINITION.get(at)).copied();
        let cell = match (at, definition) {
            (_, Some("history")) => HISTORY,
            (_, Some("task")) => TASK,
            (_, Some("v")) => V,
            (_, Some("body")) => BODY,
            (at, _) => at,
        };
        match self.cells.get(cell) {
            Some(Value::BulkString(bytes)) => Ok(Some(bytes)),
            Some(Value::Nil) => Ok(default(at).map(str::as_bytes)),
            _ => Err(Unreadable),
        }
    }
}

impl Columns for Row {
    fn integer(&self, at: usize) -> Result<Option<i64>, Unreadable> {
        let Some(bytes) = self.column(at)? else { return Ok(None) };
        let text = std::str::from_utf8(bytes).map_err(|_| Unreadable)?;
        text.parse().map(Some).map_err(|_| Unreadable)
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, Unreadable> {
        if at == UID {
            // Calls name a job by its uid in lower case, so that under another name it could be claimed and never settled.
            let is_other = self.uid.bytes().any(|byte| byte.is_ascii_uppercase()) && self.uid.parse::<Uid>().is_ok();
            return Ok(Some(if is_other { format!("{} in capitals", self.uid) } else { self.uid.clone() }.into()));
        }
        if let (ID, Some(id)) = (at, &self.id) {
            return Ok(Some(id.as_str().into()));
        }
        Ok(self.column(at)?.map(Into::into))
    }

    /// The name of the job's keys, and the kind and the tags under which it is found.
    fn key(&self, _: usize) -> Result<Option<serde_json::Value>, Unreadable> {
        Ok(Some(json!([self.uid, self.kind(), self.tags()])))
    }
}

/// What a field is that is not there, where it is not none.
fn default(at: usize) -> Option<&'static str> {
    match at.checked_sub(BEFORE_HEAD).and_then(|at| HEAD.get(at)) {
        Some(&"state") => Some("active"),
        Some(&"totals") => Some("{}"),
        _ if at == HISTORY => Some("100"),
        _ => None,
    }
}

/// The uid and the kind of a loaded job, as [`Row::key`](Columns::key) has given them.
pub(super) fn name_of(job: &LoadedJob) -> (&str, &str) {
    let part = |at: usize| job.row_key().get(at).and_then(serde_json::Value::as_str).unwrap_or_default();
    (part(0), part(1))
}

/// The tags of a loaded job, by which it is found.
pub(super) fn tags_of(job: &LoadedJob) -> Vec<&str> {
    let tags = job.row_key().get(2).and_then(serde_json::Value::as_array);
    tags.into_iter().flatten().filter_map(serde_json::Value::as_str).collect()
}

/// Reads a run in the form in which it is kept: a JSON object without the uid.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn read_run(uid: &str, value: Value) -> Result<Run, String> {
    let Value::BulkString(json) = value else { return Err("a run is no text".to_owned()) };
    let mut fields: Map<String, serde_json::Value> =
        serde_json::from_slice(&json).map_err(|error| format!("a run is no JSON object: {error}"))?;
    fields.insert("uid".to_owned(), uid.into());
    run_of(&fields)
}

/// Writes what [`read_run`] reads. Text by text, since each run is written twice and as often in the time of its job.
pub(super) fn write_run(run: &Run) -> String {
    let mut json = String::with_capacity(256);
    let mut put = |name: &str, value: Option<&dyn fmt::Display>| {
        if let Some(value) = value {
            json.push(if json.is_empty() { '{' } else { ',' });
            write!(json, "\"{name}\":{value}").expect("a text takes all that is written");
        }
    };
    let (state, wait, verdict) = match run.state {
        RunState::Waiting(wait) => (r#""waiting""#, Some(Quoted(wait.as_str())), None),
        RunState::Running => (r#""running""#, None, None),
        RunState::Ended(verdict) => (r#""ended""#, None, Some(Quoted(verdict.as_str()))),
    };
    let (first, started, ended) = (run.first.map(micros), run.started.map(micros), run.ended.map(micros));
    let duration = run.duration.map(|it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX));
    put("seq", Some(&run.id.seq));
    put("fire_time", Some(&micros(run.fire_time)));
    put("first", first.as_ref().map(as_display));
    put("count", run.count.as_ref().map(as_display));
    put("state", Some(&state));
    put("wait", wait.as_ref().map(as_display));
    put("verdict", verdict.as_ref().map(as_display));
    put("attempt", Some(&run.attempt));
    put("takeovers", Some(&run.takeovers));
    put("due", Some(&micros(run.due)));
    put("owner", run.owner.as_ref().map(|owner| json!(owner)).as_ref().map(as_display));
    put("fence", Some(&run.fence));
    put("cancel_requested", run.cancel_requested.then_some(1).as_ref().map(as_display));
    put("started", started.as_ref().map(as_display));
    put("ended", ended.as_ref().map(as_display));
    put("duration", duration.as_ref().map(as_display));
    put("errors", encode_errors(&run.errors).map(|errors| json!(errors)).as_ref().map(as_display));
    put("output", run.output.as_ref().map(|output| json!(output.text())).as_ref().map(as_display));
    put("error", run.error.as_ref().map(|error| json!(error)).as_ref().map(as_display));
    json.push('}');
    json
}

/// A word without anything to escape, as a JSON text.
struct Quoted(&'static str);

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

fn as_display<T: fmt::Display>(value: &T) -> &dyn fmt::Display {
    value
}

fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// A node of its `LEASE SEQ MARK`. The first schema had no mark. What cannot be read counts as one whose lease has passed.
pub(super) fn read_node(id: &str, value: &str) -> Node {
    let mut words = value.split(' ');
    let lease = words.next().and_then(|lease| lease.parse().ok()).and_then(DateTime::from_timestamp_micros);
    let seq = words.next().and_then(|seq| seq.parse().ok()).unwrap_or_default();
    let mark = words.next().and_then(|mark| mark.parse().ok()).unwrap_or(1);
    Node { id: id.into(), lease_until: lease, last_claim_seq: seq, version: mark, info: None }
}

pub(super) fn write_node(node: &Node) -> String {
    let lease = node.lease_until.map_or_else(|| "-".to_owned(), |until| until.timestamp_micros().to_string());
    format!("{lease} {} {}", node.last_claim_seq, node.version)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scheduler_core::{AttemptError, RunId, RunOutput, Verdict, Wait};

    use super::*;

    #[test]
    fn runs_and_nodes_are_read_as_they_were_written() {
        let time = DateTime::from_timestamp_micros(1_795_251_600_000_001).unwrap();
        let id = RunId { uid: Uid(7), seq: 11 };
        for state in [RunState::Waiting(Wait::Orphan), RunState::Running, RunState::Ended(Verdict::Lost)] {
            let few = Run::new(id, time, state);
            let all = Run {
                first: Some(time),
                count: Some(4),
                owner: Some("node \"a\"".into()),
                cancel_requested: true,
                started: Some(time),
                ended: Some(time),
                duration: Some(Duration::from_micros(10)),
                error: Some("no\nluck".to_owned()),
                errors: vec![AttemptError { attempt: 1, error: "no \"paper\"".to_owned(), at: time }],
                output: Some(RunOutput::TooLarge { bytes: 20_000 }),
                ..few.clone()
            };
            for run in [few, all] {
                let read = read_run(&id.uid.to_string(), Value::BulkString(write_run(&run).into()));
                assert_eq!(read.unwrap(), run);
            }
        }
        for lease_until in [None, Some(time)] {
            let node = Node { id: "a".into(), lease_until, last_claim_seq: 5, version: 6, info: None };
            assert_eq!(read_node("a", &write_node(&node)), node);
        }
        assert_eq!(
            read_node("a", "- 5"),
            Node { lease_until: None, last_claim_seq: 5, version: 1, ..Node::unknown(&"a".into()) }
        );
    }
}
