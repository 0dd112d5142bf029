//! A call at the store, and its answer back at the node.

use scheduler_core::{
    RunId, RunState,
    engine::{Input, OpId, StoreCall, StoreReply},
    store::{Adopt, RunQuery, StoreError},
};

use super::{Happening, World};
use crate::sim::{
    Mutant, calls,
    node::Arrival,
    oracle::{Adopted, Broken},
    store_link::{Latencies, answer_instead, by_the_stores_clock, mutate_call, mutate_reply, perform, unavailable},
    time::utc,
};

impl World {
    /// A call arrives at the store.
    pub(super) fn arrives(
        &mut self,
        slot: usize,
        generation: u64,
        op: OpId,
        call: StoreCall,
        latencies: Latencies,
        sent: i64,
    ) -> Result<(), Broken> {
        if let Some(until) = self.away_until.filter(|_| self.is_hanging) {
            let until = until.min(self.parameters.chaos_ends());
            self.schedule(until, Happening::Arrives { slot, generation, op, call, latencies, sent });
            return Ok(());
        }
        if self.away_until.is_some() {
            let result = Err(unavailable("the store is away"));
            self.answer(slot, generation, op, result, latencies, sent);
            return Ok(());
        }
        if let StoreCall::Changed(seen) = call
            && perform(&*self.store, &self.parameters, self.now, &call).is_none()
        {
            // One that its node has given up is not to be answered instead of a later one.
            if let Some(node) = self.node(slot, generation).filter(|node| node.open.contains(&op)) {
                node.watching = Some((op, seen));
            }
            return Ok(());
        }
        self.performs(slot, generation, op, call, latencies, sent)?;
        self.tell_watchers();
        Ok(())
    }

    fn performs(
        &mut self,
        slot: usize,
        generation: u64,
        op: OpId,
        call: StoreCall,
        latencies: Latencies,
        sent: i64,
    ) -> Result<(), Broken> {
        if let Some(reply) = answer_instead(self.mutant, self.calls, self.now, &call) {
            self.answer(slot, generation, op, Ok(reply), latencies, sent);
            return Ok(());
        }
        let sent_at = calls::time_of(&call);
        let call = by_the_stores_clock(&self.parameters, self.now, call);
        let call = mutate_call(self.mutant, &self.oracle, call);
        let Some(mut result) = perform(&*self.store, &self.parameters, self.now, &call) else {
            return Ok(());
        };
        self.say(|_| format!("performed {call:?}: {result:?}"));
        if let Ok(reply) = &mut result {
            // A claim that looks ahead is the mutant's; what the oracle goes by is the true time.
            let by = calls::time_of(&call).filter(|_| self.mutant != Mutant::ClaimEarly);
            let by = by.unwrap_or_else(|| utc(self.now)).min(utc(self.now));
            let adopted = self.oracle.performed(by, sent_at, &call, reply)?;
            self.takeovers += adopted.len() as u64;
            self.check_adoptions(&call, &adopted)?;
            self.check_limits()?;
            mutate_reply(self.mutant, reply);
        }
        self.answer(slot, generation, op, result, latencies, sent);
        Ok(())
    }

    /// Sends an answer on its way.
    fn answer(
        &mut self,
        slot: usize,
        generation: u64,
        op: OpId,
        result: Result<StoreReply, StoreError>,
        latencies: Latencies,
        sent: i64,
    ) {
        let Some(back) = latencies.back else {
            return;
        };
        let answered = |result| Happening::Answered { slot, generation, op, result: Box::new(result), sent };
        if let Some(again) = latencies.again {
            self.schedule(self.now + back + again, answered(result.clone()));
        }
        self.schedule(self.now + back, answered(result));
    }

    /// An answer, or the news that there is none, reaches its node.
    pub(super) fn answered(
        &mut self,
        slot: usize,
        generation: u64,
        op: OpId,
        result: Result<StoreReply, StoreError>,
        sent: i64,
    ) -> Result<(), Broken> {
        let (now, mutant) = (self.now, self.mutant);
        let Some(node) = self.node(slot, generation) else {
            return Ok(());
        };
        if !node.open.remove(&op) && result.is_err() {
            // It was answered in time.
            return Ok(());
        }
        if result.is_err() {
            node.troubled_at = node.troubled_at.max(now);
        }
        if mutant == Mutant::ForgetFailedSettle && result.is_err() {
            return Ok(());
        }
        let as_if_at = (mutant == Mutant::StartAfterLease).then_some(sent);
        self.deliver(slot, Arrival { input: Input::Stored(op, result), as_if_at })
    }

    /// Answers the questions for changes that can be answered now.
    pub(super) fn tell_watchers(&mut self) {
        for slot in 0..self.nodes.len() {
            let Some((op, seen)) = self.nodes[slot].as_ref().and_then(|node| node.watching) else {
                continue;
            };
            if let Some(result) = calls::perform(&*self.store, &StoreCall::Changed(seen)) {
                self.end_watch(slot, op, result);
            }
        }
    }

    pub(super) fn end_watch(&mut self, slot: usize, op: OpId, result: Result<StoreReply, StoreError>) {
        let generation = self.generations[slot];
        if let Some(node) = &mut self.nodes[slot] {
            node.watching = None;
        }
        let latencies = Latencies::draw(&mut self.chance, &self.parameters, true);
        self.answer(slot, generation, op, result, latencies, self.now);
    }

    /// No more runs are running under a key than its limit allows, after one has started there.
    fn check_limits(&self) -> Result<(), Broken> {
        for (key, limit, runs) in self.oracle.limited_starts() {
            // What was taken over from a node, the oracle learns by a later claim.
            let is_running = |run: &RunId| {
                let query = RunQuery { uid: run.uid, before: run.seq.checked_add(1), limit: 1 };
                let runs = calls::perform(&*self.store, &StoreCall::Runs(query));
                matches!(runs, Some(Ok(StoreReply::Runs(runs))) if runs.iter().any(|it| it.id == *run && it.state == RunState::Running))
            };
            let running = runs.iter().filter(|run| is_running(run)).count();
            if running > limit {
                return Err(format!("{running} runs are running under the key {key}, which has a limit of {limit}"));
            }
        }
        Ok(())
    }

    /// Runs are taken over only from nodes that were in trouble, and not right after an outage that none could help.
    fn check_adoptions(&self, call: &StoreCall, adopted: &[Adopted]) -> Result<(), Broken> {
        let is_adopting = match call {
            StoreCall::Turn(turn) => turn.claim.as_ref().is_some_and(|claim| claim.adopt != Adopt::Nothing),
            _ => false,
        };
        let lease = self.parameters.lease_micros();
        for Adopted { run, from } in adopted {
            let Some(node) = self.nodes.iter().flatten().find(|node| node.id == *from) else {
                continue;
            };
            // One that an earlier claim took over, and left for want of room.
            if !is_adopting {
                continue;
            }
            if self.now - node.troubled_at > 3 * lease {
                return Err(format!("run {run} is taken from {from}, which is well"));
            }
            if let Some((ended, length)) = self.outage
                && node.is_blameless
                && length > lease
                && self.now - ended < lease
            {
                return Err(format!("run {run} is taken from {from} right after an outage of {length} us"));
            }
        }
        Ok(())
    }
}
