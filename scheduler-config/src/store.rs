//! A store as a configuration has it.

use std::{fmt, sync::Arc, time::Duration};

use scheduler_core::{
    JobStore, duration,
    store::{StoreError, StoreErrorKind},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IntoDeserializer, value::MapAccessDeserializer},
};

use crate::{
    connect::connect,
    url::{StoreKind, StoreUrl},
};

/// A store: its URL, and what differs from the store's own defaults.
///
/// In [`SchedulerConfig::stores`](crate::SchedulerConfig::stores), a store without options may be written as its URL alone.
///
/// ```
/// use std::time::Duration;
/// use scheduler_config::{SchedulerConfig, StoreConfig};
///
/// let config = SchedulerConfig::from_toml(
///     r#"
///     [stores]
///     scratch = "memory:"
///     default = { url = "sqlite://jobs.db", prefix = "billing_", poll = "250ms" }
///     "#,
/// )?;
/// let mut store = StoreConfig::new("sqlite://jobs.db".parse()?);
/// store.prefix = Some("billing_".to_owned());
/// store.poll = Some(Some(Duration::from_millis(250)));
/// assert_eq!(config.stores["default"], store);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StoreConfig {
    /// Where it is.
    pub url: StoreUrl,
    /// What the names of its tables, collections or keys begin with; in ZooKeeper, the node below which all others are.
    /// Not for the memory store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The schema of the tables. PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The database, if the URL does not say it. MongoDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// How often the store is asked for changes by other processes, or `"none"`. SQLite, MySQL; MongoDB, which cannot do
    /// without.
    #[serde(default, with = "duration::or_none", skip_serializing_if = "Option::is_none")]
    pub poll: Option<Option<Duration>>,
    /// The largest job, in bytes of JSON. Not for the memory store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_limit: Option<usize>,
    /// The most connections. PostgreSQL, MySQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<usize>,
    /// How long a server may take to answer. ZooKeeper, etcd, RethinkDB.
    #[serde(default, with = "duration::given", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// When a call counts as written. SQLite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronous: Option<Synchronous>,
    /// Who may read and write what the store creates. ZooKeeper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

/// When a transaction of an SQLite store counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// When it has reached the disk. The default.
    Full,
    /// When the operating system has it: faster, and the last calls can be lost when the power fails.
    Normal,
}

/// Who may read and write what a ZooKeeper store creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Whoever reaches the servers. The default if the URL has no user.
    Everyone,
    /// Whoever has the credentials with which it was created. The default if the URL has a user.
    Creator,
}

impl StoreConfig {
    /// A store with its own defaults.
    pub fn new(url: StoreUrl) -> Self {
        Self {
            url,
            prefix: None,
            schema: None,
            database: None,
            poll: None,
            payload_limit: None,
            max_connections: None,
            timeout: None,
            synchronous: None,
            access: None,
        }
    }

    /// Connects to the store, and creates in it what is not there.
    ///
    /// # Errors
    ///
    /// The feature of the store is not switched on, an option is not one of its, or as the store's own `connect`. No message
    /// has a password in it.
    pub async fn connect(&self) -> Result<Arc<dyn JobStore>, StoreError> {
        self.check()?;
        connect(self).await
    }

    /// Refuses what the store does not know, so that nobody believes it has an effect.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let store = self.url.kind();
        let given = [
            ("prefix", self.prefix.is_some()),
            ("schema", self.schema.is_some()),
            ("database", self.database.is_some()),
            ("poll", self.poll.is_some()),
            ("payload_limit", self.payload_limit.is_some()),
            ("max_connections", self.max_connections.is_some()),
            ("timeout", self.timeout.is_some()),
            ("synchronous", self.synchronous.is_some()),
            ("access", self.access.is_some()),
        ];
        let known = store.options();
        let refuse = |why: String| Err(StoreError::new(StoreErrorKind::Incompatible, why));
        match given.iter().find(|(name, is_given)| *is_given && !known.contains(name)) {
            Some((name, _)) if known.is_empty() => {
                refuse(format!("`{name}`: the {} store has no options", store.name()))
            }
            Some((name, _)) => {
                refuse(format!("`{name}`: the {} store does not have it, only {}", store.name(), known.join(", ")))
            }
            None if store == StoreKind::MongoDb && self.poll == Some(None) => {
                refuse("`poll`: a mongodb store cannot do without; give a duration".to_owned())
            }
            None => match self.zero() {
                Some(name) => refuse(format!(
                    "`{name}` is zero or less than a millisecond; give more, or leave it out for the store's own"
                )),
                None => Ok(()),
            },
        }
    }

    /// An option with which the store could not work, or would ask without a pause.
    fn zero(&self) -> Option<&'static str> {
        let is_short = |given: Option<Duration>| given.is_some_and(|given| given < Duration::from_millis(1));
        let zeros = [
            ("poll", is_short(self.poll.flatten())),
            ("payload_limit", self.payload_limit == Some(0)),
            ("max_connections", self.max_connections == Some(0)),
            ("timeout", is_short(self.timeout)),
        ];
        zeros.into_iter().find_map(|(name, is_zero)| is_zero.then_some(name))
    }
}

impl StoreKind {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Memory => &[],
            Self::Sqlite => &["prefix", "poll", "payload_limit", "synchronous"],
            Self::Postgres => &["prefix", "schema", "payload_limit", "max_connections"],
            Self::MySql => &["prefix", "poll", "payload_limit", "max_connections"],
            Self::Redis => &["prefix", "payload_limit"],
            Self::MongoDb => &["prefix", "database", "poll", "payload_limit"],
            Self::ZooKeeper => &["prefix", "payload_limit", "timeout", "access"],
            Self::Etcd | Self::RethinkDb => &["prefix", "payload_limit", "timeout"],
        }
    }
}

/// A store that may be written as its URL alone.
pub(crate) struct Entry(pub(crate) StoreConfig);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlOrTable;

        impl<'de> de::Visitor<'de> for UrlOrTable {
            type Value = StoreConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the URL of a store, or a table with its `url`")
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<StoreConfig, E> {
                StoreUrl::deserialize(url.into_deserializer()).map(StoreConfig::new)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<StoreConfig, A::Error> {
                let store = StoreConfig::deserialize(MapAccessDeserializer::new(map))?;
                store.check().map_err(de::Error::custom)?;
                Ok(store)
            }
        }

        deserializer.deserialize_any(UrlOrTable).map(Self)
    }
}
