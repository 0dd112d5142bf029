//! From started to ended.
//!
//! ```text
//! finished run 7: ok
//!   → store turn: record run 7: ok
//!   ← done
//!   → notify executed
//! ```
//!
//! Reports wait while others are on their way, so that many ends share a call; they wait for nothing else.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    Engine,
    contact::{Contact, Stop},
};
use crate::{
    Delivery, EventKind, JobRef, Now, Outcome, Removal, Run, RunId, RunRef, StoreName, Verdict,
    store::{Entry, Record, RecordOutcome, Recorded, RunReport, Turn},
};

impl Engine {
    pub(super) fn on_finished(&mut self, now: Now, run: RunId, outcome: Outcome) {
        let Some(contact) = self.contacts.iter_mut().find(|contact| contact.held.contains_key(&run)) else {
            return;
        };
        contact.end(now, run, outcome);
    }

    /// Reports what has ended, or gives a sign of life.
    pub(super) fn record_if_needed(&mut self, now: Now, index: usize) {
        if let Some(record) = self.next_record(now, index) {
            self.send_turn(
                now.monotonic,
                self.contacts[index].name.clone(),
                Arc::new(Turn { record: Some(record), ..Turn::default() }),
            );
        }
    }

    /// The reports that wait to be sent, if no others are on their way. When a life sign is due, they do not wait for that,
    /// nor does the life sign: what is on its way may be lost, and the lease with it.
    pub(super) fn next_record(&mut self, now: Now, index: usize) -> Option<Record> {
        let contact = &mut self.contacts[index];
        let is_free = contact.records_in_flight == 0 && !contact.entries.is_empty();
        if !is_free && !contact.is_sign_due(now) {
            return None;
        }
        let count = contact.entries.len().min(contact.limits.batch.max(1));
        let entries = contact.entries.drain(..count).collect();
        contact.records_in_flight += 1;
        contact.sign_at = now.monotonic + self.config.lease / 3;
        Some(Record { at: contact.time(now), owner: self.config.node.clone(), lease: self.config.lease, entries })
    }

    pub(super) fn on_recorded(
        &mut self,
        now: Now,
        store: &StoreName,
        record: &Record,
        sent: Duration,
        recorded: Recorded,
    ) {
        let Some(contact) = self.contact(store) else {
            return;
        };
        contact.records_in_flight -= 1;
        contact.hear_time(now, sent, recorded.now);
        contact.hear_due(recorded.next_due);
        let mut removed = BTreeSet::new();
        for (entry, outcome) in record.entries.iter().zip(recorded.outcomes) {
            let Some(contact) = self.contact(store) else {
                return;
            };
            // A run that was given back unstarted is not held under this fence, and nobody has been told of it.
            if contact.held.get(&entry.run).is_none_or(|held| held.fence != entry.fence) {
                continue;
            }
            let Some(held) = contact.held.remove(&entry.run) else {
                continue;
            };
            if held.is_removed {
                removed.insert(held.run.job.uid);
            }
            let kind = match (outcome, held.ended) {
                (RecordOutcome::Done, Some((outcome, duration))) => match &entry.report {
                    RunReport::End { verdict: Verdict::Lost, .. } => EventKind::RunLost(held.run),
                    RunReport::End { .. } => event_of(held.run, outcome, duration),
                    RunReport::Retry { .. } | RunReport::Release => EventKind::RunTakenAway(held.run),
                },
                _ => EventKind::RunTakenAway(held.run),
            };
            self.notify(now, kind);
        }
        for (uid, id) in recorded.deleted.into_iter().filter(|(uid, _)| !removed.contains(uid)) {
            let job = JobRef { store: store.clone(), id, uid };
            self.notify(now, EventKind::JobRemoved { job, reason: Removal::Finished });
        }
        for run in recorded.cancel {
            self.cancel_if_held(store, run, Stop::Asked);
        }
        self.on_hold(store, sent, recorded.hold);
    }
}

impl Contact {
    /// Notes how a run has ended, to be reported.
    pub(super) fn end(&mut self, now: Now, run: RunId, outcome: Outcome) {
        const LOST: &str = "its node lost its lease";
        let store_now = self.time(now);
        let Some(held) = self.held.get_mut(&run).filter(|held| held.ended.is_none()) else {
            return;
        };
        let duration = now.monotonic.saturating_sub(held.started);
        let is_lost = held.stop == Stop::Lost && outcome == Outcome::Cancelled;
        let report = match held.delivery {
            // Nobody asked for its end: should no other node have taken it over yet, it is left to be run again.
            Delivery::AtLeastOnce if is_lost => RunReport::Retry { due: store_now, error: Some(LOST.to_owned()) },
            Delivery::AtMostOnce if is_lost => {
                RunReport::End { verdict: Verdict::Lost, error: Some(LOST.to_owned()), duration }
            }
            Delivery::AtLeastOnce | Delivery::AtMostOnce => {
                let (verdict, error) = verdict_of(&outcome);
                RunReport::End { verdict, error, duration }
            }
        };
        held.ended = Some((outcome, duration));
        self.entries.push_back(Entry { run, fence: held.fence, report });
    }
}

fn verdict_of(outcome: &Outcome) -> (Verdict, Option<String>) {
    match outcome {
        Outcome::Ok(_) => (Verdict::Ok, None),
        Outcome::Error(error) => (Verdict::Error, Some(bounded(error))),
        Outcome::Panicked(message) => (Verdict::Error, Some(bounded(&format!("panicked: {message}")))),
        Outcome::Cancelled => (Verdict::Cancelled, None),
        Outcome::TimedOut(_) => (Verdict::Timeout, None),
    }
}

fn event_of(run: RunRef, outcome: Outcome, duration: Duration) -> EventKind {
    match outcome {
        Outcome::Ok(output) => EventKind::RunExecuted { run, output, duration },
        Outcome::Error(error) => EventKind::RunError { run, error, duration },
        Outcome::Panicked(message) => EventKind::RunError { run, error: format!("panicked: {message}"), duration },
        Outcome::Cancelled => EventKind::RunCancelled(run),
        Outcome::TimedOut(_) => EventKind::RunTimeout { run, duration },
    }
}

/// Cuts an error text to [`Run::ERROR_LIMIT`] at a character.
fn bounded(error: &str) -> String {
    error[..error.floor_char_boundary(Run::ERROR_LIMIT)].to_owned()
}
