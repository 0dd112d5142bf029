//! A clock that goes as its host says, and the sleeps that are counted by it.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread::{self, ThreadId},
    time::Duration,
};

use chrono::{DateTime, SubsecRound as _, Utc};
use scheduler_core::BoxFuture;

use super::signal::Signal;
use crate::runtime::{Now, Runtime};

/// The host's runtime, but for the time of the thread that pumps: it stands still between pumps, and sleeps end within them.
///
/// Who sleeps elsewhere waits for the pump itself, as by a call of a handle: how long is counted by the host's clock, or a
/// host that does not pump would not be noticed.
pub(super) struct PumpedClock {
    host: Arc<dyn Runtime>,
    agenda: Arc<Mutex<Agenda>>,
    signal: Arc<Signal>,
}

struct Agenda {
    now: Now,
    /// While it does.
    pumping: Option<ThreadId>,
    sleepers: BTreeMap<(Duration, Ticket), Waker>,
    tickets: Ticket,
}

type Ticket = u64;

impl Agenda {
    fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }
}

impl PumpedClock {
    pub(super) fn new(host: Arc<dyn Runtime>, signal: Arc<Signal>) -> Self {
        let agenda = Agenda {
            // The loop reads the clock only within a pump, and the first pump sets it.
            now: Now { utc: DateTime::<Utc>::UNIX_EPOCH, monotonic: Duration::ZERO },
            pumping: None,
            sleepers: BTreeMap::new(),
            tickets: 0,
        };
        Self { host, agenda: Arc::new(Mutex::new(agenda)), signal }
    }

    /// It is this time now. Wakes those who have slept until then.
    pub(super) fn begin(&self, now: Now) {
        let mut agenda = lock(&self.agenda);
        agenda.pumping = Some(thread::current().id());
        agenda.now = Now { utc: now.utc.trunc_subsecs(6), monotonic: agenda.now.monotonic.max(now.monotonic) };
        let present = agenda.now.monotonic;
        let later = agenda.sleepers.split_off(&(present, Ticket::MAX));
        let due = std::mem::replace(&mut agenda.sleepers, later);
        drop(agenda);
        due.into_values().for_each(Waker::wake);
    }

    /// Time stands still. Gives how long it is until the next sleeper wants to be woken.
    pub(super) fn end(&self) -> Option<Duration> {
        let mut agenda = lock(&self.agenda);
        agenda.pumping = None;
        let ((deadline, _), _) = agenda.sleepers.first_key_value()?;
        Some(deadline.saturating_sub(agenda.now.monotonic))
    }
}

impl Runtime for PumpedClock {
    fn now(&self) -> Now {
        lock(&self.agenda).now
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let agenda = lock(&self.agenda);
        if agenda.pumping != Some(thread::current().id()) {
            drop(agenda);
            return self.host.sleep(duration);
        }
        let deadline = agenda.now.monotonic.checked_add(duration);
        drop(agenda);
        let (agenda, signal) = (Arc::clone(&self.agenda), Arc::clone(&self.signal));
        Box::pin(Nap { deadline, ticket: None, agenda, signal })
    }

    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.host.spawn(future);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.host.spawn_blocking(work);
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.host.block_on(future);
    }
}

impl fmt::Debug for PumpedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PumpedClock").field(&self.host).finish()
    }
}

fn lock(agenda: &Mutex<Agenda>) -> MutexGuard<'_, Agenda> {
    // Each change of the agenda is one call on a map, so a panic leaves it whole.
    agenda.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sleep that began within a pump.
struct Nap {
    /// None: beyond the range of the clock.
    deadline: Option<Duration>,
    /// Tells apart sleeps of one deadline; drawn when the sleep first has to wait.
    ticket: Option<Ticket>,
    agenda: Arc<Mutex<Agenda>>,
    signal: Arc<Signal>,
}

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let agenda = Arc::clone(&self.agenda);
        let mut agenda = lock(&agenda);
        if deadline <= agenda.now.monotonic {
            return Poll::Ready(());
        }
        let is_pumping = agenda.pumping.is_some();
        let ticket = *self.ticket.get_or_insert_with(|| agenda.next_ticket());
        let replaced = agenda.sleepers.insert((deadline, ticket), cx.waker().clone());
        drop(agenda);
        drop(replaced);
        if !is_pumping {
            // It has been taken elsewhere, and the host was not told of it.
            self.signal.raise();
        }
        Poll::Pending
    }
}

impl Drop for Nap {
    fn drop(&mut self) {
        if let (Some(deadline), Some(ticket)) = (self.deadline, self.ticket) {
            let forgotten = lock(&self.agenda).sleepers.remove(&(deadline, ticket));
            drop(forgotten);
        }
    }
}
