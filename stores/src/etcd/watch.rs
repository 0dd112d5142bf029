//! Watches: a server tells of the next write of a key.

use std::future::ready;

use futures_util::stream::{self, StreamExt};
use scheduler_core::store::StoreError;
use tokio::sync::oneshot;
use tonic::{Request, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery, metadata::MetadataValue};
use tonic_prost::ProstCodec;

use super::{
    client::{Cluster, Token, add_token, unready},
    failure::Failure,
    message::{WatchCancelRequest, WatchCreateRequest, WatchRequest, WatchResponse},
};

/// What became of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// The key was written at this revision.
    Written(u64),
    /// What was written since cannot be told: the servers do not know the revision any more, or not yet, or the
    /// connection has ended.
    Unknown,
}

/// A watch that a server keeps.
#[derive(Debug)]
struct Watch {
    answers: Streaming<WatchResponse>,
    /// Sends the last request. Until it is sent or dropped, hyper holds the stream open, even if the answers are dropped,
    /// and the server keeps the watch.
    last: oneshot::Sender<WatchRequest>,
}

impl Cluster {
    pub(super) async fn watch(&self, key: Vec<u8>, after: u64) -> Result<Watched, StoreError> {
        let start = i64::try_from(after).unwrap_or(i64::MAX).saturating_add(1);
        let server = self.current();
        let watched = self.watch_server(server, WatchCreateRequest { key, start_revision: start }).await;
        watched.map_err(|failure| {
            self.leave_if_at_fault(server, &failure);
            self.failures.of(failure)
        })
    }

    async fn watch_server(&self, server: usize, create: WatchCreateRequest) -> Result<Watched, Failure> {
        let start = create.start_revision;
        let opened = async {
            let mut watch = self.open_watch(server, create).await?;
            Ok::<_, Failure>((watch.next().await?, watch))
        };
        // From then on a server may be silent for long; the connection's own signs of life tell whether it is there.
        let (mut answer, mut watch) =
            tokio::time::timeout(self.timeout, opened).await.map_err(|_| Failure::TooLate(self.timeout))??;
        loop {
            let written = answer.events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).max();
            if let Some(revision) = written {
                // The change need not wait for it.
                drop(tokio::spawn(tokio::time::timeout(self.timeout, watch.cancel(answer.watch_id))));
                return Ok(Watched::Written(u64::try_from(revision).unwrap_or_default()));
            }
            let knows = answer.header.map_or(0, |header| header.revision);
            if answer.compact_revision > 0 || (answer.created && !answer.canceled && knows + 1 < start) {
                return Ok(Watched::Unknown);
            }
            if answer.canceled {
                return Err(self.cancelled(&answer.cancel_reason).await);
            }
            answer = match watch.next().await {
                Err(failure) if failure.is_of_the_connection() => {
                    self.leave_if_at_fault(server, &failure);
                    return Ok(Watched::Unknown);
                }
                answer => answer?,
            };
        }
    }

    async fn open_watch(&self, server: usize, create: WatchCreateRequest) -> Result<Watch, Failure> {
        let token = self.token(server).await?;
        let (last, cancelled) = oneshot::channel();
        let create = WatchRequest { create_request: Some(create), cancel_request: None };
        // No last request is the end, too.
        let cancelled = stream::once(cancelled).filter_map(|cancel| ready(cancel.ok()));
        let mut request = Request::new(stream::iter([create]).chain(cancelled));
        add_token(&mut request, &token);
        // A server that is cut off from the others ends the watch, instead of going on without news.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let mut grpc = Grpc::new(self.servers[server].clone());
        grpc.ready().await.map_err(unready)?;
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        match grpc.streaming(request, path, ProstCodec::default()).await.map_err(Failure::from) {
            Err(failure) if failure.is_of_the_token() => {
                self.forget(&token).await;
                Err(failure)
            }
            answers => Ok(Watch { answers: answers?.into_inner(), last }),
        }
    }

    /// Why a server has ended a watch.
    async fn cancelled(&self, reason: &str) -> Failure {
        let is_of_the_token = reason.contains("auth") || reason.contains("permission");
        if is_of_the_token && self.login.is_some() {
            self.forget(&Token::Unknown).await;
        }
        Status::unavailable(format!("the watch was cancelled: {reason}")).into()
    }
}

impl Watch {
    async fn next(&mut self) -> Result<WatchResponse, Failure> {
        let answer = self.answers.message().await?;
        Ok(answer.ok_or_else(|| Status::unavailable("the watch has ended"))?)
    }

    /// Ends the watch, and reads what the server has said of it by then. The HTTP/2 client counts small frames that no stream
    /// reads, for as long as the connection lasts, and ends that when there are too many.
    async fn cancel(mut self, watch_id: i64) {
        let cancel = WatchRequest { create_request: None, cancel_request: Some(WatchCancelRequest { watch_id }) };
        if self.last.send(cancel).is_err() {
            // The connection has ended, and the watch with it.
            return;
        }
        while let Ok(Some(answer)) = self.answers.message().await {
            if answer.canceled {
                return;
            }
        }
    }
}
