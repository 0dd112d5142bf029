//! Stores that are opened when the scheduler starts.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{future::join_all, lock::Mutex};
use scheduler_core::{
    BoxFuture, Error, ErrorKind, JobStore, StoreName,
    store::{StoreError, StoreErrorKind},
};

use crate::Scheduler;

/// The pauses between two attempts to open a store: the first one, from which they double, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

type Open = dyn Fn() -> BoxFuture<'static, Result<Arc<dyn JobStore>, StoreError>> + Send + Sync;

/// A store that is opened when the scheduler starts.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) name: StoreName,
    open: Arc<Open>,
}

/// Those that have not been opened, and how long the start waits for them.
#[derive(Debug, Default)]
pub(crate) struct Openings {
    pub(crate) left: Mutex<Vec<Opening>>,
    pub(crate) patience: Duration,
}

impl Opening {
    pub(crate) fn new<F, S>(name: StoreName, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<S, StoreError>> + Send + 'static,
        S: JobStore,
    {
        let open = Arc::new(move || -> BoxFuture<'static, Result<Arc<dyn JobStore>, StoreError>> {
            let opening = open();
            Box::pin(async move { Ok(Arc::new(opening.await?) as Arc<dyn JobStore>) })
        });
        Self { name, open }
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Openings {
    /// An error with what may be behind it: a store that has not been opened so far.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let left = self.left.try_lock();
        match left.as_deref().unwrap_or(&Vec::new()).as_slice() {
            [first, ..] if error.kind() == ErrorKind::UnknownStore => {
                let message = format!("{error}; store `{}` is opened when the scheduler starts", first.name);
                Error::new(error.kind(), message)
            }
            _ => error,
        }
    }
}

impl Scheduler {
    /// Opens the stores that have not been opened, all at the same time, and adds them. Those that fail are left for another start.
    pub(crate) async fn open_stores(&self) -> Result<(), Error> {
        let Openings { left, patience } = self.registry().openings();
        // A second start waits for the first.
        let mut left = left.lock().await;
        let opened = join_all(left.iter().map(|opening| self.open(opening, *patience))).await;
        let mut failed = Vec::new();
        let mut first_error = None;
        for (opening, opened) in left.drain(..).zip(opened) {
            let added = match opened {
                Ok(store) => self.add_store(opening.name.clone(), store).await,
                Err(error) => Err(error),
            };
            if let Err(error) = added {
                failed.push(opening);
                first_error.get_or_insert(error);
            }
        }
        *left = failed;
        first_error.map_or(Ok(()), Err)
    }

    /// Opens a store, again and again while it is not there and the patience lasts.
    async fn open(&self, opening: &Opening, patience: Duration) -> Result<Arc<dyn JobStore>, Error> {
        let begun = self.runtime().now().monotonic;
        let mut pause = FIRST_PAUSE;
        loop {
            let held = self.runtime().hold_time();
            let error = match (opening.open)().await {
                Ok(store) => return Ok(store),
                Err(error) => error,
            };
            drop(held);
            let waited = self.runtime().now().monotonic.saturating_sub(begun);
            let left = patience.saturating_sub(waited);
            if error.kind() != StoreErrorKind::Unavailable || left.is_zero() {
                return Err(Error::from_store(&opening.name, error));
            }
            tracing::warn!(target: "apscheduler", store = %opening.name, %error, "a store cannot be opened yet; it is tried again");
            self.runtime().sleep(pause.min(left)).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
}
