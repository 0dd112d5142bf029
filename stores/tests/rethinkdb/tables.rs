//! Fresh tables with stores on them, and how to reach their rows.

use std::time::Duration;

use futures_lite::StreamExt;
use scheduler_core::{JobId, store::Clock};
use scheduler_stores::{RethinkDbOptions, RethinkDbStore};
use scheduler_testkit::store::{Damage, StoreUnderTest};
use serde_json::{Value, json};
use unreql::{Command, cmd::connect, r};

use crate::server;

/// The database of these tests.
const DATABASE: &str = "apscheduler_tests";

/// Tables that no other test has.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(crate) prefix: String,
}

impl Tables {
    pub(crate) fn new() -> Self {
        Self { prefix: server::prefix() }
    }

    pub(crate) fn options(&self) -> RethinkDbOptions {
        RethinkDbOptions::new().table_prefix(&self.prefix).unwrap()
    }

    /// A store on them.
    pub(crate) async fn open(&self, clock: Clock) -> RethinkDbStore {
        self.options().clock(clock).connect(&url()).await.unwrap()
    }

    /// Two stores on them that go by the server's clock, which really passes.
    pub(crate) async fn setup(self) -> StoreUnderTest {
        let (a, b) = (self.open(Clock::Server).await, self.open(Clock::Server).await);
        let (reopened, damaged) = (self.clone(), self);
        StoreUnderTest::new(a, b)
            .advance(|time| async move {
                smol::Timer::after(time + Duration::from_millis(2)).await;
            })
            .reopen(move || {
                let tables = reopened.clone();
                async move { tables.open(Clock::Server).await }
            })
            .damage(move |id, damage| {
                let tables = damaged.clone();
                async move { tables.damage(id, damage).await }
            })
    }

    /// Runs a query that goes round the store. It begins with a table, which it is given by name.
    pub(crate) async fn run(&self, table: &str, query: impl FnOnce(Command) -> Command) -> Vec<Value> {
        let session = r.connect(driver_options()).await.unwrap();
        let query = query(r.table(format!("{}{table}", self.prefix)));
        query.run(&session).try_collect::<_, _, Vec<Value>>().await.unwrap()
    }

    pub(crate) async fn insert(&self, table: &str, row: Value) {
        let reply = self.run(table, |rows| rows.insert(row)).await;
        assert_eq!(reply[0]["inserted"], 1, "{reply:?}");
    }

    /// The document of a live job.
    pub(crate) async fn document(&self, id: &str) -> Value {
        let live = r.with_opt(r.args([id.to_owned()]), r.index("live_id"));
        let found = self.run("jobs", |jobs| jobs.get_all(live)).await;
        let [document] = &found[..] else { panic!("{id}: {found:?}") };
        document.clone()
    }

    async fn damage(&self, id: JobId, damage: Damage) {
        let mut document = self.document(id.as_str()).await;
        let uid = document["uid"].as_str().unwrap().to_owned();
        match damage {
            Damage::Body => document["body"] = json!(r#"{"v": 1, "task""#),
            Damage::Version => {
                let mut body: Value = serde_json::from_str(document["body"].as_str().unwrap()).unwrap();
                body["v"] = json!(0);
                (document["v"], document["body"]) = (json!(0), json!(body.to_string()));
            }
            Damage::State => document["state"] = json!("sleeping"),
            Damage::Uid => document["uid"] = json!("not a uid"),
        }
        self.run("jobs", |jobs| jobs.get(uid).delete(())).await;
        self.insert("jobs", document).await;
    }
}

/// The server's URL, with the database of these tests.
pub(crate) fn url() -> String {
    format!("rethinkdb://{}/{DATABASE}", address())
}

/// The server's host and port.
pub(crate) fn address() -> String {
    let url = server::url("rethinkdb");
    url.trim_start_matches("rethinkdb://").trim_end_matches('/').to_owned()
}

/// Options of the driver for the same server and database.
pub(crate) fn driver_options() -> connect::Options {
    let address = address();
    let (host, port) = address.rsplit_once(':').unwrap();
    connect::Options::new().host(host.to_owned()).port(port.parse().unwrap()).db(DATABASE)
}
