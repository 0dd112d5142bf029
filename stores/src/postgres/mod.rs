//! Jobs in a PostgreSQL database, shared by any number of nodes.

mod channel;
mod connection;
mod failure;
mod guest;
mod options;
#[cfg(test)]
mod plans;
mod schema;
mod statements;
mod watcher;

use std::{any::Any, fmt, time::Duration};

use async_trait::async_trait;
use scheduler_core::{
    forward_job_store,
    store::{Changed, Durability, Hint, SqlStatement, SqlValue, StoreError, StoreLimits, Wakes},
};
use sqlx::{
    PgConnection, PgPool,
    postgres::{PgConnectOptions, PgRow},
};

pub use self::options::PostgresOptions;
use self::{channel::channel, connection::Tx, failure::failures, guest::GuestTx, watcher::Watcher};
use crate::{
    kit::{Backend, KitStore, NewJob, Session},
    sql::{self, Failures, Guest, Pool, SqlSession, Statement, Statements, Tables, within},
};

/// Keeps jobs in a PostgreSQL database, which any number of nodes can share.
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::PostgresStore;
///
/// let store = PostgresStore::connect("postgres://app:secret@db.example.com/app").await?;
/// # Ok(())
/// # }
/// ```
///
/// The tables are created if they are not there. Clones share their connections, which are opened when they are needed
/// and work in every runtime, and without one. Tested with PostgreSQL 15; it uses nothing that is newer than 12.
/// A connection keeps its settings, prepared statements and channel, so that a pooler in between has to pool by session:
/// PgBouncer with `pool_mode = session` and `ignore_startup_parameters = extra_float_digits`. What a store relies on, such as
/// the isolation level, it sets on each connection, whatever the defaults of the database and the user are.
///
/// # Nodes
///
/// Each call is one transaction. A claim takes the due jobs that no other transaction has locked (`FOR UPDATE SKIP LOCKED`) and waits
/// for none. Due times and leases go by the server's clock. A node learns of what the others change by `NOTIFY`, over
/// a connection of its own that a thread keeps open.
///
/// # Failures
///
/// Connecting, and waiting for a connection, ends after five seconds, waiting for a row that someone else has locked too,
/// a statement after ten, and an answer is given up after twelve. The call then fails as
/// [`Unavailable`](scheduler_core::store::StoreErrorKind::Unavailable), and the next one connects anew. A transaction
/// that met another one (a deadlock) is repeated by itself. If a process is stopped in the middle of a call, or its
/// machine is gone, the server undoes the call after four seconds.
///
/// A call counts as written when the server says so, which means on its disk unless `synchronous_commit` or `fsync` are
/// off there.
///
/// # Tables
///
/// Other programs may read them, and add jobs. Times are whole microseconds since 1970 in UTC. The names begin with the
/// prefix of [`PostgresOptions::table_prefix`], by default `scheduler_`.
///
/// | table | a row is | key |
/// |---|---|---|
/// | `scheduler_jobs` | a job | `uid`, 32 hexadecimal digits; `id` is unique among the rows whose `state` is neither `ending` nor `removed` |
/// | `scheduler_runs` | a fire time of a job, or a range of given-up ones | `uid`, `seq` |
/// | `scheduler_nodes` | a scheduler that holds a claim or a running run | `id` |
/// | `scheduler_tags` | a tag of a job, a copy from `body` by which jobs are searched | `tag`, `uid` |
/// | `scheduler_meta` | `schema`, the version of these tables | `key` |
///
/// `body` is the definition in JSON ([`JobBody`](scheduler_core::JobBody)); `task`, `v`, `max_instances` and `history`
/// are copies from it that statements filter by, and have to agree with it. `totals` counts verdicts, as in `{"ok":3}`.
/// A job is found by those of its tags that are rows of `scheduler_tags`. To add a job, insert `uid`, `id`, `body`,
/// `task`, `v`, `next_fire_time` and `due`, and notify the channel `scheduler_changes`, in one transaction or not:
///
/// ```sql
/// INSERT INTO scheduler_jobs (uid, id, body, task, v, next_fire_time, due) VALUES (md5(random()::text || clock_timestamp()), 'report',
///     '{"v": 1, "task": "report", "trigger": {"type": "date", "at": "2027-01-01T09:00:00Z"}}',
///     'report', 1, 1798794000000000, 1798794000000000);
/// NOTIFY scheduler_changes;
/// ```
///
/// A scheduler adds one in a transaction of the application's, or gives these statements (`add_job_in`, `prepare`). The tables may
/// be made by a migration tool ([`PostgresOptions::schema_sql`]).
///
/// A row that cannot be read is never deleted: it is listed as it is, and set to `state` `quarantined` with a `reason`
/// when it would be due.
#[derive(Clone)]
#[doc(alias = "SQLAlchemyJobStore")]
pub struct PostgresStore {
    store: KitStore,
}

struct Database {
    sql: Statements,
    /// The same tables in the application's transactions.
    guest: Guest<PgRow>,
    failures: Failures,
    options: PostgresOptions,
    pool: Pool<PgConnection>,
    watcher: Watcher,
}

/// How long the tables may take to be brought up to date, behind other nodes that start at the same time.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(60);

impl PostgresStore {
    /// Connects to a server, as in `postgres://user:password@host:5432/database`.
    ///
    /// # Errors
    ///
    /// As [`PostgresOptions::connect`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        PostgresOptions::new().connect(url).await
    }

    /// Connects with options of the driver.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(options: PgConnectOptions) -> Result<Self, StoreError> {
        PostgresOptions::new().connect_with(options).await
    }

    /// Connects as an application's pool does, for jobs in the database that holds its other tables.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_pool(pool: &PgPool) -> Result<Self, StoreError> {
        PostgresOptions::new().from_pool(pool).await
    }

    async fn new(options: PostgresOptions, connect: PgConnectOptions) -> Result<Self, StoreError> {
        let failures = failures(place(&connect));
        let (to, schema) = (connect.clone(), options.schema.clone());
        let open = move || connection::open(to.clone(), schema.clone());
        let pool = Pool::new(options.max_connections, failures.clone(), open);
        let mut first = pool.take().await?;
        let prepared = schema::prepare(first.connection(), &options, &failures);
        within(PREPARE_TIMEOUT, prepared).await.unwrap_or_else(|| Err(failures.late()))?;
        let schema = schema::name(first.connection(), &options.prefix, &failures).await?;
        first.give_back();
        let qualified = format!("{schema}.{}", options.prefix);
        let guest = statements::statements(&qualified, options.clock);
        let database = Database {
            sql: statements::statements(&options.prefix, options.clock),
            guest: Guest::new(qualified, guest, &failures, sql::ROOM),
            watcher: Watcher::new(connect, channel(&options.prefix), failures.clone()),
            failures,
            options,
            pool,
        };
        Ok(Self { store: KitStore::new(database) })
    }
}

impl Tables for Database {
    type Row = PgRow;

    fn sql(&self) -> &Statements {
        &self.sql
    }

    fn failures(&self) -> &Failures {
        &self.failures
    }

    async fn read(&self, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        connection::read(self, statement).await
    }
}

#[async_trait]
impl Backend for Database {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(self.options.clock, Wakes::Push, Durability::Durable)
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
        Ok(Box::new(SqlSession::within(&self.guest, GuestTx::begin(self, transaction).await?)))
    }

    fn insertion(&self, job: &NewJob<'_>) -> Option<Vec<SqlStatement>> {
        let mut statements = self.guest.insertion(job, |place| format!("${place}"));
        let hint = channel::payload(&job.row.due.map_or(Hint::Resync, Hint::Due));
        let told = [channel(&self.options.prefix), hint].map(SqlValue::Text);
        statements.push(SqlStatement::new("SELECT pg_notify($1, $2)", told.to_vec()));
        Some(statements)
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        self.watcher.changed(seen).await
    }
}

/// The server and the database, without user and password.
fn place(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    format!("postgres database `{database}` at {host}")
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("place", &self.failures.place())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresStore").field(&self.store).finish()
    }
}

forward_job_store!(PostgresStore => |this| this.store);
