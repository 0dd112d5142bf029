//! Jobs in SQLite: the statements alone, without a scheduler, and apalis. The flags and the figures are those of
//! `scheduler-bench store`.
//!
//! ```text
//! statements --peer statements [--n 10000] [--batch 1000] [--sync normal|full] [--dir /tmp]
//! statements --peer apalis     [--n 10000] [--batch 10] [--dir /tmp]
//! ```
//!
//! The statements are a yardstick: an add is an insert; a firing is a share of an indexed read of what is due, and an update,
//! `batch` of them in a transaction. Nothing runs, and nothing is kept of what ran.

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use figures::{Flags, Line, cpu_seconds};

fn main() -> ExitCode {
    match Flags::parse(std::env::args().skip(1)).map_err(Into::into).and_then(|flags| run(&flags)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let peer = flags.text("peer", "statements");
    let file = File::new(Path::new(flags.text("dir", "/tmp")), peer);
    match peer {
        "statements" => statements(flags, &file.0),
        "apalis" => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on(apalis(flags, &file.0)),
        other => Err(format!("--peer {other}: there are statements, apalis").into()),
    }
}

/// A database that goes with this.
struct File(PathBuf);

impl File {
    fn new(folder: &Path, name: &str) -> Self {
        let file = Self(folder.join(format!("compare-{name}-{}.db", std::process::id())));
        file.remove();
        file
    }

    fn remove(&self) {
        for end in ["", "-wal", "-shm", "-journal"] {
            // Most of them are not there.
            drop(std::fs::remove_file(format!("{}{end}", self.0.display())));
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.remove();
    }
}

fn statements(flags: &Flags, file: &Path) -> Result<(), Box<dyn Error>> {
    let (n, batch, sync) =
        (flags.number("n", 10_000), flags.number("batch", 1_000).max(1), flags.text("sync", "normal"));
    let mut database = rusqlite::Connection::open(file)?;
    database.execute_batch(&format!(
        "PRAGMA journal_mode=wal; PRAGMA synchronous={sync};
         CREATE TABLE jobs (id TEXT PRIMARY KEY, due REAL, state BLOB) WITHOUT ROWID;
         CREATE INDEX due ON jobs (due);"
    ))?;
    let state = [7_u8; 600];
    let id = |at: usize| format!("{:032x}", (at as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
    let (began, cpu) = (Instant::now(), cpu_seconds());
    for first in (0..n).step_by(batch) {
        let transaction = database.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO jobs VALUES (?1, ?2, ?3)")?;
            for at in first..(first + batch).min(n) {
                insert.execute((id(at), at as f64, &state))?;
            }
        }
        transaction.commit()?;
    }
    let added = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let mut fired = 0;
    while fired < n {
        let transaction = database.transaction()?;
        {
            let mut due =
                transaction.prepare_cached("SELECT id, due, state FROM jobs WHERE due <= ?1 ORDER BY due LIMIT ?2")?;
            let rows: Vec<(String, f64, Vec<u8>)> = due
                .query_map((n as f64, batch as i64), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            let mut update = transaction.prepare_cached("UPDATE jobs SET due = ?2, state = ?3 WHERE id = ?1")?;
            for (id, due, state) in rows {
                update.execute((id, due + 1e6, state))?;
                fired += 1;
            }
        }
        transaction.commit()?;
    }
    print(flags, ("statements", n, batch), added, began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    Ok(())
}

async fn apalis(flags: &Flags, file: &Path) -> Result<(), Box<dyn Error>> {
    use ::apalis::prelude::*;
    use apalis_sqlite::{Config, SqlitePool, SqliteStorage};
    /// A measurement that has not ended then has failed.
    const GIVE_UP: Duration = Duration::from_secs(120);
    let (n, batch) = (flags.number("n", 10_000), flags.number("batch", 10));
    let pool = SqlitePool::connect(&format!("sqlite://{}?mode=rwc", file.display())).await?;
    SqliteStorage::setup(&pool).await?;
    let config = Config::default().queue("bench").batch_size(batch);
    let mut backend = SqliteStorage::<u64>::new(&pool).with_config(config);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    for at in 0..n as u64 {
        backend.push(at).await?;
    }
    let added = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let done = Arc::new(AtomicU64::new(0));
    let (counter, last) = (Arc::clone(&done), n as u64);
    let worker = WorkerBuilder::new("bench").backend(backend).build(move |_at: u64, worker: WorkerContext| {
        let counter = Arc::clone(&counter);
        async move {
            if counter.fetch_add(1, Relaxed) + 1 == last {
                worker.stop()?;
            }
            Ok::<(), BoxDynError>(())
        }
    });
    tokio::time::timeout(GIVE_UP, worker.run()).await??;
    print(flags, ("apalis", n, batch), added, began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    Ok(())
}

fn print(flags: &Flags, (peer, n, batch): (&str, usize, usize), added: f64, fired: f64, cpu: f64) {
    Line::new("store", peer)
        .text("sync", if peer == "apalis" { "off" } else { flags.text("sync", "normal") })
        .int("n", n)
        .int("batch", batch)
        .num("adds_per_s", n as f64 / added)
        .num("fires_per_s", n as f64 / fired)
        .num("cpu_s", cpu)
        .print();
}
