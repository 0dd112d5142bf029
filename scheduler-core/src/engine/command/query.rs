//! Reading, listing and removing jobs.

use std::num::NonZeroU32;

use super::{PendingCall, not_found, readable};
use crate::{
    Error, ErrorKind, EventKind, JobId, JobRef, LimitKey, Listed, Now, Removal, RunRef, StoreName, Tags, Uid,
    engine::{CallId, Engine, InFlight, JobEdit, Reply, StoreCall},
    store::{CancelledRun, KeyLimit, Removed, RemovedAll, Stamped, StoreError},
};

/// A job is being looked for.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Reading {
    pub(super) call: CallId,
    pub(super) id: JobId,
    /// The store that is asked.
    pub(super) store: StoreName,
    /// The stores that are asked after it.
    pub(super) others: Vec<StoreName>,
    pub(super) purpose: Purpose,
}

/// What a job is looked for.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) enum Purpose {
    Show,
    Change(Box<JobEdit>),
    RunNow,
}

/// A job is being removed.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Removing {
    call: CallId,
    id: JobId,
    pub(super) store: StoreName,
    others: Vec<StoreName>,
    is_anywhere: bool,
}

/// All jobs are being removed.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct RemovingAll {
    call: CallId,
    pub(super) store: StoreName,
    others: Vec<StoreName>,
    count: u64,
}

impl Engine {
    /// The stores to ask, the first one last.
    pub(super) fn stores_to_ask(&self, store: Option<StoreName>) -> Result<Vec<StoreName>, Error> {
        match store {
            Some(store) if self.stores.iter().any(|state| state.name == store) => Ok(vec![store]),
            Some(store) => Err(self.unknown_store(&store)),
            None => Ok(self.stores.iter().rev().map(|state| state.name.clone()).collect()),
        }
    }

    pub(super) fn find(&mut self, call: CallId, store: Option<StoreName>, id: JobId, purpose: Purpose) {
        let mut others = match self.stores_to_ask(store) {
            Ok(stores) => stores,
            Err(error) => return self.reply(call, Err(error)),
        };
        let Some(store) = others.pop() else {
            return self.reply(call, Err(not_found(&id, None)));
        };
        self.read(Reading { call, id, store, others, purpose });
    }

    fn read(&mut self, reading: Reading) {
        let (store, id) = (reading.store.clone(), reading.id.clone());
        self.call_store(store, StoreCall::Job(id), InFlight::Call(PendingCall::Read(reading)));
    }

    pub(super) fn on_read(&mut self, now: Now, mut reading: Reading, result: Result<Option<Box<Listed>>, StoreError>) {
        let listed = match result {
            Ok(listed) => listed,
            Err(error) => return self.reply(reading.call, Err(Error::from_store(&reading.store, error))),
        };
        match listed {
            Some(listed) => self.on_found(now, reading, *listed),
            None => match reading.others.pop() {
                Some(next) => {
                    reading.store = next;
                    self.read(reading);
                }
                None => match reading.purpose {
                    Purpose::Show => self.reply(reading.call, Ok(Reply::Found(None))),
                    Purpose::Change(_) | Purpose::RunNow => self.reply(reading.call, Err(not_found(&reading.id, None))),
                },
            },
        }
    }

    fn on_found(&mut self, now: Now, reading: Reading, listed: Listed) {
        let Reading { call, store, purpose, .. } = reading;
        match (readable(listed), purpose) {
            (Err(error), _) => self.reply(call, Err(error)),
            (Ok(job), Purpose::Show) => self.reply(call, Ok(Reply::Found(Some((store, Box::new(job)))))),
            (Ok(job), Purpose::Change(change)) => self.change(now, call, store, *change, job),
            (Ok(job), Purpose::RunNow) => self.run_now(now, call, store, &job),
        }
    }

    pub(super) fn list(&mut self, call: CallId, store: StoreName, query: StoreCall, pending: PendingCall) {
        match self.store_state(&store) {
            Some(_) => self.call_store(store, query, InFlight::Call(pending)),
            None => self.reply(call, Err(self.unknown_store(&store))),
        }
    }

    /// Sets a limit by key, if every store could keep it.
    pub(super) fn set_key_limit(
        &mut self,
        now: Now,
        call: CallId,
        store: StoreName,
        key: LimitKey,
        limit: Option<NonZeroU32>,
    ) {
        let too_high = limit.filter(|limit| limit.get() > KeyLimit::HIGHEST).map(|limit| {
            let highest = KeyLimit::HIGHEST;
            format!("limit key `{key}`: a limit of {limit}: at most {highest}; a key without a limit is not limited")
        });
        if let Some(message) = key.check().err().or(too_high) {
            return self.reply(call, Err(Error::new(ErrorKind::Config, message)));
        }
        let at = self.time_of(now, &store);
        let pending = PendingCall::SetKeyLimit(call, store.clone());
        self.list(call, store, StoreCall::SetKeyLimit(at, key, limit), pending);
    }

    pub(super) fn on_listed(&mut self, call: CallId, store: &StoreName, page: Result<Reply, StoreError>) {
        self.reply(call, page.map_err(|error| Error::from_store(store, error)));
    }

    pub(super) fn remove_job(&mut self, now: Now, call: CallId, store: Option<StoreName>, id: JobId) {
        let is_anywhere = store.is_none();
        let mut others = match self.stores_to_ask(store) {
            Ok(stores) => stores,
            Err(error) => return self.reply(call, Err(error)),
        };
        match others.pop() {
            Some(store) => self.remove(now, Removing { call, id, store, others, is_anywhere }),
            None => self.reply(call, Err(not_found(&id, None))),
        }
    }

    fn remove(&mut self, now: Now, removing: Removing) {
        let at = self.time_of(now, &removing.store);
        let (store, ids) = (removing.store.clone(), vec![removing.id.clone()]);
        self.call_store(store, StoreCall::Remove(at, ids), InFlight::Call(PendingCall::Remove(removing)));
    }

    pub(super) fn on_removed(
        &mut self,
        now: Now,
        mut removing: Removing,
        result: Result<Stamped<Vec<Removed>>, StoreError>,
    ) {
        let removed = match result {
            Ok(stamped) => stamped.value.into_iter().next().unwrap_or(Removed::Gone),
            Err(error) => return self.reply(removing.call, Err(Error::from_store(&removing.store, error))),
        };
        match removed {
            Removed::Removed { uid, cancelled, .. } => {
                self.notify_cancelled(now, &removing.store, cancelled);
                if uid.is_some() {
                    self.mark_removed(&removing.store, uid);
                }
                let job = JobRef {
                    store: removing.store,
                    id: removing.id,
                    uid: uid.unwrap_or(Uid::UNREADABLE),
                    tags: Tags::default(),
                };
                self.notify(now, EventKind::JobRemoved { job, reason: Removal::Requested });
                self.reply(removing.call, Ok(Reply::Done));
            }
            Removed::Gone => match removing.others.pop() {
                Some(next) => {
                    removing.store = next;
                    self.remove(now, removing);
                }
                None => {
                    let store = (!removing.is_anywhere).then_some(&removing.store);
                    self.reply(removing.call, Err(not_found(&removing.id, store)));
                }
            },
        }
    }

    pub(super) fn remove_all_jobs(&mut self, now: Now, call: CallId, store: Option<StoreName>) {
        let mut others = match self.stores_to_ask(store) {
            Ok(stores) => stores,
            Err(error) => return self.reply(call, Err(error)),
        };
        match others.pop() {
            Some(store) => self.remove_all(now, RemovingAll { call, store, others, count: 0 }),
            None => self.reply(call, Ok(Reply::Count(0))),
        }
    }

    fn remove_all(&mut self, now: Now, removing: RemovingAll) {
        let at = self.time_of(now, &removing.store);
        let store = removing.store.clone();
        self.call_store(store, StoreCall::RemoveAll(at), InFlight::Call(PendingCall::RemoveAll(removing)));
    }

    pub(super) fn on_removed_all(
        &mut self,
        now: Now,
        mut removing: RemovingAll,
        result: Result<Stamped<RemovedAll>, StoreError>,
    ) {
        let RemovedAll { count, cancelled } = match result {
            Ok(stamped) => stamped.value,
            Err(error) => return self.reply(removing.call, Err(Error::from_store(&removing.store, error))),
        };
        self.notify_cancelled(now, &removing.store, cancelled);
        self.mark_removed(&removing.store, None);
        self.notify(now, EventKind::AllJobsRemoved { store: removing.store.clone(), count });
        removing.count = removing.count.saturating_add(count);
        match removing.others.pop() {
            Some(next) => {
                removing.store = next;
                self.remove_all(now, removing);
            }
            None => self.reply(removing.call, Ok(Reply::Count(removing.count))),
        }
    }

    /// Tells of the end of runs that waited when their job was removed: listeners may have been told that these runs were queued or
    /// were to be repeated.
    fn notify_cancelled(&mut self, now: Now, store: &StoreName, cancelled: Vec<CancelledRun>) {
        for CancelledRun { job, task, run } in cancelled {
            let job = JobRef { store: store.clone(), id: job, uid: run.id.uid, tags: Tags::default() };
            self.notify(
                now,
                EventKind::RunCancelled(RunRef {
                    job,
                    run: run.id,
                    task,
                    fire_time: run.fire_time,
                    first: run.first,
                    count: run.count,
                    attempt: run.attempt,
                }),
            );
        }
    }

    /// Notes that the listeners know that a job is removed, or all of them, which go with the last run that is running.
    /// What waits for its executor does not start any more.
    fn mark_removed(&mut self, store: &StoreName, uid: Option<Uid>) {
        let Some(state) = self.store_state(store) else {
            return;
        };
        state.cancel_waiting_of(uid);
        for active in state.runs.active.values_mut().filter(|active| uid.is_none_or(|uid| active.run.job.uid == uid)) {
            active.is_removed = true;
        }
    }

    /// The time of a store, as well as this node knows it.
    pub fn time_of(&self, now: Now, store: &StoreName) -> chrono::DateTime<chrono::Utc> {
        let state = self.stores.iter().find(|state| state.name == *store);
        state.map_or(now.utc, |state| state.clock.time(now))
    }
}
