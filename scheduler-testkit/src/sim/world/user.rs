//! What users do: they add jobs, change them and remove them.

use std::num::NonZeroU32;

use scheduler_core::{
    Conflict, Error, ErrorKind, JobChange, JobSpec, Pause,
    engine::{CallId, Command, JobEdit, Reply},
};

use super::{Happening, World};
use crate::sim::{
    oracle::Broken,
    time::{SECOND, utc},
};

impl World {
    pub(super) fn add_job(&mut self, spec: JobSpec) -> Result<(), Broken> {
        let Some(slot) = self.any_slot() else {
            self.schedule(self.now + SECOND, Happening::AddJob { spec: Box::new(spec) });
            return Ok(());
        };
        let command = Command::AddJobs("default".into(), vec![spec.clone()]);
        let node = self.nodes[slot].as_mut().expect("the slot has a node");
        let input = node.command(command);
        self.adding.insert((slot, CallId(node.last_call)), spec);
        self.tell(slot, input)
    }

    /// A user gives a key a limit, or takes it away.
    pub(super) fn set_limit(&mut self, key: &'static str) -> Result<(), Broken> {
        let limit = NonZeroU32::new(self.chance.pick(&[0, 1, 1, 2, 3]));
        match self.any_slot().filter(|_| !key.is_empty()) {
            Some(slot) => self.ask(slot, Command::SetKeyLimit("default".into(), key.into(), limit)),
            None => Ok(()),
        }
    }

    /// A job that may not have reached the store is added again, until the faults stop.
    pub(super) fn replied(&mut self, slot: usize, call: CallId, reply: Result<Reply, Error>) {
        let Some(spec) = self.adding.remove(&(slot, call)) else {
            return;
        };
        let error = match reply {
            Ok(Reply::Added(mut results)) => match results.pop() {
                Some(Ok(job)) => {
                    self.ids.insert(job.id);
                    return;
                }
                Some(Err(error)) => error.kind(),
                None => return,
            },
            Ok(_) => return,
            Err(error) => error.kind(),
        };
        if !self.is_calm && error != ErrorKind::Conflict {
            let spec = Box::new(spec.on_conflict(Conflict::Keep));
            self.schedule(self.now + SECOND, Happening::AddJob { spec });
        }
    }

    /// A user changes a job.
    pub(super) fn user(&mut self) -> Result<(), Broken> {
        if self.is_calm {
            return Ok(());
        }
        self.schedule(self.now + SECOND / 2, Happening::User);
        if !self.chance.permille(self.parameters.commands) {
            return Ok(());
        }
        let (ids, slot) = (self.oracle.ids(), self.any_slot());
        let Some(slot) = slot.filter(|_| !ids.is_empty()) else {
            return Ok(());
        };
        if !self.parameters.keys.is_empty() && self.chance.permille(100) {
            let key = self.chance.pick(self.parameters.keys);
            return self.set_limit(key);
        }
        let id = self.chance.pick(&ids);
        let near = utc(self.now + self.chance.between(-5 * SECOND, 5 * SECOND));
        let change = match self.chance.between(0, 10) {
            7 | 8 => return self.ask(slot, Command::RunJobNow(None, id)),
            9 | 10 => {
                let runs = self.oracle.open_runs_of_jobs();
                return match runs.is_empty() {
                    true => Ok(()),
                    false => {
                        let (id, run) = self.chance.pick(&runs);
                        self.ask(slot, Command::CancelRun(None, id, run))
                    }
                };
            }
            0 => JobEdit::Pause(Pause::new()),
            1 | 2 => JobEdit::Resume,
            3 => JobEdit::Reschedule(self.parameters.draw_trigger(&mut self.chance)),
            4 => JobEdit::Modify(JobChange::default().next_fire_time(near)),
            5 => JobEdit::Modify(JobChange::default().name("renamed")),
            _ => {
                let number = self.chance.between(0, self.parameters.jobs - 1);
                let spec = self.parameters.draw_job(&mut self.chance, number).on_conflict(Conflict::Replace);
                return match self.chance.permille(500) {
                    true => self.add_job(spec),
                    false => self.ask(slot, Command::RemoveJob(None, id)),
                };
            }
        };
        self.ask(slot, Command::ChangeJob(None, id, Box::new(change)))
    }

    pub(super) fn ask(&mut self, slot: usize, command: Command) -> Result<(), Broken> {
        let Some(node) = self.nodes[slot].as_mut() else {
            return Ok(());
        };
        let input = node.command(command);
        self.tell(slot, input)
    }
}
