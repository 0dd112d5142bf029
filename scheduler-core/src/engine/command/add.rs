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

use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::{Asked, readable};
use crate::{
    BODY_VERSION, Conflict, Delivery, Error, ErrorKind, EventKind, JobBody, JobId, JobOptions, JobRow, JobSpec,
    JobState, Listed, Now, RunId, StoreName, TaskName, Totals, Trigger, Uid, Verdict,
    engine::{CallId, Engine, ExportedJob, InFlight, Reply, StoreCall, StoreReply, contact::Contact, firing::job_ref},
    plan::{due_fire_times, due_of},
    spec::{Begin, is_closure},
    store::{Durability, Inserted, StoreError, StoreErrorKind, Update, Updated},
    trigger::Date,
};

/// The longest id, in bytes: what every database can index.
const ID_LIMIT: usize = 191;

/// How often a replacement is tried anew when the job changes under it; each time means that somebody else got through.
const TRIES: u32 = 20;

/// A command that adds jobs, until each has its answer.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Adding {
    results: Vec<Option<Result<JobRow, Error>>>,
    open: usize,
}

/// Jobs on their way into a store.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Inserting {
    call: CallId,
    store: StoreName,
    rows: Arc<Vec<JobRow>>,
    /// The place of each row in the command, and what to do about a conflict.
    places: Vec<(usize, Conflict)>,
}

/// A job on its way into another one's place.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Replacing {
    call: CallId,
    store: StoreName,
    place: usize,
    new: Box<JobRow>,
    tries: u32,
}

impl Engine {
    pub(super) fn add_jobs(&mut self, now: Now, call: CallId, store: &StoreName, specs: Vec<JobSpec>) {
        let prepare = |engine: &mut Self, spec: JobSpec| {
            let conflict = spec.conflict;
            engine.prepare(now, store, spec).map(|row| (row, conflict))
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
        self.add(now, call, store, jobs, |engine, job| {
            engine.prepare_import(now, store, job).map(|row| (row, conflict))
        });
    }

    fn add<T>(
        &mut self,
        now: Now,
        call: CallId,
        store: &StoreName,
        items: Vec<T>,
        mut prepare: impl FnMut(&mut Self, T) -> Result<(JobRow, Conflict), Error>,
    ) {
        let Some(batch) = self.contact(store).map(|contact| contact.limits.batch.max(1)) else {
            return self.reply(call, Err(self.unknown_store(store)));
        };
        let mut adding = Adding { results: vec![None; items.len()], open: 0 };
        let mut rows = Vec::with_capacity(items.len());
        for (place, item) in items.into_iter().enumerate() {
            match prepare(self, item) {
                Ok((row, conflict)) => rows.push((row, (place, conflict))),
                Err(error) => adding.results[place] = Some(Err(error)),
            }
        }
        adding.open = rows.len();
        self.adding.insert(call, adding);
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let (rows, places) = rows.by_ref().take(batch).unzip();
            self.insert(now, Inserting { call, store: store.clone(), rows: Arc::new(rows), places });
        }
        self.reply_if_added(call);
    }

    fn insert(&mut self, now: Now, inserting: Inserting) {
        let at = self.time_of(now, &inserting.store);
        let (store, rows) = (inserting.store.clone(), Arc::clone(&inserting.rows));
        self.call_store(store, StoreCall::Insert(at, rows), InFlight::Asked(Asked::Insert(inserting)));
    }

    pub(super) fn on_inserted(&mut self, now: Now, inserting: Inserting, result: Result<StoreReply, StoreError>) {
        let stamped = match result {
            Ok(StoreReply::Insert(stamped)) => stamped,
            Ok(_) => return debug_assert!(false, "an insert is answered by an insert"),
            Err(error) => return self.on_insert_failed(now, inserting, error),
        };
        let Inserting { call, store, rows, places } = inserting;
        let rows = Arc::try_unwrap(rows).unwrap_or_else(|rows| (*rows).clone());
        if let Some(contact) = self.contact(&store) {
            contact.hear_time(now, stamped.now);
        }
        for ((row, (place, conflict)), outcome) in rows.into_iter().zip(places).zip(stamped.value) {
            match outcome {
                Inserted::Added => {
                    if let Some(contact) = self.contact(&store) {
                        contact.hear_due(row.due);
                    }
                    self.notify(now, EventKind::JobAdded(job_ref(&store, &row)));
                    self.added(call, place, Ok(row));
                }
                Inserted::Conflict(existing) => self.on_conflict(now, call, &store, place, conflict, row, *existing),
            }
        }
        self.reply_if_added(call);
    }

    /// A batch with an item that the store refuses is sent again without it.
    fn on_insert_failed(&mut self, now: Now, mut inserting: Inserting, error: StoreError) {
        let (call, store) = (inserting.call, inserting.store.clone());
        let is_item = matches!(error.kind(), StoreErrorKind::Rejected | StoreErrorKind::TooLarge);
        match error.item().filter(|item| is_item && *item < inserting.places.len()) {
            Some(item) => {
                let (place, _) = inserting.places.remove(item);
                Arc::make_mut(&mut inserting.rows).remove(item);
                self.added(call, place, Err(Error::from_store(&store, error)));
                if !inserting.places.is_empty() {
                    self.insert(now, inserting);
                }
            }
            None => {
                for (place, _) in inserting.places {
                    self.added(call, place, Err(Error::from_store(&store, error.clone())));
                }
            }
        }
        self.reply_if_added(call);
    }

    #[expect(clippy::too_many_arguments, reason = "one call site, where each of them is at hand")]
    fn on_conflict(
        &mut self,
        now: Now,
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
                    let replacing = Replacing { call, store: store.clone(), place, new: Box::new(new), tries: 0 };
                    self.replace(now, replacing, existing);
                }
                Err(error) => self.added(call, place, Err(error)),
            },
        }
    }

    fn replace(&mut self, now: Now, replacing: Replacing, existing: JobRow) {
        let at = self.time_of(now, &replacing.store);
        match replacement(at, &replacing.new, &existing) {
            Ok(update) => {
                let store = replacing.store.clone();
                let call = StoreCall::Update(at, Box::new(update));
                self.call_store(store, call, InFlight::Asked(Asked::Replace(replacing)));
            }
            Err(error) => self.added(replacing.call, replacing.place, Err(error)),
        }
    }

    pub(super) fn on_replaced(&mut self, now: Now, mut replacing: Replacing, result: Result<StoreReply, StoreError>) {
        let (call, place, store) = (replacing.call, replacing.place, replacing.store.clone());
        let updated = match result {
            Ok(StoreReply::Update(stamped)) => stamped.value,
            Ok(_) => return debug_assert!(false, "an update is answered by an update"),
            Err(error) => {
                self.added(call, place, Err(Error::from_store(&store, error)));
                return self.reply_if_added(call);
            }
        };
        match updated {
            Updated::Updated(job) => {
                self.tell_modified(now, &store, &job);
                self.added(call, place, Ok(*job));
            }
            Updated::Conflict(job) if replacing.tries < TRIES => {
                replacing.tries += 1;
                self.replace(now, replacing, *job);
            }
            Updated::Conflict(job) => self.added(call, place, Err(contended(&job.id))),
            // It went in the meantime, so that the new one is no replacement any more.
            Updated::Gone => {
                let places = vec![(place, Conflict::Replace)];
                self.insert(now, Inserting { call, store, rows: Arc::new(vec![*replacing.new]), places });
            }
        }
        self.reply_if_added(call);
    }

    pub(super) fn tell_modified(&mut self, now: Now, store: &StoreName, job: &JobRow) {
        if let Some(contact) = self.contact(store) {
            contact.hear_due(job.due);
        }
        self.notify(now, EventKind::JobModified(job_ref(store, job)));
    }

    fn added(&mut self, call: CallId, place: usize, result: Result<JobRow, Error>) {
        if let Some(adding) = self.adding.get_mut(&call) {
            adding.results[place] = Some(result);
            adding.open -= usize::from(adding.open > 0);
        }
    }

    fn reply_if_added(&mut self, call: CallId) {
        if self.adding.get(&call).is_some_and(|adding| adding.open == 0)
            && let Some(adding) = self.adding.remove(&call)
        {
            self.reply(call, Ok(Reply::Added(adding.results.into_iter().flatten().collect())));
        }
    }

    /// The row of a new job: everything that its description leaves open is settled here, once.
    fn prepare(&mut self, now: Now, store: &StoreName, spec: JobSpec) -> Result<JobRow, Error> {
        let uid = self.next_uid();
        let id = spec.id.unwrap_or_else(|| JobId::from(uid.to_string()));
        check_id(&id)?;
        self.check_task(&spec.task, &id)?;
        let at = self.time_of(now, store);
        let trigger = spec.trigger.unwrap_or_else(|| Date::at(at).into());
        let body = JobBody {
            v: BODY_VERSION,
            name: spec.name,
            task: spec.task,
            args: spec.args.map_err(|error| not_json(&id, &error))?,
            trigger: trigger.bind(at, self.config.timezone, id.as_str()),
            executor: spec.executor.unwrap_or_default(),
            options: spec.options.over(self.defaults_in(store)),
            extra: serde_json::Map::new(),
        };
        self.check_executor(&body.executor)?;
        if is_closure(&body.task) && self.is_durable(store) {
            let message = format!(
                "job `{id}` is a closure, which store `{store}` cannot keep beyond this process; register it as a task \
                 under a name and add a job for that, or add it to a memory store"
            );
            return Err(Error::new(ErrorKind::Closure, message));
        }
        let (state, next_fire_time) = match spec.begin {
            Begin::Paused => (JobState::Paused, None),
            Begin::At(at) => (JobState::Active, Some(at)),
            Begin::Trigger => (JobState::Active, Some(first_fire_time(&id, &body.trigger, at)?)),
        };
        Ok(new_row(uid, id, body, state, next_fire_time))
    }

    fn prepare_import(&mut self, now: Now, store: &StoreName, job: ExportedJob) -> Result<JobRow, Error> {
        let uid = self.next_uid();
        check_id(&job.id)?;
        if job.job.v != BODY_VERSION {
            let message = format!("job `{}` has version {}; this scheduler reads {BODY_VERSION}", job.id, job.job.v);
            return Err(Error::new(ErrorKind::NewerVersion, message));
        }
        self.check_task(&job.job.task, &job.id)?;
        self.check_executor(&job.job.executor)?;
        let at = self.time_of(now, store);
        let mut body = job.job;
        body.trigger = body.trigger.bind(at, self.config.timezone, job.id.as_str());
        let (state, next_fire_time) = match (job.paused, job.next_fire_time) {
            (true, _) => (JobState::Paused, None),
            (false, Some(next)) => (JobState::Active, Some(crate::spec::whole_micros(next))),
            (false, None) => (JobState::Active, Some(first_fire_time(&job.id, &body.trigger, at)?)),
        };
        Ok(new_row(uid, job.id, body, state, next_fire_time))
    }

    fn defaults_in(&self, store: &StoreName) -> JobOptions {
        let delivery = if self.is_durable(store) { Delivery::AtLeastOnce } else { Delivery::AtMostOnce };
        self.config.job_defaults.over(JobOptions { delivery, ..JobOptions::default() })
    }

    fn is_durable(&self, store: &StoreName) -> bool {
        let is_durable = |contact: &Contact| contact.limits.durability == Durability::Durable;
        self.contacts.iter().find(|contact| contact.name == *store).is_some_and(is_durable)
    }

    pub(super) fn check_task(&self, task: &TaskName, id: &JobId) -> Result<(), Error> {
        if self.tasks.contains(task) {
            return Ok(());
        }
        let message = format!("job `{id}`: this scheduler has no task `{task}`; register it before adding jobs for it");
        Err(Error::new(ErrorKind::UnknownTask, message))
    }

    pub(super) fn check_executor(&self, executor: &crate::ExecutorName) -> Result<(), Error> {
        if self.executors.contains(executor) { Ok(()) } else { Err(self.unknown_executor(executor)) }
    }

    fn next_uid(&mut self) -> Uid {
        self.last_uid += 1;
        let seed = self.config.seed;
        let mut hasher = SipHasher13::new_with_keys(seed as u64, (seed >> 64) as u64);
        std::hash::Hasher::write_u64(&mut hasher, self.last_uid);
        Uid(hasher.finish128().as_u128().max(1))
    }
}

/// The update that puts `new` in the place of `existing`.
fn replacement(at: chrono::DateTime<chrono::Utc>, new: &JobRow, existing: &JobRow) -> Result<Update, Error> {
    let mut body = new.body.clone();
    let is_same_trigger = body.trigger.is_same_as_written(&existing.body.trigger);
    let is_readable = !matches!(existing.state, JobState::Quarantined(_) | JobState::Kept);
    let mut verdicts = Vec::new();
    let (state, next_fire_time, due) = if is_same_trigger && is_readable {
        body.trigger = existing.body.trigger.clone();
        (existing.state.clone(), existing.next_fire_time, existing.due)
    } else {
        verdicts.extend(given_up_fire_times(at, existing, None)?);
        let due = new.next_fire_time.map(|next| due_of(&body.trigger, existing.uid, next));
        (new.state.clone(), new.next_fire_time, due)
    };
    Ok(Update {
        uid: existing.uid,
        revision: existing.revision,
        fence: existing.fence,
        body: Some(body),
        state,
        next_fire_time,
        due,
        verdicts,
    })
}

/// The row for the due fire times that a change of `job` gives up: those before `resumes_at`, if the job goes on from there.
pub(super) fn given_up_fire_times(
    at: chrono::DateTime<chrono::Utc>,
    job: &JobRow,
    resumes_at: Option<chrono::DateTime<chrono::Utc>>,
) -> Result<Option<crate::Run>, Error> {
    let Some(first) = job.next_fire_time.filter(|_| job.state == JobState::Active) else {
        return Ok(None);
    };
    let due = due_fire_times(&job.body.trigger, first, at).map_err(|error| trigger_error(&job.id, &error))?;
    let due = due.filter(|due| resumes_at.is_none_or(|resumes_at| due.last < resumes_at));
    let id = RunId { uid: job.uid, seq: job.last_seq + 1 };
    Ok(due.map(|due| {
        let mut run = due.given_up(id, Verdict::Cancelled, &job.body.trigger);
        run.error = Some("the job was changed before it ran".to_owned());
        run
    }))
}

fn new_row(
    uid: Uid,
    id: JobId,
    body: JobBody,
    state: JobState,
    next_fire_time: Option<chrono::DateTime<chrono::Utc>>,
) -> JobRow {
    let due = next_fire_time.map(|next| due_of(&body.trigger, uid, next));
    JobRow {
        uid,
        id,
        body,
        state,
        next_fire_time,
        due,
        last_end: None,
        blocked: false,
        revision: 0,
        fence: 0,
        last_seq: 0,
        totals: Totals::default(),
    }
}

pub(super) fn first_fire_time(
    id: &JobId,
    trigger: &Trigger,
    at: chrono::DateTime<chrono::Utc>,
) -> Result<chrono::DateTime<chrono::Utc>, Error> {
    match trigger.next(None, at).map_err(|error| trigger_error(id, &error))? {
        Some(first) => Ok(first),
        None => {
            let message = format!("job `{id}` would never fire: {trigger} has no fire time after {at}");
            Err(Error::new(ErrorKind::NeverFires, message))
        }
    }
}

pub(super) fn trigger_error(id: &JobId, error: &crate::trigger::TriggerError) -> Error {
    Error::new(ErrorKind::Trigger, format!("job `{id}`: trigger: {error}")).with_source(error.clone())
}

pub(super) fn contended(id: &JobId) -> Error {
    let message = format!("job `{id}` was changed by others {TRIES} times while this change was tried; try again");
    Error::new(ErrorKind::Busy, message)
}

pub(super) fn not_json(id: &JobId, error: &str) -> Error {
    Error::new(ErrorKind::Arguments, format!("job `{id}`: its arguments cannot be written as JSON: {error}"))
}

fn check_id(id: &JobId) -> Result<(), Error> {
    let text = id.as_str();
    let trouble = if text.is_empty() {
        "it is empty".to_owned()
    } else if text.len() > ID_LIMIT {
        format!("it has {} bytes; {ID_LIMIT} are allowed", text.len())
    } else if text.contains('\0') {
        "it contains NUL".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Job, format!("job id {text:?}: {trouble}")))
}
