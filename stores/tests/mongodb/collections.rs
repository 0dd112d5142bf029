//! Collections of a test's own, and how to reach them behind the store's back.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use mongodb::{
    Client, Collection, Database,
    bson::{Document, doc},
};
use scheduler_core::{JobId, store::Clock};
use scheduler_stores::{MongoDbOptions, MongoDbStore};
use scheduler_testkit::store::{Damage, StoreUnderTest};
use tokio::runtime::{Builder, Runtime};

use crate::server;

/// Collections with a prefix that no other test has. They go with this.
#[derive(Debug)]
pub(crate) struct Collections {
    pub(crate) url: String,
    pub(crate) prefix: String,
    name: String,
    pub(crate) client: Client,
    runtime: Option<Runtime>,
}

impl Collections {
    pub(crate) fn new() -> Arc<Self> {
        Self::in_a_database("apscheduler_test".to_owned())
    }

    /// For tests that look at what else happens there.
    pub(crate) fn in_a_database_of_its_own() -> Arc<Self> {
        Self::in_a_database(server::prefix())
    }

    fn in_a_database(name: String) -> Arc<Self> {
        let url = server::url("mongodb");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(Client::with_uri_str(&url)).unwrap();
        Arc::new(Self { url, prefix: server::prefix(), name, client, runtime: Some(runtime) })
    }

    pub(crate) fn options(&self, clock: Clock) -> MongoDbOptions {
        let options = MongoDbOptions::new().database(&self.name).clock(clock).poll(Duration::from_millis(10));
        options.collection_prefix(&self.prefix).unwrap()
    }

    pub(crate) async fn open(&self, clock: Clock) -> MongoDbStore {
        self.options(clock).connect(&self.url).await.unwrap()
    }

    pub(crate) fn database(&self) -> Database {
        self.client.database(&self.name)
    }

    pub(crate) fn jobs(&self) -> Collection<Document> {
        self.database().collection(&format!("{}jobs", self.prefix))
    }

    pub(crate) fn collection(&self, name: &str) -> Collection<Document> {
        self.database().collection(&format!("{}{name}", self.prefix))
    }

    /// Adds a job as another program does.
    pub(crate) async fn insert(&self, job: Document) {
        let jobs = self.jobs();
        self.run(async move { jobs.insert_one(job).await }).await.unwrap();
    }

    /// A live job's document.
    pub(crate) async fn job(&self, id: &str) -> Document {
        let (jobs, live) = (self.jobs(), doc! { "live_id": id });
        self.run(async move { jobs.find_one(live).await }).await.unwrap().unwrap()
    }

    /// What the server has noted of calls about these collections.
    pub(crate) async fn profile(&self, names: &[&str]) -> Vec<Document> {
        let names = names.iter().map(|name| format!("{}.{}{name}", self.name, self.prefix));
        let query = doc! { "ns": { "$in": names.collect::<Vec<_>>() } };
        let profile = self.database().collection::<Document>("system.profile");
        self.run(async move { profile.find(query).await?.try_collect().await }).await.unwrap()
    }

    /// Runs a future of the driver, which needs tokio.
    pub(crate) async fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.as_ref().unwrap().spawn(future).await.unwrap()
    }

    async fn damage(&self, id: JobId, damage: Damage) {
        let jobs = self.jobs();
        let live = doc! { "live_id": id.as_str() };
        let done = self.run(async move {
            let set = match damage {
                Damage::Body => doc! { "body": r#"{"v": 1, "task""# },
                Damage::Version => {
                    let job = jobs.find_one(live.clone()).await.unwrap().unwrap();
                    let body = job.get_str("body").unwrap().replacen("\"v\":1", "\"v\":0", 1);
                    doc! { "v": 0, "body": body }
                }
                Damage::State => doc! { "state": "sleeping" },
                Damage::Uid => {
                    // The key of a document cannot be changed.
                    let mut job = jobs.find_one_and_delete(live).await.unwrap().unwrap();
                    job.insert("_id", "not a uid");
                    jobs.insert_one(job).await.unwrap();
                    return true;
                }
            };
            jobs.update_one(live, doc! { "$set": set }).await.unwrap().matched_count == 1
        });
        assert!(done.await, "job {id} is not there");
    }
}

impl Drop for Collections {
    fn drop(&mut self) {
        let (database, prefix) = (self.database(), self.prefix.clone());
        let runtime = self.runtime.take().unwrap();
        let gone = runtime.spawn(async move {
            for name in ["jobs", "runs", "nodes", "meta"] {
                drop(database.collection::<Document>(&format!("{prefix}{name}")).drop().await);
            }
            if database.name() != "apscheduler_test" {
                drop(database.drop().await);
            }
        });
        // On a thread of its own, since the test may be in a runtime of tokio.
        drop(std::thread::spawn(move || runtime.block_on(gone)).join());
    }
}

/// Fresh collections with two stores on them, each with connections of its own.
pub(crate) async fn setup(clock: Clock) -> StoreUnderTest {
    setup_on(&Collections::new(), clock).await
}

/// Two stores on these collections, each with connections of its own.
pub(crate) async fn setup_on(collections: &Arc<Collections>, clock: Clock) -> StoreUnderTest {
    let (a, b) = (collections.open(clock).await, collections.open(clock).await);
    let (reopened, damaged) = (collections.clone(), collections.clone());
    let store = StoreUnderTest::new(a, b)
        .reopen(move || {
            let collections = reopened.clone();
            async move { collections.open(clock).await }
        })
        .damage(move |id, damage| {
            let collections = damaged.clone();
            async move { collections.damage(id, damage).await }
        });
    match clock {
        Clock::Caller => store,
        Clock::Server => store.advance(|time| async move {
            smol::Timer::after(time).await;
        }),
    }
}
