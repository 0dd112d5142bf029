//! What changing, replacing and running a job have in common: how often they are tried while others change it, and what becomes
//! of its fire times.

use chrono::{DateTime, Utc};

use super::prepare::trigger_error;
use crate::{
    Error, ErrorKind, JobBody, JobId, JobRow, JobState, Run, RunId, Verdict, WhenFinished, plan::due_fire_times,
    store::OnClaim,
};

/// How often a change is tried anew when the job changes or is claimed under it.
pub(super) const TRIES: u32 = 100;

/// How many of the first tries yield to a claim: enough for the claim's node to settle. It may have died, so the others do not.
const PATIENT_TRIES: u32 = 25;

/// What this try does to a claim. Changes that followed each other without a pause, and voided each claim, would keep the job
/// from running.
pub(super) fn on_claim(tries: u32) -> OnClaim {
    if tries < PATIENT_TRIES { OnClaim::GiveWay } else { OnClaim::Void }
}

/// The error of a change that others were ahead of each time.
pub(super) fn contended(id: &JobId) -> Error {
    let message = format!("job `{id}` was changed by others {TRIES} times while this change was tried; try again");
    Error::new(ErrorKind::Busy, message)
}

/// The state of a job that goes on as it is under another definition.
pub(super) fn state_under(body: &JobBody, job: &JobRow) -> JobState {
    match body.options.when_finished {
        WhenFinished::Keep if job.is_ending() => JobState::Kept,
        WhenFinished::Keep | WhenFinished::Remove => job.state.clone(),
    }
}

/// The row for the due fire times that a change of `job` gives up: those before `goes_on_from`, or all.
pub(super) fn given_up_fire_times(
    at: DateTime<Utc>,
    job: &JobRow,
    goes_on_from: Option<DateTime<Utc>>,
) -> Result<Option<Run>, Error> {
    let Some(first) = job.next_fire_time.filter(|_| job.state == JobState::Active) else {
        return Ok(None);
    };
    let trigger = &job.body.trigger;
    let due = due_fire_times(trigger, first, at).and_then(|due| match (due, goes_on_from) {
        (Some(due), Some(from)) => due.before(from, trigger),
        (due, _) => Ok(due),
    });
    let id = RunId { uid: job.uid, seq: job.last_seq.saturating_add(1) };
    Ok(due.map_err(|error| trigger_error(&job.id, &error))?.map(|due| {
        let mut run = due.given_up(id, Verdict::Cancelled, trigger);
        run.error = Some("the job was changed before it ran".to_owned());
        run
    }))
}
