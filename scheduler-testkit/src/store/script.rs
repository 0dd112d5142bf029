//! The same random calls on two stores: whatever one answers, the other has to answer too.

use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::{
    BODY_VERSION, JobBody, JobId, JobOptions, JobRow, JobState, JobStore, LimitKey, Listed, NodeId, Run, RunId,
    RunOutput, RunState, Totals, Uid, Verdict, Wait,
    store::{
        Adopt, Claim, ClaimedJob, Entry, JobFilter, JobOrder, JobQuery, JobStateKind, KeyLimits, Move, OnClaim, Record,
        Report, RunChange, RunFilter, RunQuery, RunReport, RunStateKind, Settle, Stamped, Turn, TurnReply, Update,
    },
};
use serde_json::{Map, json};

use super::{
    bench::trigger,
    search::{found_jobs, found_runs},
};

/// Sends the same random calls to two stores that go by their callers' clocks, and compares each reply and, now and
/// then, all that they keep. The same seed makes the same calls.
///
/// A store that is known to be right, such as the memory store of `scheduler-stores`, thus is the model of another one.
/// The calls come from several nodes, some of which die, repeat themselves, or act on what they saw a while ago. Limits by key are set,
/// changed and taken away if the second store keeps them.
///
/// # Panics
///
/// At the first difference, with the seed, the step and the call.
pub async fn agree(model: &dyn JobStore, store: &dyn JobStore, seed: u64, steps: usize) {
    let mut script = Script::new(seed, store.limits().key_limits);
    for step in 0..steps {
        let call = script.next();
        let wanted = call.send(model).await;
        let got = call.send(store).await;
        assert_eq!(got, wanted, "seed {seed}, step {step}: {call:#?}");
        script.see(&call, wanted);
        if step % 16 == 0 {
            assert_eq!(
                contents(store, &script).await,
                contents(model, &script).await,
                "seed {seed}, after step {step}"
            );
        }
    }
}

/// A call of any verb.
#[derive(Debug, Clone)]
enum Call {
    Insert(DateTime<Utc>, Vec<JobRow>),
    Update(DateTime<Utc>, Box<Update>),
    Cancel(DateTime<Utc>, JobId, RunId),
    Remove(DateTime<Utc>, Vec<JobId>),
    RemoveAll(DateTime<Utc>),
    Release(DateTime<Utc>, NodeId),
    SetKeyLimit(DateTime<Utc>, LimitKey, Option<NonZeroU32>),
    Turn(Box<Turn>),
}

/// The answer to a call.
#[derive(Debug, PartialEq)]
enum Reply {
    Text(String),
    Turn(Box<TurnReply>),
}

impl Call {
    async fn send(&self, store: &dyn JobStore) -> Reply {
        match self {
            Self::Insert(at, jobs) => Reply::Text(format!("{:#?}", store.insert(*at, jobs).await)),
            Self::Update(at, update) => Reply::Text(format!("{:#?}", store.update(*at, update).await)),
            Self::Cancel(at, id, run) => Reply::Text(format!("{:#?}", store.cancel(*at, id, *run).await)),
            Self::Remove(at, ids) => Reply::Text(format!("{:#?}", store.remove(*at, ids).await)),
            Self::RemoveAll(at) => {
                let mut removed = store.remove_all(*at).await;
                if let Ok(Stamped { value, .. }) = &mut removed {
                    // Which job comes first is the store's affair.
                    value.cancelled.sort_by_key(|cancelled| cancelled.run.id);
                }
                Reply::Text(format!("{removed:#?}"))
            }
            Self::Release(at, owner) => Reply::Text(format!("{:#?}", store.release(*at, owner).await)),
            Self::SetKeyLimit(at, key, limit) => {
                Reply::Text(format!("{:#?}", store.set_key_limit(*at, key, *limit).await))
            }
            Self::Turn(turn) => {
                let mut reply = store.turn(turn).await.expect("a turn is answered");
                if let (Some(recorded), Some(settled)) = (&mut reply.record, &mut reply.settle) {
                    // A job may be due that has waited for a place: which of both says so is the store's affair.
                    settled.next_due = recorded.next_due.take().into_iter().chain(settled.next_due).min();
                }
                Reply::Turn(Box::new(reply))
            }
        }
    }
}

async fn contents(store: &dyn JobStore, script: &Script) -> String {
    let mut text = format!("{:#?}", store.jobs(&JobQuery { after: None, limit: 1_000 }).await);
    for filter in script.filters() {
        for order in [JobOrder::Id, JobOrder::NextFireTime] {
            let found = found_jobs(store, &filter, order, 7).await;
            text += &format!("{filter:?} {order:?}: {:?}", found.iter().map(Listed::id).collect::<Vec<_>>());
        }
        text += &format!("{filter:?}: {:?}", store.count_jobs(&filter).await);
    }
    // What has ended is pruned sooner or later.
    for state in [RunStateKind::Running, RunStateKind::Waiting] {
        text += &format!("{:?}", found_runs(store, &RunFilter::new().state(state), 5).await);
    }
    let nodes = store.nodes().await.expect("the nodes can be asked for");
    let busy = nodes.iter().filter(|node| !node.running.is_empty()).map(|node| (&node.id, &node.running));
    text += &format!("{:?}", busy.collect::<Vec<_>>());
    let mut limits = store.key_limits(None).await.expect("limits can be asked for");
    // Which key comes first is the store's affair.
    limits.sort_by(|one, two| one.key.cmp(&two.key));
    text += &format!("{limits:#?}");
    for key in KEYS {
        text += &format!("{:#?}", store.key_limits(Some(&key.into())).await);
    }
    for uid in &script.uids {
        // As many as every job keeps; what is older is pruned sooner or later.
        let query = RunQuery { uid: *uid, before: None, limit: HISTORY as usize };
        text += &format!("{uid}: {:#?}", store.runs(&query).await);
    }
    text
}

const HISTORY: u32 = 6;
const KEYS: [&str; 2] = ["tenant-42", "o'printer"];
const LEASE: Duration = Duration::from_secs(15);
/// Longer than a script takes: stores may keep what is over for longer, so that they need not agree when it goes.
const RETENTION: Duration = Duration::from_secs(365 * 86_400);

/// What the script remembers of the replies, to base the next calls on.
#[derive(Debug)]
struct Script {
    random: Random,
    key_limits: KeyLimits,
    now: DateTime<Utc>,
    seq: u64,
    uids: Vec<Uid>,
    seen: Vec<JobRow>,
    claimed: Vec<(NodeId, ClaimedJob)>,
    started: Vec<(NodeId, Started)>,
    sent: Vec<Call>,
}

/// A run that a move was to start.
#[derive(Debug, Clone)]
struct Started {
    run: RunId,
    fence: u64,
    limit_key: Option<LimitKey>,
}

impl Script {
    fn new(seed: u64, key_limits: KeyLimits) -> Self {
        Self {
            random: Random(seed),
            key_limits,
            now: DateTime::from_timestamp_micros(1_795_251_600_000_000).expect("a time in November 2026"),
            seq: 0,
            uids: Vec::new(),
            seen: Vec::new(),
            claimed: Vec::new(),
            started: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn next(&mut self) -> Call {
        self.now += TimeDelta::microseconds(match self.random.below(10) {
            0 => 20_000_000,
            n => n as i64 * 333_333,
        });
        if self.random.below(12) == 0 && !self.sent.is_empty() {
            return self.random.pick(&self.sent).clone();
        }
        let call = match self.random.below(40) {
            0..=4 => self.insert(),
            5..=8 => self.update(),
            12..=14 => self.cancel(),
            9 => Call::Remove(self.now, (0..3).map(|_| self.id()).collect()),
            10 => Call::Release(self.now, self.node()),
            11 if self.random.below(8) == 0 => Call::RemoveAll(self.now),
            15..=16 if self.key_limits == KeyLimits::Kept => self.limit(),
            _ => self.turn(),
        };
        self.sent.push(call.clone());
        if self.sent.len() > 8 {
            self.sent.remove(0);
        }
        call
    }

    fn see(&mut self, call: &Call, reply: Reply) {
        match (call, reply) {
            (Call::Insert(_, jobs), _) => {
                self.uids.extend(jobs.iter().map(|job| job.uid));
                self.seen.extend(jobs.iter().cloned());
            }
            (Call::Turn(turn), Reply::Turn(reply)) => {
                if let (Some(claim), Some(reply)) = (&turn.claim, reply.claim) {
                    self.seen.extend(reply.jobs.iter().map(|it| it.job.clone()));
                    self.claimed.extend(reply.jobs.into_iter().map(|it| (claim.owner.clone(), it)));
                }
                if let Some(settle) = &turn.settle {
                    for to in &settle.moves {
                        self.started.extend(started(to).map(|run| (settle.owner.clone(), run)));
                    }
                }
            }
            _ => {}
        }
        self.seen.drain(..self.seen.len().saturating_sub(30));
        self.claimed.drain(..self.claimed.len().saturating_sub(20));
        self.started.drain(..self.started.len().saturating_sub(20));
        self.uids.drain(..self.uids.len().saturating_sub(40));
    }

    fn node(&mut self) -> NodeId {
        (*self.random.pick(&["a", "b", "c"])).into()
    }

    fn id(&mut self) -> JobId {
        (*self.random.pick(&["one", "two", "three", "four", "five", "six", "seven", "o'eight"])).into()
    }

    fn limit_key(&mut self) -> LimitKey {
        (*self.random.pick(&KEYS)).into()
    }

    fn limit(&mut self) -> Call {
        let key = self.limit_key();
        let limit = NonZeroU32::new(self.random.below(4) as u32);
        Call::SetKeyLimit(self.now, key, limit)
    }

    fn time(&mut self) -> Option<DateTime<Utc>> {
        match self.random.below(5) {
            0 => None,
            n => Some(self.now + TimeDelta::microseconds((n as i64 - 2) * 2_500_001)),
        }
    }

    fn state(&mut self) -> JobState {
        match self.random.below(12) {
            0 => JobState::Paused,
            1 => JobState::Kept,
            2 => JobState::Quarantined("its trigger fails".to_owned()),
            _ => JobState::Active,
        }
    }

    fn insert(&mut self) -> Call {
        let jobs = (0..1 + self.random.below(3)).map(|_| self.job()).collect();
        Call::Insert(self.now, jobs)
    }

    fn job(&mut self) -> JobRow {
        let at = self.time();
        JobRow {
            uid: Uid(u128::from(self.random.next()) << 64 | u128::from(self.random.next())),
            id: self.id(),
            body: self.body(),
            state: self.state(),
            next_fire_time: at,
            due: at,
            last_end: None,
            blocked: false,
            revision: 0,
            fence: 0,
            last_seq: 0,
            totals: Totals::default(),
        }
    }

    fn body(&mut self) -> JobBody {
        let mut options = JobOptions::default();
        options.history = HISTORY;
        options.limit_key = (self.random.below(2) == 0).then(|| self.limit_key());
        options.retention = *self.random.pick(&[Duration::ZERO, RETENTION]);
        JobBody {
            v: BODY_VERSION,
            name: None,
            task: (*self.random.pick(&["task", "task", "task", "other"])).into(),
            args: json!({ "n": self.random.below(1_000) }),
            trigger: trigger(self.now),
            executor: "default".into(),
            options,
            chosen_fire_time: None,
            tags: (0..self.random.below(3)).map(|n| format!("tag-{n}")).collect(),
            meta: serde_json::Value::Null,
            pause: None,
            extra: Map::new(),
        }
    }

    /// What is searched for: each of what the bodies have.
    fn filters(&self) -> Vec<JobFilter> {
        let all = JobFilter::new();
        let mut filters = vec![
            all.clone(),
            all.clone().task("other"),
            all.clone().tag("tag-0"),
            all.clone().tag("tag-0").tag("tag-1").task("task"),
            all.clone().id_prefix("job-1").tag("tag-0"),
            all.clone().text("TAG-1"),
        ];
        filters.extend(JobStateKind::ALL.map(|state| all.clone().state(state)));
        filters
    }

    fn update(&mut self) -> Call {
        let Some(job) = self.random.some(&self.seen).cloned() else { return self.insert() };
        let next = self.time();
        let mut runs = Vec::new();
        for n in 1..=self.random.below(3) {
            let id = RunId { uid: job.uid, seq: job.last_seq + n };
            let state = match self.random.below(2) {
                0 => RunState::Waiting(Wait::Requested),
                _ => RunState::Ended(Verdict::Missed),
            };
            runs.push(Run::new(id, self.now, state));
        }
        let update = Update::of(&job)
            .with_body((self.random.below(2) == 0).then(|| self.body()))
            .with_state(self.state())
            .with_next_fire_time(next)
            .with_due(next)
            .with_runs(runs)
            .with_on_claim(if self.random.below(2) == 0 { OnClaim::GiveWay } else { OnClaim::Void });
        Call::Update(self.now, Box::new(update))
    }

    fn cancel(&mut self) -> Call {
        let Some((_, claimed)) = self.random.some(&self.claimed).cloned() else { return self.insert() };
        let id = if self.random.below(8) == 0 { self.id() } else { claimed.job.id };
        // Those that the claim showed, those that came since, and one that never was.
        let seq = self.random.below(claimed.job.last_seq + 3);
        Call::Cancel(self.now, id, RunId { uid: claimed.job.uid, seq })
    }

    fn turn(&mut self) -> Call {
        let owner = self.node();
        Call::Turn(Box::new(Turn {
            record: (self.random.below(2) == 0).then(|| self.record(&owner)),
            settle: (self.random.below(2) == 0).then(|| self.settle(&owner)),
            claim: (self.random.below(2) == 0).then(|| self.claim(&owner)),
        }))
    }

    fn claim(&mut self, owner: &NodeId) -> Claim {
        self.seq += 1;
        let tasks: &[&str] = if self.random.below(4) == 0 { &["task", "other"] } else { &["task"] };
        let seq = if self.random.below(10) == 0 { self.seq / 2 } else { self.seq };
        let ago = TimeDelta::milliseconds(self.random.below(2_000) as i64);
        let recent_since = (self.random.below(4) == 0).then(|| self.now - ago);
        Claim::new(self.now, owner.clone(), seq, LEASE)
            .with_limit(1 + self.random.below(6) as usize)
            .with_recent_since(recent_since)
            .with_tasks(Arc::new(tasks.iter().map(|task| (*task).into()).collect::<BTreeSet<_>>()))
            .with_adopt(match self.random.below(4) {
                0 => Adopt::Nothing,
                1 => Adopt::LapsedBy(self.now - LEASE / 3),
                _ => Adopt::LapsedBy(self.now),
            })
            .with_declined(if self.random.below(3) == 0 { Report::Declined } else { Report::Nothing })
    }

    fn settle(&mut self, owner: &NodeId) -> Settle {
        let mut moves: Vec<Move> = Vec::new();
        for _ in 0..self.random.below(5) {
            let Some((node, claimed)) = self.random.some(&self.claimed).cloned() else { break };
            let is_own = node == *owner || self.random.below(6) == 0;
            if is_own && moves.iter().all(|to| to.uid != claimed.job.uid) {
                moves.push(self.moved(&claimed));
            }
        }
        Settle::new(self.now, owner.clone(), LEASE, moves)
    }

    fn moved(&mut self, claimed: &ClaimedJob) -> Move {
        let next = self.time();
        let mut runs = Vec::new();
        for waiting in &claimed.waiting {
            let seq = waiting.id.seq;
            match self.random.below(4) {
                0 => runs.push(RunChange::Start { seq, attempt: waiting.attempt + 1 }),
                1 => runs.push(RunChange::End { seq, verdict: Verdict::Lost, error: Some("no node".to_owned()) }),
                _ => {}
            }
        }
        for running in &claimed.running {
            if self.random.below(4) == 0 {
                runs.push(RunChange::Cancel { seq: running.id.seq });
            }
        }
        for n in 1..=self.random.below(4) {
            let id = RunId { uid: claimed.job.uid, seq: claimed.job.last_seq + n };
            let state = match self.random.below(5) {
                0 => RunState::Waiting(Wait::Queued),
                1 => RunState::Ended(Verdict::Skipped),
                _ => RunState::Running,
            };
            let mut run = Run::new(id, self.now, state);
            run.count = (self.random.below(4) == 0).then_some(n * 10);
            runs.push(RunChange::Insert(run));
        }
        let state = if self.random.below(4) == 0 { JobState::Ending } else { self.state() };
        let limit_key = claimed.job.body.options.limit_key.clone();
        let to = Move::of(&claimed.job).with_state(state).with_next_fire_time(next).with_due(next).with_runs(runs);
        let mut to = to.with_limit_key(limit_key);
        to.blocked = self.random.below(3) == 0;
        to
    }

    fn record(&mut self, owner: &NodeId) -> Record {
        let mut entries: Vec<Entry> = Vec::new();
        for _ in 0..self.random.below(6) {
            let Some((node, Started { run, fence, limit_key })) = self.random.some(&self.started).cloned() else {
                break;
            };
            if node == *owner || self.random.below(6) == 0 {
                entries.push(Entry::new(run, fence, self.report()).with_limit_key(limit_key));
            }
        }
        Record::new(self.now, owner.clone(), LEASE, entries)
    }

    fn report(&mut self) -> RunReport {
        match self.random.below(6) {
            0 => RunReport::Retry { due: self.now + TimeDelta::seconds(3), error: Some("no paper".to_owned()) },
            1 => RunReport::Release,
            2 => RunReport::End {
                verdict: Verdict::Error,
                error: Some("ü\"'".to_owned()),
                duration: LEASE,
                output: None,
            },
            _ => {
                let output = (self.random.below(2) == 0).then(|| RunOutput::Json("[1,\"ü\"]".to_owned()));
                RunReport::End { verdict: Verdict::Ok, error: None, duration: Duration::from_micros(7), output }
            }
        }
    }
}

/// The runs that a move starts.
fn started(to: &Move) -> impl Iterator<Item = Started> {
    let limit_key = &to.limit_key;
    to.starts().map(|seq| Started { run: RunId { uid: to.uid, seq }, fence: to.fence, limit_key: limit_key.clone() })
}

/// SplitMix64: all that is asked of it is that a seed repeats itself.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    fn some<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        (!items.is_empty()).then(|| self.pick(items))
    }
}
