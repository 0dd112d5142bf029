//! Keys that no other test has, and etcd's own client to go round the store.

use std::process::{Command, Stdio};

use scheduler_core::JobId;
use scheduler_stores::{EtcdOptions, EtcdStore};
use scheduler_testkit::store::{Damage, StoreUnderTest};
use serde_json::{Map, Value, json};

use crate::server;

/// The keys of one test.
#[derive(Debug, Clone)]
pub(crate) struct TestStore {
    pub prefix: String,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        Self { prefix: server::prefix() }
    }

    pub(crate) async fn open(&self) -> EtcdStore {
        EtcdOptions::new().key_prefix(&self.prefix).unwrap().connect(&server::url("etcd")).await.unwrap()
    }

    pub(crate) async fn setup(&self) -> StoreUnderTest {
        StoreUnderTest::new(self.open().await, self.open().await)
    }

    /// A key by its name without the prefix.
    pub(crate) fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }

    /// The value of a key.
    pub(crate) fn value(&self, rest: &str) -> Option<String> {
        let text = etcdctl(&["get", "--print-value-only", "--", &self.key(rest)], "");
        text.strip_suffix('\n').map(ToOwned::to_owned)
    }

    pub(crate) fn put(&self, rest: &str, value: &str) {
        etcdctl(&["put", "--", &self.key(rest), value], "");
    }

    /// The names of the keys that begin like this, without the prefix.
    pub(crate) fn names(&self, beginning: &str) -> Vec<String> {
        let text = etcdctl(&["get", "--prefix", "--keys-only", "--", &self.key(beginning)], "");
        text.lines().filter_map(|line| line.strip_prefix(&self.prefix)).map(ToOwned::to_owned).collect()
    }

    /// The key of a live job.
    pub(crate) fn job_key(&self, id: &JobId) -> String {
        format!("job:{}", self.value(&format!("id:{id}")).expect("the job is live"))
    }

    /// Changes a job's fields.
    pub(crate) fn change(&self, id: &JobId, change: impl FnOnce(&mut Map<String, Value>)) {
        let key = self.job_key(id);
        let mut fields = serde_json::from_str(&self.value(&key).unwrap()).unwrap();
        change(&mut fields);
        self.put(&key, &json!(fields).to_string());
    }

    fn damage(&self, id: &JobId, damage: Damage) {
        self.change(id, |fields| {
            let (name, value) = match damage {
                Damage::Body => ("body", json!(r#"{"v": 1, "task""#)),
                Damage::Version => {
                    let mut body: Value = serde_json::from_str(fields["body"].as_str().unwrap()).unwrap();
                    body["v"] = json!(0);
                    fields.insert("body".to_owned(), json!(body.to_string()));
                    ("v", json!(0))
                }
                Damage::State => ("state", json!("sleeping")),
                Damage::Uid => ("uid", json!("not a uid")),
            };
            fields.insert(name.to_owned(), value);
        });
    }
}

/// Keys of a new test, with two stores on them.
pub(crate) async fn setup() -> StoreUnderTest {
    let test_store = TestStore::new();
    let (reopened, damaged) = (test_store.clone(), test_store.clone());
    let store = test_store.setup().await;
    store
        .reopen(move || {
            let test_store = reopened.clone();
            async move { test_store.open().await }
        })
        .damage(move |id, damage| {
            damaged.damage(&id, damage);
            std::future::ready(())
        })
}

/// Runs etcd's own client, with a text for it to read, and gives what it prints.
pub(crate) fn etcdctl(args: &[&str], input: &str) -> String {
    etcdctl_at(&server::url("etcd"), args, input)
}

/// The same at another server.
pub(crate) fn etcdctl_at(server: &str, args: &[&str], input: &str) -> String {
    let server = server.replace("etcd://", "http://");
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &server]).args(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "etcdctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
