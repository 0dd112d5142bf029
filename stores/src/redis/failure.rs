//! What Redis' errors mean for a store.

use std::time::Duration;

use redis::{ConnectionInfo, ErrorKind, RedisError};
use scheduler_core::store::{StoreError, StoreErrorKind};

/// Turns Redis' errors into a store's, with the address of the server.
#[derive(Debug, Clone)]
pub(super) struct Failures {
    place: String,
}

impl Failures {
    pub(super) fn new(info: &ConnectionInfo) -> Self {
        Self { place: format!("redis server `{}/{}`", info.addr(), info.redis_settings().db()) }
    }

    /// The server, for the head of a message.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn of(&self, error: RedisError) -> StoreError {
        let (kind, advice) = judge(&error);
        let place = &self.place;
        StoreError::new(kind, format!("{place}: {advice}: {error}")).with_source(error)
    }

    pub(super) fn of_silence(&self, time: Duration) -> StoreError {
        let message = format!("{}: it has not answered for {} s", self.place, time.as_secs());
        StoreError::new(StoreErrorKind::Unavailable, message)
    }

    pub(super) fn of_reply(&self, misread: &Misread) -> StoreError {
        let message = format!("{}: its reply has {} where another thing belongs", self.place, misread.0);
        StoreError::new(StoreErrorKind::Incompatible, message)
    }

    pub(super) fn of_schema(&self, schema: i64, known: i64) -> StoreError {
        let message = format!("{}: {NEWER}: SCHEMA {schema} {known}", self.place);
        StoreError::new(StoreErrorKind::Incompatible, message)
    }

    /// The URL is left out, since it may have a password.
    pub(super) fn of_url(error: RedisError) -> StoreError {
        let message = format!("the URL is none of a redis server, as in `redis://user:password@host:6379/0`: {error}");
        StoreError::new(StoreErrorKind::Incompatible, message).with_source(error)
    }

    /// Whether the connection on which an error came is of no use any more.
    ///
    /// A server that has become a replica is left too, since its address may have come to be that of another one.
    pub(super) fn is_of_connection(error: &RedisError) -> bool {
        let is_answer = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
        !is_answer || matches!(error.code(), Some("READONLY" | "MOVED" | "CLUSTERDOWN" | "MASTERDOWN"))
    }
}

const NEWER: &str = "its keys have a newer schema (the first number) than this build knows (the second); update this \
                     program, or use another key prefix";

/// What is in a reply where another thing belongs.
#[derive(Debug)]
pub(super) struct Misread(pub(super) &'static str);

/// By the first word of the answer, which is the code of the error.
fn judge(error: &RedisError) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Incompatible, ReadOnly, Unavailable};
    match error.code() {
        // Some messages of the server begin with no code of their own.
        Some("ERR") if error.detail().is_some_and(|text| text.contains("max number of clients")) => {
            (Unavailable, "it has no connection left; raise `maxclients`, or close connections that are not used")
        }
        Some("NOSCRIPT") => (Unavailable, "it forgets its scripts at once; the call will be repeated"),
        Some("READONLY") => (ReadOnly, "it is a replica and read-only; connect to its master"),
        Some("OOM") => (Unavailable, "its memory is full; raise `maxmemory` or free some"),
        Some("MISCONF") => (Unavailable, "it cannot write to its disk and therefore takes nothing; free some space"),
        Some("LOADING") => (Unavailable, "it is loading its data; the call will be repeated"),
        Some("BUSY") => (Unavailable, "a script of another client keeps it busy; the call will be repeated"),
        Some("NOREPLICAS") => (Unavailable, "it has fewer replicas than `min-replicas-to-write`"),
        Some("CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN") => {
            (Unavailable, "its cluster is not whole; the call will be repeated")
        }
        Some("MOVED" | "ASK") => (Unavailable, "another node of its cluster has the keys; connect to that one"),
        Some("NOAUTH" | "WRONGPASS" | "DENIED") => {
            (Unavailable, "it does not let this user in; check name and password")
        }
        Some("NOPERM") => {
            (Unavailable, "this user may not do that; allow it all commands, keys and channels of the prefix")
        }
        Some("WRONGTYPE") => (Incompatible, "a key is not of this store; use another key prefix"),
        Some("SCHEMA") => (Incompatible, NEWER),
        Some("OUTDATED") => (
            Unavailable,
            "its keys have an earlier schema (the first number) than this build writes (the second); open the store anew, which \
             brings them up to date",
        ),
        _ => match error.kind() {
            ErrorKind::AuthenticationFailed => (Unavailable, "it does not let this user in; check name and password"),
            ErrorKind::InvalidClientConfig if error.to_string().contains("TLS") => {
                (Incompatible, "the URL asks for an encrypted connection; build with the feature `tls`")
            }
            ErrorKind::InvalidClientConfig => (Incompatible, "the client's options are not valid"),
            ErrorKind::Io => (Unavailable, "it cannot be reached"),
            _ => (Unavailable, "the call failed"),
        },
    }
}

#[cfg(test)]
mod tests {
    use redis::{IntoConnectionInfo, parse_redis_value};

    use super::*;

    /// As servers have sent them.
    #[test]
    fn answers_are_judged_by_their_first_word() {
        use StoreErrorKind::{Incompatible, ReadOnly, Unavailable};
        let failures = Failures::new(&"redis://ann:secret@db.example:6380/2".into_connection_info().unwrap());
        for (answer, kind, advice) in [
            (
                "READONLY You can't write against a read only replica. script: 1f50, on @user_script:1175.",
                ReadOnly,
                "master",
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'. script: 1f50, on @user_script:1175.",
                Unavailable,
                "memory is full",
            ),
            (
                "NOREPLICAS Not enough good replicas to write. script: 1f50, on @user_script:1175.",
                Unavailable,
                "replicas",
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
                Unavailable,
                "disk",
            ),
            ("LOADING Redis is loading the dataset in memory", Unavailable, "loading"),
            (
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
                Unavailable,
                "busy",
            ),
            (
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                Unavailable,
                "not whole",
            ),
            ("CLUSTERDOWN The cluster is down", Unavailable, "not whole"),
            ("MOVED 3999 127.0.0.1:6381", Unavailable, "another node"),
            ("NOAUTH Authentication required.", Unavailable, "password"),
            ("NOPERM this user has no permissions to run the 'evalsha' command", Unavailable, "this user may not"),
            (
                "WRONGTYPE Operation against a key holding the wrong kind of value script: 1f50, on @user_script:9.",
                Incompatible,
                "key prefix",
            ),
            ("SCHEMA 7 1", Incompatible, "newer schema"),
            ("OUTDATED 2 3", Unavailable, "open the store anew"),
            ("ERR max number of clients reached", Unavailable, "maxclients"),
            ("ERR unknown command", Unavailable, "the call failed"),
        ] {
            let value = parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
            let error = failures.of(value.extract_error().unwrap_err());
            let message = error.to_string();
            assert_eq!(error.kind(), kind, "{message}");
            assert!(message.starts_with("redis server `db.example:6380/2`: ") && message.contains(advice), "{message}");
        }
    }
}
