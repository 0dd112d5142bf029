//! From due to started.
//!
//! ```text
//! wake (due)
//!   → store turn: claim
//!   ← claimed "report" @ fence 3
//!   → store turn: settle "report": run 7 starts, next 10:00:20
//!   ← applied
//!   → notify submitted · start run 7
//! ```
//!
//! How it is decided where a job goes is told in [`planning`](super::planning), what happens to its runs in
//! [`recording`](super::recording).

use std::{cmp::Reverse, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Engine, SchedulerState, Start,
    planning::Planning,
    refs::{job_ref, run_ref},
    store_state::{ActiveRun, Drain, FIRST_PAUSE, Settling, Stop},
};
use crate::{
    BODY_VERSION, EventKind, JobRow, JobState, Now, Removal, Run, RunId, RunRef, RunState, StoreName, Verdict, Wait,
    plan::due_of,
    store::{
        Adopt, Claim, Claimed, ClaimedJob, Entry, Hold, Move, RunChange, RunReport, Settle, SettleOutcome, Settled,
        Turn, TurnReply, Waits,
    },
};

/// How long the next claim waits after one whose jobs were changed before they were settled. It does not grow: changes
/// without an end, on whichever nodes, leave gaps, and the job is to be claimed in one of the next.
const CHANGED_PAUSE: Duration = Duration::from_millis(5);

impl Engine {
    pub(super) fn claim_if_due(&mut self, now: Now, index: usize) {
        if self.can_claim(index) && self.stores[index].is_claim_due(now, self.config.lease) {
            let record = self.next_record(now, index);
            let claim = self.next_claim(now, index);
            self.send_turn(
                now.monotonic,
                self.stores[index].name.clone(),
                Arc::new(Turn { record, settle: None, claim: Some(claim) }),
            );
        }
    }

    /// Whether this node takes jobs of this store at all.
    pub(super) fn is_taking(&self, index: usize) -> bool {
        self.state == SchedulerState::Running && self.stores[index].removal.drain == Drain::No
    }

    pub(super) fn can_claim(&self, index: usize) -> bool {
        self.is_taking(index) && self.active_count() < self.config.run_limit
    }

    fn next_claim(&mut self, now: Now, index: usize) -> Claim {
        let room = self.config.run_limit.saturating_sub(self.active_count());
        let lease = self.config.lease;
        // One count for all stores and all times that one is added: a store may remember this node from an earlier time.
        self.last_claim = self.last_claim.saturating_add(1);
        let state = &mut self.stores[index];
        let declined = state.survey(now);
        state.claims.is_in_flight = true;
        state.reports.confirmed.clear();
        state.claims.alarm.known_meanwhile = None;
        state.claims.alarm.not_before = now.monotonic.saturating_add(self.config.accuracy);
        state.claims.takeover.at = state.claims.takeover.at.filter(|at| *at > now.monotonic);
        Claim {
            at: state.clock.time(now),
            owner: self.config.node.clone(),
            seq: self.last_claim,
            lease,
            recent_since: state.claims.recent_since,
            limit: self.config.claim_limit.min(state.limits.batch).min(room).max(1),
            tasks: Arc::clone(&self.tasks),
            max_v: BODY_VERSION,
            adopt: state.adopts(now, lease),
            declined,
            info: Arc::clone(&self.config.info),
        }
    }

    pub(super) fn on_turn(&mut self, now: Now, store: &StoreName, turn: &Turn, sent: Duration, reply: TurnReply) {
        self.on_store_answered(now, store, Some(sent));
        let is_kept = reply.record.as_ref().is_some_and(|recorded| recorded.hold == Hold::Kept);
        let lease = self.config.lease;
        // A claim renews the lease of a node that holds something, as one does for which a run waits.
        if let Some(state) =
            self.store_state(store).filter(|_| is_kept || turn.settle.is_some() || turn.claim.is_some())
        {
            state.cover(now, sent, lease);
        }
        if let (Some(record), Some(recorded)) = (&turn.record, reply.record) {
            self.on_recorded(now, store, record, sent, recorded);
        }
        if let (Some(settle), Some(settled)) = (&turn.settle, reply.settle) {
            self.on_settled(now, store, settle, sent, settled);
        }
        if let (Some(claim), Some(claimed)) = (&turn.claim, reply.claim) {
            self.on_claimed(now, store, claim, sent, claimed);
        }
    }

    fn on_claimed(&mut self, now: Now, store: &StoreName, claim: &Claim, sent: Duration, claimed: Claimed) {
        let (lease, third) = (self.config.lease, self.config.third_of_lease());
        let Some(index) = self.stores.iter().position(|state| state.name == *store) else {
            return;
        };
        let state = &mut self.stores[index];
        state.claims.is_in_flight = false;
        state.claims.note_backlog(claim, &claimed);
        state.claims.survey.explain(&claimed.jobs);
        state.clock.note(now, sent, claimed.now);
        // A claim that holds something renews the lease.
        state.reports.sign_at = state.reports.sign_at.max(sent.saturating_add(third));
        let soon = TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX);
        state.claims.takeover.is_near =
            claimed.next_due.is_some_and(|at| at.signed_duration_since(claimed.now) <= soon);
        state.claims.alarm.at = claimed.next_due.into_iter().chain(state.claims.alarm.known_meanwhile.take()).min();
        // What became known while the claim was on its way says nothing about the store, which is asked again at once.
        if claimed.next_due.is_none_or(|at| at > claimed.now) {
            state.claims.alarm.pause = FIRST_PAUSE;
        } else if claimed.jobs.is_empty() {
            // It may be for a change that a due job could not be claimed. A pause that grew with each change
            // would keep the job from running.
            if std::mem::take(&mut state.claims.alarm.are_jobs_changed) {
                state.claims.alarm.pause = FIRST_PAUSE;
            }
            state.claims.back_off(now);
            // What is due may be what a dead node left, which this node may take over once it has been here long enough.
            // While a call that has failed is still to be repeated, it may not, however long it has been: the pause counts.
            if claim.adopt == Adopt::Nothing {
                let since = state.link.unbroken_since.map(|since| since.saturating_add(lease));
                state.claims.takeover.at = since.filter(|at| *at > now.monotonic);
            }
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
            self.notify_declined(now, index, declined.id, declined.task, reason);
        }
        if !claimed.jobs.is_empty() {
            self.settle(now, index, claimed.jobs, claimed.now, claimed.more);
        }
    }

    /// Plans what was claimed and sends the moves, with the next claim if there is more. What has a higher priority comes first,
    /// and so starts first.
    fn settle(&mut self, now: Now, index: usize, mut jobs: Vec<ClaimedJob>, store_now: DateTime<Utc>, more: bool) {
        jobs.sort_by_key(|job| Reverse(job.job.body.options.priority));
        jobs.iter_mut().for_each(|job| self.stores[index].leave_out_ended(job));
        let (settling, moves, planning) = self.plan_claimed(now, index, jobs, store_now);
        let settling = settling.into_iter().map(|job| (job.claimed.job.uid, Box::new(job)));
        self.stores[index].claims.settling.extend(settling);
        let record = self.next_record(now, index);
        let is_all = planning == Planning::All;
        let claim = (more && is_all && self.can_claim(index)).then(|| self.next_claim(now, index));
        let state = &mut self.stores[index];
        state.claims.alarm.waits_its_turn = !is_all;
        state.reports.sign_at = now.monotonic.saturating_add(self.config.third_of_lease());
        let settle =
            Settle { at: state.clock.time(now), owner: self.config.node.clone(), lease: self.config.lease, moves };
        self.send_turn(
            now.monotonic,
            self.stores[index].name.clone(),
            Arc::new(Turn { record, settle: Some(settle), claim }),
        );
    }

    fn on_settled(&mut self, now: Now, store: &StoreName, settle: &Settle, sent: Duration, settled: Settled) {
        let is_lease_held = now.monotonic < sent.saturating_add(self.config.lease);
        let Some(state) = self.store_state(store) else {
            return;
        };
        state.clock.note(now, sent, settled.now);
        state.claims.note_due(settled.next_due);
        let is_starting = is_lease_held && state.removal.drain == Drain::No;
        // One that waits is out of the way of the others, too.
        let is_moved =
            |outcome: &SettleOutcome| matches!(outcome, SettleOutcome::Applied { .. } | SettleOutcome::Waits(_));
        if settled.outcomes.iter().any(is_moved) {
            state.claims.alarm.pause = FIRST_PAUSE;
        } else if settled.outcomes.contains(&SettleOutcome::Changed) {
            // Each settle that came too late means that a change was written. With a pause that grew, changes would keep the job from
            // running.
            state.claims.alarm.not_before = now.monotonic.saturating_add(CHANGED_PAUSE);
        } else {
            state.claims.back_off(now);
        }
        for (planned, outcome) in settle.moves.iter().zip(settled.outcomes) {
            let Some(settling) = self.store_state(store).and_then(|state| state.claims.settling.remove(&planned.uid))
            else {
                continue;
            };
            match outcome {
                SettleOutcome::Applied { job } => {
                    self.on_moved(now, store, &settling, planned, is_starting);
                    // Who removed the job has told of it.
                    if job.is_over() && planned.state != JobState::Removed {
                        let job = job_ref(store, &settling.claimed.job);
                        self.notify(now, EventKind::JobRemoved { job, reason: Removal::Finished });
                    }
                }
                SettleOutcome::Waits(Waits::Begin) => {
                    if let Some(key) = planned.limit_key.clone() {
                        let job = job_ref(store, &settling.claimed.job);
                        self.notify(now, EventKind::JobWaiting { job, key });
                    }
                }
                SettleOutcome::Waits(Waits::GoOn) => {}
                SettleOutcome::Changed | SettleOutcome::Taken | SettleOutcome::Gone => {
                    if let Some(state) = self.store_state(store) {
                        state.on_not_moved(planned);
                    }
                }
            }
        }
    }

    /// Tells and starts what a move has led to.
    fn on_moved(&mut self, now: Now, store: &StoreName, settling: &Settling, planned: &Move, is_starting: bool) {
        let Settling { claimed, outdated } = settling;
        let job = &claimed.job;
        if let JobState::Quarantined(reason) = &planned.state {
            let (store, job, reason) = (store.clone(), job.id.clone(), reason.clone());
            self.notify(now, EventKind::JobQuarantined { store, job, reason });
        } else if let Some(outdated) = *outdated {
            self.notify(now, EventKind::FireTimeCorrected { job: job_ref(store, job), outdated });
        }
        if job.state == JobState::Paused && planned.state != JobState::Paused {
            self.notify(now, EventKind::JobModified(job_ref(store, job)));
        }
        for change in &planned.runs {
            match change {
                RunChange::Insert(run) if run.state == RunState::Running => {
                    self.start(now, store, job, run, run.attempt, planned.fence, is_starting);
                }
                RunChange::Insert(run) => {
                    let run_ref = run_ref(store, job, run, run.attempt);
                    match run.verdict() {
                        Some(verdict) => self.notify_given_up(now, run_ref, verdict),
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
                        self.notify_given_up(now, run_ref(store, job, run, run.attempt), *verdict);
                    }
                }
                RunChange::Cancel { seq } => {
                    self.cancel_if_active(store, RunId { uid: job.uid, seq: *seq }, Stop::Asked)
                }
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
        // If the executor was removed meanwhile, the run is left to nodes that have it.
        let is_starting = is_starting && self.executors.contains_key(&job.body.executor);
        let Some(state) = self.store_state(store) else {
            return;
        };
        if !is_starting {
            let limit_key = job.body.options.limit_key.clone();
            state.reports.unsent.push_back(Entry { run: run.id, fence, report: RunReport::Release, limit_key });
            return;
        }
        let is_taken_over = run.state == RunState::Waiting(Wait::Orphan);
        let options = &job.body.options;
        let active = ActiveRun {
            run: run_ref(store, job, run, attempt),
            fence,
            limit_key: options.limit_key.clone(),
            since: now.monotonic,
            started: now.monotonic,
            waiting: None,
            delivery: options.delivery,
            output: options.output,
            timeout: options.timeout,
            deadline: None,
            retry: options.retry.clone(),
            failures: attempt.saturating_sub(run.takeovers),
            stop: Stop::No,
            is_removed: false,
            ended: None,
        };
        state.runs.active.insert(run.id, Box::new(active));
        let start = Start {
            run: run.id,
            job: job.id.clone(),
            job_name: job.body.display_name().into(),
            store: store.clone(),
            executor: job.body.executor.clone(),
            task: job.body.task.clone(),
            tags: job.body.tags.clone(),
            args: job.body.args.clone(),
            fire_time: run.fire_time,
            due: match run.state {
                RunState::Waiting(_) => run.due,
                RunState::Running | RunState::Ended(_) => due_of(&job.body.trigger, job.uid, run.fire_time),
            },
            attempt,
            fence,
        };
        if is_taken_over {
            self.notify(now, EventKind::RunTakenOver(run_ref(store, job, run, attempt)));
        }
        self.start_or_queue(now, start, options.priority, run.due);
    }

    fn notify_given_up(&mut self, now: Now, run: RunRef, verdict: Verdict) {
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
}
