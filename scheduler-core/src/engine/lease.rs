//! Who holds what: signs of life, cancelled runs, and runs that others have taken over.
//!
//! ```text
//! wake (life sign)
//!   → store turn: record nothing
//!   ← hold kept, cancel run 7
//!   → cancel run 7
//! ```

use std::time::Duration;

use super::{
    Effect, Engine, InFlight, SchedulerState, StoreCall,
    contact::{Contact, Drain, LinkState, Stop},
    third_of,
};
use crate::{
    EventKind, Now, RunId, StoreName,
    store::{Changed, Clock, Hint, Hold, StoreError, Wakes},
};

/// The shortest period in which a store is asked for changes: a shorter one would keep the loop busy with questions alone.
const SHORTEST_POLL: Duration = Duration::from_millis(1);

impl Engine {
    /// Acts on whether the node's runs are still its own. If they may not be, they are told to stop, and most of their ends
    /// will be stale.
    ///
    /// `sent` is when the store was asked: of what has been started since then it did not know.
    pub(super) fn on_hold(&mut self, store: &StoreName, sent: Duration, hold: Hold) {
        let Some(contact) = self.contact(store) else {
            return;
        };
        if hold == Hold::Lost {
            let lost = contact.held.iter().filter(|(_, held)| held.since < sent && held.stop == Stop::No);
            let lost: Vec<RunId> = lost.map(|(run, _)| *run).collect();
            if !lost.is_empty() {
                // Somebody may have taken them over, whose lease is to be watched.
                contact.hear_change();
            }
            for run in lost {
                self.cancel_if_held(store, run, Stop::Lost);
            }
        }
    }

    /// Tells a run to stop, once, if it is running here; one that waits for its executor never starts.
    pub(super) fn cancel_if_held(&mut self, store: &StoreName, run: RunId, why: Stop) {
        let Some(contact) = self.contact(store) else {
            return;
        };
        let Some(held) = contact.held.get_mut(&run).filter(|held| held.ended.is_none()) else {
            return;
        };
        match (held.stop, why) {
            _ if held.waiting.is_some() => contact.withdraw(run, why),
            (Stop::No, _) => {
                held.stop = why;
                self.effects.push_back(Effect::Cancel(run));
            }
            // It has been told already; now it is not to be repeated either.
            (Stop::TimedOut, Stop::Asked) => held.stop = Stop::Asked,
            _ => {}
        }
    }

    /// Asks for changes by other nodes, if the store can tell of them.
    pub(super) fn watch(&mut self, now: Now, index: usize) {
        let is_started = !matches!(self.state, SchedulerState::Stopped | SchedulerState::ShutDown);
        let contact = &mut self.contacts[index];
        let is_possible = contact.limits.wakes != Wakes::Never && contact.watch.ask_at <= now.monotonic;
        if is_possible && is_started && !contact.watch.is_in_flight && contact.drain == Drain::No {
            contact.watch.is_in_flight = true;
            let (store, seen) = (contact.name.clone(), contact.watch.seen);
            self.call_store(store.clone(), StoreCall::Changed(seen), InFlight::Changed(store));
        }
    }

    pub(super) fn on_changed(&mut self, now: Now, store: &StoreName, result: Result<Changed, StoreError>) {
        let node = self.config.node.clone();
        let Some(contact) = self.contact(store) else {
            return;
        };
        contact.watch.is_in_flight = false;
        let change = match result {
            Ok(change) => change,
            Err(error) => return self.on_watch_failed(now, store, &error),
        };
        contact.watch.failures = 0;
        contact.watch.seen = change.seen;
        if let Wakes::Poll(period) = contact.limits.wakes {
            let period = period.max(SHORTEST_POLL);
            contact.watch.ask_at = now.monotonic.saturating_add(period);
        }
        if let Some(hint) = &change.hint {
            contact.hear_of_others(now, hint);
            contact.alarm.are_jobs_changed |= matches!(hint, Hint::Due(_) | Hint::Resync);
        }
        match change.hint {
            Some(Hint::Due(due)) => contact.hear_due(Some(due)),
            Some(Hint::Cancel(of)) if of == node => contact.sign_at = now.monotonic,
            Some(Hint::Cancel(_)) | None => {}
            Some(Hint::Resync) => {
                contact.hear_change();
                contact.sign_at = now.monotonic;
            }
        }
        self.on_store_answered(now, store, None);
        // While other calls fail, their end is the store's recovery.
        let contact = self.contact(store).filter(|contact| contact.link.failures == 0);
        if contact.is_some_and(|contact| std::mem::take(&mut contact.watch.is_failure_told)) {
            self.notify(now, EventKind::StoreRecovered(store.clone()));
        }
    }

    /// Asks again after a pause of its own, since the other calls may well go through, and looks at the jobs until then:
    /// what would have been told may be lost.
    fn on_watch_failed(&mut self, now: Now, store: &StoreName, error: &StoreError) {
        let longest = self.longest_pause();
        let Some(contact) = self.contact(store) else {
            return;
        };
        let retry_in = super::contact::pause_after(contact.watch.failures, longest);
        let is_news = contact.watch.failures == 0 && contact.link.state == LinkState::Up;
        contact.watch.failures = contact.watch.failures.saturating_add(1);
        contact.watch.ask_at = now.monotonic.saturating_add(retry_in);
        contact.link.since = None;
        contact.link.note_trouble(now, error);
        contact.hear_change();
        if is_news {
            contact.watch.is_failure_told = true;
            let (store, error) = (store.clone(), format!("asking for changes: {error}"));
            self.notify(now, EventKind::StoreFailed { store, error, retry_in: Some(retry_in) });
        }
    }
}

impl Contact {
    /// Whether this node may take over what belongs to nodes whose lease has passed: only if it has been in touch with the
    /// store for a whole lease, since otherwise the others may not have been either.
    pub(super) fn may_adopt(&mut self, now: Now, lease: Duration) -> bool {
        self.look_for_a_break(now, Some(now.monotonic), lease);
        self.link.failures == 0 && self.link.since.is_some_and(|since| now.monotonic >= since.saturating_add(lease))
    }

    /// Ends the unbroken contact if the store may have been away, or the clock by which leases are judged has been changed.
    /// `sent` is when a turn was sent, or is being sent: turns show whether the store was there in between.
    pub(super) fn look_for_a_break(&mut self, now: Now, sent: Option<Duration>, lease: Duration) {
        // An outage of this length is survived by a lease that was renewed a third of it before, and is tried again after
        // at most a tenth of it.
        let half = lease.checked_div(2).unwrap_or_default();
        let is_silent =
            sent.is_some_and(|sent| self.link.reached.is_none_or(|reached| sent.saturating_sub(reached) > half));
        if is_silent || self.is_clock_stepped(now, lease) {
            self.link.since = None;
        }
    }

    fn is_clock_stepped(&self, now: Now, lease: Duration) -> bool {
        let Some(heard) = self.link.heard.filter(|_| self.limits.clock == Clock::Caller) else {
            return false;
        };
        let passed = now.monotonic.saturating_sub(heard.monotonic);
        let by_wall = now.utc.signed_duration_since(heard.utc).to_std().unwrap_or(Duration::ZERO);
        by_wall.abs_diff(passed) > third_of(lease)
    }

    /// When to ask the store next so that the contact is not broken; none if there is nothing to take over before long.
    pub(super) fn touch_at(&self, lease: Duration) -> Option<Duration> {
        self.link.reached.filter(|_| self.is_on_watch).map(|reached| reached.saturating_add(third_of(lease)))
    }

    /// The runs that are running here.
    pub(super) fn running(&self) -> impl Iterator<Item = RunId> + '_ {
        self.held.iter().filter(|(_, held)| held.ended.is_none() && held.waiting.is_none()).map(|(run, _)| *run)
    }
}
