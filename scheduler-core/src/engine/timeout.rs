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
//!
//! One that goes on all the same is told of, since it holds its slot.

use std::time::Duration;

use super::{
    Effect, Engine,
    contact::{Contact, Stop},
};
use crate::{EventKind, Now, RunId, RunRef};

/// How long a run that has run into its timeout may go on before that is told: longer than processes are given to end.
const OVERRUN: Duration = Duration::from_secs(10);

impl Engine {
    /// Tells the runs to stop that have taken as long as they may.
    pub(super) fn expire(&mut self, now: Now) {
        let mut overran = Vec::new();
        for contact in &mut self.contacts {
            while let Some(run) = contact.next_expired(now) {
                let Some(held) = contact.held.get_mut(&run).filter(|held| held.ended.is_none()) else { continue };
                held.deadline = None;
                match held.stop {
                    Stop::No => {
                        held.stop = Stop::TimedOut;
                        held.deadline = now.monotonic.checked_add(OVERRUN);
                        contact.deadlines.extend(held.deadline.map(|deadline| (deadline, run)));
                        self.effects.push_back(Effect::Cancel(run));
                    }
                    Stop::TimedOut => {
                        let duration = now.monotonic.saturating_sub(held.started);
                        overran.push(EventKind::RunOverran { run: held.run.clone(), duration });
                    }
                    Stop::Asked | Stop::Lost => {}
                }
            }
        }
        for event in overran {
            self.notify(now, event);
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
