//! A root of its own for each test, and how to go round the store.

use std::sync::LazyLock;

use scheduler_core::JobId;
use scheduler_stores::{ZooKeeperOptions, ZooKeeperStore};
use scheduler_testkit::store::{Damage, StoreUnderTest};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use zookeeper_client::{Acls, Client, CreateMode};

use crate::server;

/// The client's connections live here; its calls can be awaited anywhere.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A client that goes round the store.
pub(crate) async fn client() -> Client {
    let servers = server::url("zookeeper").strip_prefix("zookeeper://").unwrap().to_owned();
    RUNTIME.spawn(async move { Client::connect(&servers).await }).await.unwrap().unwrap()
}

/// Nodes that no other test has.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) root: String,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { root: format!("/{}", server::prefix()) }
    }

    pub(crate) fn options(&self) -> ZooKeeperOptions {
        ZooKeeperOptions::new().root(&self.root).unwrap()
    }

    pub(crate) async fn open(&self) -> ZooKeeperStore {
        self.options().connect(&server::url("zookeeper")).await.unwrap()
    }

    pub(crate) async fn read(&self, path: &str) -> String {
        let (data, _) = client().await.get_data(&self.path(path)).await.unwrap();
        String::from_utf8(data).unwrap()
    }

    pub(crate) async fn write(&self, path: &str, data: &[u8]) {
        client().await.set_data(&self.path(path), data, None).await.unwrap();
    }

    pub(crate) async fn create(&self, path: &str, data: &[u8]) {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        client().await.create(&self.path(path), data, &options).await.unwrap();
    }

    /// Creates nodes without data.
    pub(crate) async fn create_all(&self, paths: impl Iterator<Item = String>) {
        let (client, options) = (client().await, CreateMode::Persistent.with_acls(Acls::anyone_all()));
        let paths: Vec<_> = paths.map(|path| self.path(&path)).collect();
        // All are under way at the same time.
        let created: Vec<_> = paths.iter().map(|path| client.create(path, &[], &options)).collect();
        for created in created {
            created.await.unwrap();
        }
    }

    pub(crate) async fn delete(&self, path: &str) {
        client().await.delete(&self.path(path), None).await.unwrap();
    }

    /// The names in a folder, in their order.
    pub(crate) async fn list(&self, path: &str) -> Vec<String> {
        let mut names = client().await.list_children(&self.path(path)).await.unwrap();
        names.sort();
        names
    }

    /// The paths of all due entries.
    pub(crate) async fn due(&self) -> Vec<String> {
        let mut paths = Vec::new();
        for hour in self.list("due").await {
            for slot in self.list(&format!("due/{hour}")).await {
                let folder = format!("due/{hour}/{slot}");
                paths.extend(self.list(&folder).await.into_iter().map(|name| format!("{folder}/{name}")));
            }
        }
        paths
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.root)
    }

    async fn damage(&self, id: JobId, damage: Damage) {
        let path = format!("jobs/{}", self.read(&format!("ids/{}", encode(id.as_str()))).await);
        let mut job: Value = serde_json::from_str(&self.read(&path).await).unwrap();
        match damage {
            Damage::Body => job["body"] = json!("{\"v\": 1, \"task\""),
            Damage::Version => {
                let body = job["body"].as_str().unwrap().replace("\"v\":1", "\"v\":0");
                job["body"] = json!(body);
                job["v"] = json!(0);
            }
            Damage::State => job["state"] = json!("sleeping"),
            Damage::Uid => job["uid"] = json!("not a uid"),
        }
        self.write(&path, job.to_string().as_bytes()).await;
    }
}

/// The name of an id's node, as another program would make it.
pub(crate) fn encode(id: &str) -> String {
    let encoded = id.bytes().map(|byte| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'~' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// A fresh root with two stores on it, each with a session of its own.
pub(crate) async fn setup() -> StoreUnderTest {
    let tree = Tree::new();
    let (a, b) = (tree.open().await, tree.open().await);
    let (reopened, damaged) = (tree.clone(), tree);
    StoreUnderTest::new(a, b)
        .reopen(move || {
            let tree = reopened.clone();
            async move { tree.open().await }
        })
        .damage(move |id, damage| {
            let tree = damaged.clone();
            async move { tree.damage(id, damage).await }
        })
}
