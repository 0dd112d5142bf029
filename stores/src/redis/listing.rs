//! What is read without being changed.

use std::sync::Arc;

use scheduler_core::{
    JobId, Listed, Run, Uid,
    store::{JobQuery, RunQuery, StoreError},
};
use serde_json::{Value, json};

use super::{
    RedisStore,
    call::object,
    connection::Link,
    failure::Misread,
    reply::{Row, fixed, items, number, optional, run},
    script::Invocation,
};

pub(super) async fn job(link: &Arc<Link>, id: &JobId) -> Result<Option<Listed>, StoreError> {
    let reply = read(link, "job", object([("id", json!(id))])).await?;
    let row = optional(reply, Row::new).map_err(|misread| link.failures.of_reply(&misread))?;
    Ok(row.map(|row| row.listed()))
}

pub(super) async fn jobs(link: &Arc<Link>, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
    let (mut listed, mut after) = (Vec::new(), query.after.clone());
    while listed.len() < query.limit {
        let limit = (query.limit - listed.len()).min(RedisStore::BATCH);
        let reply = read(link, "jobs", object([("after", json!(after)), ("limit", json!(limit))])).await?;
        let (page, is_cut) = page(reply).map_err(|misread| link.failures.of_reply(&misread))?;
        let is_last = page.len() < limit && !is_cut;
        listed.extend(page);
        if is_last {
            break;
        }
        after = listed.last().map(|entry| entry.id().clone());
    }
    Ok(listed)
}

fn page(reply: redis::Value) -> Result<(Vec<Listed>, bool), Misread> {
    let [rows, is_cut] = fixed(reply)?;
    let rows: Result<Vec<Listed>, Misread> = items(rows)?.into_iter().map(|row| Ok(Row::new(row)?.listed())).collect();
    Ok((rows?, number::<i64>(is_cut)? == 1))
}

pub(super) async fn runs(link: &Arc<Link>, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
    let (mut listed, mut before) = (Vec::new(), query.before);
    while listed.len() < query.limit {
        let limit = (query.limit - listed.len()).min(RedisStore::BATCH);
        let call = [("uid", json!(query.uid)), ("before", json!(before)), ("limit", json!(limit))];
        let reply = read(link, "runs", object(call)).await?;
        let page = page_of_runs(query.uid, before, limit, reply).map_err(|misread| link.failures.of_reply(&misread))?;
        listed.extend(page.runs);
        before = page.rest;
        if before.is_none() {
            break;
        }
    }
    listed.truncate(query.limit);
    Ok(listed)
}

struct PageOfRuns {
    runs: Vec<Run>,
    /// What to ask with for the next page, if there may be one.
    rest: Option<u64>,
}

/// The runs of one reply, newest first; those that cannot be read are left out.
fn page_of_runs(uid: Uid, before: Option<u64>, limit: usize, reply: redis::Value) -> Result<PageOfRuns, Misread> {
    let [ended, open] = fixed(reply)?;
    let ended = items(ended)?;
    let is_full = ended.len() == 2 * limit; // each with its number
    let lowest = ended.last().filter(|_| is_full).map(|seq| number::<u64>(seq.clone())).transpose()?;
    let is_shown =
        |run: &Run| before.is_none_or(|before| run.id.seq < before) && lowest.is_none_or(|lowest| run.id.seq >= lowest);
    let kept = ended.into_iter().step_by(2).chain(items(open)?);
    let mut runs: Vec<Run> = kept.filter_map(|kept| run(uid, kept).ok()).filter(is_shown).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.id.seq));
    Ok(PageOfRuns { runs, rest: lowest })
}

async fn read(link: &Arc<Link>, verb: &'static str, call: Value) -> Result<redis::Value, StoreError> {
    link.perform(Invocation { verb, call: call.to_string(), bodies: Vec::new() }).await
}
