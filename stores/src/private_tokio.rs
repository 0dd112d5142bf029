//! Threads of tokio for the clients that work nowhere else, so that their stores serve every runtime.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, Weak},
};

use scheduler_core::store::{StoreError, StoreErrorKind};
use tokio::runtime::{Builder, Runtime};

/// A handle on the threads that all stores of this process share. They end with the last handle.
#[derive(Clone)]
pub(crate) struct PrivateTokio {
    /// None only while it is dropped.
    runtime: Option<Arc<Runtime>>,
}

static SHARED: Mutex<Weak<Runtime>> = Mutex::new(Weak::new());

impl PrivateTokio {
    /// The threads, started by the first call.
    pub(crate) fn start() -> Result<Self, StoreError> {
        let mut shared = SHARED.lock().expect("nothing panics while it holds the threads");
        if let Some(runtime) = shared.upgrade() {
            return Ok(Self { runtime: Some(runtime) });
        }
        // The client only waits for the network; one thread does that for any number of stores.
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("apscheduler-store").enable_all().build();
        let runtime = Arc::new(runtime.map_err(|error| {
            let message = format!("no thread could be started for the store's client: {error}");
            StoreError::new(StoreErrorKind::Unavailable, message).with_source(error)
        })?);
        *shared = Arc::downgrade(&runtime);
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs a future there, from whichever runtime. If what is returned is dropped, so is the future.
    pub(crate) async fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        match self.spawn(future).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Lets a future run there until it is over or what is returned is dropped.
    pub(crate) fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> AbortOnDrop<T> {
        let runtime = self.runtime.as_ref().expect("it is there until it is dropped");
        AbortOnDrop(runtime.spawn(future))
    }
}

/// Dropping a runtime waits for its threads, which tokio forbids within one of its own; so they are let go.
impl Drop for PrivateTokio {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take().and_then(Arc::into_inner) {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for PrivateTokio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateTokio")
    }
}

/// A future that runs on the private threads.
#[derive(Debug)]
pub(crate) struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx)
    }
}
