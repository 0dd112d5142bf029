//! What is known of each store, in one place: configuration, tests, tools and documentation read it here.

use scheduler_core::store::{Clock, Durability};

/// A store of this crate, whether or not it is compiled in.
///
/// ```
/// use scheduler_stores::{KnownStore, STORES};
///
/// fn by_url(url: &str) -> Option<&'static KnownStore> {
///     STORES.iter().find(|store| store.schemes.iter().any(|scheme| url.starts_with(&format!("{scheme}:"))))
/// }
///
/// assert_eq!(by_url("postgres://localhost/jobs").map(|store| store.title), Some("PostgreSQL"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownStore {
    /// Its name: that of its feature and its usual scheme, and by which the tests know it.
    pub name: &'static str,
    /// Its type, as in `PostgresStore`.
    pub type_name: &'static str,
    /// What keeps the jobs, for people: `PostgreSQL`.
    pub title: &'static str,
    /// The schemes of its URLs, the usual one first.
    pub schemes: &'static [&'static str],
    /// Where the jobs are.
    pub place: StorePlace,
    /// Whose clock decides, if no option says otherwise.
    pub clock: Clock,
    /// How other nodes learn of changes, if no option says otherwise.
    pub news: StoreNews,
    /// Whether what it keeps outlives the process.
    pub durability: Durability,
}

/// Where the jobs of a store are, and so who shares them.
///
/// ```
/// use scheduler_stores::{STORES, StorePlace};
///
/// let files: Vec<&str> = STORES.iter().filter(|it| it.place == StorePlace::File).map(|it| it.name).collect();
/// assert_eq!(files, ["sqlite"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorePlace {
    /// In this process: its schedulers share them.
    Process,
    /// In a file: the processes of this machine share them.
    File,
    /// With a server: any number of nodes share them.
    Server,
    /// With a server that the tests have an imitation of, since it could not be had.
    ImitatedServer,
}

/// How a store tells nodes of what others have changed.
///
/// ```
/// use scheduler_stores::{STORES, StoreNews};
///
/// let news = |name| STORES.iter().find(|store| store.name == name).map(|store| store.news);
/// assert_eq!(news("postgres"), Some(StoreNews::Push));
/// assert_eq!(news("sqlite"), Some(StoreNews::Poll));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreNews {
    /// It says so at once: [`Wakes::Push`](scheduler_core::store::Wakes::Push).
    Push,
    /// It is asked: [`Wakes::Poll`](scheduler_core::store::Wakes::Poll).
    Poll,
}

impl KnownStore {
    /// Whether the store is a server, a real one or an imitation.
    pub fn is_server(&self) -> bool {
        matches!(self.place, StorePlace::Server | StorePlace::ImitatedServer)
    }
}

/// All stores, in the order in which the documentation shows them.
///
/// ```
/// use scheduler_stores::STORES;
///
/// let redis = STORES.iter().find(|store| store.schemes.contains(&"valkey"));
/// assert_eq!(redis.map(|store| store.type_name), Some("RedisStore"));
/// ```
pub const STORES: &[KnownStore] = &[
    KnownStore {
        name: "memory",
        type_name: "MemoryStore",
        title: "memory",
        schemes: &["memory"],
        place: StorePlace::Process,
        clock: Clock::Caller,
        news: StoreNews::Push,
        durability: Durability::Volatile,
    },
    KnownStore {
        name: "sqlite",
        type_name: "SqliteStore",
        title: "SQLite",
        schemes: &["sqlite"],
        place: StorePlace::File,
        clock: Clock::Caller,
        news: StoreNews::Poll,
        durability: Durability::Durable,
    },
    KnownStore {
        name: "postgres",
        type_name: "PostgresStore",
        title: "PostgreSQL",
        schemes: &["postgres", "postgresql"],
        place: StorePlace::Server,
        clock: Clock::Server,
        news: StoreNews::Push,
        durability: Durability::Durable,
    },
    KnownStore {
        name: "mysql",
        type_name: "MySqlStore",
        title: "MySQL",
        schemes: &["mysql", "mariadb"],
        place: StorePlace::Server,
        clock: Clock::Server,
        news: StoreNews::Poll,
        durability: Durability::Durable,
    },
    KnownStore {
        name: "redis",
        type_name: "RedisStore",
        title: "Redis",
        schemes: &["redis", "rediss", "valkey", "valkeys", "redis+unix", "valkey+unix"],
        place: StorePlace::Server,
        clock: Clock::Server,
        news: StoreNews::Push,
        durability: Durability::Durable,
    },
    KnownStore {
        name: "mongodb",
        type_name: "MongoDbStore",
        title: "MongoDB",
        schemes: &["mongodb", "mongodb+srv"],
        place: StorePlace::Server,
        clock: Clock::Server,
        news: StoreNews::Push,
        durability: Durability::Durable,
    },
    KnownStore {
        name: "etcd",
        type_name: "EtcdStore",
        title: "etcd",
        schemes: &["etcd", "etcd+https"],
        place: StorePlace::Server,
        clock: Clock::Caller,
        news: StoreNews::Push,
        durability: Durability::Durable,
    },
    KnownStore {
        name: "zookeeper",
        type_name: "ZooKeeperStore",
        title: "ZooKeeper",
        schemes: &["zookeeper"],
        place: StorePlace::Server,
        clock: Clock::Caller,
        news: StoreNews::Push,
        durability: Durability::Durable,
    },
    KnownStore {
        name: "rethinkdb",
        type_name: "RethinkDbStore",
        title: "RethinkDB",
        schemes: &["rethinkdb"],
        place: StorePlace::ImitatedServer,
        clock: Clock::Server,
        news: StoreNews::Push,
        durability: Durability::Durable,
    },
];
