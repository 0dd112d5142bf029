//! Requests to the servers of a cluster: which one is asked, for how long, and in whose name.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prost::Message;
use scheduler_core::store::StoreError;
use tokio::sync::Mutex;
use tonic::{
    Code, Request, client::Grpc, codegen::http::uri::PathAndQuery, metadata::AsciiMetadataValue, transport::Channel,
};
use tonic_prost::ProstCodec;

use super::{
    failure::{Failure, Failures},
    message::{AuthenticateRequest, AuthenticateResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse},
    options::Login,
    watch::Watched,
};
use crate::private_tokio::PrivateTokio;

/// A connection to each server of a cluster, of which one is used until it fails.
#[derive(Debug)]
pub(super) struct Client {
    runtime: PrivateTokio,
    cluster: Arc<Cluster>,
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

    /// Waits until a key is written after this revision.
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
pub(super) struct Cluster {
    pub(super) servers: Vec<Channel>,
    current: AtomicUsize,
    pub(super) login: Option<Login>,
    token: Mutex<Token>,
    pub(super) timeout: Duration,
    pub(super) failures: Failures,
}

/// What shows a server who asks.
#[derive(Clone)]
pub(super) enum Token {
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
    /// Asks the current server, and others if it has certainly not got the request. Where a connection ends before the
    /// answer, that is unknown; then the request is repeated once, which has no second effect: conditions keep each write
    /// from being done twice, and who calls takes the first one for a race that another node has won.
    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, StoreError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let (mut left, mut is_repeated) = (self.servers.len(), false);
        loop {
            let server = self.current();
            let failure = match self.call_server(server, path, &request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            self.leave_if_at_fault(server, &failure);
            if failure.is_unsent() && left > 1 {
                left -= 1;
            } else if failure.is_of_the_connection() && !is_repeated {
                is_repeated = true;
            } else {
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

    /// The token for the login, if there is one; asked for by one call at a time.
    pub(super) async fn token(&self, server: usize) -> Result<Token, Failure> {
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
    pub(super) async fn forget(&self, refused: &Token) {
        let mut token = self.token.lock().await;
        let is_newer = matches!((&*token, refused), (Token::Known(known), Token::Known(old)) if known != old);
        if !is_newer {
            *token = Token::Unknown;
        }
    }

    pub(super) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed) % self.servers.len()
    }

    /// Uses the next server from now on, unless another call has chosen it already.
    pub(super) fn leave_if_at_fault(&self, server: usize, failure: &Failure) {
        if failure.is_of_the_server() {
            let next = (server + 1) % self.servers.len();
            // Another call may have been faster, which is as good.
            _ = self.current.compare_exchange(server, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// As etcd's own client; a batch of large jobs is read in one answer.
const LARGEST_ANSWER: usize = i32::MAX as usize;

pub(super) fn add_token<T>(request: &mut Request<T>, token: &Token) {
    if let Token::Known(value) = token {
        request.metadata_mut().insert("token", value.clone());
    }
}

pub(super) fn unready(error: tonic::transport::Error) -> tonic::Status {
    tonic::Status::from_error(error.into())
}
