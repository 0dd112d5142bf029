//! A store that fails: the same calls are repeated with growing pauses, and the other stores carry on.
//!
//! ```text
//!   ← unavailable
//!   → notify store failed, repeated in 50 ms
//! wake (retry)
//!   → store turn: the same record and settle, without the claim
//!   ← recorded, settled
//!   → notify store recovered
//! ```
//!
//! The store has recovered when what failed has gone through, not when it answers just anything: of one whose disk is full
//! the reads succeed all along.
//!
//! A store that says that it is not what it should be (its tables are gone, a page of it is damaged, its schema is newer) is
//! treated no differently, but for longer pauses in the end: it may be whole again in a second, as after the restore of a
//! backup, and what this node holds stays held until its lease has passed.
//!
//! A claim is not repeated, since its permission to take over from lapsed nodes may not hold any more; what it took, if
//! it was applied, is this node's own and is taken again.

use std::{sync::Arc, time::Duration};

use super::{
    Engine, InFlight, Sending,
    planning::quarantine,
    store_state::{LONGEST_PAUSE, LinkState, Outstanding, Stop},
};
use crate::{
    EventKind, JobState, Now, StoreName,
    store::{Entry, Record, RunReport, Settle, StoreError, StoreErrorKind, Turn},
};

/// The longest pause before a store is looked at again that is not what it should be. It waits for people, as a rule, and each
/// look is an event.
const LONGEST_PAUSE_OF_ANOTHER: Duration = Duration::from_secs(60);

impl Engine {
    /// Keeps count of what has failed and has not gone through since.
    pub(super) fn note_outstanding(
        &mut self,
        store: &StoreName,
        turn: &Turn,
        sending: Sending,
        error: Option<&StoreError>,
    ) {
        let Some(state) = self.store_state(store) else {
            return;
        };
        let outstanding = &mut state.link.outstanding;
        let is_write = turn.record.is_some() || turn.settle.is_some();
        // A store that refuses an item has looked at it.
        let is_answered = error.is_none_or(|error| is_refusal(error, turn));
        match sending {
            Sending::Again if is_answered => outstanding.writes = outstanding.writes.saturating_sub(1),
            Sending::First if is_write && !is_answered => outstanding.writes = outstanding.writes.saturating_add(1),
            Sending::First | Sending::Again => {}
        }
        if turn.claim.is_some() && (error.is_none() || !is_answered) {
            outstanding.is_claim = error.is_some();
        }
    }

    pub(super) fn on_turn_failed(
        &mut self,
        now: Now,
        store: &StoreName,
        turn: &Turn,
        sent: Duration,
        error: StoreError,
    ) {
        let Some(state) = self.store_state(store) else {
            return;
        };
        if turn.claim.is_some() {
            state.claims.is_in_flight = false;
            state.claims.note_change();
            state.claims.survey.forget_last();
        }
        let again = Turn { claim: None, ..turn.clone() };
        match error.kind() {
            _ if is_refusal(&error, &again) => self.on_rejected(now, store, again, sent, &error),
            _ => {
                if again != Turn::default() {
                    state.link.to_repeat.push((again, sent));
                }
                self.on_store_failed(now, store, &error);
            }
        }
    }

    /// Notes a failed call and pauses, unless a pause has begun already.
    pub(super) fn on_store_failed(&mut self, now: Now, store: &StoreName, error: &StoreError) {
        let longest = match error.kind() {
            StoreErrorKind::Incompatible => LONGEST_PAUSE_OF_ANOTHER,
            _ => self.longest_pause(),
        };
        let Some(state) = self.store_state(store) else {
            return;
        };
        state.link.unbroken_since = None;
        state.link.note_trouble(now, error);
        if state.link.state == LinkState::Up {
            let retry_in = Some(state.link.pause(now, longest));
            self.notify(now, EventKind::StoreFailed { store: store.clone(), error: error.to_string(), retry_in });
        }
    }

    /// The longest pause before a failed call is repeated. Far shorter than the lease, so that a node whose store comes back
    /// is heard before others take over what it runs, be it that they were in touch for a lease since then or that the
    /// outage was too short for them to notice.
    pub(super) fn longest_pause(&self) -> Duration {
        LONGEST_PAUSE.min(self.config.lease.checked_div(10).unwrap_or_default())
    }

    /// `sent` is when the call was sent, if it was a turn.
    pub(super) fn on_store_answered(&mut self, now: Now, store: &StoreName, sent: Option<Duration>) {
        let lease = self.config.lease;
        let Some(index) = self.stores.iter().position(|state| state.name == *store) else {
            return;
        };
        // A node that claims no more, since it is paused or full, does not find out about claims.
        let can_claim = self.can_claim(index);
        let state = &mut self.stores[index];
        // It was there, whatever has yet to go through: who stays in touch with it need not ask again at once.
        state.link.note_break(now, sent, lease, state.limits.clock);
        state.link.last_answer = Some(now);
        state.link.reached = state.link.reached.max(sent);
        let Outstanding { writes, is_claim } = state.link.outstanding;
        if writes > 0 || is_claim && can_claim {
            return;
        }
        state.link.outstanding.is_claim = false;
        let was_failing = state.link.failures > 0;
        let was_down = state.link.state != LinkState::Up;
        state.link.failures = 0;
        state.link.outage = None;
        state.link.state = LinkState::Up;
        state.link.unbroken_since = state.link.unbroken_since.or(Some(now.monotonic));
        if was_down {
            state.reports.sign_at = now.monotonic;
        }
        if was_failing {
            // Changes by others during the outage may not have been told.
            state.claims.note_change();
            state.feed.is_failure_told = false;
            self.notify(now, EventKind::StoreRecovered(store.clone()));
        }
    }

    /// Sends the failed turns again. A run that one of them starts is started only if the lease still holds that its first
    /// sending began, since that one may have been applied.
    pub(super) fn repeat_failed(&mut self, index: usize) {
        for (turn, sent) in std::mem::take(&mut self.stores[index].link.to_repeat) {
            self.send(sent, self.stores[index].name.clone(), Arc::new(turn), Sending::Again);
        }
    }

    /// The store refuses an item for good: the items are sent in halves until the one at fault is alone and put aside.
    fn on_rejected(&mut self, now: Now, store: &StoreName, turn: Turn, sent: Duration, error: &StoreError) {
        if items(&turn) > 1 {
            return self.send_in_halves(store, turn, sent);
        }
        if let Some(mut record) = turn.record {
            match record.entries.pop() {
                Some(entry) => self.on_entry_rejected(now, store, record, entry, sent, error),
                None => self.forget_record(store),
            }
        }
        if let Some(mut settle) = turn.settle
            && let Some(planned) = settle.moves.pop()
        {
            let Some(state) = self.store_state(store) else {
                return;
            };
            let is_quarantine = matches!(planned.state, JobState::Quarantined(_));
            match state.claims.settling.get(&planned.uid) {
                Some(settling) if !is_quarantine => {
                    settle.moves.push(quarantine(&settling.claimed.job, format!("the store refuses it: {error}")));
                    self.send_turn(sent, store.clone(), Arc::new(Turn { settle: Some(settle), ..Turn::default() }));
                }
                _ => {
                    state.claims.settling.remove(&planned.uid);
                    state.claims.back_off(now);
                    let error = error.to_string();
                    self.notify(now, EventKind::StoreFailed { store: store.clone(), error, retry_in: None });
                }
            }
        }
    }

    /// What a store refuses about a report is its error text, which may be in a form that it cannot keep. Without that
    /// either, the run is given up.
    fn on_entry_rejected(
        &mut self,
        now: Now,
        store: &StoreName,
        mut record: Record,
        mut entry: Entry,
        sent: Duration,
        error: &StoreError,
    ) {
        if let Some(text) = text_of(&mut entry.report) {
            *text = None;
            record.entries.push(entry);
            return self.send_turn(sent, store.clone(), Arc::new(Turn { record: Some(record), ..Turn::default() }));
        }
        self.forget_record(store);
        self.notify(now, EventKind::StoreFailed { store: store.clone(), error: error.to_string(), retry_in: None });
        let active = self.store_state(store).and_then(|state| state.runs.active.remove(&entry.run));
        if let Some(active) = active {
            self.notify(now, EventKind::RunTakenAway(active.run));
        }
    }

    fn forget_record(&mut self, store: &StoreName) {
        if let Some(state) = self.store_state(store) {
            state.reports.note_answered();
        }
    }

    fn send_in_halves(&mut self, store: &StoreName, turn: Turn, sent: Duration) {
        let turns = halves(turn);
        if let Some(state) = self.store_state(store) {
            let records = turns.iter().filter(|turn| turn.record.is_some()).count();
            state.reports.in_flight = state.reports.in_flight.saturating_add(records.saturating_sub(1));
        }
        for turn in turns {
            self.send_turn(sent, store.clone(), Arc::new(turn));
        }
    }

    /// Gives up what is held in a store that is given up itself; its runs are told to stop.
    pub(super) fn abandon(&mut self, now: Now, store: &StoreName) {
        let Some(state) = self.store_state(store) else {
            return;
        };
        for run in state.runs.running() {
            self.cancel_if_active(store, run, Stop::Lost);
        }
        let Some(state) = self.store_state(store) else {
            return;
        };
        let held = state.runs.in_order(|_| true);
        let mut active = std::mem::take(&mut state.runs.active);
        state.runs.queues.clear();
        state.runs.deadlines.clear();
        state.claims.settling.clear();
        state.reports.unsent.clear();
        state.link.to_repeat.clear();
        state.link.outstanding = Outstanding::default();
        state.reports.confirmed.clear();
        state.claims.is_in_flight = false;
        state.reports.in_flight = 0;
        self.in_flight.retain(|_, in_flight| !matches!(in_flight, InFlight::Turn { store: of, .. } if of == store));
        for active in held.into_iter().filter_map(|run| active.remove(&run)) {
            self.notify(now, EventKind::RunTakenAway(active.run));
        }
    }
}

/// Whether a store refuses something of a turn for good, so that the same call would be refused again.
fn is_refusal(error: &StoreError, turn: &Turn) -> bool {
    matches!(error.kind(), StoreErrorKind::Rejected | StoreErrorKind::TooLarge) && items(turn) > 0
}

/// How many things a store could refuse.
fn items(turn: &Turn) -> usize {
    let entries = turn.record.as_ref().map_or(0, |record| record.entries.len());
    let moves = turn.settle.as_ref().map_or(0, |settle| settle.moves.len());
    entries.saturating_add(moves)
}

/// The reports and the moves of a turn as two turns; if it has only one of them, that in halves.
fn halves(turn: Turn) -> Vec<Turn> {
    let of_record = |record| Turn { record: Some(record), ..Turn::default() };
    let of_settle = |settle| Turn { settle: Some(settle), ..Turn::default() };
    match (turn.record, turn.settle) {
        (Some(record), Some(settle)) => vec![of_record(record), of_settle(settle)],
        (Some(mut record), None) => {
            let rest = record.entries.split_off(record.entries.len() / 2);
            let rest = Record { entries: rest, ..record.clone() };
            vec![of_record(record), of_record(rest)]
        }
        (None, Some(mut settle)) => {
            let rest = settle.moves.split_off(settle.moves.len() / 2);
            let rest = Settle { moves: rest, ..settle.clone() };
            vec![of_settle(settle), of_settle(rest)]
        }
        (None, None) => Vec::new(),
    }
}

/// The error text of a report, if it has one.
fn text_of(report: &mut RunReport) -> Option<&mut Option<String>> {
    match report {
        RunReport::End { error, .. } | RunReport::Retry { error, .. } => error.is_some().then_some(error),
        RunReport::Release => None,
    }
}
