//! Connections to a server, each of which works in every runtime.
//!
//! A connection belongs to the reactor of the runtime in which it is opened, and dies with it. So these are opened on a
//! thread outside of any runtime, where the driver takes the reactor of `async-io`, which lives as long as the process
//! and wakes the calls that wait for it.

use std::{
    fmt, mem,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_io::Timer;
use async_lock::{Semaphore, SemaphoreGuardArc};
use futures_channel::oneshot;
use futures_util::future::{BoxFuture, Either, select};
use scheduler_core::store::{StoreError, StoreErrorKind};

use super::Failures;

/// How long a connection may take to be opened, or to become free.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server's answer to a statement may take, the way there and back included.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);

type Open<C> = dyn Fn() -> BoxFuture<'static, Result<C, sqlx::Error>> + Send + Sync;

/// What the driver is to find out of the server.
pub(crate) type Answer<'c, T> = BoxFuture<'c, Result<T, sqlx::Error>>;

/// Up to so many connections, opened when they are needed.
pub(crate) struct Pool<C> {
    idle: Arc<Mutex<Vec<C>>>,
    room: Arc<Semaphore>,
    open: Arc<Open<C>>,
    failures: Failures,
}

/// A connection of a pool. It is closed when this is dropped, unless it is given back.
pub(crate) struct Lent<C> {
    connection: C,
    /// Whether it may have been closed by the server in the meantime.
    is_old: bool,
    idle: Arc<Mutex<Vec<C>>>,
    _room: SemaphoreGuardArc,
}

impl<C: Send + 'static> Pool<C> {
    /// A pool without a connection so far.
    pub(crate) fn new<F>(max: usize, failures: Failures, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<C, sqlx::Error>> + Send + 'static,
    {
        Self {
            idle: Arc::default(),
            room: Arc::new(Semaphore::new(max.max(1))),
            open: Arc::new(move || Box::pin(open())),
            failures,
        }
    }

    /// A connection that is idle, or else a new one.
    pub(crate) async fn take(&self) -> Result<Lent<C>, StoreError> {
        let room = within(CONNECT_TIMEOUT, self.room.acquire_arc()).await.ok_or_else(|| {
            self.unavailable("all connections are in use; allow more, or look for what keeps them busy")
        })?;
        let idle = locked(&self.idle).pop();
        let is_old = idle.is_some();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Lent { connection, is_old, idle: self.idle.clone(), _room: room })
    }

    /// What the server answers to a question, with the connection that it came over. One that was idle may turn out to be
    /// closed by the server; then the question is asked again over another one.
    pub(crate) async fn ask<T>(
        &self,
        is_lost: impl Fn(&sqlx::Error) -> bool,
        question: impl for<'c> Fn(&'c mut C) -> Result<Answer<'c, T>, StoreError>,
    ) -> Result<(T, Lent<C>), StoreError> {
        loop {
            let mut lent = self.take().await?;
            let question = question(lent.connection())?;
            let answer = within(ANSWER_TIMEOUT, question).await;
            match answer {
                Some(Ok(answer)) => return Ok((answer, lent)),
                Some(Err(error)) if lent.is_old && is_lost(&error) => {}
                Some(Err(error)) => return Err(self.failures.of(error)),
                None => {
                    self.close_idle();
                    return Err(self.failures.late());
                }
            }
        }
    }

    /// Closes the idle connections, since one of them has turned out to be dead.
    pub(crate) fn close_idle(&self) {
        drop(mem::take(&mut *locked(&self.idle)));
    }

    async fn connect(&self) -> Result<C, StoreError> {
        let open = self.open.clone();
        let connecting = outside(async move || within(CONNECT_TIMEOUT, open()).await);
        match connecting.await {
            Ok(Some(connected)) => connected.map_err(|error| self.failures.of(error)),
            Ok(None) => Err(self.unavailable("it does not answer; check its address and whether it runs")),
            Err(error) => Err(self.unavailable("no thread could be started to connect").with_source(error)),
        }
    }

    fn unavailable(&self, why: &str) -> StoreError {
        self.failures.because(StoreErrorKind::Unavailable, why)
    }
}

impl<C> Lent<C> {
    pub(crate) fn connection(&mut self) -> &mut C {
        &mut self.connection
    }

    /// Keeps the connection for the next call.
    pub(crate) fn give_back(self) {
        locked(&self.idle).push(self.connection);
    }
}

impl<C> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("place", &self.failures.place()).finish_non_exhaustive()
    }
}

/// What a future gives, unless it takes longer.
pub(crate) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), Timer::after(time)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}

/// Runs a future on a thread of its own, where it finds no runtime.
async fn outside<T: Send + 'static, F: Future<Output = T>>(
    future: impl FnOnce() -> F + Send + 'static,
) -> std::io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    let run = move || {
        // The caller may have given up.
        let _ = sender.send(async_io::block_on(future()));
    };
    std::thread::Builder::new().name("apscheduler-connect".to_owned()).spawn(run)?;
    receiver.await.map_err(std::io::Error::other)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
