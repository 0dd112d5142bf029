//! What goes wrong by itself, and the end of it.

use std::time::Duration;

use scheduler_core::{
    engine::{Command, Input, JobEdit, OpId, ShutdownMode},
    store::Clock,
};

use super::{Happening, LAST_RESUME, World};
use crate::sim::{
    oracle::Broken,
    store_link::unavailable,
    time::{MS, SECOND},
};

impl World {
    /// Now and then something goes wrong.
    pub(super) fn inject_fault(&mut self) -> Result<(), Broken> {
        if self.is_calm {
            return Ok(());
        }
        self.schedule(self.now + SECOND, Happening::Fault);
        if !self.chance.permille(self.parameters.faults * 10) {
            return Ok(());
        }
        let Some(slot) = self.any_slot() else {
            return Ok(());
        };
        let lease = self.parameters.lease_micros();
        match self.chance.between(0, 9) {
            0 | 1 => {
                let pause = self.chance.between(0, 2 * lease);
                self.node_goes(slot, pause);
            }
            2 => return self.ask(slot, Command::Shutdown(ShutdownMode::Wait)),
            3 => {
                let node = self.nodes[slot].as_ref().expect("the slot has a node");
                // What does not listen goes on until the process ends.
                self.oracle.ends_in_good_order(&node.id.clone());
                let time = Duration::from_micros(self.chance.between(0, 2 * lease) as u64);
                let mode = self.chance.pick(&[ShutdownMode::Now, ShutdownMode::Within(time)]);
                return self.ask(slot, Command::Shutdown(mode));
            }
            4 | 5 => {
                let length = self.chance.between(100 * MS, 2 * lease);
                self.freeze(slot, length);
            }
            6 | 7 => {
                let length = self.chance.between(100 * MS, 3 * lease);
                self.store_goes(length);
            }
            8 => self.step_clock(slot),
            _ => {
                self.ask(slot, Command::Pause)?;
                return self.ask(slot, Command::Resume);
            }
        }
        Ok(())
    }

    /// A node's process ends; another begins in its place.
    pub(super) fn node_goes(&mut self, slot: usize, pause: i64) {
        if let Some(node) = self.nodes[slot].take() {
            self.oracle.dies(&node.id);
            self.adding.retain(|(of, _), _| *of != slot);
        }
        let pause = if self.is_calm { 0 } else { pause };
        self.schedule(self.now + pause, Happening::Begin { slot });
    }

    /// A node's process stands still: it hears nothing and does nothing, and its tasks with it.
    fn freeze(&mut self, slot: usize, length: i64) {
        let until = self.now + length;
        let generation = self.generations[slot];
        let Some(node) = self.nodes[slot].as_mut().filter(|node| !node.is_frozen()) else {
            return;
        };
        node.frozen_until = Some(until);
        node.troubled_at = until;
        node.is_blameless = false;
        self.schedule(until, Happening::Thaws { slot, generation });
    }

    pub(super) fn thaws(&mut self, slot: usize, generation: u64) -> Result<(), Broken> {
        let Some(node) = self.node(slot, generation) else {
            return Ok(());
        };
        node.frozen_until = None;
        let inbox = std::mem::take(&mut node.inbox);
        for arrival in inbox {
            self.deliver(slot, arrival)?;
        }
        self.tell(slot, Input::Wake)
    }

    /// The store is away: calls fail, and so do the questions that it kept open. Or it hangs, and all of them wait.
    fn store_goes(&mut self, length: i64) {
        if self.away_until.is_some() {
            return;
        }
        let until = self.now + length;
        self.away_until = Some(until);
        self.is_hanging = self.chance.permille(600);
        self.outage = Some((until, length));
        let lease = self.parameters.lease_micros();
        for node in self.nodes.iter_mut().flatten() {
            node.is_blameless = self.now - node.troubled_at > lease;
            node.troubled_at = until;
        }
        self.schedule(until, Happening::StoreIsBack);
        if self.is_hanging {
            return;
        }
        for slot in 0..self.nodes.len() {
            let watching: Option<(OpId, u64)> = self.nodes[slot].as_ref().and_then(|node| node.watching);
            if let Some((op, _)) = watching {
                self.end_watch(slot, op, Err(unavailable("the connection is gone")));
            }
        }
    }

    /// A node's wall clock is set. Where it is the clock of the store, too, it is left alone.
    fn step_clock(&mut self, slot: usize) {
        if self.parameters.clock == Clock::Server
            && let Some(node) = &mut self.nodes[slot]
        {
            node.skew = self.chance.pick(&[0, 3600 * SECOND, -3600 * SECOND, 2 * SECOND, -2 * SECOND]);
        }
    }

    /// The faults stop: every node is up, the store is there.
    pub(super) fn calm(&mut self) -> Result<(), Broken> {
        self.is_calm = true;
        self.away_until = None;
        for slot in 0..self.nodes.len() {
            self.schedule(self.now, Happening::Begin { slot });
            let generation = self.generations[slot];
            if self.nodes[slot].as_ref().is_some_and(|node| node.is_frozen()) {
                self.thaws(slot, generation)?;
            }
        }
        for pause in [2 * SECOND, 20 * SECOND, LAST_RESUME] {
            self.schedule(self.now + pause, Happening::Resume);
        }
        Ok(())
    }

    /// Paused jobs go on, so that they can come to their end.
    pub(super) fn resume_all(&mut self) -> Result<(), Broken> {
        for id in self.oracle.ids() {
            if let Some(slot) = self.any_slot() {
                self.ask(slot, Command::ChangeJob(None, id, Box::new(JobEdit::Resume)))?;
            }
        }
        Ok(())
    }
}
