//! How the scheduler and its stores are, told from what the engine knows: no store is asked.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    NodeId, Now, StoreName,
    engine::{
        Engine, InFlight, SchedulerState,
        contact::{Contact, Stop, Trouble},
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
    /// It has not been asked for anything yet.
    Untried,
    /// It has answered the latest call.
    Up,
    /// It has neither answered nor refused a call for longer than this node's life signs are apart.
    Silent {
        /// When the call was sent, by the node's clock.
        since: DateTime<Utc>,
    },
    /// Its calls fail and are repeated.
    Down {
        /// Since when, by the node's clock.
        since: DateTime<Utc>,
        /// The latest error.
        error: String,
    },
    /// It is not what it should be: its tables are gone, a page of it is damaged, or its schema is one that this version cannot
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
    /// It holds nothing there, and needs none.
    NotNeeded,
    /// It does.
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
            stores: self.contacts.iter().map(|contact| self.health_of(contact, now)).collect(),
        }
    }

    /// How many runs of each store this node holds that wait until their executors have room.
    pub fn waiting(&self) -> impl Iterator<Item = (&StoreName, usize)> {
        self.contacts.iter().map(|contact| (&contact.name, contact.queues.len()))
    }

    fn health_of(&self, contact: &Contact, now: Now) -> StoreHealth {
        StoreHealth {
            name: contact.name.clone(),
            link: self.link_of(contact, now),
            lease: contact.lease(now, self.config.lease),
            running: contact.running().count(),
            waiting: contact.queues.len(),
            settling: contact.settling.len(),
            unreported: contact.held.values().filter(|held| held.ended.is_some()).count(),
            next_due: contact.alarm.at.filter(|at| *at > DateTime::<Utc>::MIN_UTC),
        }
    }

    fn link_of(&self, contact: &Contact, now: Now) -> StoreLink {
        if let Some(Trouble { since, error, is_incompatible }) = contact.link.trouble.clone() {
            return match is_incompatible {
                true => StoreLink::Unusable { since, error },
                false => StoreLink::Down { since, error },
            };
        }
        let turns = self.in_flight.values().filter_map(|in_flight| match in_flight {
            InFlight::Turn { store, sent, .. } if *store == contact.name => Some(*sent),
            _ => None,
        });
        let silent_for = turns.min().map(|sent| now.monotonic.saturating_sub(sent));
        match silent_for {
            Some(passed) if passed > self.config.third_of_lease() => {
                StoreLink::Silent { since: earlier(now.utc, passed) }
            }
            _ if contact.link.heard.is_none() => StoreLink::Untried,
            _ => StoreLink::Up,
        }
    }
}

impl Contact {
    fn lease(&self, now: Now, lease: Duration) -> Lease {
        let is_unheard = |heard: Now| now.monotonic.saturating_sub(heard.monotonic) > lease;
        if !self.holds_something() {
            Lease::NotNeeded
        } else if self.link.heard.is_some_and(is_unheard) || self.held.values().any(|held| held.stop == Stop::Lost) {
            Lease::Lapsed
        } else {
            Lease::Held
        }
    }
}
