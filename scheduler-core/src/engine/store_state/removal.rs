//! How far a store is that is being given up.

use std::time::Duration;

use crate::{
    Now,
    engine::{
        effect::{Wake, WakeReason},
        input::CallId,
    },
};

/// Whether the store is being given up, and for whom.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Removal {
    pub(in crate::engine) drain: Drain,
    /// Which call asked for the store to be removed; none when the scheduler shuts down.
    pub(in crate::engine) call: Option<CallId>,
}

/// How far the store is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Drain {
    No,
    /// No further job is taken; what is held has until then to end.
    Draining {
        until: Option<Duration>,
    },
    /// What is held is being given back, which has until then.
    Releasing {
        until: Duration,
    },
    Done,
}

impl Removal {
    pub(in crate::engine) fn new() -> Self {
        Self { drain: Drain::No, call: None }
    }

    /// When the store is not waited for any longer.
    pub(in crate::engine) fn next_wake(&self, now: Now) -> Option<Wake> {
        let until = match self.drain {
            Drain::Draining { until } => until?,
            Drain::Releasing { until } => until,
            Drain::No | Drain::Done => return None,
        };
        Some(Wake { after: until.saturating_sub(now.monotonic), reason: WakeReason::Shutdown })
    }
}
