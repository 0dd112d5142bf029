//! A scheduler whose tasks run in other processes, on each runtime.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use apscheduler::{
    AsyncStdRuntime, Builder, EventKind, EventMask, JobSpec, Runtime, Scheduler, ShutdownMode, SmolRuntime, Task,
    ThreadRuntime, TokioRuntime,
    executors::{
        blocking,
        process::{self, CommandLine, Commands, ProcessPool},
        task,
    },
};
use futures_util::future::{Either, select};

/// How long the test waits before it fails.
const DEADLINE: Duration = Duration::from_secs(60);

fn tasks() -> Vec<Task> {
    vec![
        blocking("double", |n: u64| n * 2),
        task("greet", async |name: String| format!("hello, {name}")),
        blocking("abort", abort),
        blocking("hang", hang),
    ]
}

fn abort() {
    std::process::abort();
}

fn hang() {
    loop {
        std::thread::park();
    }
}

/// What the workers come to.
#[test]
fn worker() {
    process::serve(tasks());
}

#[test]
fn on_tokio() {
    on(TokioRuntime::new().unwrap());
}

#[test]
fn on_smol() {
    on(SmolRuntime);
}

#[test]
fn on_async_std() {
    on(AsyncStdRuntime);
}

#[test]
fn on_threads() {
    on(ThreadRuntime::new().unwrap());
}

#[test]
fn on_a_thread_of_its_own() {
    let runtime: Arc<dyn Runtime> = Arc::new(SmolRuntime);
    let scheduler = prepare(Scheduler::builder_on(runtime.clone())).local().unwrap();
    let handle = scheduler.handle();
    scheduler.block_on(scenario(&handle, &*runtime));
}

fn on(runtime: impl Runtime) {
    let runtime: Arc<dyn Runtime> = Arc::new(runtime);
    runtime.block_on(Box::pin(async {
        let scheduler = prepare(Scheduler::builder_on(runtime.clone())).build().unwrap();
        scenario(&scheduler, &*runtime).await;
    }));
}

fn prepare(builder: Builder) -> Builder {
    let commands = Commands::new().grace(Duration::from_millis(50));
    let pool = ProcessPool::new().workers(2).args(["--exact", "worker"]).grace(Duration::from_millis(50));
    tasks()
        .into_iter()
        .fold(builder, Builder::register)
        .register(commands.task("command"))
        .executor("default", pool)
        .executor("commands", commands)
}

/// Runs end each in its own way, and none disturbs another.
async fn scenario(scheduler: &Scheduler, runtime: &dyn Runtime) {
    let ends = EventMask::RUN_EXECUTED | EventMask::RUN_ERROR | EventMask::RUN_TIMEOUT;
    let mut events = scheduler.events(ends);
    scheduler.start().await.unwrap();
    let soon = Duration::from_millis(300);
    let command = |script: &str| {
        let line = CommandLine::new("sh").arg("-c").arg(script);
        JobSpec::now("command").id(format!("command: {script}")).args(line).executor("commands")
    };
    let jobs = [
        JobSpec::now("abort").id("abort"),
        JobSpec::now("hang").id("hang").timeout(soon),
        JobSpec::now("double").id("double").args(21),
        JobSpec::now("greet").id("greet").args("ann"),
        command("echo on"),
        command("exit 3"),
        command("exec sleep 1000").timeout(soon),
    ];
    let count = jobs.len();
    for job in jobs {
        scheduler.add_job(job).await.unwrap();
    }

    let mut told = Vec::new();
    while told.len() < count {
        let event = within(runtime, events.next()).await.unwrap().unwrap();
        told.push(match &event.kind {
            EventKind::RunExecuted { run, output, .. } => format!("{} gives {output}", run.job.id),
            EventKind::RunError { run, error, .. } => format!("{} fails: {error}", run.job.id),
            EventKind::RunTimeout { run, .. } => format!("{} is late", run.job.id),
            other => format!("{other:?}"),
        });
    }
    within(runtime, scheduler.shutdown(ShutdownMode::Wait)).await.unwrap();

    told.sort();
    let abort = told.remove(0);
    assert!(abort.starts_with("abort fails: crashed: its worker ended with signal 6 (SIGABRT)"), "{abort}");
    assert_eq!(
        told,
        [
            "command: echo on gives {\"status\":0,\"stderr\":\"\",\"stdout\":\"on\\n\"}",
            "command: exec sleep 1000 is late",
            "command: exit 3 fails: program `sh` ended with exit status 3",
            "double gives 42",
            "greet gives \"hello, ann\"",
            "hang is late",
        ]
    );
}

async fn within<T>(runtime: &dyn Runtime, future: impl Future<Output = T>) -> T {
    match select(pin!(future), runtime.sleep(DEADLINE)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => panic!("it did not happen within {DEADLINE:?}"),
    }
}
