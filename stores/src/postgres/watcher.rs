//! A connection that listens for changes, on a thread of its own outside of any runtime.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_io::Timer;
use event_listener::Event;
use futures_util::future::{Either, select};
use scheduler_core::store::{Changed, Hint, StoreError, StoreErrorKind};
use sqlx::{
    Executor,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};

use super::channel;
use crate::{
    changes::Changes,
    sql::{CONNECT_TIMEOUT, Failures, within},
};

/// How long nothing may come before the server is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(30);

/// The pause after the first failure, and the longest one; each is twice as long as the one before.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];

/// Listens from the first question on, until it is dropped.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    options: PgConnectOptions,
    channel: String,
    failures: Failures,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Event,
    ended: Event,
}

#[derive(Default)]
struct State {
    is_started: bool,
    is_ended: bool,
    /// What is known once it listens; none before.
    changes: Option<Changes>,
    /// Why it does not listen at the moment.
    failure: Option<StoreError>,
}

impl Watcher {
    pub(super) fn new(options: PgConnectOptions, channel: String, failures: Failures) -> Self {
        Self { shared: Arc::default(), options, channel, failures }
    }

    /// What changed after `seen`, as soon as something did.
    pub(super) async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        self.start()?;
        loop {
            // Listening starts before the look, so that no change falls in between.
            let listener = self.shared.changed.listen();
            if let Some(answer) = self.shared.state().answer(seen) {
                return answer;
            }
            listener.await;
        }
    }

    fn start(&self) -> Result<(), StoreError> {
        let mut state = self.shared.state();
        if state.is_started {
            return Ok(());
        }
        let ear = Ear {
            shared: self.shared.clone(),
            options: self.options.clone(),
            channel: self.channel.clone(),
            failures: self.failures.clone(),
        };
        let thread = std::thread::Builder::new().name("apscheduler-listen".to_owned());
        thread.spawn(move || async_io::block_on(ear.listen_until_ended())).map_err(|error| {
            let message = format!("{}: no thread could be started to listen: {error}", self.failures.place());
            StoreError::new(StoreErrorKind::Unavailable, message).with_source(error)
        })?;
        state.is_started = true;
        Ok(())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.state().is_ended = true;
        self.shared.ended.notify(usize::MAX);
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, step: impl FnOnce(&mut State)) {
        step(&mut self.state());
        self.changed.notify(usize::MAX);
    }
}

impl State {
    fn answer(&self, seen: u64) -> Option<Result<Changed, StoreError>> {
        if let Some(failure) = &self.failure {
            return Some(Err(failure.clone()));
        }
        self.changes.as_ref()?.since(seen).map(Ok)
    }

    /// It listens now. What was told in between is unknown.
    fn is_listening(&mut self) {
        self.failure = None;
        match &mut self.changes {
            Some(changes) => changes.note(Hint::Resync),
            None => self.changes = Some(Changes::default()),
        }
    }
}

/// What the thread has.
struct Ear {
    shared: Arc<Shared>,
    options: PgConnectOptions,
    channel: String,
    failures: Failures,
}

impl Ear {
    async fn listen_until_ended(self) {
        let ended = self.shared.ended.listen();
        if !self.shared.state().is_ended {
            select(pin!(self.listen_for_ever()), ended).await;
        }
    }

    async fn listen_for_ever(&self) {
        let [mut pause, longest] = PAUSES;
        loop {
            match self.connect().await {
                Ok(listener) => {
                    pause = PAUSES[0];
                    self.shared.note(State::is_listening);
                    let error = self.hear(listener).await;
                    self.shared.note(|state| state.failure = Some(error));
                }
                Err(error) => self.shared.note(|state| state.failure = Some(error)),
            }
            Timer::after(pause).await;
            pause = longest.min(pause * 2);
        }
    }

    async fn connect(&self) -> Result<PgListener, StoreError> {
        let listening = async {
            let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
            let pool = pool.acquire_timeout(CONNECT_TIMEOUT).connect_with(self.options.clone()).await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen(&self.channel).await?;
            Ok(listener)
        };
        let listening = within(CONNECT_TIMEOUT, listening).await.ok_or_else(|| self.failures.late())?;
        listening.map_err(|error| self.failures.of(error))
    }

    /// Notes what comes until the connection is lost.
    async fn hear(&self, mut listener: PgListener) -> StoreError {
        loop {
            let heard = match select(pin!(listener.try_recv()), Timer::after(QUIET)).await {
                Either::Left((heard, _)) => Some(heard),
                Either::Right(_) => None,
            };
            match heard {
                Some(Ok(Some(notification))) => {
                    let hint = channel::hint(notification.payload());
                    self.shared.note(|state| state.changes.get_or_insert_default().note(hint));
                }
                Some(Ok(None)) => return self.failures.of(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())),
                Some(Err(error)) => return self.failures.of(error),
                None => match within(CONNECT_TIMEOUT, listener.execute("SELECT 1")).await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return self.failures.of(error),
                    None => return self.failures.late(),
                },
            }
        }
    }
}
