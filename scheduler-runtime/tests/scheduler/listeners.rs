//! Listening: functions with a mask, async functions, streams with numbers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use scheduler_core::{BoxFuture, EventKind, EventMask, JobSpec, Now, engine::ShutdownMode, trigger::Interval};
use scheduler_executors::{Inline, task};
use scheduler_runtime::{EventStream, Runtime, Scheduler};
use scheduler_testkit::SimulatedRuntime;

use crate::world::{Log, World, at, block_on, line};

fn clock(world: &World) {
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
}

#[test]
fn a_listener_hears_the_kinds_in_its_mask() {
    let world = World::new(|builder| builder);
    let log = Log::default();
    let heard = log.clone();
    let mask = EventMask::JOB_ADDED | EventMask::RUN_EXECUTED;
    let id = world.scheduler.add_listener(mask, move |event| heard.write(line(event)));
    clock(&world);

    world.advance(10);
    assert_eq!(log.read(), ["10:00:00 added clock", "10:00:10 executed clock@10:00:10"]);
    assert!(world.scheduler.remove_listener(id));
    world.advance(10);

    assert_eq!(log.read(), Vec::<String>::new());
    assert!(!world.scheduler.remove_listener(id));
}

#[test]
fn an_async_listener_hears_one_event_after_the_other() {
    let world = World::new(|builder| builder);
    let log = Log::default();
    let (heard, runtime) = (log.clone(), world.runtime.clone());
    let id = world.scheduler.add_async_listener(EventMask::RUN_EXECUTED, move |event| {
        let (heard, runtime) = (heard.clone(), runtime.clone());
        async move {
            heard.write(format!("begins {}", line(&event)));
            runtime.sleep(Duration::from_secs(15)).await;
            heard.write("ends");
        }
    });
    clock(&world);

    world.advance(30);

    assert_eq!(
        log.read(),
        ["begins 10:00:10 executed clock@10:00:10", "ends", "begins 10:00:20 executed clock@10:00:20"]
    );
    assert!(world.scheduler.remove_listener(id));
    // It was told of a third one before it was removed.
    world.advance(60);
    assert_eq!(log.read(), ["ends", "begins 10:00:30 executed clock@10:00:30", "ends"]);
}

fn drain(events: &mut EventStream) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(event) = events.try_next() {
        lines.push(match event {
            Ok(event) => format!("{} {}", event.seq, line(&event)),
            Err(missed) => format!("missed {}", missed.count),
        });
    }
    lines
}

#[test]
fn a_stream_has_every_event_in_order_with_numbers_without_gaps() {
    let world = World::new(|builder| builder);
    let mut events = world.scheduler.events(EventMask::ALL);
    clock(&world);
    world.advance(10);
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    assert_eq!(
        drain(&mut events),
        [
            "4 10:00:00 added clock",
            "5 10:00:10 submitted clock@10:00:10",
            "6 10:00:10 executed clock@10:00:10",
            "7 10:00:10 shut down",
        ]
    );
    assert_eq!(world.wait(events.next()), None);
}

#[test]
fn a_reader_that_is_behind_is_told_how_many_events_it_missed_in_their_place() {
    let world = World::new(|builder| builder);
    let mut events = world.scheduler.events_with_capacity(EventMask::RUN_EXECUTED, 2);
    clock(&world);

    world.advance(50);
    assert_eq!(
        drain(&mut events),
        ["6 10:00:10 executed clock@10:00:10", "8 10:00:20 executed clock@10:00:20", "missed 3"]
    );
    world.advance(10);
    assert_eq!(drain(&mut events), ["16 10:01:00 executed clock@10:01:00"]);

    // One that reads again before it has read everything is told when there is room for it.
    world.advance(40);
    assert!(matches!(world.wait(events.next()), Some(Ok(_))));
    assert!(matches!(world.wait(events.next()), Some(Ok(_))));
    world.advance(10);
    assert_eq!(drain(&mut events), ["missed 2", "26 10:01:50 executed clock@10:01:50"]);
}

#[test]
fn a_reader_learns_of_what_it_missed_before_the_stream_ends() {
    let world = World::new(|builder| builder);
    let mut events = world.scheduler.events_with_capacity(EventMask::RUN_EXECUTED, 1);
    clock(&world);
    world.advance(30);
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    let missed = world.wait(async {
        assert!(matches!(events.next().await, Some(Ok(_))));
        let missed = events.next().await;
        assert_eq!(events.next().await, None);
        missed
    });

    let missed = missed.unwrap().unwrap_err();
    assert_eq!(missed.count, 2);
    assert_eq!(
        missed.to_string(),
        "the event stream was full and 2 events were dropped; read faster or ask for a larger one"
    );
}

#[test]
fn a_reader_that_waits_is_woken() {
    let world = World::new(|builder| builder);
    let mut events = world.scheduler.events(EventMask::RUN_EXECUTED);
    clock(&world);

    let event = world.wait(events.next()).unwrap().unwrap();

    assert_eq!(line(&event), "10:00:10 executed clock@10:00:10");
}

#[test]
fn a_stream_that_is_dropped_is_no_listener_any_more() {
    let world = World::new(|builder| builder);
    let events = world.scheduler.events(EventMask::ALL);
    assert!(format!("{events:?}").starts_with("EventStream { id: ListenerId("));

    drop(events);

    clock(&world);
    assert_eq!(world.told(), ["10:00:00 added clock"]);
}

#[test]
fn a_listener_of_the_builder_hears_the_parts_being_added() {
    let log = Log::default();
    let heard = log.clone();
    let world = World::stopped(|builder| builder.listener(EventMask::ALL, move |event| heard.write(line(event))));

    assert_eq!(log.read(), ["10:00:00 executor default added", "10:00:00 store default added"]);
    drop(world);
}

#[test]
fn an_event_says_when_what_and_how_long() {
    let world = World::new(|builder| builder);
    let runtime = world.runtime.clone();
    let nap = move || {
        let runtime = runtime.clone();
        async move {
            runtime.sleep(Duration::from_secs(3)).await;
            7
        }
    };
    world.wait(world.scheduler.add_task(task("nap", nap))).unwrap();
    let mut events = world.scheduler.events(EventMask::RUN_EXECUTED | EventMask::RUN_ERROR);
    let job = world.add(JobSpec::now("nap").id("nap"));

    let event: Arc<_> = world.wait(events.next()).unwrap().unwrap();

    let EventKind::RunExecuted { run, output, duration } = &event.kind else { panic!("{event:?}") };
    assert_eq!((run.job.uid, run.job.id.as_str(), run.job.store.as_str()), (job.uid, "nap", "default"));
    assert_eq!((run.run.seq, run.attempt, output), (1, 1, &7.into()));
    assert_eq!(*duration, Duration::from_secs(3));
}

#[test]
fn a_stream_takes_its_room_as_it_fills() {
    let world = World::new(|builder| builder);
    let mut events = world.scheduler.events_with_capacity(EventMask::RUN_EXECUTED, usize::MAX);
    clock(&world);

    world.advance(10);

    assert_eq!(drain(&mut events), ["6 10:00:10 executed clock@10:00:10"]);
}

/// The virtual clock, which can be put forward within a call, as if that had taken so long.
#[derive(Debug, Clone)]
struct Hurried {
    clock: SimulatedRuntime,
    seconds: Arc<AtomicU64>,
}

impl Hurried {
    fn hold_up(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Runtime for Hurried {
    fn now(&self) -> Now {
        let held_up = Duration::from_secs(self.seconds.load(Ordering::SeqCst));
        let now = self.clock.now();
        Now { monotonic: now.monotonic + held_up, utc: now.utc + held_up }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }

    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.clock.spawn(future);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.clock.spawn_blocking(work);
    }

    fn block_on(&self, future: std::pin::Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.clock.block_on(future);
    }
}

#[test]
fn what_holds_the_loop_up_is_told_of_once_a_minute() {
    let runtime = Hurried { clock: at("10:00:00"), seconds: Arc::default() };
    let (slow, slower, log) = (runtime.clone(), runtime.clone(), Log::default());
    let told = log.clone();
    let scheduler = Scheduler::builder(runtime.clone())
        .accuracy(Duration::ZERO)
        .blocking_task("compute", move || slow.hold_up(2))
        .executor("inline", Inline::new())
        .listener(EventMask::JOB_REMOVED, move |_| slower.hold_up(3))
        .listener(EventMask::LOOP_HELD_UP, move |event| told.write(line(event)))
        .build()
        .unwrap();
    let compute = || JobSpec::now("compute").id("heavy").executor("inline");
    block_on(&runtime, scheduler.start()).unwrap();

    // Both the task, and the listener at its end.
    block_on(&runtime, scheduler.add_job(compute())).unwrap();
    runtime.clock.advance(Duration::ZERO);
    assert_eq!(log.read(), ["10:00:02 held up for 2s by task `compute` of job `heavy` on executor `inline`"]);

    runtime.hold_up(60);
    let far = JobSpec::new("compute", Interval::hours(1)).id("far");
    block_on(&runtime, scheduler.add_job(far)).unwrap();
    block_on(&runtime, scheduler.remove_job("far")).unwrap();
    runtime.clock.advance(Duration::ZERO);
    assert_eq!(log.read(), ["10:01:08 held up for 3s by a listener at JOB_REMOVED"]);
}
