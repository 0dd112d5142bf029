//! Runs that take longer than they may: they are told to stop, whatever their store and their scheduler are doing.
//!
//! ```text
//! wake (timeout)
//!   → cancel run 7
//! finished run 7: cancelled
//!   → store turn: record run 7: timeout
//!   ← done
//!   → notify timeout
//! ```

use super::{
    Effect, Engine,
    contact::{Contact, Stop},
};
use crate::{Now, RunId, RunRef};

impl Engine {
    /// Tells the runs to stop that have taken as long as they may.
    pub(super) fn expire(&mut self, now: Now) {
        for contact in &mut self.contacts {
            while let Some(run) = contact.next_expired(now) {
                let held = contact.held.get_mut(&run).filter(|held| held.ended.is_none() && held.stop == Stop::No);
                if let Some(held) = held {
                    held.stop = Stop::TimedOut;
                    self.effects.push_back(Effect::Cancel(run));
                }
            }
        }
    }
}

impl Contact {
    /// An attempt begins; its time is counted from now.
    pub(super) fn begin(&mut self, now: Now, run: RunId) -> Option<RunRef> {
        let held = self.held.get_mut(&run)?;
        held.waiting = None;
        held.started = now.monotonic;
        held.deadline = held.timeout.and_then(|timeout| now.monotonic.checked_add(timeout));
        self.deadlines.extend(held.deadline.map(|deadline| (deadline, run)));
        Some(held.run.clone())
    }

    fn next_expired(&mut self, now: Now) -> Option<RunId> {
        let (deadline, _) = self.deadlines.first()?;
        if *deadline > now.monotonic {
            return None;
        }
        self.deadlines.pop_first().map(|(_, run)| run)
    }
}
