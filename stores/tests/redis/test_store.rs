//! Keys that no other test has, stores on them, and a connection that goes round the stores.

use std::time::Duration;

use redis::{Connection, FromRedisValue};
use scheduler_core::{JobId, store::Clock};
use scheduler_stores::{RedisOptions, RedisStore};
use scheduler_testkit::store::{Damage, StoreUnderTest};

use crate::server;

#[derive(Debug, Clone)]
pub(crate) struct TestStore {
    pub(crate) url: String,
    pub(crate) prefix: String,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        Self { url: server::url("redis"), prefix: server::prefix() }
    }

    pub(crate) fn options(&self) -> RedisOptions {
        RedisOptions::new().key_prefix(&self.prefix).unwrap()
    }

    /// A store that goes by the server's clock.
    pub(crate) async fn open(&self) -> RedisStore {
        self.options().connect(&self.url).await.unwrap()
    }

    /// A store that goes by the callers' clocks.
    pub(crate) async fn open_on_callers_clock(&self) -> RedisStore {
        self.options().clock(Clock::Caller).connect(&self.url).await.unwrap()
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.prefix)
    }

    pub(crate) fn connection(&self) -> Connection {
        redis::Client::open(&*self.url).unwrap().get_connection().unwrap()
    }

    /// Sends a command, in which `@NAME` stands for the key of that name.
    pub(crate) fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        for word in words {
            match word.strip_prefix('@') {
                Some(name) => command.arg(self.key(name)),
                None => command.arg(*word),
            };
        }
        command.query(&mut self.connection()).unwrap()
    }

    /// Performs the commands of a sample.
    pub(crate) fn load(&self, sample: &str) {
        for line in sample.lines() {
            let mut words: Vec<String> = serde_json::from_str(line).unwrap();
            words[1] = format!("@{}", words[1]);
            self.run::<()>(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    /// The uid of a live job.
    pub(crate) fn uid(&self, id: &str) -> String {
        let (from, to) = (format!("[{id}\0"), format!("({id}\x01"));
        let members: Vec<String> = self.run(&["ZRANGEBYLEX", "@ids", &from, &to]);
        members[0].split_once('\0').unwrap().1.to_owned()
    }

    /// A user who may touch nothing but the keys of the prefix, until this is dropped.
    pub(crate) fn user(&self, rights: &[&str]) -> User {
        let name = self.prefix.clone();
        let places = [format!("~{{{name}}}:*"), format!("&{{{name}}}:*")];
        let mut words = vec!["ACL", "SETUSER", &name, "reset", "on", ">word", &places[0], &places[1]];
        words.extend(rights);
        self.run::<()>(&words);
        let url = self.url.replace("://", &format!("://{name}:word@"));
        User { test_store: self.clone(), name, url }
    }

    /// The names of all keys of the prefix, without it.
    pub(crate) fn names(&self) -> Vec<String> {
        let length = self.key("").len();
        self.dump().into_iter().map(|(key, _)| key[length..].to_owned()).collect()
    }

    /// All keys of the prefix, with their values.
    pub(crate) fn dump(&self) -> Vec<(String, Vec<u8>)> {
        let mut keys: Vec<String> = self.run(&["KEYS", "@*"]);
        keys.sort();
        keys.into_iter().map(|key| (key.clone(), self.run(&["DUMP", &key]))).collect()
    }

    pub(crate) fn damage(&self, id: &JobId, damage: Damage) {
        let uid = self.uid(id.as_str());
        let job = format!("@job:{uid}");
        match damage {
            Damage::Body => self.run::<()>(&["HSET", &job, "body", "{\"v\": 1, \"task\""]),
            Damage::State => self.run::<()>(&["HSET", &job, "state", "sleeping"]),
            Damage::Version => {
                let body: String = self.run(&["HGET", &job, "body"]);
                let mut body: serde_json::Value = serde_json::from_str(&body).unwrap();
                body["v"] = 0.into();
                self.run::<()>(&["HSET", &job, "v", "0", "body", &body.to_string()]);
                let due: String = self.run(&["HGET", &job, "due"]);
                self.run::<()>(&["ZREM", "@due:1:task", &uid]);
                self.run::<()>(&["ZADD", "@due:0:task", &due, &uid]);
                self.run::<()>(&["ZADD", "@due", &due, "0:task"]);
            }
            Damage::Uid => {
                let due: String = self.run(&["HGET", &job, "due"]);
                self.run::<()>(&["RENAME", &job, "@job:not a uid"]);
                self.run::<()>(&["ZREM", "@due:1:task", &uid]);
                self.run::<()>(&["ZADD", "@due:1:task", &due, "not a uid"]);
                self.run::<()>(&["ZREM", "@ids", &format!("{id}\0{uid}")]);
                self.run::<()>(&["ZADD", "@ids", "0", &format!("{id}\0not a uid")]);
            }
        }
    }

    /// Two stores on these keys.
    pub(crate) async fn setup(self) -> StoreUnderTest {
        let (a, b) = (self.open().await, self.open().await);
        self.with(a, b)
    }

    pub(crate) fn with(self, a: RedisStore, b: RedisStore) -> StoreUnderTest {
        let (reopened, damaged) = (self.clone(), self);
        StoreUnderTest::new(a, b)
            .reopen(move || {
                let test_store = reopened.clone();
                async move { test_store.open().await }
            })
            .damage(move |id, damage| {
                damaged.damage(&id, damage);
                async {}
            })
    }
}

#[derive(Debug)]
pub(crate) struct User {
    test_store: TestStore,
    pub(crate) name: String,
    pub(crate) url: String,
}

impl Drop for User {
    fn drop(&mut self) {
        self.test_store.run::<()>(&["ACL", "DELUSER", &self.name]);
    }
}

/// Lets the server's time pass.
#[expect(clippy::disallowed_methods, reason = "the server has its own clock, which only waiting moves")]
pub(crate) async fn wait(time: Duration) {
    std::thread::sleep(time);
}
