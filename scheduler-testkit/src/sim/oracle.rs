//! What must hold whatever goes wrong, checked at each step against what the store was seen to do.
//!
//! The oracle sees each call in the order in which the store performs it, with the store's answer, and what the engines
//! do and tell. It knows triggers, but neither the plan nor the engine.

mod job;
mod plan;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use chrono::{DateTime, Utc};
use scheduler_core::{
    Event, EventKind, JobId, LimitKey, NodeId, RunId, RunRef, RunState, Uid, Verdict, Wait,
    engine::{Start, StoreCall, StoreReply},
    store::{
        Cancelled, Claim, Hold, Inserted, Record, Recorded, Removed, RunReport, Settle, SettleOutcome, Settled, Turn,
        TurnReply, Updated,
    },
};

use self::{
    job::{Job, Verdicts},
    plan::Shown,
};

/// Why a promise was broken, in words.
pub(super) type Broken = String;

/// What the oracle knows.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    jobs: BTreeMap<Uid, Job>,
    executing: Vec<Execution>,
    /// Until when the store leaves a node's runs alone.
    leases: BTreeMap<NodeId, DateTime<Utc>>,
    /// The number of each node's last claim.
    claims: BTreeMap<NodeId, u64>,
    told: BTreeMap<NodeId, Told>,
    started: BTreeSet<(RunId, u64)>,
    /// What claims have shown of jobs that have not been planned since, by the fence of the claim.
    shown: BTreeMap<(Uid, u64), Shown>,
    /// Nodes that are shut down and do not wait for ever.
    stopping: BTreeSet<NodeId>,
    /// The keys that have a limit.
    limits: BTreeMap<LimitKey, NonZeroU32>,
    /// The keys under which runs have been started by the last call.
    started_under: BTreeSet<LimitKey>,
}

/// What a node has told so far.
#[derive(Debug, Default)]
struct Told {
    seq: u64,
    submitted: BTreeSet<(RunId, u32)>,
}

/// An attempt that a node executes.
#[derive(Debug)]
struct Execution {
    run: RunId,
    node: NodeId,
    fence: u64,
    /// Whether the lease under which it was started has been kept up ever since.
    is_covered: bool,
}

/// A run that was taken over from a node.
#[derive(Debug)]
pub(super) struct Adopted {
    pub(super) run: RunId,
    pub(super) from: NodeId,
}

impl Oracle {
    /// The store has performed a call. `now` is the time by which it decided.
    pub(super) fn performed(
        &mut self,
        now: DateTime<Utc>,
        sent_at: Option<DateTime<Utc>>,
        call: &StoreCall,
        reply: &StoreReply,
    ) -> Result<Vec<Adopted>, Broken> {
        self.started_under.clear();
        match (call, reply) {
            (StoreCall::SetKeyLimit(_, key, limit), StoreReply::SetKeyLimit) => {
                match limit {
                    Some(limit) => self.limits.insert(key.clone(), *limit),
                    None => self.limits.remove(key),
                };
            }
            (StoreCall::Insert(_, rows), StoreReply::Insert(outcomes)) => {
                for (row, outcome) in rows.iter().zip(&outcomes.value) {
                    if *outcome == Inserted::Added {
                        let is_taken = |job: &Job| job.id == row.id && job.uid() != row.uid && !job.is_over();
                        if let Some(holder) = self.jobs.values().find(|job| is_taken(job)) {
                            let open = holder.open_runs().count();
                            return Err(format!("id {} is added beside a job of {open} open runs", row.id));
                        }
                        self.jobs.entry(row.uid).or_insert_with(|| Job::new(row));
                    }
                }
            }
            (StoreCall::Update(_, update), StoreReply::Update(outcome)) => {
                if let Updated::Updated(row) = &outcome.value {
                    self.job(update.uid)?.updated(update, row, sent_at.unwrap_or(now))?;
                }
            }
            (StoreCall::Cancel(_, _, run), StoreReply::Cancel(outcome)) if outcome.value == Cancelled::Asked => {
                self.job(run.uid)?.asked_to_stop(run.seq)?;
            }
            (StoreCall::Remove(..), StoreReply::Remove(outcomes)) => {
                for outcome in &outcomes.value {
                    if let Removed::Removed { uid: Some(uid), cancelled, .. } = outcome {
                        self.job(*uid)?.removed(cancelled.iter().map(|it| it.run.id.seq))?;
                    }
                }
            }
            (StoreCall::Turn(turn), StoreReply::Turn(reply)) => return self.turned(now, turn, reply),
            (StoreCall::Release(_, node), StoreReply::Release) => {
                self.jobs.values_mut().for_each(|job| job.released(node));
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn turned(&mut self, now: DateTime<Utc>, turn: &Turn, reply: &TurnReply) -> Result<Vec<Adopted>, Broken> {
        if let (Some(record), Some(recorded)) = (&turn.record, &reply.record) {
            self.recorded(now, record, recorded)?;
        }
        if let (Some(settle), Some(settled)) = (&turn.settle, &reply.settle) {
            self.settled(now, settle, settled)?;
        }
        let mut adopted = Vec::new();
        if let (Some(claim), Some(claimed)) = (&turn.claim, &reply.claim) {
            self.claimed(now, claim);
            for claimed in &claimed.jobs {
                self.shows(claimed);
                let job = self.job(claimed.job.uid)?;
                // One that an earlier claim left out may have been taken over long ago.
                let was_all = std::mem::replace(&mut job.is_all_shown, claimed.waiting.len() == claimed.waiting_count);
                for run in claimed.waiting.iter().filter(|run| run.state == RunState::Waiting(Wait::Orphan)) {
                    let from = job.adopted(run.id.seq)?;
                    adopted.extend(from.filter(|_| was_all).map(|from| Adopted { run: run.id, from }));
                }
            }
        }
        Ok(adopted)
    }

    /// A claim that is not overtaken by another renews the lease of a node that holds something.
    fn claimed(&mut self, now: DateTime<Utc>, claim: &Claim) {
        let last = self.claims.entry(claim.owner.clone()).or_default();
        let is_overtaken = claim.seq <= *last;
        *last = claim.seq.max(*last);
        if !is_overtaken && self.jobs.values().any(|job| job.is_run_by(&claim.owner)) {
            self.renew(&claim.owner, now, claim.lease);
        }
    }

    fn recorded(&mut self, now: DateTime<Utc>, record: &Record, recorded: &Recorded) -> Result<(), Broken> {
        for (entry, outcome) in record.entries.iter().zip(&recorded.outcomes) {
            if !outcome.is_written() {
                continue;
            }
            let is_stopping = self.stopping.contains(&record.owner);
            let attempt = (&record.owner, entry.run, entry.fence);
            if let Some(executed) = self.executing.iter_mut().find(|it| (&it.node, it.run, it.fence) == attempt) {
                if !is_stopping {
                    return Err(format!("run {} is reported by {} while it executes", entry.run, record.owner));
                }
                // It is cut off, and does not count any more.
                executed.is_covered = false;
            }
            let job = self.job(entry.run.uid)?;
            match &entry.report {
                RunReport::End { verdict, .. } => {
                    job.ended(now, entry.run.seq, (&record.owner, entry.fence), *verdict, is_stopping)?;
                }
                RunReport::Retry { error, .. } => {
                    let is_lost = error.as_deref() == Some("its node lost its lease");
                    job.put_off(entry.run.seq, (&record.owner, entry.fence), is_lost)?;
                }
                RunReport::Release => job.given_back(entry.run.seq, &record.owner, entry.fence),
            }
        }
        for (uid, _) in &recorded.over {
            self.job(*uid)?.finished()?;
        }
        match recorded.hold {
            Hold::Kept => self.renew(&record.owner, now, record.lease),
            // A claim that took over from it need not have shown that, among many runs.
            Hold::Lost => self.uncover(&record.owner),
        }
        Ok(())
    }

    fn settled(&mut self, now: DateTime<Utc>, settle: &Settle, settled: &Settled) -> Result<(), Broken> {
        for (to, outcome) in settle.moves.iter().zip(&settled.outcomes) {
            if let SettleOutcome::Applied { job: fate } = outcome {
                let job = self.job(to.uid)?;
                let key = to.limit_key.clone().filter(|_| !job.has_moved(to.fence) && to.starts().next().is_some());
                job.moved(to, &settle.owner, now)?;
                if fate.is_over() {
                    job.finished()?;
                }
                self.started_under.extend(key);
            }
        }
        self.renew(&settle.owner, now, settle.lease);
        Ok(())
    }

    /// A node has been heard. What it executes is no longer covered if its lease had passed before.
    fn renew(&mut self, node: &NodeId, now: DateTime<Utc>, lease: Duration) {
        if !self.is_lease_held(node, now) {
            self.uncover(node);
        }
        let until = now + lease;
        let known = self.leases.entry(node.clone()).or_insert(until);
        *known = until.max(*known);
    }

    /// A node is shut down and does not wait for ever: what it executes may be cut off, whether it listens or not.
    pub(super) fn ends_in_good_order(&mut self, node: &NodeId) {
        self.stopping.insert(node.clone());
    }

    /// What a node executes does not count any more.
    fn uncover(&mut self, node: &NodeId) {
        self.executing.iter_mut().filter(|it| it.node == *node).for_each(|it| it.is_covered = false);
    }

    fn is_lease_held(&self, node: &NodeId, now: DateTime<Utc>) -> bool {
        self.leases.get(node).is_some_and(|until| now < *until)
    }

    /// A node starts an attempt. `now` is the true time.
    pub(super) fn starts(
        &mut self,
        now: DateTime<Utc>,
        node: &NodeId,
        start: &Start,
        slots: Option<NonZeroUsize>,
    ) -> Result<(), Broken> {
        let run = start.run;
        let executed = self.executing.iter().filter(|it| it.node == *node).count();
        if slots.is_some_and(|slots| executed >= slots.get()) {
            return Err(format!("run {run} starts on {node}, whose executor runs {executed} already"));
        }
        if !self.is_lease_held(node, now) {
            return Err(format!("run {run} starts on {node} after its lease"));
        }
        if !self.started.insert((run, start.fence)) {
            return Err(format!("run {run} starts twice under fence {}", start.fence));
        }
        let is_covered = |it: &&Execution| it.is_covered && self.is_lease_held(&it.node, now);
        if let Some(other) = self.executing.iter().filter(is_covered).find(|it| it.run == run) {
            return Err(format!("run {run} starts on {node} while {} executes it under its lease", other.node));
        }
        let others = self.executing.iter().filter(is_covered).filter(|it| it.run.uid == run.uid).count();
        let job = self.jobs.get_mut(&run.uid).ok_or_else(|| format!("run {run} of an unknown job starts"))?;
        job.starts(now, run.seq, others)?;
        self.executing.push(Execution { run, node: node.clone(), fence: start.fence, is_covered: true });
        Ok(())
    }

    /// An attempt has ended on a node, as the node's executor sees it.
    pub(super) fn stops(&mut self, node: &NodeId, run: RunId, fence: u64) {
        self.executing.retain(|it| (&it.node, it.run, it.fence) != (node, run, fence));
    }

    /// A node is gone, with what it executed.
    pub(super) fn dies(&mut self, node: &NodeId) {
        self.executing.retain(|it| it.node != *node);
    }

    /// A node tells its listeners.
    pub(super) fn told(&mut self, node: &NodeId, event: &Event) -> Result<(), Broken> {
        let told = self.told.entry(node.clone()).or_default();
        if event.seq != told.seq + 1 {
            return Err(format!("event {} of {node} follows event {}", event.seq, told.seq));
        }
        told.seq = event.seq;
        let is_submitted = |run: &RunRef| told.submitted.contains(&(run.run, run.attempt));
        let verdict = match &event.kind {
            EventKind::RunSubmitted(run) => {
                let is_known = self.jobs.get(&run.run.uid).is_some_and(|job| job.has_been_started(run.run.seq));
                told.submitted.insert((run.run, run.attempt));
                return expect(is_known, || format!("run {} is told submitted before it is settled", run.run));
            }
            EventKind::RunQueued(run) => {
                let is_known = self.jobs.get(&run.run.uid).is_some_and(|job| job.has(run.run.seq));
                return expect(is_known, || format!("run {} is told queued before it is settled", run.run));
            }
            EventKind::RunExecuted { run, .. } | EventKind::RunError { run, .. } => {
                expect(is_submitted(run), || format!("run {} is told ended before submitted", run.run))?;
                (run, if matches!(event.kind, EventKind::RunError { .. }) { Verdict::Error } else { Verdict::Ok })
            }
            EventKind::RunTimeout { run, .. } => {
                expect(is_submitted(run), || format!("run {} is told timed out before submitted", run.run))?;
                (run, Verdict::Timeout)
            }
            EventKind::RunRetried { run, .. } => {
                expect(is_submitted(run), || format!("run {} is told repeated before submitted", run.run))?;
                let is_so =
                    self.jobs.get(&run.run.uid).is_some_and(|job| job.retries(run.run.seq) > 0 || job.is_over());
                return expect(is_so, || format!("run {} is told repeated before the store has it", run.run));
            }
            EventKind::RunGivenBack(run) => {
                expect(is_submitted(run), || format!("run {} is told given back before submitted", run.run))?;
                let is_so = self.jobs.get(&run.run.uid).is_some_and(|job| job.was_given_back(run.run.seq));
                return expect(is_so, || format!("run {} is told given back before the store has it", run.run));
            }
            EventKind::RunCancelled(run) => (run, Verdict::Cancelled),
            EventKind::RunLost(run) => (run, Verdict::Lost),
            EventKind::RunCoalesced(run) => (run, Verdict::Coalesced),
            EventKind::RunMissed(run) => (run, Verdict::Missed),
            EventKind::RunSkipped(run) => (run, Verdict::Skipped),
            EventKind::JobAdded(job) => {
                return expect(self.jobs.contains_key(&job.uid), || {
                    format!("job {} is told added before it is", job.id)
                });
            }
            EventKind::JobRemoved { job, .. } => {
                let is_gone = self.jobs.get(&job.uid).is_some_and(Job::is_over);
                return expect(is_gone, || format!("job {} is told removed before it is", job.id));
            }
            _ => return Ok(()),
        };
        let (run, verdict) = verdict;
        // Of a retry in a job that was removed meanwhile, a node cannot tell whether it came before that or after.
        let is_so = |job: &Job| {
            job.verdict(run.run.seq) == Some(verdict)
                || verdict == Verdict::Error && job.is_over() && job.retries(run.run.seq) > 0
        };
        let is_so = self.jobs.get(&run.run.uid).is_some_and(is_so);
        expect(is_so, || format!("run {} is told {verdict} before the store has it", run.run))
    }

    /// The keys with a limit under which the last call has started runs, with the limit and the runs that may be running under them.
    pub(super) fn limited_starts(&self) -> Vec<(LimitKey, usize, Vec<RunId>)> {
        let limited = self.started_under.iter().filter_map(|key| Some((key, self.limits.get(key)?)));
        let running = |key| self.jobs.values().flat_map(move |job| job.running_under(key)).collect();
        limited.map(|(key, limit)| (key.clone(), limit.get() as usize, running(key))).collect()
    }

    /// The runs that have not ended, in jobs that were not removed.
    pub(super) fn open_runs(&self) -> impl Iterator<Item = RunId> + '_ {
        self.jobs.values().flat_map(Job::open_runs)
    }

    /// The jobs that are over and stay known for longer than a simulation takes, with the verdicts of their runs by number.
    pub(super) fn retained(&self) -> Vec<(Uid, Verdicts)> {
        let retained = self.jobs.values().filter(|job| job.is_retained());
        retained.map(|job| (job.uid(), job.verdicts())).collect()
    }

    /// Those with their jobs.
    pub(super) fn open_runs_of_jobs(&self) -> Vec<(JobId, RunId)> {
        self.jobs.values().flat_map(|job| job.open_runs().map(|run| (job.id.clone(), run))).collect()
    }

    /// A node has told a user that it will run a job under this id.
    pub(super) fn promised(&self, run: RunId) -> Result<(), Broken> {
        let is_known = self.jobs.get(&run.uid).is_some_and(|job| job.has(run.seq));
        expect(is_known, || format!("run {run} is promised before it is in the store"))
    }

    /// How long an attempt of a run may take.
    pub(super) fn timeout(&self, run: RunId) -> Option<Duration> {
        self.jobs.get(&run.uid)?.timeout(run.seq)
    }

    /// How many attempts were repeated.
    pub(super) fn retries(&self) -> u64 {
        self.jobs.values().map(Job::all_retries).sum()
    }

    /// How many runs were given back after they had started.
    pub(super) fn given_back(&self) -> u64 {
        self.jobs.values().map(Job::given_back_runs).sum()
    }

    /// How many runs timed out in the end.
    pub(super) fn timeouts(&self) -> u64 {
        self.jobs.values().map(Job::timeouts).sum()
    }

    /// How many runs there were.
    pub(super) fn run_count(&self) -> usize {
        self.jobs.values().map(Job::run_count).sum()
    }

    pub(super) fn ids(&self) -> Vec<JobId> {
        self.jobs.values().map(|job| job.id.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The node and fence that run a run, as the store has it.
    pub(super) fn runner(&self, run: RunId) -> Option<(NodeId, u64)> {
        self.jobs.get(&run.uid)?.runner(run.seq)
    }

    fn job(&mut self, uid: Uid) -> Result<&mut Job, Broken> {
        self.jobs.get_mut(&uid).ok_or_else(|| format!("the store knows a job {uid} that was not added"))
    }
}

fn expect(is_so: bool, broken: impl FnOnce() -> Broken) -> Result<(), Broken> {
    if is_so { Ok(()) } else { Err(broken()) }
}
