//! The stores behind the URLs, those that are compiled in.

use std::sync::Arc;

use scheduler_core::{
    JobStore,
    store::{StoreError, StoreErrorKind},
};
use scheduler_stores::MemoryStore;

use crate::{store::StoreConfig, url::secrets};

/// Connects to the store of a URL, with the store's own defaults; see [`StoreUrl`](crate::StoreUrl) for what is known.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use scheduler_runtime::Scheduler;
/// # let runtime = scheduler_thread::ThreadRuntime::new()?;
///
/// let store = scheduler_config::connect_store(&std::env::var("JOBS")?).await?;
/// let scheduler = Scheduler::builder(runtime).store("default", store).build()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The URL names no store, or one whose feature is not switched on, which the message names then; or as the store's own
/// `connect`. No message has a password in it.
pub async fn connect_store(url: &str) -> Result<Arc<dyn JobStore>, StoreError> {
    StoreConfig::new(url.parse()?).connect().await
}

impl StoreConfig {
    /// Connects to the store, and creates in it what is not there.
    ///
    /// # Errors
    ///
    /// The feature of the store is not switched on, an option is not one of its, or as the store's own `connect`. No message
    /// has a password in it.
    pub async fn connect(&self) -> Result<Arc<dyn JobStore>, StoreError> {
        self.check()?;
        connect(self).await.map_err(|error| without_secrets(self.url.as_str(), error))
    }
}

impl StoreConfig {
    fn without_feature(&self) -> StoreError {
        let (url, missing) = (&self.url, self.url.store().name);
        let message = format!(
            "store url `{url}`: this program is built without the {missing} store; switch on the feature `{missing}`"
        );
        StoreError::new(StoreErrorKind::Incompatible, message)
    }
}

/// Says of each store but memory which options of a configuration it has, and which setter of its own each of them is.
macro_rules! stores {
    ($($name:literal: $type:ident, |$options:ident, $given:ident| { $($option:ident: $set:expr,)* })*) => {
        /// The names of the options that a store has.
        pub(crate) fn options_of(store: &str) -> &'static [&'static str] {
            match store {
                $($name => &[$(stringify!($option)),*],)*
                _ => &[],
            }
        }

        async fn connect(config: &StoreConfig) -> Result<Arc<dyn JobStore>, StoreError> {
            match config.url.store().name {
                "memory" => Ok(Arc::new(MemoryStore::new())),
                $(
                    #[cfg(feature = $name)]
                    $name => {
                        let mut $options = scheduler_stores::$type::new();
                        $(
                            if let Some($given) = &config.$option {
                                $options = $set;
                            }
                        )*
                        // What follows a plus in a scheme of etcd is the scheme by which its client reaches it.
                        let url = config.url.as_str().trim_start_matches("etcd+");
                        Ok(Arc::new($options.connect(url).await?))
                    }
                )*
                _ => Err(config.without_feature()),
            }
        }

        impl StoreConfig {
            /// Refuses a store that is not compiled in.
            pub(crate) fn check_feature(&self) -> Result<(), StoreError> {
                match self.url.store().name {
                    "memory" => Ok(()),
                    $(
                        #[cfg(feature = $name)]
                        $name => Ok(()),
                    )*
                    _ => Err(self.without_feature()),
                }
            }
        }
    };
}

stores! {
    "sqlite": SqliteOptions, |options, given| {
        prefix: options.table_prefix(given)?,
        poll: options.poll(*given),
        create_tables: options.create_tables(*given),
        payload_limit: options.payload_limit(*given),
        synchronous: options.synchronous(*given),
    }
    "postgres": PostgresOptions, |options, given| {
        prefix: options.table_prefix(given)?,
        schema: options.schema(given)?,
        create_tables: options.create_tables(*given),
        payload_limit: options.payload_limit(*given),
        max_connections: options.max_connections(*given),
    }
    "mysql": MySqlOptions, |options, given| {
        prefix: options.table_prefix(given)?,
        poll: options.poll(*given),
        create_tables: options.create_tables(*given),
        payload_limit: options.payload_limit(*given),
        max_connections: options.max_connections(*given),
    }
    "redis": RedisOptions, |options, given| {
        prefix: options.key_prefix(given)?,
        payload_limit: options.payload_limit(*given),
    }
    "mongodb": MongoDbOptions, |options, given| {
        prefix: options.collection_prefix(given)?,
        database: options.database(given),
        poll: match *given {
            Some(period) => options.poll(period),
            None => options, // refused before: it cannot do without
        },
        payload_limit: options.payload_limit(*given),
    }
    "zookeeper": ZooKeeperOptions, |options, given| {
        prefix: options.root(given)?,
        payload_limit: options.payload_limit(*given),
        timeout: options.timeout(*given),
        access: options.access(*given),
    }
    "etcd": EtcdOptions, |options, given| {
        prefix: options.key_prefix(given)?,
        payload_limit: options.payload_limit(*given),
        timeout: options.timeout(*given),
    }
    "rethinkdb": RethinkDbOptions, |options, given| {
        prefix: options.table_prefix(given)?,
        payload_limit: options.payload_limit(*given),
        timeout: options.timeout(*given),
    }
}

/// Stores leave passwords out of their messages; what their drivers say of a URL that is not well-formed may not.
fn without_secrets(url: &str, error: StoreError) -> StoreError {
    let (scheme, url) = url.split_once("://").unwrap_or(("", url));
    let secrets = secrets(scheme, url).into_iter().map(|at| &url[at]).filter(|secret| !secret.is_empty());
    let secrets: Vec<&str> = secrets.collect();
    let is_told = |text: &str| secrets.iter().any(|secret| text.contains(secret));
    if !is_told(&format!("{error:?} {error}")) {
        return error;
    }
    // Without the source, which has it too.
    let message = secrets.iter().fold(error.to_string(), |message, secret| message.replace(secret, "***"));
    StoreError::new(error.kind(), message)
}

#[cfg(test)]
mod tests {
    use scheduler_stores::STORES;

    use super::options_of;

    #[test]
    fn each_store_but_memory_can_be_connected_to_and_has_options() {
        let without: Vec<&str> =
            STORES.iter().map(|store| store.name).filter(|name| options_of(name).is_empty()).collect();
        assert_eq!(without, ["memory"], "each other store of scheduler_stores::STORES has an entry in `stores!` here");
    }
}
