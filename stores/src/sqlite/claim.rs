//! The verb `claim`, inside of a transaction.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobRow, NodeId, RawJob, Run, RunState, Uid, Wait,
    store::{Adopt, CLAIMED_RUNS, Claim, Claimed, ClaimedJob, DECLINED_LIMIT, Declined, Report, StoreError},
};
use serde_json::json;

use super::{
    connection::{Statement, Tx, list, number, query, text, time},
    listing::count,
    sql::Text,
    verbs::{earlier, has_runs, take_from_node},
};
use crate::{
    codec::{Columns, StoredHead, decode_job, decode_run},
    head::whole_micros,
};

/// A node as the table has it.
struct Node {
    id: NodeId,
    lease_until: Option<DateTime<Utc>>,
    last_claim_seq: u64,
    has_runs: bool,
}

/// The due jobs that the node can take, and those that nobody can read.
#[derive(Default)]
struct Selection {
    jobs: Vec<(StoredHead, JobRow)>,
    broken: Vec<(i64, RawJob)>,
    /// The due of the first job that the limit left out.
    left_out: Option<DateTime<Utc>>,
    running: HashMap<Uid, Vec<Run>>,
    waiting: HashMap<Uid, Vec<Run>>,
}

pub(super) async fn claim(tx: &mut Tx<'_>, claim: &Claim) -> Result<Claimed, StoreError> {
    let now = whole_micros(claim.at);
    let nodes = nodes(tx).await?;
    let own = nodes.iter().find(|node| node.id == claim.owner);
    if own.is_some_and(|node| claim.seq <= node.last_claim_seq) {
        // Not the caller's latest claim: it takes nothing, but must not let its caller sleep either.
        let first = select(tx, claim, now).await?.jobs.first().and_then(|(stored, _)| stored.head.due);
        return Ok(Claimed::nothing(now, earlier(first, next_due(tx, claim, now).await?)));
    }
    let are_runs_left = claim.adopt == Adopt::Lapsed && adopt(tx, &nodes, claim, now).await?;
    let selection = select(tx, claim, now).await?;
    quarantine(tx, &selection.broken).await?;
    if !selection.jobs.is_empty() {
        let keys = list(selection.jobs.iter().map(|(stored, _)| json!(stored.key)));
        let until = (now + claim.lease).timestamp_micros();
        tx.run(query(&tx.sql.claim).bind(claim.owner.to_string()).bind(until).bind(keys)).await?;
    }
    if !selection.jobs.is_empty() || holds(tx, &claim.owner).await? {
        let until = (now + claim.lease).timestamp_micros();
        let node = query(&tx.sql.write_node).bind(claim.owner.to_string()).bind(until);
        tx.run(node.bind(i64::try_from(claim.seq).unwrap_or(i64::MAX))).await?;
    }
    let more = are_runs_left || selection.left_out.is_some();
    let next_due = if more { earlier(Some(now), selection.left_out) } else { next_due(tx, claim, now).await? };
    let declined = declined(tx, claim, now).await?;
    Ok(selection.into_reply(now, declined, next_due, more))
}

async fn nodes(tx: &mut Tx<'_>) -> Result<Vec<Node>, StoreError> {
    let rows = tx.all(query(&tx.sql.nodes)).await?;
    let node = |row: &sqlx::sqlite::SqliteRow| Node {
        id: text(row, 0).into(),
        lease_until: time(row, 1),
        last_claim_seq: number(row, 2),
        has_runs: number(row, 3) == 1,
    };
    Ok(rows.iter().map(node).collect())
}

/// Takes over the runs of nodes whose lease has passed, up to a limit, and says whether some are left.
async fn adopt(tx: &mut Tx<'_>, nodes: &[Node], claim: &Claim, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let is_lapsed = |node: &&Node| node.id != claim.owner && node.lease_until.is_none_or(|until| until <= now);
    let mut free = claim.limit;
    for node in nodes.iter().filter(is_lapsed) {
        let taken = if node.has_runs { take_from_node(tx, &node.id, Wait::Orphan, free, now).await? } else { 0 };
        free -= taken;
        let is_any_left = free == 0 && has_runs(tx, &node.id).await?;
        if !is_any_left {
            tx.run(query(&tx.sql.delete_node).bind(node.id.to_string())).await?;
        } else {
            if taken > 0 {
                tx.run(query(&tx.sql.take_node).bind(node.id.to_string())).await?;
            }
            return Ok(true);
        }
    }
    Ok(false)
}

async fn holds(tx: &mut Tx<'_>, node: &NodeId) -> Result<bool, StoreError> {
    let row = tx.first(query(&tx.sql.holds).bind(node.to_string())).await?;
    Ok(row.is_some_and(|row| number(&row, 0) == 1))
}

async fn select(tx: &mut Tx<'_>, claim: &Claim, now: DateTime<Utc>) -> Result<Selection, StoreError> {
    let lapsed = (claim.adopt == Adopt::Lapsed).then(|| now.timestamp_micros());
    let due = able(&tx.sql.due, claim, now.timestamp_micros()).bind(claim.owner.to_string()).bind(lapsed);
    let rows = tx.all(due.bind(count(claim.limit.saturating_add(1)))).await?;
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
    async fn read_open_runs(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let ran: Vec<_> = self.jobs.iter().filter(|(_, job)| job.last_seq > 0).map(|(_, job)| json!(job.uid)).collect();
        if ran.is_empty() {
            return Ok(());
        }
        let rows = tx.all(query(&tx.sql.open_runs).bind(list(ran))).await?;
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
            job.fence += 1;
            let mut running = self.running.remove(&job.uid).unwrap_or_default();
            let mut waiting = self.waiting.remove(&job.uid).unwrap_or_default();
            let (running_count, waiting_count) = (running.len(), waiting.len());
            running.sort_by_key(|run| run.id.seq);
            running.truncate(CLAIMED_RUNS);
            waiting.sort_by_key(|run| (run.due, run.id.seq));
            waiting.truncate(CLAIMED_RUNS);
            ClaimedJob { job, running_count, running, waiting_count, waiting }
        });
        let jobs = jobs.collect();
        let quarantined = self.broken.into_iter().map(|(_, raw)| raw).collect();
        Claimed { now, jobs, quarantined, declined, next_due, more }
    }
}

async fn quarantine(tx: &mut Tx<'_>, broken: &[(i64, RawJob)]) -> Result<(), StoreError> {
    if !broken.is_empty() {
        let rows = list(broken.iter().map(|(key, raw)| json!([key, raw.reason])));
        tx.run(query(&tx.sql.quarantine).bind(rows)).await?;
    }
    Ok(())
}

/// When the node should claim again, if it has taken all that is due.
async fn next_due(tx: &mut Tx<'_>, claim: &Claim, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
    let due = able(&tx.sql.next_due, claim, now.timestamp_micros()).bind(claim.owner.to_string());
    let due = tx.first(due).await?.and_then(|row| time(&row, 0));
    let tasks = json!(claim.tasks).to_string();
    let claim_end = query(&tx.sql.next_claim_end).bind(claim.owner.to_string()).bind(tasks).bind(claim.max_v);
    let claim_end = tx.first(claim_end).await?.and_then(|row| time(&row, 0));
    let others = nodes(tx).await?.into_iter().filter(|node| node.id != claim.owner && node.has_runs);
    let lease_end = others.map(|node| node.lease_until.unwrap_or(now)).min();
    Ok(earlier(due, earlier(claim_end, lease_end)))
}

async fn declined(tx: &mut Tx<'_>, claim: &Claim, now: DateTime<Utc>) -> Result<Vec<Declined>, StoreError> {
    if claim.declined == Report::Nothing {
        return Ok(Vec::new());
    }
    let rows = tx.all(able(&tx.sql.declined, claim, now.timestamp_micros()).bind(count(DECLINED_LIMIT))).await?;
    let v = |row: &sqlx::sqlite::SqliteRow| row.integer(2).ok().flatten().and_then(|v| u32::try_from(v).ok());
    let declined = |row| Declined { id: text(row, 0).into(), task: text(row, 1).into(), v: v(row).unwrap_or_default() };
    Ok(rows.iter().map(declined).collect())
}

/// A statement whose first arguments are a time, the node's tasks and the newest version that it reads.
fn able(text: &Text, claim: &Claim, micros: i64) -> Statement {
    query(text).bind(micros).bind(json!(claim.tasks).to_string()).bind(claim.max_v)
}
