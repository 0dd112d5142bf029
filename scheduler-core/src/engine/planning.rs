//! From claimed to a move: what becomes of a job, which is mostly for [`plan`](crate::plan) to say, within so many steps.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};

use super::{Effect, Engine, store_state::Settling};
use crate::{
    EventKind, JobId, JobRow, JobState, Now, Overlap, RunId, TaskName,
    now::later,
    panics::catch,
    plan::{Planned, plan_counting},
    store::{ClaimedJob, Move},
    trigger::TriggerErrorKind,
};

/// How long a job is left alone at first that this node cannot run though it knows the task; each further time doubles
/// it. Short, so that a node that can run it has its turn; growing, so that without one nothing spins.
const DECLINE_PAUSE: Duration = Duration::from_secs(1);

/// How often [`DECLINE_PAUSE`] doubles: up to about a minute.
const DECLINE_DOUBLINGS: u32 = 6;

/// How many steps of searching the planning of one claim may take: a few milliseconds. What is not planned then is given back
/// as due, and the next claim takes it when the engine has been told of what came meanwhile.
const CLAIM_STEPS: u32 = 50_000;

/// How many steps of a job's plan do not count: what nearly every job takes, so that a claim of many is planned at once.
pub(super) const USUAL_STEPS: u32 = 100;

/// How far the planning of a claim has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planning {
    /// Each job has been planned.
    All,
    /// The steps did not suffice, and the rest was given back as due.
    Some,
}

impl Engine {
    /// Plans what was claimed, as far as [`CLAIM_STEPS`] allow.
    pub(super) fn plan_claimed(
        &mut self,
        now: Now,
        index: usize,
        jobs: Vec<ClaimedJob>,
        store_now: DateTime<Utc>,
    ) -> (Vec<Settling>, Vec<Move>, Planning) {
        let unstarted = self.unstarted(&jobs);
        let mut steps = CLAIM_STEPS;
        let mut planning = Planning::All;
        let planned = jobs.into_iter().map(|job| {
            let planned = match steps {
                0 => {
                    planning = Planning::Some;
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
            (Settling { claimed: job, outdated: planned.outdated }, planned.to)
        });
        let (settling, moves) = planned.unzip();
        (settling, moves, planning)
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
        if let Some(pause) = self.stores[index].pause_for_former_attempt(claimed) {
            return (stay(job, later(store_now, pause)).into(), 0);
        }
        if !self.executors.contains_key(&job.body.executor) {
            let reason = format!("this node has no executor `{}`", job.body.executor);
            return (self.decline(now, index, job, store_now, reason).into(), 0);
        }
        if let Some(key) = job.body.options.limit_key.as_ref().filter(|_| !self.stores[index].keeps_key_limits()) {
            let reason = format!("this node's store keeps no limits by key, and the job has the limit key `{key}`");
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
        let times = self.notify_declined(now, index, job.id.clone(), job.body.task.clone(), reason);
        stay(job, later(store_now, DECLINE_PAUSE.saturating_mul(1 << times.min(DECLINE_DOUBLINGS))))
    }

    /// Tells of a declined job once, and says how often it has been declined before.
    pub(super) fn notify_declined(
        &mut self,
        now: Now,
        index: usize,
        job: JobId,
        task: TaskName,
        reason: String,
    ) -> u32 {
        let state = &mut self.stores[index];
        let before = state.claims.note_declined(job.clone());
        if before == 0 {
            let store = state.name.clone();
            self.notify(now, EventKind::JobDeclined { store, job, task, reason });
        }
        before
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
        limit_key: job.body.options.limit_key.clone(),
    }
}

/// Puts a job aside until it is repaired or removed.
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
        limit_key: job.body.options.limit_key.clone(),
    }
}
