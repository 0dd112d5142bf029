//! Running a job now, and stopping a run.
//!
//! ```text
//! run job "report" now                                        stop run 7 of "report"
//!   → store read "report"                                       → store cancel 7
//!   ← "report", revision 2, fence 5                             ← asked
//!   → store update "report" @ 2, 5: run 7 is asked for          → cancel 7, if it runs here
//!   ← updated                                                   → reply done
//!   → notify queued 7 · reply run 7
//! ```
//!
//! The next claim shows a run that was asked for, and starts it as the overlap policy allows. A run that is to stop and
//! waits ends with the next claim; if it runs on another node, the store tells that one.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    PendingCall,
    prepare::{panicked, refuse_newer, trigger_error},
    rules::{TRIES, contended, on_claim},
};
use crate::{
    Error, ErrorKind, EventKind, JobId, JobRow, JobState, Now, Run, RunId, RunState, StoreName, Wait,
    engine::{CallId, Engine, InFlight, Reply, StoreCall, refs::run_ref, store_state::Stop},
    now::later,
    panics::catch,
    store::{Cancelled, Stamped, StoreError, Update, Updated, whole_micros},
};

/// A job is to run now.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Requesting {
    call: CallId,
    pub(super) store: StoreName,
    id: JobId,
    run: Box<Run>,
    pub(super) tries: u32,
}

/// A run is to stop.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Cancelling {
    call: CallId,
    id: JobId,
    run: RunId,
    pub(super) store: StoreName,
    others: Vec<StoreName>,
    is_anywhere: bool,
}

impl Engine {
    pub(super) fn run_now(&mut self, now: Now, call: CallId, store: StoreName, job: &JobRow) {
        self.request(now, call, store, job, 0);
    }

    fn request(&mut self, now: Now, call: CallId, store: StoreName, job: &JobRow, tries: u32) {
        if let Err(error) = check_can_run(job) {
            return self.reply(call, Err(error));
        }
        let at = self.time_of(now, &store);
        let next_fire_time = match next_fire_time(at, job) {
            Ok(next) => next,
            Err(error) => return self.reply(call, Err(error)),
        };
        let mut run = Run::new(
            RunId { uid: job.uid, seq: job.last_seq.saturating_add(1) },
            self.next_request(at),
            RunState::Waiting(Wait::Requested),
        );
        run.due = at;
        let update = Update {
            uid: job.uid,
            revision: job.revision,
            fence: job.fence,
            body: None,
            state: job.state.clone(),
            next_fire_time,
            due: job.due,
            runs: vec![run.clone()],
            on_claim: on_claim(tries),
        };
        let requesting = Requesting { call, store: store.clone(), id: job.id.clone(), run: Box::new(run), tries };
        self.call_store(
            store,
            StoreCall::Update(at, Box::new(update)),
            InFlight::Call(PendingCall::Request(requesting)),
        );
    }

    /// The fire time of a run that is asked for now. No two are the same, so that a store can tell two requests from one that
    /// is repeated.
    fn next_request(&mut self, at: DateTime<Utc>) -> DateTime<Utc> {
        let at = whole_micros(at);
        let after_last = self.last_request.map(|last| later(last, Duration::from_micros(1)));
        let fire_time = after_last.map_or(at, |after| after.max(at));
        self.last_request = Some(fire_time);
        fire_time
    }

    pub(super) fn on_requested(
        &mut self,
        now: Now,
        requesting: Requesting,
        result: Result<Stamped<Updated>, StoreError>,
    ) {
        let Requesting { call, store, id, run, tries } = requesting;
        let updated = match result {
            Ok(stamped) => stamped.value,
            Err(error) => return self.reply(call, Err(Error::from_store(&store, error))),
        };
        match updated {
            Updated::Updated(job) => {
                if let Some(state) = self.store_state(&store) {
                    state.claims.note_due(job.due);
                }
                self.notify(now, EventKind::RunQueued(run_ref(&store, &job, &run, run.attempt)));
                self.reply(call, Ok(Reply::Run(run.id)));
            }
            Updated::Conflict(job) if tries < TRIES => self.request(now, call, store, &job, tries.saturating_add(1)),
            Updated::Conflict(job) => self.reply(call, Err(contended(&job.id))),
            Updated::Gone => {
                let message = format!("job `{id}` was removed from store `{store}` before it could be run");
                self.reply(call, Err(Error::new(ErrorKind::NotFound, message)));
            }
        }
    }

    pub(super) fn cancel_run(&mut self, now: Now, call: CallId, store: Option<StoreName>, id: JobId, run: RunId) {
        let is_anywhere = store.is_none();
        let mut others = match self.stores_to_ask(store) {
            Ok(stores) => stores,
            Err(error) => return self.reply(call, Err(error)),
        };
        match others.pop() {
            Some(store) => self.cancel(now, Cancelling { call, id, run, store, others, is_anywhere }),
            None => self.reply(call, Err(no_run(&id, run, None))),
        }
    }

    fn cancel(&mut self, now: Now, cancelling: Cancelling) {
        let at = self.time_of(now, &cancelling.store);
        let call = StoreCall::Cancel(at, cancelling.id.clone(), cancelling.run);
        self.call_store(cancelling.store.clone(), call, InFlight::Call(PendingCall::Cancel(cancelling)));
    }

    pub(super) fn on_cancelled(
        &mut self,
        now: Now,
        mut cancelling: Cancelling,
        result: Result<Stamped<Cancelled>, StoreError>,
    ) {
        let cancelled = match result {
            Ok(stamped) => stamped.value,
            Err(error) => return self.reply(cancelling.call, Err(Error::from_store(&cancelling.store, error))),
        };
        match cancelled {
            Cancelled::Asked => {
                self.stop(now, &cancelling.store, cancelling.run);
                self.reply(cancelling.call, Ok(Reply::Done));
            }
            Cancelled::Ended => self.reply(cancelling.call, Ok(Reply::Done)),
            Cancelled::Gone => match cancelling.others.pop() {
                Some(next) => {
                    cancelling.store = next;
                    self.cancel(now, cancelling);
                }
                None => {
                    let store = (!cancelling.is_anywhere).then_some(&cancelling.store);
                    self.reply(cancelling.call, Err(no_run(&cancelling.id, cancelling.run, store)));
                }
            },
        }
    }

    /// Stops a run that runs here. One that does not is waiting, and ends with the next claim, or runs elsewhere, or is
    /// about to start here, of which the next life sign tells.
    fn stop(&mut self, now: Now, store: &StoreName, run: RunId) {
        let Some(state) = self.store_state(store) else {
            return;
        };
        match state.runs.active.get(&run) {
            Some(active) if active.ended.is_none() => self.cancel_if_active(store, run, Stop::Asked),
            // It has failed, and the store may already let it wait for its next attempt.
            Some(_) => state.claims.note_change(),
            None => {
                state.claims.note_change();
                state.reports.sign_at = now.monotonic;
            }
        }
    }
}

/// The next fire time that the job keeps when a run is requested. A row that another program has written has none before its
/// first claim, and claims compute it only while the job has no run: so it is computed here.
fn next_fire_time(at: DateTime<Utc>, job: &JobRow) -> Result<Option<DateTime<Utc>>, Error> {
    let trigger = &job.body.trigger;
    let is_new = job.state == JobState::Active && job.last_seq == 0 && !trigger.waits_for_end();
    if job.next_fire_time.is_some() || !is_new {
        return Ok(job.next_fire_time);
    }
    let first = catch(|| trigger.next(None, at)).map_err(|panic| panicked(&format!("job `{}`", job.id), &panic))?;
    first.map_err(|error| trigger_error(&job.id, &error))
}

fn check_can_run(job: &JobRow) -> Result<(), Error> {
    refuse_newer(job)?;
    match &job.state {
        JobState::Quarantined(reason) => {
            let message =
                format!("job `{}` is quarantined: {reason}; repair it, or resume it, before it can run", job.id);
            Err(Error::new(ErrorKind::Quarantined, message))
        }
        _ => Ok(()),
    }
}

fn no_run(id: &JobId, run: RunId, store: Option<&StoreName>) -> Error {
    let message = match store {
        Some(store) => format!("run {run} of job `{id}` is not in store `{store}`"),
        None => format!("run {run} of job `{id}` is in no store of this scheduler"),
    };
    Error::new(ErrorKind::NotFound, message)
}
