//! The port to job stores: eighteen plain async functions over plain data, of which seven have a default.
//!
//! A store keeps jobs and their runs. Its promises, which the conformance suite of `scheduler-testkit` holds it to:
//!
//! - **Atomic per job.** A job's row and its open runs change together or not at all. A batch is a list of such
//!   steps, each with its own outcome, and a store may join them into one transaction.
//! - **Idempotent.** The identical call repeated has no second effect and gets the same answer, since after
//!   [`StoreErrorKind::Unavailable`] it is unknown whether the first one was applied.
//! - **Reading never writes**, and never deletes.
//! - **Its clock decides** what is due and which leases hold, if it has one ([`Clock::Server`]); otherwise the `at` of
//!   the call does. Every reply says by which time it was decided.
//! - Lost races are outcomes, never errors.
//!
//! The calls that change something can be serialised, so that a store can write them down or pass them on.

/// Methods by value that set one field each.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($field:ident: $type:ty);)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            }
        )*
    };
}

mod call;
mod claim;
mod failure;
mod forward;
pub(crate) mod job_store;
mod key_limit;
mod node_info;
pub mod scan;
mod search;
mod settle;
mod transaction;
pub(crate) mod verb;

pub use call::*;
pub use claim::*;
pub use failure::*;
pub use key_limit::{KeyLimit, KeyLimits};
pub use node_info::*;
pub use search::*;
pub use settle::*;
pub use transaction::{SqlStatement, SqlValue};
pub use verb::{StoreCall, StoreReply};

use std::time::Duration;

use chrono::{DateTime, Timelike, Utc};

/// From here on, the nanoseconds of a second are those of a leap second.
const LEAP: u32 = 1_000_000_000;

/// Cuts an instant to whole microseconds, which is what stores keep.
///
/// ```
/// use chrono::{DateTime, TimeDelta};
/// use scheduler_core::store::whole_micros;
///
/// let at = DateTime::UNIX_EPOCH + TimeDelta::nanoseconds(1_999);
/// assert_eq!(whole_micros(at), DateTime::UNIX_EPOCH + TimeDelta::microseconds(1));
/// ```
pub fn whole_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    // Nearly each time has whole microseconds already, and this is asked of each time that a call of a store names.
    let nanos = at.nanosecond();
    match nanos.checked_rem(1_000) {
        Some(0) if nanos < LEAP => at,
        // What cannot be counted in 64 bits is beyond the calendar.
        _ => DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at),
    }
}

/// A reply and the time by which the store decided it.
///
/// ```
/// use chrono::{DateTime, TimeDelta, Utc};
/// use scheduler_core::store::Stamped;
///
/// /// By how much the store's clock is ahead of this node's, going by a reply to a call that was sent then.
/// fn ahead<T>(reply: &Stamped<T>, sent: DateTime<Utc>) -> TimeDelta {
///     reply.now - sent
/// }
///
/// let sent: DateTime<Utc> = "2026-11-21T09:00:00Z".parse()?;
/// let reply = Stamped { now: sent + TimeDelta::seconds(2), value: () };
/// assert_eq!(ahead(&reply, sent), TimeDelta::seconds(2));
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Stamped<T> {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// The reply.
    pub value: T,
}

/// What a store can do and how it behaves.
///
/// ```
/// use scheduler_core::store::{Clock, Durability, StoreLimits, Wakes};
///
/// let limits = StoreLimits::new(Clock::Caller, Wakes::Push, Durability::Durable).with_batch(1_000);
/// assert_eq!((limits.payload, limits.batch), (1024 * 1024, 1_000));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreLimits {
    /// The largest body that it takes, in bytes of JSON. Usually 1 MiB.
    pub payload: usize,
    /// The most jobs, moves or entries that one call may carry.
    pub batch: usize,
    /// Whose clock decides.
    pub clock: Clock,
    /// How it tells of changes that other nodes made.
    pub wakes: Wakes,
    /// Whether what it keeps outlives the process.
    pub durability: Durability,
    /// Whether it keeps limits by key.
    pub key_limits: KeyLimits,
}

impl StoreLimits {
    /// A store that behaves like this, takes bodies of 1 MiB and calls of 100 items, and keeps no limits by key.
    pub fn new(clock: Clock, wakes: Wakes, durability: Durability) -> Self {
        Self { payload: 1 << 20, batch: 100, clock, wakes, durability, key_limits: KeyLimits::Unsupported }
    }

    setters! {
        /// The same with another size of the largest body, in bytes of JSON.
        with_payload(payload: usize);
        /// The same with another limit of the items of a call.
        with_batch(batch: usize);
        /// The same with another clock that decides.
        with_clock(clock: Clock);
        /// The same with another way to tell of changes.
        with_wakes(wakes: Wakes);
        /// The same with another durability.
        with_durability(durability: Durability);
        /// The same, which keeps limits by key, or does not.
        with_key_limits(key_limits: KeyLimits);
    }
}

/// Whose clock decides what is due and which leases hold.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use scheduler_core::store::Clock;
///
/// /// By which time a store decides a call.
/// fn now(clock: Clock, of_server: DateTime<Utc>, of_call: DateTime<Utc>) -> DateTime<Utc> {
///     match clock {
///         Clock::Server => of_server,
///         Clock::Caller => of_call,
///     }
/// }
/// # let at = DateTime::UNIX_EPOCH;
/// # assert_eq!(now(Clock::Caller, at, at), at);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The store's own clock decides, one for all nodes.
    Server,
    /// The caller's clock decides: the store has none.
    Caller,
}

/// How a store tells of changes that other nodes made.
///
/// ```
/// use std::time::Duration;
/// use scheduler_core::store::Wakes;
///
/// /// How soon another node learns that a job was added which is due earlier than all that it knows.
/// fn delay(wakes: Wakes) -> Option<Duration> {
///     match wakes {
///         Wakes::Push => Some(Duration::ZERO),
///         Wakes::Poll(period) => Some(period),
///         Wakes::Never => None,
///     }
/// }
///
/// assert_eq!(delay(Wakes::Poll(Duration::from_secs(2))), Some(Duration::from_secs(2)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wakes {
    /// [`JobStore::changed`](crate::JobStore::changed) resolves when there is one.
    Push,
    /// [`JobStore::changed`](crate::JobStore::changed) answers at once and has to be asked in each such period. Less
    /// than 1 ms counts as that.
    Poll(Duration),
    /// The store does not tell: changes by others are seen when the node looks for another reason.
    Never,
}

/// Whether what a store keeps outlives the process.
///
/// ```
/// use scheduler_core::{Error, ErrorKind, JobStore, store::Durability};
///
/// /// A service whose jobs are to outlive it makes sure of that when it starts.
/// fn check(store: &dyn JobStore) -> Result<(), Error> {
///     match store.limits().durability {
///         Durability::Durable => Ok(()),
///         Durability::Volatile => Err(Error::new(ErrorKind::Config, "the jobs would go with the process")),
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// What the store keeps is gone with the process. Closures can be jobs here.
    Volatile,
    /// What the store keeps outlives the process.
    Durable,
}
