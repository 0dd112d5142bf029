//! Dropping what is not the scheduler's own.

use scheduler_executors::panics;

/// Drops what users' code has made, whose drop may panic.
pub(crate) fn let_go<T>(what: &'static str, it: T) {
    if let Err(panic) = panics::catch(|| drop(it)) {
        tracing::error!(target: "apscheduler", panic, what, "what the scheduler has let go of panicked");
    }
}
