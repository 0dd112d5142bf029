//! Jobs in an SQLite file, shared by the processes of one machine.

mod connection;
mod failure;
mod options;
mod schema;
mod texts;

use std::{fmt, sync::Arc};

use async_lock::Mutex;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, JobRow, JobStore, Listed, NodeId, Run, RunId,
    store::{
        Cancelled, Change, Claim, Claimed, Clock, Durability, Hint, Inserted, JobQuery, Record, Recorded, Removed,
        RunQuery, Settle, Settled, Stamped, StoreError, StoreLimits, Turn, TurnReply, Update, Updated, Wakes,
    },
};
use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool, sqlite::SqliteConnectOptions};

use self::connection::Tx;
pub use self::options::{SqliteOptions, Synchronous};
use crate::{
    codec::decode_run,
    sql::{self, Failures, Statements},
};

/// Keeps jobs in an SQLite file, which the processes of one machine can share.
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::SqliteStore;
///
/// let store = SqliteStore::connect("sqlite://jobs.db").await?;
/// # Ok(())
/// # }
/// ```
///
/// The file and its tables are created if they are not there. Clones share their connections. It works inside of tokio
/// and without it, since SQLite runs on threads of its own here and needs no timer; a call that finds the file locked by
/// another process waits there, by default for ten seconds. A process that is stopped, as by a debugger, in the middle of
/// a transaction locks the others out until it goes on or is killed; that is how SQLite works.
///
/// # Durability
///
/// The file is in WAL mode, and each call that changes something is one transaction that has reached the disk when the
/// call returns ([`Synchronous::Full`]). [`Synchronous::Normal`] is several times faster and can lose the last calls
/// when the power fails, but not when the process dies.
///
/// # Tables
///
/// Other programs may read them, and add jobs. Times are whole microseconds since 1970 in UTC. The names begin with the
/// prefix of [`SqliteOptions::table_prefix`], by default `scheduler_`.
///
/// | table | a row is | key |
/// |---|---|---|
/// | `scheduler_jobs` | a job | `uid`, 32 hexadecimal digits; `id` is unique among the rows whose `state` is neither `ending` nor `removed` |
/// | `scheduler_runs` | a fire time of a job, or a range of given-up ones | `uid`, `seq` |
/// | `scheduler_nodes` | a scheduler that holds a claim or a running run | `id` |
/// | `scheduler_meta` | `schema`, the version of these tables; `changes`, a counter of changes that schedulers look out for | `key` |
///
/// `body` is the definition in JSON ([`JobBody`](scheduler_core::JobBody)); `task`, `v`, `max_instances` and
/// `history` are copies from it that statements filter by, and have to agree with it. `totals` counts verdicts, as in
/// `{"ok":3}`. To add a job, insert `uid`, `id`,
/// `body`, `task`, `v`, `next_fire_time` and `due`, and then count up `changes`:
///
/// ```sql
/// INSERT INTO scheduler_jobs (uid, id, body, task, v, next_fire_time, due) VALUES (lower(hex(randomblob(16))), 'report',
///     '{"v": 1, "task": "report", "trigger": {"type": "date", "at": "2027-01-01T09:00:00Z"}}',
///     'report', 1, 1798794000000000, 1798794000000000);
/// UPDATE scheduler_meta SET value = value + 1 WHERE key = 'changes';
/// ```
///
/// A row that cannot be read is never deleted: it is listed as it is, and set to `state` `quarantined` with a `reason`
/// when it would be due.
#[derive(Clone)]
#[doc(alias = "SQLAlchemyJobStore")]
pub struct SqliteStore {
    database: Arc<Database>,
}

/// The three connections of a store. SQLite lets one writer in at a time, so that more would only wait for each other.
struct Database {
    sql: Statements,
    count_change: String,
    changes: String,
    failures: Failures,
    options: SqliteOptions,
    writer: Mutex<SqliteConnection>,
    reader: Mutex<SqliteConnection>,
    /// It never writes, so that what it sees changing was changed through another connection.
    watcher: Mutex<Watcher>,
}

struct Watcher {
    connection: SqliteConnection,
    /// SQLite's own counter of changes by others, and the store's when that was read.
    seen: Option<(i64, u64)>,
}

impl SqliteStore {
    /// Opens a file, as in `sqlite://jobs.db` or `sqlite:///var/lib/app/jobs.db`.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is no database, or has tables of a newer version.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        SqliteOptions::new().connect(url).await
    }

    /// Opens a file with options of the driver, among them the time that a call waits for a lock.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        SqliteOptions::new().connect_with(options).await
    }

    /// Takes three connections out of an application's pool, for jobs in the file that holds its other tables.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_pool(pool: &SqlitePool) -> Result<Self, StoreError> {
        SqliteOptions::new().from_pool(pool).await
    }

    async fn new(
        options: SqliteOptions,
        failures: Failures,
        connections: [SqliteConnection; 3],
    ) -> Result<Self, StoreError> {
        let [mut writer, reader, watcher] = connections;
        connection::configure(&mut writer, options.synchronous, &failures).await?;
        schema::prepare(&mut writer, &options.prefix, &failures).await?;
        let database = Database {
            sql: texts::statements(&options.prefix),
            count_change: texts::count_change(&options.prefix),
            changes: texts::changes(&options.prefix),
            failures,
            options,
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            watcher: Mutex::new(Watcher { connection: watcher, seen: None }),
        };
        Ok(Self { database: Arc::new(database) })
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("place", &self.database.failures.place())
            .field("options", &self.database.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl JobStore for SqliteStore {
    fn limits(&self) -> StoreLimits {
        StoreLimits {
            payload: self.database.options.payload,
            batch: sql::BATCH,
            clock: Clock::Caller,
            wakes: self.database.options.poll.map_or(Wakes::Never, Wakes::Poll),
            durability: Durability::Durable,
        }
    }

    async fn insert(&self, at: DateTime<Utc>, jobs: &[JobRow]) -> Result<Stamped<Vec<Inserted>>, StoreError> {
        let mut writer = self.database.writer.lock().await;
        let mut tx = Tx::begin(&self.database, &mut writer).await?;
        let reply = sql::insert(&mut tx, at, jobs, self.database.options.payload).await?;
        tx.commit().await?;
        Ok(reply)
    }

    async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
        let mut writer = self.database.writer.lock().await;
        let mut tx = Tx::begin(&self.database, &mut writer).await?;
        let reply = sql::update(&mut tx, at, update, self.database.options.payload).await?;
        tx.commit().await?;
        Ok(reply)
    }

    async fn cancel(&self, at: DateTime<Utc>, job: &JobId, run: RunId) -> Result<Stamped<Cancelled>, StoreError> {
        let mut writer = self.database.writer.lock().await;
        let mut tx = Tx::begin(&self.database, &mut writer).await?;
        let reply = sql::cancel(&mut tx, at, job, run).await?;
        tx.commit().await?;
        Ok(reply)
    }

    async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
        let mut writer = self.database.writer.lock().await;
        let mut tx = Tx::begin(&self.database, &mut writer).await?;
        let reply = sql::remove(&mut tx, at, ids).await?;
        tx.commit().await?;
        Ok(reply)
    }

    async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<u64>, StoreError> {
        let mut writer = self.database.writer.lock().await;
        let mut tx = Tx::begin(&self.database, &mut writer).await?;
        let reply = sql::remove_all(&mut tx, at, sql::BATCH).await?;
        tx.commit().await?;
        Ok(reply)
    }

    async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
        let mut reader = self.database.reader.lock().await;
        let statement = sql::job(&self.database.sql, id);
        Ok(connection::read(&self.database, &mut reader, statement).await?.first().map(sql::listed))
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
        let mut reader = self.database.reader.lock().await;
        let statement = sql::jobs(&self.database.sql, query);
        Ok(connection::read(&self.database, &mut reader, statement).await?.iter().map(sql::listed).collect())
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        let mut reader = self.database.reader.lock().await;
        let statement = sql::runs(&self.database.sql, query);
        let rows = connection::read(&self.database, &mut reader, statement).await?;
        Ok(rows.iter().filter_map(|row| decode_run(row).ok()).collect())
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let mut writer = self.database.writer.lock().await;
        let mut tx = Tx::begin(&self.database, &mut writer).await?;
        let reply = sql::claim(&mut tx, claim).await?;
        tx.commit().await?;
        Ok(reply)
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        let mut writer = self.database.writer.lock().await;
        let mut tx = Tx::begin(&self.database, &mut writer).await?;
        let reply = sql::settle(&mut tx, settle).await?;
        tx.commit().await?;
        Ok(reply)
    }

    async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
        let mut writer = self.database.writer.lock().await;
        let mut tx = Tx::begin(&self.database, &mut writer).await?;
        let reply = sql::record(&mut tx, record).await?;
        tx.commit().await?;
        Ok(reply)
    }

    async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
        let mut writer = self.database.writer.lock().await;
        let mut tx = Tx::begin(&self.database, &mut writer).await?;
        sql::release(&mut tx, at, owner).await?;
        tx.commit().await
    }

    async fn changed(&self, seen: u64) -> Result<Change, StoreError> {
        let mut watcher = self.database.watcher.lock().await;
        let fail = |error| self.database.failures.of(error);
        let data_version: i64 =
            sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut watcher.connection).await.map_err(fail)?;
        let changes = match watcher.seen {
            Some((version, changes)) if version == data_version => changes,
            _ => {
                let changes = sqlx::query_scalar::<_, i64>(AssertSqlSafe(self.database.changes.clone()));
                let changes = changes.fetch_one(&mut watcher.connection).await.map_err(fail)?;
                let changes = u64::try_from(changes).unwrap_or_default();
                watcher.seen = Some((data_version, changes));
                changes
            }
        };
        Ok(Change { seen: changes, hint: (changes != seen).then_some(Hint::Resync) })
    }

    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        let mut writer = self.database.writer.lock().await;
        let mut tx = Tx::begin(&self.database, &mut writer).await?;
        let reply = sql::turn(&mut tx, turn).await?;
        tx.commit().await?;
        Ok(reply)
    }
}
