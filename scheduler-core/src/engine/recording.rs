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
//! A run that is repeated waits in the store, and starts by a claim like any other. Reports wait while others are on their way, so that many ends share a call; they wait for nothing else.
//!
//! What has ended here is over for this node at once: a claim whose answer counts it as running was asked before the store
//! had the report, and its slot is free.

use std::{collections::BTreeSet, hash::Hasher, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use siphasher::sip::SipHasher13;

use super::{
    Engine,
    contact::{Contact, Held, Stop},
};
use crate::{
    Delivery, EventKind, Failures, JobRef, Now, Outcome, Removal, Run, RunId, RunRef, StoreName, Verdict,
    store::{Entry, Record, RecordOutcome, Recorded, RunReport, Turn},
};

impl Engine {
    pub(super) fn on_finished(&mut self, now: Now, run: RunId, outcome: Outcome) {
        self.free_slot(run);
        self.end(now, run, outcome);
    }

    pub(super) fn end(&mut self, now: Now, run: RunId, outcome: Outcome) {
        if let Some(contact) = self.contacts.iter_mut().find(|contact| contact.held.contains_key(&run)) {
            contact.end(now, run, outcome);
        }
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
        contact.records_in_flight = contact.records_in_flight.saturating_add(1);
        contact.sign_at = now.monotonic.saturating_add(self.config.third_of_lease());
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
        contact.records_in_flight = contact.records_in_flight.saturating_sub(1);
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
            if contact.is_claiming && outcome == RecordOutcome::Done {
                contact.over.insert(entry.run, entry.fence);
            }
            let Some(held) = contact.held.remove(&entry.run) else {
                continue;
            };
            if held.is_removed {
                removed.insert(held.run.job.uid);
            }
            let (is_removed, is_written, is_ended) =
                (held.is_removed, outcome.is_written(), outcome == RecordOutcome::Ended);
            let kind = match held.ended {
                Some((outcome, duration)) if is_written => match (&entry.report, failure_of(&outcome)) {
                    (RunReport::End { verdict: Verdict::Lost, .. }, _) => EventKind::RunLost(held.run),
                    (RunReport::End { .. }, _) => event_of(held.run, outcome, duration),
                    // In a job that was removed before, nothing is repeated.
                    (RunReport::Retry { .. }, Some((_, error))) if is_ended => {
                        EventKind::RunError { run: held.run, error, duration }
                    }
                    // This node has removed the job since, and has told of the end of what waited.
                    (RunReport::Retry { .. }, Some(_)) if is_removed => continue,
                    (RunReport::Retry { due, .. }, Some((_, error))) => {
                        EventKind::RunRetried { run: held.run, error, duration, due: *due }
                    }
                    (RunReport::Retry { .. } | RunReport::Release, _) => EventKind::RunTakenAway(held.run),
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
        let store_now = self.time(now);
        let is_running = |held: &&mut Box<Held>| held.ended.is_none() && held.waiting.is_none();
        let Some(held) = self.held.get_mut(&run).filter(is_running) else {
            return;
        };
        if let Some(deadline) = held.deadline {
            self.deadlines.remove(&(deadline, run));
        }
        let duration = now.monotonic.saturating_sub(held.started);
        let outcome = match (held.stop, outcome) {
            // It made it after all.
            (Stop::TimedOut, Outcome::Ok(output)) => Outcome::Ok(output),
            (Stop::TimedOut, _) => Outcome::TimedOut(duration),
            (Stop::No | Stop::Asked | Stop::Lost, outcome) => outcome,
        };
        let report = held.report_of(&outcome, duration, store_now);
        held.ended = Some((outcome, duration));
        self.entries.push_back(Entry { run, fence: held.fence, report });
    }
}

impl Held {
    fn report_of(&self, outcome: &Outcome, duration: Duration, store_now: DateTime<Utc>) -> RunReport {
        const LOST: &str = "its node lost its lease";
        let is_lost = self.stop == Stop::Lost && *outcome == Outcome::Cancelled;
        match self.delivery {
            // Nobody asked for its end: should no other node have taken it over yet, it is left to be run again.
            Delivery::AtLeastOnce if is_lost => {
                return RunReport::Retry { due: store_now, error: Some(LOST.to_owned()) };
            }
            Delivery::AtMostOnce if is_lost => {
                return RunReport::End { verdict: Verdict::Lost, error: Some(LOST.to_owned()), duration };
            }
            Delivery::AtLeastOnce | Delivery::AtMostOnce => {}
        }
        let failure = failure_of(outcome);
        let pause = failure.as_ref().and_then(|(failure, _)| self.pause_after(*failure));
        let error = failure.map(|(_, error)| Run::error_text(error));
        match pause {
            Some(pause) => RunReport::Retry { due: store_now.checked_add_signed(pause).unwrap_or(store_now), error },
            None => RunReport::End { verdict: verdict_of(outcome), error, duration },
        }
    }

    /// How long to wait before the next attempt, if there is to be one.
    fn pause_after(&self, failure: Failures) -> Option<TimeDelta> {
        /// A pause beyond that is a mistake in the unit, and a time beyond it none that every store can keep.
        const LONGEST: TimeDelta = TimeDelta::days(36_525);
        let is_wanted = self.stop != Stop::Asked && !self.is_removed;
        let retry = self.retry.as_ref().filter(|retry| is_wanted && retry.repeats(failure, self.failures))?;
        let pause = retry.pause(self.failures, random(self.run.run, self.run.attempt));
        Some(TimeDelta::from_std(pause).map_or(LONGEST, |pause| pause.min(LONGEST)))
    }
}

/// A number that is the same for each look at an attempt, and another for each attempt.
fn random(run: RunId, attempt: u32) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&run.uid.0.to_le_bytes());
    hasher.write(&run.seq.to_le_bytes());
    hasher.write(&attempt.to_le_bytes());
    hasher.finish()
}

fn verdict_of(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Ok(_) => Verdict::Ok,
        Outcome::Error(_) | Outcome::Panicked(_) | Outcome::Crashed(_) => Verdict::Error,
        Outcome::Cancelled => Verdict::Cancelled,
        Outcome::TimedOut(_) => Verdict::Timeout,
    }
}

/// How an attempt failed, in kind and in words, if it did.
fn failure_of(outcome: &Outcome) -> Option<(Failures, String)> {
    match outcome {
        Outcome::Ok(_) | Outcome::Cancelled => None,
        Outcome::Error(error) => Some((Failures::ERROR, error.clone())),
        Outcome::Panicked(message) => Some((Failures::PANIC, format!("panicked: {message}"))),
        Outcome::Crashed(how) => Some((Failures::CRASH, format!("crashed: {how}"))),
        Outcome::TimedOut(after) => Some((Failures::TIMEOUT, format!("timed out after {after:?}"))),
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
