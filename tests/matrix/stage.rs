//! One runtime with one store.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use apscheduler::{Builder, Event, EventStream, Runtime, Scheduler};
use futures_util::future::{AbortHandle, Either, abortable, select};

use crate::test_store::TestStore;

/// How long a test waits for something before it fails: far longer than a loaded machine needs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    pub(crate) runtime: Arc<dyn Runtime>,
    test_store: TestStore,
}

impl Stage {
    pub(crate) fn new(runtime: Arc<dyn Runtime>, store: &str) -> Self {
        Self { runtime, test_store: TestStore::new(store) }
    }

    /// A scheduler on the store, with a task that does nothing.
    pub(crate) async fn builder(&self) -> Builder {
        self.builder_on(Arc::clone(&self.runtime)).await
    }

    pub(crate) async fn builder_on(&self, runtime: Arc<dyn Runtime>) -> Builder {
        Scheduler::builder_on(runtime).task("tick", || async {}).store("default", self.test_store.open().await)
    }

    pub(crate) fn run<T>(&self, test: impl Future<Output = T>) -> T {
        let mut result = None;
        self.runtime.block_on(Box::pin(async { result = Some(test.await) }));
        result.unwrap()
    }

    /// What a future gives, if it does so before the deadline.
    pub(crate) async fn within<T>(&self, future: impl Future<Output = T>) -> T {
        match select(Box::pin(future), self.runtime.sleep(DEADLINE)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => panic!("it did not happen within {DEADLINE:?}"),
        }
    }

    /// The next event of a stream.
    pub(crate) async fn next(&self, events: &mut EventStream) -> Arc<Event> {
        self.within(events.next()).await.expect("the scheduler is there").expect("the reader keeps up")
    }
}

/// A runtime whose futures can be made to vanish, as with the process that they are in.
#[derive(Clone)]
pub(crate) struct Mortal {
    host: Arc<dyn Runtime>,
    spawned: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Mortal {
    pub(crate) fn on(host: &Arc<dyn Runtime>) -> Self {
        Self { host: Arc::clone(host), spawned: Arc::default() }
    }

    /// Drops all that was spawned, wherever it was.
    pub(crate) fn die(&self) {
        self.spawned.lock().unwrap().drain(..).for_each(|spawned| spawned.abort());
    }
}

impl Runtime for Mortal {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let (future, handle) = abortable(future);
        self.spawned.lock().unwrap().push(handle);
        self.host.spawn(Box::pin(async {
            let _ = future.await;
        }));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.host.spawn_blocking(work);
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.host.block_on(future);
    }
}

impl fmt::Debug for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mortal").field(&self.host).finish()
    }
}
