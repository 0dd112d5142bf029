//! A timer with steps far below a millisecond: one thread, one ordered map.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::clock::{instant, instant_after};

/// Waits for a span of time, on any executor, to about 0.1 ms.
///
/// All sleeps of the process share one thread, named `scheduler-timer`. It starts with the first
/// sleep that has to wait, and does not wake while nothing sleeps. Making and dropping a sleep that
/// is not the next to end wakes nobody.
///
/// ```
/// use std::time::Duration;
///
/// use scheduler_runtime::{Sleep, SystemClock};
///
/// # futures_executor::block_on(async {
/// let before = SystemClock::now().monotonic;
/// Sleep::new(Duration::from_millis(1)).await;
/// assert!(SystemClock::now().monotonic - before >= Duration::from_millis(1));
/// # });
/// ```
///
/// If the system cannot start that thread, a sleep counts the time on the thread that polls it, which it holds for a
/// millisecond each time, and tries again to start it. That is logged.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct Sleep {
    timer: &'static Timer,
    /// None: beyond the range of the clock.
    deadline: Option<Instant>,
    /// Tells apart sleeps of one deadline; drawn when the sleep first has to wait.
    ticket: Option<u64>,
}

impl Sleep {
    /// A sleep that ends `duration` after this call, never before.
    ///
    /// One that reaches beyond the range of the clock never ends.
    pub fn new(duration: Duration) -> Self {
        static TIMER: Timer = Timer::new();
        Self::on(&TIMER, duration)
    }

    fn on(timer: &'static Timer, duration: Duration) -> Self {
        Self { timer, deadline: instant_after(duration), ticket: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        if deadline <= instant() {
            return Poll::Ready(());
        }
        match self.timer.enter(deadline, self.ticket, context.waker().clone()) {
            Some(ticket) => self.ticket = Some(ticket),
            None => context.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let (Some(deadline), Some(ticket)) = (self.deadline, self.ticket) {
            self.timer.leave(deadline, ticket);
        }
    }
}

#[derive(Debug)]
struct Timer {
    agenda: Mutex<Agenda>,
    /// Tells the thread that an earlier deadline has entered.
    earlier: Condvar,
    /// Starts the thread.
    start: fn(&'static Self) -> io::Result<()>,
}

/// How long a sleep holds the thread that polls it where the timer has none of its own: hardly felt, and hardly a load.
const NAP: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Agenda {
    sleepers: BTreeMap<(Instant, u64), Waker>,
    tickets: u64,
    /// When the thread looks here again without being told; None: not at all.
    looks_again: Option<Instant>,
    service: Service,
}

/// Whether the timer has its thread.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Service {
    NotStarted,
    Refused,
    Started,
}

impl Timer {
    const fn new() -> Self {
        Self::started_by(|timer| {
            thread::Builder::new().name("scheduler-timer".to_owned()).spawn(|| timer.run()).map(drop)
        })
    }

    const fn started_by(start: fn(&'static Self) -> io::Result<()>) -> Self {
        let agenda = Agenda { sleepers: BTreeMap::new(), tickets: 0, looks_again: None, service: Service::NotStarted };
        Self { agenda: Mutex::new(agenda), earlier: Condvar::new(), start }
    }

    /// Notes who is to be woken then. None if there is no thread for that, after a nap.
    fn enter(&'static self, deadline: Instant, ticket: Option<u64>, waker: Waker) -> Option<u64> {
        let mut agenda = self.agenda();
        if agenda.service != Service::Started
            && let Err(error) = (self.start)(self)
        {
            let is_news = std::mem::replace(&mut agenda.service, Service::Refused) == Service::NotStarted;
            if is_news {
                tracing::error!(target: "apscheduler", %error, "the system starts no thread for the timer; sleeps hold their threads");
            }
            let nap = deadline.saturating_duration_since(instant()).min(NAP);
            drop(self.earlier.wait_timeout(agenda, nap));
            return None;
        }
        agenda.service = Service::Started;
        let ticket = ticket.unwrap_or_else(|| {
            agenda.tickets += 1;
            agenda.tickets
        });
        let replaced = agenda.sleepers.insert((deadline, ticket), waker);
        if agenda.looks_again.is_none_or(|then| deadline < then) {
            agenda.looks_again = Some(deadline);
            self.earlier.notify_one();
        }
        drop(agenda);
        // A waker may run any code when it is dropped; none of it runs under the lock.
        drop(replaced);
        Some(ticket)
    }

    fn leave(&self, deadline: Instant, ticket: u64) {
        let forgotten = self.agenda().sleepers.remove(&(deadline, ticket));
        drop(forgotten);
    }

    fn run(&self) {
        let _ = be_punctual();
        let mut due = Vec::new();
        let mut agenda = self.agenda();
        loop {
            let now = instant();
            while let Some(sleeper) = agenda.sleepers.first_entry()
                && sleeper.key().0 <= now
            {
                due.push(sleeper.remove());
            }
            if !due.is_empty() {
                drop(agenda);
                wake_all(&mut due);
                agenda = self.agenda();
                continue;
            }
            agenda.looks_again = agenda.sleepers.keys().next().map(|(deadline, _)| *deadline);
            agenda = self.wait(agenda, now);
        }
    }

    fn wait<'a>(&self, agenda: MutexGuard<'a, Agenda>, now: Instant) -> MutexGuard<'a, Agenda> {
        match agenda.looks_again {
            None => self.earlier.wait(agenda).unwrap_or_else(PoisonError::into_inner),
            Some(then) => {
                self.earlier
                    .wait_timeout(agenda, then.saturating_duration_since(now))
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        }
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        // Each change of the agenda is one call on a map, so a panic leaves it whole.
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Linux may end a thread's waits up to 50 us late, to join wake-ups; here that is half of all lateness.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn be_punctual() -> io::Result<()> {
    Ok(rustix::thread::set_current_timer_slack(Some(std::num::NonZeroU64::MIN))?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn be_punctual() -> io::Result<()> {
    Ok(())
}

/// One executor's broken waker must not stop the sleeps of the others.
fn wake_all(due: &mut Vec<Waker>) {
    for waker in due.drain(..) {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    /// Only what hangs takes this long.
    const DEADLINE: Duration = Duration::from_secs(60);

    #[test]
    fn a_million_dropped_sleeps_leave_nothing_behind() {
        let timer = timer();

        for second in 0..1_000_000 {
            let mut sleep = Sleep::on(timer, HOUR + Duration::from_secs(second));
            assert!(poll(&mut sleep, Waker::noop()).is_pending());
        }

        assert!(timer.agenda().sleepers.is_empty());
    }

    #[test]
    fn a_sleep_polled_again_keeps_one_place_and_the_newest_waker() {
        let timer = timer();
        let mut sleep = Sleep::on(timer, HOUR);

        let first = Arc::new(Flag);
        assert!(poll(&mut sleep, &Waker::from(Arc::clone(&first))).is_pending());
        let second = Arc::new(Flag);
        assert!(poll(&mut sleep, &Waker::from(Arc::clone(&second))).is_pending());

        assert_eq!(timer.agenda().sleepers.len(), 1);
        assert_eq!(Arc::strong_count(&first), 1);
        assert_eq!(Arc::strong_count(&second), 2);
    }

    #[test]
    fn a_later_sleep_does_not_disturb_the_thread_and_an_earlier_one_does() {
        let timer = timer();
        let mut hour = Sleep::on(timer, HOUR);
        assert!(poll(&mut hour, Waker::noop()).is_pending());
        let looks_again = timer.agenda().looks_again;
        assert_eq!(looks_again, hour.deadline);

        let mut day = Sleep::on(timer, 24 * HOUR);
        assert!(poll(&mut day, Waker::noop()).is_pending());
        assert_eq!(timer.agenda().looks_again, looks_again);

        let mut minute = Sleep::on(timer, Duration::from_secs(60));
        assert!(poll(&mut minute, Waker::noop()).is_pending());
        assert_eq!(timer.agenda().looks_again, minute.deadline);
    }

    #[test]
    fn a_sleep_beyond_the_clock_never_ends_and_takes_no_place() {
        let timer = timer();
        let mut sleep = Sleep::on(timer, Duration::MAX);

        assert!(poll(&mut sleep, Waker::noop()).is_pending());
        assert!(timer.agenda().sleepers.is_empty());
    }

    #[test]
    fn a_waker_that_panics_does_not_stop_the_sleeps_of_others() {
        let timer = timer();
        let mut broken = Sleep::on(timer, Duration::from_millis(1));
        let _ = poll(&mut broken, &Waker::from(Arc::new(Broken)));

        let (woken, wakes) = std::sync::mpsc::channel();
        let mut sound = Sleep::on(timer, Duration::from_millis(2));
        let waker = Waker::from(Arc::new(Tell(woken)));
        while poll(&mut sound, &waker).is_pending() {
            wakes.recv_timeout(DEADLINE).expect("the timer wakes this sleep");
        }
    }

    #[test]
    fn a_sleep_ends_where_the_system_starts_no_thread() {
        let timer: &Timer = Box::leak(Box::new(Timer::started_by(|_| Err(io::Error::from(io::ErrorKind::WouldBlock)))));
        let mut sleep = Sleep::on(timer, Duration::from_millis(5));
        let (woken, wakes) = std::sync::mpsc::channel();
        let waker = Waker::from(Arc::new(Tell(woken)));
        while poll(&mut sleep, &waker).is_pending() {
            wakes.try_recv().expect("it asks to be polled again");
        }
        assert!(sleep.deadline.unwrap() <= instant());
    }

    /// A timer of this test's own; the thread that it starts ends with the process.
    fn timer() -> &'static Timer {
        Box::leak(Box::new(Timer::new()))
    }

    fn poll(sleep: &mut Sleep, waker: &Waker) -> Poll<()> {
        Pin::new(sleep).poll(&mut Context::from_waker(waker))
    }

    struct Flag;

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {}
    }

    struct Broken;

    impl Wake for Broken {
        fn wake(self: Arc<Self>) {
            panic!("a broken waker (this panic is part of the test)");
        }
    }

    struct Tell(std::sync::mpsc::Sender<()>);

    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }
}
