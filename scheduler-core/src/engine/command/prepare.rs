//! What a new job is: its description checked and everything settled that it leaves open.

use chrono::{DateTime, Utc};
use siphasher::sip::SipHasher13;

use super::form::{check_arguments, check_imported, check_notes, check_trigger};
use crate::{
    BODY_VERSION, Delivery, Error, ErrorKind, ExecutorName, JobBody, JobId, JobOptions, JobRow, JobSpec, JobState, Now,
    StoreName, TaskName, Totals, Trigger, Uid,
    engine::{Engine, ExportedJob, store_state::StoreState},
    outdated::{Outdated, outdated},
    plan::due_of,
    spec::{Begin, is_closure},
    store::{Durability, whole_micros},
    trigger::{Date, TriggerError, steps::Steps},
};

impl Engine {
    /// The row of a new job: everything that its description leaves open is settled here, once.
    pub(super) fn prepare(
        &mut self,
        now: Now,
        store: &StoreName,
        spec: JobSpec,
        steps: &mut Steps,
    ) -> Result<JobRow, Error> {
        let uid = self.next_uid(now);
        let id = spec.id.unwrap_or_else(|| JobId::from(uid.to_string()));
        check_id(&id)?;
        check_options(&id, spec.options.check())?;
        let at = self.time_of(now, store);
        let trigger = spec.trigger.unwrap_or_else(|| Date::at(at).into());
        let options = spec.options.over(self.defaults_in(store));
        let body = JobBody {
            v: JobBody::version_for(&trigger, &options),
            name: spec.name,
            task: spec.task,
            args: spec.args.map_err(|error| not_json(&id, &error))?,
            trigger: trigger.bind(at, self.config.timezone, id.as_str()),
            executor: spec.executor.unwrap_or_default(),
            options,
            chosen_fire_time: match spec.begin {
                Begin::At(at) => Some(at),
                Begin::Trigger | Begin::Paused => None,
            },
            tags: spec.tags,
            meta: spec.meta.map_err(|error| meta_is_not_json(&id, &error))?,
            pause: None,
            extra: serde_json::Map::new(),
        };
        self.check_body(store, &id, &body)?;
        let (state, next_fire_time) = match spec.begin {
            Begin::At(at) => (JobState::Active, Some(at)),
            Begin::Trigger => (JobState::Active, Some(first_fire_time(&id, &body.trigger, at, steps)?)),
            Begin::Paused => {
                first_fire_time(&id, &body.trigger, at, steps)?;
                (JobState::Paused, None)
            }
        };
        Ok(new_row(uid, id, body, state, next_fire_time))
    }

    pub(super) fn prepare_import(
        &mut self,
        now: Now,
        store: &StoreName,
        job: ExportedJob,
        steps: &mut Steps,
    ) -> Result<JobRow, Error> {
        let uid = self.next_uid(now);
        check_id(&job.id)?;
        refuse_newer_version(&job.id, job.job.v)?;
        check_imported(&job.id, &job.job)?;
        check_options(&job.id, job.job.options.check())?;
        self.check_body(store, &job.id, &job.job)?;
        let at = self.time_of(now, store);
        let mut body = job.job;
        body.v = body.v.max(JobBody::version_for(&body.trigger, &body.options));
        body.trigger = body.trigger.bind(at, self.config.timezone, job.id.as_str());
        let (state, next_fire_time) = match (job.paused, job.next_fire_time) {
            (true, _) => (JobState::Paused, None),
            (false, Some(next)) => (JobState::Active, Some(whole_micros(next))),
            (false, None) => (JobState::Active, Some(first_fire_time(&job.id, &body.trigger, at, steps)?)),
        };
        if !job.paused {
            body.pause = None;
        }
        let mut row = new_row(uid, job.id, body, state, next_fire_time);
        row.due = row.due.or_else(|| row.paused_until());
        if let Some(Outdated::ClockWasAhead { kept, .. }) = outdated(&row, at) {
            // The import says so, and its caller wants it then.
            row.body.chosen_fire_time = Some(kept);
        }
        Ok(row)
    }

    /// Refuses what could not run, or not as it is written.
    fn check_body(&self, store: &StoreName, id: &JobId, body: &JobBody) -> Result<(), Error> {
        self.check_task(&body.task, id)?;
        self.check_executor(&body.executor)?;
        check_arguments(id, &body.args)?;
        check_notes(id, &body.tags, &body.meta)?;
        check_trigger(id, &body.trigger)?;
        self.check_fit(store, id, body)
    }

    /// Refuses what the store cannot keep, or what contradicts itself.
    pub(super) fn check_fit(&self, store: &StoreName, id: &JobId, body: &JobBody) -> Result<(), Error> {
        if is_closure(&body.task) && self.is_durable(store) {
            let message = format!(
                "job `{id}` is a closure, which store `{store}` cannot keep beyond this process; register it as a task \
                 under a name and add a job for that, or add it to a memory store"
            );
            return Err(Error::new(ErrorKind::Closure, message));
        }
        let keeps_limits = |state: &StoreState| state.keeps_key_limits();
        if let Some(key) = &body.options.limit_key
            && !self.stores.iter().find(|state| state.name == *store).is_some_and(keeps_limits)
        {
            let message = format!(
                "job `{id}` has the limit key `{key}`, and store `{store}` keeps no limits by key; keep the job in one that does, as \
                 those of this library"
            );
            return Err(Error::new(ErrorKind::Job, message));
        }
        if body.trigger.waits_for_end() && body.options.max_instances.get() > 1 {
            let message = format!(
                "job `{id}` has max_instances {} and a trigger that waits for the end of its run; set it to 1, or use \
                 `Interval::every`",
                body.options.max_instances
            );
            return Err(Error::new(ErrorKind::Job, message));
        }
        Ok(())
    }

    fn defaults_in(&self, store: &StoreName) -> JobOptions {
        let (delivery, retention) = match self.is_durable(store) {
            true => (Delivery::AtLeastOnce, JobOptions::RETENTION),
            false => (Delivery::AtMostOnce, JobOptions::RETENTION_IN_MEMORY),
        };
        self.config.job_defaults.over(JobOptions { delivery, retention, ..JobOptions::default() })
    }

    fn is_durable(&self, store: &StoreName) -> bool {
        let is_durable = |state: &StoreState| state.limits.durability == Durability::Durable;
        self.stores.iter().find(|state| state.name == *store).is_some_and(is_durable)
    }

    pub(super) fn check_task(&self, task: &TaskName, id: &JobId) -> Result<(), Error> {
        if self.tasks.contains(task) {
            return Ok(());
        }
        let message = format!("job `{id}`: this scheduler has no task `{task}`; register it before adding jobs for it");
        Err(Error::new(ErrorKind::UnknownTask, message))
    }

    pub(super) fn check_executor(&self, executor: &ExecutorName) -> Result<(), Error> {
        if self.executors.contains_key(executor) { Ok(()) } else { Err(self.unknown_executor(executor)) }
    }

    /// Begins with the time, so that jobs that are added together lie together in the stores' indexes, in the order of adding.
    pub(super) fn next_uid(&mut self, now: Now) -> Uid {
        self.last_uid = self.last_uid.saturating_add(1);
        let seed = self.config.seed;
        let mut hasher = SipHasher13::new_with_keys(seed as u64, (seed >> 64) as u64);
        std::hash::Hasher::write_u64(&mut hasher, self.last_uid);
        let millis = now.utc.timestamp_millis() as u64 & 0xFFFF_FFFF_FFFF;
        let count = self.last_uid & 0xFFFF;
        let drawn = std::hash::Hasher::finish(&hasher).max(1);
        Uid(u128::from(millis) << 80 | u128::from(count) << 64 | u128::from(drawn))
    }
}

fn new_row(uid: Uid, id: JobId, body: JobBody, state: JobState, next_fire_time: Option<DateTime<Utc>>) -> JobRow {
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
    at: DateTime<Utc>,
    steps: &mut Steps,
) -> Result<DateTime<Utc>, Error> {
    match trigger.next_within(None, at, steps).map_err(|error| trigger_error(id, &error))? {
        Some(first) => Ok(first),
        None => {
            let message =
                format!("job `{id}` would never fire: {trigger} has no fire time after {at}; give it another one");
            Err(Error::new(ErrorKind::NeverFires, message))
        }
    }
}

pub(super) fn trigger_error(id: &JobId, error: &TriggerError) -> Error {
    Error::new(ErrorKind::Trigger, format!("job `{id}`: trigger: {error}")).with_source(error.clone())
}

/// The error of a step that panicked over a job.
pub(super) fn panicked(what: &str, panic: &str) -> Error {
    Error::new(ErrorKind::Panicked, format!("{what}: looking at it panicked: {panic}; nothing has been written"))
}

/// The error of options that are out of their range.
pub(super) fn check_options(id: &JobId, checked: Result<(), String>) -> Result<(), Error> {
    checked.map_err(|error| Error::new(ErrorKind::Job, format!("job `{id}`: {error}")))
}

pub(super) fn not_json(id: &JobId, error: &str) -> Error {
    Error::new(ErrorKind::Arguments, format!("job `{id}`: its arguments cannot be written as JSON: {error}"))
}

pub(super) fn meta_is_not_json(id: &JobId, error: &str) -> Error {
    Error::new(ErrorKind::Job, format!("job `{id}`: its `meta` cannot be written as JSON: {error}"))
}

/// Refuses to change a job that a newer version has written: what this one would write back might lack something.
pub(super) fn refuse_newer(job: &JobRow) -> Result<(), Error> {
    refuse_newer_version(&job.id, job.body.v)
}

fn refuse_newer_version(id: &JobId, v: u32) -> Result<(), Error> {
    if v <= BODY_VERSION {
        return Ok(());
    }
    let message = format!("job `{id}` has version {v}, and this scheduler reads {BODY_VERSION}; update it first");
    Err(Error::new(ErrorKind::NewerVersion, message))
}

fn check_id(id: &JobId) -> Result<(), Error> {
    id.check().map_err(|error| Error::new(ErrorKind::Job, error))
}
