//! The stores behind the URLs, those that are compiled in.

use std::sync::Arc;

use scheduler_core::{
    JobStore,
    store::{StoreError, StoreErrorKind},
};
use scheduler_stores::MemoryStore;

use crate::{
    store::StoreConfig,
    url::{StoreKind, secrets},
};

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

#[allow(unreachable_patterns, reason = "every store may be there")]
pub(crate) async fn connect(config: &StoreConfig) -> Result<Arc<dyn JobStore>, StoreError> {
    let store: Result<Arc<dyn JobStore>, StoreError> = match config.url.kind() {
        StoreKind::Memory => Ok(Arc::new(MemoryStore::new())),
        #[cfg(feature = "sqlite")]
        StoreKind::Sqlite => sqlite(config).await,
        #[cfg(feature = "postgres")]
        StoreKind::Postgres => postgres(config).await,
        #[cfg(feature = "mysql")]
        StoreKind::MySql => mysql(config).await,
        #[cfg(feature = "redis")]
        StoreKind::Redis => redis(config).await,
        #[cfg(feature = "mongodb")]
        StoreKind::MongoDb => mongodb(config).await,
        #[cfg(feature = "zookeeper")]
        StoreKind::ZooKeeper => zookeeper(config).await,
        #[cfg(feature = "etcd")]
        StoreKind::Etcd => etcd(config).await,
        #[cfg(feature = "rethinkdb")]
        StoreKind::RethinkDb => rethinkdb(config).await,
        missing => {
            let name = missing.name();
            let message = format!(
                "store url `{}`: this program is built without the {name} store; switch on the feature `{name}`",
                config.url,
            );
            Err(StoreError::new(StoreErrorKind::Incompatible, message))
        }
    };
    store.map_err(|error| without_secrets(config.url.as_str(), error))
}

#[cfg(feature = "sqlite")]
async fn sqlite(config: &StoreConfig) -> Result<Arc<dyn JobStore>, StoreError> {
    use scheduler_stores::{SqliteOptions, Synchronous};

    let mut options = SqliteOptions::new();
    if let Some(prefix) = &config.prefix {
        options = options.table_prefix(prefix)?;
    }
    if let Some(period) = config.poll {
        options = options.poll(period);
    }
    if let Some(bytes) = config.payload_limit {
        options = options.payload_limit(bytes);
    }
    match config.synchronous {
        None => {}
        Some(crate::Synchronous::Full) => options = options.synchronous(Synchronous::Full),
        Some(crate::Synchronous::Normal) => options = options.synchronous(Synchronous::Normal),
    }
    Ok(Arc::new(options.connect(config.url.as_str()).await?))
}

#[cfg(feature = "postgres")]
async fn postgres(config: &StoreConfig) -> Result<Arc<dyn JobStore>, StoreError> {
    use scheduler_stores::PostgresOptions;

    let mut options = PostgresOptions::new();
    if let Some(prefix) = &config.prefix {
        options = options.table_prefix(prefix)?;
    }
    if let Some(schema) = &config.schema {
        options = options.schema(schema)?;
    }
    if let Some(bytes) = config.payload_limit {
        options = options.payload_limit(bytes);
    }
    if let Some(connections) = config.max_connections {
        options = options.max_connections(connections);
    }
    Ok(Arc::new(options.connect(config.url.as_str()).await?))
}

#[cfg(feature = "mysql")]
async fn mysql(config: &StoreConfig) -> Result<Arc<dyn JobStore>, StoreError> {
    use scheduler_stores::MySqlOptions;

    let mut options = MySqlOptions::new();
    if let Some(prefix) = &config.prefix {
        options = options.table_prefix(prefix)?;
    }
    if let Some(period) = config.poll {
        options = options.poll(period);
    }
    if let Some(bytes) = config.payload_limit {
        options = options.payload_limit(bytes);
    }
    if let Some(connections) = config.max_connections {
        options = options.max_connections(connections);
    }
    Ok(Arc::new(options.connect(config.url.as_str()).await?))
}

#[cfg(feature = "redis")]
async fn redis(config: &StoreConfig) -> Result<Arc<dyn JobStore>, StoreError> {
    use scheduler_stores::RedisOptions;

    let mut options = RedisOptions::new();
    if let Some(prefix) = &config.prefix {
        options = options.key_prefix(prefix)?;
    }
    if let Some(bytes) = config.payload_limit {
        options = options.payload_limit(bytes);
    }
    Ok(Arc::new(options.connect(config.url.as_str()).await?))
}

#[cfg(feature = "mongodb")]
async fn mongodb(config: &StoreConfig) -> Result<Arc<dyn JobStore>, StoreError> {
    use scheduler_stores::MongoDbOptions;

    let mut options = MongoDbOptions::new();
    if let Some(prefix) = &config.prefix {
        options = options.collection_prefix(prefix)?;
    }
    if let Some(name) = &config.database {
        options = options.database(name);
    }
    if let Some(period) = config.poll.flatten() {
        options = options.poll(period);
    }
    if let Some(bytes) = config.payload_limit {
        options = options.payload_limit(bytes);
    }
    Ok(Arc::new(options.connect(config.url.as_str()).await?))
}

#[cfg(feature = "zookeeper")]
async fn zookeeper(config: &StoreConfig) -> Result<Arc<dyn JobStore>, StoreError> {
    use scheduler_stores::{ZooKeeperAccess, ZooKeeperOptions};

    let mut options = ZooKeeperOptions::new();
    if let Some(prefix) = &config.prefix {
        options = options.root(prefix)?;
    }
    if let Some(bytes) = config.payload_limit {
        options = options.payload_limit(bytes);
    }
    if let Some(timeout) = config.timeout {
        options = options.timeout(timeout);
    }
    match config.access {
        None => {}
        Some(crate::Access::Everyone) => options = options.access(ZooKeeperAccess::Everyone),
        Some(crate::Access::Creator) => options = options.access(ZooKeeperAccess::Creator),
    }
    Ok(Arc::new(options.connect(config.url.as_str()).await?))
}

#[cfg(feature = "etcd")]
async fn etcd(config: &StoreConfig) -> Result<Arc<dyn JobStore>, StoreError> {
    use scheduler_stores::EtcdOptions;

    let mut options = EtcdOptions::new();
    if let Some(prefix) = &config.prefix {
        options = options.key_prefix(prefix)?;
    }
    if let Some(bytes) = config.payload_limit {
        options = options.payload_limit(bytes);
    }
    if let Some(timeout) = config.timeout {
        options = options.timeout(timeout);
    }
    // As the store itself calls it.
    let url = config.url.as_str().trim_start_matches("etcd+");
    Ok(Arc::new(options.connect(url).await?))
}

#[cfg(feature = "rethinkdb")]
async fn rethinkdb(config: &StoreConfig) -> Result<Arc<dyn JobStore>, StoreError> {
    use scheduler_stores::RethinkDbOptions;

    let mut options = RethinkDbOptions::new();
    if let Some(prefix) = &config.prefix {
        options = options.table_prefix(prefix)?;
    }
    if let Some(bytes) = config.payload_limit {
        options = options.payload_limit(bytes);
    }
    if let Some(timeout) = config.timeout {
        options = options.timeout(timeout);
    }
    Ok(Arc::new(options.connect(config.url.as_str()).await?))
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
