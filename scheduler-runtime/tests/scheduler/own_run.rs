//! Tasks that would wait for their own end are told so, whichever handle, executor and runtime they are on.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use scheduler_core::{ErrorKind, EventKind, EventMask, JobSpec, engine::ShutdownMode};
use scheduler_executors::{Inline, ThreadPool, blocking, task};
use scheduler_runtime::{Runtime, Scheduler};
use scheduler_stores::MemoryStore;
use scheduler_thread::ThreadRuntime;
use scheduler_tokio::TokioRuntime;

use crate::world::World;

/// How long a test waits for another thread before it fails.
const DEADLINE: Duration = Duration::from_secs(20);

const SHUTDOWN: &str = "a run of job `stop` was to wait until its own scheduler has shut down, and so for its own end: call \
                        begin_shutdown, which does not wait, or shut down from elsewhere";

#[test]
fn a_task_that_awaits_the_shutdown_of_its_own_scheduler_fails_at_once_and_the_scheduler_goes_on() {
    let world = World::new(|builder| builder);
    let own = world.scheduler.clone();
    let stop = move || {
        let own = own.clone();
        async move { own.shutdown(ShutdownMode::Wait).await }
    };
    world.wait(world.scheduler.add_task(task("stop", stop))).unwrap();
    world.add(JobSpec::now("stop").id("stop"));
    world.add(JobSpec::now("tick").id("tick"));
    let told = world.told();
    assert!(told.contains(&format!("10:00:00 error stop@10:00:00: {SHUTDOWN}")), "{told:#?}");
    assert!(told.contains(&"10:00:00 executed tick@10:00:00".to_owned()), "{told:#?}");
    assert_eq!(world.wait(world.scheduler.shutdown(ShutdownMode::Wait)), Ok(()), "nobody's run waits for it");
}

#[test]
fn a_task_may_stop_its_scheduler_without_waiting_or_stop_it_now() {
    for mode in [ShutdownMode::Wait, ShutdownMode::Now] {
        let world = World::new(|builder| builder);
        let own = world.scheduler.clone();
        let stop = move || {
            let own = own.clone();
            async move {
                match mode {
                    ShutdownMode::Wait | ShutdownMode::Within(_) => own.begin_shutdown(mode),
                    ShutdownMode::Now => own.shutdown(mode).await,
                }
            }
        };
        world.wait(world.scheduler.add_task(task("stop", stop))).unwrap();
        world.add(JobSpec::now("stop").id("stop"));
        assert_eq!(world.told().last().unwrap(), "10:00:00 shut down");
    }
}

#[test]
fn a_task_that_removes_the_store_of_its_own_job_fails_at_once_and_may_remove_another() {
    let world = World::new(|builder| builder.store("other", MemoryStore::new()));
    let own = world.scheduler.clone();
    let remove = move |store: String| {
        let own = own.clone();
        async move { own.remove_store(store).await }
    };
    world.wait(world.scheduler.add_task(task("remove", remove))).unwrap();
    world.add(JobSpec::now("remove").id("own").args("default"));
    world.add(JobSpec::now("remove").id("other").args("other"));
    let told = world.told();
    let error = "10:00:00 error own@10:00:00: a run of job `own` was to wait until its own store `default` is removed, and so \
                 for its own end: remove it from elsewhere, or from something that the task spawns and does not wait for";
    assert!(told.iter().any(|line| line == error), "{told:#?}");
    assert!(told.contains(&"10:00:00 executed other@10:00:00".to_owned()), "{told:#?}");
    assert_eq!(world.wait(world.scheduler.remove_store("other")).unwrap_err().kind(), ErrorKind::UnknownStore);
}

#[test]
fn a_task_may_wait_for_another_scheduler() {
    let world = World::new(|builder| builder);
    let runtime = world.runtime.clone();
    let drive = move || {
        let other = Scheduler::builder(runtime.clone()).build().unwrap();
        async move {
            other.start().await?;
            other.shutdown(ShutdownMode::Wait).await
        }
    };
    world.wait(world.scheduler.add_task(task("drive", drive))).unwrap();
    world.add(JobSpec::now("drive").id("drive"));
    assert_eq!(world.told()[2..], ["10:00:00 executed drive@10:00:00", "10:00:00 finished drive"]);
}

/// What becomes of a blocking and of an async task that shut their own background scheduler down and wait, on each executor.
fn errors_of_background(runtime: Arc<dyn Runtime>) -> Vec<String> {
    let scheduler =
        Scheduler::builder_on(runtime).executor("pool", ThreadPool::new()).executor("inline", Inline::new());
    let scheduler = Arc::new(scheduler.background().unwrap());
    let (told, tells) = mpsc::channel();
    scheduler.add_listener(EventMask::RUN_ERROR, move |event| {
        let EventKind::RunError { error, .. } = &event.kind else { unreachable!("by the mask") };
        told.send(error.clone()).unwrap();
    });
    let own = Arc::downgrade(&scheduler);
    let stop = move || own.upgrade().expect("the test holds it").shutdown(ShutdownMode::Wait);
    let stop_async = stop.clone();
    scheduler.add_task(blocking("blocking", stop)).unwrap();
    scheduler.add_task(task("async", move || std::future::ready(stop_async()))).unwrap();
    scheduler.start().unwrap();
    let mut errors = Vec::new();
    for executor in ["default", "pool", "inline"] {
        for task in ["blocking", "async"] {
            scheduler.add_job(JobSpec::now(task).id("stop").executor(executor)).unwrap();
            errors
                .push(tells.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{task} on {executor} waits for itself")));
        }
    }
    scheduler.shutdown(ShutdownMode::Wait).unwrap();
    errors
}

#[test]
fn tasks_of_a_background_scheduler_that_shut_it_down_fail_at_once_on_each_executor() {
    assert_eq!(errors_of_background(Arc::new(ThreadRuntime::new().unwrap())), vec![SHUTDOWN; 6]);
    assert_eq!(errors_of_background(Arc::new(TokioRuntime::new().unwrap())), vec![SHUTDOWN; 6]);
}

#[test]
fn a_task_of_a_local_scheduler_that_awaits_its_shutdown_fails_at_once() {
    let local = Scheduler::builder(ThreadRuntime::new().unwrap()).local().unwrap();
    let (told, tells) = mpsc::channel();
    local.add_listener(EventMask::RUN_ERROR, move |event| {
        let EventKind::RunError { error, .. } = &event.kind else { unreachable!("by the mask") };
        told.send(error.clone()).unwrap();
    });
    let own = local.handle();
    let stop = move || {
        let own = own.clone();
        async move { own.shutdown(ShutdownMode::Wait).await }
    };
    local.task("stop", stop).unwrap();
    let handle = local.handle();
    local.add_listener(EventMask::RUN_ERROR, move |_| handle.begin_shutdown(ShutdownMode::Wait).unwrap());
    local.add_job(JobSpec::now("stop").id("stop")).unwrap();
    local.run().unwrap();
    assert_eq!(tells.try_recv().unwrap(), SHUTDOWN);
}
