//! From started to ended, or to the next attempt.
//!
//! ```text
//! finished run 7: ok
//!   → store turn: record run 7: ok
//!   ← done
//!   → notify executed
//!
//! finished run 8: error
//!   → store turn: record run 8: retry, due 10:00:10
//!   ← done
//!   → notify retried
//! ```
//!
//! A run that is repeated waits in the store, and starts by a claim like any other. Reports wait while others are on their way,
//! so that many ends share a call; they wait for nothing else.
//!
//! What has ended here is over for this node at once: a claim whose answer counts it as running was asked before the store
//! had the report, and its slot is free.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    Engine,
    store_state::{Stop, failure_of},
};
use crate::{
    EventKind, JobRef, Now, Outcome, Removal, RunId, RunRef, StoreName, Tags, Verdict,
    store::{Record, RecordOutcome, Recorded, RunReport, Turn},
};

impl Engine {
    pub(super) fn on_finished(&mut self, now: Now, run: RunId, outcome: Outcome) {
        self.free_slot(run);
        self.end(now, run, outcome);
    }

    pub(super) fn end(&mut self, now: Now, run: RunId, outcome: Outcome) {
        if let Some(state) = self.stores.iter_mut().find(|state| state.runs.active.contains_key(&run)) {
            state.end(now, run, outcome);
        }
    }

    /// Reports what has ended, or gives a sign of life.
    pub(super) fn record_if_needed(&mut self, now: Now, index: usize) {
        if let Some(record) = self.next_record(now, index) {
            self.send_turn(
                now.monotonic,
                self.stores[index].name.clone(),
                Arc::new(Turn { record: Some(record), ..Turn::default() }),
            );
        }
    }

    /// The reports that are to be sent now, which may be none with a sign of life.
    pub(super) fn next_record(&mut self, now: Now, index: usize) -> Option<Record> {
        let state = &mut self.stores[index];
        let entries = state.next_reports(now)?;
        state.reports.sign_at = now.monotonic.saturating_add(self.config.third_of_lease());
        Some(Record { at: state.clock.time(now), owner: self.config.node.clone(), lease: self.config.lease, entries })
    }

    pub(super) fn on_recorded(
        &mut self,
        now: Now,
        store: &StoreName,
        record: &Record,
        sent: Duration,
        recorded: Recorded,
    ) {
        let Some(state) = self.store_state(store) else {
            return;
        };
        state.reports.note_answered();
        state.clock.note(now, sent, recorded.now);
        state.claims.note_due(recorded.next_due);
        let mut removed = BTreeSet::new();
        for (entry, outcome) in record.entries.iter().zip(recorded.outcomes) {
            let Some(state) = self.store_state(store) else {
                return;
            };
            // A run that was given back unstarted is not active under this fence, and no event has told of it.
            if state.runs.active.get(&entry.run).is_none_or(|active| active.fence != entry.fence) {
                continue;
            }
            if state.claims.is_in_flight && outcome == RecordOutcome::Done {
                state.reports.confirmed.insert(entry.run, entry.fence);
            }
            let Some(active) = state.runs.active.remove(&entry.run) else {
                continue;
            };
            if active.is_removed {
                removed.insert(active.run.job.uid);
            }
            let (is_removed, is_written, is_ended) =
                (active.is_removed, outcome.is_written(), outcome == RecordOutcome::Ended);
            let kind = match active.ended {
                Some((outcome, duration)) if is_written => match (&entry.report, failure_of(&outcome)) {
                    (RunReport::End { verdict: Verdict::Lost, .. }, _) => EventKind::RunLost(active.run),
                    (RunReport::End { .. }, _) => event_of(active.run, outcome, duration),
                    // In a job that was removed before, nothing is repeated.
                    (RunReport::Retry { .. }, Some((_, error))) if is_ended => {
                        EventKind::RunError { run: active.run, error, duration }
                    }
                    // This node has removed the job since, and has told of the end of what waited.
                    (RunReport::Retry { .. }, Some(_)) if is_removed => continue,
                    (RunReport::Retry { due, .. }, Some((_, error))) => {
                        EventKind::RunRetried { run: active.run, error, duration, due: *due }
                    }
                    (RunReport::Release, _) => EventKind::RunGivenBack(active.run),
                    (RunReport::Retry { .. }, None) => EventKind::RunTakenAway(active.run),
                },
                _ => EventKind::RunTakenAway(active.run),
            };
            self.notify(now, kind);
        }
        for (uid, id) in recorded.over.into_iter().filter(|(uid, _)| !removed.contains(uid)) {
            let job = JobRef { store: store.clone(), id, uid, tags: Tags::default() };
            self.notify(now, EventKind::JobRemoved { job, reason: Removal::Finished });
        }
        for run in recorded.cancel {
            self.cancel_if_active(store, run, Stop::Asked);
        }
        self.on_hold(store, sent, recorded.hold);
    }
}

fn event_of(run: RunRef, outcome: Outcome, duration: Duration) -> EventKind {
    match outcome {
        Outcome::Ok(output) => EventKind::RunExecuted { run, output, duration },
        Outcome::Error(error) => EventKind::RunError { run, error, duration },
        Outcome::Panicked(message) => EventKind::RunError { run, error: format!("panicked: {message}"), duration },
        Outcome::Crashed(how) => EventKind::RunError { run, error: format!("crashed: {how}"), duration },
        Outcome::Cancelled => EventKind::RunCancelled(run),
        Outcome::TimedOut(_) => EventKind::RunTimeout { run, duration },
    }
}
