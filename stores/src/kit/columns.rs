//! Rows of tables: what their columns mean, read leniently and written exactly.
//!
//! Nothing here knows a database: a row is whatever has [`Columns`]. What cannot be read becomes a reason, never an
//! error, so that one broken row does not stop the others.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use chrono::{DateTime, Utc};
use scheduler_core::{
    AttemptError, BODY_VERSION, JobBody, JobId, JobRow, JobState, NodeId, RawJob, Run, RunId, RunOutput, RunState,
    TaskName, Totals, Uid, Verdict, Wait,
    store::{StoreError, StoreErrorKind},
};
use serde_json::{Value, json};

use super::rules::{ClaimMark, Head, newer};

/// The columns of a head, in the order in which they are read and written. The totals are one text, since eight more columns would
/// cost a third of the time of a firing.
pub const HEAD: [&str; 15] = [
    "state",
    "reason",
    "next_fire_time",
    "due",
    "last_end",
    "blocked",
    "nudged",
    "revision",
    "fence",
    "settled_fence",
    "last_seq",
    "owner",
    "claim_until",
    "totals",
    "retained_until",
];

/// Those of a head that change as its job is moved on: all but its state and what goes with that.
pub const MOVED_HEAD: [&str; 12] = [
    "next_fire_time",
    "due",
    "last_end",
    "blocked",
    "nudged",
    "revision",
    "fence",
    "settled_fence",
    "last_seq",
    "owner",
    "claim_until",
    "totals",
];

/// Those of a head that change as a run ends: those by which nothing is found.
pub const COUNTED_HEAD: [&str; 8] =
    ["last_end", "blocked", "nudged", "revision", "fence", "settled_fence", "last_seq", "totals"];

/// The columns of a definition, in the order in which they are read and written. The body is the last one, since a
/// database looks for what comes behind it by reading through it, time and again.
pub const DEFINITION: [&str; 6] = ["task", "v", "max_instances", "history", "retention", "body"];

/// The columns of a run, in the order in which they are read and written.
pub const RUN: [&str; 20] = [
    "uid",
    "seq",
    "fire_time",
    "first",
    "count",
    "state",
    "wait",
    "verdict",
    "attempt",
    "takeovers",
    "due",
    "owner",
    "fence",
    "cancel_requested",
    "started",
    "ended",
    "duration",
    "error",
    "errors",
    "output",
];

/// The largest definition that is read, in bytes. Whatever a store is told to take, it takes no more, and a larger one that is
/// there all the same is quarantined like any other unreadable one: it would keep the jobs beside it waiting. It is
/// the same for all nodes, so that none puts aside what another has written.
pub const READ_LIMIT: usize = 16 << 20;

/// How far counts go that grow by one at a time. Those beyond it were written by another program, and could not grow.
const COUNT_LIMIT: u64 = i64::MAX as u64 / 2;

/// A row as a database hands it out.
pub trait Columns {
    /// A whole number. What is not one is unreadable.
    fn integer(&self, at: usize) -> Result<Option<i64>, Unreadable>;
    /// A text, valid or not.
    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, Unreadable>;
    /// A node by its name as it is written.
    fn node(name: String) -> NodeId {
        name.into()
    }
    /// The database's own name for a row, a number or a text; none where it is the uid.
    fn key(&self, _at: usize) -> Result<Option<Value>, Unreadable> {
        Ok(None)
    }
}

/// A column holds another type than it should.
#[derive(Debug)]
pub struct Unreadable;

/// A job without its definition.
#[derive(Debug, Clone)]
pub struct StoredHead {
    /// The database's own name for the row, which holds for unreadable ones too.
    pub key: Value,
    /// How many ended runs the history keeps.
    pub history: u32,
    /// The uid, or the text that is none.
    pub uid: Result<Uid, String>,
    /// The id.
    pub id: JobId,
    /// The task, as its own column names it.
    pub task: TaskName,
    /// What the verbs change. A state that is no word for one counts as quarantined.
    pub head: Head,
    /// Whether the state is the word `quarantined`.
    pub is_quarantined: bool,
    problem: Option<String>,
}

/// How many columns precede those of [`HEAD`]: key, history, retention, uid, id, task.
pub const BEFORE_HEAD: usize = 6;

/// Reads `key, history, retention, uid, id, task` and the columns of [`HEAD`].
pub fn decode_head(row: &impl Columns) -> StoredHead {
    let mut reader = Reader { row, at: 0, problem: None };
    let key = reader.column("the key", |row, at| row.key(at)).unwrap_or_default();
    let history = reader.number("history").unwrap_or(u32::MAX);
    let retention = reader.number("retention").map_or(Duration::ZERO, Duration::from_micros);
    let uid_text = reader.text("uid").unwrap_or_default();
    let id = reader.text("id").unwrap_or_default();
    let task = reader.text("task").unwrap_or_default();
    let uid = match uid_text.parse::<Uid>() {
        Ok(uid) if !uid_text.bytes().any(|byte| byte.is_ascii_uppercase()) => Ok(uid),
        // Jobs are looked for by the text, so that this one could be claimed and never settled.
        Ok(_) => Err(format!("the uid {uid_text:?} has capital letters; write it in small ones")),
        Err(error) => Err(error.to_string()),
    };
    let uid = uid.map_err(|problem| {
        reader.note(problem);
        uid_text
    });
    let (head, is_quarantined) = reader.head();
    let head = Head { retention, ..head };
    StoredHead { key, history, uid, id: id.into(), task: task.into(), head, is_quarantined, problem: reader.problem }
}

/// Reads what [`decode_head`] does and the columns of [`DEFINITION`].
pub fn decode_job(row: &impl Columns) -> (StoredHead, Result<JobRow, RawJob>) {
    let stored = decode_head(row);
    let mut reader = Reader { row, at: BEFORE_HEAD + HEAD.len(), problem: stored.problem.clone() };
    let task = reader.text("task").unwrap_or_default();
    let v = reader.integer("v").unwrap_or_default();
    reader.at += 3; // the copies of max_instances, history and retention are for statements
    let body_bytes = reader.column("body", |row, at| row.bytes(at)).unwrap_or_default();
    if v > i64::from(BODY_VERSION) {
        reader.note(newer(v));
    } else if v < 1 {
        reader.note(format!("version {v} is none; the first is 1"));
    }
    let body = match read_body(&body_bytes) {
        Ok(body) => {
            if i64::from(body.v) != v || body.task != *task {
                let (of, in_body) =
                    (format!("`{task}` in version {v}"), format!("`{}` in version {}", body.task, body.v));
                reader.note(format!("the columns name the task {of}, the body names {in_body}"));
            }
            Some(body)
        }
        Err(problem) => {
            reader.note(problem);
            None
        }
    };
    let decoded = match (reader.problem, &stored.uid, body) {
        (None, Ok(uid), Some(body)) => Ok(job_row(*uid, &stored, body)),
        (problem, uid, _) => Err(RawJob {
            uid: uid.as_ref().map_or_else(Clone::clone, Uid::to_string),
            id: stored.id.clone(),
            body: raw_body(&body_bytes),
            next_fire_time: stored.head.next_fire_time,
            reason: problem.unwrap_or_default(),
        }),
    };
    (stored, decoded)
}

/// Reads a definition, which anybody may have written.
fn read_body(bytes: &[u8]) -> Result<JobBody, String> {
    if bytes.len() > READ_LIMIT {
        return Err(format!("the body has more than the {READ_LIMIT} bytes that are read of one"));
    }
    // A panic here would be one of each claim.
    match catch_unwind(AssertUnwindSafe(|| serde_json::from_slice::<JobBody>(bytes))) {
        Ok(body) => body.map_err(|error| format!("the body is not that of a job: {error}")),
        Err(_) => Err("reading the body panicked".to_owned()),
    }
}

/// The copy of a retention, in microseconds; none if the job goes at once.
pub fn retention_column(retention: Duration) -> Option<i64> {
    let micros = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
    (micros > 0).then_some(micros)
}

/// A job from its parts.
pub fn job_row(uid: Uid, stored: &StoredHead, body: JobBody) -> JobRow {
    let head = &stored.head;
    JobRow {
        uid,
        id: stored.id.clone(),
        body,
        state: head.state.clone(),
        next_fire_time: head.next_fire_time,
        due: head.due,
        last_end: head.last_end,
        blocked: head.blocked,
        revision: head.revision,
        fence: head.fence,
        last_seq: head.last_seq,
        totals: head.totals,
    }
}

/// Reads the columns of [`RUN`].
///
/// # Errors
///
/// What is wrong with the row.
pub fn decode_run(row: &impl Columns) -> Result<Run, String> {
    let mut reader = Reader { row, at: 0, problem: None };
    let uid = reader.text("uid").unwrap_or_default().parse().map_err(|error| format!("{error}"))?;
    let seq = reader.number("seq").ok_or("a run has no number")?;
    let run = reader.run(RunId { uid, seq });
    reader.problem.map_or(Ok(run), |problem| Err(format!("run {seq}: {problem}")))
}

/// The text of a definition.
///
/// # Errors
///
/// It has none, or a longer one than the store takes.
pub fn body_text(body: &JobBody, id: &JobId, payload: usize) -> Result<String, StoreError> {
    let text = serde_json::to_string(body).map_err(|error| {
        let message = format!("job `{id}`: its definition has no JSON form: {error}");
        StoreError::new(StoreErrorKind::Rejected, message).with_source(error)
    })?;
    if text.len() > payload {
        let message = format!(
            "job `{id}`: its definition has {} bytes, more than the {payload} that this store takes; keep large \
             arguments elsewhere and pass a reference",
            text.len()
        );
        return Err(StoreError::new(StoreErrorKind::TooLarge, message));
    }
    Ok(text)
}

/// The verdicts that have come, as in `{"ok":3,"missed":1}`.
pub fn encode_totals(totals: &Totals) -> String {
    let counted = Verdict::ALL.into_iter().filter(|verdict| totals.of(*verdict) > 0);
    let counts = counted.map(|verdict| format!("\"{verdict}\":{}", totals.of(verdict)));
    format!("{{{}}}", counts.collect::<Vec<_>>().join(","))
}

/// Why earlier attempts failed, as in `[{"attempt":1,"error":"no paper","at":1795251600000000}]`; none if none did.
pub fn encode_errors(errors: &[AttemptError]) -> Option<String> {
    let error = |it: &AttemptError| json!({ "attempt": it.attempt, "error": it.error, "at": it.at.timestamp_micros() });
    (!errors.is_empty()).then(|| Value::from_iter(errors.iter().map(error)).to_string())
}

fn decode_errors(text: &str) -> Option<Vec<AttemptError>> {
    let values: Vec<Value> = serde_json::from_str(text).ok()?;
    let error = |value: &Value| {
        Some(AttemptError {
            attempt: u32::try_from(value.get("attempt")?.as_u64()?).ok()?,
            error: value.get("error")?.as_str()?.to_owned(),
            at: DateTime::from_timestamp_micros(value.get("at")?.as_i64()?)?,
        })
    };
    values.iter().map(error).collect()
}

fn decode_totals(text: &str) -> Option<Totals> {
    let counts: BTreeMap<Verdict, u64> = serde_json::from_str(text).ok()?;
    let mut totals = Totals::default();
    for (verdict, count) in counts {
        totals.add(verdict, count);
    }
    Some(totals)
}

/// The head of a body that cannot be read.
fn raw_body(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    text.truncate(text.floor_char_boundary(64 * 1024));
    text
}

/// Reads column after column and keeps the first problem.
struct Reader<'a, R> {
    row: &'a R,
    at: usize,
    problem: Option<String>,
}

impl<R: Columns> Reader<'_, R> {
    /// The head, and whether the word of its state is `quarantined`.
    fn head(&mut self) -> (Head, bool) {
        let (word, reason) = (self.text("state").unwrap_or_default(), self.text("reason"));
        let state = JobState::parse(&word, reason).unwrap_or_else(|| {
            let problem = format!("state {word:?} is none");
            self.note(problem.clone());
            JobState::Quarantined(problem)
        });
        let head = Head {
            state,
            next_fire_time: self.time("next_fire_time"),
            due: self.time("due"),
            last_end: self.time("last_end"),
            blocked: self.integer("blocked").is_some_and(|it| it != 0),
            claim_is_stale: self.integer("nudged").is_some_and(|it| it != 0),
            revision: self.counter("revision"),
            fence: self.counter("fence"),
            settled_fence: self.counter("settled_fence"),
            last_seq: self.counter("last_seq"),
            claim: match (self.text("owner"), self.time("claim_until")) {
                (Some(owner), Some(until)) => Some(ClaimMark { owner: R::node(owner), until }),
                _ => None,
            },
            totals: self.totals(),
            retained_until: self.time("retained_until"),
            retention: Duration::ZERO,
        };
        (head, word == "quarantined")
    }

    fn run(&mut self, id: RunId) -> Run {
        let fire_time = self.time("fire_time").unwrap_or_default();
        let (first, count) = (self.time("first"), self.number("count"));
        Run {
            first,
            count,
            state: self.run_state(),
            attempt: self.number("attempt").unwrap_or(1),
            takeovers: self.number("takeovers").unwrap_or_default(),
            due: self.time("due").unwrap_or(fire_time),
            owner: self.text("owner").map(R::node),
            fence: self.number("fence").unwrap_or_default(),
            cancel_requested: self.integer("cancel_requested").is_some_and(|it| it != 0),
            started: self.time("started"),
            ended: self.time("ended"),
            duration: self.number("duration").map(Duration::from_micros),
            error: self.text("error"),
            errors: self.errors(),
            output: self.text("output").map(RunOutput::parse),
            ..Run::new(id, fire_time, RunState::Running)
        }
    }

    fn run_state(&mut self) -> RunState {
        let state = self.text("state").unwrap_or_default();
        let (wait, verdict) = (self.text("wait"), self.text("verdict"));
        let parsed = match state.as_str() {
            "waiting" => wait.as_deref().and_then(Wait::parse).map(RunState::Waiting),
            "running" => Some(RunState::Running),
            "ended" => verdict.as_deref().and_then(Verdict::parse).map(RunState::Ended),
            _ => None,
        };
        parsed.unwrap_or_else(|| {
            self.note(format!("state {state:?} with {wait:?} and {verdict:?} is none"));
            RunState::Running
        })
    }

    fn column<T>(&mut self, name: &str, read: impl Fn(&R, usize) -> Result<Option<T>, Unreadable>) -> Option<T> {
        let at = self.at;
        self.at += 1;
        read(self.row, at).unwrap_or_else(|Unreadable| {
            self.note(format!("the column `{name}` has another type than it should"));
            None
        })
    }

    fn integer(&mut self, name: &str) -> Option<i64> {
        self.column(name, |row, at| row.integer(at))
    }

    fn number<T: TryFrom<i64>>(&mut self, name: &str) -> Option<T> {
        let integer = self.integer(name)?;
        let number = T::try_from(integer).ok();
        if number.is_none() {
            self.note(format!("the column `{name}` is {integer}, which is out of range"));
        }
        number
    }

    fn counter(&mut self, name: &str) -> u64 {
        let count = self.number(name).unwrap_or_default();
        if count > COUNT_LIMIT {
            self.note(format!("the column `{name}` is {count}, which cannot grow any more"));
        }
        count
    }

    fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let micros = self.integer(name)?;
        let time = DateTime::from_timestamp_micros(micros);
        if time.is_none() {
            self.note(format!("the column `{name}` is {micros}, which is no time in microseconds"));
        }
        time
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let bytes = self.column(name, |row, at| row.bytes(at))?;
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                self.note(format!("the column `{name}` is not UTF-8"));
                Some(String::from_utf8_lossy(error.as_bytes()).into_owned())
            }
        }
    }

    fn errors(&mut self) -> Vec<AttemptError> {
        let Some(text) = self.text("errors") else { return Vec::new() };
        decode_errors(&text).unwrap_or_else(|| {
            self.note("the column `errors` has other than errors of attempts".to_owned());
            Vec::new()
        })
    }

    fn totals(&mut self) -> Totals {
        let text = self.text("totals").unwrap_or_default();
        decode_totals(&text).unwrap_or_else(|| {
            self.note(format!("the column `totals` is {text:?}, not counts by verdict"));
            Totals::default()
        })
    }

    fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}
