//! How a store uses its server.

use scheduler_core::store::{Clock, StoreError, StoreErrorKind};

use super::{RedisStore, failure::Failures};
use crate::kit::columns::READ_LIMIT;

/// Options of a [`RedisStore`].
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::RedisOptions;
///
/// let store = RedisOptions::new().key_prefix("billing")?.connect("redis://127.0.0.1:6379/0").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RedisOptions {
    pub(super) prefix: String,
    pub(super) clock: Clock,
    pub(super) payload: usize,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl RedisOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self { prefix: "scheduler".to_owned(), clock: Clock::Server, payload: 1 << 20 }
    }

    /// What the names of the keys begin with, in braces, so that several schedulers can share a server. Defaults to
    /// `scheduler`, which makes keys as `{scheduler}:job:..`.
    ///
    /// # Errors
    ///
    /// The prefix is empty, longer than 64 bytes, or has other characters than ASCII letters, digits and `_-.:`.
    pub fn key_prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        let is_plain = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b));
        if prefix.is_empty() || prefix.len() > 64 || !is_plain {
            let message = format!("key prefix {prefix:?}: take 1 to 64 letters, digits and `_-.:`");
            return Err(StoreError::new(StoreErrorKind::Rejected, message));
        }
        self.prefix = prefix.to_owned();
        Ok(self)
    }

    /// Whose clock decides. Defaults to [`Clock::Server`], one for all nodes. [`Clock::Caller`] is for tests of a service
    /// that run on a clock of their own: with it, nodes whose clocks differ take jobs and leases from each other.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The largest body in bytes of JSON. Defaults to 1 MiB, since a body is read at each firing; at most 16 MiB, for a larger
    /// one is not read.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload = bytes.min(READ_LIMIT);
        self
    }

    /// Connects to a server, as in `redis://user:password@host:6379/0`.
    ///
    /// # Errors
    ///
    /// The URL is not valid, the server cannot be reached, or has keys of a newer version.
    pub async fn connect(self, url: &str) -> Result<RedisStore, StoreError> {
        let client = redis::Client::open(url).map_err(Failures::of_url)?;
        RedisStore::new(self, client).await
    }

    /// Connects with what an application's client has of addresses, names and certificates.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_client(self, client: &redis::Client) -> Result<RedisStore, StoreError> {
        RedisStore::new(self, client.clone()).await
    }
}
