//! Limits by key: how many runs of all jobs with a key may be running at once.

use std::num::NonZeroU32;

use super::{StoreError, StoreErrorKind};
use crate::LimitKey;

/// A key that has a limit, and how far it is used.
///
/// ```
/// use scheduler_core::store::KeyLimit;
///
/// let limit = KeyLimit::new("tenant-42".into(), 3.try_into()?).with_running(3).with_waiting(7);
/// assert_eq!(limit.free(), 0);
/// # Ok::<(), std::num::TryFromIntError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyLimit {
    /// The key.
    pub key: LimitKey,
    /// How many runs of jobs with it may be running at once.
    pub limit: NonZeroU32,
    /// How many places are taken: by runs that are running, that are about to start, or whose node has died and that have not been taken
    /// over. After the limit was lowered, there may be more than that.
    pub running: usize,
    /// How many jobs wait for a place, as far as they are noted: beyond [`WAITING_LIMIT`](Self::WAITING_LIMIT), jobs wait all the same
    /// and are not counted.
    pub waiting: usize,
}

impl KeyLimit {
    /// The highest limit: a place costs its key's record about fifty bytes. A key without a limit is not limited.
    pub const HIGHEST: u32 = 1_000;

    /// The most jobs that are noted as waiting for one key, and woken in their order. Further ones look again by themselves,
    /// after pauses that grow to a minute.
    pub const WAITING_LIMIT: usize = 1_000;

    /// A key with this limit, of which nothing runs or waits.
    pub fn new(key: LimitKey, limit: NonZeroU32) -> Self {
        Self { key, limit, running: 0, waiting: 0 }
    }

    setters! {
        /// The same with so many places taken.
        with_running(running: usize);
        /// The same with so many jobs that wait.
        with_waiting(waiting: usize);
    }

    /// How many places are free.
    pub fn free(&self) -> usize {
        (self.limit.get() as usize).saturating_sub(self.running)
    }
}

/// Whether a store keeps limits by key.
///
/// ```
/// use scheduler_core::{JobStore, store::KeyLimits};
///
/// /// Whether a service that promises its tenants a share can be run on a store.
/// fn can_limit(store: &dyn JobStore) -> bool {
///     store.limits().key_limits == KeyLimits::Kept
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyLimits {
    /// The store keeps them: no move starts a run for which there is no place.
    Kept,
    /// The store keeps none. A scheduler refuses jobs with a [limit key](crate::JobOptions::limit_key) for it.
    Unsupported,
}

/// What a store says that keeps no limits.
pub(super) fn no_key_limits() -> StoreError {
    let message =
        "this store keeps no limits by key; those of this library do, and each one that is made with their kit";
    StoreError::new(StoreErrorKind::Incompatible, message)
}
