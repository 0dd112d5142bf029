//! The verb `claim`, inside of a transaction.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobRow, RawJob, Run, RunState, Uid,
    store::{Claim, Claimed, ClaimedJob, DECLINED_LIMIT, Declined, Report, StoreError},
};
use serde_json::{Value, json};

use super::{
    Statement, Text, Transaction,
    nodes::{self, adopt},
    query, text, time,
};
use crate::{
    kit::columns::{Columns, StoredHead, decode_job, decode_run},
    kit::rules::{earlier, lease_end},
};

/// The due jobs that the node can take, and those that nobody can read.
#[derive(Default)]
struct Selection {
    jobs: Vec<(StoredHead, JobRow)>,
    broken: Vec<(Value, RawJob)>,
    /// The due of the first job that the limit left out.
    left_out: Option<DateTime<Utc>>,
    running: HashMap<Uid, Vec<Run>>,
    waiting: HashMap<Uid, Vec<Run>>,
}

pub(crate) async fn claim(tx: &mut impl Transaction, claim: &Claim) -> Result<Claimed, StoreError> {
    let now = tx.now(claim.at);
    let until = lease_end(now, claim.lease);
    let own = nodes::node(tx, &claim.owner).await?;
    if own.is_some_and(|node| claim.seq <= node.last_claim_seq) {
        // Not the caller's latest claim: it takes nothing, but must not let its caller sleep either.
        let first = select(tx, claim, now).await?.jobs.first().and_then(|(stored, _)| stored.head.due);
        return Ok(Claimed::nothing(now, earlier(first, next_due(tx, claim, now, until).await?)));
    }
    let are_runs_left = adopt(tx, claim, now).await?;
    let selection = select(tx, claim, now).await?;
    quarantine(tx, &selection.broken).await?;
    if !selection.jobs.is_empty() {
        let keys = selection.jobs.iter().map(|(stored, _)| stored.key.clone());
        tx.run(query(&tx.sql().claim).node(&claim.owner).time(Some(until)).list(keys)).await?;
    }
    let node = query(&tx.sql().write_node).node(&claim.owner).time(Some(until));
    tx.run(node.count(claim.seq).time(Some(now))).await?;
    let more = are_runs_left || selection.left_out.is_some();
    let next_due = if more { earlier(Some(now), selection.left_out) } else { next_due(tx, claim, now, until).await? };
    let declined = declined(tx, claim, now).await?;
    Ok(selection.into_reply(now, declined, next_due, more))
}

async fn select(tx: &mut impl Transaction, claim: &Claim, now: DateTime<Utc>) -> Result<Selection, StoreError> {
    let due = able(&tx.sql().due, claim, now).node(&claim.owner).time(claim.lapsed_by(now));
    let rows = tx.all(due.count(claim.limit.saturating_add(1))).await?;
    let mut selection = Selection::default();
    for (at, row) in rows.iter().enumerate() {
        let (stored, decoded) = decode_job(row);
        if at == claim.limit {
            selection.left_out = stored.head.due;
            break;
        }
        match decoded {
            Ok(job) => selection.jobs.push((stored, job)),
            Err(raw) => selection.broken.push((stored.key, raw)),
        }
    }
    selection.read_open_runs(tx).await?;
    Ok(selection)
}

impl Selection {
    async fn read_open_runs(&mut self, tx: &mut impl Transaction) -> Result<(), StoreError> {
        let ran: Vec<_> = self.jobs.iter().filter(|(_, job)| job.last_seq > 0).map(|(_, job)| json!(job.uid)).collect();
        if ran.is_empty() {
            return Ok(());
        }
        let rows = tx.all(query(&tx.sql().open_runs).list(ran)).await?;
        let mut broken: HashMap<String, String> = HashMap::new();
        for row in &rows {
            match decode_run(row) {
                Ok(run) if run.state == RunState::Running => self.running.entry(run.id.uid).or_default().push(run),
                Ok(run) => self.waiting.entry(run.id.uid).or_default().push(run),
                Err(reason) => drop(broken.insert(text(row, 0), reason)),
            }
        }
        // A job with a run that nobody can read cannot be counted, and is left to a person as well.
        let (unsound, sound) =
            std::mem::take(&mut self.jobs).into_iter().partition(|(_, job)| broken.contains_key(&job.uid.to_string()));
        self.jobs = sound;
        let raw = |(stored, job): (StoredHead, JobRow)| {
            let uid = job.uid.to_string();
            let reason = broken.remove(&uid).unwrap_or_default();
            let body = serde_json::to_string(&job.body).unwrap_or_default();
            (stored.key, RawJob { uid, id: job.id, body, reason })
        };
        let unsound: Vec<(StoredHead, JobRow)> = unsound;
        self.broken.extend(unsound.into_iter().map(raw));
        Ok(())
    }

    fn into_reply(
        mut self,
        now: DateTime<Utc>,
        declined: Vec<Declined>,
        next_due: Option<DateTime<Utc>>,
        more: bool,
    ) -> Claimed {
        let jobs = self.jobs.into_iter().map(|(_, mut job)| {
            job.fence = job.fence.saturating_add(1);
            let running = self.running.remove(&job.uid).unwrap_or_default();
            let waiting = self.waiting.remove(&job.uid).unwrap_or_default();
            ClaimedJob::new(job, running.iter().chain(&waiting))
        });
        let jobs = jobs.collect();
        let quarantined = self.broken.into_iter().map(|(_, raw)| raw).collect();
        Claimed::nothing(now, next_due)
            .with_jobs(jobs)
            .with_quarantined(quarantined)
            .with_declined(declined)
            .with_more(more)
    }
}

async fn quarantine(tx: &mut impl Transaction, broken: &[(Value, RawJob)]) -> Result<(), StoreError> {
    if !broken.is_empty() {
        let rows = broken.iter().map(|(key, raw)| json!([key, raw.reason]));
        tx.run(query(&tx.sql().quarantine).list(rows)).await?;
    }
    Ok(())
}

/// When the node should claim again, if it has taken all that is due.
async fn next_due(
    tx: &mut impl Transaction,
    claim: &Claim,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let next = able(&tx.sql().next, claim, now).node(&claim.owner).time(Some(until));
    let row = tx.first(next).await?;
    Ok(row.and_then(|row| (0..3).filter_map(|at| time(&row, at)).min()))
}

async fn declined(tx: &mut impl Transaction, claim: &Claim, now: DateTime<Utc>) -> Result<Vec<Declined>, StoreError> {
    if claim.declined == Report::Nothing {
        return Ok(Vec::new());
    }
    let rows = tx.all(able(&tx.sql().declined, claim, now).count(DECLINED_LIMIT)).await?;
    Ok(rows.iter().map(declined_job).collect())
}

fn declined_job(row: &impl Columns) -> Declined {
    let v = row.integer(2).ok().flatten().and_then(|v| u32::try_from(v).ok());
    Declined { id: text(row, 0).into(), task: text(row, 1).into(), v: v.unwrap_or_default() }
}

/// A statement whose first arguments are a time, the node's tasks and the newest version that it reads.
fn able(text: &Text, claim: &Claim, now: DateTime<Utc>) -> Statement {
    query(text).time(Some(now)).text(json!(claim.tasks).to_string()).integer(claim.max_v)
}
