//! What jobs cost a store alone, without schedulers: bytes and time in memory, runs a second of one and of several nodes.

use std::{
    collections::BTreeSet,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use apscheduler::{
    BODY_VERSION, JobBody, JobOptions, JobRow, JobState, JobStore, Run, RunId, RunState, TaskName, Totals, Trigger,
    Uid, Verdict,
    store::{Adopt, Claim, Claimed, Entry, Move, Record, RunChange, RunReport, Settle, Turn},
    stores::MemoryStore,
};
use chrono::{DateTime, TimeDelta, Utc};
use figures::{Flags, Line, cpu_seconds, resident_bytes};
use serde_json::{Map, Value};

use crate::store::StoreAddress;

const LEASE: Duration = Duration::from_secs(15);

/// `--idle` jobs lie in the store; `--n` are due at once, and `--nodes` run them, each up to `--tick` a turn.
pub(crate) fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (n, nodes, tick) = (flags.number("n", 20_000), flags.number("nodes", 1).max(1), flags.number("tick", 1_000));
    let (name, idle) = (flags.text("store", "memory"), flags.number("idle", 0));
    if name == "memory" {
        runtime.block_on(size(flags.number("far", 1_000_000)))?;
    }
    let address = StoreAddress::new(flags)?;
    let memory: Arc<dyn JobStore> = Arc::new(MemoryStore::new());
    let mut stores = Vec::new();
    for _ in 0..nodes {
        let opened = runtime.block_on(address.open())?;
        stores.push(opened.unwrap_or_else(|| Arc::clone(&memory)));
    }
    let began = now();
    for rows in jobs(idle as u64, start() + TimeDelta::hours(1), 3_600).chunks(1_000) {
        runtime.block_on(stores[0].insert(start(), rows))?;
    }
    runtime.block_on(fill(&*stores[0], n));
    let inserts = (n + idle) as f64 / began.elapsed().as_secs_f64();
    let (began, cpu, done) = (now(), cpu_seconds(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for (at, store) in stores.iter().enumerate() {
            let (done, runtime) = (&done, &runtime);
            scope.spawn(move || runtime.block_on(drain(&**store, &format!("node-{at}"), n, tick, done)));
        }
    });
    let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    runtime.block_on(stores[0].remove_all(start()))?;
    Line::new("cost", "ours")
        .text("store", name)
        .int("n", n)
        .int("nodes", nodes)
        .int("tick", tick)
        .int("idle", idle)
        .num("inserts_per_s", inserts)
        .num("runs_per_s", n as f64 / took)
        .num("cpu_us_per_run", cpu * 1e6 / n as f64)
        .print();
    Ok(())
}

/// The bytes and the time of jobs in memory that are not due.
async fn size(count: usize) -> Result<(), Box<dyn Error>> {
    let before = resident_bytes()?;
    let rows = jobs(count as u64, start() + TimeDelta::hours(1), 3_600);
    let store = MemoryStore::new();
    let (began, cpu) = (now(), cpu_seconds());
    store.insert(start(), &rows).await.expect("the jobs are sound");
    let (took, cpu) = (began.elapsed(), cpu_seconds() - cpu);
    drop(rows);
    // What is left are the store's own jobs, with the names that they shared with the given rows.
    let bytes = resident_bytes()?.saturating_sub(before) / count.max(1);
    Line::new("cost", "ours")
        .text("store", "memory")
        .int("far", count)
        .num("adds_per_s", count as f64 / took.as_secs_f64())
        .num("cpu_s", cpu)
        .int("bytes_per_job", bytes)
        .print();
    Ok(())
}

async fn fill(store: &dyn JobStore, runs: usize) {
    for rows in jobs(runs as u64 + 1_000_000, start(), 1)[1_000_000..].chunks(1_000) {
        store.insert(start(), rows).await.expect("the jobs are sound");
    }
}

/// One turn a tick: it reports the ends of the last tick, settles its claim and claims again.
async fn drain(store: &dyn JobStore, node: &str, runs: usize, tick: usize, done: &AtomicUsize) {
    let mut turn = Turn::default();
    let mut seq = 0;
    while done.load(Ordering::Relaxed) < runs {
        seq += 1;
        turn.claim = Some(claim(node, seq, tick));
        let reply = store.turn(&turn).await.expect("a turn is answered");
        let claimed = reply.claim.expect("it was asked for");
        done.fetch_add(turn.record.as_ref().map_or(0, |record| record.entries.len()), Ordering::Relaxed);
        turn.record = turn.settle.take().map(|settle| ends(&settle));
        turn.settle = Some(moves(node, &claimed));
    }
}

fn claim(node: &str, seq: u64, limit: usize) -> Claim {
    Claim::new(start(), node.into(), seq, LEASE)
        .with_limit(limit)
        .with_tasks(Arc::new(BTreeSet::from([TaskName::from("task")])))
        .with_adopt(Adopt::LapsedBy(DateTime::<Utc>::MAX_UTC))
}

fn moves(node: &str, claimed: &Claimed) -> Settle {
    let moves = claimed.jobs.iter().map(|it| {
        let next = it.job.next_fire_time.map(|at| at + TimeDelta::days(36_500));
        let run = Run::new(RunId { uid: it.job.uid, seq: it.job.last_seq + 1 }, start(), RunState::Running);
        Move::of(&it.job).with_next_fire_time(next).with_due(next).with_runs(vec![RunChange::Insert(run)])
    });
    Settle::new(start(), node.into(), LEASE, moves.collect())
}

fn ends(settle: &Settle) -> Record {
    let entries = settle.moves.iter().map(|to| {
        let RunChange::Insert(run) = &to.runs[0] else { unreachable!("each move inserts its run") };
        let report =
            RunReport::End { verdict: Verdict::Ok, error: None, duration: Duration::from_millis(1), output: None };
        Entry::new(run.id, to.fence, report)
    });
    Record::new(start(), settle.owner.clone(), LEASE, entries.collect())
}

fn jobs(count: u64, first: DateTime<Utc>, spread: i64) -> Vec<JobRow> {
    let body = JobBody {
        v: BODY_VERSION,
        name: None,
        task: "task".into(),
        args: Value::Null,
        trigger: Trigger::from(apscheduler::trigger::Date::at(first)),
        executor: "default".into(),
        options: JobOptions::default(),
        tags: apscheduler::Tags::default(),
        meta: Value::Null,
        chosen_fire_time: None,
        pause: None,
        extra: Map::new(),
    };
    let row = |n: u64| {
        let at = first + TimeDelta::microseconds(n as i64 * 7 % (spread * 1_000_000));
        JobRow {
            uid: Uid(u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 64 | u128::from(n)),
            id: format!("job-{n}").into(),
            body: body.clone(),
            state: JobState::Active,
            next_fire_time: Some(at),
            due: Some(if spread == 1 { first } else { at }),
            last_end: None,
            blocked: false,
            revision: 0,
            fence: 0,
            last_seq: 0,
            totals: Totals::default(),
        }
    };
    (0..count).map(row).collect()
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_795_251_600_000_000).expect("a time in November 2026")
}

#[expect(clippy::disallowed_methods, reason = "an example that measures has to read the clock")]
fn now() -> Instant {
    Instant::now()
}
