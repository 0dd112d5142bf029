//! tokio's paused clock, as tests have it.

use std::mem;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use scheduler_runtime::{BoxFuture, Now, SystemClock};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// A clock of tokio that was paused before it was first looked at, and a wall clock that goes with it.
#[derive(Debug, Clone)]
pub(crate) struct PausedClock {
    start: Instant,
    /// What the wall clock shows at the start.
    utc: DateTime<Utc>,
    holds: Arc<Mutex<Holds>>,
}

impl PausedClock {
    /// The clock of a runtime, if it is paused.
    pub(crate) fn of(handle: &Handle) -> Option<Self> {
        let (earlier, start, later) = {
            let _in_context = handle.enter();
            (real(), Instant::now(), real())
        };
        // A clock that was never paused is the real one. One that goes on again shows another time, and is followed as well.
        if (earlier..=later).contains(&start.into_std()) {
            return None;
        }
        // The same for each that is made in one test, and whole milliseconds as tokio's timers have them.
        let utc = SystemClock::now().utc + signed(start.into_std(), later);
        Some(Self { start, utc: utc.trunc_subsecs(3), holds: Arc::default() })
    }

    pub(crate) fn set_wall_clock(&mut self, utc: DateTime<Utc>) {
        self.utc = utc;
    }

    pub(crate) fn now(&self, handle: &Handle) -> Now {
        let _in_context = handle.enter();
        let now = Now { utc: self.utc, monotonic: Duration::ZERO }.after(Instant::now() - self.start);
        Now { utc: now.utc.trunc_subsecs(6), ..now }
    }

    /// Keeps the clock where it is until what this gives is dropped.
    pub(crate) fn hold(&self, handle: &Handle) -> TimeHold {
        self.holds().begin(handle);
        TimeHold(self.clone())
    }

    fn holds(&self) -> MutexGuard<'_, Holds> {
        // Each change of them is complete, so that poison says nothing.
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sleep(&self, handle: &Handle, duration: Duration) -> BoxFuture<'static, ()> {
        let _in_context = handle.enter();
        match Instant::now().checked_add(duration) {
            Some(deadline) => Box::pin(tokio::time::sleep_until(deadline)),
            // Beyond the range of the clock, which is not to jump there.
            None => Box::pin(std::future::pending()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tokio's clock is compared with the real one")]
fn real() -> std::time::Instant {
    std::time::Instant::now()
}

/// How much later the one instant is than the other.
fn signed(one: std::time::Instant, other: std::time::Instant) -> TimeDelta {
    let later = one.saturating_duration_since(other);
    let earlier = other.saturating_duration_since(one);
    let delta = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
    delta(later) - delta(earlier)
}

/// What keeps a paused clock where it is: tokio does not move it while one of its blocking threads is at work. One thread for all.
#[derive(Debug, Default)]
struct Holds {
    count: usize,
    /// Never sent to. Dropping it ends the work of the thread.
    release: Option<Sender<()>>,
}

impl Holds {
    fn begin(&mut self, handle: &Handle) {
        self.count += 1;
        if self.release.is_none() {
            let (release, released) = channel();
            handle.spawn_blocking(move || released.recv().is_err());
            self.release = Some(release);
        }
    }

    fn end(&mut self) {
        self.count -= 1;
        if self.count == 0 {
            drop(mem::take(&mut self.release));
        }
    }
}

/// Keeps a paused clock where it is, as long as it lives.
#[derive(Debug)]
pub(crate) struct TimeHold(PausedClock);

impl Drop for TimeHold {
    fn drop(&mut self) {
        self.0.holds().end();
    }
}
