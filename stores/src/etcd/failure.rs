//! What etcd's errors mean for a store.

use std::{error::Error as StdError, fmt::Display, time::Duration};

use scheduler_core::store::{StoreError, StoreErrorKind};
use tonic::{Code, ConnectError, Status};

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    Status(Status),
    /// It took longer than this.
    TooLate(Duration),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl Failure {
    /// Whether the request has certainly not reached a server, so that another one can be asked.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(self, Self::Status(status) if sources(status).any(|source| source.is::<ConnectError>()))
    }

    /// Whether the connection or the stream on it ended before the answer, as when a server stops or a proxy in between
    /// sends a GOAWAY. A server's own answer comes without a source.
    pub(super) fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Status(status) if status.source().is_some()) && !self.is_unsent()
    }

    /// Whether another server may do better: this one is not there, too slow, or cut off from the others.
    pub(super) fn is_of_the_server(&self) -> bool {
        match self {
            Self::Status(status) => {
                use Code::{Cancelled, DeadlineExceeded, Internal, Unavailable, Unknown};
                matches!(status.code(), Unavailable | DeadlineExceeded | Unknown | Internal | Cancelled)
            }
            Self::TooLate(_) => true,
        }
    }

    /// Whether the server wants another token, or one at all. It has done nothing then.
    pub(super) fn is_of_the_token(&self) -> bool {
        match self {
            Self::Status(status) => {
                status.code() == Code::Unauthenticated
                    || ["user name is empty", "revision of auth store is old"]
                        .iter()
                        .any(|text| status.message().contains(text))
            }
            Self::TooLate(_) => false,
        }
    }
}

/// Turns etcd's errors into a store's, with the name of the place.
#[derive(Debug, Clone)]
pub(super) struct Failures {
    place: String,
}

impl Failures {
    /// `servers` have no password in them.
    pub(super) fn new(servers: &str, prefix: &str) -> Self {
        Self { place: format!("etcd `{servers}`, keys `{prefix}*`") }
    }

    /// The servers and the keys, for the head of a message.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn of(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Status(status) => {
                let (kind, advice) = judge(&status);
                let message = format!("{}: {advice}: {}", self.place, reason(&status));
                StoreError::new(kind, message).with_source(status)
            }
            Failure::TooLate(timeout) => {
                let what =
                    format!("no answer within {timeout:?}; check that a majority of the servers is up and reachable");
                self.with(StoreErrorKind::Unavailable, what)
            }
        }
    }

    pub(super) fn with(&self, kind: StoreErrorKind, what: impl Display) -> StoreError {
        StoreError::new(kind, format!("{}: {what}", self.place))
    }

    /// The server answers with something else than was asked for.
    pub(super) fn odd(&self, what: &str) -> StoreError {
        self.with(StoreErrorKind::Incompatible, format!("{what}; is there no etcd of version 3.4 or newer?"))
    }
}

/// By the code and, where one has many meanings, the text, which etcd keeps the same over its versions
/// (`api/v3rpc/rpctypes/error.go`).
fn judge(status: &Status) -> (StoreErrorKind, &'static str) {
    let says = |text: &str| status.message().contains(text);
    if says("database space exceeded") {
        let advice = "its space is used up, so that it can only be read; compact and defragment it, then disarm the alarm, \
                      and turn on auto-compaction";
        return (StoreErrorKind::ReadOnly, advice);
    }
    if says("request is too large") || says("larger than max") {
        return (StoreErrorKind::TooLarge, "a job with its open runs is larger than the server's --max-request-bytes");
    }
    if says("too many operations") {
        return (StoreErrorKind::Incompatible, "raise the server's --max-txn-ops to 128, its default");
    }
    if says("authentication failed") || says("user name is empty") {
        return (StoreErrorKind::Unavailable, "the server wants another user and password");
    }
    match status.code() {
        Code::PermissionDenied => (
            StoreErrorKind::ReadOnly,
            "the user may not do that; grant its role readwrite on the keys with this prefix",
        ),
        Code::Unimplemented => (StoreErrorKind::Incompatible, "this is no etcd of version 3.4 or newer"),
        _ if sources(status).any(|source| source.is::<ConnectError>()) => {
            (StoreErrorKind::Unavailable, "no connection; check that the server is up and the address right")
        }
        _ => (StoreErrorKind::Unavailable, "the call failed"),
    }
}

/// What the server said, or the cause of the cause.
fn reason(status: &Status) -> String {
    let root = sources(status).last().map(ToString::to_string);
    match root {
        Some(root) if !status.message().contains(&root) => format!("{}: {root}", status.message()),
        _ => status.message().to_owned(),
    }
}

fn sources(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(StdError::source(status), |error: &&(dyn StdError + 'static)| (*error).source())
}
