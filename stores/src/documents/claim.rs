//! The verb `claim`.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use scheduler_core::{
    JobRow, RawJob,
    store::{Claim, Claimed, ClaimedJob, DECLINED_LIMIT, Declined, Report, StoreError},
};

use super::{
    adopt::Nodes,
    caller::{Caller, Overtaken},
    change::{Batch, Call, Cover},
    document::RUNS,
    sheet::Sheet,
    shelf::Document,
};
use crate::head::{Runs, earlier, lease_end};

/// What became of a due document.
#[derive(Debug)]
enum Looked {
    Taken(Box<ClaimedJob>),
    Broken(RawJob),
    /// Somebody else was faster.
    Left,
}

pub(super) async fn claim(caller: &mut Caller<'_>, nodes: &mut Nodes, claim: &Claim) -> Result<Claimed, StoreError> {
    let Call { shelf, now } = caller.call();
    if caller.is_overtaken(claim.seq) {
        return nothing(caller.call(), nodes, claim).await;
    }
    let are_runs_left = nodes.adopt(caller.call(), claim).await?;
    let due = shelf.due(claim, now, claim.limit.saturating_add(1));
    let (mut documents, declined) = try_join(due, declined(caller.call(), claim)).await?;
    let left_out = documents.get(claim.limit).and_then(|document| document.index().due);
    documents.truncate(claim.limit);
    let more = are_runs_left || left_out.is_some();
    if (!documents.is_empty() || caller.holds_anything().await?)
        && let Err(Overtaken) = caller.renew_for_claim(claim.lease, claim.seq).await?
    {
        return nothing(caller.call(), nodes, claim).await;
    }
    let is_taken_over = |document: &Document| document.index().claim.is_some_and(|(owner, _)| owner != claim.owner);
    let is_any_taken_over = documents.iter().any(is_taken_over);
    let call = caller.call();
    let next = async { if more || is_any_taken_over { Ok(None) } else { next_due(call, claim).await } };
    let (looked, mut next) = try_join(take(caller, claim, documents), next).await?;
    if is_any_taken_over && !more {
        // Only now are those the claims of others that still are.
        next = next_due(call, claim).await?;
    }
    let mut reply = Claimed::nothing(now, earlier(next, nodes.next_lease_end(&claim.owner, now)));
    if more {
        reply.next_due = earlier(Some(now), left_out);
    }
    (reply.declined, reply.more) = (declined, more);
    for looked in looked {
        match looked {
            Looked::Taken(job) => reply.jobs.push(*job),
            Looked::Broken(raw) => reply.quarantined.push(raw),
            Looked::Left => {}
        }
    }
    Ok(reply)
}

/// Not the caller's latest claim: it takes nothing, but must not let its caller sleep either.
async fn nothing(call: Call<'_>, nodes: &Nodes, claim: &Claim) -> Result<Claimed, StoreError> {
    let (first, next) = try_join(call.shelf.due(claim, call.now, 1), next_due(call, claim)).await?;
    let first = first.first().and_then(|document| document.index().due);
    let lease_end = nodes.next_lease_end(&claim.owner, call.now);
    Ok(Claimed::nothing(call.now, earlier(first, earlier(next, lease_end))))
}

/// Claims due documents, in their order.
async fn take(
    caller: &mut Caller<'_>,
    claim: &Claim,
    documents: Vec<Document>,
) -> Result<impl Iterator<Item = Looked>, StoreError> {
    let call = caller.call();
    let order: Vec<String> = documents.iter().map(|document| document.key.clone()).collect();
    let mut looked: BTreeMap<String, Looked> = BTreeMap::new();
    let mut seen: HashMap<String, u64> = HashMap::new();
    let step = &mut |key: &str, sheet: Option<&mut Sheet>| {
        let look = |sheet: &mut Sheet| {
            let fence = *seen.entry(key.to_owned()).or_insert(sheet.stored.head.fence);
            take_sheet(sheet, fence, claim, call.now)
        };
        looked.insert(key.to_owned(), sheet.map_or(Looked::Left, look));
    };
    let cover = Cover { caller, lease: claim.lease };
    call.change(Batch::of(documents), Some(cover), step).await?;
    Ok(order.into_iter().filter_map(move |key| looked.remove(&key)))
}

/// `fence` is that of the first look; it differs if the document was changed since.
fn take_sheet(sheet: &mut Sheet, fence: u64, claim: &Claim, now: DateTime<Utc>) -> Looked {
    let job = match readable(sheet.document()) {
        Ok(job) => job,
        Err(_) if sheet.document().is_quarantined() => return Looked::Left,
        Err(raw) => {
            sheet.quarantine(raw.reason.clone());
            return Looked::Broken(raw);
        }
    };
    let head = &sheet.stored.head;
    let until = lease_end(now, claim.lease);
    if head.fence != fence
        && let Some(held) = head.held.as_ref().filter(|held| held.owner == claim.owner)
    {
        // Either this call has written it and somebody else has changed it then, or a later one of the node was faster.
        let is_this_call = head.fence.checked_sub(1) == Some(fence) && held.until == until;
        return if is_this_call { Looked::Taken(Box::new(claimed(sheet, job))) } else { Looked::Left };
    }
    let index = sheet.document().index();
    if index.due.is_some_and(|due| due <= now) && index.is_for(claim) && index.is_free(claim, now) {
        sheet.step(|head, _| head.claim(&claim.owner, until));
        return Looked::Taken(Box::new(claimed(sheet, job)));
    }
    Looked::Left
}

/// The job, if its runs can be read too: without them it cannot be counted, and is left to a person as well.
fn readable(document: &Document) -> Result<JobRow, RawJob> {
    let job = document.job().1?;
    match document.runs(RUNS).1.into_iter().next() {
        None => Ok(job),
        Some((_, reason)) => {
            let body = serde_json::to_string(&job.body).unwrap_or_default();
            Err(RawJob { uid: job.uid.to_string(), id: job.id, body, reason })
        }
    }
}

fn claimed(sheet: &Sheet, mut job: JobRow) -> ClaimedJob {
    job.fence = sheet.stored.head.fence;
    ClaimedJob::new(job, sheet.book.open())
}

/// When a job that is not due yet will be, or is free.
async fn next_due(call: Call<'_>, claim: &Claim) -> Result<Option<DateTime<Utc>>, StoreError> {
    let next_due = call.shelf.next_due(claim, call.now);
    let (due, claim_end) = try_join(next_due, call.shelf.next_claim_end(claim)).await?;
    Ok(earlier(due, claim_end))
}

async fn declined(call: Call<'_>, claim: &Claim) -> Result<Vec<Declined>, StoreError> {
    match claim.declined {
        Report::Nothing => Ok(Vec::new()),
        Report::Declined => call.shelf.declined(claim, call.now, DECLINED_LIMIT).await,
    }
}
