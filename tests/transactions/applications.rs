//! Applications with a pool or a client of their own, and a table of orders.

use std::str::FromStr;

use apscheduler::stores::{
    Transaction,
    clients::{
        mongodb::{
            Client, ClientSession, Collection,
            bson::{Document, doc},
        },
        sqlx::{
            self, AssertSqlSafe, MySql, MySqlPool, PgPool, Postgres, Sqlite, SqlitePool,
            mysql::MySqlPoolOptions,
            postgres::PgPoolOptions,
            sqlite::{SqliteConnectOptions, SqlitePoolOptions},
        },
    },
};
use futures_util::TryStreamExt;
use test_support::test_store::TestStore;

/// An application on the database in which a store keeps its jobs.
pub(crate) trait Application: Send + Sync + Sized + 'static {
    /// A transaction of the application's.
    type Tx: Transaction + 'static;

    /// Connects as an application does, with nothing set for the sake of jobs.
    async fn connect(test_store: &TestStore) -> Self;

    async fn begin(&self) -> Self::Tx;

    /// Writes an order in a transaction.
    async fn order(&self, tx: &mut Self::Tx, order: u32);

    async fn commit(tx: Self::Tx);

    async fn rollback(tx: Self::Tx);

    /// The orders that are there.
    async fn orders(&self) -> Vec<u32>;
}

macro_rules! on_sqlx {
    ($application:ident, $database:ident, $pool:ident, |$url:ident| $connect:expr, $argument:literal) => {
        pub(crate) struct $application {
            pub(crate) pool: $pool,
            pub(crate) table: String,
        }

        impl Application for $application {
            type Tx = sqlx::Transaction<'static, $database>;

            async fn connect(test_store: &TestStore) -> Self {
                let [_, $url, prefix] = test_store.parts();
                let (pool, table) = ($connect, format!("{prefix}orders"));
                let create = format!("CREATE TABLE IF NOT EXISTS {table} (number INTEGER PRIMARY KEY)");
                sqlx::raw_sql(AssertSqlSafe(create)).execute(&pool).await.unwrap();
                Self { pool, table }
            }

            async fn begin(&self) -> Self::Tx {
                self.pool.begin().await.unwrap()
            }

            async fn order(&self, tx: &mut Self::Tx, order: u32) {
                let insert = AssertSqlSafe(format!("INSERT INTO {} (number) VALUES ({})", self.table, $argument));
                sqlx::query(insert).bind(i32::try_from(order).unwrap()).execute(&mut **tx).await.unwrap();
            }

            async fn commit(tx: Self::Tx) {
                tx.commit().await.unwrap();
            }

            async fn rollback(tx: Self::Tx) {
                tx.rollback().await.unwrap();
            }

            async fn orders(&self) -> Vec<u32> {
                let select = AssertSqlSafe(format!("SELECT number FROM {} ORDER BY number", self.table));
                let orders: Vec<i32> = sqlx::query_scalar(select).fetch_all(&self.pool).await.unwrap();
                orders.into_iter().map(|order| order.try_into().unwrap()).collect()
            }
        }
    };
}

on_sqlx!(
    OnSqlite,
    Sqlite,
    SqlitePool,
    |url| {
        let options = SqliteConnectOptions::from_str(url).unwrap().create_if_missing(true);
        SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap()
    },
    "?1"
);

on_sqlx!(
    OnPostgres,
    Postgres,
    PgPool,
    |url| {
        let pool = PgPoolOptions::new().max_connections(8).after_connect(|connection, _| {
            // The application looks for tables in a schema of its own first.
            let path = sqlx::raw_sql("SET search_path TO app_of_tests, public").execute(connection);
            Box::pin(async move { path.await.map(drop) })
        });
        pool.connect(url).await.unwrap()
    },
    "$1"
);

on_sqlx!(OnMySql, MySql, MySqlPool, |url| MySqlPoolOptions::new().max_connections(8).connect(url).await.unwrap(), "?");

pub(crate) struct OnMongoDb {
    client: Client,
    orders: Collection<Document>,
}

impl Application for OnMongoDb {
    type Tx = ClientSession;

    async fn connect(test_store: &TestStore) -> Self {
        let [_, url, prefix] = test_store.parts();
        let client = Client::with_uri_str(url).await.unwrap();
        let database = client.default_database().unwrap_or_else(|| client.database("apscheduler"));
        let orders = database.collection(&format!("{prefix}orders"));
        // A transaction that creates a collection meets others that do.
        orders.insert_one(doc! { "_id": 0 }).await.ok();
        Self { client, orders }
    }

    async fn begin(&self) -> ClientSession {
        let mut session = self.client.start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        session
    }

    async fn order(&self, session: &mut ClientSession, order: u32) {
        self.orders.insert_one(doc! { "_id": order }).session(session).await.unwrap();
    }

    async fn commit(mut session: ClientSession) {
        session.commit_transaction().await.unwrap();
    }

    async fn rollback(mut session: ClientSession) {
        session.abort_transaction().await.unwrap();
    }

    async fn orders(&self) -> Vec<u32> {
        let found = self.orders.find(doc! { "_id": { "$gt": 0 } }).sort(doc! { "_id": 1 }).await.unwrap();
        let found: Vec<Document> = found.try_collect().await.unwrap();
        let number = |it: &Document| it.get("_id").and_then(|it| it.as_i64().or_else(|| it.as_i32().map(i64::from)));
        found.iter().filter_map(number).map(|order| order.try_into().unwrap()).collect()
    }
}
