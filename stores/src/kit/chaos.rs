//! Nodes that get in each other's way between any two calls of a verb, stall, die half way, and get no answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_lite::future::{block_on, yield_now};
use scheduler_core::{
    BODY_VERSION, JobBody, JobRow, JobState, JobStore, LimitKey, Listed, NodeId, Run, RunId, RunState, Totals, Uid,
    Verdict, Wait,
    store::{
        Adopt, Claim, ClaimedJob, Entry, Hold, JobQuery, Move, Record, RecordOutcome, RunChange, RunQuery, RunReport,
        Settle, SettleOutcome, StoreError,
    },
};
use scheduler_testkit::store::moved;
use serde_json::json;
use test_support::repeats;

use super::{
    Document, KitStore,
    faulty::{Fault, FaultyBackend},
};

const LEASE: Duration = Duration::from_secs(15);
const PERIOD: TimeDelta = TimeDelta::seconds(10);
const FIRE_TIMES: i64 = 20;
const JOBS: u128 = 3;

/// What everybody can see, and what has to hold of it.
#[derive(Debug)]
struct World {
    seed: u64,
    micros: AtomicI64,
    random: AtomicU64,
    seen: Mutex<Seen>,
    /// How many runs of the jobs, which share a key, may be running at once.
    limit: Option<NonZeroU32>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Until when a node may count on its runs, by the answers that it got.
    covered: BTreeMap<NodeId, DateTime<Utc>>,
    /// Who runs a run, as far as it has not said otherwise.
    running: BTreeMap<RunId, NodeId>,
    ended: BTreeSet<RunId>,
    starts: usize,
}

impl World {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.micros.load(Ordering::Relaxed)).unwrap()
    }

    fn pass(&self, time: TimeDelta) {
        self.micros.fetch_add(time.num_microseconds().unwrap(), Ordering::Relaxed);
    }

    /// SplitMix64.
    fn below(&self, n: u64) -> u64 {
        let z = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    fn key(&self) -> Option<LimitKey> {
        self.limit.map(|_| "key".into())
    }

    fn is_one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn covers(&self, node: &NodeId, sent: DateTime<Utc>) {
        let now = self.now();
        let mut seen = self.seen.lock().unwrap();
        let known = seen.covered.insert(node.clone(), sent + LEASE);
        if known.is_some_and(|covered| covered <= now) {
            // What it ran may have been taken over before this lease, which does not bring it back.
            seen.running.retain(|_, owner| owner != node);
        }
    }

    /// No more runs are running than may, as the database has it.
    fn check_limit(&self, backend: &FaultyBackend) {
        let Some(limit) = self.limit else { return };
        let contents = backend.contents.lock().unwrap();
        let runs = contents.documents.values().filter_map(|document| document.fields.get("runs")?.as_array());
        let running = runs.flatten().filter(|run| run["state"] == "running").count();
        assert!(running <= limit.get() as usize, "seed {}: {running} runs are running at {}", self.seed, self.now());
    }

    fn starts(&self, run: RunId, node: &NodeId) {
        let now = self.now();
        let mut seen = self.seen.lock().unwrap();
        assert!(!seen.ended.contains(&run), "seed {}: {node} starts {run}, which has ended", self.seed);
        if let Some(other) = seen.running.insert(run, node.clone()) {
            let covered = seen.covered.get(&other).copied();
            let is_over = covered.is_none_or(|covered| covered <= now);
            assert!(is_over, "seed {}: {node} starts {run}, which {other} runs until {covered:?}, at {now}", self.seed);
        }
        seen.starts += 1;
    }
}

/// Sends a call until it is answered.
async fn repeated<T, F: Future<Output = Result<T, StoreError>>>(call: impl Fn() -> F) -> T {
    loop {
        match call().await {
            Ok(reply) => return reply,
            Err(error) => assert!(error.to_string().contains("fails"), "{error}"),
        }
        yield_now().await;
    }
}

/// A node that never stops.
async fn live(world: Arc<World>, store: KitStore, id: NodeId) {
    let mut running: Vec<(RunId, u64)> = Vec::new();
    for seq in 1.. {
        report(&world, &store, &id, &mut running).await;
        let at = world.now();
        let adopt = if world.is_one_in(3) { Adopt::Nothing } else { Adopt::LapsedBy(at) };
        let claim = claim(&id, at, seq, adopt, 1 + world.below(4) as usize);
        let claimed = repeated(|| store.claim(&claim)).await;
        let sent = world.now();
        let moves: Vec<Move> = claimed.jobs.iter().map(|job| advance(job, claimed.now)).collect();
        let settle = Settle::new(sent, id.clone(), LEASE, moves);
        let settled = repeated(|| store.settle(&settle)).await;
        for (to, outcome) in settle.moves.iter().zip(settled.outcomes) {
            if matches!(outcome, SettleOutcome::Applied { .. }) && world.now() < sent + LEASE {
                world.covers(&id, sent);
                for run in started(to) {
                    world.starts(run, &id);
                    running.push((run, to.fence));
                }
            }
        }
        yield_now().await;
    }
}

/// Ends, puts off and gives back some runs.
async fn report(world: &World, store: &KitStore, id: &NodeId, running: &mut Vec<(RunId, u64)>) {
    let at = world.now();
    let mut entries = Vec::new();
    for (run, fence) in running.iter().copied() {
        let end =
            RunReport::End { verdict: Verdict::Ok, error: None, duration: Duration::from_millis(1), output: None };
        let report = match world.below(8) {
            0..4 => end,
            4 => RunReport::Retry { due: at, error: None },
            5 => RunReport::Release,
            _ => continue,
        };
        if !matches!(report, RunReport::End { .. }) {
            // From here on others may run it, whether or not the answer arrives.
            world.seen.lock().unwrap().running.remove(&run);
        }
        entries.push(Entry::new(run, fence, report).with_limit_key(world.key()));
    }
    running.retain(|(run, _)| entries.iter().all(|entry| entry.run != *run));
    let record = Record::new(at, id.clone(), LEASE, entries);
    let recorded = repeated(|| store.record(&record)).await;
    match recorded.hold {
        Hold::Kept => world.covers(id, at),
        Hold::Lost => running.clear(),
    }
    for (entry, outcome) in record.entries.iter().zip(recorded.outcomes) {
        if outcome == RecordOutcome::Done && matches!(entry.report, RunReport::End { .. }) {
            world.seen.lock().unwrap().ended.insert(entry.run);
        }
    }
}

fn claim(id: &NodeId, at: DateTime<Utc>, seq: u64, adopt: Adopt, limit: usize) -> Claim {
    Claim::new(at, id.clone(), seq, LEASE)
        .with_limit(limit)
        .with_tasks(Arc::new(["task".into()].into()))
        .with_adopt(adopt)
}

/// Moves a job on as the engine would: one run at a time, skipping what is due meanwhile.
fn advance(job: &ClaimedJob, now: DateTime<Utc>) -> Move {
    let mut to = moved(job).with_limit_key(job.job.body.options.limit_key.clone());
    to.next_fire_time = job.job.next_fire_time;
    let mut is_free = job.running_count == 0;
    for run in job.waiting.iter().filter(|run| run.due <= now) {
        if std::mem::take(&mut is_free) {
            let is_same = matches!(run.state, RunState::Waiting(Wait::Released));
            to.runs.push(RunChange::Start { seq: run.id.seq, attempt: run.attempt + u32::from(!is_same) });
        }
    }
    let mut seq = job.job.last_seq;
    while let Some(fire_time) = to.next_fire_time.filter(|next| *next <= now) {
        seq += 1;
        let state = match std::mem::take(&mut is_free) {
            true => RunState::Running,
            false => RunState::Ended(Verdict::Skipped),
        };
        to.runs.push(RunChange::Insert(Run::new(RunId { uid: to.uid, seq }, fire_time, state)));
        to.next_fire_time = (i64::try_from(seq).unwrap() < FIRE_TIMES).then(|| fire_time + PERIOD);
    }
    to.due = to.next_fire_time;
    to.blocked = !job.waiting.is_empty();
    if to.next_fire_time.is_none() {
        let is_kept = job.job.id.as_str().starts_with("kept");
        to.state = if is_kept { JobState::Kept } else { JobState::Ending };
    }
    to
}

fn started(to: &Move) -> impl Iterator<Item = RunId> {
    to.runs.iter().filter_map(|change| match change {
        RunChange::Insert(run) if run.state == RunState::Running => Some(run.id),
        RunChange::Start { seq, .. } => Some(RunId { uid: to.uid, seq: *seq }),
        _ => None,
    })
}

fn job(n: u128, at: DateTime<Utc>, key: Option<LimitKey>) -> JobRow {
    let trigger = json!({ "type": "date", "at": "2026-11-21T09:00:00Z" });
    let mut body: JobBody =
        serde_json::from_value(json!({ "v": BODY_VERSION, "task": "task", "trigger": trigger })).unwrap();
    body.options.limit_key = key;
    JobRow {
        uid: Uid(n + 1),
        id: format!("{} {n}", if n == 0 { "ending" } else { "kept" }).into(),
        body,
        state: JobState::Active,
        next_fire_time: Some(at),
        due: Some(at),
        last_end: None,
        blocked: false,
        revision: 0,
        fence: 0,
        last_seq: 0,
        totals: Totals::default(),
    }
}

type Life = Pin<Box<dyn Future<Output = ()>>>;

/// Lets three nodes live side by side, one step of one of them at a time, and kills one now and then.
fn play(world: &Arc<World>, backend: &FaultyBackend) {
    let mut context = Context::from_waker(Waker::noop());
    let mut born = 0;
    let mut birth = || -> Life {
        born += 1;
        let random = world.clone();
        let faults = move |_| match random.below(40) {
            0 => Fault::Before,
            1 => Fault::After,
            2 => Fault::Again,
            _ => Fault::Nothing,
        };
        let store = KitStore::new(backend.with(faults));
        Box::pin(live(world.clone(), store, format!("node {born}").as_str().into()))
    };
    let mut lives: Vec<Life> = (0..3).map(|_| birth()).collect();
    let start = world.now();
    while world.now() < start + PERIOD * FIRE_TIMES as i32 {
        let at = world.below(3) as usize;
        if world.is_one_in(400) {
            lives[at] = birth();
        }
        assert!(lives[at].as_mut().poll(&mut context).is_pending());
        world.check_limit(backend);
        world.pass(TimeDelta::milliseconds(world.below(80) as i64));
        if world.is_one_in(1_000) {
            world.pass(TimeDelta::seconds(20));
        }
    }
}

/// One more node, for whom nothing goes wrong, ends what is left.
async fn tidy_up(world: &World, store: &KitStore) {
    let id: NodeId = "the last".into();
    for seq in 1.. {
        world.pass(TimeDelta::seconds(20));
        let now = world.now();
        let claimed = store.claim(&claim(&id, now, seq, Adopt::LapsedBy(now), 10)).await.unwrap();
        if claimed.next_due.is_none() && claimed.jobs.is_empty() {
            break;
        }
        assert!(seq < 200, "seed {}: the rest never ends: {claimed:#?}", world.seed);
        let moves: Vec<Move> = claimed.jobs.iter().map(|job| advance(job, now)).collect();
        let settle = Settle::new(now, id.clone(), LEASE, moves);
        let settled = store.settle(&settle).await.unwrap();
        let moves = settle.moves.iter().zip(settled.outcomes);
        let applied = moves.filter(|(_, outcome)| matches!(outcome, SettleOutcome::Applied { .. }));
        let end = RunReport::End { verdict: Verdict::Ok, error: None, duration: Duration::ZERO, output: None };
        let entries = applied.flat_map(|(to, _)| started(to).map(|run| (run, to.fence))).map(|(run, fence)| {
            world.starts(run, &id);
            Entry::new(run, fence, end.clone()).with_limit_key(world.key())
        });
        let record = Record::new(now, id.clone(), LEASE, entries.collect());
        store.record(&record).await.unwrap();
    }
    store.release(world.now(), &id).await.unwrap();
}

#[test]
fn no_run_is_lost_or_doubled_whatever_goes_wrong() {
    let seeds = repeats(15, 50);
    let starts: usize = (0..seeds).map(|seed| survive(seed, None)).sum();
    assert!(starts > 10 * seeds as usize, "{starts} runs are few");
}

#[test]
fn no_more_runs_are_running_under_a_key_than_its_limit_allows_whatever_goes_wrong() {
    let seeds = repeats(10, 25);
    let starts: usize = (0..seeds).map(|seed| survive(seed, NonZeroU32::new(1 + u32::from(seed % 3 == 0)))).sum();
    assert!(starts > 10 * seeds as usize, "{starts} runs are few");
}

/// What a handle remembers of a job may be older than the claim behind a move.
#[test]
fn a_run_has_its_place_also_if_its_job_was_claimed_through_another_handle() {
    let now = DateTime::from_timestamp_micros(1_795_251_600_000_000).unwrap();
    let (key, node): (LimitKey, NodeId) = ("key".into(), "node".into());
    let backend = FaultyBackend::new(|_| Fault::Nothing);
    let (one, other) = (KitStore::new(backend.clone()), KitStore::new(backend));
    block_on(one.set_key_limit(now, &key, NonZeroU32::new(1))).unwrap();
    block_on(one.insert(now, &[job(0, now, Some(key.clone()))])).unwrap();
    let claimed = |store: &KitStore, seq| block_on(store.claim(&claim(&node, now, seq, Adopt::Nothing, 1))).unwrap();
    claimed(&one, 1);
    let to = advance(&claimed(&other, 2).jobs[0], now);

    let settled = block_on(one.settle(&Settle::new(now, node.clone(), LEASE, vec![to]))).unwrap();

    assert!(matches!(settled.outcomes[..], [SettleOutcome::Applied { .. }]), "{settled:?}");
    assert_eq!(block_on(one.key_limits(Some(&key))).unwrap()[0].running, 1);
}

/// Says how many runs have been started.
fn survive(seed: u64, limit: Option<NonZeroU32>) -> usize {
    let random = seed.into();
    let world = World { seed, micros: 1_795_251_600_000_000.into(), random, seen: Mutex::default(), limit };
    let (world, backend) = (Arc::new(world), FaultyBackend::new(|_| Fault::Nothing));
    let store = KitStore::new(backend.clone());
    let start = world.now();
    let jobs: Vec<JobRow> = (0..JOBS).map(|n| job(n, start, world.key())).collect();
    block_on(store.insert(start, &jobs)).unwrap();
    if limit.is_some() {
        block_on(store.set_key_limit(start, &"key".into(), limit)).unwrap();
    }

    play(&world, &backend);
    block_on(tidy_up(&world, &store));

    let seen = world.seen.lock().unwrap();
    let mut live = block_on(store.jobs(&JobQuery { after: None, limit: 10 })).unwrap();
    live.retain(|entry| !entry.id().as_str().starts_with("ending"));
    assert_eq!(live.len(), jobs.len() - 1, "seed {seed}");
    for entry in live {
        let Listed::Job(job) = entry else { panic!("seed {seed}: {entry:?}") };
        let runs = block_on(store.runs(&RunQuery { uid: job.uid, before: None, limit: 100 })).unwrap();
        let fire_times: Vec<DateTime<Utc>> = runs.iter().rev().map(|run| run.fire_time).collect();
        let wanted: Vec<DateTime<Utc>> = (0..FIRE_TIMES).map(|n| start + PERIOD * n as i32).collect();
        assert_eq!(fire_times, wanted, "seed {seed}: {job:#?} {runs:#?}");
        assert!(runs.iter().all(|run| !run.is_open()), "seed {seed}: {runs:#?}");
        assert_eq!(job.totals.sum(), FIRE_TIMES as u64, "seed {seed}");
        let is_ok = |run: &Run| run.verdict() == Some(Verdict::Ok);
        assert!(runs.iter().all(|run| is_ok(run) || !seen.ended.contains(&run.id)), "seed {seed}: {runs:#?}");
    }
    let of_key = block_on(store.key_limits(None)).unwrap();
    assert_eq!(of_key.len(), usize::from(limit.is_some()), "seed {seed}");
    let contents = backend.contents.lock().unwrap();
    let is_job = |document: &&Document| document.fields["task"] == "task";
    assert_eq!(contents.documents.values().filter(is_job).count(), jobs.len() - 1, "seed {seed}");
    assert!(contents.nodes.is_empty(), "seed {seed}: {:?}", contents.nodes);
    assert!(
        contents.archived.keys().all(|(uid, _)| *uid != jobs[0].uid),
        "seed {seed}: archived runs of a job that is gone"
    );
    assert!(seen.starts > 5, "seed {seed}: {} starts", seen.starts);
    seen.starts
}
