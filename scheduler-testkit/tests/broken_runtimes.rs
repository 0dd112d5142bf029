//! Each promise of a runtime is able to fail: a runtime with one flaw is caught by it.

use std::future::Future;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use scheduler_runtime::Now;
use scheduler_runtime::{BoxFuture, Runtime};
use scheduler_testkit::runtime::conformance::{self, DEADLINE, keeps};
use scheduler_thread::ThreadRuntime;

/// What hangs, hangs for ever; there is no need to watch it for long.
const HANGS: Duration = Duration::from_millis(500);
const FAILS: Duration = DEADLINE;

macro_rules! flaws {
    ($($promise:ident: $flaw:ident $deadline:ident,)+) => {$(
        #[test]
        fn $promise() {
            let broken = Arc::new(Broken::by(Flaw::$flaw));
            let kept = catch_unwind(|| keeps(conformance::$promise, broken, $deadline));
            assert!(kept.is_err(), "{:?} goes unnoticed", Flaw::$flaw);
        }
    )+};
}

flaws! {
    a_future_that_yields_lets_others_run: PollsInPlaceWhileWoken HANGS,
    a_panicking_future_takes_nothing_down: StopsAtAPanic FAILS,
    a_runtime_may_be_dropped_in_async_code: PanicsWhenDroppedByAWorker FAILS,
    a_runtime_with_work_pending_may_be_dropped: WaitsWhenDropped HANGS,
    a_sleep_beyond_the_clock_does_not_end: EndlessIsAMillisecond FAILS,
    a_sleep_ends_in_any_executor: SleepsOnWorkersOnly FAILS,
    a_sleep_is_counted_from_its_making: SleepsFromTheFirstPoll FAILS,
    a_sleep_never_ends_early: SleepsInWholeMilliseconds FAILS,
    a_sleep_of_zero_ends: ZeroIsEndless HANGS,
    a_sleep_wakes_who_polled_it_last: KeepsTheFirstWaker HANGS,
    a_spawned_future_may_spawn: WorkersSpawnNothing FAILS,
    a_spawned_future_needs_nobody_to_wait_for_it: SpawnsAtTheNextBlockOn HANGS,
    a_spawned_future_runs_to_its_end: PollsSpawnedOnce FAILS,
    a_wake_up_from_a_plain_thread_is_seen: WorkersAloneWake HANGS,
    block_on_drives_a_future_that_is_not_send: BlocksOnOnePoll FAILS,
    block_on_may_borrow: BlocksOnOnePoll FAILS,
    block_on_raises_the_panic_of_its_future: SwallowsPanics FAILS,
    block_on_runs_in_several_threads_at_once: BlocksOneThreadAtATime HANGS,
    block_on_sees_a_wake_up_from_a_plain_thread: WorkersAloneWake HANGS,
    blocking_work_leaves_the_async_threads_free: BlocksItsWorker HANGS,
    blocking_work_may_block_on: BlocksItsWorker FAILS,
    blocking_work_runs: LosesWork FAILS,
    both_clocks_advance: ClockStandsStill FAILS,
    dropped_sleeps_are_forgotten: KeepsTheFirstWaker FAILS,
    panicking_work_takes_nothing_down: StopsAtAPanic FAILS,
    plain_threads_may_share_a_runtime: BelongsToOneThread FAILS,
    readings_are_whole_microseconds: ClockHasNanoseconds FAILS,
    spawn_returns_before_the_future_ends: SpawnWaits HANGS,
    ten_thousand_futures_run_concurrently: OneFutureAtATime HANGS,
    the_monotonic_clock_never_goes_back: ClockRunsBackwards FAILS,
    the_monotonic_clock_never_goes_back_in_any_thread: ClockRunsBackwards FAILS,
}

#[test]
fn every_promise_is_in_the_macro_and_has_its_flaw() {
    let list = include_str!("../src/runtime/conformance.rs");
    let flaws = include_str!("broken_runtimes.rs");
    let promises = [
        include_str!("../src/runtime/conformance/block_on.rs"),
        include_str!("../src/runtime/conformance/blocking.rs"),
        include_str!("../src/runtime/conformance/clock.rs"),
        include_str!("../src/runtime/conformance/drop.rs"),
        include_str!("../src/runtime/conformance/sleep.rs"),
        include_str!("../src/runtime/conformance/spawn.rs"),
    ];

    let names: Vec<_> = promises
        .iter()
        .flat_map(|file| file.lines())
        .filter_map(|line| line.strip_prefix("pub fn ")?.split_once('('))
        .map(|(name, _)| name)
        .collect();

    assert_eq!(names.len(), 31);
    for name in names {
        assert!(list.lines().any(|line| line.trim() == name), "the macro leaves out {name}");
        assert!(flaws.contains(&format!("    {name}: ")), "{name} has no flaw");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    BelongsToOneThread,
    BlocksItsWorker,
    BlocksOnOnePoll,
    BlocksOneThreadAtATime,
    ClockHasNanoseconds,
    ClockRunsBackwards,
    ClockStandsStill,
    EndlessIsAMillisecond,
    KeepsTheFirstWaker,
    LosesWork,
    OneFutureAtATime,
    PanicsWhenDroppedByAWorker,
    PollsInPlaceWhileWoken,
    PollsSpawnedOnce,
    SleepsFromTheFirstPoll,
    SleepsInWholeMilliseconds,
    SleepsOnWorkersOnly,
    SpawnWaits,
    SpawnsAtTheNextBlockOn,
    StopsAtAPanic,
    SwallowsPanics,
    WaitsWhenDropped,
    WorkersAloneWake,
    WorkersSpawnNothing,
    ZeroIsEndless,
}

/// A sound runtime with one worker, and one flaw.
#[derive(Debug)]
struct Broken {
    flaw: Flaw,
    sound: ThreadRuntime,
    stopped: Arc<AtomicBool>,
    owner: OnceLock<ThreadId>,
    blocked_on: Mutex<()>,
    start: Now,
    one_at_a_time: OnceLock<mpsc::Sender<Later>>,
    later: Mutex<Vec<Later>>,
}

struct Later(BoxFuture<'static, ()>);

impl Broken {
    fn by(flaw: Flaw) -> Self {
        let sound = ThreadRuntime::with_worker_threads(NonZeroUsize::MIN).expect("the system has threads");
        Self {
            flaw,
            stopped: Arc::default(),
            owner: OnceLock::new(),
            blocked_on: Mutex::default(),
            start: sound.now(),
            one_at_a_time: OnceLock::new(),
            later: Mutex::default(),
            sound,
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }
}

impl Runtime for Broken {
    fn now(&self) -> Now {
        let Now { utc, monotonic } = self.sound.now();
        match self.flaw {
            Flaw::ClockHasNanoseconds => Now { utc: utc + Duration::from_nanos(1), monotonic },
            Flaw::ClockRunsBackwards => Now { utc, monotonic: Duration::from_secs(3_600) - monotonic },
            Flaw::ClockStandsStill => self.start,
            _ => Now { utc, monotonic },
        }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let sound = self.sound.clone();
        let sleep = sound.sleep(duration);
        match self.flaw {
            Flaw::EndlessIsAMillisecond => sound.sleep(duration.min(Duration::from_millis(1))),
            Flaw::KeepsTheFirstWaker => Box::pin(FirstWaker { sleep: Some(sleep), sound, over: Arc::default() }),
            Flaw::SleepsFromTheFirstPoll => Box::pin(async move { sound.sleep(duration).await }),
            Flaw::SleepsInWholeMilliseconds => {
                let whole = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
                sound.sleep(Duration::from_millis(whole))
            }
            Flaw::SleepsOnWorkersOnly => Box::pin(async move {
                assert!(is_worker(), "no reactor here");
                sleep.await;
            }),
            Flaw::ZeroIsEndless if duration.is_zero() => Box::pin(std::future::pending()),
            _ => sleep,
        }
    }

    fn spawn(&self, mut future: BoxFuture<'static, ()>) {
        let sound = self.sound.clone();
        match self.flaw {
            Flaw::BelongsToOneThread => {
                let owner = self.owner.get_or_init(|| thread::current().id());
                assert_eq!(*owner, thread::current().id());
                sound.spawn(future);
            }
            Flaw::OneFutureAtATime => {
                let queue = self.one_at_a_time.get_or_init(|| {
                    let (queue, futures) = mpsc::channel::<Later>();
                    thread::spawn(move || futures.iter().for_each(|Later(future)| sound.block_on(future)));
                    queue
                });
                queue.send(Later(future)).expect("the thread runs them");
            }
            Flaw::PollsInPlaceWhileWoken => sound.spawn(Box::pin(InPlace(future))),
            Flaw::PollsSpawnedOnce => sound.spawn(Box::pin(std::future::poll_fn(move |context| {
                let _ = future.as_mut().poll(context);
                Poll::Ready(())
            }))),
            Flaw::SpawnWaits => {
                thread::spawn(move || sound.block_on(future)).join().expect("it ends");
            }
            Flaw::SpawnsAtTheNextBlockOn => {
                self.later.lock().expect("sound").push(Later(future));
            }
            Flaw::StopsAtAPanic => {
                let stop = StopAtAPanic(Arc::clone(&self.stopped));
                sound.spawn(Box::pin(async move {
                    if !stop.0.load(Ordering::SeqCst) {
                        let _stop = stop;
                        future.await;
                    }
                }));
            }
            Flaw::WorkersAloneWake => sound.spawn(Box::pin(DeafToOthers(future))),
            Flaw::WorkersSpawnNothing if is_worker() => {}
            _ => sound.spawn(future),
        }
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        match self.flaw {
            Flaw::BlocksItsWorker => self.sound.spawn(Box::pin(async move { work() })),
            Flaw::LosesWork => {}
            Flaw::StopsAtAPanic => {
                let stop = StopAtAPanic(Arc::clone(&self.stopped));
                self.sound.spawn_blocking(Box::new(move || {
                    if !stop.0.load(Ordering::SeqCst) {
                        let _stop = stop;
                        work();
                    }
                }));
            }
            _ => self.sound.spawn_blocking(work),
        }
    }

    fn block_on(&self, mut future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        for Later(future) in self.later.lock().expect("sound").drain(..) {
            self.sound.spawn(future);
        }
        match self.flaw {
            Flaw::BlocksOnOnePoll => {
                let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
            Flaw::BlocksOneThreadAtATime => {
                let _alone = self.blocked_on.lock().expect("sound");
                self.sound.block_on(future);
            }
            Flaw::SwallowsPanics => {
                let _ = catch_unwind(AssertUnwindSafe(|| self.sound.block_on(future)));
            }
            Flaw::WorkersAloneWake => self.sound.block_on(Box::pin(DeafToOthers(future))),
            _ => self.sound.block_on(future),
        }
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        if self.has(Flaw::WaitsWhenDropped) {
            loop {
                thread::park();
            }
        }
        assert!(!self.has(Flaw::PanicsWhenDroppedByAWorker) || !is_worker(), "dropped by a worker");
    }
}

impl std::fmt::Debug for Later {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Later")
    }
}

fn is_worker() -> bool {
    thread::current().name().is_some_and(|name| name.starts_with("scheduler-worker"))
}

struct StopAtAPanic(Arc<AtomicBool>);

impl Drop for StopAtAPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// A sleep that wakes whoever polled it first, and holds on to them when dropped.
struct FirstWaker {
    sleep: Option<BoxFuture<'static, ()>>,
    sound: ThreadRuntime,
    over: Arc<AtomicBool>,
}

impl Future for FirstWaker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = self.sleep.take() {
            let (waker, over) = (context.waker().clone(), Arc::clone(&self.over));
            self.sound.spawn(Box::pin(async move {
                sleep.await;
                over.store(true, Ordering::SeqCst);
                waker.wake();
            }));
        }
        if self.over.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Polls again at once when woken meanwhile, instead of at the end of the line.
struct InPlace(BoxFuture<'static, ()>);

impl Future for InPlace {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let woken = Arc::new(Woken(AtomicBool::new(false), context.waker().clone()));
        loop {
            let waker = Waker::from(Arc::clone(&woken));
            if self.0.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                return Poll::Ready(());
            }
            if !woken.0.swap(false, Ordering::SeqCst) {
                return Poll::Pending;
            }
        }
    }
}

struct Woken(AtomicBool, Waker);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
        self.1.wake_by_ref();
    }
}

/// Hears the wake-ups of the runtime's own threads only.
struct DeafToOthers<F>(F);

impl<F: Future<Output = ()> + Unpin> Future for DeafToOthers<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = Waker::from(Arc::new(Deaf(context.waker().clone())));
        Pin::new(&mut self.0).poll(&mut Context::from_waker(&waker))
    }
}

struct Deaf(Waker);

impl Wake for Deaf {
    fn wake(self: Arc<Self>) {
        if is_worker() {
            self.0.wake_by_ref();
        }
    }
}
