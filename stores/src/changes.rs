//! The latest changes, for those who wait for one.

use std::collections::VecDeque;

use scheduler_core::store::{Changed, Hint};

/// The latest hints, each with the version at which it came.
#[derive(Debug)]
pub(crate) struct Changes {
    version: u64,
    latest: VecDeque<Hint>,
}

/// Who sees further behind than this is told to look at everything, which costs one claim.
const KEPT: usize = 64;

impl Default for Changes {
    fn default() -> Self {
        // 0 is what a first call has seen.
        Self { version: 1, latest: VecDeque::new() }
    }
}

impl Changes {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn note(&mut self, hint: Hint) {
        self.version += 1;
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(hint);
    }

    /// What changed after `seen`, if anything did.
    pub(crate) fn since(&self, seen: u64) -> Option<Changed> {
        if seen == self.version {
            return None;
        }
        let behind = self.version.checked_sub(seen).and_then(|behind| usize::try_from(behind).ok());
        let hint = match behind {
            Some(behind) if behind <= self.latest.len() => {
                let unseen = self.latest.range(self.latest.len() - behind..).cloned();
                unseen.reduce(merged).unwrap_or(Hint::Resync)
            }
            _ => Hint::Resync,
        };
        Some(Changed { seen: self.version, hint: Some(hint) })
    }
}

fn merged(a: Hint, b: Hint) -> Hint {
    match (a, b) {
        (Hint::Due(a), Hint::Due(b)) => Hint::Due(a.min(b)),
        (a, b) if a == b => a,
        _ => Hint::Resync,
    }
}
