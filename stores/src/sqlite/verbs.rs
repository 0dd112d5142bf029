//! The verbs but for `claim`, each inside of a transaction.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobBody, JobId, JobRow, Listed, NodeId, RunId, Uid, Wait,
    store::{
        Fate, Hold, Inserted, Record, RecordOutcome, Recorded, Removed, Settle, SettleOutcome, Settled, Stamped,
        StoreError, StoreErrorKind, Update, Updated,
    },
};
use serde_json::json;

use super::{
    batch::Batch,
    connection::{Tx, list, number, query, text, time},
    listing::{count, listed},
};
use crate::{
    codec::{Rows, decode_job, decode_run, job_row},
    head::{Head, Runs, UpdateStep, check_id, whole_micros},
};

/// How much JSON one statement carries, so that a batch of big jobs does not fill the memory twice.
const INSERT_BYTES: usize = 4 << 20;

pub(super) async fn insert(
    tx: &mut Tx<'_>,
    at: DateTime<Utc>,
    jobs: &[JobRow],
    payload: usize,
) -> Result<Stamped<Vec<Inserted>>, StoreError> {
    let mut added: HashMap<Uid, usize> = HashMap::new();
    let mut rows = Rows::new();
    for (item, job) in jobs.iter().enumerate() {
        check_id(&job.id).map_err(|error| error.with_item(item))?;
        let body = body_text(&job.body, &job.id, payload).map_err(|error| error.with_item(item))?;
        rows.add(|row| {
            row.word(&job.uid.to_string());
            row.word(job.id.as_str());
            row.definition(&job.body, &body);
            row.head(&Head::inserted(job));
        });
        if rows.len() > INSERT_BYTES || item + 1 == jobs.len() {
            let full = std::mem::replace(&mut rows, Rows::new());
            let reply = tx.all(query(&tx.sql.insert).bind(full.finish())).await?;
            added.extend(reply.iter().filter_map(|row| text(row, 0).parse().ok()).map(|uid| (uid, item)));
        }
    }
    if !added.is_empty() {
        tx.run(query(&tx.sql.count_change)).await?;
    }
    let value = if added.len() == jobs.len() {
        vec![Inserted::Added; jobs.len()]
    } else {
        let left = jobs.iter().filter(|job| !added.contains_key(&job.uid));
        let conflicts = conflicts(tx, left).await?;
        let outcome = |job: &JobRow| conflicts.get(&job.uid).cloned().map_or(Inserted::Added, Inserted::Conflict);
        jobs.iter().map(outcome).collect()
    };
    Ok(Stamped { now: whole_micros(at), value })
}

/// Whose the ids are of jobs that were not added now, nor before.
async fn conflicts<'a>(
    tx: &mut Tx<'_>,
    left: impl Iterator<Item = &'a JobRow>,
) -> Result<HashMap<Uid, Box<Listed>>, StoreError> {
    let left: Vec<&JobRow> = left.collect();
    let known = tx.all(query(&tx.sql.known).bind(list(left.iter().map(|job| json!(job.uid))))).await?;
    let known: Vec<Uid> = known.iter().filter_map(|row| text(row, 0).parse().ok()).collect();
    let there = tx.all(query(&tx.sql.jobs_by_id).bind(list(left.iter().map(|job| json!(job.id))))).await?;
    let there: HashMap<JobId, Listed> = there.iter().map(listed).map(|entry| (entry.id().clone(), entry)).collect();
    let unknown = left.into_iter().filter(|job| !known.contains(&job.uid));
    Ok(unknown.filter_map(|job| Some((job.uid, Box::new(there.get(&job.id)?.clone())))).collect())
}

fn body_text(body: &JobBody, id: &JobId, payload: usize) -> Result<String, StoreError> {
    let text = serde_json::to_string(body).map_err(|error| {
        let message = format!("job `{id}`: its definition has no JSON form: {error}");
        StoreError::new(StoreErrorKind::Rejected, message).with_source(error)
    })?;
    if text.len() > payload {
        let message = format!(
            "job `{id}`: its definition has {} bytes, more than the {payload} that this store takes; keep large \
             arguments elsewhere and pass a reference",
            text.len()
        );
        return Err(StoreError::new(StoreErrorKind::TooLarge, message));
    }
    Ok(text)
}

pub(super) async fn update(
    tx: &mut Tx<'_>,
    at: DateTime<Utc>,
    update: &Update,
    payload: usize,
) -> Result<Stamped<Updated>, StoreError> {
    let now = whole_micros(at);
    let row = tx.first(query(&tx.sql.job_by_uid).bind(update.uid.to_string())).await?;
    let Some((stored, Ok(job))) = row.as_ref().map(decode_job).filter(|(stored, _)| stored.head.state.is_live()) else {
        return Ok(Stamped { now, value: Updated::Gone });
    };
    let body = update.body.as_ref().map(|body| body_text(body, &stored.id, payload)).transpose()?;
    let same_body = update.body.as_ref().is_none_or(|body| *body == job.body);
    let mut batch = Batch::of_one(tx, stored).await?;
    let loaded = batch.job(update.uid).expect("it has just been loaded");
    let step = loaded.step(|head, runs| head.update(runs, update, same_body, now));
    let written = if step == UpdateStep::Written { update.body.clone() } else { None };
    let row = Box::new(job_row(update.uid, &loaded.stored, written.unwrap_or(job.body)));
    if step == UpdateStep::Written {
        let key = loaded.stored.key;
        batch.write(tx).await?;
        if let (Some(definition), Some(text)) = (&update.body, body) {
            let mut statement = query(&tx.sql.write_definition).bind(key).bind(text).bind(definition.task.to_string());
            statement = statement.bind(definition.v).bind(definition.options.max_instances.get());
            tx.run(statement.bind(definition.options.history)).await?;
        }
        tx.run(query(&tx.sql.count_change)).await?;
    }
    let value = match step {
        UpdateStep::Written | UpdateStep::Repeated => Updated::Updated(row),
        UpdateStep::Conflict => Updated::Conflict(row),
    };
    Ok(Stamped { now, value })
}

pub(super) async fn remove(
    tx: &mut Tx<'_>,
    at: DateTime<Utc>,
    ids: &[JobId],
) -> Result<Stamped<Vec<Removed>>, StoreError> {
    let now = whole_micros(at);
    if ids.is_empty() {
        return Ok(Stamped { now, value: Vec::new() });
    }
    let heads = query(&tx.sql.heads_by_id).bind(list(ids.iter().map(|id| json!(id))));
    let mut batch = Batch::load(tx, heads).await?;
    let value = ids.iter().map(|id| match batch.job_by_id(id) {
        Some(job) => {
            let running = job.step(|head, runs| head.remove(runs, now));
            job.fate = job.fate_now();
            Removed::Removed { uid: job.stored.uid.clone().ok(), running }
        }
        None => Removed::Gone,
    });
    let value: Vec<Removed> = value.collect();
    batch.write(tx).await?;
    if value.iter().any(|outcome| *outcome != Removed::Gone) {
        tx.run(query(&tx.sql.count_change)).await?;
    }
    Ok(Stamped { now, value })
}

pub(super) async fn remove_all(tx: &mut Tx<'_>, at: DateTime<Utc>, page: usize) -> Result<Stamped<u64>, StoreError> {
    let now = whole_micros(at);
    let mut removed = 0;
    loop {
        let mut batch = Batch::load(tx, query(&tx.sql.heads_of_live).bind(count(page))).await?;
        let found = batch.jobs().len();
        for job in batch.jobs() {
            job.step(|head, runs| head.remove(runs, now));
            job.fate = job.fate_now();
        }
        batch.write(tx).await?;
        removed += found as u64;
        if found < page {
            break;
        }
    }
    if removed > 0 {
        tx.run(query(&tx.sql.count_change)).await?;
    }
    Ok(Stamped { now, value: removed })
}

pub(super) async fn settle(tx: &mut Tx<'_>, settle: &Settle) -> Result<Settled, StoreError> {
    let now = whole_micros(settle.at);
    let mut batch = Batch::of(tx, settle.moves.iter().map(|to| to.uid)).await?;
    let mut outcomes = Vec::with_capacity(settle.moves.len());
    let mut next_due = None;
    let mut is_anyone_asked = false;
    for to in &settle.moves {
        let Some(job) = batch.job(to.uid) else {
            outcomes.push(SettleOutcome::Gone);
            continue;
        };
        let (outcome, asked) = job.step(|head, runs| head.settle(runs, to, &settle.owner, now));
        is_anyone_asked |= !asked.is_empty();
        if let SettleOutcome::Applied { job: fate } = outcome {
            job.fate = fate;
            if fate == Fate::Stays {
                next_due = earlier(next_due, job.stored.head.due);
            }
        }
        outcomes.push(outcome);
    }
    batch.write(tx).await?;
    renew(tx, &settle.owner, now + settle.lease).await?;
    if is_anyone_asked {
        tx.run(query(&tx.sql.count_change)).await?;
    }
    Ok(Settled { now, outcomes, next_due })
}

pub(super) async fn record(tx: &mut Tx<'_>, record: &Record) -> Result<Recorded, StoreError> {
    let now = whole_micros(record.at);
    let mut batch = Batch::of(tx, record.entries.iter().map(|entry| entry.run.uid)).await?;
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
        if outcome == RecordOutcome::Done {
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
    let asked = tx.all(query(&tx.sql.asked).bind(record.owner.to_string())).await?;
    let asked = asked.iter().filter_map(|row| Some(RunId { uid: text(row, 0).parse().ok()?, seq: number(row, 1) }));
    Ok(Recorded { now, outcomes, cancel: asked.collect(), hold, deleted, next_due })
}

pub(super) async fn release(tx: &mut Tx<'_>, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
    let now = whole_micros(at);
    let unclaimed = tx.run(query(&tx.sql.unclaim).bind(owner.to_string())).await?;
    let released = take_from_node(tx, owner, Wait::Released, usize::MAX, now).await?;
    let gone = tx.run(query(&tx.sql.delete_node).bind(owner.to_string())).await?;
    if unclaimed > 0 || released > 0 || gone > 0 {
        tx.run(query(&tx.sql.count_change)).await?;
    }
    Ok(())
}

/// Lets the running runs of a node wait for another one, up to a limit, and says how many those were.
pub(super) async fn take_from_node(
    tx: &mut Tx<'_>,
    node: &NodeId,
    wait: Wait,
    limit: usize,
    now: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let rows = tx.all(query(&tx.sql.running).bind(node.to_string()).bind(count(limit))).await?;
    let runs: Vec<RunId> = rows.iter().filter_map(|row| decode_run(row).ok()).map(|run| run.id).collect();
    let mut batch = Batch::of(tx, runs.iter().map(|run| run.uid)).await?;
    for id in &runs {
        if let Some(job) = batch.job(id.uid) {
            job.step(|head, book| {
                if let Some(run) = book.run(id.seq).cloned() {
                    head.take_from_node(book, run, wait, now);
                }
            });
        }
    }
    batch.write(tx).await?;
    Ok(runs.len())
}

/// Renews the lease of a node that holds something.
async fn renew(tx: &mut Tx<'_>, owner: &NodeId, until: DateTime<Utc>) -> Result<(), StoreError> {
    let statement = query(&tx.sql.renew_node).bind(owner.to_string()).bind(until.timestamp_micros());
    tx.run(statement).await?;
    Ok(())
}

/// Whether a node's runs are still its own; if they are, its lease is renewed.
async fn hold(tx: &mut Tx<'_>, owner: &NodeId, now: DateTime<Utc>, lease: Duration) -> Result<Hold, StoreError> {
    let node = tx.first(query(&tx.sql.node).bind(owner.to_string())).await?;
    let is_lost = match &node {
        Some(row) => time(row, 0).is_none(),
        None => !has_runs(tx, owner).await?,
    };
    if is_lost {
        return Ok(Hold::Lost);
    }
    renew(tx, owner, now + lease).await?;
    Ok(Hold::Kept)
}

/// Whether a node runs anything.
pub(super) async fn has_runs(tx: &mut Tx<'_>, node: &NodeId) -> Result<bool, StoreError> {
    Ok(!tx.all(query(&tx.sql.running).bind(node.to_string()).bind(1_i64)).await?.is_empty())
}

/// The earlier of two times that may be none.
pub(super) fn earlier(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    a.into_iter().chain(b).min()
}
