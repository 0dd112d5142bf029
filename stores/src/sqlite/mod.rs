//! Jobs in an SQLite file, shared by the processes of one machine.

mod connection;
mod connections;
mod failure;
mod file;
mod options;
mod schema;
mod texts;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, JobRow, JobStore, Listed, NodeId, Run, RunId,
    store::{
        Cancelled, Changed, Claim, Claimed, Clock, Durability, Hint, Inserted, JobQuery, Record, Recorded, Removed,
        RemovedAll, RunQuery, Settle, Settled, Stamped, StoreError, StoreLimits, Turn, TurnReply, Update, Updated,
        Wakes,
    },
};
use sqlx::{AssertSqlSafe, SqlitePool, sqlite::SqliteConnectOptions};

pub use self::options::SqliteOptions;
use self::{
    connection::Tx,
    connections::{Connections, Role},
};
use crate::{
    kit::columns::decode_run,
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
/// The file and its tables are created if they are not there. Clones share their three connections. It works inside of tokio
/// and without it, since SQLite runs on threads of its own here and needs no timer; a call that finds the file locked by
/// another process waits there, by default for ten seconds. A process that is stopped, as by a debugger, in the middle of
/// a transaction locks the others out until it goes on or is killed; that is how SQLite works.
///
/// # Durability
///
/// The file is in WAL mode, and each call that changes something is one transaction that has reached the disk when the
/// call returns ([`Synchronous::Full`](crate::Synchronous::Full)). [`Synchronous::Normal`](crate::Synchronous::Normal) is several times faster and can lose the last calls
/// when the power fails, but not when the process dies.
///
/// A disk that is full or fails makes calls fail as unavailable, and they succeed again when it has room; no connection
/// is kept on which a call has failed.
///
/// # Files
///
/// SQLite keeps what was written last in `jobs.db-wal`, with an index of that in `jobs.db-shm`. The three belong together:
/// while the store is used, back them up by `VACUUM INTO 'backup.db'`, not by copying `jobs.db`.
/// [`release`](JobStore::release), which a scheduler calls at the end of its shutdown, writes everything into `jobs.db` and
/// closes the file; the next call opens it again.
///
/// A file that [`connect`](Self::connect) creates is readable by its owner only, and so are the other two. One that is there
/// already stays as it is.
///
/// On Unix each call looks whether the three are still those that were opened, by device and inode. If the file was moved or
/// removed, calls are unavailable until it is back; it is not created anew. If another file is in its place, one call is
/// unavailable and says so, and the next one uses that file. If `-wal` or `-shm` was removed, what they held is written into
/// the file, one call is unavailable, and the file is opened anew.
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

struct Database {
    sql: Statements,
    count_change: String,
    changes: String,
    failures: Failures,
    options: SqliteOptions,
    connections: Connections,
}

/// Runs a verb in a transaction `tx`.
macro_rules! transact {
    ($store:ident, $tx:ident => $verb:expr) => {{
        let database = &*$store.database;
        let mut lent = database.connections.lend(Role::Writer).await?;
        let mut $tx = Tx::begin(database, &mut lent.connection).await?;
        let reply = $verb.await?;
        $tx.commit().await?;
        database.connections.give_back(lent)?;
        reply
    }};
}

/// Reads all rows of a statement.
macro_rules! read {
    ($store:ident, $statement:expr) => {{
        let database = &*$store.database;
        let mut lent = database.connections.lend(Role::Reader).await?;
        let rows = connection::read(database, &mut lent.connection, $statement).await?;
        database.connections.give_back(lent)?;
        rows
    }};
}

impl SqliteStore {
    /// Opens a file, as in `sqlite://jobs.db` or `sqlite:///var/lib/app/jobs.db`. If it is not there it is created, readable by
    /// its owner only; `?mode=ro` and `?mode=rw` create nothing.
    ///
    /// # Errors
    ///
    /// The URL is that of another database, or the file cannot be opened (each cause has its own words), is no database, or
    /// has tables of a newer version.
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

    /// Opens the file of an application's pool, with the options of the pool, for jobs beside the application's tables. The
    /// connections are the store's own.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_pool(pool: &SqlitePool) -> Result<Self, StoreError> {
        SqliteOptions::new().from_pool(pool).await
    }

    fn new(options: SqliteOptions, failures: Failures, connections: Connections) -> Self {
        let database = Database {
            sql: texts::statements(&options.prefix),
            count_change: texts::count_change(&options.prefix),
            changes: texts::changes(&options.prefix),
            failures,
            options,
            connections,
        };
        Self { database: Arc::new(database) }
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
        StoreLimits::new(
            Clock::Caller,
            self.database.options.poll.map_or(Wakes::Never, Wakes::Poll),
            Durability::Durable,
        )
        .with_payload(self.database.options.payload)
        .with_batch(sql::BATCH)
    }

    async fn insert(&self, at: DateTime<Utc>, jobs: &[JobRow]) -> Result<Stamped<Vec<Inserted>>, StoreError> {
        Ok(transact!(self, tx => sql::insert(&mut tx, at, jobs, self.database.options.payload)))
    }

    async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
        Ok(transact!(self, tx => sql::update(&mut tx, at, update, self.database.options.payload)))
    }

    async fn cancel(&self, at: DateTime<Utc>, job: &JobId, run: RunId) -> Result<Stamped<Cancelled>, StoreError> {
        Ok(transact!(self, tx => sql::cancel(&mut tx, at, job, run)))
    }

    async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
        Ok(transact!(self, tx => sql::remove(&mut tx, at, ids)))
    }

    async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
        Ok(transact!(self, tx => sql::remove_all(&mut tx, at, sql::BATCH)))
    }

    async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
        Ok(read!(self, sql::job(&self.database.sql, id)).first().map(sql::listed))
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
        Ok(read!(self, sql::jobs(&self.database.sql, query)).iter().map(sql::listed).collect())
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        let rows = read!(self, sql::runs(&self.database.sql, query));
        Ok(rows.iter().filter_map(|row| decode_run(row).ok()).collect())
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        Ok(transact!(self, tx => sql::claim(&mut tx, claim)))
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        Ok(transact!(self, tx => sql::settle(&mut tx, settle)))
    }

    async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
        Ok(transact!(self, tx => sql::record(&mut tx, record)))
    }

    async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
        transact!(self, tx => sql::release(&mut tx, at, owner));
        // Nothing may follow but the end of the process, after which the file by itself is to be whole.
        self.database.connections.close().await;
        Ok(())
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        let connections = &self.database.connections;
        let mut watcher = connections.lend(Role::Watcher).await?;
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
        connections.give_back(watcher)?;
        Ok(Changed { seen: changes, hint: (changes != seen).then_some(Hint::Resync) })
    }

    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        Ok(transact!(self, tx => sql::turn(&mut tx, turn)))
    }
}
