//! Adding jobs, one or many, new or exported.
//!
//! ```text
//! add job "report" every 10 s, replacing
//!   → store insert "report" next 10:00:10
//!   ← conflict with "report" as it is
//!   → store update "report": same trigger, so its next fire time stays
//!   ← updated
//!   → notify job modified · reply job
//! ```
//!
//! Many jobs go in batches, one after the other, so that a million of them neither crowd the store nor change their order.
//! What a batch replaces goes some at a time, for the same reason.

use std::{collections::VecDeque, sync::Arc};

use super::{PendingCall, prepare::panicked, readable, replace::Replacing};
use crate::{
    Conflict, Error, ErrorKind, EventKind, JobRow, JobSpec, Listed, Now, Outdated, StoreName,
    engine::{CallId, Engine, ExportedJob, InFlight, Reply, StoreCall, planning::USUAL_STEPS, refs::job_ref},
    panics::catch,
    store::{Inserted, Stamped, StoreError, StoreErrorKind},
    trigger::steps::Steps,
};

/// How many replacements of one command are under way at once: more than a store has connections, and few enough that none
/// waits for one until it gives up.
const REPLACEMENTS: usize = 16;

/// How many steps the searches for the first fire times of the jobs of one command may take, beyond those that nearly every job
/// takes: two searches that go as far as one does.
const CALL_STEPS: u32 = 200_000;

/// A command that adds jobs, until each has its answer.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Adding {
    store: StoreName,
    results: Vec<Option<Result<JobRow, Error>>>,
    open: usize,
    /// The rows that have not been sent, each with its place in the command and what to do about a conflict.
    unsent: VecDeque<(JobRow, (usize, Conflict))>,
    /// The replacements that have not been sent, each with the job that it replaces.
    unreplaced: VecDeque<(Replacing, JobRow)>,
    /// How many replacements are under way.
    pub(super) replacing: usize,
}

/// Jobs on their way into a store.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Inserting {
    pub(super) call: CallId,
    pub(super) store: StoreName,
    pub(super) rows: Arc<Vec<JobRow>>,
    /// The place of each row in the command, and what to do about a conflict.
    pub(super) places: Vec<(usize, Conflict)>,
}

impl Engine {
    pub(super) fn add_jobs(&mut self, now: Now, call: CallId, store: &StoreName, specs: Vec<JobSpec>) {
        let prepare = |engine: &mut Self, spec: JobSpec, steps: &mut Steps| {
            let conflict = spec.conflict;
            engine.prepare(now, store, spec, steps).map(|row| (row, conflict))
        };
        self.add(now, call, store, specs, prepare);
    }

    pub(super) fn import_jobs(
        &mut self,
        now: Now,
        call: CallId,
        store: &StoreName,
        jobs: Vec<ExportedJob>,
        conflict: Conflict,
    ) {
        self.add(now, call, store, jobs, |engine, job, steps| {
            engine.prepare_import(now, store, job, steps).map(|row| (row, conflict))
        });
    }

    fn add<T>(
        &mut self,
        now: Now,
        call: CallId,
        store: &StoreName,
        items: Vec<T>,
        mut prepare: impl FnMut(&mut Self, T, &mut Steps) -> Result<(JobRow, Conflict), Error>,
    ) {
        if self.store_state(store).is_none() {
            return self.reply(call, Err(self.unknown_store(store)));
        }
        let mut results = vec![None; items.len()];
        let mut unsent = VecDeque::with_capacity(items.len());
        let mut left = CALL_STEPS;
        for (place, item) in items.into_iter().enumerate() {
            let mut steps = Steps::up_to(left.saturating_add(USUAL_STEPS));
            // Preparing a job changes nothing of the engine but the last uid.
            let prepared = catch(|| prepare(self, item, &mut steps));
            match prepared.unwrap_or_else(|panic| Err(panicked("the job that was to be added", &panic))) {
                Ok((row, conflict)) => unsent.push_back((row, (place, conflict))),
                Err(error) if steps.left() == 0 && left < CALL_STEPS => {
                    let message =
                        format!("{error}; the jobs before it in this call took the rest: add it by a call of its own");
                    results[place] = Some(Err(Error::new(error.kind(), message)));
                }
                Err(error) => results[place] = Some(Err(error)),
            }
            left = left.saturating_sub(steps.taken().saturating_sub(USUAL_STEPS));
        }
        let (open, store, unreplaced) = (unsent.len(), store.clone(), VecDeque::new());
        self.adding.insert(call, Adding { store, results, open, unsent, unreplaced, replacing: 0 });
        self.add_next(now, call);
    }

    /// Sends what is next of a command: replacements, or else a batch. Replies if it is answered.
    pub(super) fn add_next(&mut self, now: Now, call: CallId) {
        while let Some((replacing, existing)) = self.next_replacement(call) {
            let may_search = !existing.body.trigger.is_simple();
            self.replace(now, replacing, existing);
            // One whose search for the fire times that it gives up may take long is alone; the store's answer leads to the next.
            if may_search && self.adding.get(&call).is_some_and(|adding| adding.replacing > 0) {
                return;
            }
        }
        self.insert_next(now, call);
        self.reply_if_added(call);
    }

    fn next_replacement(&mut self, call: CallId) -> Option<(Replacing, JobRow)> {
        let adding = self.adding.get_mut(&call)?;
        if adding.replacing < REPLACEMENTS { adding.unreplaced.pop_front() } else { None }
    }

    fn insert_next(&mut self, now: Now, call: CallId) {
        let Some(store) = self.adding.get(&call).map(|adding| adding.store.clone()) else {
            return;
        };
        let batch = self.store_state(&store).map_or(1, |state| state.limits.batch.max(1));
        if let Some(adding) = self.adding.get_mut(&call)
            && adding.replacing == 0
            && !adding.unsent.is_empty()
        {
            let batch = batch.min(adding.unsent.len());
            let (rows, places) = adding.unsent.drain(..batch).unzip();
            self.insert(now, Inserting { call, store, rows: Arc::new(rows), places });
        }
    }

    pub(super) fn insert(&mut self, now: Now, inserting: Inserting) {
        let at = self.time_of(now, &inserting.store);
        let (store, rows) = (inserting.store.clone(), Arc::clone(&inserting.rows));
        self.call_store(store, StoreCall::Insert(at, rows), InFlight::Call(PendingCall::Insert(inserting)));
    }

    pub(super) fn on_inserted(
        &mut self,
        now: Now,
        inserting: Inserting,
        result: Result<Stamped<Vec<Inserted>>, StoreError>,
    ) {
        let stamped = match result {
            Ok(stamped) => stamped,
            Err(error) => return self.on_insert_failed(now, inserting, error),
        };
        let Inserting { call, store, rows, places } = inserting;
        let rows = Arc::try_unwrap(rows).unwrap_or_else(|rows| (*rows).clone());
        for ((row, (place, conflict)), outcome) in rows.into_iter().zip(places).zip(stamped.value) {
            match outcome {
                Inserted::Added => {
                    if let Some(state) = self.store_state(&store) {
                        state.claims.note_due(row.due);
                    }
                    self.notify(now, EventKind::JobAdded(job_ref(&store, &row)));
                    self.added(call, place, Ok(row));
                }
                Inserted::Conflict(existing) => self.on_conflict(call, &store, place, conflict, row, *existing),
            }
        }
        self.add_next(now, call);
    }

    /// A batch with an item that the store refuses is sent again without it. A store that fails is not tried with the rest.
    fn on_insert_failed(&mut self, now: Now, mut inserting: Inserting, error: StoreError) {
        let (call, store) = (inserting.call, inserting.store.clone());
        let is_item = matches!(error.kind(), StoreErrorKind::Rejected | StoreErrorKind::TooLarge);
        match error.item().filter(|item| is_item && *item < inserting.places.len()) {
            Some(item) => {
                let (place, _) = inserting.places.remove(item);
                Arc::make_mut(&mut inserting.rows).remove(item);
                self.added(call, place, Err(Error::from_store(&store, error)));
                match inserting.places.is_empty() {
                    true => self.add_next(now, call),
                    false => self.insert(now, inserting),
                }
            }
            None => {
                for (place, _) in inserting.places {
                    self.added(call, place, Err(Error::from_store(&store, error.clone())));
                }
                self.give_up_adding(call, &error);
                self.reply_if_added(call);
            }
        }
    }

    /// Answers with its failure what has not been sent to a store that fails.
    pub(super) fn give_up_adding(&mut self, call: CallId, error: &StoreError) {
        let Some(adding) = self.adding.get_mut(&call) else {
            return;
        };
        let store = adding.store.clone();
        let unreplaced = adding.unreplaced.drain(..).map(|(replacing, _)| replacing.place);
        let places: Vec<usize> = unreplaced.chain(adding.unsent.drain(..).map(|(_, (place, _))| place)).collect();
        for place in places {
            self.added(call, place, Err(Error::from_store(&store, error.clone())));
        }
    }

    fn on_conflict(
        &mut self,
        call: CallId,
        store: &StoreName,
        place: usize,
        conflict: Conflict,
        new: JobRow,
        existing: Listed,
    ) {
        match conflict {
            Conflict::Error => {
                let message = format!(
                    "job `{}` is in store `{store}` already; choose another id, or `Conflict::Replace` or `Conflict::Keep`",
                    new.id
                );
                self.added(call, place, Err(Error::new(ErrorKind::Conflict, message)));
            }
            Conflict::Keep => {
                let kept = readable(existing);
                self.added(call, place, kept);
            }
            Conflict::Replace => match readable(existing) {
                Ok(existing) => {
                    let (store, new) = (store.clone(), Box::new(new));
                    let replacing = Replacing { call, store, place, new, tries: 0, outdated: None };
                    if let Some(adding) = self.adding.get_mut(&call) {
                        adding.unreplaced.push_back((replacing, existing));
                    }
                }
                Err(error) => self.added(call, place, Err(error)),
            },
        }
    }

    pub(super) fn notify_modified(&mut self, now: Now, store: &StoreName, job: &JobRow) {
        if let Some(state) = self.store_state(store) {
            state.claims.note_due(job.due);
        }
        self.notify(now, EventKind::JobModified(job_ref(store, job)));
    }

    /// Tells that a job's next fire time was computed anew, if it was.
    pub(super) fn notify_corrected(&mut self, now: Now, store: &StoreName, job: &JobRow, outdated: Option<Outdated>) {
        if let Some(outdated) = outdated {
            self.notify(now, EventKind::FireTimeCorrected { job: job_ref(store, job), outdated });
        }
    }

    pub(super) fn added(&mut self, call: CallId, place: usize, result: Result<JobRow, Error>) {
        if let Some(adding) = self.adding.get_mut(&call) {
            adding.results[place] = Some(result);
            adding.open = adding.open.saturating_sub(1);
        }
    }

    fn reply_if_added(&mut self, call: CallId) {
        if self.adding.get(&call).is_some_and(|adding| adding.open == 0)
            && let Some(adding) = self.adding.remove(&call)
        {
            self.reply(call, Ok(Reply::Added(adding.results.into_iter().flatten().collect())));
        }
    }
}
