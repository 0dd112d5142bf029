//! Changing a job: modify, reschedule, pause, resume.
//!
//! ```text
//! pause job "report"
//!   → store read "report"
//!   ← "report", revision 2, fence 5
//!   → store update "report" @ 2, 5: paused
//!   ← updated
//!   → notify job modified · reply job
//! ```
//!
//! The job may change between reading and updating; then it is tried anew with what it has become.

use chrono::{DateTime, Utc};

use super::{
    Asked,
    add::{contended, first_fire_time, given_up_fire_times, not_json, trigger_error},
};
use crate::{
    Error, ErrorKind, JobBody, JobChange, JobRow, JobState, Now, StoreName, Trigger,
    engine::{CallId, Change, Engine, InFlight, Reply, StoreCall, StoreReply},
    plan::due_of,
    store::{StoreError, Update, Updated},
};

/// How often a change is tried anew when the job changes under it.
const TRIES: u32 = 20;

/// A job is being changed.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Changing {
    call: CallId,
    store: StoreName,
    change: Box<Change>,
    tries: u32,
}

/// Where a change leaves a job.
struct Changed {
    body: Option<JobBody>,
    state: JobState,
    next_fire_time: Option<DateTime<Utc>>,
    /// The fire time from which the job goes on, if due ones before it are given up; none if all of them are.
    goes_on: GoesOn,
}

/// What a change means for fire times that are due already.
enum GoesOn {
    /// They stay due.
    WithAll,
    /// Those before this one are given up.
    From(Option<DateTime<Utc>>),
}

impl Engine {
    pub(super) fn change(&mut self, now: Now, call: CallId, store: StoreName, change: Change, job: JobRow) {
        self.try_change(now, Changing { call, store, change: Box::new(change), tries: 0 }, &job);
    }

    fn try_change(&mut self, now: Now, changing: Changing, job: &JobRow) {
        let at = self.time_of(now, &changing.store);
        match self.update_for(at, &changing.change, job) {
            Ok(update) => {
                let store = changing.store.clone();
                let call = StoreCall::Update(at, Box::new(update));
                self.call_store(store, call, InFlight::Asked(Asked::Change(changing)));
            }
            Err(error) => self.reply(changing.call, Err(error)),
        }
    }

    pub(super) fn on_changed_job(&mut self, now: Now, mut changing: Changing, result: Result<StoreReply, StoreError>) {
        let (call, store) = (changing.call, changing.store.clone());
        let updated = match result {
            Ok(StoreReply::Update(stamped)) => stamped.value,
            Ok(_) => return debug_assert!(false, "an update is answered by an update"),
            Err(error) => return self.reply(call, Err(Error::from_store(&store, error))),
        };
        match updated {
            Updated::Updated(job) => {
                self.tell_modified(now, &store, &job);
                self.reply(call, Ok(Reply::Job(store, job)));
            }
            Updated::Conflict(job) if changing.tries < TRIES => {
                changing.tries += 1;
                self.try_change(now, changing, &job);
            }
            Updated::Conflict(job) => self.reply(call, Err(contended(&job.id))),
            Updated::Gone => {
                let message = "the job was removed while it was being changed";
                self.reply(call, Err(Error::new(ErrorKind::NotFound, message)));
            }
        }
    }

    fn update_for(&self, at: DateTime<Utc>, change: &Change, job: &JobRow) -> Result<Update, Error> {
        let changed = match change {
            Change::Modify(change) => self.modified(at, change, job)?,
            Change::Reschedule(trigger) => self.rescheduled(at, trigger, job.body.clone(), job)?,
            Change::Pause => paused(at, job)?,
            Change::Resume => resumed(at, job)?,
        };
        let verdicts = match changed.goes_on {
            GoesOn::WithAll => None,
            GoesOn::From(next) => given_up_fire_times(at, job, next)?,
        };
        let trigger = changed.body.as_ref().map_or(&job.body.trigger, |body| &body.trigger);
        let is_resumed = job.state != JobState::Active && changed.state == JobState::Active;
        let due = match changed.next_fire_time {
            // Runs that waited while the job was paused are looked at once.
            _ if is_resumed || changed.state == JobState::Ending => Some(at),
            next if next == job.next_fire_time => job.due,
            next => next.map(|next| due_of(trigger, job.uid, next)),
        };
        Ok(Update {
            uid: job.uid,
            revision: job.revision,
            fence: job.fence,
            body: changed.body,
            state: changed.state,
            next_fire_time: changed.next_fire_time,
            due,
            verdicts: verdicts.into_iter().collect(),
        })
    }

    fn modified(&self, at: DateTime<Utc>, change: &JobChange, job: &JobRow) -> Result<Changed, Error> {
        let mut body = job.body.clone();
        if let Some(name) = &change.name {
            body.name = Some(name.clone());
        }
        if let Some(task) = &change.task {
            self.check_task(task, &job.id)?;
            body.task = task.clone();
        }
        if let Some(args) = &change.args {
            body.args = args.clone().map_err(|error| not_json(&job.id, &error))?;
        }
        if let Some(executor) = &change.executor {
            self.check_executor(executor)?;
            body.executor = executor.clone();
        }
        body.options = change.options.over(body.options);
        let mut changed = match &change.trigger {
            Some(trigger) => self.rescheduled(at, trigger, body, job)?,
            None => Changed {
                body: Some(body),
                state: job.state.clone(),
                next_fire_time: job.next_fire_time,
                goes_on: GoesOn::WithAll,
            },
        };
        if let Some(next) = change.next_fire_time {
            if changed.state == JobState::Paused {
                let message = format!("job `{}` is paused and has no next fire time; resume it instead", job.id);
                return Err(Error::new(ErrorKind::Job, message));
            }
            changed.state = JobState::Active;
            changed.next_fire_time = Some(next);
            changed.goes_on = GoesOn::From(Some(next));
        }
        Ok(changed)
    }

    fn rescheduled(
        &self,
        at: DateTime<Utc>,
        trigger: &Trigger,
        mut body: JobBody,
        job: &JobRow,
    ) -> Result<Changed, Error> {
        body.trigger = trigger.clone().bind(at, self.config.timezone, job.id.as_str());
        let first = first_fire_time(&job.id, &body.trigger, at)?;
        let is_paused = job.state == JobState::Paused;
        Ok(Changed {
            body: Some(body),
            state: if is_paused { JobState::Paused } else { JobState::Active },
            next_fire_time: (!is_paused).then_some(first),
            goes_on: GoesOn::From(None),
        })
    }
}

fn paused(at: DateTime<Utc>, job: &JobRow) -> Result<Changed, Error> {
    if job.state != JobState::Active && job.state != JobState::Paused {
        let message = format!("job `{}` is {} and cannot be paused", job.id, job.state.as_str());
        return Err(Error::new(ErrorKind::Job, message));
    }
    // What resuming would fire again, such as a one-shot whose time has come, is not given up.
    let resumes_at = job.body.trigger.next(None, at).map_err(|error| trigger_error(&job.id, &error))?;
    Ok(Changed { body: None, state: JobState::Paused, next_fire_time: None, goes_on: GoesOn::From(resumes_at) })
}

fn resumed(at: DateTime<Utc>, job: &JobRow) -> Result<Changed, Error> {
    match job.state {
        JobState::Paused | JobState::Quarantined(_) => {
            let next = job.body.trigger.next(None, at).map_err(|error| trigger_error(&job.id, &error))?;
            let state = if next.is_some() { JobState::Active } else { JobState::Ending };
            Ok(Changed { body: None, state, next_fire_time: next, goes_on: GoesOn::WithAll })
        }
        JobState::Active | JobState::Kept | JobState::Ending | JobState::Removed => Ok(Changed {
            body: None,
            state: job.state.clone(),
            next_fire_time: job.next_fire_time,
            goes_on: GoesOn::WithAll,
        }),
    }
}
