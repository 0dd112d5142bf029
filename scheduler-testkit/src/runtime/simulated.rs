//! A runtime in virtual time, for tests that never wait.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use scheduler_core::Now;
use scheduler_runtime::{BoxFuture, Runtime};

/// Turns at one instant after which something must be waking itself for ever. A burst of a hundred thousand jobs
/// takes less than a tenth of this, and this takes a second or so.
const TURNS_AT_ONE_INSTANT: u64 = 10_000_000;

/// A runtime on one thread, in virtual time: no test of it waits, and each goes the same way twice.
///
/// Time stands still while anything can run, then jumps to the earliest sleeper. Futures take turns
/// in the order in which they were spawned or woken; blocking work runs in its turn, in place. Nothing runs
/// but within [`block_on`](Runtime::block_on), [`advance`](Self::advance) and
/// [`run_until`](Self::run_until).
///
/// Clones share the simulation. It is meant for one thread; others may spawn into it and wake its
/// futures, at the price of its determinism, and it never waits for them.
///
/// ```
/// use std::time::Duration;
///
/// use chrono::DateTime;
/// use scheduler_runtime::Runtime;
/// use scheduler_testkit::SimulatedRuntime;
///
/// let start = DateTime::parse_from_rfc3339("2026-03-29T00:59:00Z").unwrap().to_utc();
/// let runtime = SimulatedRuntime::starting_at(start);
///
/// let nap = runtime.clone();
/// runtime.spawn(Box::pin(async move {
///     nap.sleep(Duration::from_secs(60)).await;
///     assert_eq!(nap.now().utc.to_rfc3339(), "2026-03-29T01:00:00+00:00");
/// }));
/// assert_eq!(runtime.next_wake(), None); // Nothing has run yet.
///
/// runtime.advance(Duration::ZERO);
/// assert_eq!(runtime.next_wake(), Some(Duration::from_secs(60)));
///
/// runtime.advance(Duration::from_secs(3_600));
/// assert_eq!(runtime.now().utc.to_rfc3339(), "2026-03-29T01:59:00+00:00");
/// assert_eq!(runtime.next_wake(), None);
/// ```
#[derive(Clone)]
pub struct SimulatedRuntime {
    world: Arc<Mutex<World>>,
}

struct World {
    /// Exact; a reading of the clock rounds it down.
    wall: DateTime<Utc>,
    monotonic: Duration,
    turns: VecDeque<Turn>,
    turns_at_this_instant: u64,
    /// None while the future is being polled.
    futures: BTreeMap<u64, Option<BoxFuture<'static, ()>>>,
    sleepers: BTreeMap<(Duration, u64), Waker>,
    ids: u64,
    wake_ups: u64,
}

enum Turn {
    Poll(u64, Arc<FutureWaker>),
    Work(Box<dyn FnOnce() + Send + 'static>),
}

impl SimulatedRuntime {
    /// A simulation whose wall clock starts at `utc`, and its monotonic clock at zero.
    #[must_use]
    pub fn starting_at(utc: DateTime<Utc>) -> Self {
        Self {
            world: Arc::new(Mutex::new(World {
                wall: utc,
                monotonic: Duration::ZERO,
                turns: VecDeque::new(),
                turns_at_this_instant: 0,
                futures: BTreeMap::new(),
                sleepers: BTreeMap::new(),
                ids: 0,
                wake_ups: 0,
            })),
        }
    }

    /// Lives through `duration`, and ends exactly that much later by the monotonic clock.
    ///
    /// All that can run by then has run. A duration of zero runs what can run at this instant.
    ///
    /// # Panics
    ///
    /// From inside of one of the simulation's futures, and if a future wakes itself for ever.
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        let end = self.world().monotonic.saturating_add(duration);
        self.live_until(|world| end.saturating_sub(world.monotonic));
    }

    /// Lives until the wall clock shows `utc`.
    ///
    /// If it shows that or more already, runs what can run at this instant. Steps of the clock on
    /// the way count.
    ///
    /// # Panics
    ///
    /// As [`advance`](Self::advance).
    #[track_caller]
    pub fn run_until(&self, utc: DateTime<Utc>) {
        self.live_until(|world| (utc - world.wall).to_std().unwrap_or(Duration::ZERO));
    }

    /// Lives until a future of the caller's ends, and gives what it gives: how a test calls the async methods of a
    /// scheduler. What else can run at that instant waits for the next call.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use chrono::DateTime;
    /// use scheduler_core::{EventMask, JobSpec, trigger::Interval};
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_testkit::SimulatedRuntime;
    ///
    /// # fn main() -> Result<(), scheduler_core::Error> {
    /// let runtime = SimulatedRuntime::starting_at(DateTime::UNIX_EPOCH);
    /// let scheduler = Scheduler::builder(runtime.clone()).task("tick", || async {}).build()?;
    /// let mut ticks = scheduler.events(EventMask::RUN_EXECUTED);
    /// runtime.run(scheduler.add_job(JobSpec::new("tick", Interval::hours(1))))?;
    /// runtime.run(scheduler.start())?;
    ///
    /// let tick = runtime.run(ticks.next()).expect("the scheduler is running").expect("no event is missing");
    /// assert_eq!(tick.kind.run().unwrap().fire_time.to_rfc3339(), "1970-01-01T01:00:00+00:00");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// As [`block_on`](Runtime::block_on).
    #[track_caller]
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut output = None;
        self.block_on(Box::pin(async { output = Some(future.await) }));
        output.expect("block_on returns when its future has ended")
    }

    /// Sets the wall clock forward or back, as operators and time servers do.
    ///
    /// The monotonic clock, and so every sleep, takes no notice. A step forward is also what a
    /// machine that was suspended sees.
    ///
    /// ```
    /// use chrono::{DateTime, TimeDelta};
    /// use scheduler_runtime::Runtime;
    /// use scheduler_testkit::SimulatedRuntime;
    ///
    /// let runtime = SimulatedRuntime::starting_at(DateTime::UNIX_EPOCH);
    /// let before = runtime.now();
    /// runtime.step_clock(TimeDelta::hours(-1));
    ///
    /// assert_eq!(runtime.now().utc - before.utc, TimeDelta::hours(-1));
    /// assert_eq!(runtime.now().monotonic, before.monotonic);
    /// ```
    pub fn step_clock(&self, by: TimeDelta) {
        self.world().wall += by;
    }

    /// How long until the earliest sleeper, if anything sleeps.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let world = self.world();
        let ((deadline, _), _) = world.sleepers.first_key_value()?;
        Some(deadline.saturating_sub(world.monotonic))
    }

    /// How many sleeps have ended so far: what an idle scheduler keeps low.
    #[must_use]
    pub fn wake_ups(&self) -> u64 {
        self.world().wake_ups
    }

    fn live_until(&self, remaining: impl Fn(&World) -> Duration) {
        let _guard = Inside::enter();
        loop {
            while self.take_turn() {}
            let left = remaining(&self.world());
            if left.is_zero() {
                return;
            }
            if !self.jump(left) {
                self.world().pass(left);
            }
        }
    }

    /// Runs what is first in line; false if nothing is.
    fn take_turn(&self) -> bool {
        let Some(turn) = self.world().turns.pop_front() else {
            return false;
        };
        self.count_turn();
        // The panic hook has reported what is caught here.
        match turn {
            Turn::Poll(id, waker) => self.poll(id, waker),
            Turn::Work(work) => {
                let _outside = Inside::leave();
                let _ = catch_unwind(AssertUnwindSafe(work));
            }
        }
        true
    }

    fn count_turn(&self) {
        let turns = {
            let mut world = self.world();
            world.turns_at_this_instant += 1;
            world.turns_at_this_instant
        };
        assert!(
            turns <= TURNS_AT_ONE_INSTANT,
            "the simulation took {TURNS_AT_ONE_INSTANT} turns without time passing: a future wakes \
             itself for ever"
        );
    }

    fn poll(&self, id: u64, waker: Arc<FutureWaker>) {
        waker.in_line.store(false, Ordering::SeqCst);
        let future = self.world().futures.get_mut(&id).and_then(Option::take);
        let Some(mut future) = future else {
            return;
        };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let waker = Waker::from(waker);
            future.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        if let Ok(Poll::Pending) = polled {
            self.world().futures.insert(id, Some(future));
        } else {
            self.world().futures.remove(&id);
            let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        }
    }

    /// Moves time to the earliest sleeper and wakes all of that instant; false if none is within `limit`.
    fn jump(&self, limit: Duration) -> bool {
        let mut world = self.world();
        let Some(((deadline, _), _)) = world.sleepers.first_key_value() else {
            return false;
        };
        let deadline = *deadline;
        let wait = deadline.saturating_sub(world.monotonic);
        if wait > limit {
            return false;
        }
        world.pass(wait);
        let later = world.sleepers.split_off(&(deadline, u64::MAX));
        let due = std::mem::replace(&mut world.sleepers, later);
        world.wake_ups += due.len() as u64;
        drop(world);
        for waker in due.into_values() {
            waker.wake();
        }
        true
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }
}

impl Runtime for SimulatedRuntime {
    fn now(&self) -> Now {
        let world = self.world();
        Now { utc: world.wall.trunc_subsecs(6), monotonic: world.monotonic }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep {
            deadline: self.world().monotonic.checked_add(duration),
            ticket: None,
            world: Arc::downgrade(&self.world),
        })
    }

    fn is_time_virtual(&self) -> bool {
        true
    }

    fn spawn(&self, future: BoxFuture<'static, ()>) {
        let id = {
            let mut world = self.world();
            let id = world.next_id();
            world.futures.insert(id, Some(future));
            id
        };
        let waker = Arc::new(FutureWaker { id, in_line: AtomicBool::new(false), world: Arc::downgrade(&self.world) });
        waker.wake();
    }

    /// Queues the work to run in its turn, on the thread that drives the simulation.
    ///
    /// Work that waits for a future of the simulation in another way than by
    /// [`block_on`](Runtime::block_on) waits for ever.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.world().turns.push_back(Turn::Work(work));
    }

    /// Lives until `future` ends, and no longer: what else can run at that instant waits for the next call.
    ///
    /// # Panics
    ///
    /// If `future` panics, if it waits for something that nothing in the simulation will do, from
    /// inside of one of the simulation's futures, and if a future wakes itself for ever.
    #[track_caller]
    fn block_on(&self, mut future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        let _guard = Inside::enter();
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        loop {
            let woken = flag.0.swap(false, Ordering::SeqCst);
            if woken {
                self.count_turn();
                if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    return;
                }
            }
            let moved = self.take_turn() || woken || self.jump(Duration::MAX);
            assert!(
                moved || flag.0.load(Ordering::SeqCst),
                "SimulatedRuntime::block_on waits for ever: nothing can run and nothing sleeps; a store, executor or \
                 task that waits for another thread or for a socket needs a runtime in real time, or tokio's paused clock"
            );
        }
    }
}

impl fmt::Debug for SimulatedRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let world = self.world();
        f.debug_struct("SimulatedRuntime")
            .field("utc", &world.wall)
            .field("monotonic", &world.monotonic)
            .field("in_line", &world.turns.len())
            .field("futures", &world.futures.len())
            .field("sleepers", &world.sleepers.len())
            .finish()
    }
}

impl World {
    fn pass(&mut self, duration: Duration) {
        let delta = TimeDelta::from_std(duration).expect("a test stays within the calendar");
        self.wall += delta;
        self.monotonic += duration;
        if !duration.is_zero() {
            self.turns_at_this_instant = 0;
        }
    }

    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }
}

/// A panic of a future is caught outside of the lock, so that the world is whole after any.
fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

struct FutureWaker {
    id: u64,
    in_line: AtomicBool,
    world: Weak<Mutex<World>>,
}

impl Wake for FutureWaker {
    fn wake(self: Arc<Self>) {
        if self.in_line.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Some(world) = self.world.upgrade() {
            let turn = Turn::Poll(self.id, self);
            lock(&world).turns.push_back(turn);
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Holds the world weakly: the world holds the futures that hold this.
struct Sleep {
    deadline: Option<Duration>,
    ticket: Option<u64>,
    world: Weak<Mutex<World>>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (Some(deadline), Some(world)) = (self.deadline, self.world.upgrade()) else {
            return Poll::Pending;
        };
        let waker = context.waker().clone();
        let mut world = lock(&world);
        if deadline <= world.monotonic {
            return Poll::Ready(());
        }
        let ticket = *self.ticket.get_or_insert_with(|| world.next_id());
        let replaced = world.sleepers.insert((deadline, ticket), waker);
        drop(world);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let (Some(deadline), Some(ticket), Some(world)) = (self.deadline, self.ticket, self.world.upgrade()) {
            let forgotten = lock(&world).sleepers.remove(&(deadline, ticket));
            drop(forgotten);
        }
    }
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside of a simulation's future, where waiting would wait for itself.
struct Inside {
    before: bool,
}

impl Inside {
    #[track_caller]
    fn enter() -> Self {
        assert!(!INSIDE.get(), "a simulation was driven from inside of one of its futures: await there instead");
        Self { before: INSIDE.replace(true) }
    }

    fn leave() -> Self {
        Self { before: INSIDE.replace(false) }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.before);
    }
}
