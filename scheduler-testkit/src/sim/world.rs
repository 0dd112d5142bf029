//! What happens, and when: the nodes, the network, the users and the faults.

mod fault;
mod performing;
mod user;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use scheduler_core::{
    JobId, JobSpec, JobStore, Outcome, RunId,
    engine::{CallId, Effect, Input, OpId, Reply, Start, StoreCall, StoreReply},
    store::{JobQuery, RunQuery, StoreError, StoreLimits},
};

use super::{
    Mutant, Report, Trace, calls,
    chance::Chance,
    node::{Arrival, Attempt, Node, outcome},
    oracle::{Broken, Oracle},
    parameters::Parameters,
    store_link::{Latencies, unavailable},
    time::{MS, SECOND, utc},
};

/// More than this is a livelock: a second of virtual time takes some hundred steps.
const MOST_STEPS: u64 = 1_000_000;

/// How long runs may take to end once the faults have stopped, beyond four leases: a hundred of them may have piled up.
const PATIENCE: i64 = 200 * SECOND;

/// How long after the faults paused jobs are resumed for the last time.
const LAST_RESUME: i64 = 40 * SECOND;

/// How long the cluster is watched when nothing is left to do.
const SILENCE: i64 = 60 * SECOND;

#[derive(Debug)]
pub(super) struct World {
    chance: Chance,
    parameters: Parameters,
    mutant: Mutant,
    store: Arc<dyn JobStore>,
    limits: StoreLimits,
    now: i64,
    queue: BTreeMap<(i64, u64), Happening>,
    scheduled: u64,
    /// By slot; none while the slot's node is down.
    nodes: Vec<Option<Node>>,
    /// How many nodes each slot has had.
    generations: Vec<u64>,
    oracle: Oracle,
    /// Jobs that are being added, by slot and call.
    adding: BTreeMap<(usize, CallId), JobSpec>,
    /// The jobs of which a caller has been told that they are in the store.
    ids: BTreeSet<JobId>,
    /// When the store comes back; none if it is there.
    away_until: Option<i64>,
    /// Whether calls wait for it to come back, instead of failing.
    is_hanging: bool,
    /// When a long outage ended last, and how long it was.
    outage: Option<(i64, i64)>,
    is_calm: bool,
    attempts: u64,
    calls: u64,
    takeovers: u64,
    trace: Trace,
    sum: DefaultHasher,
}

/// Something that happens at a time.
#[derive(Debug, Clone)]
enum Happening {
    Begin { slot: usize },
    Wake { slot: usize, generation: u64, number: u64 },
    Arrives { slot: usize, generation: u64, op: OpId, call: StoreCall, latencies: Latencies, sent: i64 },
    Answered { slot: usize, generation: u64, op: OpId, result: Box<Result<StoreReply, StoreError>>, sent: i64 },
    TaskEnds { slot: usize, generation: u64, run: RunId, attempt: u64, kind: i64 },
    Finished { slot: usize, generation: u64, run: RunId, outcome: Outcome },
    Fault,
    User,
    StoreIsBack,
    Thaws { slot: usize, generation: u64 },
    AddJob { spec: Box<JobSpec> },
    SetLimit { key: &'static str },
    Calm,
    Resume,
}

impl World {
    pub(super) fn new(seed: u64, store: Arc<dyn JobStore>, mutant: Mutant, trace: Trace) -> Self {
        let mut chance = Chance::new(seed);
        let parameters = Parameters::draw(&mut chance);
        let limits =
            store.limits().with_batch(parameters.batch).with_clock(parameters.clock).with_wakes(parameters.wakes);
        let nodes = (0..parameters.nodes).map(|_| None).collect();
        Self {
            chance,
            mutant,
            store,
            limits,
            now: 0,
            queue: BTreeMap::new(),
            scheduled: 0,
            nodes,
            generations: vec![0; parameters.nodes],
            parameters,
            oracle: Oracle::default(),
            adding: BTreeMap::new(),
            ids: BTreeSet::new(),
            away_until: None,
            is_hanging: false,
            outage: None,
            is_calm: false,
            attempts: 0,
            calls: 0,
            takeovers: 0,
            trace,
            sum: DefaultHasher::new(),
        }
    }

    pub(super) fn now(&self) -> i64 {
        self.now
    }

    pub(super) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub(super) fn run(&mut self) -> Result<Report, Broken> {
        self.say(|world| format!("{:?}", world.parameters));
        for slot in 0..self.nodes.len() {
            let at = self.chance.between(0, SECOND);
            self.schedule(at, Happening::Begin { slot });
        }
        for key in self.parameters.keys {
            self.schedule(SECOND / 2, Happening::SetLimit { key });
        }
        for number in 0..self.parameters.jobs {
            let spec = Box::new(self.parameters.draw_job(&mut self.chance, number));
            let at = self.chance.between(SECOND, 10 * SECOND);
            self.schedule(at, Happening::AddJob { spec });
        }
        self.schedule(SECOND, Happening::Fault);
        self.schedule(SECOND, Happening::User);
        self.schedule(self.parameters.chaos_ends(), Happening::Calm);

        let mut deadline = self.parameters.chaos_ends() + PATIENCE + 4 * self.parameters.lease_micros();
        let mut looked = self.parameters.chaos_ends() + LAST_RESUME;
        let (mut steps, mut open) = (0, usize::MAX);
        loop {
            steps += self.run_until(deadline, |world| {
                let is_time = world.now >= looked + SECOND;
                if is_time {
                    looked = world.now;
                }
                is_time && world.is_done()
            })?;
            if self.is_done() {
                break;
            }
            // A long backlog may take its time as long as it grows shorter.
            let before = std::mem::replace(&mut open, self.oracle.open_runs().count());
            if open >= before {
                return Err(self.what_is_left());
            }
            deadline = self.now + PATIENCE;
        }
        self.are_known()?;
        // Life signs, questions for changes and the look for what dead nodes left are all that is allowed now.
        let (calls, until) = (self.calls, self.now + SILENCE);
        steps += self.run_until(until, |_| false)?;
        let allowed = self.nodes.len() as u64 * 80;
        if self.calls - calls > allowed {
            return Err(format!("{} store calls in a minute in which nothing is due", self.calls - calls));
        }
        Ok(Report {
            steps,
            calls: self.calls,
            runs: self.oracle.run_count(),
            takeovers: self.takeovers,
            retries: self.oracle.retries(),
            given_back: self.oracle.given_back(),
            timeouts: self.oracle.timeouts(),
            trace: self.sum.finish(),
        })
    }

    fn run_until(&mut self, deadline: i64, mut is_over: impl FnMut(&Self) -> bool) -> Result<u64, Broken> {
        let mut steps = 0;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > deadline || is_over(self) {
                break;
            }
            let ((at, _), happening) = self.queue.pop_first().expect("it was there just now");
            self.now = at;
            self.say(|_| format!("{happening:?}"));
            self.happens(happening)?;
            steps += 1;
            if steps > MOST_STEPS {
                return Err("it goes round in circles".to_owned());
            }
        }
        self.now = self.now.max(deadline.min(self.queue.first_key_value().map_or(deadline, |((at, _), _)| *at)));
        Ok(steps)
    }

    fn happens(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Begin { slot } => self.begin(slot),
            Happening::Wake { slot, generation, number } => {
                let is_asked = |node: &Node| node.wake == number && !node.is_frozen();
                if self.node(slot, generation).is_some_and(|node| is_asked(node)) {
                    self.tell(slot, Input::Wake)?;
                }
                Ok(())
            }
            Happening::Arrives { slot, generation, op, call, latencies, sent } => {
                self.arrives(slot, generation, op, call, latencies, sent)
            }
            Happening::Answered { slot, generation, op, result, sent } => {
                self.answered(slot, generation, op, *result, sent)
            }
            Happening::TaskEnds { slot, generation, run, attempt, kind } => {
                self.task_ends(slot, generation, run, attempt, kind)
            }
            Happening::Finished { slot, generation, run, outcome } => match self.node(slot, generation) {
                Some(_) => self.tell(slot, Input::Finished(run, outcome)),
                None => Ok(()),
            },
            Happening::Fault => self.inject_fault(),
            Happening::User => self.user(),
            Happening::StoreIsBack => {
                self.away_until = None;
                Ok(())
            }
            Happening::Thaws { slot, generation } => self.thaws(slot, generation),
            Happening::AddJob { spec } => self.add_job(*spec),
            Happening::SetLimit { key } => self.set_limit(key),
            Happening::Calm => self.calm(),
            Happening::Resume => self.resume_all(),
        }
    }

    fn schedule(&mut self, at: i64, happening: Happening) {
        self.scheduled += 1;
        self.queue.insert((at.max(self.now), self.scheduled), happening);
    }

    fn node(&mut self, slot: usize, generation: u64) -> Option<&mut Node> {
        let is_this = self.generations[slot] == generation;
        self.nodes[slot].as_mut().filter(|_| is_this)
    }

    fn begin(&mut self, slot: usize) -> Result<(), Broken> {
        if self.nodes[slot].is_some() {
            return Ok(());
        }
        self.generations[slot] += 1;
        let id = format!("node-{slot}.{}", self.generations[slot]);
        let skew = match self.parameters.clock {
            scheduler_core::store::Clock::Server => self.chance.pick(&[0, 0, 10 * SECOND, -10 * SECOND, 300 * MS]),
            scheduler_core::store::Clock::Caller => 0,
        };
        let mut node = Node::new(id, self.chance.bits(), self.now, skew, &self.parameters);
        let slots = self.parameters.slots.filter(|_| self.mutant != Mutant::ForgetSlots);
        let opening = node.opening(self.limits.clone(), slots);
        self.nodes[slot] = Some(node);
        for input in opening {
            self.tell(slot, input)?;
        }
        Ok(())
    }

    /// Tells a node's engine something and does what it wants.
    fn tell(&mut self, slot: usize, input: Input) -> Result<(), Broken> {
        self.deliver(slot, Arrival { input, as_if_at: None })
    }

    fn deliver(&mut self, slot: usize, arrival: Arrival) -> Result<(), Broken> {
        let now = self.now;
        let Some(node) = self.nodes[slot].as_mut() else {
            return Ok(());
        };
        if node.is_frozen() {
            node.inbox.push(arrival);
            return Ok(());
        }
        let mut clock = node.clock(now);
        if let Some(earlier) = arrival.as_if_at {
            clock.monotonic = node.clock(earlier).monotonic;
        }
        node.engine.handle(clock, arrival.input);
        let mut effects = Vec::new();
        while let Some(effect) = node.engine.poll_effect() {
            effects.push(effect);
        }
        node.wake += 1;
        let (number, wake) = (node.wake, node.engine.next_wake(clock));
        let is_ended = node.engine.is_ended();
        let generation = self.generations[slot];
        for effect in effects {
            self.say(|_| format!("slot {slot}: {effect:?}"));
            self.does(slot, effect)?;
        }
        if let Some(wake) = wake {
            let after = (wake.after.as_micros() as i64).min(60 * SECOND);
            self.schedule(now + after.max(1), Happening::Wake { slot, generation, number });
        }
        if is_ended {
            self.node_goes(slot, SECOND);
        }
        Ok(())
    }

    fn does(&mut self, slot: usize, effect: Effect) -> Result<(), Broken> {
        match effect {
            Effect::Store(op, _, call) => {
                let node = self.nodes[slot].as_ref().expect("a node that asks is there");
                self.oracle.plans(&node.id, &call)?;
                self.sends(slot, op, call);
                Ok(())
            }
            Effect::Start(start) => self.starts(slot, &start),
            Effect::Cancel(run) => {
                self.cancels(slot, run);
                Ok(())
            }
            Effect::Notify(event) => {
                let node = self.nodes[slot].as_ref().expect("a node that tells is there");
                self.oracle.told(&node.id, &event)
            }
            Effect::Reply(_, Ok(Reply::Run(run))) => self.oracle.promised(run),
            Effect::Reply(call, reply) => {
                self.replied(slot, call, reply);
                Ok(())
            }
        }
    }

    fn starts(&mut self, slot: usize, start: &Start) -> Result<(), Broken> {
        let id = self.nodes[slot].as_ref().expect("a node that starts a run is there").id.clone();
        if self.mutant == Mutant::StartNever && start.attempt == 1 {
            return Ok(());
        }
        self.oracle.starts(utc(self.now), &id, start, self.parameters.slots)?;
        if self.mutant == Mutant::StartTwice {
            self.oracle.starts(utc(self.now), &id, start, self.parameters.slots)?;
        }
        self.attempts += 1;
        let (attempt, generation) = (self.attempts, self.generations[slot]);
        let node = self.nodes[slot].as_mut().expect("it was there just now");
        let executed = Attempt { number: attempt, fence: start.fence, started: self.now, is_told: false };
        node.tasks.entry(start.run).or_default().push(executed);
        let duration = self.parameters.draw_duration(&mut self.chance, self.is_calm);
        let kind = self.chance.between(0, 9);
        self.schedule(self.now + duration, Happening::TaskEnds { slot, generation, run: start.run, attempt, kind });
        Ok(())
    }

    /// Most tasks end soon when they are told to stop; some do not listen.
    fn cancels(&mut self, slot: usize, run: RunId) {
        if self.mutant == Mutant::NeverCancel {
            return;
        }
        let attempts = self.nodes[slot].as_mut().and_then(|node| node.tasks.get_mut(&run)).into_iter().flatten();
        let told = attempts.map(|attempt| {
            attempt.is_told = true;
            attempt.number
        });
        for attempt in told.collect::<Vec<_>>() {
            if self.chance.permille(800) {
                let (at, generation) = (self.now + self.chance.between(0, 200 * MS), self.generations[slot]);
                self.schedule(at, Happening::TaskEnds { slot, generation, run, attempt, kind: -1 });
            }
        }
    }

    fn task_ends(&mut self, slot: usize, generation: u64, run: RunId, attempt: u64, kind: i64) -> Result<(), Broken> {
        let frozen_until = self.node(slot, generation).and_then(|node| node.frozen_until);
        if let Some(until) = frozen_until {
            self.schedule(until, Happening::TaskEnds { slot, generation, run, attempt, kind });
            return Ok(());
        }
        let Some(node) = self.node(slot, generation) else {
            return Ok(());
        };
        let Some(attempts) = node.tasks.get_mut(&run) else {
            return Ok(());
        };
        let Some(index) = attempts.iter().position(|executed| executed.number == attempt) else {
            return Ok(());
        };
        let Attempt { fence, started, is_told, .. } = attempts.remove(index);
        if attempts.is_empty() {
            node.tasks.remove(&run);
        }
        let id = node.id.clone();
        let (was_well, taken) = (node.troubled_at < started, self.now - started);
        let is_overdue = |timeout: Duration| taken > timeout.as_micros() as i64 + MS;
        if !is_told && was_well && self.oracle.timeout(run).is_some_and(is_overdue) {
            return Err(format!("run {run} runs on {id} since {started} us and is not told to stop"));
        }
        self.oracle.stops(&id, run, fence);
        let outcome = if kind < 0 { Outcome::Cancelled } else { outcome(kind) };
        if self.mutant == Mutant::EndsQueue {
            self.schedule(self.now + SECOND, Happening::Finished { slot, generation, run, outcome });
            return Ok(());
        }
        self.tell(slot, Input::Finished(run, outcome))
    }

    /// A node that works, drawn by chance.
    fn any_slot(&mut self) -> Option<usize> {
        let up: Vec<usize> =
            self.nodes.iter().enumerate().filter_map(|(slot, node)| node.as_ref().map(|_| slot)).collect();
        (!up.is_empty()).then(|| self.chance.pick(&up))
    }

    /// Whether all fire times have passed and all runs have ended.
    fn is_done(&self) -> bool {
        self.jobs_left().is_empty() && self.oracle.open_runs().next().is_none()
    }

    /// The jobs that the store still has something to do for.
    fn jobs_left(&self) -> Vec<String> {
        let query = JobQuery { after: None, limit: 10_000 };
        let Some(Ok(StoreReply::Jobs(jobs))) = calls::perform(&*self.store, &StoreCall::Jobs(query)) else {
            return vec!["the store cannot list its jobs".to_owned()];
        };
        let is_left = |listed: &scheduler_core::Listed| match listed {
            scheduler_core::Listed::Job(job) => job.state != scheduler_core::JobState::Kept || job.due.is_some(),
            scheduler_core::Listed::Raw(_) => true,
        };
        jobs.iter().filter(|listed| is_left(listed)).map(|listed| format!("{listed:?}")).collect()
    }

    /// What is over stays known, as it has ended.
    fn are_known(&self) -> Result<(), Broken> {
        for (uid, verdicts) in self.oracle.retained() {
            let query = RunQuery { uid, before: None, limit: usize::MAX };
            let Some(Ok(StoreReply::Runs(runs))) = calls::perform(&*self.store, &StoreCall::Runs(query)) else {
                return Err(format!("the store cannot list the runs of job {uid}"));
            };
            let mut kept: Vec<_> = runs.iter().map(|run| (run.id.seq, run.verdict())).collect();
            kept.reverse();
            if kept != verdicts {
                return Err(format!("job {uid} is over with the runs {verdicts:?}, and the store knows {kept:?}"));
            }
        }
        Ok(())
    }

    fn what_is_left(&self) -> String {
        let runs: Vec<String> = self.oracle.open_runs().map(|run| run.to_string()).collect();
        let jobs = self.jobs_left();
        format!(
            "long after the last fault, {} runs are open ({}), jobs left: {}",
            runs.len(),
            runs.join(", "),
            jobs.join("; ")
        )
    }

    /// Notes what happens, if that is wanted.
    fn say(&mut self, what: impl FnOnce(&Self) -> String) {
        match self.trace {
            Trace::Off => {}
            Trace::Sum => what(self).hash(&mut self.sum),
            Trace::Lines => {
                #[expect(clippy::print_stderr, reason = "it was asked for")]
                {
                    eprintln!("{:>12.6} {}", self.now as f64 / 1e6, what(self));
                }
            }
        }
    }

    fn sends(&mut self, slot: usize, op: OpId, call: StoreCall) {
        self.calls += 1;
        let latencies = Latencies::draw(&mut self.chance, &self.parameters, self.is_calm);
        let (generation, sent) = (self.generations[slot], self.now);
        let timeout = self.parameters.timeout.as_micros() as i64;
        let is_slow = |way: Option<i64>| way.is_none_or(|way| way > self.parameters.lease_micros() / 8);
        if let Some(node) = &mut self.nodes[slot] {
            node.open.insert(op);
            if is_slow(latencies.there) || is_slow(latencies.back) {
                node.troubled_at = node.troubled_at.max(sent + timeout);
                node.is_blameless = false;
            }
        }
        if let Some(there) = latencies.there {
            let arrives = Happening::Arrives { slot, generation, op, call: call.clone(), latencies, sent };
            self.schedule(self.now + there, arrives);
        }
        // A question for changes is kept open for as long as it takes.
        let is_patient = matches!(call, StoreCall::Changed(_)) && latencies.there.is_some() && latencies.back.is_some();
        if !is_patient {
            let result = Box::new(Err(unavailable("no answer in time")));
            self.schedule(self.now + timeout, Happening::Answered { slot, generation, op, result, sent });
        }
    }
}
