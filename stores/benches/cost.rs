//! What jobs cost: bytes and time in memory, runs a second in memory, in a file and on a server.
//!
//! `cargo bench -p scheduler-stores --features sqlite,postgres,mysql,redis --bench cost`; the servers are those that
//! `SCHEDULER_TEST_POSTGRES`, `SCHEDULER_TEST_MYSQL` and `SCHEDULER_TEST_REDIS` name.
#![allow(clippy::print_stdout, reason = "it is what the bench is for")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_lite::future::block_on;
use scheduler_core::{
    BODY_VERSION, JobBody, JobOptions, JobRow, JobState, JobStore, Run, RunId, RunState, TaskName, Totals, Trigger,
    Uid, Verdict,
    store::{Adopt, Claim, Claimed, Entry, Move, Record, RunChange, RunReport, Settle, Turn},
};
use scheduler_stores::MemoryStore;
use serde_json::{Map, Value};

const LEASE: Duration = Duration::from_secs(15);

fn main() {
    block_on(async {
        memory(1_000_000).await;
        println!("memory: {}", runs(&MemoryStore::new(), 100_000, 1_000).await);
        #[cfg(feature = "sqlite")]
        sqlite().await;
        #[cfg(feature = "postgres")]
        server("postgres", async |url, prefix| {
            let options = scheduler_stores::PostgresOptions::new().table_prefix(prefix).expect("a prefix of letters");
            options.connect(url).await.expect("the server is there")
        })
        .await;
        #[cfg(feature = "mysql")]
        server("mysql", async |url, prefix| {
            let options = scheduler_stores::MySqlOptions::new().table_prefix(prefix).expect("a prefix of letters");
            options.connect(url).await.expect("the server is there")
        })
        .await;
        #[cfg(feature = "redis")]
        server("redis", async |url, prefix| {
            let options = scheduler_stores::RedisOptions::new().key_prefix(prefix).expect("a prefix of letters");
            options.connect(url).await.expect("the server is there")
        })
        .await;
    });
}

async fn memory(count: u64) {
    let before = resident();
    let rows = jobs(count, start() + TimeDelta::hours(1), 3_600);
    let store = MemoryStore::new();
    let (began, cpu) = (now(), cpu());
    store.insert(start(), &rows).await.expect("the jobs are sound");
    let (took, cpu) = (began.elapsed(), self::cpu() - cpu);
    drop(rows);
    // What is left are the store's own jobs, with the names that they shared with the given rows.
    let bytes = resident().saturating_sub(before) / count as usize;
    println!("memory: {count} jobs in {took:.2?} ({cpu:.2?} of it computing), {bytes} bytes each");
}

#[cfg(feature = "sqlite")]
async fn sqlite() {
    use scheduler_stores::{SqliteOptions, Synchronous};

    for (idle, synchronous) in [(0, Synchronous::Full), (100_000, Synchronous::Full), (0, Synchronous::Normal)] {
        let folder = tempfile::TempDir::new().expect("a folder for the file");
        let url = format!("sqlite://{}/jobs.db", folder.path().display());
        let store = SqliteOptions::new().synchronous(synchronous).connect(&url).await.expect("a new file");
        let began = now();
        for rows in jobs(idle, start() + TimeDelta::hours(1), 3_600).chunks(1_000) {
            store.insert(start(), rows).await.expect("the jobs are sound");
        }
        if idle > 0 {
            println!("sqlite: {idle} jobs in {:.2?}", began.elapsed());
        }
        let runs = runs(&store, 20_000, 1_000).await;
        println!("sqlite: {runs}, {synchronous:?}, beside {idle} idle jobs");
    }
}

/// Nodes that share a server, with turns of a second and of ten milliseconds.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis"))]
async fn server<S: JobStore>(name: &str, open: impl AsyncFn(&str, &str) -> S) {
    let variable = format!("SCHEDULER_TEST_{}", name.to_uppercase());
    let Ok(url) = std::env::var(&variable) else {
        return println!("{name}: {variable} names no server");
    };
    for (nodes, tick) in [(1, 1_000), (4, 1_000), (1, 10), (4, 10)] {
        let prefix = format!("cost{}_{nodes}_{tick}_", std::process::id());
        let mut stores = Vec::new();
        for _ in 0..nodes {
            stores.push(open(&url, &prefix).await);
        }
        let total = 20 * (tick + 1_000);
        let began = now();
        fill(&stores[0], total).await;
        println!("{name}: {total} jobs in {:.2?}", began.elapsed());
        let (began, cpu) = (now(), cpu());
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for (n, store) in stores.iter().enumerate() {
                let done = &done;
                scope.spawn(move || block_on(drain(store, &format!("node-{n}"), total, tick, done)));
            }
        });
        println!("{name}: {}, {nodes} nodes, up to {tick} a turn", rate(total, began, cpu));
        stores[0].remove_all(start()).await.expect("the jobs are there");
    }
}

/// Runs jobs that are all due, as one node.
async fn runs(store: &dyn JobStore, runs: usize, tick: usize) -> String {
    fill(store, runs).await;
    let (began, cpu) = (now(), cpu());
    drain(store, "node", runs, tick, &AtomicUsize::new(0)).await;
    rate(runs, began, cpu)
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

fn rate(runs: usize, began: Instant, cpu_before: Duration) -> String {
    let rate = runs as f64 / began.elapsed().as_secs_f64();
    format!("{rate:.0} runs a second, computing {:.2?} a run", (cpu() - cpu_before) / runs as u32)
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
        let report = RunReport::End { verdict: Verdict::Ok, error: None, duration: Duration::from_millis(1) };
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
        trigger: Trigger::from(scheduler_core::trigger::Date::at(first)),
        executor: "default".into(),
        options: JobOptions::default(),
        chosen_fire_time: None,
        tags: scheduler_core::Tags::default(),
        meta: Value::Null,
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

/// The bytes of memory that the process has.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("a Linux system");
    let pages = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second field is a number") * 4_096
}

/// The time that the process has computed.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a Linux system");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

#[expect(clippy::disallowed_methods, reason = "an example that measures has to read the clock")]
fn now() -> Instant {
    Instant::now()
}
