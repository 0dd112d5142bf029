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
//! What happens after that is told in [`recording`](super::recording).

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Effect, Engine, SchedulerState, Start,
    contact::{Contact, Drain, FIRST_PAUSE, Held, Settling, Stop},
};
use crate::{
    BODY_VERSION, EventKind, JobId, JobRef, JobRow, JobState, Now, Overlap, Removal, Run, RunId, RunRef, RunState,
    StoreName, TaskName, Verdict, Wait,
    now::later,
    panics::catch,
    plan::{Planned, due_of, plan_counting},
    store::{
        Adopt, Claim, Claimed, ClaimedJob, Entry, Fate, Hold, Move, RunChange, RunReport, Settle, SettleOutcome,
        Settled, Turn, TurnReply,
    },
    trigger::TriggerErrorKind,
};

/// How long a job is left alone at first that this node cannot run though it knows the task; each further time doubles
/// it. Short, so that a node that can run it has its turn; growing, so that without one nothing spins.
const DECLINE_PAUSE: Duration = Duration::from_secs(1);

/// How often [`DECLINE_PAUSE`] doubles: up to about a minute.
const DECLINE_DOUBLINGS: u32 = 6;

/// How long a run waits whose former attempt still runs on this very node, having been taken away from it meanwhile.
const FORMER_ATTEMPT_PAUSE: Duration = Duration::from_secs(1);

/// The same if that attempt has ended, and only the answer to its report is still on its way.
const REPORT_PAUSE: Duration = Duration::from_millis(50);

/// How many steps of searching the planning of one claim may take: a few milliseconds. What is not planned then is given back
/// as due, and the next claim takes it when the engine has been told of what came meanwhile.
const CLAIM_STEPS: u32 = 50_000;

/// How many steps of a job's plan do not count: what nearly every job takes, so that a claim of many is planned at once.
pub(super) const USUAL_STEPS: u32 = 100;

/// How long the next claim waits after one whose jobs were changed before they were settled. It does not grow: changes
/// without an end, on whichever nodes, leave gaps, and the job is to be claimed in one of the next.
const CHANGED_PAUSE: Duration = Duration::from_millis(5);

impl Engine {
    pub(super) fn claim_if_due(&mut self, now: Now, index: usize) {
        let contact = &self.contacts[index];
        let gives_way = contact.gives_way_until().is_some_and(|until| now.monotonic < until);
        let is_free = !contact.is_firing() && !contact.alarm.waits_its_turn && !gives_way;
        if self.can_claim(index) && is_free && contact.is_due(now, self.config.lease) {
            let record = self.next_record(now, index);
            let claim = self.next_claim(now, index);
            self.send_turn(
                now.monotonic,
                self.contacts[index].name.clone(),
                Arc::new(Turn { record, settle: None, claim: Some(claim) }),
            );
        }
    }

    /// Whether this node takes jobs of this store at all.
    fn is_taking(&self, index: usize) -> bool {
        self.state == SchedulerState::Running && self.contacts[index].drain == Drain::No
    }

    pub(super) fn can_claim(&self, index: usize) -> bool {
        self.is_taking(index) && self.held_count() < self.config.run_limit
    }

    fn next_claim(&mut self, now: Now, index: usize) -> Claim {
        let room = self.config.run_limit.saturating_sub(self.held_count());
        let lease = self.config.lease;
        // One count for all stores and all times that one is added: a store may remember this node from an earlier time.
        self.last_claim = self.last_claim.saturating_add(1);
        let contact = &mut self.contacts[index];
        let declined = contact.survey(now);
        contact.is_claiming = true;
        contact.over.clear();
        contact.alarm.heard = None;
        contact.alarm.not_before = now.monotonic.saturating_add(self.config.accuracy);
        contact.adopt_at = contact.adopt_at.filter(|at| *at > now.monotonic);
        Claim {
            at: contact.time(now),
            owner: self.config.node.clone(),
            seq: self.last_claim,
            lease,
            limit: self.config.claim_limit.min(contact.limits.batch).min(room).max(1),
            tasks: Arc::clone(&self.tasks),
            max_v: BODY_VERSION,
            adopt: if contact.may_adopt(now, lease) { Adopt::LapsedBy(contact.time(now)) } else { Adopt::Nothing },
            declined,
        }
    }

    pub(super) fn on_turn(&mut self, now: Now, store: &StoreName, turn: &Turn, sent: Duration, reply: TurnReply) {
        self.on_store_answered(now, store, Some(sent));
        let is_kept = reply.record.as_ref().is_some_and(|recorded| recorded.hold == Hold::Kept);
        let lease = self.config.lease;
        // A claim renews the lease of a node that holds something, as one does for which a run waits.
        if let Some(contact) = self.contact(store).filter(|_| is_kept || turn.settle.is_some() || turn.claim.is_some())
        {
            contact.cover(now, sent, lease);
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
        let Some(index) = self.contacts.iter().position(|contact| contact.name == *store) else {
            return;
        };
        let contact = &mut self.contacts[index];
        contact.is_claiming = false;
        contact.survey.explain(&claimed.jobs);
        contact.hear_time(now, sent, claimed.now);
        // A claim that holds something renews the lease.
        contact.sign_at = contact.sign_at.max(sent.saturating_add(third));
        let soon = TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX);
        contact.is_on_watch = claimed.next_due.is_some_and(|at| at.signed_duration_since(claimed.now) <= soon);
        contact.alarm.at = claimed.next_due.into_iter().chain(contact.alarm.heard.take()).min();
        // What was heard while the claim was on its way says nothing about the store, which is asked again at once.
        if claimed.next_due.is_none_or(|at| at > claimed.now) {
            contact.alarm.pause = FIRST_PAUSE;
        } else if claimed.jobs.is_empty() {
            // It may be for a change that a due job could not be claimed. A pause that grew with each would leave the job to
            // whoever changes it.
            if std::mem::take(&mut contact.alarm.are_jobs_changed) {
                contact.alarm.pause = FIRST_PAUSE;
            }
            contact.back_off(now);
            // What is due may be what a dead node left, which this node may take over once it has been here long enough.
            // While a call that has failed is still to be repeated, it may not, however long it has been: the pause counts.
            if claim.adopt == Adopt::Nothing {
                let since = contact.link.since.map(|since| since.saturating_add(lease));
                contact.adopt_at = since.filter(|at| *at > now.monotonic);
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
            self.tell_declined(now, index, declined.id, declined.task, reason);
        }
        if !claimed.jobs.is_empty() {
            self.settle(now, index, claimed.jobs, claimed.now, claimed.more);
        }
    }

    /// Plans what was claimed, as far as [`CLAIM_STEPS`] allow, and sends the moves, with the next claim if there is more. What has a higher priority comes
    /// first, and so starts first.
    fn settle(&mut self, now: Now, index: usize, mut jobs: Vec<ClaimedJob>, store_now: DateTime<Utc>, more: bool) {
        jobs.sort_by_key(|job| Reverse(job.job.body.options.priority));
        jobs.iter_mut().for_each(|job| self.contacts[index].leave_out_ended(job));
        let unstarted = self.unstarted(&jobs);
        let mut steps = CLAIM_STEPS;
        let mut is_all = true;
        let planned = jobs.into_iter().map(|job| {
            let planned = match steps {
                0 => {
                    is_all = false;
                    stay(&job.job, job.job.due.unwrap_or(store_now)).into()
                }
                // It is late, not long: what it would be skipped for has not begun. The next claim sees what came of it.
                _ if waits_for_start(&job, &unstarted) => stay(&job.job, job.job.due.unwrap_or(store_now)).into(),
                _ => {
                    let (planned, taken) = self.plan_move(now, index, &job, store_now);
                    steps = steps.saturating_sub(taken.saturating_sub(USUAL_STEPS));
                    planned
                }
            };
            let settling = Settling { claimed: job, outdated: planned.outdated };
            (planned.to, (settling.claimed.job.uid, Box::new(settling)))
        });
        let (moves, settling): (Vec<Move>, Vec<_>) = planned.unzip();
        self.contacts[index].settling.extend(settling);
        let record = self.next_record(now, index);
        let claim = (more && is_all && self.can_claim(index)).then(|| self.next_claim(now, index));
        let contact = &mut self.contacts[index];
        contact.alarm.waits_its_turn = !is_all;
        contact.sign_at = now.monotonic.saturating_add(self.config.third_of_lease());
        let settle = Settle { at: contact.time(now), owner: self.config.node.clone(), lease: self.config.lease, moves };
        self.send_turn(
            now.monotonic,
            self.contacts[index].name.clone(),
            Arc::new(Turn { record, settle: Some(settle), claim }),
        );
    }

    /// Runs of these jobs that this node is to start and that have not been handed to their executors, since there is so
    /// much to start.
    fn unstarted(&self, jobs: &[ClaimedJob]) -> BTreeSet<RunId> {
        if jobs.iter().all(|job| job.running_count == 0) {
            return BTreeSet::new();
        }
        let start = |effect: &Effect| match effect {
            Effect::Start(start) => Some(start.run),
            _ => None,
        };
        self.effects.iter().filter_map(start).collect()
    }

    /// Where a job goes, and how many steps it took to find out.
    fn plan_move(&mut self, now: Now, index: usize, claimed: &ClaimedJob, store_now: DateTime<Utc>) -> (Planned, u32) {
        let job = &claimed.job;
        if !self.is_taking(index) {
            // The node was paused, or gives the store up, while the claim was under way.
            return (stay(job, job.due.unwrap_or(store_now)).into(), 0);
        }
        if let Some(pause) = self.contacts[index].pause_for_former_attempt(claimed) {
            return (stay(job, later(store_now, pause)).into(), 0);
        }
        if !self.executors.contains_key(&job.body.executor) {
            let reason = format!("this node has no executor `{}`", job.body.executor);
            return (self.decline(now, index, job, store_now, reason).into(), 0);
        }
        let (planned, steps) = match catch(|| plan_counting(claimed, store_now)) {
            Ok(planned) => planned,
            // Planning changes nothing of the engine, which goes on without this job. How long it took is not known.
            Err(panic) => return (quarantine(job, format!("planning it panicked: {panic}")).into(), CLAIM_STEPS),
        };
        let planned = match planned {
            Ok(planned) => planned,
            Err(error) if error.kind() == TriggerErrorKind::Unresolved => {
                self.decline(now, index, job, store_now, error.to_string()).into()
            }
            Err(error) => quarantine(job, format!("trigger: {error}")).into(),
        };
        (planned, steps)
    }

    /// Leaves a job to nodes that can run it.
    fn decline(&mut self, now: Now, index: usize, job: &JobRow, store_now: DateTime<Utc>, reason: String) -> Move {
        let times = self.tell_declined(now, index, job.id.clone(), job.body.task.clone(), reason);
        stay(job, later(store_now, DECLINE_PAUSE.saturating_mul(1 << times.min(DECLINE_DOUBLINGS))))
    }

    /// Tells of a declined job once, and says how often it has been declined before.
    fn tell_declined(&mut self, now: Now, index: usize, job: JobId, task: TaskName, reason: String) -> u32 {
        /// Enough to name each trouble once; beyond it they are told again.
        const REMEMBERED: usize = 1_000;
        let contact = &mut self.contacts[index];
        if contact.declined.len() >= REMEMBERED {
            contact.declined.clear();
        }
        let times = contact.declined.entry(job.clone()).or_default();
        let before = *times;
        *times = times.saturating_add(1);
        if before == 0 {
            let store = contact.name.clone();
            self.notify(now, EventKind::JobDeclined { store, job, task, reason });
        }
        before
    }

    fn on_settled(&mut self, now: Now, store: &StoreName, settle: &Settle, sent: Duration, settled: Settled) {
        let is_lease_held = now.monotonic < sent.saturating_add(self.config.lease);
        let Some(contact) = self.contact(store) else {
            return;
        };
        contact.hear_time(now, sent, settled.now);
        contact.hear_due(settled.next_due);
        let is_starting = is_lease_held && contact.drain == Drain::No;
        if settled.outcomes.iter().any(|outcome| matches!(outcome, SettleOutcome::Applied { .. })) {
            contact.alarm.pause = FIRST_PAUSE;
        } else if settled.outcomes.contains(&SettleOutcome::Changed) {
            // Each settle that came too late means that a change was written. With a pause that grew, changes would keep the job from
            // running.
            contact.alarm.not_before = now.monotonic.saturating_add(CHANGED_PAUSE);
        } else {
            contact.back_off(now);
        }
        for (planned, outcome) in settle.moves.iter().zip(settled.outcomes) {
            let Some(settling) = self.contact(store).and_then(|contact| contact.settling.remove(&planned.uid)) else {
                continue;
            };
            match outcome {
                SettleOutcome::Applied { job } => {
                    self.on_moved(now, store, &settling, planned, is_starting);
                    // Who removed the job has told of it.
                    if job == Fate::Deleted && planned.state != JobState::Removed {
                        let job = job_ref(store, &settling.claimed.job);
                        self.notify(now, EventKind::JobRemoved { job, reason: Removal::Finished });
                    }
                }
                SettleOutcome::Changed | SettleOutcome::Taken | SettleOutcome::Gone => {
                    if let Some(contact) = self.contact(store) {
                        contact.on_not_moved(planned);
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
                RunChange::Cancel { seq } => self.cancel_if_held(store, RunId { uid: job.uid, seq: *seq }, Stop::Asked),
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
        // Whoever removed the executor meanwhile leaves the run to nodes that have it.
        let is_starting = is_starting && self.executors.contains_key(&job.body.executor);
        let Some(contact) = self.contact(store) else {
            return;
        };
        if !is_starting {
            contact.entries.push_back(Entry { run: run.id, fence, report: RunReport::Release });
            return;
        }
        let is_taken_over = run.state == RunState::Waiting(Wait::Orphan);
        let options = &job.body.options;
        let held = Held {
            run: run_ref(store, job, run, attempt),
            fence,
            since: now.monotonic,
            started: now.monotonic,
            waiting: None,
            delivery: options.delivery,
            timeout: options.timeout,
            deadline: None,
            retry: options.retry.clone(),
            failures: attempt.saturating_sub(run.takeovers),
            stop: Stop::No,
            is_removed: false,
            ended: None,
        };
        contact.held.insert(run.id, Box::new(held));
        let start = Start {
            run: run.id,
            job: job.id.clone(),
            job_name: job.body.display_name().into(),
            store: store.clone(),
            executor: job.body.executor.clone(),
            task: job.body.task.clone(),
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
}

impl Contact {
    /// Leaves the runs out of what a claim says of a job that have ended here: when it was asked, the store had not heard of
    /// that, and the slot of a run that has ended is free however long its report takes.
    fn leave_out_ended(&self, claimed: &mut ClaimedJob) {
        // When a fixed delay ends is told by the end that the store has.
        let waits_for_report = claimed.job.body.trigger.waits_for_end()
            && claimed.job.next_fire_time.is_none()
            && claimed.waiting_count == 0;
        if claimed.running_count == 0 || waits_for_report {
            return;
        }
        let listed = claimed.running.len();
        let unlisted = if claimed.running_count > listed { self.unsent_ends_after(claimed) } else { 0 };
        claimed.running.retain(|run| !self.has_ended(run.id, run.fence));
        let ended = listed.saturating_sub(claimed.running.len()).saturating_add(unlisted);
        claimed.running_count = claimed.running_count.saturating_sub(ended);
    }

    /// Whether an attempt has ended here.
    fn has_ended(&self, run: RunId, fence: u64) -> bool {
        let is_here = |held: &Held| held.fence == fence && held.ended.is_some();
        self.held.get(&run).is_some_and(|held| is_here(held)) || self.over.get(&run) == Some(&fence)
    }

    /// How many runs beyond those that a claim has listed have ended here and not been reported, so that it counts them.
    fn unsent_ends_after(&self, claimed: &ClaimedJob) -> usize {
        let last = claimed.running.last().map_or(0, |run| run.id.seq);
        let of_job = self.entries.iter().filter(|entry| entry.run.uid == claimed.job.uid && entry.run.seq > last);
        let unlisted = claimed.running_count.saturating_sub(claimed.running.len());
        of_job.filter(|entry| self.has_ended(entry.run, entry.fence)).count().min(unlisted)
    }

    /// How long a job waits because a run that is to start again is still held here in its former attempt, if one is.
    fn pause_for_former_attempt(&self, claimed: &ClaimedJob) -> Option<Duration> {
        let held = claimed.waiting.iter().filter_map(|run| self.held.get(&run.id));
        held.map(|held| if held.ended.is_some() { REPORT_PAUSE } else { FORMER_ATTEMPT_PAUSE }).max()
    }

    /// Nothing of a move was written by this sending. It may have been by an earlier one whose reply was lost, and the
    /// job have gone on since: runs that it started are given back, for they would stay with a node that knows nothing
    /// of them.
    fn on_not_moved(&mut self, planned: &Move) {
        let started = planned.runs.iter().filter_map(|change| match change {
            RunChange::Insert(run) => (run.state == RunState::Running).then_some(run.id.seq),
            RunChange::Start { seq, .. } => Some(*seq),
            RunChange::End { .. } | RunChange::Cancel { .. } => None,
        });
        self.entries.extend(started.map(|seq| Entry {
            run: RunId { uid: planned.uid, seq },
            fence: planned.fence,
            report: RunReport::Release,
        }));
        // Whoever changed or took the job has made it due as it should be.
        self.hear_change();
    }
}

/// Whether a run of a job is still to be started here, which further ones must not overlap.
fn waits_for_start(claimed: &ClaimedJob, unstarted: &BTreeSet<RunId>) -> bool {
    let may_overlap = claimed.job.body.options.overlap == Overlap::Allow;
    !may_overlap && claimed.running.iter().any(|run| unstarted.contains(&run.id))
}

/// Leaves a job as it is and lets the claim go.
fn stay(job: &JobRow, due: DateTime<Utc>) -> Move {
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
        task: job.body.task.clone(),
        fire_time: run.fire_time,
        first: run.first,
        count: run.count,
        attempt,
    }
}
