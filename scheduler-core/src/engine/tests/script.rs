//! A conversation with one engine: inputs by short calls, effects as short lines.
//!
//! Times are seconds since the beginning, written `+10s`; a run is `job#number`.

mod words;

pub(crate) use words::move_words;

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    Error, JobBody, JobId, JobOptions, JobRow, JobSpec, JobState, NodeId, Now, Outcome, Run, RunId, RunState, Totals,
    Trigger, Uid,
    engine::{
        CallId, Command, Config, Effect, Engine, Input, Mode, OpId, Reply, ShutdownMode, StoreCall, StoreReply, Wake,
    },
    store::{
        Claimed, ClaimedJob, Clock, Durability, Fate, Hold, Inserted, KeyLimits, RecordOutcome, Recorded,
        SettleOutcome, Settled, Stamped, StoreError, StoreErrorKind, StoreLimits, Turn, TurnReply, Updated, Wakes,
    },
    trigger::Interval,
};

/// The lease of the scripts' nodes.
pub(crate) const LEASE: u64 = 15;

pub(crate) struct Script {
    pub(crate) engine: Engine,
    /// Seconds since the beginning, by the node's clock.
    now: f64,
    /// How far the wall clock has been stepped.
    step: f64,
    names: BTreeMap<Uid, JobId>,
    /// Store calls that have not been answered, oldest first.
    open: Vec<(OpId, StoreCall)>,
    lines: Vec<String>,
    last_call: u64,
    pub(crate) last_reply: Option<Result<Reply, Error>>,
}

/// An instant so many seconds after the beginning.
pub(crate) fn at(seconds: f64) -> DateTime<Utc> {
    let start: DateTime<Utc> = "2026-11-21T09:00:00Z".parse().unwrap();
    start + TimeDelta::microseconds((seconds * 1e6).round() as i64)
}

pub(crate) fn every(seconds: u64) -> Trigger {
    Trigger::from(Interval::seconds(seconds).starting_at(at(0.0)))
}

pub(crate) fn limits() -> StoreLimits {
    StoreLimits {
        payload: 1 << 20,
        batch: 100,
        clock: Clock::Caller,
        wakes: Wakes::Never,
        durability: Durability::Durable,
        key_limits: KeyLimits::Kept,
    }
}

/// An active job of the task `work` as a claim hands it out, due at its next fire time.
pub(crate) fn job(uid: u128, id: &str, trigger: Trigger, next: f64) -> ClaimedJob {
    let body = JobBody {
        v: 1,
        name: None,
        task: "work".into(),
        args: serde_json::Value::Null,
        trigger,
        executor: "default".into(),
        options: JobOptions::default(),
        chosen_fire_time: None,
        tags: crate::Tags::default(),
        meta: serde_json::Value::Null,
        pause: None,
        extra: serde_json::Map::new(),
    };
    let job = JobRow {
        uid: Uid(uid),
        id: id.into(),
        body,
        state: JobState::Active,
        next_fire_time: Some(at(next)),
        due: Some(at(next)),
        last_end: None,
        blocked: false,
        revision: 0,
        fence: 1,
        last_seq: 0,
        totals: Totals::default(),
    };
    ClaimedJob { job, running_count: 0, running: Vec::new(), waiting_count: 0, waiting: Vec::new() }
}

/// Adds an open run to a claimed job.
pub(crate) fn with_run(mut claimed: ClaimedJob, seq: u64, fire_time: f64, state: RunState) -> ClaimedJob {
    let run = Run::new(RunId { uid: claimed.job.uid, seq }, at(fire_time), state);
    claimed.job.last_seq = claimed.job.last_seq.max(seq);
    match state {
        RunState::Running => {
            claimed.running_count += 1;
            claimed.running.push(run);
        }
        _ => {
            claimed.waiting_count += 1;
            claimed.waiting.push(run);
        }
    }
    claimed
}

pub(crate) fn unavailable() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "no route to the store")
}

impl Script {
    /// A node with the store `default`, not started.
    pub(crate) fn new() -> Self {
        Self::with_limits(limits())
    }

    pub(crate) fn with_limits(limits: StoreLimits) -> Self {
        let mut script = Self {
            engine: Engine::new(Config::new("node-1", 7)),
            now: 0.0,
            step: 0.0,
            names: BTreeMap::new(),
            open: Vec::new(),
            lines: Vec::new(),
            last_call: 0,
            last_reply: None,
        };
        script.command(Command::AddStore("default".into(), limits));
        script.command(Command::AddExecutor("default".into(), None));
        script.command(Command::AddTasks(vec!["work".into()]));
        script.lines.clear();
        script
    }

    /// A node that runs and has claimed once, without finding anything.
    pub(crate) fn running() -> Self {
        Self::running_with(limits())
    }

    pub(crate) fn running_with(limits: StoreLimits) -> Self {
        let mut script = Self::with_limits(limits);
        script.command(Command::Start(Mode::Running));
        script.claimed([]);
        script.lines.clear();
        script
    }

    /// A node that runs and has claimed once, whose executor takes so many runs at once.
    pub(crate) fn running_with_slots(slots: usize) -> Self {
        let mut script = Self::new();
        script.command(Command::RemoveExecutor("default".into()));
        script.command(Command::AddExecutor("default".into(), NonZeroUsize::new(slots)));
        script.command(Command::Start(Mode::Running));
        script.claimed([]);
        script.lines.clear();
        script
    }

    /// Claims these jobs and settles them; what it takes to get there is forgotten.
    pub(crate) fn take(&mut self, jobs: impl IntoIterator<Item = ClaimedJob>) {
        self.pass(0.01).look();
        self.claimed(jobs);
        self.lines.clear();
        self.applied();
    }

    /// A running node that runs these jobs' due fire times; what was said so far is forgotten.
    pub(crate) fn running_jobs(jobs: impl IntoIterator<Item = ClaimedJob>) -> Self {
        let mut script = Self::running();
        script.pass(0.01);
        script.look();
        script.claimed(jobs);
        script.applied();
        script.lines.clear();
        script
    }

    /// Lets time pass until so many seconds after the beginning, and wakes the engine.
    pub(crate) fn at(&mut self, seconds: f64) -> &mut Self {
        self.now = seconds;
        self.handle(Input::Wake);
        self
    }

    pub(crate) fn handle_wake(&mut self) {
        self.handle(Input::Wake);
    }

    /// Keeps in touch with a store in which another node holds something, whose last lease ends at a time: the claims that
    /// it takes find nothing, and what was said is forgotten.
    pub(crate) fn stay_in_touch(&mut self, until: f64, lapse: f64) {
        self.pass(0.01).look();
        self.claimed_next([], Some(lapse.min(self.now + LEASE as f64)));
        while let Some(wake) = self.next_wake().filter(|wake| self.now + wake.after.as_secs_f64() < until) {
            self.pass(wake.after.as_secs_f64()).handle_wake();
            while self.has_turn() {
                self.claimed_next([], Some(lapse.min(self.now + LEASE as f64)));
            }
        }
        self.now = until;
        self.lines.clear();
    }

    /// Lets time pass without waking the engine.
    pub(crate) fn pass(&mut self, seconds: f64) -> &mut Self {
        self.now += seconds;
        self
    }

    /// Makes the engine claim, as if something had changed.
    pub(crate) fn look(&mut self) {
        self.command(Command::AddTasks(vec![]));
        self.lines.retain(|line| line != "→ reply done");
    }

    /// Steps the wall clock.
    pub(crate) fn step_clock(&mut self, seconds: f64) {
        self.step += seconds;
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.last_call += 1;
        self.handle(Input::Command(CallId(self.last_call), command));
    }

    pub(crate) fn add(&mut self, spec: JobSpec) {
        self.command(Command::AddJobs("default".into(), vec![spec]));
    }

    pub(crate) fn shutdown(&mut self, mode: ShutdownMode) {
        self.command(Command::Shutdown(mode));
    }

    pub(crate) fn finished(&mut self, run: &str, outcome: Outcome) {
        let (name, seq) = run.split_once('#').unwrap();
        let (uid, _) = self.names.iter().find(|(_, id)| id.as_str() == name).unwrap();
        self.handle(Input::Finished(RunId { uid: *uid, seq: seq.parse().unwrap() }, outcome));
    }

    /// The oldest turn is answered: its claim took these jobs, its moves are applied, its reports are done.
    pub(crate) fn claimed(&mut self, jobs: impl IntoIterator<Item = ClaimedJob>) {
        self.claimed_next(jobs, None);
    }

    /// As [`claimed`](Self::claimed), and the next job is due then.
    pub(crate) fn claimed_next(&mut self, jobs: impl IntoIterator<Item = ClaimedJob>, next: Option<f64>) {
        let jobs: Vec<ClaimedJob> = jobs.into_iter().collect();
        self.names.extend(jobs.iter().map(|job| (job.job.uid, job.job.id.clone())));
        let claimed = Claimed { jobs, ..Claimed::nothing(self.utc(), next.map(at)) };
        self.answer_turn(|_, reply| reply.claim = Some(claimed));
    }

    /// The oldest turn is answered: whatever it carries has been done.
    pub(crate) fn applied(&mut self) {
        self.answer_turn(|_, _| {});
    }

    /// The oldest turn is answered with these outcomes of its moves.
    pub(crate) fn settled(&mut self, outcomes: Vec<SettleOutcome>) {
        self.answer_turn(|_, reply| reply.settle.as_mut().unwrap().outcomes = outcomes);
    }

    /// The oldest turn is answered; what it reports is changed first.
    pub(crate) fn recorded(&mut self, change: impl FnOnce(&mut Recorded)) {
        self.answer_turn(|_, reply| change(reply.record.as_mut().unwrap()));
    }

    pub(crate) fn answer_turn(&mut self, change: impl FnOnce(&Turn, &mut TurnReply)) {
        let (op, turn) = self.take_turn();
        let mut reply = reply_to(&turn, self.utc());
        change(&turn, &mut reply);
        self.handle(Input::Stored(op, Ok(StoreReply::Turn(Box::new(reply)))));
    }

    /// The oldest open turn, which is then the test's to answer.
    pub(crate) fn take_turn(&mut self) -> (OpId, Turn) {
        let index = self.open.iter().position(|(_, call)| matches!(call, StoreCall::Turn(_)));
        let (op, call) = self.open.remove(index.expect("a turn is under way"));
        let StoreCall::Turn(turn) = call else { unreachable!() };
        (op, (*turn).clone())
    }

    pub(crate) fn peek_turn(&self) -> (OpId, Turn) {
        let turn = self.open.iter().find_map(|(op, call)| match call {
            StoreCall::Turn(turn) => Some((*op, (**turn).clone())),
            _ => None,
        });
        turn.expect("a turn is under way")
    }

    pub(crate) fn has_turn(&self) -> bool {
        self.open.iter().any(|(_, call)| matches!(call, StoreCall::Turn(_)))
    }

    pub(crate) fn has_call(&self) -> bool {
        self.open_calls() > 0
    }

    /// How many calls are open that are no turns.
    pub(crate) fn open_calls(&self) -> usize {
        self.open.iter().filter(|(_, call)| !matches!(call, StoreCall::Turn(_))).count()
    }

    /// A turn that was taken is answered.
    pub(crate) fn answer(&mut self, op: OpId, reply: TurnReply) {
        self.handle(Input::Stored(op, Ok(StoreReply::Turn(Box::new(reply)))));
    }

    /// The oldest turn fails.
    pub(crate) fn turn_fails(&mut self, error: StoreError) {
        let (op, _) = self.take_turn();
        self.handle(Input::Stored(op, Err(error)));
    }

    /// The oldest call that is no turn is answered.
    pub(crate) fn stored(&mut self, result: Result<StoreReply, StoreError>) {
        let index = self.open.iter().position(|(_, call)| !matches!(call, StoreCall::Turn(_)));
        let (op, _) = self.open.remove(index.expect("a call is under way"));
        self.handle(Input::Stored(op, result));
    }

    /// The oldest insert is answered: all are added.
    pub(crate) fn inserted(&mut self) {
        let index = self.open.iter().position(|(_, call)| matches!(call, StoreCall::Insert(..)));
        let (op, call) = self.open.remove(index.expect("an insert is under way"));
        let StoreCall::Insert(_, rows) = call else { unreachable!() };
        self.names.extend(rows.iter().map(|row| (row.uid, row.id.clone())));
        let value = vec![Inserted::Added; rows.len()];
        self.handle(Input::Stored(op, Ok(StoreReply::Insert(Stamped { now: self.utc(), value }))));
    }

    /// The oldest call that is no turn is answered as an update.
    pub(crate) fn updated(&mut self, updated: Updated) {
        let stamped = Stamped { now: self.utc(), value: updated };
        self.stored(Ok(StoreReply::Update(stamped)));
    }

    /// The answer to a job that is refused without asking a store.
    pub(crate) fn added_at_once(&mut self, spec: JobSpec) -> Result<JobRow, Error> {
        self.add(spec);
        match self.last_reply.take() {
            Some(Ok(Reply::Added(mut results))) => results.remove(0),
            reply => panic!("{reply:?}"),
        }
    }

    /// The error of the last reply.
    pub(crate) fn last_error(&mut self) -> Error {
        match self.last_reply.take() {
            Some(Err(error)) => error,
            Some(Ok(Reply::Added(mut results))) => results.remove(0).expect_err("an error is expected"),
            reply => panic!("an error is expected, not {reply:?}"),
        }
    }

    /// Learns a job's name.
    pub(crate) fn know(&mut self, job: &JobRow) {
        self.names.insert(job.uid, job.id.clone());
    }

    /// What is open that is no turn, the oldest first.
    pub(crate) fn open_call(&self) -> &StoreCall {
        let call = self.open.iter().map(|(_, call)| call).find(|call| !matches!(call, StoreCall::Turn(_)));
        call.expect("a call is under way")
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.engine.handle(self.clock(), input);
        while let Some(effect) = self.engine.poll_effect() {
            if let Effect::Store(op, _, call) = &effect {
                if let StoreCall::Insert(_, rows) = call {
                    self.names.extend(rows.iter().map(|row| (row.uid, row.id.clone())));
                }
                self.open.push((*op, call.clone()));
            }
            if let Effect::Reply(_, reply) = &effect {
                self.last_reply = Some(reply.clone());
            }
            let line = self.line(&effect);
            self.lines.push(line);
        }
    }

    pub(crate) fn clock(&self) -> Now {
        Now { utc: self.utc(), monotonic: Duration::from_secs_f64(self.now) }
    }

    fn utc(&self) -> DateTime<Utc> {
        at(self.now + self.step)
    }

    pub(crate) fn next_wake(&self) -> Option<Wake> {
        self.engine.next_wake(self.clock())
    }

    /// What the engine has wanted since the last look, one effect a line.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) {
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let found = std::mem::take(&mut self.lines);
        assert!(expected == found, "\nexpected:\n  {}\nfound:\n  {}\n", expected.join("\n  "), found.join("\n  "));
    }

    /// The run that has been started since the last look, which has to be one.
    #[track_caller]
    pub(crate) fn started(&mut self) -> String {
        let lines = std::mem::take(&mut self.lines);
        let mut started = lines.iter().filter_map(|line| line.strip_prefix("→ start ")?.split_once(' '));
        let (run, _) = started.next().expect("a run is started");
        assert!(started.next().is_none(), "{lines:?}");
        run.to_owned()
    }

    /// How many effects since the last look have these words.
    pub(crate) fn count(&mut self, words: &str) -> usize {
        std::mem::take(&mut self.lines).iter().filter(|line| line.contains(words)).count()
    }
}

/// A reply by which everything was done.
pub(crate) fn reply_to(turn: &Turn, now: DateTime<Utc>) -> TurnReply {
    TurnReply {
        record: turn.record.as_ref().map(|record| Recorded {
            now,
            outcomes: vec![RecordOutcome::Done; record.entries.len()],
            cancel: Vec::new(),
            hold: Hold::Kept,
            over: Vec::new(),
            next_due: None,
        }),
        settle: turn.settle.as_ref().map(|settle| Settled {
            now,
            outcomes: settle.moves.iter().map(|_| SettleOutcome::Applied { job: Fate::Stays }).collect(),
            next_due: settle.moves.iter().filter_map(|to| to.due).min(),
        }),
        claim: turn.claim.as_ref().map(|_| Claimed::nothing(now, None)),
    }
}

/// The node of the scripts.
pub(crate) fn node() -> NodeId {
    "node-1".into()
}
