//! Pools of this program, and waiting for what other processes do.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use chrono::DateTime;
use futures_lite::future::block_on;
use rustix::process::{Pid, test_kill_process};
use scheduler_core::{BoxFuture, CancellationToken, Dispatch, Executor, Outcome, RunContext, RunId, Task, Uid};
use scheduler_executors::{blocking, process::ProcessPool};
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for another process before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A pool whose workers come to the test `worker` of this program.
pub(crate) fn pool() -> ProcessPool {
    ProcessPool::new().workers(1).args(["--exact", "worker", "--nocapture"]).start_timeout(DEADLINE)
}

/// A run of the task of this name. Its function here is never called: the worker has its own.
pub(crate) fn dispatch(name: &str, args: impl Serialize) -> Dispatch {
    let task = blocking(name, |_: Value| {
        if true {
            panic!("a task of a process pool ran in the pool's process")
        }
    });
    dispatch_of(task, args)
}

pub(crate) fn dispatch_of(task: Task, args: impl Serialize) -> Dispatch {
    let mut context = RunContext::new("nightly", RunId { uid: Uid(1), seq: 7 }, DateTime::UNIX_EPOCH);
    (context.job_name, context.node) = ("Nightly".into(), "a".into());
    (context.attempt, context.fence) = (2, 3);
    let blocking = Arc::new(|work| drop(thread::spawn(work)));
    Dispatch::new(task, serde_json::to_value(args).unwrap(), context, blocking)
}

/// Runs a task to its end.
pub(crate) fn outcome(pool: &ProcessPool, name: &str, args: impl Serialize) -> Outcome {
    block_on(pool.start(dispatch(name, args)))
}

/// The text of a crash.
#[track_caller]
pub(crate) fn crash(outcome: Outcome) -> String {
    let Outcome::Crashed(text) = outcome else { panic!("no crash: {outcome:?}") };
    text
}

/// The text of an error.
#[track_caller]
pub(crate) fn error(outcome: Outcome) -> String {
    let Outcome::Error(text) = outcome else { panic!("no error: {outcome:?}") };
    text
}

/// The process of the worker that is next.
#[track_caller]
pub(crate) fn pid(pool: &ProcessPool) -> Pid {
    let Outcome::Ok(pid) = outcome(pool, "pid", ()) else { panic!("the worker tells its number") };
    Pid::from_raw(pid.as_i64().unwrap() as i32).unwrap()
}

pub(crate) fn ok(value: impl Into<Value>) -> Outcome {
    Outcome::Ok(value.into())
}

/// A run that has begun, as its task shows by a file.
pub(crate) struct Begun {
    pub(crate) run: BoxFuture<'static, Outcome>,
    pub(crate) token: CancellationToken,
    pub(crate) file: PathBuf,
    _folder: TempDir,
}

/// Starts a task of a pool that is told a file, and waits until the file is there.
pub(crate) fn begin(pool: &ProcessPool, name: &str) -> Begun {
    begin_with(pool, |file| dispatch(name, file))
}

pub(crate) fn begin_with(executor: &dyn Executor, dispatch: impl FnOnce(&Path) -> Dispatch) -> Begun {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("begun");
    let dispatch = dispatch(&file);
    let token = dispatch.context.cancellation.clone();
    let mut run = executor.start(dispatch);
    eventually("the task begins", || {
        // What runs as a future goes on only if it is polled.
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        fs::read(&file).is_ok_and(|text| !text.is_empty())
    });
    Begun { run, token, file, _folder: folder }
}

/// Shows that a task has begun, by a file with the number of its process.
pub(crate) fn touch(file: &Path) {
    let new = file.with_extension("new");
    fs::write(&new, std::process::id().to_string()).unwrap();
    fs::rename(new, file).unwrap();
}

pub(crate) fn is_alive(pid: Pid) -> bool {
    // One that has ended, and that nobody has waited for, counts as dead.
    let is_zombie = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')));
    test_kill_process(pid).is_ok() && !is_zombie
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "in {DEADLINE:?}: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

#[expect(clippy::disallowed_methods, reason = "other processes live in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
