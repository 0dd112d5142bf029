//! How a store opens its file.

use std::{str::FromStr, time::Duration};

use scheduler_core::store::{StoreError, StoreErrorKind};
use sqlx::{ConnectOptions, SqlitePool, sqlite::SqliteConnectOptions};

use super::{SqliteStore, connections::Connections, failure::failures, file::File, schema};
use crate::{Synchronous, kit::columns::READ_LIMIT, name::check_name, sql::Failures};

/// Options of an [`SqliteStore`].
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::SqliteOptions;
///
/// let store = SqliteOptions::new().table_prefix("billing_")?.poll(None).connect("sqlite://app.db").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    pub(super) prefix: String,
    pub(super) synchronous: Synchronous,
    pub(super) poll: Option<Duration>,
    pub(super) create_tables: bool,
    pub(super) payload: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl SqliteOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            prefix: "scheduler_".to_owned(),
            synchronous: Synchronous::Full,
            poll: Some(Duration::from_secs(1)),
            create_tables: true,
            payload: 1 << 20,
        }
    }

    /// What the names of the tables begin with, so that several schedulers can live in one file. Defaults to `scheduler_`.
    ///
    /// # Errors
    ///
    /// The prefix is not made of at most 32 ASCII letters, digits and underscores, or begins with a digit or `sqlite_`.
    pub fn table_prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        check_name("table prefix", prefix, u8::is_ascii_alphabetic, Some("sqlite_"))?;
        self.prefix = prefix.to_owned();
        Ok(self)
    }

    /// When a call counts as written. Defaults to [`Synchronous::Full`], since a run whose record is lost runs twice.
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// How often the store is asked for changes by other processes; a question costs some ten microseconds. Defaults to
    /// one second; less than 1 ms counts as that. None turns it off: what others add is seen when the scheduler wakes
    /// up for another reason.
    pub fn poll(mut self, period: Option<Duration>) -> Self {
        self.poll = period;
        self
    }

    /// Whether connecting creates tables that are not there, and brings older ones up to date. Defaults to true.
    ///
    /// With false no statement of the store defines data, so that a user without the right to do so is enough; the tables are
    /// made by a migration tool with the statements of [`schema_sql`](Self::schema_sql). Tables that are missing or too old
    /// are an error of connecting, which names them, and so is a file that is not there.
    pub fn create_tables(mut self, create: bool) -> Self {
        self.create_tables = create;
        self
    }

    /// The statements that create the tables, with the version of their schema, as a text for a migration tool: the same that
    /// connecting runs.
    ///
    /// ```
    /// let sql = scheduler_stores::SqliteOptions::new().table_prefix("jobs_")?.schema_sql();
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

    /// The largest body in bytes of JSON. Defaults to 1 MiB, since a body is read at each firing; at most 16 MiB, for a larger
    /// one is not read.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload = bytes.min(READ_LIMIT);
        self
    }

    /// Opens a file, as in `sqlite://jobs.db`. If it is not there it is created, readable by its owner only; `?mode=ro` and
    /// `?mode=rw` create nothing.
    ///
    /// # Errors
    ///
    /// The URL is not valid, the file cannot be opened, is no database, or has tables of a newer version.
    pub async fn connect(self, url: &str) -> Result<SqliteStore, StoreError> {
        check_scheme(url)?;
        let options = SqliteConnectOptions::from_str(url).map_err(|error| failures(url).of(error))?;
        // Ten seconds outlast a checkpoint of another process, but not a stopped one.
        let options = options.busy_timeout(Duration::from_secs(10));
        let mode = url.split_once('?').and_then(|(_, query)| query.split('&').find_map(|it| it.strip_prefix("mode=")));
        match mode {
            None | Some("rwc") if self.create_tables => {
                self.open(options.create_if_missing(true), Creation::Private).await
            }
            None | Some("rwc") => self.open(options.create_if_missing(false), Creation::ByDriver).await,
            Some(_) => self.open(options, Creation::ByDriver).await,
        }
    }

    /// Opens a file with options of the driver. If they let it be created, the umask of the process decides who can read
    /// it.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: SqliteConnectOptions) -> Result<SqliteStore, StoreError> {
        self.open(options, Creation::ByDriver).await
    }

    /// Opens the file of an application's pool, with the options of the pool, for jobs beside the application's tables. The
    /// connections are the store's own: the pool gives none away, and its `after_connect` is not called for them.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_pool(self, pool: &SqlitePool) -> Result<SqliteStore, StoreError> {
        self.open(pool.connect_options().as_ref().clone(), Creation::ByDriver).await
    }

    async fn open(self, options: SqliteConnectOptions, creation: Creation) -> Result<SqliteStore, StoreError> {
        let failures = failures(options.get_filename().display());
        check_name_of_file(&options, &failures)?;
        let file = File::new(options.get_filename());
        if creation == Creation::Private {
            file.create();
        }
        // The same file also after the process has changed its folder.
        let options = match file.path() {
            Some(path) => options.filename(path),
            None => options,
        };
        // A claim's rows come in one go, instead of a change of threads for every fifty.
        let options = options.disable_statement_logging().row_buffer_size(1_024);
        let connections = Connections::open(self.clone(), options, file, failures.clone()).await?;
        Ok(SqliteStore::new(self, failures, connections))
    }
}

/// Who makes a file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creation {
    /// The store, for its owner alone.
    Private,
    /// The driver, if its options say so.
    ByDriver,
}

/// The URL is left out of the message, since that of another database may have a password.
fn check_scheme(url: &str) -> Result<(), StoreError> {
    match url.split_once("://") {
        Some((scheme, _)) if scheme != "sqlite" => {
            let message = format!(
                "the URL of an sqlite file begins with `sqlite://`, as in `sqlite://jobs.db`, and not with `{scheme}://`; \
                 for another database take its own store"
            );
            Err(StoreError::new(StoreErrorKind::Incompatible, message))
        }
        _ => Ok(()),
    }
}

fn check_name_of_file(options: &SqliteConnectOptions, failures: &Failures) -> Result<(), StoreError> {
    let name = options.get_filename().to_string_lossy();
    let why = if name.is_empty() {
        "no file is named; name one, as in `sqlite://jobs.db`"
    } else if name == ":memory:" || name.contains("mode=memory") || name.starts_with("file:sqlx-in-memory") {
        "a database in memory has no second connection; use MemoryStore"
    } else {
        return Ok(());
    };
    Err(failures.because(StoreErrorKind::Incompatible, why))
}
