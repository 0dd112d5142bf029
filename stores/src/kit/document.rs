//! A job as a JSON object, read leniently and written exactly.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobBody, JobId, JobRow, JobState, NodeId, RawJob, Run, RunState, Totals, Uid, Verdict,
    store::{Claim, Declined},
};
use serde_json::{Map, Value, json};

use super::{
    backend::{NewJob, Node},
    columns::{
        BEFORE_HEAD, Columns, DEFINITION, HEAD, RUN, StoredHead, Unreadable, decode_head, decode_job, decode_run,
        encode_errors, retention_column,
    },
    job::LoadedJob,
    rules::{Head, is_for, is_free},
};

/// The name under which a job's document keeps its open runs.
pub(super) const RUNS: &str = "runs";
/// The name under which it keeps the runs that are yet to be archived.
pub(super) const ENDED: &str = "ended";

/// A job with its open runs, as a JSON object.
///
/// | field | value | if it is not there |
/// |---|---|---|
/// | `uid` | 32 hexadecimal digits, drawn by who adds the job | the document's key |
/// | `id` | a text, unique among the live jobs | not readable |
/// | `body` | the definition, as JSON text | not readable |
/// | `task`, `v` | copies from it | not readable |
/// | `max_instances`, `history` | copies from it | 1, 100 |
/// | `retention` | a copy from it, in microseconds | the job goes once it is over |
/// | `state`, `reason` | a word; why it is `quarantined` | `active` |
/// | `next_fire_time`, `due`, `last_end` | times | none |
/// | `blocked`, `nudged` | true or false | false |
/// | `revision`, `fence`, `settled_fence`, `last_seq` | numbers that grow | 0 |
/// | `owner`, `claim_until` | a node and a time | unclaimed |
/// | `retained_until` | until when a job that is over stays known | it is not over, or goes at once |
/// | `totals` | an object of counts by verdict | no counts |
/// | `runs` | the open runs, objects with the columns of [`RUN`](super::columns::RUN) | none |
/// | `ended` | runs that ended with the last write and are yet to be archived | none |
///
/// Times are whole microseconds since 1970 in UTC. A field that is null counts as not there, and is not written. Fields
/// that are not in this list stay as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The text of the uid, which need not be one.
    pub key: String,
    /// The database's mark of what was read, which differs after each write; 0 if it was not read.
    pub version: u64,
    /// Everything else, `uid` included.
    pub fields: Map<String, Value>,
}

/// What a document is found by; computed from its fields and written with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The id, if the job is live.
    pub live_id: Option<JobId>,
    /// When a claim shall look at it. None of a quarantined one.
    pub due: Option<DateTime<Utc>>,
    /// The task.
    pub task: String,
    /// The version of the persisted form.
    pub v: i64,
    /// Who has claimed it, until when.
    pub claim: Option<(NodeId, DateTime<Utc>)>,
    /// The nodes that run a run of it.
    pub running: BTreeSet<NodeId>,
    /// Those of them that are asked to stop one.
    pub stopping: BTreeSet<NodeId>,
    /// Until when the job stays known, if it is over.
    pub retained_until: Option<DateTime<Utc>>,
}

/// A document to be written in the place of another one.
#[derive(Debug)]
pub struct Replace {
    /// As it was read.
    pub old: Document,
    /// As it is to be; none to delete it. Key and id stay the same.
    pub new: Option<Document>,
}

impl Replace {
    /// The writes that make the database have what the rules have changed of jobs that were made of documents.
    pub fn all(jobs: &[&LoadedJob], now: DateTime<Utc>) -> Vec<Self> {
        let replace = |job: &&LoadedJob| Some(Self { old: job.document()?.clone(), new: job.new_document(now) });
        jobs.iter().filter_map(replace).collect()
    }
}

impl Index {
    /// Whether the claim's node can run the job; see [`is_for`].
    pub fn is_for(&self, claim: &Claim) -> bool {
        is_for(claim, &self.task, self.v)
    }

    /// Whether the claim may take the job; see [`is_free`].
    pub fn is_free(&self, claim: &Claim, now: DateTime<Utc>) -> bool {
        is_free(claim, self.claim.as_ref().map(|(owner, until)| (owner, *until)), now)
    }
}

impl Document {
    /// A document from the JSON text that a database has under a key. What is no JSON object becomes the `body` of an
    /// unreadable job.
    pub fn parse(key: impl Into<String>, version: u64, text: &[u8]) -> Self {
        let fields = match serde_json::from_slice(text) {
            Ok(Value::Object(fields)) => fields,
            _ => object([("body", Some(String::from_utf8_lossy(text).into()))]),
        };
        Self { key: key.into(), version, fields }
    }

    /// The JSON text of the fields.
    pub fn text(&self) -> String {
        text(&self.fields)
    }

    /// The document of a job that is added. `body` is its definition as text.
    pub fn inserted(new: &NewJob<'_>) -> Self {
        let NewJob { row, body } = *new;
        let key = row.uid.to_string();
        let fields = object([("uid", Some(key.as_str().into())), ("id", Some(row.id.as_str().into()))]);
        let mut document = Self { key, version: 0, fields };
        document.define(&row.body, body);
        document.put_head(&Head::inserted(row));
        document
    }

    /// What the document is found by.
    pub fn index(&self) -> Index {
        let state = self.word("state").unwrap_or_else(|| "active".to_owned());
        let is_live = JobState::parse(&state, None).is_none_or(|state| state.is_live());
        let claim = self.word("owner").zip(self.time("claim_until"));
        // An unreadable run is out of the nodes' reach; the job is quarantined when it is due.
        let running: Vec<Run> = self.runs(RUNS).0.into_iter().filter(|run| run.state == RunState::Running).collect();
        let owners = |runs: &mut dyn Iterator<Item = &Run>| runs.filter_map(|run| run.owner.clone()).collect();
        Index {
            live_id: self.word("id").filter(|_| is_live).map(Into::into),
            due: self.time("due").filter(|_| state != "quarantined"),
            task: self.word("task").unwrap_or_default(),
            v: self.fields.get("v").and_then(whole).unwrap_or_default(),
            claim: claim.map(|(owner, until)| (owner.into(), until)),
            running: owners(&mut running.iter()),
            stopping: owners(&mut running.iter().filter(|run| run.cancel_requested)),
            retained_until: self.time("retained_until").filter(|_| !is_live),
        }
    }

    /// The job without its definition.
    pub fn head(&self) -> StoredHead {
        let mut stored = decode_head(&JobColumns(self));
        if let Some(reason) = self.key_problem(&stored) {
            stored.uid = Err(reason);
        }
        stored
    }

    /// The job.
    pub fn job(&self) -> (StoredHead, Result<JobRow, RawJob>) {
        let (stored, job) = decode_job(&JobColumns(self));
        let problem = self.key_problem(&stored);
        match (job, problem) {
            (Ok(job), Some(reason)) => {
                let raw = RawJob {
                    uid: job.uid.to_string(),
                    id: job.id,
                    body: self.word("body").unwrap_or_default(),
                    next_fire_time: job.next_fire_time,
                    reason,
                };
                (self.head(), Err(raw))
            }
            (job, _) => (stored, job),
        }
    }

    /// A job is looked for under its uid, so that under another key it could be claimed and never settled.
    fn key_problem(&self, stored: &StoredHead) -> Option<String> {
        let uid = stored.uid.as_ref().ok()?.to_string();
        (uid != self.key).then(|| format!("the document of uid {uid} has the key {:?}", self.key))
    }

    /// The job as one that a claim leaves to others.
    pub fn declined(&self) -> Declined {
        let Index { task, v, .. } = self.index();
        let id = self.word("id").unwrap_or_default().into();
        Declined { id, task: task.into(), v: u32::try_from(v).unwrap_or_default() }
    }

    /// The open or the ended runs, as far as they can be read, and those that cannot, with the reason.
    pub(super) fn runs(&self, name: &str) -> (Vec<Run>, Vec<(Value, String)>) {
        let (mut readable, mut broken) = (Vec::new(), Vec::new());
        for value in self.list(name) {
            match self.run(value) {
                Ok(run) => readable.push(run),
                Err(reason) => broken.push((value.clone(), reason)),
            }
        }
        (readable, broken)
    }

    fn run(&self, value: &Value) -> Result<Run, String> {
        let run = run_of(value.as_object().ok_or("a run is no object")?)?;
        match self.word("uid").and_then(|uid| uid.parse::<Uid>().ok()) {
            Some(uid) if uid != run.id.uid => Err(format!("run {} is of another job", run.id.seq)),
            _ => Ok(run),
        }
    }

    /// Writes what the verbs change of a job.
    pub(super) fn put_head(&mut self, head: &Head) {
        let reason = match &head.state {
            JobState::Quarantined(reason) => Some(reason.as_str().into()),
            _ => None,
        };
        let flag = |flag: bool| flag.then_some(Value::Bool(true));
        let claim = head.claim.as_ref();
        let values: [Option<Value>; HEAD.len()] = [
            Some(head.state.as_str().into()),
            reason,
            head.next_fire_time.map(micros),
            head.due.map(micros),
            head.last_end.map(micros),
            flag(head.blocked),
            flag(head.claim_is_stale),
            Some(head.revision.into()),
            Some(head.fence.into()),
            Some(head.settled_fence.into()),
            Some(head.last_seq.into()),
            claim.map(|claim| claim.owner.as_str().into()),
            claim.map(|claim| micros(claim.until)),
            Some(totals_fields(&head.totals).into()),
            head.retained_until.map(micros),
        ];
        for (name, value) in HEAD.into_iter().zip(values) {
            self.put(name, value);
        }
    }

    /// Takes an unreadable job out of the claims' way. A finished job stays finished: its id may already belong to a new one.
    pub(super) fn put_quarantine(&mut self, reason: &str, is_live: bool) {
        if is_live {
            self.put("state", Some("quarantined".into()));
        }
        self.put("reason", Some(reason.into()));
        for name in ["due", "owner", "claim_until"] {
            self.put(name, None);
        }
    }

    /// Marks the job as finished: the next claim deletes it, should that not happen before.
    pub(super) fn put_finished(&mut self, now: DateTime<Utc>) {
        self.put("due", Some(micros(now)));
        self.put(RUNS, None);
        self.put(ENDED, None);
    }

    /// Writes the definition, given as text too.
    pub(super) fn define(&mut self, body: &JobBody, text: &str) {
        self.put("body", Some(text.into()));
        self.put("task", Some(body.task.as_str().into()));
        self.put("v", Some(body.v.into()));
        self.put("max_instances", Some(body.options.max_instances.get().into()));
        self.put("history", Some(body.options.history.into()));
        self.put("retention", retention_column(body.options.retention).map(Into::into));
    }

    /// Writes a list, which goes if it is empty.
    pub(super) fn put_list(&mut self, name: &str, values: Vec<Value>) {
        self.put(name, (!values.is_empty()).then_some(Value::Array(values)));
    }

    fn list(&self, name: &str) -> &[Value] {
        self.fields.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn put(&mut self, name: &str, value: Option<Value>) {
        match value {
            Some(value) => self.fields.insert(name.to_owned(), value),
            None => self.fields.remove(name),
        };
    }

    fn word(&self, name: &str) -> Option<String> {
        match self.fields.get(name) {
            None if name == "uid" => Some(self.key.clone()),
            value => Some(value?.as_str()?.to_owned()),
        }
    }

    fn time(&self, name: &str) -> Option<DateTime<Utc>> {
        self.fields.get(name).and_then(whole).and_then(DateTime::from_timestamp_micros)
    }
}

/// A run as an object.
pub fn run_fields(run: &Run) -> Map<String, Value> {
    let (state, wait, verdict) = match run.state {
        RunState::Waiting(wait) => ("waiting", Some(wait.as_str().into()), None),
        RunState::Running => ("running", None, None),
        RunState::Ended(verdict) => ("ended", None, Some(verdict.as_str().into())),
    };
    let values: [Option<Value>; RUN.len()] = [
        Some(run.id.uid.to_string().into()),
        Some(run.id.seq.into()),
        Some(micros(run.fire_time)),
        run.first.map(micros),
        run.count.map(Into::into),
        Some(state.into()),
        wait,
        verdict,
        Some(run.attempt.into()),
        Some(run.takeovers.into()),
        Some(micros(run.due)),
        run.owner.as_ref().map(|owner| owner.as_str().into()),
        Some(run.fence.into()),
        run.cancel_requested.then_some(Value::Bool(true)),
        run.started.map(micros),
        run.ended.map(micros),
        run.duration.map(|it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX).into()),
        run.error.as_deref().map(Into::into),
        encode_errors(&run.errors).map(Into::into),
        run.output.as_ref().map(|output| output.text().into()),
    ];
    object(RUN.into_iter().zip(values))
}

/// Reads what [`run_fields`] writes.
///
/// # Errors
///
/// What is wrong with it.
pub fn run_of(fields: &Map<String, Value>) -> Result<Run, String> {
    decode_run(&RunColumns(fields))
}

/// A node as an object: `id`, `lease_until` (none once another node has begun to take it over), `last_claim_seq`, and `info`, the text
/// of what it says of itself.
pub fn node_fields(node: &Node) -> Map<String, Value> {
    object([
        ("id", Some(node.id.as_str().into())),
        ("lease_until", node.lease_until.map(micros)),
        ("last_claim_seq", Some(node.last_claim_seq.into())),
        ("info", node.info.as_deref().map(Into::into)),
    ])
}

/// Reads what [`node_fields`] writes. What cannot be read of a node counts as that of one whose lease has passed.
pub fn node_of(id: impl Into<NodeId>, version: u64, fields: &Map<String, Value>) -> Node {
    let number = |name: &str| fields.get(name).and_then(whole);
    Node {
        id: id.into(),
        lease_until: number("lease_until").and_then(DateTime::from_timestamp_micros),
        last_claim_seq: number("last_claim_seq").and_then(|it| u64::try_from(it).ok()).unwrap_or_default(),
        version,
        info: fields.get("info").and_then(Value::as_str).map(Arc::from),
    }
}

/// The JSON text of an object.
pub fn text(fields: &Map<String, Value>) -> String {
    json!(fields).to_string()
}

/// An object of the fields that have a value.
fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Option<Value>)>) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn totals_fields(totals: &Totals) -> Map<String, Value> {
    let counted = Verdict::ALL.into_iter().filter(|verdict| totals.of(*verdict) > 0);
    object(counted.map(|verdict| (verdict.as_str(), Some(totals.of(verdict).into()))))
}

fn micros(time: DateTime<Utc>) -> Value {
    time.timestamp_micros().into()
}

/// A whole number, also where a database or another program knows fractions only, or a truth value.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(is_true) => Some(i64::from(*is_true)),
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole_float)),
        _ => None,
    }
}

/// Up to 2⁵³, beyond which a fraction has lost digits.
fn whole_float(float: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}

/// A document by the columns that `decode_head` and `decode_job` read.
struct JobColumns<'a>(&'a Document);

/// The columns before those of [`HEAD`]; documents have no other name than their key, so that the first is none.
const FIRST: [&str; BEFORE_HEAD] = ["", "history", "retention", "uid", "id", "task"];

impl JobColumns<'_> {
    fn name(at: usize) -> &'static str {
        let names = FIRST.iter().chain(&HEAD).chain(&DEFINITION);
        names.copied().nth(at).unwrap_or_default()
    }
}

impl Columns for JobColumns<'_> {
    fn integer(&self, at: usize) -> Result<Option<i64>, Unreadable> {
        match (Self::name(at), self.0.fields.get(Self::name(at))) {
            ("history", None | Some(Value::Null)) => Ok(Some(100)),
            (_, value) => integer(value),
        }
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, Unreadable> {
        let bytes = bytes(self.0.fields.get(Self::name(at)))?;
        Ok(bytes.or_else(|| match Self::name(at) {
            "uid" => Some(self.0.key.clone().into_bytes()),
            "state" => Some(b"active".to_vec()),
            "totals" => Some(b"{}".to_vec()),
            _ => None,
        }))
    }
}

struct RunColumns<'a>(&'a Map<String, Value>);

impl RunColumns<'_> {
    fn value(&self, at: usize) -> Option<&Value> {
        self.0.get(*RUN.get(at)?)
    }
}

impl Columns for RunColumns<'_> {
    fn integer(&self, at: usize) -> Result<Option<i64>, Unreadable> {
        integer(self.value(at))
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, Unreadable> {
        bytes(self.value(at))
    }
}

fn integer(value: Option<&Value>) -> Result<Option<i64>, Unreadable> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => whole(value).map(Some).ok_or(Unreadable),
    }
}

/// A text, or the text of an object: the definition and the totals may be either.
fn bytes(value: Option<&Value>) -> Result<Option<Vec<u8>>, Unreadable> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone().into_bytes())),
        Some(Value::Object(fields)) => Ok(Some(text(fields).into_bytes())),
        Some(_) => Err(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, Utc};
    use scheduler_core::{
        AttemptError, BODY_VERSION, JobBody, JobRow, JobState, NodeId, Run, RunId, RunOutput, RunState, Totals, Uid,
        Verdict, Wait,
    };
    use serde_json::{Value, json};

    use super::{Document, RUNS, node_fields, node_of, run_fields, run_of};
    use crate::kit::backend::{NewJob, Node};

    fn time(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_795_251_600_000_001 + micros).unwrap()
    }

    fn row() -> JobRow {
        let trigger = json!({ "type": "date", "at": "2026-11-21T09:00:00Z" });
        let body: JobBody =
            serde_json::from_value(json!({ "v": BODY_VERSION, "task": "task", "trigger": trigger })).unwrap();
        JobRow {
            uid: Uid(7),
            id: "report".into(),
            body,
            state: JobState::Quarantined("its trigger fails".to_owned()),
            next_fire_time: Some(time(0)),
            due: None,
            last_end: Some(time(2)),
            blocked: true,
            revision: 0,
            fence: 0,
            last_seq: 0,
            totals: Totals::from_counts([1, 2, 3, 4, 5, 6, 7, 8]),
        }
    }

    fn run(state: RunState) -> Run {
        Run {
            first: Some(time(3)),
            count: Some(4),
            attempt: 5,
            takeovers: 2,
            due: time(6),
            owner: Some("node \"a\"".into()),
            fence: 7,
            cancel_requested: true,
            started: Some(time(8)),
            ended: Some(time(9)),
            duration: Some(Duration::from_micros(10)),
            error: Some("no\nluck".to_owned()),
            errors: vec![AttemptError { attempt: 1, error: "no \"paper\"".to_owned(), at: time(11) }],
            output: Some(RunOutput::Json("[1,\"ü\"]".to_owned())),
            ..Run::new(RunId { uid: Uid(7), seq: 11 }, time(12), state)
        }
    }

    #[test]
    fn a_job_is_read_as_it_was_written() {
        let row = row();
        let written = Document::inserted(&NewJob { row: &row, body: &serde_json::to_string(&row.body).unwrap() });
        let read = Document::parse(written.key.clone(), written.version, written.text().as_bytes());
        assert_eq!(read, written);
        assert_eq!(read.job().1.unwrap(), row);
    }

    #[test]
    fn a_run_is_read_as_it_was_written() {
        let states = [RunState::Waiting(Wait::Orphan), RunState::Running, RunState::Ended(Verdict::Lost)];
        for run in states.map(run).into_iter().chain([Run::new(RunId { uid: Uid(1), seq: 1 }, time(0), states[1])]) {
            assert_eq!(run_of(&run_fields(&run)).unwrap(), run);
        }
    }

    #[test]
    fn a_node_is_read_as_it_was_written() {
        for lease_until in [None, Some(time(0))] {
            let info = Some(r#"{"host":"web-3"}"#.into());
            let node = Node { id: "a".into(), lease_until, last_claim_seq: 5, version: 6, info };
            assert_eq!(node_of("a", 6, &node_fields(&node)), node);
        }
    }

    #[test]
    fn a_document_of_another_program_needs_few_fields() {
        let body =
            r#"{"v": 1, "task": "task", "args": 1e400, "trigger": {"type": "date", "at": "2026-11-21T09:00:00Z"}}"#;
        let foreign = json!({ "id": "report", "body": body, "task": "task", "v": 1.0, "due": 1_795_251_600_000_001_i64,
            "blocked": null, "colour": "red" });
        let key = Uid(7).to_string();
        let read = Document::parse(key.as_str(), 3, foreign.to_string().as_bytes());
        let (stored, job) = read.job();
        let reason = job.unwrap_err().reason;
        assert!(reason.contains("number out of range"), "{reason}");
        assert_eq!((stored.uid.unwrap(), stored.head.state, stored.history), (Uid(7), JobState::Active, 100));
        let index = read.index();
        assert_eq!((index.live_id, index.due, index.v), (Some("report".into()), Some(time(0)), 1));
    }

    #[test]
    fn what_is_no_document_is_an_unreadable_job() {
        for text in ["", "[]", "7", "{\"id\": "] {
            let read = Document::parse(Uid(7).to_string(), 1, text.as_bytes());
            let raw = read.job().1.unwrap_err();
            assert_eq!((raw.body.as_str(), raw.reason.is_empty()), (text, false));
        }
    }

    #[test]
    fn fields_of_other_types_are_reasons() {
        for (name, value) in [("due", json!("soon")), ("state", json!(7)), ("totals", json!([])), ("fence", json!(-1))]
        {
            let mut document = Document::inserted(&NewJob { row: &row(), body: &json!(row().body).to_string() });
            document.fields.insert(name.to_owned(), value);
            let reason = document.job().1.unwrap_err().reason;
            assert!(reason.contains(name), "{reason}");
        }
    }

    #[test]
    fn a_document_is_found_by_its_running_nodes() {
        let mut document = Document::inserted(&NewJob { row: &row(), body: "{}" });
        let mut other = run(RunState::Running);
        (other.owner, other.cancel_requested) = (Some("b".into()), false);
        let waiting = Run { owner: Some("c".into()), ..run(RunState::Waiting(Wait::Retry)) };
        let runs = [run(RunState::Running), other, waiting];
        document.put_list(RUNS, runs.iter().map(|run| Value::Object(run_fields(run))).collect());
        let index = document.index();
        assert_eq!(index.running, ["b", "node \"a\""].map(NodeId::from).into());
        assert_eq!(index.stopping, ["node \"a\""].map(NodeId::from).into());
        assert_eq!(document.runs(RUNS).0, runs);
    }
}
