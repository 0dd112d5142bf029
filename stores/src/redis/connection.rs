//! The connection on which a store's calls go.

use std::{fmt, sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Client, InfoDict, Value, aio::MultiplexedConnection};
use scheduler_core::store::StoreError;
use tokio::{sync::Mutex, time::timeout};

use super::{failure::Failures, options::RedisOptions, script::Invocation, setup::Setup};
use crate::private_tokio::PrivateTokio;

/// How long connecting may take.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take, which comes in milliseconds unless the server is busy or away.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// How long a call may take, with all that it waits for.
const CALL: Duration = Duration::from_secs(15);

/// A server, with a connection to it that is made when it is needed.
pub(super) struct Link {
    pub(super) options: RedisOptions,
    pub(super) failures: Failures,
    pub(super) client: Client,
    /// The client's connections live there, since one that was made inside of a caller's runtime would die with it.
    pub(super) threads: PrivateTokio,
    key: String,
    connection: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    connection: Option<MultiplexedConnection>,
    /// Counts the connections, so that a failure drops that on which it came.
    number: u64,
}

impl Link {
    pub(super) fn new(options: RedisOptions, client: Client) -> Result<Self, StoreError> {
        Ok(Self {
            failures: Failures::new(client.get_connection_info()),
            key: format!("{{{}}}:meta", options.prefix),
            threads: PrivateTokio::start()?,
            connection: Mutex::new(Slot::default()),
            options,
            client,
        })
    }

    /// The channel on which changes are told.
    pub(super) fn channel(&self) -> String {
        format!("{{{}}}:changes", self.options.prefix)
    }

    /// Runs a verb on the server. If the reply does not come, nobody knows whether the verb was run.
    pub(super) async fn perform(self: &Arc<Self>, invocation: Invocation) -> Result<Value, StoreError> {
        let link = Arc::clone(self);
        let call = async move {
            match timeout(CALL, link.send(&invocation)).await {
                Ok(reply) => reply,
                Err(_) => Err(link.failures.of_silence(CALL)),
            }
        };
        self.threads.run(call).await
    }

    async fn send(&self, invocation: &Invocation) -> Result<Value, StoreError> {
        let (mut connection, number) = self.connection().await?;
        let mut reply = invocation.by_digest(&self.key).query_async::<Value>(&mut connection).await;
        if reply.as_ref().is_err_and(|error| error.kind() == redis::ServerErrorKind::NoScript.into()) {
            reply = invocation.by_text(&self.key).query_async(&mut connection).await;
        }
        match reply {
            Ok(reply) => Ok(reply),
            Err(error) => {
                if Failures::is_of_connection(&error) {
                    self.drop_connection(number).await;
                }
                Err(self.failures.of(error))
            }
        }
    }

    /// What the server says of itself, if it does so.
    pub(super) async fn setup(self: &Arc<Self>) -> Setup {
        let link = Arc::clone(self);
        let asking = async move {
            let (mut connection, _) = link.connection().await.ok()?;
            let info = redis::cmd("INFO").query_async::<InfoDict>(&mut connection).await.ok();
            let save =
                redis::cmd("CONFIG").arg("GET").arg("save").query_async::<(String, String)>(&mut connection).await;
            Some(Setup::new(info, save.ok().map(|(_, save)| save)))
        };
        self.threads.run(async { timeout(CONNECT, asking).await }).await.ok().flatten().unwrap_or_default()
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), StoreError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((connection.clone(), slot.number));
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = connection.map_err(|error| self.failures.of(error))?;
        slot.number += 1;
        slot.connection = Some(connection.clone());
        Ok((connection, slot.number))
    }

    async fn drop_connection(&self, number: u64) {
        let mut slot = self.connection.lock().await;
        if slot.number == number {
            slot.connection = None;
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("place", &self.failures.place()).finish_non_exhaustive()
    }
}
