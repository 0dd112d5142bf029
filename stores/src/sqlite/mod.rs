//! Jobs in an SQLite file, shared by the processes of one machine.

mod connection;
mod connections;
mod failure;
mod file;
mod guest;
mod options;
mod schema;
mod statements;

use std::{any::Any, fmt};

use async_trait::async_trait;
use scheduler_core::{
    forward_job_store,
    store::{Changed, Clock, Durability, Hint, SqlStatement, StoreError, StoreErrorKind, StoreLimits, Wakes},
};
use sqlx::{
    AssertSqlSafe, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

pub use self::options::SqliteOptions;
use self::{
    connection::Tx,
    connections::{Connections, Role},
    guest::GuestTx,
};
use crate::{
    kit::{Backend, KitStore, NewJob, Session},
    sql::{self, Failures, Guest, SqlSession, Statement, Statements, Tables},
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
/// call returns ([`Synchronous::Full`](crate::Synchronous::Full)). [`Synchronous::Normal`](crate::Synchronous::Normal)
/// is several times faster and can lose the last calls when the power fails, but not when the process dies.
///
/// A disk that is full or fails makes calls fail as unavailable, and they succeed again when it has room; no connection
/// is kept on which a call has failed.
///
/// # Files
///
/// SQLite keeps what was written last in `jobs.db-wal`, with an index of that in `jobs.db-shm`. The three belong together:
/// while the store is used, back them up by `VACUUM INTO 'backup.db'`, not by copying `jobs.db`.
/// [`release`](scheduler_core::JobStore::release), which a scheduler calls at the end of its shutdown, writes everything into `jobs.db` and
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
/// | `scheduler_tags` | a tag of a job, a copy from `body` by which jobs are searched | `tag`, `uid` |
/// | `scheduler_meta` | `schema`, the version of these tables; `changes`, a counter of changes that schedulers look out for | `key` |
///
/// `body` is the definition in JSON ([`JobBody`](scheduler_core::JobBody)); `task`, `v`, `max_instances` and
/// `history` are copies from it that statements filter by, and have to agree with it. `totals` counts verdicts, as in
/// `{"ok":3}`. A job is found by those of its tags that are rows of `scheduler_tags`. To add a job, insert `uid`, `id`,
/// `body`, `task`, `v`, `next_fire_time` and `due`, and then count up `changes`:
///
/// ```sql
/// INSERT INTO scheduler_jobs (uid, id, body, task, v, next_fire_time, due) VALUES (lower(hex(randomblob(16))), 'report',
///     '{"v": 1, "task": "report", "trigger": {"type": "date", "at": "2027-01-01T09:00:00Z"}}',
///     'report', 1, 1798794000000000, 1798794000000000);
/// UPDATE scheduler_meta SET value = value + 1 WHERE key = 'changes';
/// ```
///
/// A scheduler adds one in a transaction of the application's, or gives these statements (`add_job_in`, `prepare`). The tables may
/// be made by a migration tool ([`SqliteOptions::schema_sql`]).
///
/// A row that cannot be read is never deleted: it is listed as it is, and set to `state` `quarantined` with a `reason`
/// when it would be due.
#[derive(Clone)]
#[doc(alias = "SQLAlchemyJobStore")]
pub struct SqliteStore {
    store: KitStore,
}

struct Database {
    sql: Statements,
    /// The same tables in the application's transactions.
    guest: Guest<SqliteRow>,
    count_change: String,
    changes: String,
    failures: Failures,
    options: SqliteOptions,
    connections: Connections,
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
            sql: statements::statements(&options.prefix),
            guest: Guest::new(options.prefix.clone(), statements::statements(&options.prefix), &failures, sql::ROOM),
            count_change: statements::count_change(&options.prefix),
            changes: statements::changes(&options.prefix),
            failures,
            options,
            connections,
        };
        Self { store: KitStore::new(database) }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteStore").field(&self.store).finish()
    }
}

forward_job_store!(SqliteStore => |this| this.store);

impl Database {
    /// The counter of changes, which is read only if others have written to the file since the last look.
    async fn count_of_changes(&self) -> Result<u64, StoreError> {
        let mut watcher = self.connections.lend(Role::Watcher).await?;
        let fail = |error| self.failures.of(error);
        let data_version: i64 =
            sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut watcher.connection).await.map_err(fail)?;
        let changes = match watcher.seen {
            Some((version, changes)) if version == data_version => changes,
            _ => {
                let changes = sqlx::query_scalar::<_, i64>(AssertSqlSafe(self.changes.clone()));
                let changes = changes.fetch_one(&mut watcher.connection).await.map_err(fail)?;
                let changes = u64::try_from(changes).map_err(|_| {
                    let why = format!("its count of changes is {changes}, less than 0; correct it");
                    self.failures.because(StoreErrorKind::Incompatible, &why)
                })?;
                watcher.seen = Some((data_version, changes));
                changes
            }
        };
        self.connections.give_back(watcher)?;
        Ok(changes)
    }
}

impl Tables for Database {
    type Row = SqliteRow;

    fn sql(&self) -> &Statements {
        &self.sql
    }

    fn failures(&self) -> &Failures {
        &self.failures
    }

    async fn read(&self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        connection::read(self, statement).await
    }
}

#[async_trait]
impl Backend for Database {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(Clock::Caller, self.options.poll.map_or(Wakes::Never, Wakes::Poll), Durability::Durable)
            .with_payload(self.options.payload)
            .with_batch(sql::BATCH)
    }

    fn place(&self) -> String {
        self.failures.place().to_owned()
    }

    async fn begin(&self) -> Result<Box<dyn Session + '_>, StoreError> {
        Ok(Box::new(SqlSession::within(self, Tx::begin(self).await?)))
    }

    async fn begin_reading(&self) -> Result<Box<dyn Session + '_>, StoreError> {
        Ok(Box::new(SqlSession::<Tx<'_>>::reading(self)))
    }

    async fn begin_in<'t>(
        &'t self,
        transaction: &'t mut (dyn Any + Send),
    ) -> Result<Box<dyn Session + 't>, StoreError> {
        Ok(Box::new(SqlSession::within(&self.guest, GuestTx::begin(self, transaction)?)))
    }

    fn insertion(&self, job: &NewJob<'_>) -> Option<Vec<SqlStatement>> {
        let mut statements = self.guest.insertion(job, |place| format!("?{place}"));
        statements.push(SqlStatement::new(self.count_change.clone(), Vec::new()));
        Some(statements)
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        let changes = self.count_of_changes().await?;
        Ok(Changed { seen: changes, hint: (changes != seen).then_some(Hint::Resync) })
    }

    /// Nothing may follow but the end of the process, after which the file by itself is to be whole.
    async fn after_release(&self) {
        self.connections.close().await;
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("place", &self.failures.place())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
