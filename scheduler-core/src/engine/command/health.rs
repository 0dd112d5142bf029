//! How the scheduler and its stores are, told from what the engine knows: no store is asked.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    NodeId, Now, StoreName,
    engine::{
        Engine, InFlight, SchedulerState,
        store_state::{Outage, Stop, StoreState},
    },
    now::earlier,
};

/// How a scheduler and its stores are.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// The node's id.
    pub node: NodeId,
    /// What the scheduler is doing.
    pub state: SchedulerState,
    /// Its stores, in the order in which they were added.
    pub stores: Vec<StoreHealth>,
}

/// How one store is, as this node sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StoreHealth {
    /// Its name.
    pub name: StoreName,
    /// Whether it answers.
    pub link: StoreLink,
    /// Whether this node's lease covers what it holds there.
    pub lease: Lease,
    /// How many runs of its jobs are running here.
    pub running: usize,
    /// How many further ones this node holds, that wait until their executors have room.
    pub waiting: usize,
    /// How many of its jobs this node has claimed and is settling.
    pub settling: usize,
    /// How many ends of runs it has not confirmed: they grow while it is away.
    pub unreported: usize,
    /// When this node looks for due jobs next, by the store's clock; none if nothing is due, or it looks at once.
    pub next_due: Option<DateTime<Utc>>,
}

/// Whether a store answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreLink {
    /// The store has not been asked for anything yet.
    Untried,
    /// The store has answered the latest call.
    Up,
    /// The store has neither answered nor refused a call for longer than this node's life signs are apart.
    Silent {
        /// When the call was sent, by the node's clock.
        since: DateTime<Utc>,
    },
    /// Calls of the store fail and are repeated.
    Down {
        /// Since when, by the node's clock.
        since: DateTime<Utc>,
        /// The latest error.
        error: String,
    },
    /// The store is not what it should be: its tables are gone, a page of it is damaged, or its schema is one that this version cannot
    /// use. It is looked at again with pauses that grow to a minute.
    Unusable {
        /// Since when, by the node's clock.
        since: DateTime<Utc>,
        /// The latest error.
        error: String,
    },
}

/// Whether a node's lease covers what it holds in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lease {
    /// The node holds nothing there, and needs no lease.
    NotNeeded,
    /// The lease covers it.
    Held,
    /// The store has not answered for a whole lease, or has said that others have taken over.
    Lapsed,
}

impl Engine {
    /// How the scheduler and its stores are.
    pub fn health(&self, now: Now) -> Health {
        Health {
            node: self.config.node.clone(),
            state: self.state,
            stores: self.stores.iter().map(|state| self.health_of(state, now)).collect(),
        }
    }

    /// How many runs of each store this node holds that wait until their executors have room.
    pub fn waiting(&self) -> impl Iterator<Item = (&StoreName, usize)> {
        self.stores.iter().map(|state| (&state.name, state.runs.queues.len()))
    }

    fn health_of(&self, state: &StoreState, now: Now) -> StoreHealth {
        StoreHealth {
            name: state.name.clone(),
            link: self.link_of(state, now),
            lease: lease_of(state, now, self.config.lease),
            running: state.runs.running_count(),
            waiting: state.runs.queues.len(),
            settling: state.claims.settling.len(),
            unreported: state.runs.active.values().filter(|active| active.ended.is_some()).count(),
            next_due: state.claims.alarm.at.filter(|at| *at > DateTime::<Utc>::MIN_UTC),
        }
    }

    fn link_of(&self, state: &StoreState, now: Now) -> StoreLink {
        if let Some(Outage { since, error, is_incompatible }) = state.link.outage.clone() {
            return match is_incompatible {
                true => StoreLink::Unusable { since, error },
                false => StoreLink::Down { since, error },
            };
        }
        let turns = self.in_flight.values().filter_map(|in_flight| match in_flight {
            InFlight::Turn { store, sent, .. } if *store == state.name => Some(*sent),
            _ => None,
        });
        let silent_for = turns.min().map(|sent| now.monotonic.saturating_sub(sent));
        match silent_for {
            Some(passed) if passed > self.config.third_of_lease() => {
                StoreLink::Silent { since: earlier(now.utc, passed) }
            }
            _ if state.link.last_answer.is_none() => StoreLink::Untried,
            _ => StoreLink::Up,
        }
    }
}

fn lease_of(state: &StoreState, now: Now, lease: Duration) -> Lease {
    let is_silent = |last: Now| now.monotonic.saturating_sub(last.monotonic) > lease;
    let has_lost = || state.runs.active.values().any(|active| active.stop == Stop::Lost);
    if !state.holds_something() {
        Lease::NotNeeded
    } else if state.link.last_answer.is_some_and(is_silent) || has_lost() {
        Lease::Lapsed
    } else {
        Lease::Held
    }
}
