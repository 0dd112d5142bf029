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

use super::{Effect, Engine, store_state::Stop};
use crate::{EventKind, Now};

/// How long a run that has run into its timeout may go on before that is told: longer than processes are given to end.
const OVERRUN: Duration = Duration::from_secs(10);

impl Engine {
    /// Tells the runs to stop that have taken as long as they may.
    pub(super) fn expire(&mut self, now: Now) {
        let mut overran = Vec::new();
        for state in &mut self.stores {
            while let Some(run) = state.runs.next_expired(now) {
                let Some(active) = state.runs.active.get_mut(&run).filter(|active| active.ended.is_none()) else {
                    continue;
                };
                active.deadline = None;
                match active.stop {
                    Stop::No => {
                        active.stop = Stop::TimedOut;
                        active.deadline = now.monotonic.checked_add(OVERRUN);
                        state.runs.deadlines.extend(active.deadline.map(|deadline| (deadline, run)));
                        self.effects.push_back(Effect::Cancel(run));
                    }
                    Stop::TimedOut => {
                        let duration = now.monotonic.saturating_sub(active.started);
                        overran.push(EventKind::RunOverran { run: active.run.clone(), duration });
                    }
                    Stop::Asked | Stop::Lost | Stop::ShutDown => {}
                }
            }
        }
        for event in overran {
            self.notify(now, event);
        }
    }
}
