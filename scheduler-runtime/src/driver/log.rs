//! Events in the log of the process, under the target `apscheduler`.
//!
//! | level | what |
//! |---|---|
//! | error | what is lost or broken until an operator acts: failed, timed out and lost runs, quarantined jobs, stores given up |
//! | warn | what did not go as planned and may go away: failing stores, repeated runs, missed and skipped fire times, declined jobs, runs that go on after their timeout, a loop that is held up, clocks that were set |
//! | info | the life of the scheduler, and what explains a gap: recoveries, takeovers, coalesced and cancelled fire times |
//! | debug | each job and each run |
//! | trace | what the engine is told and wants |

use std::fmt;

use scheduler_core::{Event, EventKind, Outdated, RunRef, Version, WhoseClock, version};

macro_rules! log {
    ($level:ident, $($what:tt)*) => { tracing::$level!(target: "apscheduler", $($what)*) };
}

/// Writes an event down.
pub(super) fn log(event: &Event) {
    let seq = event.seq;
    match &event.kind {
        EventKind::SchedulerStarted => {
            let Version { apscheduler, tz_database, .. } = version();
            log!(info, seq, version = apscheduler, tz_database, "scheduler started");
        }
        EventKind::SchedulerShutdown => log!(info, seq, "scheduler shut down"),
        EventKind::SchedulerFailed { error } => {
            log!(error, seq, error, "the scheduler's loop panicked and has ended; start the process anew");
        }
        EventKind::SchedulerPaused => log!(info, seq, "scheduler paused"),
        EventKind::SchedulerResumed => log!(info, seq, "scheduler resumed"),
        EventKind::StoreFailed { store, error, retry_in: Some(retry_in) } => {
            log!(warn, seq, %store, error, ?retry_in, "store failed; its calls are repeated");
        }
        EventKind::StoreFailed { store, error, retry_in: None } => {
            log!(error, seq, %store, error, "store failed; the call is not repeated");
        }
        EventKind::StoreRecovered(store) => log!(info, seq, %store, "store answers again"),
        EventKind::AllJobsRemoved { store, count } => log!(info, seq, %store, count, "all jobs removed"),
        EventKind::JobWaiting { job, key } => {
            log!(debug, seq, store = %job.store, job = %job.id, %key, "job waits for a place of its limit key");
        }
        EventKind::JobQuarantined { store, job, reason } => {
            log!(error, seq, %store, %job, reason, "job quarantined until it is repaired or removed");
        }
        EventKind::JobDeclined { store, job, task, reason } => {
            log!(warn, seq, %store, %job, %task, reason, "job left to other nodes");
        }
        EventKind::JobPaused { job, pause } => {
            let (by, note, until) =
                (pause.by.as_deref(), pause.note.as_deref(), pause.until.map(tracing::field::display));
            log!(info, seq, store = %job.store, job = %job.id, by, note, until, "job paused");
        }
        EventKind::FireTimeCorrected { job, outdated } => {
            let (store, id) = (&job.store, &job.id);
            let (kept, right) = (outdated.kept(), outdated.right());
            match outdated {
                Outdated::LateByOtherZoneRules { .. } => log!(
                    warn,
                    seq,
                    %store,
                    job = %id,
                    %kept,
                    %right,
                    why = "the zone had other rules",
                    "fire time is late, and runs as it was kept; those after it are right"
                ),
                _ => {
                    let why = match outdated {
                        Outdated::ClockWasAhead { .. } => "the clock was ahead",
                        _ => "the zone had other rules",
                    };
                    log!(warn, seq, %store, job = %id, %kept, %right, why, "next fire time computed anew");
                }
            }
        }
        EventKind::ClockStepped { clock: WhoseClock::Node, by } => {
            log!(
                warn,
                seq,
                seconds = by.as_seconds_f64(),
                "the wall clock of this node was set, or stood still; what was computed while it was ahead stays"
            );
        }
        EventKind::ClockStepped { clock: WhoseClock::Store(store), by } => {
            log!(warn, seq, %store, seconds = by.as_seconds_f64(), "the clock of a store was set; what was computed while it was ahead stays");
        }
        EventKind::StoreWarning { store, warning } => log!(warn, seq, %store, warning, "store may lose jobs"),
        EventKind::ListenerFailed { error } => log!(error, seq, error, "listener panicked"),
        EventKind::RunError { run, error, duration } => {
            let RunRef { job, run, task, attempt, .. } = run;
            log!(error, seq, store = %job.store, job = %job.id, %run, %task, attempt, error, ?duration, "run failed");
        }
        EventKind::RunRetried { run, error, due, .. } => {
            let RunRef { job, run, task, attempt, .. } = run;
            log!(warn, seq, store = %job.store, job = %job.id, %run, %task, attempt, error, %due, "run failed and is repeated");
        }
        EventKind::RunTimeout { run, duration } => {
            let RunRef { job, run, task, attempt, .. } = run;
            log!(error, seq, store = %job.store, job = %job.id, %run, %task, attempt, ?duration, "run timed out");
        }
        EventKind::RunLost(run) => {
            let RunRef { job, run, task, attempt, fire_time, .. } = run;
            log!(error, seq, store = %job.store, job = %job.id, %run, %task, %fire_time, attempt, "run lost");
        }
        EventKind::RunTakenOver(run) => {
            let RunRef { job, run, task, attempt, fire_time, .. } = run;
            log!(info, seq, store = %job.store, job = %job.id, %run, %task, %fire_time, attempt, "run taken over from a node that died");
        }
        EventKind::RunOverran { run, duration } => {
            let RunRef { job, run, task, attempt, .. } = run;
            log!(warn, seq, store = %job.store, job = %job.id, %run, %task, attempt, ?duration, "run goes on after its timeout: it does not heed its token");
        }
        EventKind::LoopHeldUp { by, duration } => {
            log!(warn, seq, by, ?duration, "the scheduler's loop was held up; nothing fired meanwhile");
        }
        EventKind::RunTakenAway(run) => {
            let RunRef { job, run, task, attempt, fire_time, .. } = run;
            log!(warn, seq, store = %job.store, job = %job.id, %run, %task, %fire_time, attempt, "run left to other nodes");
        }
        EventKind::RunGivenBack(run) => {
            let RunRef { job, run, task, attempt, fire_time, .. } = run;
            log!(info, seq, store = %job.store, job = %job.id, %run, %task, %fire_time, attempt, "run cut off by the shutdown and given back; another node, or the next start, runs it");
        }
        EventKind::RunMissed(run) => {
            let RunRef { job, task, .. } = run;
            log!(warn, seq, store = %job.store, job = %job.id, %task, fire_times = %FireTimes(run), "fire times missed");
        }
        EventKind::RunSkipped(run) => {
            let RunRef { job, task, .. } = run;
            log!(warn, seq, store = %job.store, job = %job.id, %task, fire_times = %FireTimes(run), "fire times skipped");
        }
        EventKind::RunCoalesced(run) => {
            let RunRef { job, task, .. } = run;
            log!(info, seq, store = %job.store, job = %job.id, %task, fire_times = %FireTimes(run), "fire times coalesced");
        }
        EventKind::RunCancelled(run) => {
            let RunRef { job, task, .. } = run;
            log!(info, seq, store = %job.store, job = %job.id, run = %run.run, %task, fire_times = %FireTimes(run), "run cancelled");
        }
        kind => match kind.run() {
            Some(run) => {
                let RunRef { job, run, task, attempt, fire_time, .. } = run;
                log!(debug, seq, kind = ?kind.mask(), store = %job.store, job = %job.id, %run, %task, %fire_time, attempt, "run");
            }
            None => log!(debug, seq, ?kind, "event"),
        },
    }
}

/// The fire time of a run; the first and the last of a range, with their number where it is known.
struct FireTimes<'a>(&'a RunRef);

impl fmt::Display for FireTimes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunRef { first, fire_time, count, .. } = self.0;
        match (first, count) {
            (None, _) => write!(f, "{fire_time}"),
            (Some(first), None) => write!(f, "{first} to {fire_time}"),
            (Some(first), Some(count)) => write!(f, "{first} to {fire_time} ({count})"),
        }
    }
}
