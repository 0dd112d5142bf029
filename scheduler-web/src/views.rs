//! Jobs and runs as they are shown: what is hidden is left out here, for pages and API alike.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use scheduler_core::{
    Answer, Explanation, JobOptions, JobState, Pause, RawJob, Run, RunOutput, RunState, StoreName, Tags, Verdict,
    store::{FoundRun, JobStateKind, NodeRow},
};
use scheduler_runtime::{Health, Job};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::access::Hidden;

/// A job.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct JobView {
    pub(crate) id: String,
    pub(crate) store: String,
    pub(crate) name: String,
    pub(crate) task: String,
    /// Null as well if they are hidden.
    pub(crate) args: Value,
    pub(crate) args_hidden: bool,
    /// As text, which can be given back.
    pub(crate) trigger: String,
    pub(crate) trigger_in_words: String,
    #[serde(serialize_with = "zone_name")]
    pub(crate) zone: Option<Tz>,
    pub(crate) executor: String,
    pub(crate) tags: Tags,
    pub(crate) meta: Value,
    pub(crate) options: JobOptions,
    /// `active`, `paused`, `kept` or `quarantined`; or `finished`, which is found if it is asked for.
    pub(crate) state: &'static str,
    /// Why it is put aside.
    pub(crate) reason: Option<String>,
    pub(crate) pause: Option<Pause>,
    pub(crate) next_fire_time: Option<DateTime<Utc>>,
    pub(crate) last_end: Option<DateTime<Utc>>,
    /// How many fire times ended in each way.
    pub(crate) totals: BTreeMap<&'static str, u64>,
}

impl JobView {
    pub(crate) fn of(job: &Job, hidden: Hidden) -> Self {
        let body = &job.body;
        let (args, meta) = match hidden.hides_arguments() {
            true => (Value::Null, Value::Null),
            false => (body.args.clone(), body.meta.clone()),
        };
        let reason = match &job.state {
            JobState::Quarantined(reason) => Some(shown_error(reason, hidden)),
            _ => None,
        };
        let counts = Verdict::ALL.into_iter().map(|verdict| (verdict.as_str(), job.totals.of(verdict)));
        Self {
            id: job.id.to_string(),
            store: job.store().to_string(),
            name: body.display_name().to_owned(),
            task: body.task.to_string(),
            args,
            args_hidden: hidden.hides_arguments(),
            trigger: body.trigger.to_string(),
            trigger_in_words: body.trigger.describe(),
            zone: body.trigger.zone(),
            executor: body.executor.to_string(),
            tags: body.tags.clone(),
            meta,
            options: body.options.clone(),
            state: JobStateKind::of(&job.state).map_or_else(|| job.state.as_str(), JobStateKind::as_str),
            reason,
            pause: job.current_pause().cloned(),
            next_fire_time: job.next_fire_time,
            last_end: job.last_end,
            totals: counts.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// How many fire times ended in this way.
    pub(crate) fn total(&self, verdict: Verdict) -> u64 {
        self.totals.get(verdict.as_str()).copied().unwrap_or(0)
    }
}

/// A run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunView {
    pub(crate) run: String,
    pub(crate) job: String,
    pub(crate) store: String,
    pub(crate) task: String,
    pub(crate) fire_time: DateTime<Utc>,
    /// The first of a range of fire times that were given up together, whose last is `fire_time`.
    pub(crate) first: Option<DateTime<Utc>>,
    /// How many fire times the range has, where that is cheap to know.
    pub(crate) count: Option<u64>,
    /// `waiting`, `running` or `ended`.
    pub(crate) state: &'static str,
    /// What it waits for.
    pub(crate) waits_for: Option<&'static str>,
    pub(crate) verdict: Option<&'static str>,
    pub(crate) attempt: u32,
    pub(crate) takeovers: u32,
    pub(crate) due: DateTime<Utc>,
    pub(crate) node: Option<String>,
    pub(crate) started: Option<DateTime<Utc>>,
    pub(crate) ended: Option<DateTime<Utc>>,
    /// Of the last attempt, in seconds.
    #[serde(serialize_with = "as_seconds")]
    pub(crate) duration: Option<Duration>,
    pub(crate) cancel_requested: bool,
    pub(crate) error: Option<String>,
    pub(crate) earlier_errors: Vec<EarlierError>,
    /// What the task returned, if its job keeps that.
    pub(crate) output: Option<Value>,
}

/// Why an earlier attempt failed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EarlierError {
    pub(crate) attempt: u32,
    pub(crate) at: DateTime<Utc>,
    pub(crate) error: String,
}

impl RunView {
    pub(crate) fn of(store: &StoreName, found: &FoundRun, hidden: Hidden) -> Self {
        let FoundRun { job, task, run } = found;
        let (state, waits_for) = match run.state {
            RunState::Waiting(wait) => ("waiting", Some(wait.as_str())),
            RunState::Running => ("running", None),
            RunState::Ended(_) => ("ended", None),
        };
        let earlier = run.errors.iter().map(|it| EarlierError {
            attempt: it.attempt,
            at: it.at,
            error: shown_error(&it.error, hidden),
        });
        Self {
            run: run.id.to_string(),
            job: job.to_string(),
            store: store.to_string(),
            task: task.to_string(),
            fire_time: run.fire_time,
            first: run.first,
            count: run.count,
            state,
            waits_for,
            verdict: run.verdict().map(Verdict::as_str),
            attempt: run.attempt,
            takeovers: run.takeovers,
            due: run.due,
            node: run.owner.as_ref().map(ToString::to_string),
            started: run.started,
            ended: run.ended,
            duration: run.duration,
            cancel_requested: run.cancel_requested,
            error: run.error.as_ref().map(|error| shown_error(error, hidden)),
            earlier_errors: earlier.collect(),
            output: output(run, hidden),
        }
    }

    /// `waiting`, `running`, or how it ended: one word for people.
    pub(crate) fn word(&self) -> &'static str {
        self.verdict.unwrap_or(self.state)
    }
}

fn output(run: &Run, hidden: Hidden) -> Option<Value> {
    let hides = hidden.hides_arguments();
    run.output.as_ref().filter(|_| !hides).map(|output| match output {
        RunOutput::Json(json) => serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.clone())),
        RunOutput::TooLarge { bytes } => Value::String(format!("not kept, since it has {bytes} bytes")),
    })
}

/// The text of an error, or that there is one.
pub(crate) fn shown_error(error: &str, hidden: Hidden) -> String {
    if hidden.hides_errors() { HIDDEN.to_owned() } else { error.to_owned() }
}

/// What is shown in the place of a text that is hidden.
const HIDDEN: &str = "(hidden)";

/// A job that is put aside.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PutAsideView {
    pub(crate) id: String,
    pub(crate) store: String,
    pub(crate) reason: String,
    /// None of a row that cannot be read.
    pub(crate) task: Option<String>,
    /// The text of a row that cannot be read, cut to 64 KiB.
    pub(crate) row: Option<String>,
    pub(crate) next_fire_time: Option<DateTime<Utc>>,
}

impl PutAsideView {
    pub(crate) fn of_job(job: JobView) -> Self {
        Self {
            id: job.id,
            store: job.store,
            reason: job.reason.unwrap_or_default(),
            task: Some(job.task),
            row: None,
            next_fire_time: job.next_fire_time,
        }
    }

    pub(crate) fn of_raw(store: &StoreName, raw: &RawJob, hidden: Hidden) -> Self {
        Self {
            id: raw.id.to_string(),
            store: store.to_string(),
            reason: shown_error(&raw.reason, hidden),
            task: None,
            row: Some(if hidden.hides_arguments() { HIDDEN.to_owned() } else { raw.body.clone() }),
            next_fire_time: raw.next_fire_time,
        }
    }
}

/// Why a job did, did not, or will (not) run at a time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ExplanationView {
    /// In a sentence.
    pub(crate) text: String,
    #[serde(flatten)]
    pub(crate) explanation: Explanation,
}

impl ExplanationView {
    pub(crate) fn of(mut explanation: Explanation, hidden: Hidden) -> Self {
        if hidden.hides_errors() {
            hide_errors(&mut explanation.answer);
        }
        Self { text: explanation.to_string(), explanation }
    }
}

fn hide_errors(answer: &mut Answer) {
    let hide = |error: &mut Option<String>| {
        if let Some(error) = error {
            HIDDEN.clone_into(error);
        }
    };
    match answer {
        Answer::Ran { error, .. } | Answer::Waiting { error, .. } => hide(error),
        Answer::Cancelled { why } => hide(why),
        Answer::Quarantined { reason } => HIDDEN.clone_into(reason),
        Answer::TriggerFailed { error } => HIDDEN.clone_into(error),
        _ => {}
    }
}

/// A node.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NodeView {
    pub(crate) id: String,
    pub(crate) store: String,
    pub(crate) host: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) lease_until: Option<DateTime<Utc>>,
    /// How many runs it has; of very many, a part.
    pub(crate) running: usize,
}

impl NodeView {
    pub(crate) fn of(store: &StoreName, node: NodeRow) -> Self {
        Self {
            id: node.id.to_string(),
            store: store.to_string(),
            host: node.info.host,
            version: node.info.version,
            labels: node.info.labels,
            lease_until: node.lease_until,
            running: node.running.len(),
        }
    }
}

/// How the scheduler is, and which nodes there are.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NodesView {
    pub(crate) health: Health,
    pub(crate) nodes: Vec<NodeView>,
    /// Why the stores do not tell of nodes, which their health does not hinder from being shown.
    pub(crate) nodes_error: Option<String>,
}

fn as_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|it| it.as_secs_f64()).serialize(serializer)
}

fn zone_name<S: Serializer>(zone: &Option<Tz>, serializer: S) -> Result<S::Ok, S::Error> {
    zone.map(Tz::name).serialize(serializer)
}
