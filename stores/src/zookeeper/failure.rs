//! What ZooKeeper's errors mean for a store.

use std::time::Duration;

use scheduler_core::store::{StoreError, StoreErrorKind};
use zookeeper_client::Error;

/// Turns ZooKeeper's errors into a store's, with the name of the place.
#[derive(Debug, Clone)]
pub(super) struct Failures {
    place: String,
}

impl Failures {
    /// `servers` have no password in them.
    pub(super) fn new(servers: &str, root: &str) -> Self {
        Self { place: format!("zookeeper `{servers}{root}`") }
    }

    /// The servers and the root, for the head of a message.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn of(&self, error: Error) -> StoreError {
        let (kind, advice) = judge(&error);
        StoreError::new(kind, format!("{}: {advice}: {error}", self.place)).with_source(error)
    }

    pub(super) fn new_error(&self, kind: StoreErrorKind, what: impl std::fmt::Display) -> StoreError {
        StoreError::new(kind, format!("{}: {what}", self.place))
    }

    pub(super) fn too_late(&self, timeout: Duration) -> StoreError {
        let what = format!("no answer within {timeout:?}; check that a majority of the servers is up and reachable");
        self.new_error(StoreErrorKind::Unavailable, what)
    }
}

fn judge(error: &Error) -> (StoreErrorKind, &'static str) {
    match error {
        Error::NoHosts | Error::Timeout => {
            (StoreErrorKind::Unavailable, "no server can be reached; check that they are up and the addresses right")
        }
        Error::NoAuth | Error::InvalidAcl => {
            (StoreErrorKind::ReadOnly, "its access control list forbids this; connect as a user that may")
        }
        Error::NotReadOnly => (StoreErrorKind::ReadOnly, "the server has lost the others and can only be read"),
        Error::AuthFailed => (StoreErrorKind::Unavailable, "the servers refuse the credentials"),
        Error::QuotaExceeded => (StoreErrorKind::Unavailable, "the quota of the root is used up; raise it"),
        Error::NoNode => (StoreErrorKind::Unavailable, "nodes of the store are gone; connect anew to create them"),
        Error::BadArguments(_) => (StoreErrorKind::Rejected, "the client takes no such argument"),
        Error::Unimplemented => {
            (StoreErrorKind::Incompatible, "the server is too old; container nodes came with 3.5.3")
        }
        _ => (StoreErrorKind::Unavailable, "the call failed"),
    }
}
