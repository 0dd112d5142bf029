//! A server, and the nodes that use it.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use apscheduler::{
    Builder, Coalesce, Event, EventKind, EventMask, EventStream, JobSpec, Overlap, RunContext, RunId, Scheduler,
    TokioRuntime,
    trigger::{First, Interval},
};
use futures_util::future::select_all;
use tokio::{runtime::Runtime, sync::watch};

use crate::{
    server::Server,
    test_store::{Contents, TestStore},
};

/// How long a test waits for something before it fails: longer than any store waits for an answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// The jobs, and how often they fire.
pub(crate) const JOBS: [(&str, Duration); 2] =
    [("every-one", Duration::from_millis(100)), ("latest", Duration::from_millis(40))];

pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) test_store: TestStore,
    /// Each start of an attempt, on any node.
    starts: Arc<Mutex<Vec<(RunId, u32)>>>,
    /// Whether the task `hold` may end.
    pub(crate) released: watch::Sender<bool>,
    runtime: Runtime,
}

impl Stage {
    pub(crate) fn new(store: &str) -> Self {
        let server = Server::start(store);
        let test_store = TestStore::at(store, &server.url(), "outage_");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { server, test_store, starts: Arc::default(), released: watch::Sender::new(false), runtime }
    }

    pub(crate) fn run<T>(&self, test: impl Future<Output = T>) -> T {
        self.runtime.block_on(test)
    }

    /// A node on a connection of its own.
    pub(crate) async fn node(&self, lease: Duration) -> Scheduler {
        self.builder(lease).await.build().unwrap()
    }

    pub(crate) async fn builder(&self, lease: Duration) -> Builder {
        let starts = Arc::clone(&self.starts);
        let note = move |context: RunContext| {
            starts.lock().unwrap().push((context.run_id, context.attempt));
            async { tokio::time::sleep(Duration::from_millis(5)).await }
        };
        let starts = Arc::clone(&self.starts);
        let released = self.released.subscribe();
        let hold = move |context: RunContext| {
            starts.lock().unwrap().push((context.run_id, context.attempt));
            let mut released = released.clone();
            async move { released.wait_for(|is_released| *is_released).await.map(drop).map_err(|error| error.to_string()) }
        };
        let builder = Scheduler::builder(TokioRuntime::current()).store("default", self.test_store.open().await);
        builder.lease(lease).task("note", note).task("hold", hold)
    }

    /// Adds the [`JOBS`].
    pub(crate) async fn add_jobs(&self, node: &Scheduler) {
        for (id, period) in JOBS {
            let spec = JobSpec::new("note", Interval::every(period).first(First::Now)).id(id).history(1_000_000);
            let spec = match id {
                // It gives nothing up, however long the store was away.
                "every-one" => spec.coalesce(Coalesce::All).overlap(Overlap::Queue(1_000)).max_instances(4),
                _ => spec,
            };
            node.add_job(spec).await.unwrap();
        }
    }

    /// Waits until so many more attempts have started.
    pub(crate) async fn more_starts(&self, count: usize) {
        let before = self.starts().len();
        self.within("jobs run", async {
            while self.starts().len() < before + count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    pub(crate) fn starts(&self) -> Vec<(RunId, u32)> {
        self.starts.lock().unwrap().clone()
    }

    /// Waits until a node tells of this; says which. One that is idle has no reason to notice what its store does.
    pub(crate) async fn told(&self, nodes: &mut [EventStream], what: &str, is_it: fn(&EventKind) -> bool) -> usize {
        let next: Vec<_> = nodes.iter_mut().map(|node| Box::pin(self.next(node, what, is_it))).collect();
        select_all(next).await.1
    }

    /// The next event of this kind.
    pub(crate) async fn next(
        &self,
        events: &mut EventStream,
        what: &str,
        is_it: impl Fn(&EventKind) -> bool,
    ) -> Arc<Event> {
        self.within(what, async {
            loop {
                let event = events.next().await.expect("the scheduler is there").expect("the reader keeps up");
                if is_it(&event.kind) {
                    return event;
                }
            }
        })
        .await
    }

    pub(crate) async fn within<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let result = tokio::time::timeout(DEADLINE, future).await;
        result.unwrap_or_else(|_| panic!("it did not happen within {DEADLINE:?}: {what}"))
    }

    pub(crate) fn contents(&self) -> Contents {
        Contents::read(&self.test_store)
    }
}

/// What nodes tell of their store.
pub(crate) fn store_events(nodes: &[Scheduler]) -> Vec<EventStream> {
    nodes.iter().map(|node| node.events(EventMask::STORE_FAILED | EventMask::STORE_RECOVERED)).collect()
}

pub(crate) fn has_failed(kind: &EventKind) -> bool {
    matches!(kind, EventKind::StoreFailed { retry_in: Some(_), .. })
}

pub(crate) fn has_recovered(kind: &EventKind) -> bool {
    matches!(kind, EventKind::StoreRecovered(_))
}

#[expect(clippy::disallowed_methods, reason = "how long a call really takes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
