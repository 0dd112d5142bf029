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
//! A paused job whose trigger names a time that has passed is resumed for that time, unless a run shows that it has had it:
//!
//! ```text
//! resume job "once"
//!   → store read "once"
//!   ← "once", paused, revision 3, fence 5
//!   → store runs of "once"
//!   ← run 1 for 10:00:10 is to be repeated
//!   → store update "once" @ 3, 5: active, without a next fire time
//! ```
//!
//! The job may change between reading and updating; then the change is tried again with what the job has become, and this node's
//! claims yield to that: a job that fires faster than its store answers would be ahead of each try. The change in turn yields
//! to a claim that is not settled, at first: changes without a pause would void each claim.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    PendingCall,
    form::{check_arguments, check_notes, check_trigger},
    prepare::{check_options, first_fire_time, meta_is_not_json, not_json, panicked, refuse_newer, trigger_error},
    rules::{TRIES, contended, given_up_fire_times, on_claim, state_under},
};
use crate::{
    Error, ErrorKind, EventKind, JobBody, JobChange, JobId, JobRow, JobState, Now, Pause, Run, StoreName, Trigger,
    WhenFinished,
    engine::{CallId, Engine, InFlight, JobEdit, Reply, StoreCall, refs::job_ref},
    now::{earliest, later},
    outdated::{Outdated, outdated, rebound},
    panics::catch,
    plan::due_of,
    store::{OnClaim, RunQuery, Stamped, StoreError, Update, Updated},
    trigger::{TriggerError, steps::Steps},
};

/// The runs in which a job is looked for that has had its fire time. One whose trigger names times that have passed has few.
const RECALLED: usize = 1_000;

/// A job is being changed.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Changing {
    call: CallId,
    pub(super) store: StoreName,
    id: JobId,
    change: Box<JobEdit>,
    pub(super) tries: u32,
    /// What is wrong with the job's next fire time, and is put right with the change.
    outdated: Option<Outdated>,
}

/// A job is being changed, and its runs say whether it has had the fire times that its trigger names.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Recalling {
    pub(super) changing: Changing,
    job: Box<JobRow>,
}

/// Where a change leaves a job.
struct Changed {
    body: Option<JobBody>,
    state: JobState,
    next_fire_time: Option<DateTime<Utc>>,
    goes_on: GoesOn,
}

/// What a change means for fire times that are due already.
enum GoesOn {
    /// Due fire times stay due.
    WithAll,
    /// Due fire times before this one are given up, or all of them if there is none.
    From(Option<DateTime<Utc>>),
}

impl Engine {
    pub(super) fn change(&mut self, now: Now, call: CallId, store: StoreName, change: JobEdit, job: JobRow) {
        let (id, change) = (job.id.clone(), Box::new(change));
        self.try_change(now, Changing { call, store, id, change, tries: 0, outdated: None }, &job);
    }

    fn try_change(&mut self, now: Now, changing: Changing, job: &JobRow) {
        let at = self.time_of(now, &changing.store);
        if *changing.change == JobEdit::Resume && is_resumed_for_the_past(at, job) {
            let (store, query) = (changing.store.clone(), RunQuery { uid: job.uid, before: None, limit: RECALLED });
            let recalling = Recalling { changing, job: Box::new(job.clone()) };
            return self.call_store(store, StoreCall::Runs(query), InFlight::Call(PendingCall::Recall(recalling)));
        }
        self.change_with(now, changing, job, &[]);
    }

    pub(super) fn on_recalled(&mut self, now: Now, recalling: Recalling, result: Result<Vec<Run>, StoreError>) {
        let Recalling { changing, job } = recalling;
        match result {
            Ok(runs) => self.change_with(now, changing, &job, &runs),
            Err(error) => self.reply(changing.call, Err(Error::from_store(&changing.store, error))),
        }
    }

    fn change_with(&mut self, now: Now, mut changing: Changing, job: &JobRow, runs: &[Run]) {
        let at = self.time_of(now, &changing.store);
        let update = catch(|| {
            let outdated = outdated(job, at).filter(|_| *changing.change == JobEdit::Resume);
            self.update_for(at, &changing.store, &changing.change, job, runs).map(|update| (update, outdated))
        });
        match update.unwrap_or_else(|panic| Err(panicked(&format!("job `{}`", job.id), &panic))) {
            Ok((Some(mut update), outdated)) => {
                update.on_claim = on_claim(changing.tries);
                changing.outdated = outdated;
                let store = changing.store.clone();
                let call = StoreCall::Update(at, Box::new(update));
                self.call_store(store, call, InFlight::Call(PendingCall::Change(changing)));
            }
            Ok((None, _)) => self.reply(changing.call, Ok(Reply::Job(changing.store, Box::new(job.clone())))),
            Err(error) => self.reply(changing.call, Err(error)),
        }
    }

    pub(super) fn on_changed_job(
        &mut self,
        now: Now,
        mut changing: Changing,
        result: Result<Stamped<Updated>, StoreError>,
    ) {
        let (call, store) = (changing.call, changing.store.clone());
        let updated = match result {
            Ok(stamped) => stamped.value,
            Err(error) => return self.reply(call, Err(Error::from_store(&store, error))),
        };
        match updated {
            Updated::Updated(job) => {
                self.note_job_changed(&store);
                self.notify_corrected(now, &store, &job, changing.outdated);
                self.notify_modified(now, &store, &job);
                if let (JobEdit::Pause(_), Some(pause)) = (&*changing.change, job.current_pause()) {
                    self.notify(
                        now,
                        EventKind::JobPaused { job: job_ref(&store, &job), pause: Box::new(pause.clone()) },
                    );
                }
                self.reply(call, Ok(Reply::Job(store, job)));
            }
            Updated::Conflict(job) if changing.tries < TRIES => {
                changing.tries = changing.tries.saturating_add(1);
                self.try_change(now, changing, &job);
            }
            Updated::Conflict(job) => self.reply(call, Err(contended(&job.id))),
            Updated::Gone => {
                let message =
                    format!("job `{}` was removed from store `{store}` while it was being changed", changing.id);
                self.reply(call, Err(Error::new(ErrorKind::NotFound, message)));
            }
        }
    }

    fn update_for(
        &self,
        at: DateTime<Utc>,
        store: &StoreName,
        change: &JobEdit,
        job: &JobRow,
        runs: &[Run],
    ) -> Result<Option<Update>, Error> {
        refuse_newer(job)?;
        let is_done = match change {
            JobEdit::Pause(pause) => job.state == JobState::Paused && pause.is_plain(),
            JobEdit::Resume => {
                !matches!(job.state, JobState::Paused | JobState::Quarantined(_)) && outdated(job, at).is_none()
            }
            JobEdit::Modify(_) | JobEdit::Reschedule(_) => false,
        };
        if is_done {
            return Ok(None);
        }
        let changed = match change {
            JobEdit::Modify(change) => self.modified(at, store, change, job)?,
            JobEdit::Reschedule(trigger) => self.rescheduled(at, store, trigger, job.body.clone(), job)?,
            JobEdit::Pause(pause) => paused(at, job, pause)?,
            JobEdit::Resume => resumed(at, job, runs)?,
        };
        let given_up = match changed.goes_on {
            GoesOn::WithAll => None,
            GoesOn::From(next) => given_up_fire_times(at, job, next)?,
        };
        Ok(Some(Update {
            uid: job.uid,
            revision: job.revision,
            fence: job.fence,
            due: changed.due(at, job),
            body: changed.body,
            state: changed.state,
            next_fire_time: changed.next_fire_time,
            runs: given_up.into_iter().collect(),
            on_claim: OnClaim::default(),
        }))
    }

    fn modified(
        &self,
        at: DateTime<Utc>,
        store: &StoreName,
        change: &JobChange,
        job: &JobRow,
    ) -> Result<Changed, Error> {
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
            check_arguments(&job.id, &body.args)?;
        }
        if let Some(executor) = &change.executor {
            self.check_executor(executor)?;
            body.executor = executor.clone();
        }
        if let Some(tags) = &change.tags {
            body.tags = tags.clone();
        }
        if let Some(meta) = &change.meta {
            body.meta = meta.clone().map_err(|error| meta_is_not_json(&job.id, &error))?;
        }
        if change.tags.is_some() || change.meta.is_some() {
            check_notes(&job.id, &body.tags, &body.meta)?;
        }
        check_options(&job.id, change.options.check())?;
        body.options = change.options.over(body.options);
        body.v = body.v.max(JobBody::version_for(&body.trigger, &body.options));
        let mut changed = match &change.trigger {
            Some(trigger) => self.rescheduled(at, store, trigger, body, job)?,
            None => {
                self.check_fit(store, &job.id, &body)?;
                Changed {
                    state: state_under(&body, job),
                    body: Some(body),
                    next_fire_time: job.next_fire_time,
                    goes_on: GoesOn::WithAll,
                }
            }
        };
        if let Some(next) = change.next_fire_time {
            if changed.state == JobState::Paused {
                let message = format!("job `{}` is paused and has no next fire time; resume it instead", job.id);
                return Err(Error::new(ErrorKind::Job, message));
            }
            changed.state = JobState::Active;
            changed.next_fire_time = Some(next);
            if let Some(body) = &mut changed.body {
                body.chosen_fire_time = Some(next);
            }
            // With another trigger, none of the old one's fire times is left to go on from.
            changed.goes_on = GoesOn::From(change.trigger.is_none().then_some(next));
        }
        Ok(changed)
    }

    fn rescheduled(
        &self,
        at: DateTime<Utc>,
        store: &StoreName,
        trigger: &Trigger,
        mut body: JobBody,
        job: &JobRow,
    ) -> Result<Changed, Error> {
        body.v = JobBody::version_for(trigger, &body.options);
        body.trigger = trigger.clone().bind(at, self.config.timezone, job.id.as_str());
        check_trigger(&job.id, &body.trigger)?;
        body.chosen_fire_time = None;
        self.check_fit(store, &job.id, &body)?;
        let first = first_fire_time(&job.id, &body.trigger, at, &mut Steps::of_one_search())?;
        let is_paused = job.state == JobState::Paused;
        if let Some(pause) = body.pause.as_mut().filter(|_| is_paused) {
            pause.stands_at = Some(first);
        }
        Ok(Changed {
            body: Some(body),
            state: if is_paused { JobState::Paused } else { JobState::Active },
            next_fire_time: (!is_paused).then_some(first),
            goes_on: GoesOn::From(None),
        })
    }
}

impl Changed {
    /// When a claim shall look at the job next. It may look too early, never too late: it is the claim that sees which runs
    /// are waiting.
    fn due(&self, at: DateTime<Utc>, job: &JobRow) -> Option<DateTime<Utc>> {
        if self.state == JobState::Paused {
            let pause = self.body.as_ref().unwrap_or(&job.body).pause.as_ref();
            return pause.and_then(|pause| pause.until);
        }
        let is_woken = matches!(job.state, JobState::Paused | JobState::Quarantined(_)) && self.state != job.state;
        if is_woken {
            return Some(at);
        }
        let trigger = self.body.as_ref().map_or(&job.body.trigger, |body| &body.trigger);
        earliest(job.due, self.next_fire_time.map(|next| due_of(trigger, job.uid, next)))
    }
}

fn paused(at: DateTime<Utc>, job: &JobRow, pause: &Pause) -> Result<Changed, Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Job, message));
    if !matches!(job.state, JobState::Active | JobState::Paused) {
        return refuse(format!(
            "job `{}` is {} and has no fire times to pause; give it another trigger, or remove it",
            job.id,
            job.state.as_str()
        ));
    }
    if let Err(error) = pause.check(at) {
        return refuse(format!("job `{}`: {error}", job.id));
    }
    let (stands_at, goes_on) = match job.next_fire_time.filter(|_| job.state == JobState::Active) {
        Some(next) if next > at => (Some(next), GoesOn::WithAll),
        Some(_) => {
            // What resuming would fire again, such as a one-shot whose time has come, is not given up.
            let after = later(at, Duration::from_micros(1));
            let resumes_at = job.body.trigger.next(None, after).map_err(|error| trigger_error(&job.id, &error))?;
            (resumes_at, GoesOn::From(resumes_at))
        }
        None => (job.current_pause().and_then(|pause| pause.stands_at), GoesOn::WithAll),
    };
    let begun = Some(Box::new(pause.clone().begun(at, stands_at)));
    let body = Some(JobBody { pause: begun, ..job.body.clone() });
    Ok(Changed { body, state: JobState::Paused, next_fire_time: None, goes_on })
}

/// `runs` are those of the job, if it could be [resumed for a time that has passed](is_resumed_for_the_past).
fn resumed(at: DateTime<Utc>, job: &JobRow, runs: &[Run]) -> Result<Changed, Error> {
    let trigger = rebound(job, at);
    let next = match job.next_fire_time.filter(|_| outdated(job, at).is_none()) {
        // A quarantined job goes on where it stood still, so that none of its fire times is lost.
        Some(next) => Some(next),
        None => first_open_fire_time(at, job, &trigger, runs).map_err(|error| trigger_error(&job.id, &error))?,
    };
    let state = match (next, job.body.options.when_finished) {
        (None, WhenFinished::Keep) => JobState::Kept,
        // Without a further fire time, the next claim sees whether an open run is left.
        (Some(_), _) | (None, WhenFinished::Remove) => JobState::Active,
    };
    let is_same = trigger == job.body.trigger && job.body.pause.is_none();
    let body = (!is_same).then(|| JobBody { trigger, pause: None, ..job.body.clone() });
    Ok(Changed { body, state, next_fire_time: next, goes_on: GoesOn::WithAll })
}

/// Whether resuming a job would let it fire for a time that has passed, as the trigger of a one-shot does, and which it may
/// have had before it was paused.
fn is_resumed_for_the_past(at: DateTime<Utc>, job: &JobRow) -> bool {
    let is_stopped = matches!(job.state, JobState::Paused | JobState::Quarantined(_)) && job.next_fire_time.is_none();
    // One that fails is asked once more where that is told.
    let first = || catch(|| job.body.trigger.next(None, at)).ok()?.ok()?;
    is_stopped && job.last_seq > 0 && first().is_some_and(|first| first <= at)
}

/// The first fire time from now on, or one that has passed and for which there is no run.
fn first_open_fire_time(
    at: DateTime<Utc>,
    job: &JobRow,
    trigger: &Trigger,
    runs: &[Run],
) -> Result<Option<DateTime<Utc>>, TriggerError> {
    let has_run = |fire_time: DateTime<Utc>| {
        let is_of = |run: &Run| run.first.unwrap_or(run.fire_time) <= fire_time && fire_time <= run.fire_time;
        // Without a history, a run that ended afterwards was for it as far as anybody can tell.
        let is_forgotten = runs.is_empty() && job.last_seq > 0;
        runs.iter().any(is_of) || is_forgotten && job.last_end.is_some_and(|end| fire_time <= end)
    };
    let mut steps = Steps::of_one_search();
    let mut next = trigger.next_within(None, at, &mut steps)?;
    while let Some(past) = next.filter(|next| *next <= at && has_run(*next)) {
        next = trigger.next_within(Some(past), at, &mut steps)?;
    }
    Ok(next)
}
