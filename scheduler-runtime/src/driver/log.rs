//! Events in the log of the process.

use scheduler_core::{Event, EventKind};

/// Writes an event down: what somebody should look at as a warning or an error, the rest for debugging.
pub(super) fn log(event: &Event) {
    let seq = event.seq;
    match &event.kind {
        EventKind::StoreFailed { store, error, retry_in } => {
            tracing::warn!(seq, %store, error, ?retry_in, "store failed");
        }
        EventKind::JobQuarantined { store, job, reason } => {
            tracing::error!(seq, %store, %job, reason, "job quarantined");
        }
        EventKind::JobDeclined { store, job, task, reason } => {
            tracing::warn!(seq, %store, %job, %task, reason, "job left to other nodes");
        }
        EventKind::ListenerFailed { error } => tracing::error!(seq, error, "listener panicked"),
        EventKind::RunError { run, error, .. } => {
            tracing::warn!(seq, job = %run.job.id, run = %run.run, error, "run failed");
        }
        EventKind::RunMissed(run)
        | EventKind::RunSkipped(run)
        | EventKind::RunLost(run)
        | EventKind::RunTakenAway(run) => {
            tracing::warn!(seq, job = %run.job.id, run = %run.run, fire_time = %run.fire_time, kind = ?event.kind.mask(), "fire time not run");
        }
        _ => tracing::debug!(seq, kind = ?event.kind, "event"),
    }
}
