//! A node of the suite: it speaks to the store as an engine does, in one line each.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobRow, JobStore, LimitKey, NodeId, Run, RunId, RunState, Uid, Verdict, Wait,
    store::{
        Adopt, Cancelled, Claim, Claimed, ClaimedJob, Entry, Move, Record, RecordOutcome, Recorded, RunChange,
        RunReport, Settle, SettleOutcome, Settled, Update, Updated,
    },
};

use super::{Bench, LEASE};

/// A node with its handle on the store.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    bench: &'a Bench,
    /// The handle.
    pub store: &'a dyn JobStore,
    /// The node's id.
    pub id: NodeId,
}

/// A run that a node has started.
#[derive(Debug, Clone)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// The fence under which it runs.
    pub fence: u64,
    /// The job as it was claimed.
    pub claimed: ClaimedJob,
}

impl<'a> Node<'a> {
    pub(super) fn new(bench: &'a Bench, id: &str, store: &'a dyn JobStore) -> Self {
        Self { bench, store, id: id.into() }
    }

    /// The same handle under another node's name.
    pub fn renamed(mut self, name: &str) -> Self {
        self.id = name.into();
        self
    }

    /// A claim of up to a hundred jobs of the task `task` that takes nothing from other nodes.
    pub fn claim_call(&self) -> Claim {
        Claim::new(self.bench.at(), self.id.clone(), self.bench.draw(), LEASE)
            .with_tasks(Arc::new(BTreeSet::from(["task".into()])))
    }

    /// The same, sent just now, that also takes what nodes have left whose lease has passed.
    pub fn adopt_call(&self) -> Claim {
        self.claim_call().with_adopt(Adopt::LapsedBy(DateTime::<Utc>::MAX_UTC))
    }

    /// Sends a claim.
    pub async fn send(&self, claim: &Claim) -> Claimed {
        self.store.claim(claim).await.expect("a claim is answered")
    }

    /// Claims what is due.
    pub async fn claim(&self) -> Claimed {
        self.send(&self.claim_call()).await
    }

    /// Claims what is due, at most `limit`.
    pub async fn claim_up_to(&self, limit: usize) -> Claimed {
        self.send(&self.claim_call().with_limit(limit)).await
    }

    /// Claims what is due and what nodes have left whose lease has passed.
    pub async fn adopt(&self) -> Claimed {
        self.send(&self.adopt_call()).await
    }

    /// Claims and gives the one job with this id.
    pub async fn claim_one(&self, id: &str) -> ClaimedJob {
        let claimed = self.claim().await;
        let found = claimed.jobs.iter().find(|it| it.job.id == id);
        found.unwrap_or_else(|| panic!("job {id} was not claimed, but {claimed:?}")).clone()
    }

    /// Sends moves.
    pub async fn settle(&self, moves: &[Move]) -> Settled {
        let (at, owner) = (self.bench.at(), self.id.clone());
        let settle = Settle::new(at, owner, LEASE, moves.to_vec());
        self.store.settle(&settle).await.expect("a settle is answered")
    }

    /// Sends a move.
    pub async fn settle_one(&self, to: &Move) -> SettleOutcome {
        self.settle(std::slice::from_ref(to)).await.outcomes[0]
    }

    /// Claims the job, starts a run of it and leaves the job without a next fire time.
    pub async fn start(&self, id: &str) -> Started {
        self.start_and(id, |_| ()).await
    }

    /// As [`start`](Self::start), with a say in where the job is left.
    pub async fn start_and(&self, id: &str, change: impl FnOnce(&mut Move)) -> Started {
        let claimed = self.claim_one(id).await;
        let run = nth_run(&claimed, 1, RunState::Running);
        let started = Started { run: run.id, fence: claimed.job.fence, claimed: claimed.clone() };
        let mut to = moved(&claimed).with_limit_key(started.limit_key());
        to.runs.push(RunChange::Insert(run));
        change(&mut to);
        let outcome = self.settle_one(&to).await;
        assert!(matches!(outcome, SettleOutcome::Applied { .. }), "{outcome:?}");
        started
    }

    /// Sends reports.
    pub async fn record(&self, entries: &[Entry]) -> Recorded {
        self.store.record(&self.record_call(entries)).await.expect("a record is answered")
    }

    /// The call that sends reports, stamped with the present.
    pub fn record_call(&self, entries: &[Entry]) -> Record {
        let (at, owner) = (self.bench.at(), self.id.clone());
        Record::new(at, owner, LEASE, entries.to_vec())
    }

    /// Sends a report about a run.
    pub async fn report(&self, started: &Started, report: RunReport) -> RecordOutcome {
        self.record(&[started.entry(report)]).await.outcomes[0]
    }

    /// Reports a run as ended.
    pub async fn end(&self, started: &Started, verdict: Verdict) -> RecordOutcome {
        self.report(started, ended(verdict)).await
    }

    /// Renews the node's lease.
    pub async fn life_sign(&self) -> Recorded {
        self.record(&[]).await
    }

    /// Gives up everything.
    pub async fn release(&self) {
        self.store.release(self.bench.at(), &self.id).await.expect("a release is answered");
    }

    /// Asks a run of a job to stop.
    pub async fn cancel(&self, id: &str, run: RunId) -> Cancelled {
        self.store.cancel(self.bench.at(), &id.into(), run).await.expect("a request to stop is answered").value
    }

    /// Sends an update.
    pub async fn update(&self, update: &Update) -> Updated {
        self.store.update(self.bench.at(), update).await.expect("an update is answered").value
    }
}

impl Started {
    /// A report about the run.
    pub fn entry(&self, report: RunReport) -> Entry {
        Entry::new(self.run, self.fence, report).with_limit_key(self.limit_key())
    }

    fn limit_key(&self) -> Option<LimitKey> {
        self.claimed.job.body.options.limit_key.clone()
    }

    /// The job.
    pub fn uid(&self) -> Uid {
        self.run.uid
    }
}

/// A report that a run is over, after a third of a second.
pub(super) fn ended(verdict: Verdict) -> RunReport {
    RunReport::End { verdict, error: None, duration: Duration::from_millis(333), output: None }
}

/// A move that leaves a claimed job active, with the same next fire time, and not due.
pub fn moved(claimed: &ClaimedJob) -> Move {
    Move::of(&claimed.job)
}

/// The n-th new run of a claimed job, for its next fire time.
pub fn nth_run(claimed: &ClaimedJob, n: u64, state: RunState) -> Run {
    let id = RunId { uid: claimed.job.uid, seq: claimed.job.last_seq + n };
    let fire_time = claimed.job.next_fire_time.or(claimed.job.due).expect("a claimed job is due");
    Run::new(id, fire_time, state)
}

/// An update by which a run of the job is asked for at a time.
pub(super) fn request_of(job: &JobRow, at: DateTime<Utc>) -> Update {
    let id = RunId { uid: job.uid, seq: job.last_seq + 1 };
    update_of(job).with_runs(vec![Run::new(id, at, RunState::Waiting(Wait::Requested))])
}

/// An update that changes nothing of a job but its revision.
pub(super) fn update_of(job: &JobRow) -> Update {
    Update::of(job)
}
