//! Requests to the servers of a cluster: which one is asked, for how long, and in whose name.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::stream::{self, StreamExt};
use prost::Message;
use scheduler_core::store::StoreError;
use tokio::sync::Mutex;
use tonic::{
    Code, Request, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{AsciiMetadataValue, MetadataValue},
    transport::Channel,
};
use tonic_prost::ProstCodec;

use super::{
    failure::{Failure, Failures},
    message::{
        AuthenticateRequest, AuthenticateResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse,
        WatchCreateRequest, WatchRequest, WatchResponse,
    },
    options::Login,
};
use crate::private_tokio::PrivateTokio;

/// A connection to each server of a cluster, of which one is used until it fails.
#[derive(Debug)]
pub(super) struct Client {
    runtime: PrivateTokio,
    cluster: Arc<Cluster>,
}

/// What became of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// The key was written at this revision.
    Written(u64),
    /// The servers do not know the revision any more, or not yet: what was written since cannot be told.
    Unknown,
}

impl Client {
    /// A client of servers, at least one.
    pub(super) fn new(
        runtime: PrivateTokio,
        servers: Vec<Channel>,
        login: Option<Login>,
        timeout: Duration,
        failures: Failures,
    ) -> Self {
        let cluster = Cluster {
            servers,
            current: AtomicUsize::new(0),
            login,
            token: Mutex::new(Token::Unknown),
            timeout,
            failures,
        };
        Self { runtime, cluster: Arc::new(cluster) }
    }

    pub(super) fn failures(&self) -> &Failures {
        &self.cluster.failures
    }

    pub(super) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        self.call("/etcdserverpb.KV/Range", request).await
    }

    pub(super) async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, StoreError> {
        self.call("/etcdserverpb.KV/Txn", request).await
    }

    /// Waits until a key is written after this revision. Ends with an error when the connection does.
    pub(super) async fn watch(&self, key: Vec<u8>, after: u64) -> Result<Watched, StoreError> {
        let cluster = self.cluster.clone();
        self.runtime.run(async move { cluster.watch(key, after).await }).await
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, StoreError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let cluster = self.cluster.clone();
        self.runtime.run(async move { cluster.call(path, request).await }).await
    }
}

#[derive(Debug)]
struct Cluster {
    servers: Vec<Channel>,
    current: AtomicUsize,
    login: Option<Login>,
    token: Mutex<Token>,
    timeout: Duration,
    failures: Failures,
}

/// What shows a server who asks.
#[derive(Clone)]
enum Token {
    Unknown,
    /// The servers let everybody in.
    Unneeded,
    Known(AsciiMetadataValue),
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Cluster {
    /// Asks the current server, and others only if it has certainly not got the request.
    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, StoreError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut left = self.servers.len();
        loop {
            let server = self.current();
            let failure = match self.call_server(server, path, &request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            left -= 1;
            self.leave_if_at_fault(server, &failure);
            if left == 0 || !failure.is_unsent() {
                return Err(self.failures.of(failure));
            }
        }
    }

    /// Asks a server, once more if it refuses the token.
    async fn call_server<Q, A>(&self, server: usize, path: &'static str, request: &Q) -> Result<A, Failure>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let token = self.token(server).await?;
        match self.send(server, path, request.clone(), &token).await {
            Err(failure) if self.login.is_some() && failure.is_of_the_token() => {
                self.forget(&token).await;
                let token = self.token(server).await?;
                self.send(server, path, request.clone(), &token).await
            }
            answer => answer,
        }
    }

    async fn send<Q, A>(&self, server: usize, path: &'static str, request: Q, token: &Token) -> Result<A, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut request = Request::new(request);
        add_token(&mut request, token);
        let mut grpc = Grpc::new(self.servers[server].clone()).max_decoding_message_size(LARGEST_ANSWER);
        let answer = async {
            grpc.ready().await.map_err(unready)?;
            grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::default()).await
        };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(Failure::TooLate(self.timeout)),
        }
    }

    async fn watch(&self, key: Vec<u8>, after: u64) -> Result<Watched, StoreError> {
        let start_revision = i64::try_from(after).unwrap_or(i64::MAX).saturating_add(1);
        let create = WatchRequest { create_request: Some(WatchCreateRequest { key, start_revision }) };
        let server = self.current();
        let watched = self.watch_server(server, create, start_revision).await;
        watched.map_err(|failure| {
            self.leave_if_at_fault(server, &failure);
            self.failures.of(failure)
        })
    }

    async fn watch_server(&self, server: usize, create: WatchRequest, start: i64) -> Result<Watched, Failure> {
        let opened = async {
            let mut answers = self.open_watch(server, create).await?;
            Ok::<_, Failure>((answers.message().await?, answers))
        };
        // From then on a server may be silent for long; the connection's own signs of life tell whether it is there.
        let (mut first, mut answers) =
            tokio::time::timeout(self.timeout, opened).await.map_err(|_| Failure::TooLate(self.timeout))??;
        loop {
            let answer = match first.take() {
                Some(answer) => answer,
                None => answers.message().await?.ok_or_else(|| tonic::Status::unavailable("the watch has ended"))?,
            };
            let written = answer.events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).max();
            if let Some(revision) = written {
                return Ok(Watched::Written(u64::try_from(revision).unwrap_or_default()));
            }
            let knows = answer.header.map_or(0, |header| header.revision);
            if answer.compact_revision > 0 || (answer.created && !answer.canceled && knows + 1 < start) {
                return Ok(Watched::Unknown);
            }
            if answer.canceled {
                let reason = format!("the watch was cancelled: {}", answer.cancel_reason);
                let is_of_the_token =
                    answer.cancel_reason.contains("auth") || answer.cancel_reason.contains("permission");
                if is_of_the_token && self.login.is_some() {
                    self.forget(&Token::Unknown).await;
                }
                return Err(tonic::Status::unavailable(reason).into());
            }
        }
    }

    async fn open_watch(&self, server: usize, create: WatchRequest) -> Result<Streaming<WatchResponse>, Failure> {
        let token = self.token(server).await?;
        // The server takes the end of the requests for the end of the watch.
        let mut request = Request::new(stream::iter([create]).chain(stream::pending()));
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
            answers => Ok(answers?.into_inner()),
        }
    }

    /// The token for the login, if there is one; asked for by one call at a time.
    async fn token(&self, server: usize) -> Result<Token, Failure> {
        let Some(login) = &self.login else { return Ok(Token::Unneeded) };
        let mut token = self.token.lock().await;
        if matches!(*token, Token::Unknown) {
            let request = AuthenticateRequest { name: login.user.clone(), password: login.password.clone() };
            let path = "/etcdserverpb.Auth/Authenticate";
            *token = match self.send::<_, AuthenticateResponse>(server, path, request, &Token::Unneeded).await {
                Ok(answer) => {
                    let value = answer.token.parse();
                    Token::Known(value.map_err(|_| tonic::Status::internal("the token is no ASCII text"))?)
                }
                Err(Failure::Status(status))
                    if status.code() == Code::FailedPrecondition && status.message().contains("not enabled") =>
                {
                    Token::Unneeded
                }
                Err(failure) => return Err(failure),
            };
        }
        Ok(token.clone())
    }

    /// Asks for another token next time, unless another call has done so already.
    async fn forget(&self, refused: &Token) {
        let mut token = self.token.lock().await;
        let is_newer = matches!((&*token, refused), (Token::Known(known), Token::Known(old)) if known != old);
        if !is_newer {
            *token = Token::Unknown;
        }
    }

    fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed) % self.servers.len()
    }

    /// Uses the next server from now on, unless another call has chosen it already.
    fn leave_if_at_fault(&self, server: usize, failure: &Failure) {
        if failure.is_of_the_server() {
            let next = (server + 1) % self.servers.len();
            // Another call may have been faster, which is as good.
            _ = self.current.compare_exchange(server, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// As etcd's own client; a batch of large jobs is read in one answer.
const LARGEST_ANSWER: usize = i32::MAX as usize;

fn add_token<T>(request: &mut Request<T>, token: &Token) {
    if let Token::Known(value) = token {
        request.metadata_mut().insert("token", value.clone());
    }
}

fn unready(error: tonic::transport::Error) -> tonic::Status {
    tonic::Status::from_error(error.into())
}
