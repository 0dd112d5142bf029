//! The end of a loop that panics all the same: everybody is told, nobody waits for ever, and nothing says that all is well.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use scheduler_core::{
    BoxFuture, ErrorKind, EventKind, EventMask, JobSpec, Now,
    engine::{SchedulerState, ShutdownMode},
    trigger::Interval,
};
use scheduler_runtime::{LoopState, Runtime, Scheduler};
use scheduler_thread::ThreadRuntime;

use crate::{
    stage::Hand,
    world::{Log, at, block_on, line},
};

/// How long a test waits for another thread before it fails.
const DEADLINE: Duration = Duration::from_secs(20);

const PANIC: &str = "the clock is broken (this panic is part of the test)";

/// A runtime whose clock panics once, when the test says so.
#[derive(Debug, Clone)]
struct BrokenClock<R> {
    runtime: R,
    is_broken: Arc<AtomicBool>,
}

impl<R> BrokenClock<R> {
    fn new(runtime: R) -> Self {
        Self { runtime, is_broken: Arc::default() }
    }

    fn break_once(&self) {
        self.is_broken.store(true, Ordering::SeqCst);
    }
}

impl<R: Runtime> Runtime for BrokenClock<R> {
    fn now(&self) -> Now {
        assert!(!self.is_broken.swap(false, Ordering::SeqCst), "{PANIC}");
        self.runtime.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.runtime.sleep(duration)
    }

    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.runtime.spawn(future);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.runtime.spawn_blocking(work);
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.runtime.block_on(future);
    }
}

#[test]
fn a_loop_that_panics_tells_of_its_end_and_nothing_says_that_all_is_well() {
    let (runtime, hand, log) = (BrokenClock::new(at("10:00:00")), Hand::default(), Log::default());
    let told = log.clone();
    let scheduler = Scheduler::builder(runtime.clone())
        .listener(EventMask::SCHEDULER_FAILED | EventMask::RUN_SUBMITTED, move |event| told.write(line(event)))
        .executor("default", hand.clone())
        .task("tick", || async {})
        .build()
        .unwrap();
    block_on(&runtime, scheduler.start()).unwrap();
    block_on(&runtime, scheduler.add_job(JobSpec::new("tick", Interval::seconds(10)).id("clock"))).unwrap();
    runtime.runtime.advance(Duration::from_secs(10));
    assert_eq!(log.read(), ["10:00:10 submitted clock@10:00:10"]);

    runtime.break_once();
    let waiting = block_on(&runtime, scheduler.jobs()).unwrap_err();

    assert_eq!(waiting.kind(), ErrorKind::Panicked);
    assert!(
        waiting.to_string().starts_with(&format!("the scheduler's loop panicked and has ended: {PANIC}; ")),
        "{waiting}"
    );
    assert_eq!(log.read(), [format!("10:00:10 failed: {PANIC}")]);
    assert!(hand.is_cancelled(0), "another node will run it");
    let health = block_on(&runtime, scheduler.health());
    assert_eq!((health.event_loop, health.failure.as_deref()), (LoopState::Gone, Some(PANIC)));
    assert!(!health.is_live());
    assert_eq!(block_on(&runtime, scheduler.state()), SchedulerState::ShutDown);
    for mode in [ShutdownMode::Wait, ShutdownMode::Now] {
        assert_eq!(block_on(&runtime, scheduler.shutdown(mode)).unwrap_err().kind(), ErrorKind::Panicked);
        assert_eq!(scheduler.begin_shutdown(mode).unwrap_err().kind(), ErrorKind::Panicked);
    }
}

#[test]
fn a_program_that_is_its_scheduler_ends_with_the_panic_as_an_error() {
    let runtime = BrokenClock::new(ThreadRuntime::new().unwrap());
    let scheduler = Scheduler::builder(runtime.clone()).task("tick", || async {}).blocking().unwrap();
    let broken = runtime;
    scheduler.add_listener(EventMask::SCHEDULER_STARTED, move |_| broken.break_once());

    let error = scheduler.start().unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert_eq!(scheduler.shutdown(ShutdownMode::Wait).unwrap_err().kind(), ErrorKind::Panicked);
}

#[test]
fn a_background_scheduler_whose_loop_panics_says_so_when_it_is_shut_down() {
    let runtime = BrokenClock::new(ThreadRuntime::new().unwrap());
    let scheduler = Scheduler::builder(runtime.clone()).background().unwrap();
    let (failed, failing) = mpsc::channel();
    scheduler.add_listener(EventMask::SCHEDULER_FAILED, move |event| failed.send(event.kind.clone()).unwrap());
    scheduler.start().unwrap();

    runtime.break_once();
    drop(scheduler.handle().begin_shutdown(ShutdownMode::Wait));

    assert_eq!(failing.recv_timeout(DEADLINE), Ok(EventKind::SchedulerFailed { error: PANIC.to_owned() }));
    assert_eq!(scheduler.shutdown(ShutdownMode::Wait).unwrap_err().kind(), ErrorKind::Panicked);
}

#[test]
fn a_local_scheduler_whose_loop_panics_ends_its_run_with_an_error() {
    let runtime = BrokenClock::new(ThreadRuntime::new().unwrap());
    let scheduler = Scheduler::builder(runtime.clone()).local().unwrap();
    let broken = runtime;
    scheduler.add_listener(EventMask::SCHEDULER_STARTED, move |_| broken.break_once());

    assert_eq!(scheduler.run().unwrap_err().kind(), ErrorKind::Panicked);
}
