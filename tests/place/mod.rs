//! Where the jobs of a test are: a store by its name, with a place in it that no other test has.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{sync::Arc, time::Duration};

use apscheduler::{
    JobStore,
    store::StoreError,
    stores::{
        EtcdOptions, MemoryStore, MongoDbOptions, MySqlOptions, PostgresOptions, RedisOptions, RethinkDbOptions,
        SqliteOptions, Synchronous, ZooKeeperOptions,
    },
};
use tempfile::TempDir;

mod books;

#[allow(unused_imports, reason = "each test binary uses its part")]
pub(crate) use books::Books;

#[path = "../../stores/tests/server/mod.rs"]
mod server;

/// A place for jobs, for any number of nodes.
#[derive(Debug)]
pub(crate) struct Place {
    store: String,
    url: String,
    prefix: String,
    memory: MemoryStore,
    _folder: Option<TempDir>,
}

impl Place {
    /// An empty place in this store. Those with a server have theirs started by `cargo xtask test`.
    pub(crate) fn new(store: &str) -> Self {
        match store {
            "memory" => Self::at(store, "", ""),
            "sqlite" => {
                let folder = TempDir::new().unwrap();
                let url = format!("sqlite://{}/jobs.db", folder.path().display());
                Self { _folder: Some(folder), ..Self::at(store, &url, "") }
            }
            server => Self::at(server, &server::url(server), &server::prefix()),
        }
    }

    /// A place that another process has made.
    pub(crate) fn at(store: &str, url: &str, prefix: &str) -> Self {
        let (store, url, prefix) = (store.to_owned(), url.to_owned(), prefix.to_owned());
        Self { store, url, prefix, memory: MemoryStore::new(), _folder: None }
    }

    /// The name of the store, the URL and the prefix, from which another process makes the same place.
    pub(crate) fn parts(&self) -> [&str; 3] {
        [&self.store, &self.url, &self.prefix]
    }

    /// A store of its own on the same jobs.
    pub(crate) async fn open(&self) -> Arc<dyn JobStore> {
        self.try_open().await.unwrap_or_else(|error| panic!("store {}: {error}", self.store))
    }

    /// The same, if its server is there.
    pub(crate) async fn try_open(&self) -> Result<Arc<dyn JobStore>, StoreError> {
        let Self { store, url, prefix, .. } = self;
        Ok(match store.as_str() {
            "memory" => Arc::new(self.memory.clone()),
            // Nothing here outlives a power failure, and other nodes are heard of soon.
            "sqlite" => {
                let options = SqliteOptions::new().synchronous(Synchronous::Normal);
                Arc::new(options.poll(Some(Duration::from_millis(50))).connect(url).await?)
            }
            "etcd" => Arc::new(EtcdOptions::new().key_prefix(prefix)?.connect(url).await?),
            "mongodb" => Arc::new(MongoDbOptions::new().collection_prefix(prefix)?.connect(url).await?),
            "mysql" => {
                let options = MySqlOptions::new().table_prefix(prefix)?.poll(Some(Duration::from_millis(50)));
                Arc::new(options.connect(url).await?)
            }
            "postgres" => Arc::new(PostgresOptions::new().table_prefix(prefix)?.connect(url).await?),
            "redis" => Arc::new(RedisOptions::new().key_prefix(prefix)?.connect(url).await?),
            "rethinkdb" => Arc::new(RethinkDbOptions::new().table_prefix(prefix)?.connect(url).await?),
            "zookeeper" => Arc::new(ZooKeeperOptions::new().root(&format!("/{prefix}"))?.connect(url).await?),
            other => panic!("there is no store {other}"),
        })
    }
}
