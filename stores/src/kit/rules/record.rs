//! The step of `record`: one report about a running run.

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobState, NodeId, Run, RunState, Verdict, Wait,
    store::{Entry, RecordOutcome, RunReport},
};

use super::{Head, Runs, whole_micros};

impl Head {
    /// Takes a report if the run is the reporter's, or says whose it is.
    pub fn record(&mut self, runs: &mut impl Runs, entry: &Entry, owner: &NodeId, now: DateTime<Utc>) -> RecordOutcome {
        let Some(run) = runs.run(entry.run.seq) else {
            return RecordOutcome::Gone;
        };
        if run.owner.as_ref() != Some(owner) || run.fence != entry.fence {
            return RecordOutcome::Stale;
        }
        if run.state != RunState::Running {
            return match (run.state, &entry.report) {
                (RunState::Ended(Verdict::Error), RunReport::Retry { .. }) => RecordOutcome::Ended,
                _ if shows(run, &entry.report) => RecordOutcome::Done,
                _ => RecordOutcome::Stale,
            };
        }
        let mut run = run.clone();
        let mut outcome = RecordOutcome::Done;
        match &entry.report {
            RunReport::End { verdict, error, duration, output } => {
                run.duration = Some(std::time::Duration::from_micros(duration.as_micros() as u64));
                run.error = None;
                run.output = output.clone();
                self.end_run(runs, run, *verdict, error.clone(), now);
            }
            RunReport::Retry { error, .. } if self.state == JobState::Removed => {
                self.end_run(runs, run, Verdict::Error, error.clone(), now);
                outcome = RecordOutcome::Ended;
            }
            RunReport::Retry { due, error } => {
                run.state = RunState::Waiting(Wait::Retry);
                run.due = whole_micros(*due);
                run.note_failed_attempt(error.clone(), now);
                self.last_end = Some(now);
                self.put_off(runs, run, now);
            }
            RunReport::Release => {
                run.state = RunState::Waiting(Wait::Released);
                run.started = None;
                self.put_off(runs, run, now);
            }
        }
        self.claim_is_stale = true;
        if self.blocked && self.claim.is_none() {
            self.make_due(now);
        }
        self.end_with_last_run(runs, now);
        outcome
    }

    fn put_off(&mut self, runs: &mut impl Runs, run: Run, now: DateTime<Utc>) {
        // One that has been asked to stop ends with the next claim, whenever it would have gone on.
        let due = if run.cancel_requested { now } else { run.due };
        runs.put(run);
        self.make_due(due);
    }
}

/// Whether a run that is not running shows that this report about it was taken before.
fn shows(run: &Run, report: &RunReport) -> bool {
    match (run.state, report) {
        (RunState::Ended(is), RunReport::End { verdict, .. }) => is == *verdict,
        (RunState::Waiting(Wait::Retry), RunReport::Retry { due, .. }) => run.due == whole_micros(*due),
        (RunState::Waiting(Wait::Released), RunReport::Release) => true,
        _ => false,
    }
}
