//! The engine against the store in memory, on one thread and a simulated clock: what planning, settling and recording cost by
//! themselves, without a runtime, tasks and listeners.
//!
//! ```text
//! wake → claim → settle → start → the run ends at once → record, with the next claim
//! ```

use std::{error::Error, time::Duration};

use apscheduler::{JobSpec, Outcome, stores::MemoryStore, trigger::Interval};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use scheduler_core::{
    JobStore, Now, RunId,
    engine::{CallId, Command, Config, Effect, Engine, Input, Mode},
};
use serde_json::Value;

use figures::{Flags, Line, cpu_seconds};

/// `--n` jobs of a second fire for `--secs` seconds, their phases spread over it or the same.
pub(crate) fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let (n, secs) = (flags.number("n", 10_000), flags.number("secs", 20));
    let is_spread = flags.text("phases", "distinct") != "same";
    let mut machine = Machine::new();
    machine.add(n, is_spread);
    machine.run_for(Duration::from_secs(2));
    let (before, cpu) = (machine.runs, cpu_seconds());
    let counted = allocation_counter::measure(|| machine.run_for(Duration::from_secs(secs as u64)));
    let (runs, cpu) = (machine.runs - before, cpu_seconds() - cpu);
    Line::new("engine", "ours")
        .int("n", n)
        .text("phases", if is_spread { "distinct" } else { "same" })
        .int("runs", runs)
        .int("expected", n * secs)
        .num("runs_per_s", runs as f64 / cpu)
        .num("cpu_us_per_run", cpu * 1e6 / runs as f64)
        .num("allocations_per_run", counted.count_total as f64 / runs as f64)
        .print();
    Ok(())
}

/// An engine that runs, its store and its clock.
pub(crate) struct Machine {
    engine: Engine,
    store: MemoryStore,
    now: Now,
    last_call: u64,
    /// How many runs have started and ended.
    pub(crate) runs: usize,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let utc = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000);
        let now = Now { utc, monotonic: Duration::ZERO };
        let (engine, store) = (Engine::new(Config::new("node-1", 7)), MemoryStore::new());
        let mut machine = Self { engine, store, now, last_call: 0, runs: 0 };
        let limits = machine.store.limits();
        machine.command(Command::AddStore("default".into(), limits));
        machine.command(Command::AddExecutor("default".into(), None));
        machine.command(Command::AddTasks(vec!["tick".into()]));
        machine.command(Command::Start(Mode::Running));
        machine
    }

    /// Adds jobs that fire each second, from the next one on.
    pub(crate) fn add(&mut self, n: usize, is_spread: bool) {
        let first = self.now.utc + TimeDelta::seconds(1);
        let phase = |at: usize| TimeDelta::microseconds(if is_spread { at as i64 * 1_000_000 / n as i64 } else { 0 });
        let specs = (0..n).map(|at| JobSpec::new("tick", Interval::seconds(1).starting_at(first + phase(at))));
        self.command(Command::AddJobs("default".into(), specs.collect()));
    }

    /// Goes on until so much time has passed, from one instant at which there is something to do to the next.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now.after(time);
        loop {
            let wake = self.engine.next_wake(self.now).map(|wake| self.now.after(wake.after));
            let Some(next) = wake.filter(|next| next.monotonic <= end.monotonic) else {
                self.now = end;
                return;
            };
            self.now = next;
            self.tell(Input::Wake);
        }
    }

    fn command(&mut self, command: Command) {
        self.last_call += 1;
        self.tell(Input::Command(CallId(self.last_call), command));
    }

    /// Performs what the engine wants because of this, and because of what comes of that.
    fn tell(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        let mut ended: Vec<RunId> = Vec::new();
        loop {
            while let Some(effect) = self.engine.poll_effect() {
                match effect {
                    Effect::Store(op, _, call) => {
                        // A question for changes stays open.
                        if let Some(reply) = call.perform(&self.store).now_or_never() {
                            self.engine.handle(self.now, Input::Stored(op, reply));
                        }
                    }
                    Effect::Start(start) => ended.push(start.run),
                    Effect::Reply(_, reply) => drop(reply.expect("each call is sound")),
                    Effect::Cancel(_) | Effect::Notify(_) => {}
                }
            }
            if ended.is_empty() {
                return;
            }
            for run in ended.drain(..) {
                self.runs += 1;
                self.engine.handle(self.now, Input::Finished(run, Outcome::Ok(Value::Null)));
            }
        }
    }
}
