//! The verbs, each a call of the script, or a few where one would keep the server for too long.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use redis::Value;
use scheduler_core::{
    JobId, JobRow, Listed, NodeId, RunId,
    store::{
        Cancelled, Fate, Hold, Inserted, RecordOutcome, Recorded, Removed, RemovedAll, SettleOutcome, Settled, Stamped,
        StoreError, Turn, TurnReply, Update, Updated,
    },
};
use serde_json::json;

use super::{
    RedisStore,
    call::{Writer, object},
    claim::{self, Taken},
    connection::Link,
    failure::Misread,
    reply::{Row, fixed, items, number, optional, run, text, time, uid},
    script::Invocation,
};
use crate::{
    kit::columns::body_text,
    kit::rules::{RunsOfRemoved, all_removed, check_id},
};

/// The definitions that one call of the script carries, in bytes.
const INSERT_BYTES: usize = 4 << 20;

/// Lays out the keys, and sees that the server can be used.
pub(super) async fn prepare(link: &Arc<Link>) -> Result<(), StoreError> {
    perform(link, "prepare", object([]), Vec::new()).await?;
    Ok(())
}

pub(super) async fn insert(
    link: &Arc<Link>,
    at: DateTime<Utc>,
    jobs: &[JobRow],
) -> Result<Stamped<Vec<Inserted>>, StoreError> {
    let mut bodies = Vec::with_capacity(jobs.len());
    for (item, job) in jobs.iter().enumerate() {
        check_id(&job.id).map_err(|error| error.with_item(item))?;
        let body = body_text(&job.body, &job.id, link.options.payload).map_err(|error| error.with_item(item))?;
        bodies.push(body);
    }
    let mut outcomes = Vec::with_capacity(jobs.len());
    let mut bodies = bodies.into_iter().peekable();
    loop {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some(body) = bodies.next_if(|body| part.is_empty() || bytes + body.len() <= INSERT_BYTES) {
            bytes += body.len();
            part.push(body);
            if part.len() == RedisStore::BATCH {
                break;
            }
        }
        let from = outcomes.len();
        let rows: serde_json::Value = jobs[from..from + part.len()].iter().map(Writer::job).collect();
        let call = object([("at", writer(link).at(at)), ("jobs", rows)]);
        let reply = perform(link, "insert", call, part).await?;
        let reply = stamped(reply, |value| items(value)?.into_iter().map(inserted).collect::<Result<Vec<_>, _>>());
        let reply = understood(link, reply)?;
        outcomes.extend(reply.value);
        if bodies.peek().is_none() {
            return Ok(Stamped { now: reply.now, value: outcomes });
        }
    }
}

fn inserted(value: Value) -> Result<Inserted, Misread> {
    match value {
        Value::Array(_) => Ok(Inserted::Conflict(Box::new(Row::new(value)?.listed()))),
        _ => Ok(Inserted::Added),
    }
}

/// Reads the job first, since the script cannot see whether its definition can be read; what changes in between makes the
/// update a conflict.
pub(super) async fn update(
    link: &Arc<Link>,
    at: DateTime<Utc>,
    update: &Update,
) -> Result<Stamped<Updated>, StoreError> {
    let row = perform(link, "job_by_uid", object([("uid", json!(update.uid))]), Vec::new()).await?;
    let listed = understood(link, optional(row, Row::new))?.map(|row| row.listed());
    let Some(Listed::Job(job)) = listed else {
        let now = remove(link, at, &[]).await?.now;
        return Ok(Stamped { now, value: Updated::Gone });
    };
    let body = update.body.as_ref().map(|body| body_text(body, &job.id, link.options.payload)).transpose()?;
    let call = writer(link).update(at, update);
    let reply = perform(link, "update", call, body.into_iter().collect()).await?;
    understood(link, updated(reply))
}

fn updated(reply: Value) -> Result<Stamped<Updated>, Misread> {
    let mut reply = items(reply)?.into_iter();
    let mut next = || reply.next().ok_or(Misread("a shorter list"));
    let (now, step) = (time(next()?)?, text(next()?)?);
    let value = match &*step {
        "gone" => Updated::Gone,
        step => match Row::new(next()?)?.listed() {
            Listed::Job(job) if step == "conflict" => Updated::Conflict(Box::new(job)),
            Listed::Job(job) => Updated::Updated(Box::new(job)),
            Listed::Raw(_) => Updated::Gone,
        },
    };
    Ok(Stamped { now, value })
}

pub(super) async fn cancel(
    link: &Arc<Link>,
    at: DateTime<Utc>,
    job: &JobId,
    run: RunId,
) -> Result<Stamped<Cancelled>, StoreError> {
    let call =
        object([("at", writer(link).at(at)), ("id", json!(job)), ("uid", json!(run.uid)), ("seq", json!(run.seq))]);
    let reply = perform(link, "cancel", call, Vec::new()).await?;
    understood(link, stamped(reply, cancelled))
}

fn cancelled(value: Value) -> Result<Cancelled, Misread> {
    match &*text(value)? {
        "asked" => Ok(Cancelled::Asked),
        "ended" => Ok(Cancelled::Ended),
        "gone" => Ok(Cancelled::Gone),
        _ => Err(Misread("a word")),
    }
}

pub(super) async fn remove(
    link: &Arc<Link>,
    at: DateTime<Utc>,
    ids: &[JobId],
) -> Result<Stamped<Vec<Removed>>, StoreError> {
    let mut outcomes = Vec::with_capacity(ids.len());
    loop {
        let part = &ids[outcomes.len()..ids.len().min(outcomes.len() + RedisStore::BATCH)];
        let call = object([("at", writer(link).at(at)), ("ids", json!(part))]);
        let reply = perform(link, "remove", call, Vec::new()).await?;
        let reply = stamped(reply, |value| items(value)?.into_iter().map(removed).collect::<Result<Vec<_>, _>>());
        let reply = understood(link, reply)?;
        outcomes.extend(reply.value);
        if outcomes.len() >= ids.len() {
            return Ok(Stamped { now: reply.now, value: outcomes });
        }
    }
}

fn removed(value: Value) -> Result<Removed, Misread> {
    let Some([of, running, id, task, cancelled]) = optional(value, fixed)? else { return Ok(Removed::Gone) };
    let (uid, id, task) = (uid(of)?, text(id)?.into(), text(task)?.into());
    let runs = items(cancelled)?.into_iter().filter_map(|value| run(uid?, value).ok());
    let runs = RunsOfRemoved { running: number::<u32>(running)? as usize, cancelled: runs.collect() };
    Ok(runs.outcome(uid, &id, &task))
}

pub(super) async fn remove_all(link: &Arc<Link>, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let call = object([("at", writer(link).at(at)), ("after", json!(after)), ("limit", json!(RedisStore::BATCH))]);
        let reply = perform(link, "remove_all", call, Vec::new()).await?;
        let page = || {
            let [now, outcomes, last] = fixed(reply)?;
            let outcomes = items(outcomes)?.into_iter().map(removed).collect::<Result<Vec<_>, _>>()?;
            Ok((time(now)?, outcomes, optional(last, text)?))
        };
        let (now, outcomes, last) = understood(link, page())?;
        let is_last = outcomes.len() < RedisStore::BATCH;
        all.extend(outcomes);
        if is_last {
            return Ok(Stamped { now, value: all_removed(all) });
        }
        // By id, so that jobs which others add meanwhile do not keep it going.
        after = last;
    }
}

pub(super) async fn release(link: &Arc<Link>, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
    loop {
        let call = object([("at", writer(link).at(at)), ("owner", json!(owner)), ("limit", json!(RedisStore::BATCH))]);
        let is_more = perform(link, "release", call, Vec::new()).await?;
        if understood(link, number::<i64>(is_more))? == 0 {
            return Ok(());
        }
    }
}

/// Quarantines what the claim has found to be unreadable in a second call, since only here can a definition be read. Until
/// then this node holds those jobs; if it dies in between, the node that takes them over will quarantine them.
pub(super) async fn turn(link: &Arc<Link>, turn: &Turn) -> Result<TurnReply, StoreError> {
    let reply = perform(link, "turn", writer(link).turn(turn), Vec::new()).await?;
    let (mut reply, taken) = understood(link, turn_reply(reply))?;
    if let Some(taken) = taken {
        if !taken.broken.is_empty() {
            perform(link, "quarantine", object([("jobs", taken.quarantine_call())]), Vec::new()).await?;
        }
        reply.claim = Some(taken.into_claimed());
    }
    Ok(reply)
}

fn turn_reply(reply: Value) -> Result<(TurnReply, Option<Taken>), Misread> {
    let [record, settle, taken] = fixed(reply)?;
    let reply = TurnReply { record: optional(record, recorded)?, settle: optional(settle, settled)?, claim: None };
    Ok((reply, optional(taken, claim::taken)?))
}

fn settled(reply: Value) -> Result<Settled, Misread> {
    let [now, outcomes, next_due] = fixed(reply)?;
    let outcome = |value| match &*text(value)? {
        "stays" => Ok(SettleOutcome::Applied { job: Fate::Stays }),
        "deleted" => Ok(SettleOutcome::Applied { job: Fate::Deleted }),
        "changed" => Ok(SettleOutcome::Changed),
        "taken" => Ok(SettleOutcome::Taken),
        "gone" => Ok(SettleOutcome::Gone),
        _ => Err(Misread("a word")),
    };
    let outcomes = items(outcomes)?.into_iter().map(outcome).collect::<Result<_, _>>()?;
    Ok(Settled::new(time(now)?, outcomes, optional(next_due, time)?))
}

fn recorded(reply: Value) -> Result<Recorded, Misread> {
    let [now, outcomes, cancel, hold, deleted, next_due] = fixed(reply)?;
    let outcome = |value| match &*text(value)? {
        "done" => Ok(RecordOutcome::Done),
        "ended" => Ok(RecordOutcome::Ended),
        "stale" => Ok(RecordOutcome::Stale),
        "gone" => Ok(RecordOutcome::Gone),
        _ => Err(Misread("a word")),
    };
    let hold = match &*text(hold)? {
        "kept" => Hold::Kept,
        _ => Hold::Lost,
    };
    let run = |value| {
        let [of, seq] = fixed(value)?;
        Ok(uid(of)?.zip(Some(number(seq)?)).map(|(uid, seq)| RunId { uid, seq }))
    };
    let job = |value| {
        let [of, id] = fixed(value)?;
        Ok(uid(of)?.zip(Some(text(id)?.into())))
    };
    let outcomes = items(outcomes)?.into_iter().map(outcome).collect::<Result<_, _>>()?;
    let cancel = items(cancel)?.into_iter().map(run).filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let deleted = items(deleted)?.into_iter().map(job).filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let recorded = Recorded::new(time(now)?, outcomes, hold).with_cancel(cancel).with_deleted(deleted);
    Ok(recorded.with_next_due(optional(next_due, time)?))
}

fn stamped<T>(reply: Value, read: impl FnOnce(Value) -> Result<T, Misread>) -> Result<Stamped<T>, Misread> {
    let [now, value] = fixed(reply)?;
    Ok(Stamped { now: time(now)?, value: read(value)? })
}

fn writer(link: &Link) -> Writer {
    Writer { clock: link.options.clock }
}

async fn perform(
    link: &Arc<Link>,
    verb: &'static str,
    call: serde_json::Value,
    bodies: Vec<String>,
) -> Result<Value, StoreError> {
    link.perform(Invocation { verb, call: call.to_string(), bodies }).await
}

fn understood<T>(link: &Link, reply: Result<T, Misread>) -> Result<T, StoreError> {
    reply.map_err(|misread| link.failures.of_reply(&misread))
}
