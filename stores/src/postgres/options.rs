//! How a store connects.

use std::str::FromStr;

use scheduler_core::store::{Clock, StoreError, StoreErrorKind};
use sqlx::{ConnectOptions, PgPool, postgres::PgConnectOptions};

use super::{PostgresStore, failure::failures, schema};
use crate::{kit::columns::READ_LIMIT, name::check_name};

/// What the server's own names begin with.
const RESERVED: Option<&str> = Some("pg_");

/// Options of a [`PostgresStore`].
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::PostgresOptions;
///
/// let options = PostgresOptions::new().schema("jobs")?.table_prefix("billing_")?;
/// let store = options.connect("postgres://app:secret@db.example.com/app").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pub(super) prefix: String,
    pub(super) schema: Option<String>,
    pub(super) clock: Clock,
    pub(super) create_tables: bool,
    pub(super) payload: usize,
    pub(super) max_connections: usize,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl PostgresOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            prefix: "scheduler_".to_owned(),
            schema: None,
            clock: Clock::Server,
            create_tables: true,
            payload: 1 << 20,
            max_connections: 5,
        }
    }

    /// What the names of the tables begin with, so that several schedulers can live in one schema. Defaults to
    /// `scheduler_`.
    ///
    /// # Errors
    ///
    /// The prefix is not made of at most 32 lower-case ASCII letters, digits and underscores, or begins with a digit or
    /// `pg_`.
    pub fn table_prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        check_name("table prefix", prefix, u8::is_ascii_lowercase, RESERVED)?;
        self.prefix = prefix.to_owned();
        Ok(self)
    }

    /// The schema that the tables are in; it is created if it is not there. Defaults to the first one of the user's
    /// `search_path`, which is usually `public`.
    ///
    /// # Errors
    ///
    /// As [`table_prefix`](Self::table_prefix); it may not be empty either.
    pub fn schema(mut self, schema: &str) -> Result<Self, StoreError> {
        if schema.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Rejected, "schema \"\": it is empty; leave it out or name it"));
        }
        check_name("schema", schema, u8::is_ascii_lowercase, RESERVED)?;
        self.schema = Some(schema.to_owned());
        Ok(self)
    }

    /// Whose clock decides. Defaults to the server's, since those of the nodes differ. [`Clock::Caller`] is for tests on a
    /// virtual time.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
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
    /// let sql = scheduler_stores::PostgresOptions::new().table_prefix("jobs_")?.schema_sql();
    /// assert!(sql.contains("jobs_meta"));
    /// # Ok::<(), scheduler_core::store::StoreError>(())
    /// ```
    ///
    /// With a [`schema`](Self::schema) they create it, and set the `search_path` of the session to it.
    pub fn schema_sql(&self) -> String {
        schema::sql(self, 0).expect("0 is a version that every build knows")
    }

    /// The statements that bring tables of a schema that an earlier version has made up to date. The row `schema` of the table
    /// for meta data has its number; 0 is for none.
    ///
    /// # Errors
    ///
    /// [`Rejected`](StoreErrorKind::Rejected) if this build does not know such a schema.
    pub fn schema_sql_from(&self, version: i64) -> Result<String, StoreError> {
        schema::sql(self, version)
    }

    /// The largest body in bytes of JSON. Defaults to 1 MiB, since a body is read at each firing; at most 16 MiB, for a larger
    /// one is not read.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload = bytes.min(READ_LIMIT);
        self
    }

    /// The most connections for calls, at least one; they are opened when they are needed, and one more listens for
    /// changes. Defaults to five: a scheduler claims on one, and the others serve its reports and the application.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Connects to a server, as in `postgres://user:password@host:5432/database`. What the URL leaves out comes from the
    /// variables `PGHOST`, `PGUSER` and so on, and the password from `~/.pgpass`.
    ///
    /// # Errors
    ///
    /// The URL is not valid, the server does not answer within five seconds or refuses the user, or the tables are of a
    /// newer version.
    pub async fn connect(self, url: &str) -> Result<PostgresStore, StoreError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            let message =
                "postgres url: it does not begin with `postgres://`, as in `postgres://user:password@host/database`";
            return Err(StoreError::new(StoreErrorKind::Incompatible, message));
        }
        let options =
            PgConnectOptions::from_str(&known(url)).map_err(|error| failures("postgres url".to_owned()).of(error))?;
        self.connect_with(options).await
    }

    /// Connects with options of the driver, as for certificates or a socket.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: PgConnectOptions) -> Result<PostgresStore, StoreError> {
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("apscheduler"),
        };
        PostgresStore::new(self, options.disable_statement_logging()).await
    }

    /// Connects to the server of an application's pool with the pool's options. The connections are the store's own,
    /// since those of a pool work only in the runtime that they were opened in.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_pool(self, pool: &PgPool) -> Result<PostgresStore, StoreError> {
        self.connect_with(pool.connect_options().as_ref().clone()).await
    }
}

/// The URL without the parameters that the driver does not know: it would write their values, which may be tokens, to the log.
fn known(url: &str) -> String {
    const KNOWN: [&str; 18] = [
        "sslmode",
        "ssl-mode",
        "sslrootcert",
        "ssl-root-cert",
        "ssl-ca",
        "sslcert",
        "ssl-cert",
        "sslkey",
        "ssl-key",
        "statement-cache-capacity",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "application_name",
        "options",
    ];
    let Some((head, query)) = url.split_once('?') else { return url.to_owned() };
    let is_known = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        KNOWN.contains(&name) || name.starts_with("options[") || name.starts_with("options%5B")
    };
    let query: Vec<&str> = query.split('&').filter(is_known).collect();
    format!("{head}?{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn the_driver_sees_no_parameter_that_it_would_log() {
        let url = "postgres://ann:secret@db/app?sslmode=require&auth=token&options[search_path]=jobs&token=token";
        assert_eq!(known(url), "postgres://ann:secret@db/app?sslmode=require&options[search_path]=jobs");
        assert_eq!(known("postgres://db/app?auth=token"), "postgres://db/app?");
        assert_eq!(known("postgres://db/app"), "postgres://db/app");
    }
}
