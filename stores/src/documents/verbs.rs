//! The verbs but for `claim`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use scheduler_core::{
    JobId, JobRow, Listed, NodeId, Run, RunId, Uid, Wait,
    store::{
        Cancelled, Entry, Fate, Inserted, Move, Record, RecordOutcome, Recorded, Removed, RemovedAll, Settle,
        SettleOutcome, Settled, Stamped, StoreError, Update, Updated,
    },
};

use super::{
    caller::Caller,
    change::{Batch, Call, Cover},
    listing::listed,
    sheet::Sheet,
    shelf::{Added, Document, HoldKind, Shelf},
};
use crate::{
    codec::{body_text, job_row},
    head::{UpdateStep, all_removed, check_id, earlier},
};

pub(super) async fn insert(
    shelf: &dyn Shelf,
    at: DateTime<Utc>,
    jobs: &[JobRow],
) -> Result<Stamped<Vec<Inserted>>, StoreError> {
    let payload = shelf.limits().payload;
    let mut documents = Vec::with_capacity(jobs.len());
    for (item, job) in jobs.iter().enumerate() {
        check_id(&job.id).map_err(|error| error.with_item(item))?;
        let body = body_text(&job.body, &job.id, payload).map_err(|error| error.with_item(item))?;
        documents.push(Document::inserted(job, &body));
    }
    let (now, added) = try_join(shelf.now(at), shelf.add(&documents)).await?;
    let mut value: Vec<Option<Inserted>> =
        added.iter().map(|added| (*added != Added::IdIsTaken).then_some(Inserted::Added)).collect();
    loop {
        let left: Vec<usize> = (0..jobs.len()).filter(|at| value[*at].is_none()).collect();
        if left.is_empty() {
            break;
        }
        let there = shelf.by_live_id(&left.iter().map(|at| jobs[*at].id.clone()).collect()).await?;
        let there: HashMap<JobId, Listed> = there.iter().map(listed).map(|entry| (entry.id().clone(), entry)).collect();
        for at in left {
            value[at] = match there.get(&jobs[at].id) {
                Some(entry) => Some(Inserted::Conflict(Box::new(entry.clone()))),
                // Whoever had the id has gone in the meantime.
                None => shelf
                    .add(&documents[at..=at])
                    .await?
                    .iter()
                    .find(|it| **it != Added::IdIsTaken)
                    .map(|_| Inserted::Added),
            };
        }
    }
    let value: Vec<Inserted> = value.into_iter().flatten().collect();
    // Also for those of an earlier sending, which may have died before it told.
    if value.contains(&Inserted::Added) {
        shelf.tell().await?;
    }
    Ok(Stamped { now, value })
}

pub(super) async fn update(
    shelf: &dyn Shelf,
    at: DateTime<Utc>,
    update: &Update,
) -> Result<Stamped<Updated>, StoreError> {
    let keys = BTreeSet::from([update.uid.to_string()]);
    let (call, batch) = try_join(Call::begin(shelf, at), Batch::load(shelf, keys)).await?;
    // One that an earlier sending has added may have ended since.
    let asked_for = update.runs.iter().filter(|run| run.is_open());
    let batch = batch.with_runs(asked_for.map(|run| (run.id.uid, run.id.seq)).collect());
    let (now, payload) = (call.now, shelf.limits().payload);
    let mut reply = Ok((Updated::Gone, UpdateStep::Conflict));
    let step = &mut |_: &str, sheet: Option<&mut Sheet>| {
        reply =
            sheet.map_or(Ok((Updated::Gone, UpdateStep::Conflict)), |sheet| update_sheet(sheet, update, payload, now));
    };
    call.change(batch, None, step).await?;
    let (value, step) = reply?;
    if step != UpdateStep::Conflict {
        shelf.tell().await?;
    }
    Ok(Stamped { now, value })
}

fn update_sheet(
    sheet: &mut Sheet,
    update: &Update,
    payload: usize,
    now: DateTime<Utc>,
) -> Result<(Updated, UpdateStep), StoreError> {
    let (stored, Ok(job)) = sheet.document().job() else { return Ok((Updated::Gone, UpdateStep::Conflict)) };
    if !stored.head.state.is_live() {
        return Ok((Updated::Gone, UpdateStep::Conflict));
    }
    let text = update.body.as_ref().map(|body| body_text(body, &stored.id, payload)).transpose()?;
    let same_body = update.body.as_ref().is_none_or(|body| *body == job.body);
    let step = sheet.step(|head, runs| head.update(runs, update, same_body, now));
    let mut body = job.body;
    if let (UpdateStep::Written, Some(new), Some(text)) = (step, &update.body, text) {
        body = new.clone();
        sheet.define(new.clone(), text);
    }
    let row = Box::new(job_row(update.uid, &sheet.stored, body));
    let value = match step {
        UpdateStep::Written | UpdateStep::Repeated => Updated::Updated(row),
        UpdateStep::Conflict => Updated::Conflict(row),
    };
    Ok((value, step))
}

pub(super) async fn cancel(
    shelf: &dyn Shelf,
    at: DateTime<Utc>,
    job: &JobId,
    run: RunId,
) -> Result<Stamped<Cancelled>, StoreError> {
    let keys = BTreeSet::from([run.uid.to_string()]);
    let (call, batch) = try_join(Call::begin(shelf, at), Batch::load(shelf, keys)).await?;
    let batch = batch.with_runs(BTreeSet::from([(run.uid, run.seq)]));
    let now = call.now;
    let mut value = Cancelled::Gone;
    let step = &mut |_: &str, sheet: Option<&mut Sheet>| {
        let sheet = sheet.filter(|sheet| sheet.stored.id == *job);
        value = sheet.map_or(Cancelled::Gone, |sheet| sheet.step(|head, runs| head.cancel(runs, run.seq, now)).0);
    };
    call.change(batch, None, step).await?;
    // Also for an earlier sending, which may have died before it told.
    if value == Cancelled::Asked {
        shelf.tell().await?;
    }
    Ok(Stamped { now, value })
}

pub(super) async fn remove(
    shelf: &dyn Shelf,
    at: DateTime<Utc>,
    ids: &[JobId],
) -> Result<Stamped<Vec<Removed>>, StoreError> {
    let wanted: BTreeSet<JobId> = ids.iter().cloned().collect();
    let documents = async {
        match wanted.is_empty() {
            true => Ok(Vec::new()),
            false => shelf.by_live_id(&wanted).await,
        }
    };
    let (call, documents) = try_join(Call::begin(shelf, at), documents).await?;
    let mut removed = remove_documents(call, documents).await?;
    if !removed.is_empty() {
        shelf.tell().await?;
    }
    let value = ids.iter().map(|id| removed.remove(id).unwrap_or(Removed::Gone)).collect();
    Ok(Stamped { now: call.now, value })
}

pub(super) async fn remove_all(shelf: &dyn Shelf, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
    let page = shelf.limits().batch;
    let call = Call::begin(shelf, at).await?;
    let mut removed = Vec::new();
    let mut after: Option<JobId> = None;
    loop {
        let documents = shelf.list(after.as_ref(), page).await?;
        let is_last = documents.len() < page;
        after = documents.iter().filter_map(|document| document.index().live_id).max();
        removed.extend(remove_documents(call, documents).await?.into_values());
        if is_last || after.is_none() {
            break;
        }
    }
    if !removed.is_empty() {
        shelf.tell().await?;
    }
    Ok(Stamped { now: call.now, value: all_removed(removed) })
}

async fn remove_documents(call: Call<'_>, documents: Vec<Document>) -> Result<HashMap<JobId, Removed>, StoreError> {
    let now = call.now;
    let mut removed: HashMap<String, (JobId, Removed)> = HashMap::new();
    let step = &mut |key: &str, sheet: Option<&mut Sheet>| {
        removed.remove(key);
        if let Some(sheet) = sheet.filter(|sheet| sheet.stored.head.state.is_live()) {
            let runs = sheet.step(|head, runs| head.remove(runs, now));
            sheet.fate = sheet.fate_now();
            let outcome = runs.outcome(sheet.uid(), &sheet.stored.id, &sheet.document().index().task.into());
            removed.insert(key.to_owned(), (sheet.stored.id.clone(), outcome));
        }
    };
    call.change(Batch::of(documents), None, step).await?;
    Ok(removed.into_values().collect())
}

pub(super) async fn settle(caller: &mut Caller<'_>, settle: &Settle) -> Result<Settled, StoreError> {
    let Call { shelf, now } = caller.call();
    let moves: BTreeMap<String, &Move> = settle.moves.iter().map(|to| (to.uid.to_string(), to)).collect();
    let batch = Batch::load(shelf, moves.keys().cloned().collect()).await?;
    let mut outcomes: HashMap<Uid, (SettleOutcome, Option<DateTime<Utc>>)> = HashMap::new();
    let mut is_anyone_asked = false;
    let step = &mut |key: &str, sheet: Option<&mut Sheet>| {
        let Some(to) = moves.get(key) else { return };
        let outcome = sheet.map_or((SettleOutcome::Gone, None), |sheet| {
            let (outcome, asked) = sheet.step(|head, runs| head.settle(runs, to, &settle.owner, now));
            is_anyone_asked |= !asked.is_empty();
            if let SettleOutcome::Applied { job } = outcome {
                sheet.fate = job;
            }
            let is_next = matches!(outcome, SettleOutcome::Applied { job: Fate::Stays });
            (outcome, sheet.stored.head.due.filter(|_| is_next))
        });
        outcomes.insert(to.uid, outcome);
    };
    let call = caller.call();
    call.change(batch, Some(Cover { caller, lease: settle.lease }), step).await?;
    if caller.is_known() || caller.holds(HoldKind::Run).await? {
        caller.renew(settle.lease).await?;
    }
    if is_anyone_asked {
        shelf.tell().await?;
    }
    let next_due = outcomes.values().filter_map(|(_, due)| *due).min();
    let outcome = |to: &Move| outcomes.get(&to.uid).map_or(SettleOutcome::Gone, |(outcome, _)| *outcome);
    Ok(Settled::new(now, settle.moves.iter().map(outcome).collect(), next_due))
}

/// What became of the entries about one job.
#[derive(Debug)]
struct Reported {
    outcomes: Vec<(usize, RecordOutcome)>,
    deleted: Option<(Uid, JobId)>,
    next_due: Option<DateTime<Utc>>,
    /// The runs that are asked to stop, as the document is now.
    asked: Vec<RunId>,
}

pub(super) async fn record(caller: &mut Caller<'_>, record: &Record) -> Result<Recorded, StoreError> {
    let Call { shelf, now } = caller.call();
    let mut entries: BTreeMap<String, Vec<(usize, &Entry)>> = BTreeMap::new();
    for (at, entry) in record.entries.iter().enumerate() {
        entries.entry(entry.run.uid.to_string()).or_default().push((at, entry));
    }
    let asked = shelf.held_by(&record.owner, HoldKind::Asked, ASKED);
    let (batch, asked) = try_join(Batch::load(shelf, entries.keys().cloned().collect()), asked).await?;
    let batch = batch.with_runs(record.entries.iter().map(|entry| (entry.run.uid, entry.run.seq)).collect());
    let mut reports: BTreeMap<String, Reported> = BTreeMap::new();
    let step = &mut |key: &str, sheet: Option<&mut Sheet>| {
        let entries = entries.get(key).map_or(&[][..], Vec::as_slice);
        reports.insert(key.to_owned(), report(sheet, entries, &record.owner, now));
    };
    caller.call().change(batch, None, step).await?;
    let hold = caller.hold(record.lease).await?;
    let elsewhere = asked.into_iter().filter(|document| !reports.contains_key(&document.key));
    let elsewhere: Vec<RunId> = elsewhere.flat_map(|it| asked_runs(&Sheet::new(it), &record.owner)).collect();
    let mut cancel: Vec<RunId> = reports.values().flat_map(|it| it.asked.iter().copied()).chain(elsewhere).collect();
    cancel.sort_unstable();
    let mut outcomes: Vec<(usize, RecordOutcome)> =
        reports.values().flat_map(|it| it.outcomes.iter().copied()).collect();
    outcomes.sort_unstable_by_key(|(at, _)| *at);
    let next_due = reports.values().filter_map(|it| it.next_due).min();
    let deleted = deleted_in_order(reports, record);
    Ok(Recorded::new(now, outcomes.into_iter().map(|(_, it)| it).collect(), hold)
        .with_cancel(cancel)
        .with_deleted(deleted)
        .with_next_due(next_due))
}

/// The most jobs that are looked through for runs to be stopped; the next life sign comes soon.
const ASKED: usize = 1_000;

fn report(sheet: Option<&mut Sheet>, entries: &[(usize, &Entry)], owner: &NodeId, now: DateTime<Utc>) -> Reported {
    let mut reported = Reported { outcomes: Vec::new(), deleted: None, next_due: None, asked: Vec::new() };
    let Some(sheet) = sheet else {
        reported.outcomes = entries.iter().map(|(at, _)| (*at, RecordOutcome::Gone)).collect();
        return reported;
    };
    for (at, entry) in entries {
        if sheet.fate == Fate::Deleted {
            reported.outcomes.push((*at, RecordOutcome::Gone));
            continue;
        }
        let outcome = sheet.step(|head, runs| head.record(runs, entry, owner, now));
        if outcome.is_written() {
            sheet.fate = sheet.fate_now();
            match sheet.fate {
                Fate::Deleted => reported.deleted = Some((entry.run.uid, sheet.stored.id.clone())),
                Fate::Stays => reported.next_due = earlier(reported.next_due, sheet.stored.head.due),
            }
        }
        reported.outcomes.push((*at, outcome));
    }
    reported.asked = asked_runs(sheet, owner);
    reported
}

fn asked_runs(sheet: &Sheet, owner: &NodeId) -> Vec<RunId> {
    sheet.book.running_on(owner).filter(|run| run.cancel_requested).map(|run| run.id).collect()
}

/// The deleted jobs in the order of the entries that deleted them.
fn deleted_in_order(reports: BTreeMap<String, Reported>, record: &Record) -> Vec<(Uid, JobId)> {
    let mut deleted: BTreeMap<Uid, JobId> = reports.into_values().filter_map(|it| it.deleted).collect();
    let in_order = record.entries.iter().filter_map(|entry| deleted.remove_entry(&entry.run.uid));
    in_order.collect()
}

pub(super) async fn release(caller: &mut Caller<'_>) -> Result<(), StoreError> {
    let (Call { shelf, now }, owner) = (caller.call(), caller.owner());
    let page = shelf.limits().batch;
    let mut is_any = caller.is_known();
    for hold in [HoldKind::Claim, HoldKind::Run] {
        loop {
            let documents = shelf.held_by(owner, hold, page).await?;
            let found = documents.len();
            let mut freed = BTreeSet::new();
            let step = &mut |key: &str, sheet: Option<&mut Sheet>| {
                if let Some(sheet) = sheet.filter(|sheet| sheet.is_held_by(owner)) {
                    freed.insert(key.to_owned());
                    match hold {
                        HoldKind::Claim => sheet.step(|head, _| head.held = None),
                        HoldKind::Run | HoldKind::Asked => {
                            _ = take_from_node(sheet, owner, Wait::Released, usize::MAX, now)
                        }
                    }
                }
            };
            caller.call().change(Batch::of(documents), None, step).await?;
            is_any |= !freed.is_empty();
            // What is found and not held is an entry of an index that somebody else has left behind.
            if found < page || freed.is_empty() {
                break;
            }
        }
    }
    caller.leave().await?;
    if is_any {
        shelf.tell().await?;
    }
    Ok(())
}

/// Lets the running runs of a node wait for another one, up to a limit, and says how many those were.
pub(super) fn take_from_node(sheet: &mut Sheet, node: &NodeId, wait: Wait, limit: usize, now: DateTime<Utc>) -> usize {
    let runs: Vec<Run> = sheet.book.running_on(node).take(limit).cloned().collect();
    let taken = runs.len();
    for run in runs {
        sheet.step(|head, book| head.take_from_node(book, run, wait, now));
    }
    taken
}
