//! The verb `claim`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use futures_util::future::{try_join, try_join3};
use scheduler_core::{
    JobRow, RawJob,
    store::{Claim, Claimed, ClaimedJob, DECLINED_LIMIT, Declined, Report, StoreError},
};

use super::{
    backend::{Access, HoldKind},
    caller::{Caller, Overtaken},
    change::{Batch, Call, Cover},
    job::LoadedJob,
    pruning::Pruning,
    rules::{Runs, earlier, is_for, lease_end},
    takeover::KnownNodes,
};

/// What became of a due job.
#[derive(Debug)]
enum Outcome {
    Taken(Box<ClaimedJob>),
    Unreadable(RawJob),
    /// Another node was faster.
    Left,
}

pub(super) async fn claim(
    caller: &mut Caller<'_>,
    nodes: Option<KnownNodes>,
    claim: &Claim,
    pruning: &Pruning,
) -> Result<Claimed, StoreError> {
    let Call { session, now, .. } = caller.call();
    let load = async {
        match nodes {
            Some(nodes) => Ok(nodes),
            None => KnownNodes::load(session).await,
        }
    };
    caller.lock().await?;
    if caller.is_overtaken(claim.seq) {
        return nothing(caller.call(), &load.await?, claim).await;
    }
    let (mut nodes, mut jobs, mut declined) =
        try_join3(load, due(caller.call(), claim), declined(caller.call(), claim)).await?;
    let mut are_runs_left = false;
    if nodes.are_some_lapsed(claim, now) {
        are_runs_left = nodes.take_over(caller.call(), claim).await?;
        // The jobs of what was taken over are due now.
        (jobs, declined) = try_join(due(caller.call(), claim), self::declined(caller.call(), claim)).await?;
    }
    let fitting = jobs.iter().take(claim.limit).take_while(|job| job.is_defined()).count();
    let left_out = jobs.get(fitting).and_then(|job| job.head().due);
    jobs.truncate(fitting);
    let more = are_runs_left || left_out.is_some();
    let is_any_taken_over =
        jobs.iter().any(|job| job.head().claim.as_ref().is_some_and(|mark| mark.owner != claim.owner));
    if !jobs.is_empty() || nodes.is_running(&claim.owner) || caller.holds(HoldKind::Claim).await? {
        caller.begin_claim(claim);
    }
    let call = caller.call();
    let next = async { if more || is_any_taken_over { Ok(None) } else { next(call, claim).await } };
    let take = take(caller, claim, jobs);
    let (outcomes, mut next_due) = match session.is_transaction() {
        // What is locked by this call and not written yet would count as passed over.
        true => (take.await?, next.await?),
        false => try_join(take, next).await?,
    };
    if let Err(Overtaken) = caller.end_claim(claim.lease).await? {
        return nothing(call, &nodes, claim).await;
    }
    pruning.prune(call).await?;
    if is_any_taken_over && !more {
        // Only now are those the claims of others that still are.
        next_due = self::next(call, claim).await?;
    }
    let mut reply = Claimed::nothing(now, earlier(next_due, nodes.next_lease_end(&claim.owner, now)));
    if more {
        reply.next_due = earlier(Some(now), left_out);
    }
    (reply.declined, reply.more) = (declined, more);
    for outcome in outcomes {
        match outcome {
            Outcome::Taken(job) => reply.jobs.push(*job),
            Outcome::Unreadable(raw) => reply.quarantined.push(raw),
            Outcome::Left => {}
        }
    }
    Ok(reply)
}

/// The due jobs in the order in which they are taken, and one more than the limit if there are.
async fn due(call: Call<'_>, claim: &Claim) -> Result<Vec<LoadedJob>, StoreError> {
    let Call { session, now, .. } = call;
    let all = session.due(claim, None, now, claim.limit.saturating_add(1));
    let (Some(since), limit @ 1..) = (claim.recent_since, claim.recent_limit()) else {
        return all.await;
    };
    let (mut jobs, mut all) = try_join(session.due(claim, Some(since), now, limit), all).await?;
    jobs.retain(LoadedJob::is_defined);
    let recent: HashSet<Arc<str>> = jobs.iter().map(LoadedJob::shared_key).collect();
    all.retain(|job| !recent.contains(&job.shared_key()));
    jobs.append(&mut all);
    Ok(jobs)
}

/// Not the caller's latest claim: it takes nothing, but must not let its caller sleep either.
async fn nothing(call: Call<'_>, nodes: &KnownNodes, claim: &Claim) -> Result<Claimed, StoreError> {
    let (first, next) = try_join(call.session.due(claim, None, call.now, 1), next(call, claim)).await?;
    let first = first.first().and_then(|job| job.head().due);
    let lease_end = nodes.next_lease_end(&claim.owner, call.now);
    Ok(Claimed::nothing(call.now, earlier(first, earlier(next, lease_end))))
}

/// Claims due jobs, in their order.
async fn take(caller: &mut Caller<'_>, claim: &Claim, jobs: Vec<LoadedJob>) -> Result<Vec<Outcome>, StoreError> {
    let call = caller.call();
    let places: HashMap<Arc<str>, usize> = jobs.iter().enumerate().map(|(at, job)| (job.shared_key(), at)).collect();
    let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
    let fences: Vec<u64> = jobs.iter().map(|job| job.head().fence).collect();
    let step = &mut |key: &str, job: Option<&mut LoadedJob>| {
        let at = places.get(key).copied().unwrap_or(usize::MAX);
        if let (Some(outcome), Some(fence)) = (outcomes.get_mut(at), fences.get(at)) {
            *outcome = Some(job.map_or(Outcome::Left, |job| take_job(job, *fence, claim, call.now)));
        }
    };
    let cover = Cover { caller, lease: claim.lease, takes: true };
    call.change(Batch::of(jobs, Access::Redefine), Some(cover), step).await?;
    Ok(outcomes.into_iter().flatten().collect())
}

/// `fence` is that of the first look; the job's differs if another call has changed the job since.
fn take_job(job: &mut LoadedJob, fence: u64, claim: &Claim, now: DateTime<Utc>) -> Outcome {
    let row = match job.take_readable() {
        Some(Ok(row)) => row,
        Some(Err(_)) if job.is_quarantined() => return Outcome::Left,
        Some(Err(raw)) => {
            job.put_in_quarantine(raw.reason.clone());
            return Outcome::Unreadable(raw);
        }
        None => return Outcome::Left,
    };
    let until = lease_end(now, claim.lease);
    if job.head().fence != fence
        && let Some(mark) = job.head().claim.as_ref().filter(|mark| mark.owner == claim.owner)
    {
        // Either this call has written it and another one has changed it then, or a later call of the node was faster.
        let is_this_call = job.head().fence.checked_sub(1) == Some(fence) && mark.until == until;
        return if is_this_call { taken(job, row) } else { Outcome::Left };
    }
    let is_for = is_for(claim, row.body.task.as_str(), i64::from(row.body.v));
    if job.head().is_due(now) && is_for && job.head().is_free(claim, now) {
        job.apply(|head, _| head.claim(&claim.owner, until));
        return taken(job, row);
    }
    Outcome::Left
}

fn taken(job: &LoadedJob, mut row: JobRow) -> Outcome {
    row.fence = job.head().fence;
    Outcome::Taken(Box::new(ClaimedJob::new(row, job.runs().open())))
}

/// When a job that is not due yet will be, or is free.
async fn next(call: Call<'_>, claim: &Claim) -> Result<Option<DateTime<Utc>>, StoreError> {
    call.session.next(claim, call.now, lease_end(call.now, claim.lease)).await
}

async fn declined(call: Call<'_>, claim: &Claim) -> Result<Vec<Declined>, StoreError> {
    match claim.declined {
        Report::Nothing => Ok(Vec::new()),
        Report::Declined => call.session.declined(claim, call.now, DECLINED_LIMIT).await,
    }
}
