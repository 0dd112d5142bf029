//! A store as a configuration has it.

use std::{fmt, time::Duration};

use scheduler_core::{
    duration,
    store::{StoreError, StoreErrorKind},
};
use scheduler_stores::{Synchronous, ZooKeeperAccess};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IntoDeserializer, value::MapAccessDeserializer},
};

use crate::{connect::options_of, url::StoreUrl};

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
    /// Whether tables that are not there are created, and older ones brought up to date. SQLite, PostgreSQL, MySQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_tables: Option<bool>,
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
    pub access: Option<ZooKeeperAccess>,
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
            create_tables: None,
            payload_limit: None,
            max_connections: None,
            timeout: None,
            synchronous: None,
            access: None,
        }
    }

    /// Refuses options that the store does not have, which would have no effect.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let store = self.url.store();
        let given = [
            ("prefix", self.prefix.is_some()),
            ("schema", self.schema.is_some()),
            ("database", self.database.is_some()),
            ("poll", self.poll.is_some()),
            ("create_tables", self.create_tables.is_some()),
            ("payload_limit", self.payload_limit.is_some()),
            ("max_connections", self.max_connections.is_some()),
            ("timeout", self.timeout.is_some()),
            ("synchronous", self.synchronous.is_some()),
            ("access", self.access.is_some()),
        ];
        let known = options_of(store.name);
        let refuse = |why: String| Err(StoreError::new(StoreErrorKind::Incompatible, why));
        match given.iter().find(|(name, is_given)| *is_given && !known.contains(name)) {
            Some((name, _)) if known.is_empty() => refuse(format!("`{name}`: the {} store has no options", store.name)),
            Some((name, _)) => {
                refuse(format!("`{name}`: the {} store does not have it, only {}", store.name, known.join(", ")))
            }
            None if store.name == "mongodb" && self.poll == Some(None) => {
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
