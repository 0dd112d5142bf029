//! A scheduler under tokio's paused clock: the test's timers and the jobs share one time.

use std::future::ready;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use scheduler_core::{
    EventMask, JobSpec,
    engine::ShutdownMode,
    trigger::{Cron, Interval},
};
use scheduler_executors::{ThreadPool, blocking};
use scheduler_runtime::{EventStream, Runtime, Scheduler, SystemClock};
use scheduler_tokio::TokioRuntime;
use tokio::time::{Instant, advance, sleep, timeout};

const HOUR: Duration = Duration::from_secs(3_600);

fn christmas_eve() -> DateTime<Utc> {
    "2026-12-24T00:00:00Z".parse().expect("a time")
}

/// The fire times of the runs that have ended since the last look.
async fn executed(events: &mut EventStream) -> Vec<String> {
    let mut times = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
        let event = event.expect("no event is missing");
        times.push(event.kind.run().expect("the end of a run").fire_time.format("%d. %H:%M:%S%.f").to_string());
    }
    times
}

#[tokio::test(start_paused = true)]
async fn jobs_and_the_timers_of_the_test_share_one_time() {
    let scheduler = Scheduler::builder(TokioRuntime::paused_at(christmas_eve()))
        .task("sync", || sleep(Duration::from_secs(60)))
        .build()
        .expect("it is well put together");
    let mut events = scheduler.events(EventMask::RUN_EXECUTED);
    let daily = Cron::crontab("30 18 * * *").expect("a crontab");
    scheduler.add_job(JobSpec::new("sync", daily)).await.expect("it is added");
    scheduler.start().await.expect("it starts");

    sleep(18 * HOUR + HOUR / 2 + Duration::from_secs(59)).await;
    assert!(executed(&mut events).await.is_empty(), "its task takes a minute of the same time");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(executed(&mut events).await, ["24. 18:30:00"]);
    sleep(2 * 24 * HOUR).await;
    assert_eq!(executed(&mut events).await, ["25. 18:30:00", "26. 18:30:00"]);
    scheduler.shutdown(ShutdownMode::Wait).await.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn time_that_the_test_moves_itself_is_followed() {
    let scheduler = Scheduler::builder(TokioRuntime::paused_at(christmas_eve()))
        .task("tick", || ready(()))
        .build()
        .expect("it is well put together");
    let mut events = scheduler.events(EventMask::RUN_EXECUTED);
    scheduler.add_job(JobSpec::new("tick", Interval::hours(1))).await.expect("it is added");
    scheduler.start().await.expect("it starts");
    for hour in 1..=3 {
        advance(HOUR).await;
        let event = events.next().await.expect("it runs").expect("no event is missing");
        assert_eq!(event.kind.run().expect("a run").fire_time, christmas_eve() + TimeDelta::hours(hour));
    }
}

#[tokio::test(start_paused = true)]
async fn the_wall_clock_begins_with_the_real_one_and_goes_on_with_the_paused_one() {
    let real = SystemClock::now().utc;
    let runtime = TokioRuntime::current();
    let start = runtime.now();
    assert!((start.utc - real).abs() < TimeDelta::minutes(1), "{} is not {real}", start.utc);
    assert_eq!(start.utc.nanosecond() % 1_000_000, 0, "whole milliseconds, as tokio's timers have");
    sleep(24 * HOUR).await;
    assert_eq!(runtime.now(), start.after(24 * HOUR));
    // One that is made later shows the same.
    let apart = TokioRuntime::current().now().utc - runtime.now().utc;
    assert!(apart.abs() <= TimeDelta::milliseconds(1), "{apart}");
}

#[tokio::test(start_paused = true)]
async fn a_sleep_without_end_takes_the_clock_nowhere() {
    let runtime = TokioRuntime::current();
    let before = Instant::now();
    let slept = timeout(HOUR, runtime.sleep(Duration::MAX)).await;
    assert!(slept.is_err());
    assert_eq!(before.elapsed(), HOUR);
}

#[tokio::test]
async fn a_clock_that_is_not_paused_is_the_real_one() {
    let runtime = TokioRuntime::current();
    assert!(!runtime.is_time_virtual());
    assert!((runtime.now().utc - SystemClock::now().utc).abs() < TimeDelta::minutes(1));
    let by_handle = TokioRuntime::from(tokio::runtime::Handle::current());
    assert!(!by_handle.is_time_virtual());
}

#[tokio::test]
#[should_panic(expected = "TokioRuntime::paused_at is called where tokio's clock is paused")]
async fn a_wall_clock_is_given_to_a_paused_clock_alone() {
    let _ = TokioRuntime::paused_at(christmas_eve());
}

#[tokio::test(start_paused = true)]
async fn time_stands_still_while_a_blocking_task_is_at_work_on_whichever_executor() {
    let (begin, begun) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    let work = blocking("work", move || {
        begin.send(()).expect("the test waits");
        ended.lock().expect("only one run waits").recv().expect("the test goes on");
    });
    let scheduler = Scheduler::builder(TokioRuntime::paused_at(christmas_eve()))
        .executor("pool", ThreadPool::new().threads(1))
        .register(work)
        .build()
        .expect("it is well put together");
    let mut events = scheduler.events(EventMask::RUN_EXECUTED);
    for executor in ["default", "pool"] {
        let spec = JobSpec::now("work").executor(executor).timeout(Duration::from_secs(1));
        scheduler.add_job(spec).await.expect("it is added");
    }
    scheduler.start().await.expect("it starts");
    let before = Instant::now();
    // Real time, of another thread: the runs end when both have begun, one after the other.
    let other = thread::spawn(move || {
        for _ in ["default", "pool"] {
            begun.recv().expect("the run begins");
            end.send(()).expect("the run waits");
        }
    });
    for _ in ["default", "pool"] {
        events.next().await.expect("it runs").expect("no event is missing");
    }
    assert_eq!(before.elapsed(), Duration::ZERO, "neither has run into its timeout");
    other.join().expect("it does what it has to");
}
