//! A process that runs jobs until it is killed, or told to end.

use std::{
    env,
    io::{BufRead, Write},
    path::Path,
    process::{self, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use apscheduler::{
    Builder, Coalesce, Conflict, Delivery, EventKind, EventMask, JobId, JobSpec, Overlap, Run, RunContext, RunState,
    Scheduler, ShutdownMode, TokioRuntime, Wait,
    trigger::{Date, First, Interval},
};
use chrono::{DateTime, Utc};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    log::{Line, Log},
    test_store::TestStore,
};

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    /// Adds jobs and runs them.
    Work,
    /// Runs what others have left, and ends when that and the one-shots are over.
    Finish,
    /// Runs one job that lasts until it is released.
    Hold,
    /// Runs jobs, some of which last until they are released, until it is asked to end by SIGTERM.
    Serve,
    /// Runs jobs that share a limit key.
    Share,
    /// Runs jobs that share a limit key and last until they are released, and one without a key.
    HoldPlaces,
}

impl Part {
    const ALL: [Self; 6] = [Self::Work, Self::Finish, Self::Hold, Self::Serve, Self::Share, Self::HoldPlaces];
}

/// A child, as its parent sees it; it ends with its parent.
pub(crate) struct Child(process::Child);

impl Child {
    pub(crate) fn start(part: Part, test_store: &TestStore, log: &Path, lease: Duration) -> Self {
        let [store, url, prefix] = test_store.parts();
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
            .env("CRASH_PART", format!("{part:?}"))
            .env("CRASH_STORE", store)
            .env("CRASH_URL", url)
            .env("CRASH_PREFIX", prefix)
            .env("CRASH_LOG", log)
            .env("CRASH_LEASE_MS", lease.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Lets the task end that holds on.
    pub(crate) fn release(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"release\n").unwrap();
    }

    /// Ends it in good order.
    pub(crate) fn release_and_end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(mut self) {
        let input = self.0.stdin.take();
        assert!(self.0.wait().unwrap().success());
        drop(input);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The jobs that go on for ever, and how often they fire: so often that each crash has something to lose, and not so often that a
/// small machine is busy with nothing else.
pub(crate) const LASTING: [(&str, Duration); 3] = [
    ("at-most-once", Duration::from_millis(20)),
    ("every-one", Duration::from_millis(40)),
    ("latest", Duration::from_millis(10)),
];

/// The jobs of [`Part::Serve`] whose runs last until they are released.
pub(crate) const HELD: [&str; 3] = ["held-0", "held-1", "held-2"];

/// The limit key of the jobs of [`Part::Share`] and of those of [`Part::HoldPlaces`] that are held.
pub(crate) const KEY: &str = "tenant-42";

/// The jobs of [`Part::Share`], and how often they fire: so often that they wait for a place most of the time.
pub(crate) const SHARING: [&str; 4] = ["shared-0", "shared-1", "shared-2", "shared-3"];
pub(crate) const SHARING_PERIOD: Duration = Duration::from_millis(10);

/// Within how long a process ends that is asked to by SIGTERM.
const SERVED_WITHIN: Duration = Duration::from_secs(1);

pub(crate) fn run() {
    let Ok(part) = env::var("CRASH_PART") else { return };
    let part = Part::ALL.into_iter().find(|known| format!("{known:?}") == part).unwrap();
    let variable = |name| env::var(name).unwrap();
    let test_store = TestStore::at(&variable("CRASH_STORE"), &variable("CRASH_URL"), &variable("CRASH_PREFIX"));
    let log = Log::new(Path::new(&variable("CRASH_LOG")));
    let lease = Duration::from_millis(variable("CRASH_LEASE_MS").parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(play(part, &test_store, log, lease));
}

async fn play(part: Part, test_store: &TestStore, log: Log, lease: Duration) {
    let log = Arc::new(log);
    let mut input = Input::listen();
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    let scheduler = builder(test_store, lease, &log, &input).await.build().unwrap();
    let mut events = scheduler.events(EventMask::JOB_REMOVED | EventMask::RUN_EXECUTED);
    let begun = Utc::now();
    if part != Part::Finish {
        add_jobs(&scheduler, part).await;
    }
    scheduler.start().await.unwrap();
    match part {
        Part::Work => {
            for n in 0.. {
                let id = format!("once-{}-{n}", process::id());
                let once = JobSpec::new("note", Date::at(Utc::now())).id(id.as_str());
                scheduler.add_job(once).await.unwrap();
                log.write(&Line { what: "added".to_owned(), pid: process::id(), job: id, ..Line::default() });
                // The next one when some things have ended.
                let some = async {
                    for _ in 0..10 {
                        events.next().await;
                    }
                };
                tokio::select! {
                    () = some => {}
                    () = input.end() => break,
                }
            }
        }
        Part::Finish => {
            while is_anything_left(&scheduler, begun).await {
                for _ in 0..20 {
                    events.next().await;
                }
            }
        }
        Part::Hold | Part::Share => input.end().await,
        Part::Serve | Part::HoldPlaces => {
            log.write(&Line { what: "serves".to_owned(), pid: process::id(), ..Line::default() });
            tokio::select! {
            _ = terminated.recv() => {
                return scheduler.shutdown(ShutdownMode::within(SERVED_WITHIN)).await.unwrap();
            }
            () = input.end() => {}
            }
        }
    }
    scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
}

/// Whether dead processes have left one-shots or runs that are still to be dealt with, or may still leave some: a call that one of them
/// has sent may reach its job for as long as no living process has started a run of it.
async fn is_anything_left(scheduler: &Scheduler, since: DateTime<Utc>) -> bool {
    let jobs = scheduler.jobs().await.unwrap();
    if jobs.iter().any(|job| !is_lasting(&job.id)) {
        return true;
    }
    for job in jobs {
        let is_left = |run: &Run| match run.state {
            RunState::Waiting(wait) => wait == Wait::Orphan,
            RunState::Running => run.started < Some(since),
            RunState::Ended(_) => false,
        };
        let runs = job.runs(2_000).await.unwrap();
        if runs.iter().any(is_left) || !runs.iter().any(|run| run.started >= Some(since)) {
            return true;
        }
    }
    false
}

fn is_lasting(job: &JobId) -> bool {
    !job.as_str().starts_with("once-")
}

async fn builder(test_store: &TestStore, lease: Duration, log: &Arc<Log>, input: &Input) -> Builder {
    let line = |what: &str, context: &RunContext| Line {
        what: what.to_owned(),
        pid: process::id(),
        job: context.job_id.to_string(),
        uid: context.run_id.uid.to_string(),
        seq: context.run_id.seq,
        attempt: context.attempt,
        fire_time: context.fire_time.timestamp_micros(),
    };
    let noted = Arc::clone(log);
    let note = move |context: RunContext| {
        noted.write(&line("start", &context));
        // Long enough for a crash to come in between now and then.
        let work = Duration::from_micros(context.run_id.seq % 7 * 3_000);
        async move { tokio::time::sleep(work).await }
    };
    let shared = Arc::clone(log);
    let share = move |context: RunContext| {
        shared.write(&line("start", &context));
        let (shared, end) = (Arc::clone(&shared), line("end", &context));
        let work = Duration::from_millis(5 + context.run_id.seq % 5 * 5);
        async move {
            tokio::time::sleep(work).await;
            shared.write(&end);
        }
    };
    let (held, released) = (Arc::clone(log), input.released.clone());
    let hold = move |context: RunContext| {
        held.write(&line("start", &context));
        let (held, end, mut released) = (Arc::clone(&held), line("end", &context), released.clone());
        async move {
            let is_released = released.wait_for(|is_released| *is_released).await.map(drop);
            held.write(&end);
            is_released.map_err(|error| error.to_string())
        }
    };
    let told = Arc::clone(log);
    let tell = move |event: &apscheduler::Event| {
        let (what, run) = match &event.kind {
            EventKind::RunTakenAway(run) => ("taken-away", run),
            EventKind::RunGivenBack(run) => ("given-back", run),
            EventKind::RunExecuted { run, .. } => ("executed", run),
            _ => return,
        };
        told.write(&Line {
            what: what.to_owned(),
            pid: process::id(),
            job: run.job.id.to_string(),
            uid: run.run.uid.to_string(),
            seq: run.run.seq,
            attempt: run.attempt,
            fire_time: run.fire_time.timestamp_micros(),
        });
    };
    Scheduler::builder(TokioRuntime::current())
        .store("default", test_store.open().await)
        .lease(lease)
        .task("note", note)
        .task("hold", hold)
        .task("share", share)
        .listener(EventMask::RUN_TAKEN_AWAY | EventMask::RUN_GIVEN_BACK | EventMask::RUN_EXECUTED, tell)
}

async fn add_jobs(scheduler: &Scheduler, part: Part) {
    let [at_most_once, every_one, latest] = LASTING.map(|(id, period)| {
        // All of its history is kept, so that the test sees that it is whole.
        let spec = JobSpec::new("note", Interval::every(period).first(First::Now)).id(id).history(1_000_000);
        spec.on_conflict(Conflict::Keep)
    });
    // They go on for ever so that the jobs are still there to be looked at.
    let held =
        |id: &str| JobSpec::new("hold", Interval::hours(24).first(First::Now)).id(id).on_conflict(Conflict::Keep);
    let lasting = || {
        vec![
            at_most_once.delivery(Delivery::AtMostOnce),
            // It gives nothing up, however long its nodes were away.
            every_one.coalesce(Coalesce::All).overlap(Overlap::Queue(1_000)).max_instances(4),
            latest,
        ]
    };
    let specs = match part {
        Part::Hold => vec![held("held")],
        Part::Work | Part::Finish => lasting(),
        Part::Share => {
            let sharing = |id: &&str| {
                let spec = JobSpec::new("share", Interval::every(SHARING_PERIOD).first(First::Now)).id(*id);
                spec.limit_key(KEY).history(1_000_000).on_conflict(Conflict::Keep)
            };
            SHARING.iter().map(sharing).collect()
        }
        Part::HoldPlaces => HELD.iter().map(|id| held(id).limit_key(KEY)).chain(lasting()).collect(),
        Part::Serve => HELD.iter().map(|id| held(id)).chain(lasting()).collect(),
    };
    for added in scheduler.add_jobs(specs).await {
        added.unwrap();
    }
}

/// What the parent says: to release the task that holds on, and to end.
struct Input {
    released: watch::Receiver<bool>,
    ended: watch::Receiver<bool>,
}

impl Input {
    fn listen() -> Self {
        let ((release, released), (end, ended)) = (watch::channel(false), watch::channel(false));
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                if line.is_ok_and(|line| line == "release") {
                    release.send_replace(true);
                }
            }
            release.send_replace(true);
            end.send_replace(true);
        });
        Self { released, ended }
    }

    async fn end(&mut self) {
        let _ = self.ended.wait_for(|has_ended| *has_ended).await;
    }
}
