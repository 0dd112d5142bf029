//! Jobs on a store, from due to ended, on one or several nodes.
//!
//! The jobs are intervals of a day that are all due at once, as in the peers' programs; or spread over some seconds. A run
//! counts when the store has confirmed its end and the scheduler has told it. The nodes are schedulers in this process,
//! each with a store and connections of its own.

use apscheduler::{
    Builder, Event, EventKind, EventMask, JobSpec, JobStore, RunContext, Scheduler, ShutdownMode, TokioRuntime,
    config::StoreConfig,
    stores::{KnownStore, STORES, StorePlace, Synchronous},
    trigger::Interval,
};
use chrono::{DateTime, TimeDelta, Utc};
use figures::{Flags, Line, cpu_seconds, quantile};
use std::{
    error::Error,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// A measurement in which nothing ends for so long has failed. Under valgrind, on a busy machine, a minute may be too short.
const GIVE_UP: Duration = Duration::from_secs(300);

/// What one measurement does.
struct Work {
    address: StoreAddress,
    /// How many jobs.
    n: usize,
    /// How many schedulers share the store.
    nodes: usize,
    /// Over how many seconds the fire times are spread; 0 for all at once.
    spread: usize,
    /// In how many seconds the first one is due, so that all have been added by then.
    lead: usize,
    /// How many more jobs lie in the store and are not due.
    idle: usize,
}

pub(crate) fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let work = Work {
        address: StoreAddress::new(flags)?,
        n: flags.number("n", 10_000),
        nodes: flags.number("nodes", 1).max(1),
        spread: flags.number("spread", 0),
        lead: flags.number("lead", 0),
        idle: flags.number("idle", 0),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(work.measure())
}

impl Work {
    #[expect(clippy::disallowed_methods, reason = "it is what is measured")]
    async fn measure(&self) -> Result<(), Box<dyn Error>> {
        let address = &self.address;
        let late: Arc<Mutex<Vec<f64>>> = Arc::default();
        let began_at: Arc<OnceLock<DateTime<Utc>>> = Arc::default();
        let (ended, mut ends) = mpsc::unbounded_channel();
        let mut nodes = Vec::new();
        for _ in 0..self.nodes {
            let (late, began_at, ended) = (Arc::clone(&late), Arc::clone(&began_at), ended.clone());
            let task = move |context: RunContext| {
                // What was due before the start could not begin earlier.
                let due = began_at.get().map_or(context.fire_time, |start| context.fire_time.max(*start));
                let micros = (Utc::now() - due).num_microseconds().unwrap_or(i64::MAX);
                late.lock().expect("nothing panics while it holds the list").push(micros as f64 / 1_000.0);
                async {}
            };
            let tell = move |event: &Event| {
                if matches!(event.kind, EventKind::RunExecuted { .. }) {
                    ended.send(()).expect("the receiver outlives the schedulers");
                }
            };
            let builder = Scheduler::builder(TokioRuntime::current()).task("tick", task);
            nodes.push(address.join(builder).await?.listener(EventMask::ALL, tell).build()?);
        }

        self.add(&nodes[0], "idle", self.idle, |_| Utc::now() + TimeDelta::days(365)).await?;
        let cpu = cpu_seconds();
        let began = Instant::now();
        let base = Utc::now() + TimeDelta::seconds(self.lead as i64);
        let step = (self.spread as i64 * 1_000_000) / self.n.max(1) as i64;
        self.add(&nodes[0], "job", self.n, |at| base + TimeDelta::microseconds(step * at as i64)).await?;
        let added = began.elapsed();
        let start = Instant::now();
        began_at.set(Utc::now()).expect("it is set once");
        for node in &nodes {
            node.start().await?;
        }
        for _ in 0..self.n {
            tokio::time::timeout(GIVE_UP, ends.recv()).await?;
        }
        let took = start.elapsed();
        let cpu = cpu_seconds() - cpu;
        for node in &nodes {
            node.shutdown(ShutdownMode::Wait).await?;
        }
        let mut late = std::mem::take(&mut *late.lock().expect("nothing panics while it holds the list"));
        Line::new("store", "ours")
            .text("store", address.known.name)
            .int("n", self.n)
            .int("nodes", self.nodes)
            .int("idle", self.idle)
            .int("spread_s", self.spread)
            .text("sync", address.sync_name())
            .int("runs", late.len())
            .num("adds_per_s", self.n as f64 / added.as_secs_f64())
            .num("fires_per_s", self.n as f64 / took.as_secs_f64())
            .num("late_ms_p50", quantile(&mut late, 0.5))
            .num("late_ms_p99", quantile(&mut late, 0.99))
            .num("late_ms_max", quantile(&mut late, 1.0))
            .num("cpu_s", cpu)
            .print();
        Ok(())
    }

    async fn add(
        &self,
        scheduler: &Scheduler,
        name: &str,
        count: usize,
        due: impl Fn(usize) -> DateTime<Utc>,
    ) -> Result<(), Box<dyn Error>> {
        for first in (0..count).step_by(1_000) {
            let specs = (first..(first + 1_000).min(count)).map(|at| {
                let spec = JobSpec::new("tick", Interval::days(1)).id(format!("{name}-{at:08}"));
                spec.first_fire_time(due(at))
            });
            for added in scheduler.add_jobs(specs.collect()).await {
                added?;
            }
        }
        Ok(())
    }
}

/// Where the jobs of one measurement are, and nothing else.
pub(crate) struct StoreAddress {
    known: &'static KnownStore,
    url: String,
    prefix: String,
    /// When SQLite's transactions count as written.
    sync: Synchronous,
    /// Of a file; it goes with this.
    _folder: Option<tempfile::TempDir>,
}

impl StoreAddress {
    /// Of the store `--store`: at `--url`, or where its variable says; a file is in `--dir`.
    pub(crate) fn new(flags: &Flags) -> Result<Self, Box<dyn Error>> {
        Self::or(flags, "sqlite")
    }

    /// Of the store `--store`, which is memory unless it is named.
    pub(crate) fn or_memory(flags: &Flags) -> Result<Self, Box<dyn Error>> {
        Self::or(flags, "memory")
    }

    fn or(flags: &Flags, default: &str) -> Result<Self, Box<dyn Error>> {
        let prefix = format!("bench{}_{}_", std::process::id(), Utc::now().timestamp_millis());
        let sync = match flags.text("sync", "full") {
            "full" => Synchronous::Full,
            "normal" => Synchronous::Normal,
            other => return Err(format!("--sync {other}: it is `full` or `normal`").into()),
        };
        let store = flags.text("store", default);
        let names = || STORES.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
        let known = STORES.iter().find(|known| known.name == store);
        let known = known.ok_or_else(|| format!("--store {store}: there are {}", names()))?;
        let (url, folder) = match (flags.text("url", ""), known.place) {
            ("", StorePlace::Process) => (String::new(), None),
            ("", StorePlace::File) => {
                let folder = tempfile::TempDir::new_in(flags.text("dir", "/tmp"))?;
                (format!("sqlite://{}/jobs.db", folder.path().display()), Some(folder))
            }
            ("", _) => {
                let variable = format!("SCHEDULER_TEST_{}", store.to_uppercase());
                let url = std::env::var(&variable);
                (url.map_err(|_| format!("--store {store} needs --url, or {variable}"))?, None)
            }
            (url, _) => (url.to_owned(), None),
        };
        Ok(Self { known, url, prefix, sync, _folder: folder })
    }

    /// A store of its own on the same jobs; none for memory, which each scheduler has.
    pub(crate) async fn open(&self) -> Result<Option<Arc<dyn JobStore>>, Box<dyn Error>> {
        if self.known.place == StorePlace::Process {
            return Ok(None);
        }
        let mut config = StoreConfig::new(self.url.parse()?);
        // The names of ZooKeeper are paths.
        let root = if self.known.name == "zookeeper" { "/" } else { "" };
        config.prefix = Some(format!("{root}{}", self.prefix));
        if self.known.place == StorePlace::File {
            config.synchronous = Some(self.sync);
        }
        Ok(Some(config.connect().await?))
    }

    /// Gives a scheduler a store of its own on the same jobs.
    pub(crate) async fn join(&self, builder: Builder) -> Result<Builder, Box<dyn Error>> {
        Ok(match self.open().await? {
            Some(store) => builder.store("default", store),
            None => builder,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.known.name
    }

    fn sync_name(&self) -> &'static str {
        if self.sync == Synchronous::Full { "full" } else { "normal" }
    }
}
