//! Schedulers with a thread of their own. These run on the real clock and wait for events.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use scheduler_core::{
    Conflict, ErrorKind, EventKind, EventMask, JobChange, JobSpec, JobState,
    engine::{SchedulerState, ShutdownMode},
    trigger::{First, Interval},
};
use scheduler_executors::{Inline, blocking, task};
use scheduler_runtime::{Background, Builder, Scheduler};
use scheduler_stores::MemoryStore;
use scheduler_thread::ThreadRuntime;
use scheduler_tokio::TokioRuntime;

/// How long a test waits for another thread before it fails.
const DEADLINE: Duration = Duration::from_secs(20);

fn builder() -> Builder {
    Scheduler::builder(ThreadRuntime::new().unwrap()).task("tick", || async {})
}

fn background() -> Background {
    builder().background().unwrap()
}

#[test]
fn its_calls_block_from_any_thread() {
    let scheduler = Arc::new(background());
    let other = Arc::clone(&scheduler);
    let adding = thread::spawn(move || other.add_job(JobSpec::new("tick", Interval::hours(1)).id("clock")).map(drop));
    assert_eq!(adding.join().unwrap(), Ok(()));

    assert_eq!(scheduler.jobs().unwrap()[0].id, "clock");
    assert_eq!(scheduler.state(), SchedulerState::Stopped);
    scheduler.start_paused().unwrap();
    assert_eq!(scheduler.state(), SchedulerState::Paused);
    scheduler.resume().unwrap();
    assert!(scheduler.is_running());
    scheduler.pause().unwrap();
    scheduler.wakeup().unwrap();

    scheduler.shutdown(ShutdownMode::Wait).unwrap();
    scheduler.shutdown(ShutdownMode::Now).unwrap();
    assert_eq!(scheduler.state(), SchedulerState::ShutDown);
    assert_eq!(scheduler.jobs().unwrap_err().kind(), ErrorKind::ShutDown);
}

#[test]
fn each_operation_has_a_blocking_form() {
    let scheduler = background();
    scheduler.add_store("other", MemoryStore::new()).unwrap();
    scheduler.add_executor("inline", Inline::new()).unwrap();
    scheduler.add_task(blocking("work", || 7)).unwrap();
    let added = scheduler.add_jobs(vec![
        JobSpec::new("tick", Interval::hours(1)).id("one"),
        JobSpec::new("work", Interval::hours(1)).id("two").store("other").executor("inline"),
    ]);
    let [one, two] = added.try_into().map_err(drop).unwrap();
    let (one, two) = (one.unwrap(), two.unwrap());

    assert_eq!(one.pause().unwrap().state, JobState::Paused);
    assert_eq!(one.resume().unwrap().state, JobState::Active);
    assert_eq!(one.modify(JobChange::default().name("first")).unwrap().body.display_name(), "first");
    assert_eq!(one.reschedule(Interval::hours(2)).unwrap().body.trigger.to_string(), "every 2h");
    assert_eq!(one.refresh().unwrap().body.display_name(), "first");
    assert_eq!(one.runs(10).unwrap(), []);
    let run = one.run_now().unwrap();
    one.cancel_run(run).unwrap();
    assert!(one.runs(10).unwrap()[0].cancel_requested);
    assert_eq!(scheduler.pause_job("two").unwrap().store().as_str(), "other");
    scheduler.resume_job("two").unwrap();
    scheduler.modify_job("two", JobChange::default().max_instances(2)).unwrap();
    scheduler.reschedule_job("two", Interval::hours(3)).unwrap();
    assert_eq!(scheduler.runs("two", 10).unwrap(), []);
    let run = scheduler.run_job_now("two").unwrap();
    scheduler.cancel_run("two", run).unwrap();
    assert!(scheduler.cancel_run("one", run).unwrap_err().is_not_found());
    assert_eq!(scheduler.job("three").unwrap().map(drop), None);
    assert_eq!(scheduler.unreadable_jobs().unwrap(), []);

    let exported = scheduler.export_jobs().unwrap();
    let imported = scheduler.import_jobs(exported, Conflict::Replace);
    assert_eq!(imported.into_iter().filter(Result::is_ok).count(), 2);
    let mut text = Vec::new();
    scheduler.print_jobs(&mut text).unwrap();
    assert!(
        String::from_utf8(text)
            .unwrap()
            .starts_with("Store default:\n    one: first (trigger: every 2h, next fire time: ")
    );

    two.remove().unwrap();
    scheduler.remove_job("one").unwrap();
    assert_eq!(scheduler.remove_all_jobs().unwrap(), 1);
    scheduler.remove_task("work").unwrap();
    scheduler.remove_executor("inline").unwrap();
    scheduler.remove_store("other").unwrap();
}

#[test]
fn its_listeners_and_streams_hear_what_happens() {
    let scheduler = background();
    let (told, tells) = mpsc::channel();
    let told_async = told.clone();
    let id = scheduler.add_listener(EventMask::RUN_EXECUTED, move |_| told.send("called").unwrap());
    scheduler.add_async_listener(EventMask::RUN_EXECUTED, move |_| {
        let told = told_async.clone();
        async move { told.send("awaited").unwrap() }
    });
    let mut events = scheduler.events(EventMask::RUN_SUBMITTED);
    scheduler.start().unwrap();

    scheduler.add_job(JobSpec::new("tick", Interval::hours(1).first(First::Now)).id("clock")).unwrap();

    let mut heard = [tells.recv_timeout(DEADLINE).unwrap(), tells.recv_timeout(DEADLINE).unwrap()];
    heard.sort_unstable();
    assert_eq!(heard, ["awaited", "called"]);
    let event = events.try_next().unwrap().unwrap();
    assert!(matches!(&event.kind, EventKind::RunSubmitted(run) if run.job.id == "clock"));
    assert!(scheduler.remove_listener(id));
}

#[test]
fn a_listener_that_waits_for_its_own_scheduler_is_told_what_to_do() {
    let scheduler = Arc::new(background());
    let (told, tells) = mpsc::channel();
    let own = Arc::downgrade(&scheduler);
    scheduler.add_listener(EventMask::JOB_ADDED, move |_| own.upgrade().unwrap().pause().unwrap());
    scheduler.add_listener(EventMask::LISTENER_FAILED, move |event| told.send(event.kind.clone()).unwrap());

    scheduler.add_job(JobSpec::new("tick", Interval::hours(1))).unwrap();

    let EventKind::ListenerFailed { error } = tells.recv_timeout(DEADLINE).unwrap() else { panic!("it failed") };
    assert!(error.starts_with("a listener or inline task runs on the scheduler's own thread"), "{error}");
    // Its loop has not been held up.
    scheduler.start().unwrap();
}

#[test]
fn a_task_ends_the_scheduler_that_start_waits_for() {
    let scheduler = builder().blocking().unwrap();
    let handle = scheduler.handle();
    let stop = move || {
        let handle = handle.clone();
        async move { handle.begin_shutdown(ShutdownMode::Wait) }
    };
    scheduler.add_task(task("stop", stop)).unwrap();
    scheduler.add_job(JobSpec::now("stop")).unwrap();
    let mut events = scheduler.events(EventMask::RUN_EXECUTED);

    scheduler.start().unwrap();

    assert!(events.try_next().is_some());
    assert_eq!(scheduler.start().unwrap_err().kind(), ErrorKind::ShutDown);
}

#[test]
fn its_thread_goes_with_a_scheduler_that_was_never_started() {
    let scheduler = background();
    let mut events = scheduler.events(EventMask::NONE);

    drop(scheduler);

    // The stream ends with the loop.
    let (ended, ends) = mpsc::channel();
    thread::spawn(move || ended.send(futures_executor::block_on(events.next())));
    assert_eq!(ends.recv_timeout(DEADLINE), Ok(None));
}

#[test]
fn it_goes_on_without_its_handle_once_it_has_been_started() {
    let scheduler = background();
    let (told, tells) = mpsc::channel();
    scheduler.add_listener(EventMask::RUN_EXECUTED, move |_| told.send(()).unwrap_or(()));
    scheduler.start().unwrap();
    scheduler.add_job(JobSpec::new("tick", Interval::every(Duration::from_millis(10)))).unwrap();

    drop(scheduler);

    for _ in 0..3 {
        tells.recv_timeout(DEADLINE).unwrap();
    }
}

#[test]
fn it_is_started_once_and_says_so_the_second_time() {
    let scheduler = background();
    scheduler.start().unwrap();
    assert_eq!(scheduler.start().unwrap_err().kind(), ErrorKind::AlreadyStarted);
    assert_eq!(scheduler.start_paused().unwrap_err().kind(), ErrorKind::AlreadyStarted);
    assert_eq!(scheduler.state(), SchedulerState::Running);
    scheduler.shutdown(ShutdownMode::Wait).unwrap();
    assert_eq!(scheduler.start().unwrap_err().kind(), ErrorKind::ShutDown);
}

#[test]
fn a_blocking_one_is_started_once_and_waits_also_when_it_is_paused() {
    let scheduler = Arc::new(builder().blocking().unwrap());
    let (told, tells) = mpsc::channel();
    scheduler.add_listener(EventMask::SCHEDULER_STARTED, move |_| told.send(()).unwrap());
    let first = Arc::clone(&scheduler);
    let first = thread::spawn(move || first.start_paused());
    tells.recv_timeout(DEADLINE).unwrap();

    assert_eq!(scheduler.start().unwrap_err().kind(), ErrorKind::AlreadyStarted);
    assert_eq!(scheduler.state(), SchedulerState::Paused);
    assert!(!first.is_finished());

    scheduler.shutdown(ShutdownMode::Wait).unwrap();
    assert_eq!(first.join().unwrap(), Ok(()));
}

#[test]
fn its_jobs_and_handles_say_so_after_the_shutdown() {
    let scheduler = background();
    let job = scheduler.add_job(JobSpec::new("tick", Interval::hours(1))).unwrap();
    let handle = scheduler.handle();
    scheduler.shutdown(ShutdownMode::Wait).unwrap();

    assert_eq!(job.refresh().unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(job.pause().unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(scheduler.add_job(JobSpec::now("tick")).unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(futures_executor::block_on(handle.jobs()).unwrap_err().kind(), ErrorKind::ShutDown);
    assert!(!scheduler.is_running());
}

#[test]
fn a_blocking_task_that_ignores_its_cancellation_is_left_behind_by_a_shutdown_now() {
    let (open, gate) = mpsc::channel::<()>();
    let (began, begins) = mpsc::channel();
    let gate = Mutex::new(gate);
    let ignore = move || {
        began.send("begun").unwrap();
        gate.lock().unwrap().recv().unwrap();
        began.send("ended").unwrap();
    };
    let scheduler = builder().register(blocking("ignore", ignore)).background().unwrap();
    let mut events = scheduler.events(EventMask::RUN_CANCELLED | EventMask::RUN_EXECUTED);
    scheduler.start().unwrap();
    scheduler.add_job(JobSpec::new("ignore", Interval::hours(1).first(First::Now)).id("stubborn")).unwrap();
    assert_eq!(begins.recv_timeout(DEADLINE), Ok("begun"));

    scheduler.shutdown(ShutdownMode::Now).unwrap();

    let event = events.try_next().unwrap().unwrap();
    assert!(matches!(&event.kind, EventKind::RunCancelled(run) if run.job.id == "stubborn"), "{event:?}");
    // Nothing can end a thread from outside; it goes on until its task returns.
    open.send(()).unwrap();
    assert_eq!(begins.recv_timeout(DEADLINE), Ok("ended"));
    assert_eq!(events.try_next(), None);
}

#[test]
fn its_loop_outlives_the_tokio_runtime_whose_tasks_end_as_cancelled() {
    let host = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let runtime = TokioRuntime::from(host.handle().clone());
    let scheduler = Scheduler::builder(runtime).task("tick", || async {}).background().unwrap();
    let (told, tells) = mpsc::channel();
    scheduler.add_listener(EventMask::RUN_CANCELLED | EventMask::RUN_EXECUTED, move |event| {
        told.send(event.kind.mask()).unwrap();
    });
    scheduler.start().unwrap();

    drop(host);

    scheduler.add_job(JobSpec::new("tick", Interval::hours(1).first(First::Now)).id("clock")).unwrap();
    assert_eq!(tells.recv_timeout(DEADLINE), Ok(EventMask::RUN_CANCELLED));
    assert_eq!(scheduler.jobs().unwrap()[0].id, "clock");
    scheduler.shutdown(ShutdownMode::Wait).unwrap();
}

#[test]
fn a_call_says_so_when_the_tokio_runtime_has_gone_with_its_scheduler() {
    let host = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let scheduler = Scheduler::builder(TokioRuntime::from(host.handle().clone())).build().unwrap();
    let mut events = scheduler.events(EventMask::ALL);
    futures_executor::block_on(scheduler.start()).unwrap();

    drop(host);

    let error = futures_executor::block_on(scheduler.jobs()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShutDown);
    // It has not been shut down: nothing was waited for, and nothing given back.
    let shut_down = futures_executor::block_on(scheduler.shutdown(ShutdownMode::Wait));
    assert_eq!(shut_down.unwrap_err().kind(), ErrorKind::ShutDown);
    while futures_executor::block_on(events.next()).is_some() {}
}
