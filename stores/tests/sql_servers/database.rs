//! A prefix of its own on the server, and how to damage what is there.

use std::{str::FromStr, sync::Arc, time::Duration};

use scheduler_core::{JobId, store::Clock};
use scheduler_testkit::store::{Damage, StoreUnderTest, block_on};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use crate::{
    dialect::{ARGUMENT, ConnectOptions, Connection, NAME, Options, Store, is_live},
    server,
};

/// Tables that go with the last clone of this.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    tables: Arc<Tables>,
    clock: Clock,
}

#[derive(Debug)]
struct Tables {
    prefix: String,
}

impl Database {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { tables: Arc::new(Tables { prefix: server::prefix() }), clock }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.tables.prefix
    }

    pub(crate) fn options(&self) -> Options {
        Options::new().table_prefix(self.prefix()).unwrap().clock(self.clock)
    }

    pub(crate) async fn open(&self) -> Store {
        self.options().connect(&server::url(NAME)).await.unwrap()
    }

    /// Two stores that share no connection.
    pub(crate) async fn setup(self) -> StoreUnderTest {
        let (a, b) = (self.open().await, self.open().await);
        let (clock, reopened, damaged) = (self.clock, self.clone(), self);
        let store = StoreUnderTest::new(a, b)
            .reopen(move || {
                let database = reopened.clone();
                async move { database.open().await }
            })
            .damage(move |id, damage| {
                let database = damaged.clone();
                async move { database.damage(id, damage).await }
            });
        match clock {
            Clock::Server => store.advance(wait),
            Clock::Caller => store,
        }
    }

    /// Runs statements, in which `{p}` stands for the prefix.
    pub(crate) async fn run(&self, sql: &str) {
        run(&mut connection().await, &sql.replace("{p}", self.prefix())).await;
    }

    /// The number that a statement gives.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = sql.replace("{p}", self.prefix());
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection().await).await.unwrap()
    }

    /// The texts that a statement gives.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = sql.replace("{p}", self.prefix());
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection().await).await.unwrap()
    }

    async fn damage(&self, id: JobId, damage: Damage) {
        let set = match damage {
            Damage::Body => r#"body = '{"v": 1, "task"'"#,
            Damage::Version => r#"v = 0, body = replace(body, '"v":1', '"v":0')"#,
            Damage::State => "state = 'sleeping'",
            Damage::Uid => "uid = 'not a uid'",
        };
        let sql = format!("UPDATE {}jobs SET {set} WHERE {}", self.prefix(), is_live(ARGUMENT));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string());
        assert_eq!(query.execute(&mut connection().await).await.unwrap().rows_affected(), 1);
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        let tables =
            ["jobs", "runs", "nodes", "meta", "tags"].map(|table| format!("{}{table}", self.prefix)).join(", ");
        block_on(async { run(&mut connection().await, &format!("DROP TABLE IF EXISTS {tables}")).await });
    }
}

/// A connection that goes round the store.
pub(crate) async fn connection() -> Connection {
    ConnectOptions::from_str(&server::url(NAME)).unwrap().connect().await.unwrap()
}

pub(crate) async fn run(connection: &mut Connection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// Lets the server's time pass.
#[expect(clippy::disallowed_methods, reason = "the server's clock cannot be set")]
pub(crate) async fn wait(time: Duration) {
    std::thread::sleep(time);
}
