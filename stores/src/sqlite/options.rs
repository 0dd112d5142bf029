//! How a store opens its file.

use std::{str::FromStr, time::Duration};

use scheduler_core::store::{StoreError, StoreErrorKind};
use sqlx::{ConnectOptions, SqlitePool, sqlite::SqliteConnectOptions};

use super::{SqliteStore, failure::failures};
use crate::{name::check_name, sql::Failures};

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
    pub(super) payload: usize,
}

/// When a transaction counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// When it has reached the disk.
    Full,
    /// When the operating system has it: several times faster, and the last calls can be lost when the power fails. The
    /// file stays whole, and a dying process loses nothing.
    Normal,
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
    /// one second; less than 1 ms counts as that. None turns it off: what others add is seen when the scheduler wakes up for another reason.
    pub fn poll(mut self, period: Option<Duration>) -> Self {
        self.poll = period;
        self
    }

    /// The largest body in bytes of JSON. Defaults to 1 MiB, since a body is read at each firing.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload = bytes;
        self
    }

    /// Opens a file, as in `sqlite://jobs.db`; it is created if it is not there.
    ///
    /// # Errors
    ///
    /// The URL is not valid, the file cannot be opened, is no database, or has tables of a newer version.
    pub async fn connect(self, url: &str) -> Result<SqliteStore, StoreError> {
        let failures = failures(url);
        let options = SqliteConnectOptions::from_str(url).map_err(|error| failures.of(error))?;
        let is_mode_given = url.contains("mode=");
        // Ten seconds outlast a checkpoint of another process, but not a stopped one.
        let options = options.busy_timeout(Duration::from_secs(10));
        self.connect_with(if is_mode_given { options } else { options.create_if_missing(true) }).await
    }

    /// Opens a file with options of the driver.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: SqliteConnectOptions) -> Result<SqliteStore, StoreError> {
        // A claim's rows come in one go, instead of a change of threads for every fifty.
        let options = options.disable_statement_logging().row_buffer_size(1_024);
        let failures = failures(options.get_filename().display());
        refuse_memory(&options, &failures)?;
        let fail = |error| failures.of(error);
        let writer = options.connect().await.map_err(fail)?;
        let reader = options.connect().await.map_err(fail)?;
        let watcher = options.connect().await.map_err(fail)?;
        SqliteStore::new(self, failures, [writer, reader, watcher]).await
    }

    /// Takes three connections out of a pool, which replaces them when it needs them.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_pool(self, pool: &SqlitePool) -> Result<SqliteStore, StoreError> {
        let options = pool.connect_options();
        let failures = failures(options.get_filename().display());
        refuse_memory(&options, &failures)?;
        let fail = |error| failures.of(error);
        let writer = pool.acquire().await.map_err(fail)?.detach();
        let reader = pool.acquire().await.map_err(fail)?.detach();
        let watcher = pool.acquire().await.map_err(fail)?.detach();
        SqliteStore::new(self, failures, [writer, reader, watcher]).await
    }
}

fn refuse_memory(options: &SqliteConnectOptions, failures: &Failures) -> Result<(), StoreError> {
    let name = options.get_filename().to_string_lossy();
    if name == ":memory:" || name.contains("mode=memory") || name.starts_with("file:sqlx-in-memory") {
        let why = "a database in memory has no second connection; use MemoryStore";
        return Err(failures.because(StoreErrorKind::Incompatible, why));
    }
    Ok(())
}
