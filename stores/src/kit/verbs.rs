//! The verbs but for `claim`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use scheduler_core::{
    JobId, JobRow, LimitKey, Listed, RunId, Uid, Wait,
    store::{
        Cancelled, Hint, Inserted, Record, Recorded, Removed, RemovedAll, Settle, Settled, Stamped, StoreError,
        StoreErrorKind, Update, Updated,
    },
};

use super::{
    backend::{Access, HoldKind, Inserting, NewJob, Session},
    caller::Caller,
    change::{Batch, Call, Cover, ROUNDS},
    columns::body_text,
    job::LoadedJob,
    listing::listed,
    moves::Moves,
    places::{self, Taken},
    reports::Reports,
    rules::{Held, UpdateStep, all_removed, check_id, earlier},
    takeover::take_from_node,
};

pub(super) async fn insert(
    session: &dyn Session,
    at: DateTime<Utc>,
    jobs: &[JobRow],
    payload: usize,
) -> Result<Stamped<Vec<Inserted>>, StoreError> {
    let mut bodies = Vec::with_capacity(jobs.len());
    for (item, job) in jobs.iter().enumerate() {
        bodies.push(body_of(job, payload).map_err(|error| error.with_item(item))?);
    }
    let new: Vec<NewJob<'_>> = jobs.iter().zip(&bodies).map(|(row, body)| NewJob { row, body }).collect();
    let (now, inserting) = try_join(session.now(at), session.insert(&new)).await?;
    let is_added = |inserting: &Inserting| (*inserting != Inserting::IdIsTaken).then_some(Inserted::Added);
    let mut outcomes: Vec<Option<Inserted>> = inserting.iter().map(is_added).collect();
    for _ in 0..ROUNDS {
        let left: Vec<usize> = (0..jobs.len()).filter(|item| outcomes[*item].is_none()).collect();
        if left.is_empty() {
            break;
        }
        let there = session.by_live_id(&left.iter().map(|item| jobs[*item].id.clone()).collect(), Access::Show).await?;
        let there: HashMap<JobId, Listed> =
            there.into_iter().filter_map(listed).map(|entry| (entry.id().clone(), entry)).collect();
        let mut free = Vec::new();
        for item in left {
            match there.get(&jobs[item].id) {
                Some(entry) => outcomes[item] = Some(Inserted::Conflict(Box::new(entry.clone()))),
                // The job that had the id has gone in the meantime.
                None => free.push(item),
            }
        }
        let again: Vec<NewJob<'_>> = free.iter().map(|item| new[*item]).collect();
        if !again.is_empty() {
            let inserting = session.insert(&again).await?;
            free.iter().zip(&inserting).for_each(|(item, inserting)| outcomes[*item] = is_added(inserting));
        }
    }
    if let Some(item) = outcomes.iter().position(Option::is_none) {
        let message = format!("job `{}`: its id was taken and given up again and again", jobs[item].id);
        return Err(StoreError::new(StoreErrorKind::Unavailable, message).with_item(item));
    }
    let value: Vec<Inserted> = outcomes.into_iter().flatten().collect();
    // Also for those of an earlier sending, which may have died before it announced them.
    let added = jobs.iter().zip(&value).filter(|(_, outcome)| **outcome == Inserted::Added);
    let dues: Vec<Option<DateTime<Utc>>> = added.map(|(job, _)| job.due).collect();
    if !dues.is_empty() {
        session.announce(&[dues.into_iter().flatten().min().map_or(Hint::Resync, Hint::Due)]).await?;
    }
    Ok(Stamped { now, value })
}

/// The text of the definition of a job that is to be added, if the store takes both.
pub(super) fn body_of(job: &JobRow, payload: usize) -> Result<String, StoreError> {
    check_id(&job.id)?;
    body_text(&job.body, &job.id, payload)
}

pub(super) async fn update(
    session: &dyn Session,
    place: &str,
    at: DateTime<Utc>,
    update: &Update,
    payload: usize,
) -> Result<Stamped<Updated>, StoreError> {
    let keys = BTreeSet::from([update.uid.to_string()]);
    let (now, batch) = try_join(session.now(at), Batch::load(session, keys, Access::Redefine)).await?;
    // One that an earlier sending has added may have ended since.
    let asked_for = update.runs.iter().filter(|run| run.is_open());
    let batch = batch.with_runs(asked_for.map(|run| (run.id.uid, run.id.seq)));
    let mut reply = Ok((Updated::Gone, None));
    let step = &mut |_: &str, job: Option<&mut LoadedJob>| {
        reply = job.map_or(Ok((Updated::Gone, None)), |job| update_job(job, update, payload, now));
    };
    Call { session, place, recent: None, now }.change(batch, None, step).await?;
    let (value, hint) = reply?;
    if let Some(hint) = hint {
        session.announce(&[hint]).await?;
    }
    Ok(Stamped { now, value })
}

fn update_job(
    loaded: &mut LoadedJob,
    update: &Update,
    payload: usize,
    now: DateTime<Utc>,
) -> Result<(Updated, Option<Hint>), StoreError> {
    let Some(Ok(job)) = loaded.take_row().filter(|_| loaded.head().state.is_live()) else {
        return Ok((Updated::Gone, None));
    };
    let text = update.body.as_ref().map(|body| body_text(body, loaded.id(), payload)).transpose()?;
    let same_body = update.body.as_ref().is_none_or(|body| *body == job.body);
    let step = loaded.apply(|head, runs| head.update(runs, update, same_body, now));
    let mut body = job.body;
    if let (UpdateStep::Written, Some(new), Some(text)) = (step, &update.body, text) {
        body = new.clone();
        loaded.redefine(new.clone(), text);
    }
    let row = Box::new(loaded.row(update.uid, body));
    // Also after a repetition: the earlier sending may have died before it announced the change.
    let hint = loaded.head().due.map_or(Hint::Resync, Hint::Due);
    Ok(match step {
        UpdateStep::Written | UpdateStep::Repeated => (Updated::Updated(row), Some(hint)),
        UpdateStep::Conflict => (Updated::Conflict(row), None),
    })
}

pub(super) async fn cancel(
    session: &dyn Session,
    place: &str,
    at: DateTime<Utc>,
    job: &JobId,
    run: RunId,
) -> Result<Stamped<Cancelled>, StoreError> {
    let keys = BTreeSet::from([run.uid.to_string()]);
    let (now, batch) = try_join(session.now(at), Batch::load(session, keys, Access::Change)).await?;
    let batch = batch.with_runs([(run.uid, run.seq)].into_iter());
    let mut reply = (Cancelled::Gone, None);
    let step = &mut |_: &str, loaded: Option<&mut LoadedJob>| {
        let loaded = loaded.filter(|loaded| loaded.id() == job);
        reply = loaded.map_or((Cancelled::Gone, None), |job| job.apply(|head, runs| head.cancel(runs, run.seq, now)));
    };
    Call { session, place, recent: None, now }.change(batch, None, step).await?;
    let (value, hint) = reply;
    if value == Cancelled::Asked {
        // Also for an earlier sending, which may have died before it announced it.
        session.announce(&[hint.unwrap_or(Hint::Resync)]).await?;
    }
    Ok(Stamped { now, value })
}

pub(super) async fn remove(
    session: &dyn Session,
    place: &str,
    at: DateTime<Utc>,
    ids: &[JobId],
) -> Result<Stamped<Vec<Removed>>, StoreError> {
    let wanted: BTreeSet<JobId> = ids.iter().cloned().collect();
    let jobs = async {
        match wanted.is_empty() {
            true => Ok(Vec::new()),
            false => session.by_live_id(&wanted, Access::Change).await,
        }
    };
    let (now, jobs) = try_join(session.now(at), jobs).await?;
    let mut removed = remove_jobs(Call { session, place, recent: None, now }, jobs).await?;
    if !removed.is_empty() {
        session.announce(&[Hint::Resync]).await?;
    }
    let value = ids.iter().map(|id| removed.remove(id).unwrap_or(Removed::Gone)).collect();
    Ok(Stamped { now, value })
}

pub(super) async fn remove_all(
    session: &dyn Session,
    place: &str,
    at: DateTime<Utc>,
    page: usize,
) -> Result<Stamped<RemovedAll>, StoreError> {
    let now = session.now(at).await?;
    let mut removed = Vec::new();
    let mut after: Option<JobId> = None;
    loop {
        let jobs = session.list(after.as_ref(), page, Access::Change).await?;
        if jobs.is_empty() {
            break;
        }
        after = jobs.iter().map(|job| job.id().clone()).max();
        removed.extend(remove_jobs(Call { session, place, recent: None, now }, jobs).await?.into_values());
    }
    if !removed.is_empty() {
        session.announce(&[Hint::Resync]).await?;
    }
    Ok(Stamped { now, value: all_removed(removed) })
}

async fn remove_jobs(call: Call<'_>, jobs: Vec<LoadedJob>) -> Result<HashMap<JobId, Removed>, StoreError> {
    let now = call.now;
    let mut removed: HashMap<String, (JobId, Removed)> = HashMap::new();
    let step = &mut |key: &str, job: Option<&mut LoadedJob>| {
        removed.remove(key);
        if let Some(job) = job.filter(|job| job.head().state.is_live()) {
            let runs = job.apply(|head, runs| head.remove(runs, now));
            job.decide_fate();
            let outcome = runs.outcome(job.uid(), job.id(), job.task());
            removed.insert(key.to_owned(), (job.id().clone(), outcome));
        }
    };
    call.change(Batch::of(jobs, Access::Change), None, step).await?;
    Ok(removed.into_values().collect())
}

/// The keys of the jobs that a record and a settle are about.
pub(super) fn keys(record: Option<&Record>, settle: Option<&Settle>) -> BTreeSet<String> {
    let reported = record.into_iter().flat_map(|record| &record.entries).map(|entry| entry.run.uid);
    let moved = settle.into_iter().flat_map(|settle| &settle.moves).map(|to| to.uid);
    reported.chain(moved).map(|uid: Uid| uid.to_string()).collect()
}

fn uid_of(key: &str, job: Option<&LoadedJob>) -> Option<Uid> {
    job.map_or_else(|| key.parse().ok(), LoadedJob::uid)
}

/// Takes the reports of a record, then the moves of a settle, and writes each job once.
///
/// `stopping` are the runs of the caller that are asked to stop.
pub(super) async fn record_and_settle(
    caller: &mut Caller<'_>,
    batch: Batch,
    record: Option<&Record>,
    settle: Option<&Settle>,
    stopping: Vec<RunId>,
) -> Result<(Option<Recorded>, Option<Settled>), StoreError> {
    let (call, owner) = (caller.call(), caller.owner());
    let reported = record.into_iter().flat_map(|record| &record.entries);
    let batch = batch.with_runs(reported.map(|entry| (entry.run.uid, entry.run.seq)));
    let mut reports = Reports::new(record, owner, call.now);
    let mut moves = Moves::new(settle, owner, call.now);
    let has_limits = places::are_concerned(record, settle);
    let taken = match has_limits {
        true => places::take(call, batch.jobs(), record, settle, owner).await?,
        false => Taken::default(),
    };
    let mut unneeded: BTreeMap<Uid, Vec<(LimitKey, Held)>> = BTreeMap::new();
    let step = &mut |key: &str, mut job: Option<&mut LoadedJob>| {
        if let Some(uid) = uid_of(key, job.as_deref()) {
            reports.take(uid, job.as_deref_mut());
            moves.apply(uid, job.as_deref_mut(), &taken);
            if has_limits {
                unneeded.insert(uid, places::unneeded(record, moves.not_applied(uid), uid, job.as_deref()));
            }
        }
    };
    let lease = settle.map(|settle| settle.lease).or_else(|| record.map(|record| record.lease));
    let cover = lease.map(|lease| Cover { caller: &mut *caller, lease, takes: settle.is_some() });
    call.change(batch, cover, step).await?;
    let mut woken = None;
    if has_limits {
        woken = places::give_back(call, taken, unneeded.into_values().flatten()).await?;
    }
    let mut reply = (None, None);
    if let Some(record) = record {
        if let Some(due) = reports.given_back() {
            call.session.announce(&[Hint::Due(due)]).await?;
        }
        let hold = caller.hold(record.lease).await?;
        let recorded = reports.recorded(record, hold, stopping);
        let next_due = earlier(recorded.next_due, woken);
        reply.0 = Some(recorded.with_next_due(next_due));
    }
    if let Some(settle) = settle {
        caller.lock().await?;
        if caller.is_known() || caller.holds(HoldKind::Run).await? {
            caller.renew(settle.lease).await?;
        }
        let stopped: Vec<Hint> = moves.stopped().into_iter().map(Hint::Cancel).collect();
        if !stopped.is_empty() {
            call.session.announce(&stopped).await?;
        }
        reply.1 = Some(moves.settled(settle, woken));
    }
    Ok(reply)
}

pub(super) async fn release(caller: &mut Caller<'_>, page: usize) -> Result<(), StoreError> {
    let (Call { session, now, .. }, owner) = (caller.call(), caller.owner());
    let mut is_any = false;
    for hold in [HoldKind::Claim, HoldKind::Run] {
        loop {
            let jobs = session.held_by(owner, hold, page, Access::Change).await?;
            let found = jobs.len();
            let mut freed = BTreeSet::new();
            let step = &mut |key: &str, job: Option<&mut LoadedJob>| {
                if let Some(job) = job.filter(|job| job.is_held_by(owner)) {
                    freed.insert(key.to_owned());
                    match hold {
                        HoldKind::Claim => job.apply(|head, _| head.claim = None),
                        HoldKind::Run | HoldKind::Stop => {
                            take_from_node(job, owner, Wait::Released, usize::MAX, now);
                        }
                    }
                }
            };
            caller.call().change(Batch::of(jobs, Access::Change), None, step).await?;
            is_any |= !freed.is_empty();
            // What is found and not held is an entry of an index that another program has left behind.
            if found < page || freed.is_empty() {
                break;
            }
        }
    }
    is_any |= caller.leave().await?;
    if is_any {
        session.announce(&[Hint::Resync]).await?;
    }
    Ok(())
}
