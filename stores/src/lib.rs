//! The job stores of apscheduler, one feature each.
//!
//! | store | feature | kept | shared by |
//! |---|---|---|---|
//! | [`MemoryStore`] | always there | while the process lives | the schedulers of one process |
#![cfg_attr(feature = "sqlite", doc = "| [`SqliteStore`] | `sqlite` | in a file | the processes of one machine |")]
#![cfg_attr(feature = "mysql", doc = "| [`MySqlStore`] | `mysql` | in a database | any number of nodes |")]
#![cfg_attr(feature = "postgres", doc = "| [`PostgresStore`] | `postgres` | in a database | any number of nodes |")]
#![cfg_attr(
    feature = "redis",
    doc = "| [`RedisStore`] | `redis` | by a Redis or Valkey server | any number of nodes |"
)]
#![cfg_attr(feature = "mongodb", doc = "| [`MongoDbStore`] | `mongodb` | in a database | any number of nodes |")]
#![cfg_attr(feature = "etcd", doc = "| [`EtcdStore`] | `etcd` | in etcd | any number of nodes |")]
#![cfg_attr(feature = "zookeeper", doc = "| [`ZooKeeperStore`] | `zookeeper` | in ZooKeeper | any number of nodes |")]
#![cfg_attr(
    feature = "rethinkdb",
    doc = "| [`RethinkDbStore`] | `rethinkdb` | in a database (tested against an imitation of it) | any number of nodes |"
)]
//!
//! Each of them passes the suite of `scheduler-testkit` that holds stores to the promises of
//! [`JobStore`](scheduler_core::JobStore).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod changes;
mod choices;
pub mod kit;
mod memory;
mod table;
mod transaction;

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql", feature = "mongodb"))]
mod name;
#[cfg(any(feature = "mysql", feature = "mongodb"))]
mod noted;
#[cfg(any(feature = "mongodb", feature = "etcd", feature = "redis", feature = "zookeeper"))]
mod private_tokio;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod sql;

/// The clients of databases, in the versions of which pools, clients and transactions are given to the stores.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql", feature = "mongodb"))]
pub mod clients {
    #[cfg(feature = "mongodb")]
    pub use ::mongodb;
    #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
    pub use ::sqlx;
}

#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "rethinkdb")]
mod rethinkdb;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "zookeeper")]
mod zookeeper;

#[cfg(feature = "mongodb")]
pub use self::mongodb::{MongoDbOptions, MongoDbStore};
pub use choices::{Synchronous, ZooKeeperAccess};
#[cfg(feature = "etcd")]
pub use etcd::{EtcdOptions, EtcdStore};
pub use memory::MemoryStore;
#[cfg(feature = "mysql")]
pub use mysql::{MySqlOptions, MySqlStore};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore};
#[cfg(feature = "redis")]
pub use redis::{RedisOptions, RedisStore};
#[cfg(feature = "rethinkdb")]
pub use rethinkdb::{RethinkDbOptions, RethinkDbStore};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStore};
pub use table::{KnownStore, STORES, StoreNews, StorePlace};
pub use transaction::Transaction;
#[cfg(feature = "zookeeper")]
pub use zookeeper::{ZooKeeperOptions, ZooKeeperStore};

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
