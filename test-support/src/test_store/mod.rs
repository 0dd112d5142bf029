//! Where the jobs of a test are: a store by its name, with tables or keys that no other test has.

use std::{sync::Arc, time::Duration};

use apscheduler::{
    JobStore,
    config::StoreConfig,
    store::StoreError,
    stores::{KnownStore, MemoryStore, STORES, StoreNews, StorePlace, Synchronous},
};
use tempfile::TempDir;

mod contents;

pub use contents::Contents;

use crate::server;

/// Tables or keys of one test in a store, for any number of nodes.
#[derive(Debug)]
pub struct TestStore {
    store: String,
    url: String,
    prefix: String,
    memory: MemoryStore,
    _folder: Option<TempDir>,
}

impl TestStore {
    /// Empty ones in this store. Those with a server have theirs started by `cargo xtask test`.
    pub fn new(store: &str) -> Self {
        match known(store).place {
            StorePlace::Process => Self::at(store, "", ""),
            StorePlace::File => {
                let folder = TempDir::new().unwrap();
                let url = format!("{store}://{}/jobs.db", folder.path().display());
                Self { _folder: Some(folder), ..Self::at(store, &url, "") }
            }
            _ => Self::at(store, &server::url(store), &server::prefix()),
        }
    }

    /// Those that another process has made.
    pub fn at(store: &str, url: &str, prefix: &str) -> Self {
        let (store, url, prefix) = (store.to_owned(), url.to_owned(), prefix.to_owned());
        Self { store, url, prefix, memory: MemoryStore::new(), _folder: None }
    }

    /// The name of the store, the URL and the prefix, with which another process opens the same.
    pub fn parts(&self) -> [&str; 3] {
        [&self.store, &self.url, &self.prefix]
    }

    /// A store of its own on the same jobs.
    pub async fn open(&self) -> Arc<dyn JobStore> {
        self.try_open().await.unwrap_or_else(|error| panic!("store {}: {error}", self.store))
    }

    /// The same, if its server is there.
    pub async fn try_open(&self) -> Result<Arc<dyn JobStore>, StoreError> {
        let known = known(&self.store);
        if known.place == StorePlace::Process {
            return Ok(Arc::new(self.memory.clone()));
        }
        let mut config = StoreConfig::new(self.url.parse()?);
        if !self.prefix.is_empty() {
            // The names of ZooKeeper are paths.
            let root = if known.name == "zookeeper" { "/" } else { "" };
            config.prefix = Some(format!("{root}{}", self.prefix));
        }
        // Other nodes are heard of soon, and nothing here outlives a power failure.
        if known.news == StoreNews::Poll {
            config.poll = Some(Some(Duration::from_millis(50)));
        }
        if known.name == "sqlite" {
            config.synchronous = Some(Synchronous::Normal);
        }
        config.connect().await
    }
}

/// What is known of the store with this name.
pub fn known(store: &str) -> &'static KnownStore {
    STORES.iter().find(|known| known.name == store).unwrap_or_else(|| panic!("there is no store {store}"))
}

/// Fails unless a list of a test names each store that the test is about, so that one that is added is added there, too.
pub fn assert_lists(listed: &[&str], is_meant: impl Fn(&KnownStore) -> bool) {
    let mut meant: Vec<&str> = STORES.iter().filter(|store| is_meant(store)).map(|store| store.name).collect();
    meant.sort_unstable();
    assert_eq!(listed, meant, "the list of stores here, and those of `STORES` for which this holds");
}
