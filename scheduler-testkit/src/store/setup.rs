//! What a store's author brings to the suite.

use std::{fmt, sync::Arc, time::Duration};

use scheduler_core::{BoxFuture, JobId, JobStore};

/// Two handles on one empty store, and how to do to it what the port cannot.
///
/// ```
/// use scheduler_testkit::store::StoreUnderTest;
/// # use scheduler_core::JobStore;
/// # fn setup(a: impl JobStore, b: impl JobStore) -> StoreUnderTest {
/// StoreUnderTest::new(a, b)
/// # }
/// ```
pub struct StoreUnderTest {
    pub(super) a: Arc<dyn JobStore>,
    pub(super) b: Arc<dyn JobStore>,
    pub(super) advance: Option<Advance>,
    pub(super) reopen: Option<Reopen>,
    pub(super) damage: Option<Break>,
}

type Advance = Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;
type Reopen = Box<dyn Fn() -> BoxFuture<'static, Arc<dyn JobStore>> + Send + Sync>;
type Break = Box<dyn Fn(JobId, Damage) -> BoxFuture<'static, ()> + Send + Sync>;

/// What is to be done to a job's row behind the store's back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The body becomes `{"v": 1, "task"`, which is not JSON.
    Body,
    /// The version becomes 0, in the body and wherever else it is kept.
    Version,
    /// The state becomes `sleeping`, which is none.
    State,
    /// The uid becomes `not a uid`.
    Uid,
}

impl StoreUnderTest {
    /// A store that two nodes reach through a handle each. The handles share their jobs but no connection.
    pub fn new(a: impl JobStore, b: impl JobStore) -> Self {
        Self { a: Arc::new(a), b: Arc::new(b), advance: None, reopen: None, damage: None }
    }

    /// How to let the store's time pass, for a store with [`Clock::Server`](scheduler_core::store::Clock::Server):
    /// usually by really waiting. Leases in the suite last [`LEASE`](super::LEASE). A store that goes by its callers'
    /// clocks is simply told later times.
    pub fn advance<F: Future<Output = ()> + Send + 'static>(
        mut self,
        advance: impl Fn(Duration) -> F + Send + Sync + 'static,
    ) -> Self {
        self.advance = Some(Box::new(move |time| Box::pin(advance(time))));
        self
    }

    /// How to open the same storage once more, for a store that outlives the process.
    pub fn reopen<S: JobStore, F: Future<Output = S> + Send + 'static>(
        mut self,
        reopen: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        self.reopen = Some(Box::new(move || {
            let store = reopen();
            Box::pin(async { Arc::new(store.await) as Arc<dyn JobStore> })
        }));
        self
    }

    /// How to damage the row of a live job, for a store whose rows others can reach. Without it the promises of
    /// [`quarantine`](super::quarantine) are not tested.
    pub fn damage<F: Future<Output = ()> + Send + 'static>(
        mut self,
        damage: impl Fn(JobId, Damage) -> F + Send + Sync + 'static,
    ) -> Self {
        self.damage = Some(Box::new(move |id, kind| Box::pin(damage(id, kind))));
        self
    }
}

impl fmt::Debug for StoreUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreUnderTest").field("a", &self.a).field("b", &self.b).finish_non_exhaustive()
    }
}
