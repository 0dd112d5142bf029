//! Jobs in a MySQL or MariaDB database, shared by any number of nodes.

mod changes;
mod connection;
mod failure;
mod guest;
mod options;
#[cfg(test)]
mod plans;
mod schema;
mod server;
mod statements;

use std::{any::Any, fmt, time::Duration};

use async_trait::async_trait;
use scheduler_core::{
    forward_job_store,
    store::{Changed, Durability, Hint, SqlStatement, SqlValue, StoreError, StoreErrorKind, StoreLimits, Wakes},
};
use sqlx::{
    MySqlConnection, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlRow},
};

pub use self::options::MySqlOptions;
use self::{connection::Tx, failure::failures, guest::GuestTx, server::Server};
use crate::{
    kit::{Backend, KitStore, NewJob, Session},
    noted,
    sql::{self, Failures, Guest, Pool, ROOM, Sql, SqlSession, Statement, Statements, Tables, within},
};

/// Keeps jobs in a MySQL or MariaDB database, which any number of nodes can share.
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::MySqlStore;
///
/// let store = MySqlStore::connect("mysql://app:secret@db.example.com/app").await?;
/// # Ok(())
/// # }
/// ```
///
/// The tables are created if they are not there, for which the user needs `CREATE` beside `SELECT`, `INSERT`, `UPDATE`
/// and `DELETE`; or by a migration tool ([`MySqlOptions::schema_sql`]). Clones share their connections, which are
/// opened when they are needed and work in every runtime, and without one. Connections are encrypted if the server can
/// and the feature `tls` is on; MySQL's usual way to log in, `caching_sha2_password`, needs that.
///
/// It needs MariaDB 10.6 or MySQL 8.0, for `SKIP LOCKED` and `JSON_TABLE`, and a `binlog_format` that is not `STATEMENT`.
/// Tested with MariaDB 10.11; written for MySQL 8.0 as well, but not tested there.
///
/// # Nodes
///
/// Each call is one transaction. A claim takes the due jobs that no other transaction has locked (`FOR UPDATE SKIP LOCKED`) and waits
/// for none. Due times and leases go by the server's clock. The server cannot notify nodes: a node learns of what the
/// others change when it looks at a counter, by default each second ([`MySqlOptions::poll`]).
///
/// # Failures
///
/// Connecting, and waiting for a connection, ends after five seconds, waiting for a row that someone else has locked too,
/// a statement of MariaDB after ten, and an answer is given up after twelve. The call then fails as
/// [`Unavailable`](StoreErrorKind::Unavailable), and the next one connects anew. A transaction that met another one (a
/// deadlock) is repeated by itself. If a process is stopped in the middle of a call, or its machine is gone, the server
/// undoes the call after four seconds.
///
/// A call counts as written when the server says so, which means on its disk unless `innodb_flush_log_at_trx_commit` is
/// not 1 there.
///
/// # Tables
///
/// Other programs may read them, and add jobs. Times are whole microseconds since 1970 in UTC. The names begin with the
/// prefix of [`MySqlOptions::table_prefix`], by default `scheduler_`.
///
/// | table | a row is | key |
/// |---|---|---|
/// | `scheduler_jobs` | a job | `uid`, 32 hexadecimal digits; `live_id`, which the server makes from `id`, is unique, and NULL where `state` is `ending` or `removed` |
/// | `scheduler_runs` | a fire time of a job, or a range of given-up ones | `uid`, `seq` |
/// | `scheduler_nodes` | a scheduler that holds a claim or a running run | `id` |
/// | `scheduler_tags` | a tag of a job, a copy from `body` by which jobs are searched | `tag`, `uid` |
/// | `scheduler_meta` | `schema`, the version of these tables; `changes`, a counter of changes that schedulers look out for, and such rows of applications | `key` |
///
/// `body` is the definition in JSON ([`JobBody`](scheduler_core::JobBody)); `task`, `v`, `max_instances` and `history`
/// are copies from it that statements filter by, and have to agree with it. `totals` counts verdicts, as in `{"ok":3}`.
/// A job is found by those of its tags that are rows of `scheduler_tags`. To add a job, insert `uid`, `id`, `body`,
/// `task`, `v`, `next_fire_time` and `due`, and then count up `changes`, as the last step of the transaction:
///
/// ```sql
/// START TRANSACTION;
/// INSERT INTO scheduler_jobs (uid, id, body, task, v, next_fire_time, due) VALUES (REPLACE(UUID(), '-', ''), 'report',
///     '{"v": 1, "task": "report", "trigger": {"type": "date", "at": "2027-01-01T09:00:00Z"}}',
///     'report', 1, 1798794000000000, 1798794000000000);
/// UPDATE scheduler_meta SET value = value + 1 WHERE `key` = 'changes';
/// COMMIT;
/// ```
///
/// A scheduler adds one in a transaction of the application's, or gives such statements (`add_job_in`, `prepare`). A transaction
/// that goes on for longer would hold up others in that row: it adds a row of its own instead, `changes` with a random number, which
/// nodes see as well and remove when they are many.
///
/// Names of nodes have at most 255 characters; one that ends in a blank is written with a mark (U+001F) behind it,
/// since texts that differ in blanks at their ends are equal to the server. When the tables are those of version 0.1, a
/// check is taken away for which an id of blanks is empty; that needs the privilege `ALTER`, without which it stays. A
/// row that cannot be read is never deleted: it is listed as it is, and set to `state` `quarantined` with a `reason`
/// when it would be due.
#[derive(Clone)]
#[doc(alias = "SQLAlchemyJobStore")]
pub struct MySqlStore {
    store: KitStore,
}

struct Database {
    sql: Statements,
    /// The same tables in the application's transactions.
    guest: Guest<MySqlRow>,
    count_change_and_commit: String,
    changes: Sql,
    clear_changes: Sql,
    failures: Failures,
    options: MySqlOptions,
    /// The most bytes that the server takes at once.
    packet: usize,
    pool: Pool<MySqlConnection>,
}

/// How long the tables may take to be brought up to date, behind other nodes that start at the same time.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(60);

impl MySqlStore {
    /// Connects to a server, as in `mysql://user:password@host:3306/database`.
    ///
    /// # Errors
    ///
    /// As [`MySqlOptions::connect`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        MySqlOptions::new().connect(url).await
    }

    /// Connects with options of the driver.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(options: MySqlConnectOptions) -> Result<Self, StoreError> {
        MySqlOptions::new().connect_with(options).await
    }

    /// Connects as an application's pool does, for jobs in the database that holds its other tables.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_pool(pool: &MySqlPool) -> Result<Self, StoreError> {
        MySqlOptions::new().from_pool(pool).await
    }

    async fn new(mut options: MySqlOptions, connect: MySqlConnectOptions) -> Result<Self, StoreError> {
        let failures = failures(place(&connect));
        if connect.get_database().is_none() {
            let why = "the url names no database; add one, as in `mysql://user:password@host:3306/database`";
            return Err(failures.because(StoreErrorKind::Incompatible, why));
        }
        let name = connect.get_database().unwrap_or_default().replace('`', "``");
        let qualified = format!("`{name}`.{}", options.prefix);
        let open = move || connection::open(connect.clone());
        let pool = Pool::new(options.max_connections, failures.clone(), open);
        let mut first = pool.take().await?;
        let prepared = async {
            let server = server::check(first.connection(), &failures).await?;
            schema::prepare(first.connection(), &options, &failures).await?;
            Ok(server)
        };
        let Server { packet } = within(PREPARE_TIMEOUT, prepared).await.unwrap_or_else(|| Err(failures.late()))?;
        first.give_back();
        // As text in a list a body can be twice as long.
        options.payload = options.payload.min(packet / 4);
        let database = Database {
            sql: statements::statements(&options.prefix),
            count_change_and_commit: statements::count_change_and_commit(&options.prefix),
            guest: Guest::new(
                qualified.clone(),
                statements::guest_statements(&qualified),
                &failures,
                ROOM.min(packet / 4),
            ),
            changes: statements::changes(&options.prefix).into(),
            clear_changes: statements::clear_changes(&options.prefix).into(),
            failures,
            options,
            packet,
            pool,
        };
        Ok(Self { store: KitStore::new(database) })
    }
}

impl Tables for Database {
    type Row = MySqlRow;

    fn sql(&self) -> &Statements {
        &self.sql
    }

    fn failures(&self) -> &Failures {
        &self.failures
    }

    async fn read(&self, statement: Statement) -> Result<Vec<MySqlRow>, StoreError> {
        connection::read(self, statement).await
    }

    /// A packet takes these bytes, as text in a list at most twice the largest body, and a rest.
    fn room(&self) -> usize {
        ROOM.min(self.packet / 4)
    }
}

#[async_trait]
impl Backend for Database {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(self.options.clock, self.options.poll.map_or(Wakes::Never, Wakes::Poll), Durability::Durable)
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
        let mut statements = self.guest.insertion(job, |_| "?".to_owned());
        let key = SqlValue::Text(noted::new_key());
        statements.push(SqlStatement::new(statements::note_change(self.guest.prefix()), vec![key]));
        Some(statements)
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        let changes = changes::seen(self).await?;
        Ok(Changed { seen: changes, hint: (changes != seen).then_some(Hint::Resync) })
    }
}

/// The server and the database, without user and password.
fn place(options: &MySqlConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    format!("mysql database `{}` at {host}", options.get_database().unwrap_or_default())
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("place", &self.failures.place())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MySqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MySqlStore").field(&self.store).finish()
    }
}

forward_job_store!(MySqlStore => |this| this.store);
