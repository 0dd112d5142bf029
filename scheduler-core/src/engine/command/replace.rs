//! Putting a new job in the place of an old one.
//!
//! A service adds its jobs at each start, and nearly all of them are as they were. Those cost nothing but the insert that
//! found them: nothing is written, so that no claim of another node is voided, and no event says that they were modified.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    PendingCall,
    add::Inserting,
    prepare::{panicked, refuse_newer},
    rules::{TRIES, contended, given_up_fire_times, on_claim, state_under},
};
use crate::{
    Conflict, Error, JobBody, JobRow, JobState, Now, StoreName,
    engine::{CallId, Engine, InFlight, StoreCall},
    now::earliest,
    outdated::{Outdated, outdated, rebound},
    panics::catch,
    plan::due_of,
    store::{OnClaim, Stamped, StoreError, StoreErrorKind, Update, Updated},
};

/// A job on its way into another one's place.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Replacing {
    pub(super) call: CallId,
    pub(super) store: StoreName,
    pub(super) place: usize,
    pub(super) new: Box<JobRow>,
    pub(super) tries: u32,
    /// What is wrong with the old job's next fire time, and is put right.
    pub(super) outdated: Option<Outdated>,
}

impl Engine {
    pub(super) fn replace(&mut self, now: Now, mut replacing: Replacing, existing: JobRow) {
        let at = self.time_of(now, &replacing.store);
        let update = catch(|| {
            let outdated = outdated_if_kept(at, &replacing.new, &existing);
            replacement(at, &replacing.new, &existing, outdated).map(|update| (update, outdated))
        });
        match update.unwrap_or_else(|panic| Err(panicked(&format!("job `{}`", existing.id), &panic))) {
            Ok((None, _)) => self.added(replacing.call, replacing.place, Ok(existing)),
            Ok((Some(mut update), outdated)) => {
                update.on_claim = on_claim(replacing.tries);
                replacing.outdated = outdated;
                self.count_replacing(replacing.call, |count| count.saturating_add(1));
                let store = replacing.store.clone();
                let call = StoreCall::Update(at, Box::new(update));
                self.call_store(store, call, InFlight::Call(PendingCall::Replace(replacing)));
            }
            Err(error) => self.added(replacing.call, replacing.place, Err(error)),
        }
    }

    /// Notes that a change of a job was written.
    pub(super) fn note_job_changed(&mut self, store: &StoreName) {
        if let Some(state) = self.store_state(store) {
            state.claims.alarm.are_jobs_changed = true;
        }
    }

    fn count_replacing(&mut self, call: CallId, count: fn(usize) -> usize) {
        if let Some(adding) = self.adding.get_mut(&call) {
            adding.replacing = count(adding.replacing);
        }
    }

    pub(super) fn on_replaced(
        &mut self,
        now: Now,
        mut replacing: Replacing,
        result: Result<Stamped<Updated>, StoreError>,
    ) {
        let (call, place, store) = (replacing.call, replacing.place, replacing.store.clone());
        self.count_replacing(call, |count| count.saturating_sub(1));
        let updated = match result {
            Ok(stamped) => stamped.value,
            Err(error) => {
                if !matches!(error.kind(), StoreErrorKind::Rejected | StoreErrorKind::TooLarge) {
                    self.give_up_adding(call, &error);
                }
                self.added(call, place, Err(Error::from_store(&store, error)));
                return self.add_next(now, call);
            }
        };
        match updated {
            Updated::Updated(job) => {
                self.note_job_changed(&store);
                self.notify_corrected(now, &store, &job, replacing.outdated);
                self.notify_modified(now, &store, &job);
                self.added(call, place, Ok(*job));
            }
            Updated::Conflict(job) if replacing.tries < TRIES => {
                replacing.tries = replacing.tries.saturating_add(1);
                self.replace(now, replacing, *job);
            }
            Updated::Conflict(job) => self.added(call, place, Err(contended(&job.id))),
            // It went in the meantime, so that the new one is no replacement any more.
            Updated::Gone => {
                let places = vec![(place, Conflict::Replace)];
                self.insert(now, Inserting { call, store, rows: Arc::new(vec![*replacing.new]), places });
            }
        }
        self.add_next(now, call);
    }
}

/// Whether the trigger is written as it was, so that the job goes on where it is.
fn goes_on(new: &JobRow, existing: &JobRow) -> bool {
    let is_same_trigger = new.body.trigger.is_same_as_written(&existing.body.trigger);
    is_same_trigger && !matches!(existing.state, JobState::Quarantined(_))
}

/// What is wrong with the next fire time that the job would keep. The one that its description names is right.
fn outdated_if_kept(at: DateTime<Utc>, new: &JobRow, existing: &JobRow) -> Option<Outdated> {
    let is_chosen = new.body.chosen_fire_time.is_some() && new.body.chosen_fire_time == existing.next_fire_time;
    if is_chosen || !goes_on(new, existing) { None } else { outdated(existing, at) }
}

/// The update that puts `new` in the place of `existing`; none if it would change nothing.
fn replacement(
    at: DateTime<Utc>,
    new: &JobRow,
    existing: &JobRow,
    outdated: Option<Outdated>,
) -> Result<Option<Update>, Error> {
    refuse_newer(existing)?;
    let mut body = new.body.clone();
    if goes_on(new, existing) {
        // It stays paused, for what its user has said.
        body.pause.clone_from(&existing.body.pause);
    }
    let mut runs = Vec::new();
    let (state, next_fire_time, due) = if let Some(outdated) = outdated {
        // Its anchor may be from the same time as its next fire time.
        body.trigger = rebound(existing, at);
        let right = outdated.right();
        (existing.state.clone(), Some(right), earliest(existing.due, Some(due_of(&body.trigger, existing.uid, right))))
    } else if goes_on(new, existing) {
        body.trigger = existing.body.trigger.clone();
        // A next fire time that a user has chosen since the job was added stands.
        let chosen = body.chosen_fire_time.filter(|chosen| Some(*chosen) == existing.next_fire_time);
        body.chosen_fire_time = existing.body.chosen_fire_time.or(chosen);
        if is_kept_as(&body, &existing.body) {
            return Ok(None);
        }
        (state_under(&body, existing), existing.next_fire_time, existing.due)
    } else {
        runs.extend(given_up_fire_times(at, existing, None)?);
        // Runs that wait are looked at when they would have been.
        let due =
            new.next_fire_time.and_then(|next| earliest(existing.due, Some(due_of(&body.trigger, existing.uid, next))));
        (new.state.clone(), new.next_fire_time, due)
    };
    Ok(Some(Update {
        uid: existing.uid,
        revision: existing.revision,
        fence: existing.fence,
        body: Some(body),
        state,
        next_fire_time,
        due,
        runs,
        on_claim: OnClaim::default(),
    }))
}

/// Whether `stored` is what becomes of `body` in a store. Durations, for one, may lose what JSON does not keep of them.
fn is_kept_as(body: &JobBody, stored: &JobBody) -> bool {
    let read = |json: Value| serde_json::from_value::<JobBody>(json).ok();
    body == stored || serde_json::to_value(body).ok().and_then(read).is_some_and(|body| body == *stored)
}
