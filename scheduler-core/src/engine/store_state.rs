//! What the engine knows about one of its stores, in parts: each has its own rules and says when it wants the engine to be woken.
//!
//! ```text
//! StoreState ─┬─ clock     what the store's clock shows
//!             ├─ link      whether the store answers, and what has to be repeated
//!             ├─ claims    when to claim, and what is being settled
//!             │            (takeover: of what dead nodes left; survey: of jobs that no node can run)
//!             ├─ runs      what this node holds (queues: what waits for its executor)
//!             ├─ reports   what is to be told of runs, and signs of life
//!             ├─ feed      how changes by other nodes are seen
//!             └─ removal   how far the store is given up
//! ```
//!
//! The parts know nothing of each other; what concerns several of them is here.

mod active_run;
mod claims;
mod clock;
mod ended;
mod feed;
mod link;
mod queues;
mod removal;
mod reports;
mod runs;
mod survey;
mod takeover;

use std::time::Duration;

pub(super) use self::{
    active_run::{ActiveRun, Stop, failure_of},
    claims::{ConflictRetries, Settling},
    clock::step,
    link::{FIRST_PAUSE, LONGEST_PAUSE, LinkState, Outage, Outstanding, pause_after, third_of},
    queues::QueueKey,
    removal::Drain,
};
use self::{
    claims::Claims, clock::StoreClock, feed::ChangeFeed, link::Link, removal::Removal, reports::Reports, runs::Runs,
};
use super::effect::{Wake, WakeReason};
use crate::{
    ExecutorName, Now, Outcome, RunId, StoreName, Uid,
    store::{Adopt, Entry, Hint, KeyLimits, Move, Report, RunReport, StoreLimits},
};

/// One store, as far as the engine knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoreState {
    pub(super) name: StoreName,
    pub(super) limits: StoreLimits,
    pub(super) clock: StoreClock,
    pub(super) link: Link,
    pub(super) claims: Claims,
    pub(super) runs: Runs,
    pub(super) reports: Reports,
    pub(super) feed: ChangeFeed,
    pub(super) removal: Removal,
}

impl StoreState {
    pub(super) fn new(name: StoreName, limits: StoreLimits) -> Self {
        Self {
            name,
            clock: StoreClock::new(limits.clock),
            link: Link::new(),
            claims: Claims::new(),
            runs: Runs::default(),
            reports: Reports::default(),
            feed: ChangeFeed::new(limits.wakes),
            removal: Removal::new(),
            limits,
        }
    }

    /// Whether calls may be sent: the store answers, or it is time to try again.
    pub(super) fn is_usable(&mut self, now: Now) -> bool {
        match self.link.state {
            LinkState::Up => true,
            LinkState::Down { retry_at } if retry_at <= now.monotonic => {
                self.link.state = LinkState::Up;
                // Before it claims, the node shows that it is alive.
                self.reports.sign_at = now.monotonic;
                true
            }
            LinkState::Down { .. } => false,
        }
    }

    /// Whether the store keeps limits by key.
    pub(super) fn keeps_key_limits(&self) -> bool {
        self.limits.key_limits == KeyLimits::Kept
    }

    /// Whether the next claim is due.
    pub(super) fn is_claim_due(&self, now: Now, lease: Duration) -> bool {
        self.claims.are_due(now, self.clock.latest_time(now), self.link.reached, lease)
    }

    /// Whether the claim that is being sent asks for declined jobs.
    pub(super) fn survey(&mut self, now: Now) -> Report {
        self.claims.survey.report(now, self.clock.latest_time(now))
    }

    /// Whether the claim that is being sent takes over what lapsed nodes left.
    pub(super) fn adopts(&mut self, now: Now, lease: Duration) -> Adopt {
        match self.link.may_take_over(now, lease, self.limits.clock) {
            true => Adopt::LapsedBy(self.clock.time(now)),
            false => Adopt::Nothing,
        }
    }

    /// Notes that others have changed something.
    pub(super) fn note_change_by_others(&mut self, now: Now, hint: &Hint) {
        self.claims.survey.note_change_by_others(now, hint, self.limits.durability);
        self.claims.alarm.are_jobs_changed |= matches!(hint, Hint::Due(_) | Hint::Resync);
    }

    /// Whether the node has anything in the store that others must leave alone.
    pub(super) fn holds_something(&self) -> bool {
        !self.runs.active.is_empty() || !self.claims.settling.is_empty()
    }

    /// Whether nothing is under way that an answer could still come to.
    pub(super) fn is_idle(&self) -> bool {
        !self.claims.is_firing()
            && self.reports.in_flight == 0
            && self.runs.active.is_empty()
            && self.reports.unsent.is_empty()
            && self.link.to_repeat.is_empty()
    }

    /// The reports that are to be sent now, which may be none with a sign of life.
    pub(super) fn next_reports(&mut self, now: Now) -> Option<Vec<Entry>> {
        let holds_something = self.holds_something();
        self.reports.next(now, self.limits.batch, holds_something)
    }

    /// Notes how a run has ended, to be reported.
    pub(super) fn end(&mut self, now: Now, run: RunId, outcome: Outcome) {
        let entry = self.runs.end(now, run, outcome, self.clock.time(now));
        self.reports.unsent.extend(entry);
    }

    /// Notes that the store has renewed the node's lease, not before `sent`.
    pub(super) fn cover(&mut self, now: Now, sent: Duration, lease: Duration) {
        let given_back = self.runs.cover(now, sent, lease);
        self.reports.unsent.extend(given_back);
    }

    /// Withdraws a run that waits, so that it never starts.
    pub(super) fn withdraw(&mut self, run: RunId, why: Stop) {
        let entry = self.runs.withdraw(run, why);
        self.reports.unsent.extend(entry);
    }

    /// Cancels the runs of a job, or of all, that have not started.
    pub(super) fn cancel_waiting_of(&mut self, job: Option<Uid>) {
        let cancelled = self.runs.cancel_waiting_of(job);
        self.reports.unsent.extend(cancelled);
    }

    /// Leaves a run that has not started to whichever node takes it.
    pub(super) fn give_back(&mut self, run: RunId) {
        let entry = self.runs.give_back(run);
        self.reports.unsent.extend(entry);
    }

    /// Begins to give the store up: no further job is taken, and what has not started is left to other nodes.
    pub(super) fn begin_drain(&mut self) {
        if self.removal.drain == Drain::No {
            self.removal.drain = Drain::Draining { until: None };
        }
        self.give_back_waiting();
    }

    /// Leaves all runs that have not started to other nodes.
    pub(super) fn give_back_waiting(&mut self) {
        let given_back = self.runs.give_back_waiting();
        self.reports.unsent.extend(given_back);
    }

    /// Gives back what waits for an executor that is not there any more.
    pub(super) fn give_back_waiting_for(&mut self, executor: &ExecutorName) {
        let given_back = self.runs.give_back_waiting_for(executor);
        self.reports.unsent.extend(given_back);
    }

    /// Notes that nothing of a move was written by this sending. An earlier one whose reply was lost may have written it, and the
    /// job may have gone on since: runs that it started are given back, for they would stay with a node that knows nothing
    /// of them.
    pub(super) fn on_not_moved(&mut self, planned: &Move) {
        self.reports.unsent.extend(planned.starts().map(|seq| Entry {
            run: RunId { uid: planned.uid, seq },
            fence: planned.fence,
            report: RunReport::Release,
            limit_key: planned.limit_key.clone(),
        }));
        // The change or the claim that was ahead has made the job due as it should be.
        self.claims.note_change();
    }

    /// When this store wants the engine to be woken. `claiming` is the node's lease if the node claims.
    pub(super) fn next_wake(&self, now: Now, claiming: Option<Duration>, is_started: bool) -> Option<Wake> {
        let of_calls = match self.link.state {
            LinkState::Down { retry_at } => {
                Some(Wake { after: retry_at.saturating_sub(now.monotonic), reason: WakeReason::Retry })
            }
            LinkState::Up => self.next_wake_while_up(now, claiming, is_started),
        };
        of_calls.into_iter().chain(self.runs.next_wake(now)).min_by_key(|wake| wake.after)
    }

    fn next_wake_while_up(&self, now: Now, claiming: Option<Duration>, is_started: bool) -> Option<Wake> {
        let is_kept = self.removal.drain == Drain::No;
        let store_time = self.clock.latest_time(now);
        let claim = claiming
            .filter(|_| is_kept)
            .and_then(|lease| self.claims.next_wake(now, store_time, self.link.reached, lease));
        let sign = self.reports.next_wake(now, self.holds_something());
        let feed = if is_started && is_kept { self.feed.next_wake(now) } else { None };
        [claim, sign, feed].into_iter().flatten().min_by_key(|wake| wake.after)
    }
}
