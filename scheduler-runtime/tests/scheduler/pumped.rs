//! A scheduler that its host pumps. The host's clock is the test's.

use std::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn, ready},
    pin::pin,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use chrono::TimeDelta;
use scheduler_core::{
    ErrorKind, EventKind, EventMask, JobSpec, RunContext,
    engine::ShutdownMode,
    trigger::{First, Interval},
};
use scheduler_executors::{Spawn, blocking};
use scheduler_runtime::{Builder, LoopState, Now, Pumped, Scheduler, SystemClock};
use scheduler_stores::MemoryStore;
use scheduler_testkit::SimulatedRuntime;
use scheduler_thread::ThreadRuntime;

use crate::{
    stage::{FaultyStore, StillRuntime},
    world::{Log, at, clock, line},
};

/// How long a test waits for another thread before it fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// A host with a clock of its own, and a scheduler on a runtime whose threads do nothing.
struct Host {
    scheduler: Rc<Pumped>,
    /// The clock of the runtime, which says nothing to the scheduler.
    real: SimulatedRuntime,
    now: Cell<Now>,
    log: Log,
    wakes: Arc<AtomicUsize>,
}

impl Host {
    fn stopped(with: impl FnOnce(Builder) -> Builder) -> Self {
        let log = Log::default();
        let told = log.clone();
        let real = at("00:00:00");
        let builder = Scheduler::builder(StillRuntime::new(real.clone()))
            .accuracy(Duration::ZERO)
            .listener(EventMask::ALL, move |event| told.write(line(event)))
            .task("tick", || async {});
        let scheduler = Rc::new(with(builder).pumped().unwrap());
        let wakes = Arc::new(AtomicUsize::new(0));
        let wake = Arc::clone(&wakes);
        scheduler.on_wake(move || _ = wake.fetch_add(1, Ordering::SeqCst));
        let now = Cell::new(Now { utc: clock("10:00:00"), monotonic: Duration::ZERO });
        Self { scheduler, real, now, log, wakes }
    }

    fn new(with: impl FnOnce(Builder) -> Builder) -> Self {
        let host = Self::stopped(with);
        let handle = host.scheduler.handle();
        host.wait(async move { handle.start().await }).unwrap();
        host.log.read();
        host.wakes.store(0, Ordering::SeqCst);
        host
    }

    fn pump(&self) -> Option<Duration> {
        self.scheduler.pump(self.now.get())
    }

    /// Pumps whenever it is asked to until so much time has passed.
    fn pass(&self, seconds: u64) {
        let end = self.now.get().monotonic + Duration::from_secs(seconds);
        loop {
            let left = end - self.now.get().monotonic;
            match self.pump() {
                Some(wait) if wait <= left => self.now.set(self.now.get().after(wait)),
                _ => return self.now.set(self.now.get().after(left)),
            }
        }
    }

    /// Pumps until a future has ended.
    fn wait<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(Cell::new(None));
        let ended = Rc::clone(&result);
        self.scheduler.spawn_local(async move { ended.set(Some(future.await)) });
        loop {
            let wait = self.pump();
            if let Some(result) = result.take() {
                return result;
            }
            self.now.set(self.now.get().after(wait.expect("something wakes the future")));
        }
    }

    fn add(&self, spec: JobSpec) -> scheduler_runtime::Job {
        let handle = self.scheduler.handle();
        self.wait(async move { handle.add_job(spec).await }).unwrap()
    }

    /// How often the host was woken since the last look.
    fn wakes(&self) -> usize {
        self.wakes.swap(0, Ordering::SeqCst)
    }
}

fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn everything_happens_within_the_pumps_at_the_times_that_the_host_gives() {
    let host = Host::stopped(|builder| builder.task("anywhere", |n: u32| async move { n + 1 }));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sees = Rc::clone(&seen);
    let call = move |context: RunContext, name: String| {
        sees.borrow_mut().push((name, context.job_id.to_string()));
        ready(())
    };
    host.scheduler.task("here", call).unwrap();
    let handle = host.scheduler.handle();
    host.scheduler.spawn_local(async move {
        let every = |task| JobSpec::new(task, Interval::seconds(10));
        handle.add_job(every("here").id("local").args("ann")).await.unwrap();
        handle.add_job(every("anywhere").id("sent").args(6)).await.unwrap();
        handle.start().await.unwrap();
    });
    assert_eq!(host.log.read(), Vec::<String>::new());

    assert!(host.pump().is_some_and(|wait| wait <= Duration::from_secs(10)));

    assert_eq!(
        host.log.read(),
        [
            "10:00:00 executor default added",
            "10:00:00 executor local added",
            "10:00:00 store default added",
            "10:00:00 added local",
            "10:00:00 added sent",
            "10:00:00 started"
        ]
    );
    host.now.set(host.now.get().after(Duration::from_secs(10)));
    host.pump();
    let mut told = host.log.read();
    told.sort();
    assert_eq!(
        told,
        [
            "10:00:10 executed local@10:00:10",
            "10:00:10 executed sent@10:00:10 -> 7",
            "10:00:10 submitted local@10:00:10",
            "10:00:10 submitted sent@10:00:10",
        ]
    );
    assert_eq!(*seen.borrow(), [("ann".to_owned(), "local".to_owned())]);
}

#[test]
fn it_says_when_it_wants_to_be_pumped_and_does_nothing_before() {
    let host = Host::new(|builder| builder);
    // Once it looks for what dead nodes left behind.
    host.pass(60);
    assert_eq!(host.pump(), None, "nothing is due, so nothing wakes");
    host.add(JobSpec::new("tick", Interval::seconds(30)).id("clock"));
    host.log.read();

    for frame in 0..30 {
        assert_eq!(host.pump(), Some(Duration::from_secs(30 - frame)));
        host.now.set(host.now.get().after(Duration::from_secs(1)));
    }
    assert_eq!(host.log.read(), Vec::<String>::new());
    assert_eq!(host.pump(), Some(Duration::from_secs(30)));

    assert_eq!(host.log.read(), ["10:01:30 submitted clock@10:01:30", "10:01:30 executed clock@10:01:30"]);
    assert_eq!(host.wakes(), 1, "by the call that added the job");
}

#[test]
fn it_wants_to_be_pumped_each_minute_at_least_while_a_job_waits_so_that_a_clock_that_is_set_shows() {
    let host = Host::new(|builder| builder);
    host.pass(60);
    host.add(JobSpec::new("tick", Interval::hours(1)).id("clock"));
    host.log.read();
    assert_eq!(host.pump(), Some(Duration::from_secs(60)));

    let now = host.now.get();
    host.now.set(Now { utc: now.utc + TimeDelta::hours(2), ..now });
    host.pass(60);

    assert_eq!(
        host.log.read(),
        [
            "12:02:00 clock of Node stepped 7200s",
            "12:02:00 coalesced clock@11:01:00",
            "12:02:00 submitted clock@12:01:00",
            "12:02:00 executed clock@12:01:00",
        ]
    );
}

#[test]
fn a_host_that_was_away_runs_what_it_has_missed_as_the_job_says() {
    let host = Host::new(|builder| builder);
    host.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    host.log.read();

    host.now.set(host.now.get().after(Duration::from_secs(35)));
    assert_eq!(host.pump(), Some(Duration::from_secs(5)));

    assert_eq!(
        host.log.read(),
        [
            "10:00:35 coalesced clock@10:00:10..10:00:20 (2)",
            "10:00:35 submitted clock@10:00:30",
            "10:00:35 executed clock@10:00:30",
        ]
    );
}

#[test]
fn a_monotonic_clock_that_goes_back_stands_still() {
    let host = Host::new(|builder| builder);
    host.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    host.pass(15);
    host.pump();
    host.log.read();

    let early = Now { monotonic: Duration::ZERO, ..host.now.get() };
    assert_eq!(host.scheduler.pump(early), Some(Duration::from_secs(5)));
    host.pass(4);

    assert_eq!(host.log.read(), Vec::<String>::new());
    host.pass(1);
    assert_eq!(host.log.read(), ["10:00:20 submitted clock@10:00:20", "10:00:20 executed clock@10:00:20"]);
}

#[test]
fn the_host_is_woken_once_until_it_pumps_and_never_within_a_pump() {
    let host = Host::new(|builder| builder);
    host.add(JobSpec::new("tick", Interval::hours(1)).id("clock"));
    host.wakes();
    let handle = host.scheduler.handle();
    let other = thread::spawn(move || {
        handle.begin_shutdown(ShutdownMode::Wait).unwrap();
        handle.begin_shutdown(ShutdownMode::Wait).unwrap();
    });
    other.join().unwrap();
    assert_eq!(host.wakes(), 1);

    host.pump();

    assert_eq!(host.wakes(), 0);
    assert!(host.scheduler.is_ended());
}

#[test]
fn what_a_task_does_within_a_pump_is_done_in_the_same_one() {
    let host = Host::new(|builder| builder);
    let handle = host.scheduler.handle();
    let own = Rc::clone(&host.scheduler);
    let spawned = Rc::new(Cell::new(false));
    let spawns = Rc::clone(&spawned);
    let call = move || {
        let (handle, own, spawned) = (handle.clone(), Rc::clone(&own), Rc::clone(&spawns));
        async move {
            own.spawn_local(async move { spawned.set(true) });
            handle.pause_job("work").await?;
            handle.jobs().await.map(|jobs| jobs.len())
        }
    };
    host.scheduler.task("work", call).unwrap();
    let handle = host.scheduler.handle();
    let spec = JobSpec::new("work", Interval::hours(1).first(First::Now)).id("work");
    host.scheduler.spawn_local(async move { drop(handle.add_job(spec).await.unwrap()) });
    assert_eq!(host.wakes(), 1);

    assert_ne!(host.pump(), Some(Duration::ZERO));

    assert_eq!(host.log.read().last().unwrap(), "10:00:00 executed work@10:00:00 -> 1");
    assert!(spawned.get());
    assert_eq!(host.wakes(), 0);
}

#[test]
fn a_burst_is_spread_over_pumps() {
    const JOBS: usize = 5_000;
    let host = Host::new(|builder| builder);
    let running = Rc::new(Cell::new(0));
    let runs = Rc::clone(&running);
    host.scheduler
        .task("count", move || {
            runs.set(runs.get() + 1);
            ready(())
        })
        .unwrap();
    let handle = host.scheduler.handle();
    let specs = (0..JOBS).map(|_| JobSpec::now("count")).collect();
    host.scheduler
        .spawn_local(async move { handle.add_jobs(specs).await.into_iter().for_each(|job| drop(job.unwrap())) });

    let mut most = 0;
    while running.get() < JOBS {
        let before = running.get();
        let wait = host.pump();
        most = most.max(running.get() - before);
        assert!(running.get() == JOBS || wait == Some(Duration::ZERO), "there is more to do");
    }

    assert_eq!(running.get(), JOBS);
    assert!((1..=2_000).contains(&most), "{most} runs in one pump");
}

#[test]
fn a_task_that_never_rests_holds_up_neither_the_host_nor_others() {
    let host = Host::new(|builder| builder);
    let polls = Rc::new(Cell::new(0));
    let polled = Rc::clone(&polls);
    let spin = move || {
        let polled = Rc::clone(&polled);
        poll_fn(move |cx| {
            polled.set(polled.get() + 1);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })
    };
    host.scheduler.task("spin", spin).unwrap();
    let handle = host.scheduler.handle();
    host.scheduler.spawn_local(async move { drop(handle.add_job(JobSpec::now("spin").id("spin")).await.unwrap()) });

    assert_eq!(host.pump(), Some(Duration::ZERO));
    let first = polls.get();
    assert!((1..=100).contains(&first), "{first} polls");
    host.add(JobSpec::now("tick").id("other"));

    assert!(host.log.read().contains(&"10:00:00 executed other@10:00:00".to_owned()));
    // It is to be pumped again at once in any case, and need not be told.
    assert_eq!(host.wakes(), 1);
}

#[test]
fn a_pump_within_a_pump_does_nothing() {
    let host = Host::new(|builder| builder);
    let (own, now) = (Rc::clone(&host.scheduler), host.now.get());
    let dialogue = move || {
        let own = Rc::clone(&own);
        async move { own.pump(now).is_none() }
    };
    host.scheduler.task("dialogue", dialogue).unwrap();

    host.add(JobSpec::now("dialogue").id("dialogue"));
    host.pump();

    assert!(host.log.read().contains(&"10:00:00 executed dialogue@10:00:00 -> true".to_owned()));
}

#[test]
fn a_panic_of_a_task_a_future_or_the_callback_ends_nothing_else() {
    let host = Host::new(|builder| builder);
    host.scheduler.on_wake(|| panic!("(this panic is part of the test)"));
    host.scheduler.task("panic", || -> std::future::Ready<()> { panic!("(this panic is part of the test)") }).unwrap();
    host.scheduler.spawn_local(async { panic!("(this panic is part of the test)") });

    host.add(JobSpec::now("panic").id("bad"));
    host.add(JobSpec::now("tick").id("good"));
    host.pump();

    let told = host.log.read();
    assert!(told.contains(&"10:00:00 error bad@10:00:00: panicked: (this panic is part of the test)".to_owned()));
    assert!(told.contains(&"10:00:00 executed good@10:00:00".to_owned()));
}

#[test]
fn a_task_is_checked_and_named_as_anywhere() {
    let host = Host::new(|builder| builder.executor("default", Spawn::new()));
    host.scheduler.task("here", |n: u32| ready(n)).unwrap();
    assert_eq!(host.scheduler.task("here", || ready(())).unwrap_err().kind(), ErrorKind::Config);
    let handle = host.scheduler.handle();
    let wrong = host.wait(async move { handle.add_job(JobSpec::now("here").args("seven")).await }).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Arguments);

    host.add(JobSpec::now("here").id("local").args(7).executor("local"));
    host.pump();
    assert!(host.log.read().contains(&"10:00:00 executed local@10:00:00 -> 7".to_owned()));
}

#[test]
fn several_stores_are_used_at_once() {
    let other = FaultyStore::over(MemoryStore::new());
    let host = Host::new(|builder| builder.store("other", other.clone()));
    host.add(JobSpec::new("tick", Interval::seconds(10)).id("one"));
    host.add(JobSpec::new("tick", Interval::seconds(10)).id("two").store("other"));
    host.log.read();

    other.go_away();
    host.pass(11);

    let told = host.log.read();
    assert!(told.contains(&"10:00:10 executed one@10:00:10".to_owned()), "{told:#?}");
    assert!(told.contains(&"10:00:10 store other failed: nobody answers".to_owned()), "{told:#?}");
    other.come_back();
    host.pass(20);
    let told = host.log.read();
    assert!(told.iter().any(|line| line.ends_with("executed two@10:00:10")), "{told:#?}");
}

#[test]
fn a_task_that_takes_too_long_is_dropped_at_its_timeout() {
    let host = Host::new(|builder| builder);
    host.scheduler.task("hold", pending::<()>).unwrap();
    host.add(JobSpec::now("hold").id("hold").timeout(Duration::from_secs(10)));
    host.log.read();

    host.pass(10);

    assert_eq!(host.log.read(), ["10:00:10 timeout hold@10:00:00", "10:00:10 finished hold"]);
}

#[test]
fn shutting_down_now_drops_its_tasks() {
    let host = Host::new(|builder| builder);
    let held = Rc::new(());
    let holds = Rc::clone(&held);
    let hold = move || {
        let held = Rc::clone(&holds);
        async move {
            let _held = held;
            pending::<()>().await;
        }
    };
    host.scheduler.task("hold", hold).unwrap();
    host.add(JobSpec::now("hold").id("hold"));
    host.pump();
    assert_eq!(Rc::strong_count(&held), 3);
    host.log.read();

    host.scheduler.handle().begin_shutdown(ShutdownMode::Now).unwrap();
    host.pump();

    assert_eq!(Rc::strong_count(&held), 2);
    assert_eq!(host.log.read(), ["10:00:00 cancelled hold@10:00:00", "10:00:00 finished hold", "10:00:00 shut down"]);
}

#[test]
fn what_is_asked_after_its_end_is_answered_in_the_pumps_that_follow() {
    let host = Host::new(|builder| builder);
    let handle = host.scheduler.handle();
    host.wait(async move { handle.shutdown(ShutdownMode::Wait).await }).unwrap();
    assert!(host.scheduler.is_ended());
    assert_eq!(host.pump(), None);

    let handle = host.scheduler.handle();
    let error = host.wait(async move { handle.start().await }).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::ShutDown);
    assert_eq!(host.scheduler.task("late", || ready(())).unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(host.scheduler.task("late", || ready(())).unwrap_err().kind(), ErrorKind::ShutDown);
}

#[test]
fn dropping_it_answers_who_waits_drops_its_tasks_and_forgets_the_callback() {
    let host = Host::new(|builder| builder);
    let held = Rc::new(());
    let holds = Rc::clone(&held);
    host.scheduler.spawn_local(async move {
        let _held = holds;
        pending::<()>().await;
    });
    host.pump();
    let handle = host.scheduler.handle();
    let mut call = pin!(handle.jobs());
    assert!(poll(call.as_mut()).is_pending());
    assert_eq!((Rc::strong_count(&held), Arc::strong_count(&host.wakes)), (2, 2));

    drop(host.scheduler);

    let Poll::Ready(Err(error)) = poll(call) else { panic!("the call is answered") };
    assert_eq!(error.kind(), ErrorKind::ShutDown);
    assert_eq!((Rc::strong_count(&held), Arc::strong_count(&host.wakes)), (1, 1));
}

#[test]
fn a_host_that_does_not_pump_is_noticed_on_other_threads() {
    let host = Host::new(|builder| builder);
    let handle = host.scheduler.handle();
    let mut health = pin!(handle.health());
    assert!(poll(health.as_mut()).is_pending());
    host.real.advance(Duration::from_millis(500));

    let Poll::Ready(health) = poll(health) else { panic!("it is never later than that") };
    assert_eq!(health.event_loop, LoopState::Stuck);
    let mut health = pin!(handle.health());
    assert!(poll(health.as_mut()).is_pending());
    host.pump();
    assert!(matches!(poll(health), Poll::Ready(health) if health.is_ready()));
}

#[test]
fn whoever_waits_for_a_place_in_the_channel_is_patient_by_the_clock_of_the_runtime() {
    let host = Host::new(|builder| builder);
    host.pass(3_600);
    let handle = host.scheduler.handle();
    let mut calls: Vec<_> = (0..1_024).map(|_| Box::pin(handle.wakeup())).collect();
    for call in &mut calls {
        assert!(poll(call.as_mut()).is_pending());
    }
    assert_eq!(host.scheduler.task("late", || ready(())).unwrap_err().kind(), ErrorKind::Busy);
    let mut hasty = pin!(handle.wakeup());
    assert!(poll(hasty.as_mut()).is_pending());
    host.real.advance(Duration::from_secs(10));
    let Poll::Ready(Err(error)) = poll(hasty) else { panic!("ten seconds are enough") };
    assert_eq!(error.kind(), ErrorKind::Busy);
    let mut one_more = pin!(handle.wakeup());
    assert!(poll(one_more.as_mut()).is_pending());

    // The host has slept for an hour, but was not asked for longer than a moment.
    host.now.set(host.now.get().after(Duration::from_secs(3_600)));
    host.pump();

    for call in calls {
        assert_eq!(poll(pin!(call)), Poll::Ready(Ok(())));
    }
    assert!(poll(one_more.as_mut()).is_pending());
    host.pump();
    assert_eq!(poll(one_more), Poll::Ready(Ok(())));
}

#[test]
fn the_end_of_a_blocking_task_wakes_the_host_from_its_thread() {
    let (here, (open, gate)) = (thread::current().id(), mpsc::channel());
    let gate = Mutex::new(gate);
    let elsewhere = move || gate.lock().unwrap().recv_timeout(DEADLINE).is_ok() && thread::current().id() != here;
    let builder = Scheduler::builder(ThreadRuntime::new().unwrap()).register(blocking("where", elsewhere));
    let scheduler = builder.pumped().unwrap();
    let (wake, wakes) = mpsc::channel();
    scheduler.on_wake(move || wake.send(thread::current().id()).unwrap());
    let mut events = scheduler.handle().events(EventMask::RUN_SUBMITTED | EventMask::RUN_EXECUTED);
    let handle = scheduler.handle();
    scheduler.spawn_local(async move {
        handle.start().await.unwrap();
        handle.add_job(JobSpec::now("where")).await.unwrap();
    });
    // As a host does, with a queue for its loop.
    let mut next = || loop {
        let after = scheduler.pump(SystemClock::now());
        if let Some(event) = events.try_next() {
            return event.unwrap();
        }
        let _ = wakes.recv_timeout(after.unwrap_or(DEADLINE));
    };
    assert!(matches!(next().kind, EventKind::RunSubmitted(_)));
    while scheduler.pump(SystemClock::now()).is_some_and(|wait| wait < Duration::from_secs(1)) {}

    open.send(()).unwrap();

    assert_ne!(wakes.recv_timeout(DEADLINE).unwrap(), here);
    assert!(matches!(&next().kind, EventKind::RunExecuted { output, .. } if *output == true));
}
