//! From due to ended.
//!
//! ```text
//! wake (due)
//!   → store turn: claim
//!   ← claimed "report" @ fence 3
//!   → store turn: settle "report": run 7 starts, next 10:00:20
//!   ← applied
//!   → notify submitted · start run 7
//! finished run 7: ok
//!   → store turn: record run 7: ok
//!   ← done
//!   → notify executed
//! ```

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::{
    Effect, Engine, SchedulerState, Start,
    contact::{Drain, FIRST_PAUSE, Held, LONGEST_PAUSE},
};
use crate::{
    BODY_VERSION, EventKind, JobRef, JobRow, JobState, Now, Outcome, Removal, Run, RunId, RunRef, RunState, StoreName,
    Verdict,
    plan::plan,
    store::{
        Adopt, Claim, Claimed, ClaimedJob, Entry, Fate, Move, Record, RecordOutcome, Recorded, Report, RunChange,
        RunReport, Settle, SettleOutcome, Settled, Turn, TurnReply,
    },
    trigger::TriggerErrorKind,
};

/// How long a job is left alone that this node cannot run though its task is known here.
const DECLINE_PAUSE: TimeDelta = TimeDelta::seconds(60);

/// How often declined jobs are asked for, at the most.
const SURVEY_PERIOD: Duration = Duration::from_secs(60);

impl Engine {
    pub(super) fn claim_if_due(&mut self, now: Now, index: usize) {
        let contact = &self.contacts[index];
        if self.can_claim(index) && !contact.is_firing() && contact.is_due(now) {
            let claim = self.next_claim(now, index);
            let record = self.next_record(now, index);
            self.send_turn(
                now.monotonic,
                self.contacts[index].name.clone(),
                Arc::new(Turn { record, settle: None, claim: Some(claim) }),
            );
        }
    }

    fn can_claim(&self, index: usize) -> bool {
        self.state == SchedulerState::Running
            && self.contacts[index].drain == Drain::No
            && self.held_count() < self.config.run_limit
    }

    fn next_claim(&mut self, now: Now, index: usize) -> Claim {
        let room = self.config.run_limit - self.held_count();
        let contact = &mut self.contacts[index];
        let is_survey_due = contact.surveyed.is_none_or(|at| now.monotonic >= at + SURVEY_PERIOD);
        if is_survey_due {
            contact.surveyed = Some(now.monotonic);
        }
        contact.claim_seq += 1;
        contact.is_claiming = true;
        contact.alarm.heard = None;
        contact.alarm.not_before = now.monotonic + self.config.accuracy;
        if contact.adopt_at.is_some_and(|at| at <= now.monotonic) {
            contact.adopt_at = None;
        }
        Claim {
            at: contact.time(now),
            owner: self.config.node.clone(),
            seq: contact.claim_seq,
            lease: self.config.lease,
            limit: self.config.claim_limit.min(contact.limits.batch).min(room),
            tasks: Arc::clone(&self.tasks),
            max_v: BODY_VERSION,
            adopt: if contact.may_adopt(now, self.config.lease) { Adopt::Lapsed } else { Adopt::Nothing },
            declined: if is_survey_due { Report::Declined } else { Report::Nothing },
        }
    }

    pub(super) fn on_turn(&mut self, now: Now, store: &StoreName, turn: &Turn, sent: Duration, reply: TurnReply) {
        self.on_store_answered(now, store);
        if let (Some(record), Some(recorded)) = (&turn.record, reply.record) {
            self.on_recorded(now, store, record, recorded);
        }
        if let (Some(settle), Some(settled)) = (&turn.settle, reply.settle) {
            self.on_settled(now, store, settle, sent, settled);
        }
        if let (Some(_), Some(claimed)) = (&turn.claim, reply.claim) {
            self.on_claimed(now, store, claimed);
        }
    }

    fn on_claimed(&mut self, now: Now, store: &StoreName, claimed: Claimed) {
        let Some(index) = self.contacts.iter().position(|contact| contact.name == *store) else {
            return;
        };
        let contact = &mut self.contacts[index];
        contact.is_claiming = false;
        contact.hear_time(now, claimed.now);
        contact.alarm.at = claimed.next_due.into_iter().chain(contact.alarm.heard.take()).min();
        if claimed.jobs.is_empty() && contact.alarm.at.is_some_and(|at| at <= claimed.now) {
            contact.alarm.not_before = now.monotonic + contact.alarm.pause;
            contact.alarm.pause = (contact.alarm.pause * 2).min(LONGEST_PAUSE);
        } else {
            contact.alarm.pause = FIRST_PAUSE;
        }
        for raw in claimed.quarantined {
            self.notify(now, EventKind::JobQuarantined { store: store.clone(), job: raw.id, reason: raw.reason });
        }
        for declined in claimed.declined {
            let reason = if declined.v > BODY_VERSION {
                format!("its version {} is newer than {BODY_VERSION}, which this node reads", declined.v)
            } else {
                format!("this node has no task `{}`", declined.task)
            };
            self.tell_declined(now, index, declined.id, declined.task, reason);
        }
        if self.contacts[index].drain == Drain::No && !claimed.jobs.is_empty() {
            self.settle(now, index, claimed.jobs, claimed.now, claimed.more);
        }
    }

    /// Plans what was claimed and sends the moves, with the next claim if there is more.
    fn settle(
        &mut self,
        now: Now,
        index: usize,
        jobs: Vec<ClaimedJob>,
        store_now: chrono::DateTime<chrono::Utc>,
        more: bool,
    ) {
        let moves = jobs.iter().map(|job| self.plan_move(now, index, job, store_now)).collect();
        self.contacts[index].claimed.extend(jobs.into_iter().map(|job| (job.job.uid, job)));
        let record = self.next_record(now, index);
        let claim = (more && self.can_claim(index)).then(|| self.next_claim(now, index));
        let contact = &mut self.contacts[index];
        contact.sign_at = now.monotonic + self.config.lease / 3;
        let settle = Settle { at: contact.time(now), owner: self.config.node.clone(), lease: self.config.lease, moves };
        self.send_turn(
            now.monotonic,
            self.contacts[index].name.clone(),
            Arc::new(Turn { record, settle: Some(settle), claim }),
        );
    }

    fn plan_move(
        &mut self,
        now: Now,
        index: usize,
        claimed: &ClaimedJob,
        store_now: chrono::DateTime<chrono::Utc>,
    ) -> Move {
        let job = &claimed.job;
        if !self.executors.contains(&job.body.executor) {
            let reason = format!("this node has no executor `{}`", job.body.executor);
            self.tell_declined(now, index, job.id.clone(), job.body.task.clone(), reason);
            return stay(job, store_now + DECLINE_PAUSE);
        }
        match plan(claimed, store_now) {
            Ok(plan) => plan,
            Err(error) if error.kind() == TriggerErrorKind::Unresolved => {
                self.tell_declined(now, index, job.id.clone(), job.body.task.clone(), error.to_string());
                stay(job, store_now + DECLINE_PAUSE)
            }
            Err(error) => quarantine(job, format!("trigger: {error}")),
        }
    }

    fn tell_declined(&mut self, now: Now, index: usize, job: crate::JobId, task: crate::TaskName, reason: String) {
        /// Enough to name each trouble once; beyond it they are told again.
        const REMEMBERED: usize = 1_000;
        let contact = &mut self.contacts[index];
        if contact.declined.len() >= REMEMBERED {
            contact.declined.clear();
        }
        if contact.declined.insert(job.clone()) {
            let store = contact.name.clone();
            self.notify(now, EventKind::JobDeclined { store, job, task, reason });
        }
    }

    fn on_settled(&mut self, now: Now, store: &StoreName, settle: &Settle, sent: Duration, settled: Settled) {
        let is_lease_held = now.monotonic < sent + self.config.lease;
        let Some(contact) = self.contact(store) else {
            return;
        };
        contact.hear_time(now, settled.now);
        contact.hear_due(settled.next_due);
        let is_starting = is_lease_held && contact.drain == Drain::No;
        for (planned, outcome) in settle.moves.iter().zip(settled.outcomes) {
            let Some(claimed) = self.contact(store).and_then(|contact| contact.claimed.remove(&planned.uid)) else {
                continue;
            };
            match outcome {
                SettleOutcome::Applied { job } => {
                    self.on_moved(now, store, &claimed, planned, is_starting);
                    if job == Fate::Deleted {
                        let job = job_ref(store, &claimed.job);
                        self.notify(now, EventKind::JobRemoved { job, reason: Removal::Finished });
                    }
                }
                // Whoever changed or took the job has made it due as it should be.
                SettleOutcome::Changed | SettleOutcome::Taken | SettleOutcome::Gone => {
                    if let Some(contact) = self.contact(store) {
                        contact.hear_change();
                    }
                }
            }
        }
    }

    /// Tells and starts what a move has led to.
    fn on_moved(&mut self, now: Now, store: &StoreName, claimed: &ClaimedJob, planned: &Move, is_starting: bool) {
        let job = &claimed.job;
        if let JobState::Quarantined(reason) = &planned.state {
            let (store, job, reason) = (store.clone(), job.id.clone(), reason.clone());
            self.notify(now, EventKind::JobQuarantined { store, job, reason });
        }
        for change in &planned.runs {
            match change {
                RunChange::Insert(run) if run.state == RunState::Running => {
                    self.start(now, store, job, run, run.attempt, planned.fence, is_starting);
                }
                RunChange::Insert(run) => {
                    let run_ref = run_ref(store, job, run, run.attempt);
                    match run.verdict() {
                        Some(verdict) => self.tell_given_up(now, run_ref, verdict),
                        None => self.notify(now, EventKind::RunQueued(run_ref)),
                    }
                }
                RunChange::Start { seq, attempt } => {
                    if let Some(run) = claimed.waiting.iter().find(|run| run.id.seq == *seq) {
                        self.start(now, store, job, run, *attempt, planned.fence, is_starting);
                    }
                }
                RunChange::End { seq, verdict, .. } => {
                    if let Some(run) = claimed.waiting.iter().find(|run| run.id.seq == *seq) {
                        self.tell_given_up(now, run_ref(store, job, run, run.attempt), *verdict);
                    }
                }
                RunChange::Cancel { seq } => self.cancel_if_held(store, RunId { uid: job.uid, seq: *seq }),
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a start is made of, put together in this one place")]
    fn start(
        &mut self,
        now: Now,
        store: &StoreName,
        job: &JobRow,
        run: &Run,
        attempt: u32,
        fence: u64,
        is_starting: bool,
    ) {
        let Some(contact) = self.contact(store) else {
            return;
        };
        if !is_starting {
            contact.entries.push_back(Entry { run: run.id, fence, report: RunReport::Release });
            return;
        }
        let run_ref = run_ref(store, job, run, attempt);
        let held = Held { run: run_ref.clone(), fence, started: now.monotonic, ended: None };
        contact.held.insert(run.id, held);
        self.notify(now, EventKind::RunSubmitted(run_ref));
        self.effects.push_back(Effect::Start(Start {
            run: run.id,
            job: job.id.clone(),
            job_name: job.body.display_name().into(),
            store: store.clone(),
            executor: job.body.executor.clone(),
            task: job.body.task.clone(),
            args: job.body.args.clone(),
            fire_time: run.fire_time,
            attempt,
            fence,
        }));
    }

    fn tell_given_up(&mut self, now: Now, run: RunRef, verdict: Verdict) {
        let kind = match verdict {
            Verdict::Coalesced => EventKind::RunCoalesced(run),
            Verdict::Missed => EventKind::RunMissed(run),
            Verdict::Skipped => EventKind::RunSkipped(run),
            Verdict::Cancelled => EventKind::RunCancelled(run),
            Verdict::Lost => EventKind::RunLost(run),
            Verdict::Ok | Verdict::Error | Verdict::Timeout => {
                debug_assert!(false, "a run that never started cannot end as {verdict}");
                return;
            }
        };
        self.notify(now, kind);
    }

    pub(super) fn on_finished(&mut self, now: Now, run: RunId, outcome: Outcome) {
        let Some(contact) = self.contacts.iter_mut().find(|contact| contact.held.contains_key(&run)) else {
            return;
        };
        let Some(held) = contact.held.get_mut(&run).filter(|held| held.ended.is_none()) else {
            return;
        };
        let duration = now.monotonic.saturating_sub(held.started);
        let (verdict, error) = verdict_of(&outcome);
        held.ended = Some((outcome, duration));
        contact.entries.push_back(Entry {
            run,
            fence: held.fence,
            report: RunReport::End { verdict, error, duration },
        });
    }

    /// The reports that wait to be sent, if no others are on their way.
    pub(super) fn next_record(&mut self, now: Now, index: usize) -> Option<Record> {
        let contact = &mut self.contacts[index];
        if contact.records_in_flight > 0 || contact.entries.is_empty() {
            return None;
        }
        let count = contact.entries.len().min(contact.limits.batch);
        let entries = contact.entries.drain(..count).collect();
        Some(self.record_of(now, index, entries))
    }

    pub(super) fn record_of(&mut self, now: Now, index: usize, entries: Vec<Entry>) -> Record {
        let contact = &mut self.contacts[index];
        contact.records_in_flight += 1;
        contact.sign_at = now.monotonic + self.config.lease / 3;
        Record { at: contact.time(now), owner: self.config.node.clone(), lease: self.config.lease, entries }
    }

    fn on_recorded(&mut self, now: Now, store: &StoreName, record: &Record, recorded: Recorded) {
        let Some(contact) = self.contact(store) else {
            return;
        };
        contact.records_in_flight -= 1;
        contact.hear_time(now, recorded.now);
        contact.hear_due(recorded.next_due);
        for (entry, outcome) in record.entries.iter().zip(recorded.outcomes) {
            let held = self.contact(store).and_then(|contact| contact.held.remove(&entry.run));
            // A run that was given back unstarted is not held, and nobody has been told of it.
            let Some(held) = held else {
                continue;
            };
            let kind = match (outcome, held.ended) {
                (RecordOutcome::Done, Some((outcome, duration))) => event_of(held.run, outcome, duration),
                _ => EventKind::RunTakenAway(held.run),
            };
            self.notify(now, kind);
        }
        for (uid, id) in recorded.deleted {
            let job = JobRef { store: store.clone(), id, uid };
            self.notify(now, EventKind::JobRemoved { job, reason: Removal::Finished });
        }
        for run in recorded.cancel {
            self.cancel_if_held(store, run);
        }
        self.on_hold(store, recorded.hold);
    }
}

/// Leaves a job as it is and lets the claim go.
fn stay(job: &JobRow, due: chrono::DateTime<chrono::Utc>) -> Move {
    Move {
        uid: job.uid,
        revision: job.revision,
        fence: job.fence,
        state: job.state.clone(),
        next_fire_time: job.next_fire_time,
        due: Some(due),
        blocked: job.blocked,
        runs: Vec::new(),
    }
}

/// Puts a job aside until somebody repairs or removes it.
pub(super) fn quarantine(job: &JobRow, reason: String) -> Move {
    Move {
        uid: job.uid,
        revision: job.revision,
        fence: job.fence,
        state: JobState::Quarantined(reason),
        next_fire_time: job.next_fire_time,
        due: None,
        blocked: false,
        runs: Vec::new(),
    }
}

pub(super) fn job_ref(store: &StoreName, job: &JobRow) -> JobRef {
    JobRef { store: store.clone(), id: job.id.clone(), uid: job.uid }
}

pub(super) fn run_ref(store: &StoreName, job: &JobRow, run: &Run, attempt: u32) -> RunRef {
    RunRef {
        job: job_ref(store, job),
        run: run.id,
        fire_time: run.fire_time,
        first: run.first,
        count: run.count,
        attempt,
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
