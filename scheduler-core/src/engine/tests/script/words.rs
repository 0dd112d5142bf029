//! Effects as short lines.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use crate::{
    Event, EventKind, JobId, JobState, Outdated, Run, RunId, RunRef, RunState, Uid, Wait,
    engine::{Effect, Reply, StoreCall},
    store::{Adopt, Entry, Move, RunChange, RunReport, Turn},
};

use super::{Script, at};

impl Script {
    pub(super) fn line(&self, effect: &Effect) -> String {
        match effect {
            Effect::Store(_, store, call) => format!("→ {}{}", of(store.as_str()), self.call(call)),
            Effect::Start(start) => format!("→ start {} attempt {}", self.run(start.run), start.attempt),
            Effect::Cancel(run) => format!("→ cancel {}", self.run(*run)),
            Effect::Reply(_, Ok(reply)) => format!("→ reply {}", reply_words(reply)),
            Effect::Reply(_, Err(error)) => format!("→ reply {:?}: {error}", error.kind()),
            Effect::Notify(event) => format!("→ notify {}", self.event(event)),
        }
    }

    fn call(&self, call: &StoreCall) -> String {
        match call {
            StoreCall::Insert(_, rows) => {
                let rows = rows.iter().map(|row| {
                    let state = if row.state == JobState::Active { "" } else { " paused" };
                    format!("{}{state}{}", row.id, next(row.next_fire_time))
                });
                format!("insert {}", rows.collect::<Vec<_>>().join(", "))
            }
            StoreCall::Update(_, update) => {
                let mut line =
                    format!("update {} @ {}: {}", self.name(update.uid), update.revision, update.state.as_str());
                line += &next(update.next_fire_time);
                if update.due != update.next_fire_time {
                    line += &format!(" due {}", update.due.map_or_else(|| "never".into(), seconds));
                }
                for run in &update.runs {
                    line += &format!(", {}", inserted(run));
                }
                line
            }
            StoreCall::Cancel(_, id, run) => format!("cancel #{} of {id}", run.seq),
            StoreCall::Remove(_, ids) => format!("remove {}", ids[0]),
            StoreCall::RemoveAll(_) => "remove all".into(),
            StoreCall::SetKeyLimit(_, key, limit) => format!("limit {key} to {limit:?}"),
            StoreCall::Job(id) => format!("read {id}"),
            StoreCall::Jobs(_) => "list jobs".into(),
            StoreCall::Runs(_) => "list runs".into(),
            StoreCall::Search(search) => format!("search {search:?}"),
            StoreCall::Turn(turn) => self.turn(turn),
            StoreCall::Release(..) => "release".into(),
            StoreCall::Changed(seen) => format!("changed after {seen}"),
        }
    }

    fn turn(&self, turn: &Turn) -> String {
        let mut parts = Vec::new();
        if let Some(record) = &turn.record {
            let entries = record.entries.iter().map(|entry| self.entry(entry));
            let entries = entries.collect::<Vec<_>>().join(", ");
            parts.push(if entries.is_empty() { "life sign".to_owned() } else { format!("record {entries}") });
        }
        if let Some(settle) = &turn.settle {
            let moves = settle.moves.iter().map(|to| format!("{}:{}", self.name(to.uid), move_words(to)));
            parts.push(format!("settle {}", moves.collect::<Vec<_>>().join("; ")));
        }
        if let Some(claim) = &turn.claim {
            parts.push(if claim.adopt != Adopt::Nothing { "claim and adopt".into() } else { "claim".into() });
        }
        parts.join(" | ")
    }

    fn entry(&self, entry: &Entry) -> String {
        let report = match &entry.report {
            RunReport::End { verdict, output: Some(output), .. } => format!("{verdict} {}", output.text()),
            RunReport::End { verdict, .. } => verdict.to_string(),
            RunReport::Retry { .. } => "retry".into(),
            RunReport::Release => "given back".into(),
        };
        format!("{} {report}", self.run(entry.run))
    }

    fn event(&self, event: &Event) -> String {
        let run = |word: &str, run: &RunRef| format!("{word} {}", self.run(run.run));
        match &event.kind {
            EventKind::JobAdded(job) => format!("added {}", job.id),
            EventKind::JobModified(job) => format!("modified {}", job.id),
            EventKind::JobRemoved { job, reason } => format!("removed {} {reason:?}", job.id),
            EventKind::JobQuarantined { job, reason, .. } => format!("quarantined {job}: {reason}"),
            EventKind::JobWaiting { job, key } => format!("waiting {} for {key}", job.id),
            EventKind::JobDeclined { job, reason, .. } => format!("declined {job}: {reason}"),
            EventKind::RunSubmitted(it) => run("submitted", it),
            EventKind::RunQueued(it) => run("queued", it),
            EventKind::RunExecuted { run: it, .. } => run("executed", it),
            EventKind::RunError { run: it, error, .. } => format!("{}: {error}", run("error", it)),
            EventKind::RunTimeout { run: it, .. } => run("timeout", it),
            EventKind::RunRetried { run: it, error, due, .. } => {
                format!("{} due {}: {error}", run("retried", it), seconds(*due))
            }
            EventKind::RunCancelled(it) => run("cancelled", it),
            EventKind::RunLost(it) => run("lost", it),
            EventKind::RunCoalesced(it) => run("coalesced", it),
            EventKind::RunMissed(it) => run("missed", it),
            EventKind::RunSkipped(it) => run("skipped", it),
            EventKind::RunTakenOver(it) => run("taken over", it),
            EventKind::RunOverran { run: it, .. } => run("overran", it),
            EventKind::RunTakenAway(it) => run("taken away", it),
            EventKind::RunGivenBack(it) => run("given back", it),
            EventKind::FireTimeCorrected { job, outdated } => {
                let (id, kept, right) = (&job.id, seconds(outdated.kept()), seconds(outdated.right()));
                match outdated {
                    Outdated::ClockWasAhead { .. } => format!("corrected {id} (clock was ahead): {kept} to {right}"),
                    Outdated::OtherZoneRules { .. } => format!("corrected {id} (other zone rules): {kept} to {right}"),
                    Outdated::LateByOtherZoneRules { .. } => {
                        format!("late {id} (other zone rules): {kept} instead of {right}")
                    }
                }
            }
            EventKind::ClockStepped { clock, by } => {
                let by = by.num_microseconds().unwrap() as f64 / 1e6;
                format!("clock of {clock:?} stepped {by:+}s")
            }
            EventKind::StoreRecovered(_) => "store recovered".into(),
            EventKind::StoreFailed { error, retry_in, .. } => match retry_in {
                Some(pause) => format!("store failed, again in {pause:?}: {error}"),
                None => format!("store failed for good: {error}"),
            },
            kind => format!("{kind:?}"),
        }
    }

    fn run(&self, run: RunId) -> String {
        format!("{}#{}", self.name(run.uid), run.seq)
    }

    fn name(&self, uid: Uid) -> &str {
        self.names.get(&uid).map_or("?", JobId::as_str)
    }
}

/// The store, unless it is the one that every script has.
fn of(store: &str) -> String {
    if store == "default" { String::new() } else { format!("{store}: ") }
}

pub(crate) fn seconds(time: DateTime<Utc>) -> String {
    format!("{:+}s", (time - at(0.0)).num_microseconds().unwrap() as f64 / 1e6)
}

fn next(time: Option<DateTime<Utc>>) -> String {
    time.map_or(String::new(), |time| format!(" next {}", seconds(time)))
}

/// Where a job goes, as in ` #7 +10s starts, next +20s`.
pub(crate) fn move_words(to: &Move) -> String {
    let mut line = String::new();
    for change in &to.runs {
        line += &format!(" {},", change_words(change));
    }
    if to.state != JobState::Active {
        line += &format!(" {}", to.state.as_str());
    }
    line += &next(to.next_fire_time);
    if to.due != to.next_fire_time {
        line += &format!(" due {}", to.due.map_or_else(|| "never".into(), seconds));
    }
    if to.blocked {
        line += " blocked";
    }
    line
}

/// A change of a run, as in `run 7 starts`.
fn change_words(change: &RunChange) -> String {
    match change {
        RunChange::Insert(run) => inserted(run),
        RunChange::Start { seq, attempt } => format!("#{seq} starts, attempt {attempt}"),
        RunChange::End { seq, verdict, .. } => format!("#{seq} {verdict}"),
        RunChange::Cancel { seq } => format!("#{seq} is to stop"),
    }
}

fn inserted(run: &Run) -> String {
    let mut line = format!("#{} ", run.id.seq);
    if let Some(first) = run.first {
        write!(line, "{}..", seconds(first)).unwrap();
    }
    line += &seconds(run.fire_time);
    if let Some(count) = run.count {
        write!(line, " ({count})").unwrap();
    }
    match run.state {
        RunState::Running => line += " starts",
        RunState::Waiting(Wait::Queued) => line += " queued",
        RunState::Waiting(Wait::Requested) => line += " asked for",
        RunState::Waiting(_) => line += " waits",
        RunState::Ended(verdict) => write!(line, " {verdict}").unwrap(),
    }
    line
}

fn reply_words(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".into(),
        Reply::State(state) => format!("{state:?}"),
        Reply::Health(health) => {
            let stores: Vec<_> = health.stores.iter().map(|store| store.name.as_str()).collect();
            format!("health of {}", stores.join(", "))
        }
        Reply::Added(results) => {
            let results = results.iter().map(|result| match result {
                Ok(job) => format!("added {}", job.id),
                Err(error) => format!("{:?}: {error}", error.kind()),
            });
            results.collect::<Vec<_>>().join(", ")
        }
        Reply::Job(_, job) => format!("job {}", job.id),
        Reply::Found(found) => format!("found {}", found.as_ref().map_or("none", |(_, job)| job.id.as_str())),
        Reply::Run(run) => format!("run #{}", run.seq),
        Reply::Jobs(jobs) => format!("{} jobs", jobs.len()),
        Reply::Runs(runs) => format!("{} runs", runs.len()),
        Reply::Searched(found) => format!("found {found:?}"),
        Reply::Stores(stores) => stores.iter().map(|store| store.as_str()).collect::<Vec<_>>().join(", "),
        Reply::Count(count) => format!("{count}"),
        Reply::Engine(_) => "an engine".into(),
    }
}
