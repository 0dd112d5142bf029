//! Limits by key in a database: what the verbs do to the records of limit keys.
//!
//! A record of a key is one of a job that has been removed and is not deleted: every database can keep it, lock it or write it
//! if nobody else has, and no claim, listing or search finds it. Its uid is computed from the key, and its arguments are the
//! [`Places`]. Which keys there are is kept in the same way, in parts.
//!
//! A verb locks the records of its keys after its jobs, and before the row of its node. What else it has to know of other jobs it
//! reads without a lock; and jobs that it wakes are left out if another call has them locked.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use chrono::{DateTime, Utc};
use scheduler_core::{
    ExecutorName, JobBody, JobOptions, JobRow, JobState, LimitKey, NodeId, RunState, Tags, Totals, Uid,
    store::{Hint, KeyLimit, Move, Record, Settle, StoreError, StoreErrorKind, Waits},
    trigger::Date,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    backend::{Access, HoldKind, NewJob, Session},
    change::{Batch, Call, ROUNDS},
    columns::body_text,
    job::LoadedJob,
    rules::{Granted, Held, Places, Runs, earlier},
};

/// The task that the record of a key names; no job has it.
const TASK: &str = "(limit key)";

/// In how many parts it is kept which keys there are: a record takes some ten thousand names.
const PARTS: u64 = 64;

/// How many jobs of a node are looked through when a key is given its first limit.
const MOST_HELD: usize = 1_000_000;

/// How often others are woken in the place of jobs that cannot take theirs.
const WAKES: usize = 8;

/// A record, as it was loaded and as it is to be.
#[derive(Debug)]
struct Kept<T> {
    job: LoadedJob,
    value: T,
}

/// A part of the keys that have, or have had, a limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Keys {
    keys: BTreeSet<LimitKey>,
}

/// What a settle has found for its moves that need places.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The jobs that have to wait.
    refused: BTreeMap<Uid, (Waits, Option<DateTime<Utc>>)>,
    /// The keys of which jobs wait though there is room, which has just been found.
    roomy: BTreeSet<LimitKey>,
}

impl Taken {
    /// Whether a job has to wait, and since when it does.
    pub(super) fn refused(&self, uid: Uid) -> Option<(Waits, Option<DateTime<Utc>>)> {
        self.refused.get(&uid).copied()
    }
}

/// The places of a job that are not needed, as the job is now: those of the runs that a record reports, and those that a move was to
/// have which has not been applied.
pub(super) fn unneeded(
    record: Option<&Record>,
    not_applied: Option<&Move>,
    uid: Uid,
    job: Option<&LoadedJob>,
) -> Vec<(LimitKey, Held)> {
    let entries = record.into_iter().flat_map(|record| &record.entries).filter(|entry| entry.run.uid == uid);
    let reported = entries.filter_map(|entry| Some((entry.limit_key.clone()?, Held(uid, entry.run.seq, entry.fence))));
    let not_started = not_applied.into_iter().flat_map(|to| {
        let starts = to.starts().map(|seq| Held(uid, seq, to.fence));
        starts.filter_map(|held| Some((to.limit_key.clone()?, held)))
    });
    let held = reported.chain(not_started);
    held.filter(|(_, held)| job.is_none_or(|job| !held.is_needed(job.head(), job.runs()))).collect()
}

/// Whether a record gives back places of a key for which a settle looks: it finds them if it comes after the record, whose ends are
/// written then.
pub(super) fn are_handed_on(record: Option<&Record>, settle: Option<&Settle>) -> bool {
    let free = keys_of(record, None);
    !free.is_empty() && !free.is_disjoint(&keys_of(None, settle))
}

/// Locks the keys whose places a record and a settle change, which come one after the other, if the session is a transaction.
pub(super) async fn lock(
    session: &dyn Session,
    record: Option<&Record>,
    settle: Option<&Settle>,
) -> Result<(), StoreError> {
    match session.is_transaction() {
        true => load(session, &keys_of(record, settle), Access::Redefine).await.map(drop),
        false => Ok(()),
    }
}

/// Whether a record or a settle is about a limit key.
pub(super) fn are_concerned(record: Option<&Record>, settle: Option<&Settle>) -> bool {
    let is_reported = record.is_some_and(|record| record.entries.iter().any(|entry| entry.limit_key.is_some()));
    is_reported || settle.is_some_and(|settle| settle.moves.iter().any(|to| to.limit_key.is_some()))
}

/// The keys whose places a record and a settle change.
fn keys_of(record: Option<&Record>, settle: Option<&Settle>) -> BTreeSet<LimitKey> {
    let reported = record.into_iter().flat_map(|record| &record.entries).filter_map(|entry| entry.limit_key.clone());
    let moved = settle.into_iter().flat_map(|settle| &settle.moves).filter_map(|to| to.limit_key.clone());
    reported.chain(moved).collect()
}

/// Takes places for what a settle starts, as far as there are some.
pub(super) async fn take(
    call: Call<'_>,
    jobs: &[LoadedJob],
    record: Option<&Record>,
    settle: Option<&Settle>,
    owner: &NodeId,
) -> Result<Taken, StoreError> {
    // A transaction locks those of the record, too, since the row of its node is locked in between.
    let locked = if call.session.is_transaction() { record } else { None };
    let keys = keys_of(locked, settle);
    let Some(settle) = settle.filter(|_| !keys.is_empty()) else {
        if !keys.is_empty() {
            load(call.session, &keys, Access::Redefine).await?;
        }
        return Ok(Taken::default());
    };
    for _ in 0..ROUNDS {
        let mut taken = Taken::default();
        let mut changed = Vec::new();
        for mut kept in load(call.session, &keys, Access::Redefine).await?.into_values() {
            let before = kept.value.clone();
            take_of_key(call, &mut kept.value, jobs, settle, owner, &mut taken).await?;
            if kept.value.has_room_for_waiting() {
                taken.roomy.insert(kept.value.key.clone());
            }
            if kept.value != before {
                changed.push(kept);
            }
        }
        if save(call, changed).await?.is_empty() {
            return Ok(taken);
        }
    }
    Err(call.contended("limit keys"))
}

async fn take_of_key(
    call: Call<'_>,
    places: &mut Places,
    jobs: &[LoadedJob],
    settle: &Settle,
    owner: &NodeId,
    taken: &mut Taken,
) -> Result<(), StoreError> {
    if places.is_unlimited() {
        return Ok(());
    }
    let of_key = settle.moves.iter().filter(|to| to.limit_key.as_ref() == Some(&places.key));
    // What cannot be applied, or has been, needs no place.
    let moves: Vec<_> = of_key
        .filter_map(|to| {
            let job = jobs.iter().find(|job| job.uid() == Some(to.uid))?;
            job.head().can_move(to, owner).then(|| (to, job.head().due.unwrap_or(call.now)))
        })
        .collect();
    if places.is_to_be_counted() {
        let counted = counted(call.session, &places.key).await?;
        places.count(counted);
    }
    let mut is_looked_through = false;
    for (to, due) in moves {
        if !places.has_room_for(to) && !is_looked_through {
            retain_needed(call.session, places).await?;
            is_looked_through = true;
        }
        if let Granted::None { waits, since } = places.take(to, due) {
            taken.refused.insert(to.uid, (waits, since));
        }
    }
    Ok(())
}

/// Gives places back that are not [needed](unneeded), and wakes jobs that wait for them. Says when those are due.
pub(super) async fn give_back(
    call: Call<'_>,
    taken: Taken,
    unneeded: impl Iterator<Item = (LimitKey, Held)>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let mut free: BTreeMap<LimitKey, Vec<Held>> = BTreeMap::new();
    for (key, held) in unneeded {
        free.entry(key).or_default().push(held);
    }
    let mut keys = taken.roomy;
    keys.extend(free.keys().cloned());
    fill(call, keys, &free).await
}

/// Writes that places are free, and wakes the jobs that wait for them. Says when those are due.
async fn fill(
    call: Call<'_>,
    mut keys: BTreeSet<LimitKey>,
    free: &BTreeMap<LimitKey, Vec<Held>>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let mut due = None;
    let mut woken: BTreeMap<LimitKey, usize> = BTreeMap::new();
    for _ in 0..WAKES {
        if keys.is_empty() {
            break;
        }
        let next = release(call, &keys, free, &woken).await?;
        keys.clear();
        for (key, waiting) in next {
            let count = waiting.len();
            let (first, awake) = wake(call, waiting).await?;
            due = earlier(due, first);
            if awake < count {
                keys.insert(key.clone());
            }
            *woken.entry(key).or_default() += awake;
        }
    }
    Ok(due)
}

/// Writes that places are free, and takes out the jobs that are woken for them; so many have been already.
async fn release(
    call: Call<'_>,
    keys: &BTreeSet<LimitKey>,
    free: &BTreeMap<LimitKey, Vec<Held>>,
    woken: &BTreeMap<LimitKey, usize>,
) -> Result<BTreeMap<LimitKey, Vec<(Uid, DateTime<Utc>)>>, StoreError> {
    let mut left = keys.clone();
    let mut next = BTreeMap::new();
    for _ in 0..ROUNDS {
        let mut changed = Vec::new();
        for (key, mut kept) in load(call.session, &left, Access::Redefine).await? {
            let before = kept.value.clone();
            free.get(&key).into_iter().flatten().for_each(|held| kept.value.give_back(*held));
            let waiting = kept.value.next_waiting(woken.get(&key).copied().unwrap_or_default());
            if !waiting.is_empty() {
                next.insert(key, waiting);
            }
            if kept.value != before {
                changed.push(kept);
            }
        }
        left = save(call, changed).await?;
        left.iter().for_each(|key| drop(next.remove(key)));
        if left.is_empty() {
            return Ok(next);
        }
    }
    Err(call.contended("limit keys"))
}

/// Makes jobs that wait due. Says when the first one is, and how many can take a place.
async fn wake(
    call: Call<'_>,
    waiting: Vec<(Uid, DateTime<Utc>)>,
) -> Result<(Option<DateTime<Utc>>, usize), StoreError> {
    if waiting.is_empty() {
        return Ok((None, 0));
    }
    let since: BTreeMap<String, DateTime<Utc>> =
        waiting.into_iter().map(|(uid, since)| (uid.to_string(), since)).collect();
    let batch = Batch::load(call.session, since.keys().cloned().collect(), Access::ChangeUnlocked).await?;
    let mut dues: BTreeMap<String, Option<DateTime<Utc>>> = BTreeMap::new();
    let step = &mut |key: &str, job: Option<&mut LoadedJob>| {
        let due = job.zip(since.get(key)).and_then(|(job, since)| {
            let can_run = job.apply(|head, _| head.wake_for_place(*since, call.now));
            job.head().due.filter(|_| can_run)
        });
        dues.insert(key.to_owned(), due);
    };
    call.change(batch, None, step).await?;
    let dues: Vec<DateTime<Utc>> = dues.into_values().flatten().collect();
    if let Some(first) = dues.iter().min() {
        call.session.announce(&[Hint::Due(*first)]).await?;
    }
    Ok((dues.iter().min().copied(), dues.len()))
}

/// Makes sure that there is a record of a key that is given a limit.
///
/// Whoever starts a run after this is written knows of the key; whoever has not known of it is found by [`set`], which counts.
pub(super) async fn prepare(
    call: Call<'_>,
    key: &LimitKey,
    limit: NonZeroU32,
    payload: usize,
) -> Result<(), StoreError> {
    let new = Places::new(key.clone());
    change(call, uid_of(key.as_str()), new, payload, |places: &mut Places| places.set_limit(Some(limit))).await
}

/// Sets the limit of a key, which has a record if it is given one; counts what is running if it has had none, and wakes jobs
/// that wait.
pub(super) async fn set(call: Call<'_>, key: &LimitKey, limit: Option<NonZeroU32>) -> Result<(), StoreError> {
    let keys = BTreeSet::from([key.clone()]);
    for _ in 0..ROUNDS {
        let Some(mut kept) = load(call.session, &keys, Access::Redefine).await?.remove(key) else {
            return Ok(());
        };
        kept.value.set_limit(limit);
        if kept.value.is_to_be_counted() {
            kept.value.count(counted(call.session, key).await?);
        }
        if save(call, vec![kept]).await?.is_empty() {
            return fill(call, keys, &BTreeMap::new()).await.map(drop);
        }
    }
    Err(call.contended(&format!("limit key `{key}`")))
}

/// Notes that a key has a limit, or has none, for those who list them.
pub(super) async fn list(
    call: Call<'_>,
    key: &LimitKey,
    limit: Option<NonZeroU32>,
    payload: usize,
) -> Result<(), StoreError> {
    change(call, part_of(key), Keys::default(), payload, |keys: &mut Keys| {
        match limit {
            Some(_) => keys.keys.insert(key.clone()),
            None => keys.keys.remove(key),
        };
    })
    .await
}

/// The keys that have a limit, or only this one.
pub(super) async fn limits(session: &dyn Session, key: Option<&LimitKey>) -> Result<Vec<KeyLimit>, StoreError> {
    let keys = match key {
        Some(key) => BTreeSet::from([key.clone()]),
        None => {
            let parts = (0..PARTS).map(part).map(|uid| uid.to_string()).collect();
            let parts = session.by_key(&parts, Access::Show).await?;
            parts.into_iter().filter_map(read::<Keys>).flat_map(|kept| kept.value.keys).collect()
        }
    };
    let kept = load(session, &keys, Access::Show).await?;
    Ok(kept.into_values().filter_map(|kept| kept.value.shown()).collect())
}

/// The places of runs of jobs with this key that are running, or may be about to start.
async fn counted(session: &dyn Session, key: &LimitKey) -> Result<Vec<Held>, StoreError> {
    let nodes = session.nodes().await?;
    let nodes: BTreeSet<NodeId> = nodes.known.into_iter().map(|node| node.id).chain(nodes.running).collect();
    let mut held = Vec::new();
    // A job that is claimed at the first look and runs at the second one is found by both.
    for hold in [HoldKind::Claim, HoldKind::Run] {
        for node in &nodes {
            for mut job in session.held_by(node, hold, MOST_HELD, Access::Show).await? {
                let Some(Ok(row)) = job.take_row().filter(|row| is_under(row, key)) else { continue };
                let claimed = job.head().claim.iter().map(|_| Held(row.uid, 0, job.head().fence));
                let running = job.runs().open().filter(|run| run.state == RunState::Running);
                held.extend(claimed.chain(running.map(|run| Held(row.uid, run.id.seq, run.fence))));
            }
        }
    }
    Ok(held)
}

fn is_under<E>(row: &Result<JobRow, E>, key: &LimitKey) -> bool {
    row.as_ref().is_ok_and(|row| row.body.options.limit_key.as_ref() == Some(key))
}

/// Drops the places that no run needs any more: a call that gave one back has died, or another node has taken the run over.
async fn retain_needed(session: &dyn Session, places: &mut Places) -> Result<(), StoreError> {
    let uids: BTreeSet<String> = places.holders().map(|uid| uid.to_string()).collect();
    let jobs = if uids.is_empty() { Vec::new() } else { session.by_key(&uids, Access::Show).await? };
    let is_needed = |held: &Held| {
        let job = jobs.iter().find(|job| job.uid() == Some(held.0));
        job.is_some_and(|job| held.is_needed(job.head(), job.runs()))
    };
    places.retain(is_needed);
    Ok(())
}

/// The records of keys, as far as there are some. One that cannot be read counts as none: its next limit writes it anew.
async fn load(
    session: &dyn Session,
    keys: &BTreeSet<LimitKey>,
    access: Access,
) -> Result<BTreeMap<LimitKey, Kept<Places>>, StoreError> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let uids = keys.iter().map(|key| uid_of(key.as_str()).to_string()).collect();
    let jobs = session.by_key(&uids, access).await?;
    let kept = jobs.into_iter().filter_map(read::<Places>);
    Ok(kept.map(|kept| (kept.value.key.clone(), kept)).filter(|(key, _)| keys.contains(key)).collect())
}

fn read<T: for<'de> Deserialize<'de>>(mut job: LoadedJob) -> Option<Kept<T>> {
    let row = job.take_row()?.ok()?;
    let value = serde_json::from_value(row.body.args).ok()?;
    Some(Kept { job, value })
}

/// Writes records, and gives back the keys of those that another call has written since.
async fn save(call: Call<'_>, changed: Vec<Kept<Places>>) -> Result<BTreeSet<LimitKey>, StoreError> {
    let mut lost = BTreeSet::new();
    let mut jobs = Vec::with_capacity(changed.len());
    for Kept { job, value } in changed {
        let key = value.key.clone();
        jobs.push((key, rewritten(job, &value, usize::MAX)?));
    }
    if jobs.is_empty() {
        return Ok(lost);
    }
    let written = call.session.write(&jobs.iter().map(|(_, job)| job).collect::<Vec<_>>(), call.now).await?;
    for ((key, _), is_written) in jobs.into_iter().zip(written) {
        if !is_written {
            lost.insert(key);
        }
    }
    Ok(lost)
}

/// Changes a record, which is added if there is none.
async fn change<T>(call: Call<'_>, uid: Uid, new: T, payload: usize, step: impl Fn(&mut T)) -> Result<(), StoreError>
where
    T: Serialize + for<'de> Deserialize<'de> + Clone + PartialEq + Send + Sync,
{
    for _ in 0..ROUNDS {
        let job = call.session.by_key(&BTreeSet::from([uid.to_string()]), Access::Redefine).await?.pop();
        let Some(mut job) = job else {
            let mut value = new.clone();
            step(&mut value);
            let row = record(uid, body(&value)?);
            let text = body_text(&row.body, &row.id, payload)?;
            call.session.insert(&[NewJob { row: &row, body: &text }]).await?;
            // Whether this call has added it or another one, it is there now.
            continue;
        };
        let row = job.take_row().and_then(Result::ok);
        let known = row.and_then(|row| serde_json::from_value::<T>(row.body.args).ok());
        let mut value = known.clone().unwrap_or_else(|| new.clone());
        step(&mut value);
        if known.as_ref() == Some(&value) {
            return Ok(());
        }
        let job = rewritten(job, &value, payload)?;
        if call.session.write(&[&job], call.now).await?.contains(&true) {
            return Ok(());
        }
    }
    Err(call.contended("limit keys"))
}

/// A record with another value.
fn rewritten<T: Serialize>(mut job: LoadedJob, value: &T, payload: usize) -> Result<LoadedJob, StoreError> {
    let body = body(value)?;
    let text = body_text(&body, job.id(), payload)?;
    job.redefine(body, text);
    Ok(job)
}

fn body<T: Serialize>(value: &T) -> Result<JobBody, StoreError> {
    let args = serde_json::to_value(value).map_err(|error| {
        let message = format!("a limit by key has no JSON form: {error}");
        StoreError::new(StoreErrorKind::Rejected, message).with_source(error)
    })?;
    Ok(JobBody {
        v: 1,
        name: None,
        task: TASK.into(),
        args,
        trigger: Date::at(DateTime::UNIX_EPOCH).into(),
        executor: ExecutorName::default(),
        options: JobOptions::default(),
        chosen_fire_time: None,
        tags: Tags::default(),
        meta: Value::Null,
        pause: None,
        extra: serde_json::Map::new(),
    })
}

fn record(uid: Uid, body: JobBody) -> JobRow {
    JobRow {
        uid,
        id: format!("limit key {uid}").into(),
        body,
        state: JobState::Removed,
        next_fire_time: None,
        due: None,
        last_end: None,
        blocked: false,
        revision: 0,
        fence: 0,
        last_seq: 0,
        totals: Totals::default(),
    }
}

/// Where a key is listed.
fn part_of(key: &LimitKey) -> Uid {
    part(uid_of(key.as_str()).0 as u64 % PARTS)
}

fn part(number: u64) -> Uid {
    // No key has a NUL.
    uid_of(&format!("\0part {number}"))
}

/// The uid of a record, by the hash FNV-1a in 128 bits, which every version and language computes alike.
fn uid_of(name: &str) -> Uid {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let names = "apscheduler limit key ".bytes().chain(name.bytes());
    Uid(names.fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME)))
}
