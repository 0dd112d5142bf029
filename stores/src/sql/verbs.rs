//! The verbs but for `claim`, each inside of a transaction.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, JobRow, Listed, NodeId, RunId, TaskName, Uid, Wait,
    store::{
        Cancelled, Fate, Hint, Hold, Inserted, Record, RecordOutcome, Recorded, Removed, RemovedAll, Settle,
        SettleOutcome, Settled, Stamped, StoreError, StoreErrorKind, Turn, TurnReply, Update, Updated,
    },
};
use serde_json::json;

use super::{
    Transaction,
    batch::{Batch, Loaded, Lock},
    claim,
    listing::listed,
    nodes::{hold, renew, take_from_node},
    number, query,
    rows::Rows,
    text,
};
use crate::{
    kit::columns::{body_text, decode_job, job_row},
    kit::rules::{Head, UpdateStep, all_removed, check_id, earlier},
};

/// How often an id may be given up between the look at it and the next, before the call fails.
const INSERT_ATTEMPTS: usize = 3;

pub(crate) async fn insert(
    tx: &mut impl Transaction,
    at: DateTime<Utc>,
    jobs: &[JobRow],
    payload: usize,
) -> Result<Stamped<Vec<Inserted>>, StoreError> {
    for (item, job) in jobs.iter().enumerate() {
        check_id(&job.id).map_err(|error| error.with_item(item))?;
    }
    let mut left: Vec<(usize, &JobRow)> = jobs.iter().enumerate().collect();
    // One order for all calls, so that no two of them wait for each other.
    left.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
    let mut conflicts = HashMap::new();
    for _ in 0..INSERT_ATTEMPTS {
        let added = add(tx, &left, payload).await?;
        tell_of(tx, &left, &added);
        left.retain(|(_, job)| !added.contains(&job.uid));
        if left.is_empty() {
            break;
        }
        // What a database has added without a word is found here, as is what an earlier sending of the call has.
        let known = known(tx, &left).await?;
        tell_of(tx, &left, &known);
        left.retain(|(_, job)| !known.contains(&job.uid));
        if left.is_empty() {
            break;
        }
        let there = holders(tx, &left).await?;
        let (taken, free): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, job)| there.contains_key(&job.id));
        conflicts.extend(taken.into_iter().map(|(_, job)| (job.uid, Box::new(there[&job.id].clone()))));
        // Whoever had these ids is gone by now.
        left = free;
    }
    if let Some((item, job)) = left.first() {
        let message = format!("job `{}`: its id was taken and given up again and again", job.id);
        return Err(StoreError::new(StoreErrorKind::Unavailable, message).with_item(*item));
    }
    let outcome = |job: &JobRow| conflicts.remove(&job.uid).map_or(Inserted::Added, Inserted::Conflict);
    Ok(Stamped { now: tx.now(at), value: jobs.iter().map(outcome).collect() })
}

/// Lets other nodes know of those jobs that are there.
fn tell_of(tx: &mut impl Transaction, jobs: &[(usize, &JobRow)], there: &HashSet<Uid>) {
    if !there.is_empty() {
        let dues = jobs.iter().filter(|(_, job)| there.contains(&job.uid)).filter_map(|(_, job)| job.due);
        tx.tell(dues.min().map_or(Hint::Resync, Hint::Due));
    }
}

/// Adds those jobs whose uid and id are free, and says which, if the database does.
async fn add(tx: &mut impl Transaction, jobs: &[(usize, &JobRow)], payload: usize) -> Result<HashSet<Uid>, StoreError> {
    let mut added = HashSet::new();
    let mut rows = Rows::new();
    for (n, (item, job)) in jobs.iter().enumerate() {
        let body = body_text(&job.body, &job.id, payload).map_err(|error| error.with_item(*item))?;
        rows.add(|row| {
            row.word(&job.uid.to_string());
            row.word(job.id.as_str());
            row.head(&Head::inserted(job));
            row.definition(&job.body, &body);
        });
        if rows.len() > tx.room() || n + 1 == jobs.len() {
            let full = std::mem::replace(&mut rows, Rows::new());
            let reply = tx.all(query(&tx.sql().insert).text(full.finish())).await?;
            added.extend(reply.iter().filter_map(|row| text(row, 0).parse::<Uid>().ok()));
        }
    }
    Ok(added)
}

/// Which of the jobs are there.
async fn known(tx: &mut impl Transaction, jobs: &[(usize, &JobRow)]) -> Result<HashSet<Uid>, StoreError> {
    let rows = tx.all(query(&tx.sql().known).list(jobs.iter().map(|(_, job)| json!(job.uid)))).await?;
    Ok(rows.iter().filter_map(|row| text(row, 0).parse().ok()).collect())
}

/// The live jobs that have the ids of these.
async fn holders(tx: &mut impl Transaction, jobs: &[(usize, &JobRow)]) -> Result<HashMap<JobId, Listed>, StoreError> {
    let rows = tx.all(query(&tx.sql().jobs_by_id).list(jobs.iter().map(|(_, job)| json!(job.id)))).await?;
    Ok(rows.iter().map(listed).map(|entry| (entry.id().clone(), entry)).collect())
}

pub(crate) async fn update(
    tx: &mut impl Transaction,
    at: DateTime<Utc>,
    update: &Update,
    payload: usize,
) -> Result<Stamped<Updated>, StoreError> {
    let now = tx.now(at);
    let row = tx.first(query(&tx.sql().job_by_uid).text(update.uid.to_string())).await?;
    let Some((stored, Ok(job))) = row.as_ref().map(decode_job).filter(|(stored, _)| stored.head.state.is_live()) else {
        return Ok(Stamped { now, value: Updated::Gone });
    };
    let body = update.body.as_ref().map(|body| body_text(body, &stored.id, payload)).transpose()?;
    let same_body = update.body.as_ref().is_none_or(|body| *body == job.body);
    let mut batch = Batch::of_one(tx, stored).await?;
    // One that an earlier sending has added may have ended since.
    batch.load_runs(tx, update.runs.iter().filter(|run| run.is_open()).map(|run| run.id)).await?;
    let loaded = batch.job(update.uid).expect("it has just been loaded");
    let step = loaded.step(|head, runs| head.update(runs, update, same_body, now));
    let written = if step == UpdateStep::Written { update.body.clone() } else { None };
    let row = Box::new(job_row(update.uid, &loaded.stored, written.unwrap_or(job.body)));
    if step == UpdateStep::Written {
        let key = loaded.stored.key.clone();
        tx.tell(loaded.stored.head.due.map_or(Hint::Resync, Hint::Due));
        batch.write(tx).await?;
        if let (Some(definition), Some(text)) = (&update.body, body) {
            let mut rows = Rows::new();
            rows.add(|row| {
                row.value(&key);
                row.definition(definition, &text);
            });
            tx.run(query(&tx.sql().write_definitions).text(rows.finish())).await?;
        }
    }
    let value = match step {
        UpdateStep::Written | UpdateStep::Repeated => Updated::Updated(row),
        UpdateStep::Conflict => Updated::Conflict(row),
    };
    Ok(Stamped { now, value })
}

pub(crate) async fn cancel(
    tx: &mut impl Transaction,
    at: DateTime<Utc>,
    job: &JobId,
    run: RunId,
) -> Result<Stamped<Cancelled>, StoreError> {
    let now = tx.now(at);
    let mut batch = Batch::of(tx, [run.uid].into_iter(), Lock::Wait).await?;
    batch.load_runs(tx, [run].into_iter()).await?;
    let Some(loaded) = batch.job(run.uid).filter(|loaded| loaded.stored.id == *job) else {
        return Ok(Stamped { now, value: Cancelled::Gone });
    };
    let (value, hint) = loaded.step(|head, runs| head.cancel(runs, run.seq, now));
    batch.write(tx).await?;
    if let Some(hint) = hint {
        tx.tell(hint);
    }
    Ok(Stamped { now, value })
}

pub(crate) async fn remove(
    tx: &mut impl Transaction,
    at: DateTime<Utc>,
    ids: &[JobId],
) -> Result<Stamped<Vec<Removed>>, StoreError> {
    let now = tx.now(at);
    if ids.is_empty() {
        return Ok(Stamped { now, value: Vec::new() });
    }
    let heads = query(&tx.sql().heads_by_id).list(ids.iter().map(|id| json!(id)));
    let mut batch = Batch::load(tx, heads).await?;
    let tasks = tasks_of_waiting(tx, &mut batch).await?;
    let value = ids.iter().map(|id| batch.job_by_id(id).map_or(Removed::Gone, |job| remove_one(job, &tasks, now)));
    let value: Vec<Removed> = value.collect();
    batch.write(tx).await?;
    if value.iter().any(|outcome| *outcome != Removed::Gone) {
        tx.tell(Hint::Resync);
    }
    Ok(Stamped { now, value })
}

pub(crate) async fn remove_all(
    tx: &mut impl Transaction,
    at: DateTime<Utc>,
    page: usize,
) -> Result<Stamped<RemovedAll>, StoreError> {
    let now = tx.now(at);
    let mut removed = Vec::new();
    loop {
        let mut batch = Batch::load(tx, query(&tx.sql().heads_of_live).count(page)).await?;
        if batch.jobs().is_empty() {
            break;
        }
        let tasks = tasks_of_waiting(tx, &mut batch).await?;
        removed.extend(batch.jobs().iter_mut().map(|job| remove_one(job, &tasks, now)));
        batch.write(tx).await?;
    }
    if !removed.is_empty() {
        tx.tell(Hint::Resync);
    }
    Ok(Stamped { now, value: all_removed(removed) })
}

fn remove_one(job: &mut Loaded, tasks: &HashMap<Uid, TaskName>, now: DateTime<Utc>) -> Removed {
    let runs = job.step(|head, runs| head.remove(runs, now));
    job.fate = job.fate_now();
    let uid = job.stored.uid.clone().ok();
    let task = uid.and_then(|uid| tasks.get(&uid)).cloned().unwrap_or_else(|| "".into());
    runs.outcome(uid, &job.stored.id, &task)
}

/// The tasks of those jobs that have a waiting run, which most jobs have not.
async fn tasks_of_waiting(tx: &mut impl Transaction, batch: &mut Batch) -> Result<HashMap<Uid, TaskName>, StoreError> {
    let waiting = batch.jobs().iter().filter(|job| job.has_waiting_run());
    let uids: Vec<Uid> = waiting.filter_map(|job| job.stored.uid.clone().ok()).collect();
    if uids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tx.all(query(&tx.sql().tasks).list(uids.into_iter().map(|uid| json!(uid)))).await?;
    Ok(rows.iter().filter_map(|row| Some((text(row, 0).parse().ok()?, text(row, 1).into()))).collect())
}

pub(crate) async fn settle(tx: &mut impl Transaction, settle: &Settle) -> Result<Settled, StoreError> {
    let mut batch = Batch::of(tx, uids_of_moves(settle), Lock::Wait).await?;
    let settled = settle_in(tx, &mut batch, settle).await?;
    renew(tx, &settle.owner, settled.now, settle.lease).await?;
    Ok(settled)
}

pub(crate) async fn record(tx: &mut impl Transaction, record: &Record) -> Result<Recorded, StoreError> {
    let mut batch = Batch::of(tx, uids_of_entries(record), Lock::Wait).await?;
    record_in(tx, &mut batch, record).await
}

/// Loads the jobs of both verbs at once, so that they are locked in one order, and then takes one step after the other.
pub(crate) async fn turn(tx: &mut impl Transaction, turn: &Turn) -> Result<TurnReply, StoreError> {
    let uids = turn.record.iter().flat_map(uids_of_entries).chain(turn.settle.iter().flat_map(uids_of_moves));
    let mut batch = Batch::of(tx, uids, Lock::Wait).await?;
    let mut reply = TurnReply::default();
    if let Some(record) = &turn.record {
        reply.record = Some(record_in(tx, &mut batch, record).await?);
    }
    if let Some(settle) = &turn.settle {
        let settled = settle_in(tx, &mut batch, settle).await?;
        if !has_renewed(turn, &reply, &settled) {
            renew(tx, &settle.owner, settled.now, settle.lease).await?;
        }
        reply.settle = Some(settled);
    }
    if let Some(claim) = &turn.claim {
        reply.claim = Some(claim::claim(tx, claim).await?);
    }
    Ok(reply)
}

/// Whether the record of a turn has renewed the lease as its settle would.
fn has_renewed(turn: &Turn, reply: &TurnReply, settled: &Settled) -> bool {
    let (Some(record), Some(recorded), Some(settle)) = (&turn.record, &reply.record, &turn.settle) else {
        return false;
    };
    let is_same = (&record.owner, record.lease, recorded.now) == (&settle.owner, settle.lease, settled.now);
    is_same && recorded.hold == Hold::Kept
}

fn uids_of_moves(settle: &Settle) -> impl Iterator<Item = Uid> {
    settle.moves.iter().map(|to| to.uid)
}

fn uids_of_entries(record: &Record) -> impl Iterator<Item = Uid> {
    record.entries.iter().map(|entry| entry.run.uid)
}

async fn settle_in(tx: &mut impl Transaction, batch: &mut Batch, settle: &Settle) -> Result<Settled, StoreError> {
    let now = tx.now(settle.at);
    let mut outcomes = Vec::with_capacity(settle.moves.len());
    let mut next_due = None;
    let mut asked = BTreeSet::new();
    for to in &settle.moves {
        let Some(job) = batch.job(to.uid) else {
            outcomes.push(SettleOutcome::Gone);
            continue;
        };
        let (outcome, nodes) = job.step(|head, runs| head.settle(runs, to, &settle.owner, now));
        asked.extend(nodes);
        if let SettleOutcome::Applied { job: fate } = outcome {
            job.fate = fate;
            if fate == Fate::Stays {
                next_due = earlier(next_due, job.stored.head.due);
            }
        }
        outcomes.push(outcome);
    }
    batch.write(tx).await?;
    asked.into_iter().for_each(|node| tx.tell(Hint::Cancel(node)));
    Ok(Settled::new(now, outcomes, next_due))
}

async fn record_in(tx: &mut impl Transaction, batch: &mut Batch, record: &Record) -> Result<Recorded, StoreError> {
    let now = tx.now(record.at);
    batch.load_runs(tx, record.entries.iter().map(|entry| entry.run)).await?;
    let mut outcomes = Vec::with_capacity(record.entries.len());
    let mut deleted = Vec::new();
    let mut next_due = None;
    for entry in &record.entries {
        let Some(job) = batch.job(entry.run.uid) else {
            outcomes.push(RecordOutcome::Gone);
            continue;
        };
        let outcome = job.step(|head, runs| head.record(runs, entry, &record.owner, now));
        if outcome.is_written() {
            job.fate = job.fate_now();
            match job.fate {
                Fate::Deleted => deleted.push((entry.run.uid, job.stored.id.clone())),
                Fate::Stays => next_due = earlier(next_due, job.stored.head.due),
            }
        }
        outcomes.push(outcome);
    }
    batch.write(tx).await?;
    let hold = hold(tx, &record.owner, now, record.lease).await?;
    let asked = tx.all(query(&tx.sql().asked).node(&record.owner)).await?;
    let asked = asked.iter().filter_map(|row| Some(RunId { uid: text(row, 0).parse().ok()?, seq: number(row, 1) }));
    Ok(Recorded::new(now, outcomes, hold).with_cancel(asked.collect()).with_deleted(deleted).with_next_due(next_due))
}

pub(crate) async fn release(tx: &mut impl Transaction, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
    let now = tx.now(at);
    let unclaimed = tx.run(query(&tx.sql().unclaim).node(owner).time(Some(now))).await?;
    let released = take_from_node(tx, owner, Wait::Released, Lock::Wait, usize::MAX, now).await?;
    let gone = tx.run(query(&tx.sql().delete_node).node(owner)).await?;
    if unclaimed > 0 || released.runs > 0 || gone > 0 {
        tx.tell(Hint::Resync);
    }
    Ok(())
}
