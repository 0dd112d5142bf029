//! How a store connects.

use std::{str::FromStr, time::Duration};

use scheduler_core::store::{Clock, StoreError, StoreErrorKind};
use sqlx::{ConnectOptions, MySqlPool, mysql::MySqlConnectOptions};

use super::{MySqlStore, failure::failures, schema};
use crate::{kit::columns::READ_LIMIT, name::check_name};

/// Options of a [`MySqlStore`].
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use std::time::Duration;
///
/// use scheduler_stores::MySqlOptions;
///
/// let options = MySqlOptions::new().table_prefix("billing_")?.poll(Some(Duration::from_secs(5)));
/// let store = options.connect("mysql://app:secret@db.example.com/app").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct MySqlOptions {
    pub(super) prefix: String,
    pub(super) clock: Clock,
    pub(super) poll: Option<Duration>,
    pub(super) create_tables: bool,
    pub(super) payload: usize,
    pub(super) max_connections: usize,
}

impl Default for MySqlOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl MySqlOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            prefix: "scheduler_".to_owned(),
            clock: Clock::Server,
            poll: Some(Duration::from_secs(1)),
            create_tables: true,
            payload: 1 << 20,
            max_connections: 5,
        }
    }

    /// What the names of the tables begin with, so that several schedulers can live in one database. Defaults to
    /// `scheduler_`.
    ///
    /// # Errors
    ///
    /// The prefix is not made of at most 32 lower-case ASCII letters, digits and underscores, or begins with a digit.
    pub fn table_prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        // Servers differ in whether the case of a table's name counts.
        check_name("table prefix", prefix, u8::is_ascii_lowercase, None)?;
        self.prefix = prefix.to_owned();
        Ok(self)
    }

    /// Whose clock decides. Defaults to the server's, since those of the nodes differ. [`Clock::Caller`] is for tests on a
    /// virtual time.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How often the store is asked for changes by other nodes, since the server cannot tell; a question reads one row.
    /// Defaults to one second; less than 1 ms counts as that. None turns it off: what others add is seen when the
    /// scheduler wakes up for another reason.
    pub fn poll(mut self, period: Option<Duration>) -> Self {
        self.poll = period;
        self
    }

    /// Whether connecting creates tables that are not there, and brings older ones up to date. Defaults to true.
    ///
    /// With false no statement of the store defines data, so that a user without the right to do so is enough; the tables are
    /// made by a migration tool with the statements of [`schema_sql`](Self::schema_sql). Tables that are missing or too old
    /// are an error of connecting, which names them.
    pub fn create_tables(mut self, create: bool) -> Self {
        self.create_tables = create;
        self
    }

    /// The statements that create the tables, with the version of their schema, as a text for a migration tool: the same that
    /// connecting runs.
    ///
    /// ```
    /// let sql = scheduler_stores::MySqlOptions::new().table_prefix("jobs_")?.schema_sql();
    /// assert!(sql.contains("jobs_meta"));
    /// # Ok::<(), scheduler_core::store::StoreError>(())
    /// ```
    pub fn schema_sql(&self) -> String {
        schema::sql(&self.prefix, 0).expect("0 is a version that every build knows")
    }

    /// The statements that bring tables of a schema that an earlier version has made up to date. The row `schema` of the table
    /// for meta data has its number; 0 is for none.
    ///
    /// # Errors
    ///
    /// [`Rejected`](StoreErrorKind::Rejected) if this build does not know such a schema.
    pub fn schema_sql_from(&self, version: i64) -> Result<String, StoreError> {
        schema::sql(&self.prefix, version)
    }

    /// The largest body in bytes of JSON. Defaults to 1 MiB, since a body is read at each firing. It is never more than a
    /// quarter of the server's `max_allowed_packet`, nor than 16 MiB, for a larger one is not read.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload = bytes.min(READ_LIMIT);
        self
    }

    /// The most connections, at least one; they are opened when they are needed. Defaults to five: a scheduler claims on
    /// one, and the others serve its reports, its looks for changes and the application.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Connects to a server, as in `mysql://user:password@host:3306/database`, MariaDB's included.
    ///
    /// # Errors
    ///
    /// The URL is not valid or names no database, the server does not answer within five seconds, refuses the user or is
    /// too old, or the tables are of a newer version.
    pub async fn connect(self, url: &str) -> Result<MySqlStore, StoreError> {
        if !["mysql://", "mariadb://"].iter().any(|scheme| url.starts_with(scheme)) {
            let message = "mysql url: it does not begin with `mysql://`, as in `mysql://user:password@host/database`";
            return Err(StoreError::new(StoreErrorKind::Incompatible, message));
        }
        let options = MySqlConnectOptions::from_str(url).map_err(|error| failures("mysql url".to_owned()).of(error))?;
        self.connect_with(options).await
    }

    /// Connects with options of the driver, as for certificates or a socket.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: MySqlConnectOptions) -> Result<MySqlStore, StoreError> {
        let options = options.charset("utf8mb4").collation("utf8mb4_bin").set_names(true);
        MySqlStore::new(self, options.disable_statement_logging()).await
    }

    /// Connects to the server of an application's pool with the pool's options. The connections are the store's own,
    /// since those of a pool work only in the runtime that they were opened in.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_pool(self, pool: &MySqlPool) -> Result<MySqlStore, StoreError> {
        self.connect_with(pool.connect_options().as_ref().clone()).await
    }
}
