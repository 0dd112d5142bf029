//! Jobs that are over go when their retention has passed.

use std::sync::atomic::{AtomicI64, Ordering};

use scheduler_core::store::StoreError;

use super::{change::Call, job::LoadedJob};

/// How many jobs one claim deletes: more than it usually takes, so that those that are over become no more and more, and few
/// enough that what is due does not wait for it.
const STEP: usize = 200;

/// How long a node does not look again, if it has found fewer.
const PAUSE_MICROS: i64 = 1_000_000;

/// When this node looks for jobs whose retention has passed: with a claim of its own, after that has taken what is due.
///
/// Nothing wakes a node for them, so that a store in which nothing happens keeps them for longer.
#[derive(Debug)]
pub(super) struct Pruning {
    next_look: AtomicI64,
}

impl Default for Pruning {
    fn default() -> Self {
        Self { next_look: AtomicI64::new(i64::MIN) }
    }
}

impl Pruning {
    /// Deletes a step of them, if it is time to look.
    pub(super) async fn prune(&self, call: Call<'_>) -> Result<(), StoreError> {
        let now = call.now.timestamp_micros();
        let next_look = self.next_look.load(Ordering::Relaxed);
        // A look that is far ahead was noted by a clock that has been put right since.
        if now < next_look && next_look <= now.saturating_add(PAUSE_MICROS) {
            return Ok(());
        }
        let found = call.session.expired(call.now, STEP).await?;
        let next_look = if found.len() < STEP { now.saturating_add(PAUSE_MICROS) } else { now };
        self.next_look.store(next_look, Ordering::Relaxed);
        let expired: Vec<LoadedJob> = found.into_iter().filter(|job| job.is_expired(call.now)).collect();
        call.delete(expired).await
    }
}
