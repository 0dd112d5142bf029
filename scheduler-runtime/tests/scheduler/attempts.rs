//! Runs that fail and are repeated, and runs that take too long.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use scheduler_core::{
    CancellationToken, EventKind, EventMask, Failures, JobSpec, Outcome, Retry, RunContext, RunState, Verdict, Wait,
    engine::ShutdownMode, trigger::Interval,
};
use scheduler_executors::ThreadPool;
use scheduler_runtime::{Runtime, Scheduler};
use scheduler_stores::MemoryStore;
use scheduler_thread::ThreadRuntime;

use crate::{
    stage::{FaultyStore, Hand},
    world::{Log, World, at, clock, time},
};

/// Attempts after 10, 20, 40 seconds.
fn retry(attempts: u32) -> Retry {
    Retry::attempts(attempts).backoff(Duration::from_secs(10)).jitter(0.0)
}

/// Fails in its first attempts.
fn moody(failures: u32) -> impl Fn(RunContext) -> Result<u32, String> + Send + Sync + 'static {
    move |context| {
        if context.attempt <= failures { Err(format!("not at {}", context.attempt)) } else { Ok(context.attempt) }
    }
}

#[test]
fn a_run_that_fails_is_repeated_until_it_succeeds_and_ends_once() {
    let world = World::new(|builder| builder.blocking_task("moody", moody(2)));
    let job = world.add(JobSpec::now("moody").id("report").retry(retry(5)));
    let waiting = &world.wait(job.runs(10)).unwrap()[0];
    assert_eq!((waiting.state, waiting.attempt, waiting.due), (RunState::Waiting(Wait::Retry), 1, clock("10:00:10")));
    assert_eq!(waiting.error.as_deref(), Some("not at 1"));

    world.advance(60);

    assert_eq!(
        world.told(),
        [
            "10:00:00 added report",
            "10:00:00 submitted report@10:00:00",
            "10:00:00 retried report@10:00:00 at 10:00:10: not at 1",
            "10:00:10 submitted report@10:00:00 #2",
            "10:00:10 retried report@10:00:00 #2 at 10:00:30: not at 2",
            "10:00:30 submitted report@10:00:00 #3",
            "10:00:30 executed report@10:00:00 #3 -> 3",
            "10:00:30 finished report",
        ]
    );
}

#[test]
fn a_run_that_fails_as_often_as_it_may_ends_as_an_error() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("fail", Interval::hours(1)).first_fire_time(clock("10:00:10")).retry(retry(2)));
    world.told();

    world.advance(60);

    let told: Vec<_> = world.told().iter().map(|line| line.replace(job.id.as_str(), "job")).collect();
    assert_eq!(
        told,
        [
            "10:00:10 submitted job@10:00:10",
            "10:00:10 retried job@10:00:10 at 10:00:20: disk full",
            "10:00:20 submitted job@10:00:10 #2",
            "10:00:20 error job@10:00:10 #2: disk full",
        ]
    );
    let runs = world.wait(job.runs(10)).unwrap();
    assert_eq!((runs.len(), runs[0].state, runs[0].attempt), (1, RunState::Ended(Verdict::Error), 2));
    assert_eq!(world.wait(job.refresh()).unwrap().totals.sum(), 1, "a fire time has one verdict");
}

#[test]
fn a_waiting_retry_holds_no_slot_and_yields_none_either() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    let spec = JobSpec::new("tick", Interval::seconds(30)).id("long").first_fire_time(clock("10:00:00"));
    world.add(spec.retry(retry(3).backoff(Duration::from_secs(40))));
    world.told();
    hand.end(Outcome::Crashed("killed".into()));
    world.advance(30);
    hand.end(Outcome::Ok(serde_json::Value::Null));
    world.advance(10);

    assert_eq!(
        world.told(),
        [
            "10:00:00 retried long@10:00:00 at 10:00:40: crashed: killed",
            "10:00:30 submitted long@10:00:30",
            "10:00:30 executed long@10:00:30",
            "10:00:40 submitted long@10:00:00 #2",
        ]
    );
}

#[test]
fn a_retry_waits_while_its_job_is_paused_and_goes_with_it_when_it_is_removed() {
    let world = World::new(|builder| builder.blocking_task("moody", moody(9)));
    let spec = JobSpec::new("moody", Interval::days(1)).first_fire_time(clock("10:00:00"));
    let job = world.add(spec.id("report").retry(retry(9)));
    world.wait(job.pause()).unwrap();
    world.told();
    world.advance(60);
    assert_eq!(world.told(), Vec::<String>::new());

    world.wait(job.resume()).unwrap();
    world.wait(job.remove()).unwrap();
    world.advance(600);

    assert_eq!(
        world.told(),
        [
            "10:01:00 modified report",
            "10:01:00 submitted report@10:00:00 #2",
            "10:01:00 retried report@10:00:00 #2 at 10:01:20: not at 2",
            "10:01:00 cancelled report@10:00:00 #2",
            "10:01:00 removed report",
        ]
    );
}

#[test]
fn a_retry_survives_its_scheduler() {
    let store = MemoryStore::new();
    let first = World::new(|builder| builder.store("default", store.clone()).blocking_task("moody", moody(1)));
    first.add(JobSpec::now("moody").id("report").retry(retry(2)));
    first.wait(first.scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    let second = first.beside(|builder| builder.store("default", store).blocking_task("moody", moody(1)));
    second.advance(10);

    assert_eq!(
        second.told(),
        [
            "10:00:10 submitted report@10:00:00 #2",
            "10:00:10 executed report@10:00:00 #2 -> 2",
            "10:00:10 finished report",
        ]
    );
}

/// Does something when it is dropped.
struct Guard(Box<dyn Fn() + Send>);

impl Drop for Guard {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn an_async_task_that_takes_too_long_is_dropped() {
    let runtime = at("10:00:00");
    let (clock, log) = (runtime.clone(), Log::default());
    let dropped = log.clone();
    let hang = move || {
        let (its_clock, log) = (clock.clone(), dropped.clone());
        let guard = Guard(Box::new(move || log.write(time(its_clock.now().utc))));
        let sleep = clock.sleep(Duration::from_secs(3_600));
        async move {
            sleep.await;
            drop(guard);
        }
    };
    let world = World::new_on(runtime, |builder| builder.task("hang", hang));
    let spec = JobSpec::now("hang").id("report").timeout(Duration::from_secs(5));
    world.add(spec.retry(retry(2).on(Failures::TIMEOUT)));
    world.told();

    world.advance(60);

    assert_eq!(log.read(), ["10:00:05", "10:00:20"]);
    assert_eq!(
        world.told(),
        [
            "10:00:05 retried report@10:00:00 at 10:00:15: timed out after 5s",
            "10:00:15 submitted report@10:00:00 #2",
            "10:00:20 timeout report@10:00:00 #2",
            "10:00:20 finished report",
        ]
    );
}

#[test]
fn a_timeout_needs_no_store_and_no_going_scheduler() {
    let hand = Hand::default();
    let store = FaultyStore::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()).store("default", store.clone()));
    world.add(JobSpec::now("tick").id("report").timeout(Duration::from_secs(5)));
    world.wait(world.scheduler.pause()).unwrap();
    store.go_away();

    world.advance(4);
    assert!(!hand.is_cancelled(0));
    world.advance(1);
    assert!(hand.is_cancelled(0));

    hand.end(Outcome::Cancelled);
    world.told();
    store.come_back();
    world.advance(20);
    let told = world.told();
    assert!(told.iter().any(|line| line.ends_with("timeout report@10:00:00")), "{told:?}");
}

#[test]
fn a_shutdown_that_waits_does_not_wait_longer_than_a_timeout() {
    let world = World::new(|builder| builder.task("hang", std::future::pending::<()>));
    world.add(JobSpec::now("hang").id("report").timeout(Duration::from_secs(5)));
    world.told();

    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    assert_eq!(world.told(), ["10:00:05 timeout report@10:00:00", "10:00:05 finished report", "10:00:05 shut down"]);
}

/// On the real clock, since a virtual one stands still while a thread is busy.
#[test]
fn a_blocking_task_that_takes_too_long_learns_it_from_its_token() {
    const DEADLINE: Duration = Duration::from_secs(20);
    #[expect(clippy::disallowed_methods, reason = "the deadline of a test on the real clock")]
    fn wait_for(token: &CancellationToken) -> Result<(), &'static str> {
        let end = Instant::now() + DEADLINE;
        while !token.is_cancelled() {
            if Instant::now() > end {
                return Err("nobody says stop");
            }
            std::thread::yield_now();
        }
        Ok(())
    }
    let outcomes = Arc::new(Mutex::new(vec![]));
    let (told, tells) = mpsc::channel();
    let scheduler = Scheduler::builder(ThreadRuntime::new().unwrap())
        .executor("default", ThreadPool::new().threads(1))
        .blocking_task("stubborn", |context: RunContext| {
            wait_for(&context.cancellation)?;
            if context.attempt == 1 { Err("interrupted") } else { Ok("made it after all") }
        })
        .listener(EventMask::RUN_RETRIED | EventMask::RUN_TIMEOUT | EventMask::RUN_ERROR, {
            let outcomes = Arc::clone(&outcomes);
            move |event| outcomes.lock().unwrap().push(event.kind.mask())
        })
        .listener(EventMask::RUN_EXECUTED, move |event| drop(told.send(event.kind.clone())))
        .background()
        .unwrap();
    scheduler.start().unwrap();
    let retry = Retry::attempts(2).backoff(Duration::from_millis(1));
    let spec = JobSpec::now("stubborn").timeout(Duration::from_millis(20)).retry(retry);
    scheduler.add_job(spec).unwrap();

    let end = tells.recv_timeout(DEADLINE).unwrap();

    assert!(matches!(end, EventKind::RunExecuted { output, .. } if output == "made it after all"));
    assert_eq!(*outcomes.lock().unwrap(), [EventMask::RUN_RETRIED]);
    scheduler.shutdown(ShutdownMode::Wait).unwrap();
}
