//! The session with the servers, made anew when it is lost.

use std::{pin::pin, time::Duration};

use async_lock::Mutex;
use futures_util::future::{Either, select};
use scheduler_core::store::{StoreError, StoreErrorKind};
use zookeeper_client::{Client, Connector, SessionState};

use super::failure::Failures;
use crate::private_tokio::PrivateTokio;

/// A session that all clones of a store share.
///
/// The client is made on threads of our own, since its connection ends with the runtime in which it was made. Its calls
/// can then be awaited anywhere.
#[derive(Debug)]
pub(super) struct Session {
    failures: Failures,
    timeout: Duration,
    source: Source,
    client: Mutex<Option<Client>>,
    tokio: PrivateTokio,
}

/// Where a client comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// We make it.
    Connector { connector: Box<Connector>, cluster: String },
    /// The application's, for which we can make no other.
    Given(Client),
}

impl Session {
    pub(super) fn new(source: Source, failures: Failures, timeout: Duration) -> Result<Self, StoreError> {
        Ok(Self { failures, timeout, source, client: Mutex::new(None), tokio: PrivateTokio::start()? })
    }

    /// A client that was connected a moment ago.
    pub(super) async fn client(&self) -> Result<Client, StoreError> {
        match &self.source {
            Source::Given(client) if client.state().is_terminated() => {
                let what = format!("the session of the application's client is over: {}", client.state());
                Err(self.failures.new_error(StoreErrorKind::Unavailable, what))
            }
            Source::Given(client) => Ok(client.clone()),
            Source::Connector { connector, cluster } => {
                let at_hand = self.client.try_lock().and_then(|slot| slot.clone()).filter(is_connected);
                match at_hand {
                    Some(client) => Ok(client),
                    None => self.within(self.connected(connector, cluster)).await,
                }
            }
        }
    }

    async fn connected(&self, connector: &Connector, cluster: &str) -> Result<Client, StoreError> {
        let mut slot = self.client.lock().await;
        if let Some(client) = slot.as_ref().filter(|client| is_connected(client)) {
            return Ok(client.clone());
        }
        // What still waits in the old session must not reach the servers later.
        *slot = None;
        let (connector, cluster) = (connector.clone(), cluster.to_owned());
        let connect = async move {
            let client = connector.connect(&cluster).await?;
            // Another server may lag behind what this store has seen through the last one.
            client.sync("/").await?;
            Ok(client)
        };
        let client = self.tokio.run(connect).await.map_err(|error| self.failures.of(error))?;
        *slot = Some(client.clone());
        Ok(client)
    }

    /// Bounds a call in time. After a failure the next one gets a new session.
    pub(super) async fn bound<T>(
        &self,
        client: &Client,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let result = self.within(call).await;
        if result.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Unavailable) {
            let mut slot = self.client.lock().await;
            if slot.as_ref().is_some_and(|it| it.session_id() == client.session_id()) {
                *slot = None;
            }
        }
        result
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let timeout = self.timeout;
        let alarm = pin!(self.tokio.run(async move { tokio::time::sleep(timeout).await }));
        match select(pin!(call), alarm).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(self.failures.too_late(timeout)),
        }
    }
}

fn is_connected(client: &Client) -> bool {
    client.state() == SessionState::SyncConnected
}
