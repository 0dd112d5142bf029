//! Processes that are killed, stopped and started again on one SQLite file.
//!
//! The children are this test binary itself, which runs the test `child` with a [`Part`] in its environment.
#![cfg(all(unix, feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;
mod log;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use apscheduler::{Job, RunState, Scheduler, TokioRuntime, Verdict, stores::SqliteStore};
use chrono::TimeDelta;
use rustix::process::Signal;
use sqlx::Connection;

use self::{
    child::{Child, Part},
    log::{Line, Log},
};

/// What a child does when it is asked to; nothing in a run of the tests.
#[test]
#[ignore = "it is what the other tests run in processes of their own"]
fn child() {
    child::run();
}

#[test]
fn after_crashes_no_job_is_missing_and_every_fire_time_is_accounted_for() {
    const CRASHES: usize = 32;
    let stage = Stage::new();
    let mut random = Random(0x5eed_0001);
    for _ in 0..CRASHES {
        let child = stage.start(Part::Work, Duration::from_millis(300));
        // Sometimes before it has opened the file, sometimes after it has taken over what the last one left.
        let life = Duration::from_millis(random.below(800));
        wait_a_random_while(life);
        child.signal(Signal::KILL);
    }
    stage.start(Part::Finish, Duration::from_millis(300)).wait();

    let lines = stage.log.read();
    let books = stage.books();
    assert_eq!(books.integrity, "ok");
    assert_eq!(books.one_shots, 0);
    let ids: Vec<_> = books.jobs.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, ["at-most-once", "each-in-order", "latest"]);
    for (job, runs) in books.jobs.iter().zip(&books.runs) {
        assert_tiles(job, runs);
    }
    assert_no_attempt_twice(&lines);
    for line in lines.iter().filter(|line| line.what == "start" && !line.job.starts_with("once-")) {
        let runs = books.of(&line.job);
        let run = runs.get(&line.seq).unwrap_or_else(|| panic!("{line:?} has no row"));
        assert_eq!(run.fire_time.timestamp_micros(), line.fire_time, "{line:?}");
    }
    for line in lines.iter().filter(|line| line.what == "start" && line.job == "at-most-once") {
        assert_eq!(line.attempt, 1, "{line:?}");
    }
    // Each one-shot whose adding was confirmed has run.
    let started: BTreeSet<_> = lines.iter().filter(|line| line.what == "start").map(|line| &*line.job).collect();
    let added: Vec<_> = lines.iter().filter(|line| line.what == "added").collect();
    for line in &added {
        assert!(started.contains(&*line.job), "{line:?} never ran");
    }
    // The crashes were such that there was something to lose.
    assert!(added.len() > CRASHES, "{} one-shots", added.len());
    assert!(lines.iter().any(|line| line.attempt > 1), "nothing was taken over");
}

#[test]
fn two_processes_on_one_file_never_run_a_fire_time_twice() {
    let stage = Stage::new();
    let lease = Duration::from_secs(15);
    let children = [stage.start(Part::Work, lease), stage.start(Part::Work, lease)];

    stage.log.wait_for("both processes have run jobs", |lines| {
        let starts = lines.iter().filter(|line| line.what == "start");
        children.iter().all(|child| starts.clone().filter(|line| line.pid == child.id()).count() >= 30)
    });
    for child in children {
        child.release_and_end();
    }

    let lines = stage.log.read();
    assert_no_attempt_twice(&lines);
    let mut fire_times = BTreeSet::new();
    for line in lines.iter().filter(|line| line.what == "start") {
        assert_eq!(line.attempt, 1, "{line:?}");
        assert!(fire_times.insert((&line.job, line.fire_time)), "{line:?} was run twice");
    }
    let books = stage.books();
    assert_eq!(books.integrity, "ok");
    for (job, runs) in books.jobs.iter().zip(&books.runs) {
        assert_tiles(job, runs);
        let ran = runs.iter().filter(|run| run.verdict() == Some(Verdict::Ok)).count();
        let started = lines.iter().filter(|line| line.what == "start" && job.id == *line.job).count();
        assert_eq!(ran, started, "job {}", job.id);
    }
}

#[test]
fn a_process_that_was_stopped_past_its_lease_cannot_record_what_was_taken_over() {
    let stage = Stage::new();
    let lease = Duration::from_millis(300);
    let mut stopped = stage.start(Part::Hold, lease);
    stage.log.wait_for("the first process runs the job", |lines| lines.iter().any(|line| line.what == "start"));

    stage.while_nobody_writes(|| stopped.signal(Signal::STOP));
    let mut other = stage.start(Part::Hold, lease);
    stage.log.wait_for("the other process takes the run over", |lines| {
        lines.iter().any(|line| line.what == "start" && line.attempt == 2 && line.pid == other.id())
    });
    // The task of the first one is ready to end when the process goes on.
    stopped.release();
    stopped.signal(Signal::CONT);
    stage.log.wait_for("the first process learns of it", |lines| {
        lines.iter().any(|line| line.what == "taken-away" && line.pid == stopped.id())
    });
    let books = stage.books();
    let [run] = &books.runs[0][..] else { panic!("{:?}", books.runs) };
    assert_eq!((run.state, run.attempt), (RunState::Running, 2));
    other.release();
    stage.log.wait_for("the other process ends the run", |lines| {
        lines.iter().any(|line| line.what == "executed" && line.pid == other.id())
    });
    stopped.release_and_end();
    other.release_and_end();

    let books = stage.books();
    let [run] = &books.runs[0][..] else { panic!("{:?}", books.runs) };
    assert_eq!((run.verdict(), run.attempt, run.takeovers), (Some(Verdict::Ok), 2, 1));
    assert_no_attempt_twice(&stage.log.read());
}

/// A folder with a SQLite file and a log, in which children work.
struct Stage {
    folder: tempfile::TempDir,
    log: Log,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let log = Log::new(&folder.path().join("log"));
        Self { folder, log }
    }

    fn start(&self, part: Part, lease: Duration) -> Child {
        Child::start(part, self.folder.path(), lease)
    }

    /// Does something while no process holds the file's lock: one that is stopped with it would lock out all others.
    fn while_nobody_writes(&self, act: impl FnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = sqlx::SqliteConnection::connect(&child::url(self.folder.path())).await.unwrap();
            let transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
            act();
            transaction.rollback().await.unwrap();
        });
    }

    /// What the file says when nobody writes to it, read through the library and around it.
    fn books(&self) -> Books {
        Books::read(self.folder.path())
    }
}

struct Books {
    integrity: String,
    /// How many jobs are there that run once.
    one_shots: usize,
    /// The others, ordered by id.
    jobs: Vec<Job>,
    /// Those of each job, oldest first.
    runs: Vec<Vec<apscheduler::Run>>,
}

impl Books {
    fn read(folder: &Path) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let url = child::url(folder);
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            let integrity = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
            let store = SqliteStore::connect(&url).await.unwrap();
            let reader = Scheduler::builder(TokioRuntime::current()).store("default", store).build().unwrap();
            assert_eq!(reader.unreadable_jobs().await.unwrap(), []);
            let mut jobs = reader.jobs().await.unwrap();
            let all = jobs.len();
            jobs.retain(|job| child::is_lasting(&job.id));
            jobs.sort_by(|one, two| one.id.cmp(&two.id));
            let mut runs = Vec::new();
            for job in &jobs {
                let mut of_job = job.runs(usize::MAX).await.unwrap();
                of_job.reverse();
                runs.push(of_job);
            }
            Self { integrity, one_shots: all - jobs.len(), jobs, runs }
        })
    }

    /// The runs of a job by their number.
    fn of(&self, id: &str) -> BTreeMap<u64, &apscheduler::Run> {
        let at = self.jobs.iter().position(|job| job.id == *id).unwrap_or_else(|| panic!("job {id} is there"));
        self.runs[at].iter().map(|run| (run.id.seq, run)).collect()
    }
}

/// The rows of a job cover its fire times, each once: from the first one to the one before the next.
fn assert_tiles(job: &Job, runs: &[apscheduler::Run]) {
    let period = TimeDelta::from_std(child::period_of(&job.id)).unwrap();
    let mut expected = runs[0].first.unwrap_or(runs[0].fire_time);
    let mut totals = apscheduler::Totals::default();
    for run in runs {
        assert_eq!(run.first.unwrap_or(run.fire_time), expected, "job {}: {run:?}", job.id);
        // The last process has ended in good order, which leaves none running; some may wait for their turn.
        assert_ne!(run.state, RunState::Running, "job {}: {run:?}", job.id);
        totals.add_run(run);
        expected = run.fire_time + period;
    }
    assert_eq!(runs[0].id.seq, 1, "job {}", job.id);
    assert_eq!(job.next_fire_time, Some(expected), "job {}", job.id);
    assert_eq!(job.totals, totals, "job {}", job.id);
}

fn assert_no_attempt_twice(lines: &[Line]) {
    let mut attempts = BTreeSet::new();
    for line in lines.iter().filter(|line| line.what == "start") {
        assert!(attempts.insert((&line.uid, line.seq, line.attempt)), "{line:?} was started twice");
    }
}

#[expect(clippy::disallowed_methods, reason = "a crash comes at any moment, which no event tells of")]
fn wait_a_random_while(duration: Duration) {
    std::thread::sleep(duration);
}

#[expect(clippy::disallowed_methods, reason = "a deadline for other processes")]
fn now() -> Instant {
    Instant::now()
}

/// Numbers that are the same in each run of the test (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
