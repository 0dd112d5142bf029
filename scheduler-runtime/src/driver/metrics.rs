//! Numbers for the recorder that the program has installed with the `metrics` crate.
//!
//! Names, labels and units are a promise, written down in [`DESCRIPTIONS`] and in the facade's documentation. No label
//! grows without bound: there are none for jobs and runs, and all closures share one task label. Values are recorded
//! where things happen, under whatever recorder is installed then.

use std::{sync::Arc, time::Duration};

use metrics::{Label, Unit, counter, gauge, histogram};
use scheduler_core::{
    Event, EventKind, ExecutorName, RunRef, RunState, StoreName, TaskName, Verdict,
    engine::{Engine, Search, Start, StoreCall, StoreReply},
    store::{RunChange, SettleOutcome, StoreError, Turn, TurnReply},
};

use super::store_call::Work;
use crate::runtime::Runtime;

const DUE: &str = "apscheduler_fire_times_due_total";
const CLAIMED: &str = "apscheduler_jobs_claimed_total";
const STARTED: &str = "apscheduler_runs_started_total";
const ENDED: &str = "apscheduler_runs_ended_total";
const RETRIED: &str = "apscheduler_runs_retried_total";
const TAKEN_AWAY: &str = "apscheduler_runs_taken_away_total";
const TAKEN_OVER: &str = "apscheduler_runs_taken_over_total";
const GIVEN_BACK: &str = "apscheduler_runs_given_back_total";
const OVERRAN: &str = "apscheduler_runs_overran_total";
const HELD_UP: &str = "apscheduler_loop_held_up_seconds";
const RUNNING: &str = "apscheduler_runs_running";
const WAITING: &str = "apscheduler_runs_waiting";
const LATENESS: &str = "apscheduler_run_lateness_seconds";
const DURATION: &str = "apscheduler_run_duration_seconds";
const STORE_CALLS: &str = "apscheduler_store_call_seconds";
const STORE_FAILURES: &str = "apscheduler_store_failures_total";
const COMMANDS: &str = "apscheduler_commands_waiting";
const EVENTS_DROPPED: &str = "apscheduler_events_dropped_total";

/// The kind of a metric.
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Each metric, its kind, its unit and what it says.
const DESCRIPTIONS: [(&str, Kind, Unit, &str); 18] = [
    (DUE, Kind::Counter, Unit::Count, "fire times that became due and were settled by this node"),
    (CLAIMED, Kind::Counter, Unit::Count, "jobs that were due and were claimed by this node"),
    (STARTED, Kind::Counter, Unit::Count, "attempts of runs that were handed to an executor"),
    (ENDED, Kind::Counter, Unit::Count, "fire times that ended, by verdict"),
    (RETRIED, Kind::Counter, Unit::Count, "attempts that failed and are repeated"),
    (TAKEN_AWAY, Kind::Counter, Unit::Count, "runs of this node that were left to others or taken over by them"),
    (TAKEN_OVER, Kind::Counter, Unit::Count, "runs that this node has taken over from nodes that died"),
    (GIVEN_BACK, Kind::Counter, Unit::Count, "runs that the shutdown of this node cut off and gave back"),
    (OVERRAN, Kind::Counter, Unit::Count, "runs that went on 10 s after their timeout"),
    (
        HELD_UP,
        Kind::Histogram,
        Unit::Seconds,
        "for how long a listener or an inline task held the loop up, if more than 1 s",
    ),
    (RUNNING, Kind::Gauge, Unit::Count, "attempts that executors have at the moment"),
    (WAITING, Kind::Gauge, Unit::Count, "runs of this node that wait until their executors have room"),
    (LATENESS, Kind::Histogram, Unit::Seconds, "from when an attempt could have started to when it did"),
    (DURATION, Kind::Histogram, Unit::Seconds, "how long the last attempt of a run took, by verdict"),
    (STORE_CALLS, Kind::Histogram, Unit::Seconds, "how long a store took to answer a call, successfully or not"),
    (STORE_FAILURES, Kind::Counter, Unit::Count, "store calls that failed"),
    (COMMANDS, Kind::Gauge, Unit::Count, "calls of the application that wait for the scheduler's loop"),
    (EVENTS_DROPPED, Kind::Counter, Unit::Count, "events that event streams dropped since their readers were behind"),
];

/// Tells the recorder what the metrics are.
pub(crate) fn describe() {
    for (name, kind, unit, description) in DESCRIPTIONS {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, unit, description),
            Kind::Gauge => metrics::describe_gauge!(name, unit, description),
            Kind::Histogram => metrics::describe_histogram!(name, unit, description),
        }
    }
}

/// An attempt is handed to its executor.
pub(super) fn on_start(start: &Start, lateness: impl FnOnce() -> Duration) {
    let labels =
        vec![label("store", &start.store), label("executor", &start.executor), label("task", task(&start.task))];
    counter!(STARTED, labels.clone()).increment(1);
    histogram!(LATENESS, labels).record(lateness());
}

/// An event is told.
pub(super) fn on_event(event: &Event) {
    match &event.kind {
        EventKind::RunExecuted { run, duration, .. } => on_end(run, Verdict::Ok, Some(*duration)),
        EventKind::RunError { run, duration, .. } => on_end(run, Verdict::Error, Some(*duration)),
        EventKind::RunTimeout { run, duration } => on_end(run, Verdict::Timeout, Some(*duration)),
        EventKind::RunLost(run) => on_end(run, Verdict::Lost, None),
        EventKind::RunCancelled(run) => on_end(run, Verdict::Cancelled, None),
        EventKind::RunCoalesced(run) => on_end(run, Verdict::Coalesced, None),
        EventKind::RunMissed(run) => on_end(run, Verdict::Missed, None),
        EventKind::RunSkipped(run) => on_end(run, Verdict::Skipped, None),
        EventKind::RunRetried { run, .. } => counter!(RETRIED, labels_of(run)).increment(1),
        EventKind::RunTakenOver(run) => counter!(TAKEN_OVER, labels_of(run)).increment(1),
        EventKind::RunGivenBack(run) => counter!(GIVEN_BACK, labels_of(run)).increment(1),
        EventKind::RunOverran { run, .. } => counter!(OVERRAN, labels_of(run)).increment(1),
        EventKind::RunTakenAway(run) => counter!(TAKEN_AWAY, labels_of(run)).increment(1),
        _ => {}
    }
}

fn on_end(run: &RunRef, verdict: Verdict, duration: Option<Duration>) {
    let mut labels = labels_of(run);
    labels.push(Label::from_static_parts("verdict", verdict.as_str()));
    counter!(ENDED, labels.clone()).increment(run.count.unwrap_or(1));
    if let Some(duration) = duration {
        histogram!(DURATION, labels).record(duration);
    }
}

/// The loop has done what there was to do, but for the calls of the application that have come meanwhile.
pub(super) fn on_idle(engine: &Engine, commands: usize) {
    gauge!(COMMANDS).set(commands as f64);
    for (store, runs) in engine.waiting() {
        gauge!(WAITING, vec![label("store", store)]).set(runs as f64);
    }
}

/// The loop was held up.
pub(super) fn on_held_up(duration: Duration) {
    histogram!(HELD_UP).record(duration);
}

/// A stream has dropped an event.
pub(crate) fn on_event_dropped() {
    counter!(EVENTS_DROPPED).increment(1);
}

/// Counts as an attempt that its executor has, as long as it lives.
pub(super) struct Running(ExecutorName);

impl Running {
    pub(super) fn on(executor: &ExecutorName) -> Self {
        gauge!(RUNNING, vec![label("executor", executor)]).increment(1);
        Self(executor.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        gauge!(RUNNING, vec![label("executor", &self.0)]).decrement(1);
    }
}

/// Times a store call, and counts what a turn has led to.
pub(super) struct Probe {
    runtime: Arc<dyn Runtime>,
    store: StoreName,
    verb: &'static str,
    turn: Option<Arc<Turn>>,
}

impl Probe {
    pub(super) fn on(runtime: &Arc<dyn Runtime>, store: &StoreName, call: &StoreCall) -> Self {
        let turn = match call {
            StoreCall::Turn(turn) => Some(Arc::clone(turn)),
            _ => None,
        };
        Self { runtime: Arc::clone(runtime), store: store.clone(), verb: verb(call), turn }
    }

    pub(super) fn measure(self, work: Work) -> Work {
        Box::pin(async move {
            let sent = self.runtime.now().monotonic;
            let result = work.await;
            self.on_answer(self.runtime.now().monotonic.saturating_sub(sent), &result);
            result
        })
    }

    fn on_answer(&self, took: Duration, result: &Result<StoreReply, StoreError>) {
        let labels = || vec![label("store", &self.store), Label::from_static_parts("verb", self.verb)];
        // A question for changes waits for one, which says nothing about the store.
        if self.verb != CHANGED {
            histogram!(STORE_CALLS, labels()).record(took);
        }
        match (result, &self.turn) {
            (Err(_), _) => counter!(STORE_FAILURES, labels()).increment(1),
            (Ok(StoreReply::Turn(reply)), Some(turn)) => on_turn(&self.store, turn, reply),
            _ => {}
        }
    }
}

fn on_turn(store: &StoreName, turn: &Turn, reply: &TurnReply) {
    let labels = || vec![label("store", store)];
    if let (Some(settle), Some(settled)) = (&turn.settle, &reply.settle) {
        let applied = settle.moves.iter().zip(&settled.outcomes);
        let applied = applied.filter(|(_, outcome)| matches!(outcome, SettleOutcome::Applied { .. }));
        let due: u64 = applied.flat_map(|(to, _)| &to.runs).map(fire_times).sum();
        counter!(DUE, labels()).increment(due);
    }
    if let Some(claimed) = &reply.claim {
        counter!(CLAIMED, labels()).increment(claimed.jobs.len() as u64);
    }
}

/// How many fire times a change settles.
fn fire_times(change: &RunChange) -> u64 {
    match change {
        RunChange::Insert(run) if matches!(run.state, RunState::Ended(_)) => run.count.unwrap_or(1),
        RunChange::Insert(_) => 1,
        RunChange::Start { .. } | RunChange::End { .. } | RunChange::Cancel { .. } => 0,
    }
}

const CHANGED: &str = "changed";

fn verb(call: &StoreCall) -> &'static str {
    match call {
        StoreCall::Insert(..) => "insert",
        StoreCall::Update(..) => "update",
        StoreCall::Cancel(..) => "cancel",
        StoreCall::Remove(..) => "remove",
        StoreCall::RemoveAll(_) => "remove_all",
        StoreCall::Job(_) => "job",
        StoreCall::Jobs(_) => "jobs",
        StoreCall::Runs(_) => "runs",
        StoreCall::Search(search) => match search {
            Search::Jobs(_) => "search_jobs",
            Search::Counts(_) => "count_jobs",
            Search::Runs(_) => "search_runs",
            Search::Nodes => "nodes",
            Search::KeyLimits(_) => "key_limits",
        },
        StoreCall::Turn(_) => "turn",
        StoreCall::SetKeyLimit(..) => "set_key_limit",
        StoreCall::Release(..) => "release",
        StoreCall::Changed(_) => CHANGED,
    }
}

fn labels_of(run: &RunRef) -> Vec<Label> {
    vec![label("store", &run.job.store), label("task", task(&run.task))]
}

fn label(key: &'static str, value: impl AsRef<str>) -> Label {
    Label::new(key, value.as_ref().to_owned())
}

/// The task as a label: each closure has a name of its own, of which there may be any number.
fn task(name: &TaskName) -> &str {
    match name.as_str() {
        name if name.starts_with("closure#") => "closure",
        name => name,
    }
}
