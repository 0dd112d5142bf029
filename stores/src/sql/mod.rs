//! What the stores share whose jobs are rows of SQL tables: the verbs, written once.
//!
//! A database brings the text of its [`Statements`], and a [`Transaction`] that runs them. All that is read in order to
//! be changed is read under a lock, in one order for all: jobs by uid, then the node's own row; other nodes' rows, and
//! the jobs of a claim, are passed over while someone else has them, so that no claim waits for anybody.

mod batch;
mod claim;
mod failure;
mod listing;
pub(crate) mod node_name;
mod nodes;
#[cfg(feature = "sql-servers")]
mod pool;
mod rows;
mod statements;
#[cfg(feature = "sql-servers")]
mod store;
mod verbs;

#[cfg(all(test, feature = "sql-servers"))]
pub(crate) use test_support::server;

use std::future::Future;

use chrono::{DateTime, Utc};
use scheduler_core::{
    NodeId,
    store::{Hint, StoreError},
};
use serde_json::Value;

#[cfg(feature = "postgres")]
pub(crate) use self::pool::CONNECT_TIMEOUT;
#[cfg(feature = "mysql")]
pub(crate) use self::statements::inserted;
pub(crate) use self::{
    claim::claim,
    failure::Failures,
    listing::{job, jobs, listed, runs},
    statements::{Lists, Statements, Text},
    verbs::{cancel, insert, record, release, remove, remove_all, settle, turn, update},
};
#[cfg(feature = "sql-servers")]
pub(crate) use self::{
    failure::judge_tls,
    pool::{ANSWER_TIMEOUT, Lent, Pool, within},
    statements::Kind,
    store::job_store,
};
use crate::kit::columns::Columns;

/// Runs a verb in a transaction of the caller's `Tx`; a few times more while it meets others, which changes nothing.
#[cfg(feature = "sql-servers")]
macro_rules! transact {
    ($database:expr, $tx:ident => $verb:expr) => {{
        let mut left = crate::sql::ATTEMPTS;
        loop {
            left -= 1;
            let mut $tx = Tx::begin($database).await?;
            let replied = match $verb.await {
                Ok(reply) => $tx.commit().await.map(|()| reply),
                Err(error) => Err(error),
            };
            if replied.is_err() {
                crate::sql::Transaction::undo(&mut $tx).await;
            }
            if replied.is_ok() || left == 0 || !$tx.has_met_another() {
                break replied;
            }
        }
    }};
}
#[cfg(feature = "sql-servers")]
pub(crate) use transact;

/// How often a transaction is tried that meets others: each time one of them gets its way.
#[cfg(feature = "sql-servers")]
pub(crate) const ATTEMPTS: usize = 5;

/// The most jobs, moves or entries of one call: enough for one transaction to carry a busy second, few enough that nobody
/// waits for long.
pub(crate) const BATCH: usize = 1_000;

/// See [`Transaction::room`].
pub(crate) const ROOM: usize = 4 << 20;

/// What the verbs work in. If it is dropped before its end, nothing of it is kept.
pub(crate) trait Transaction: Send {
    /// A row as the database hands it out.
    type Row: Columns + Send + Sync;

    /// The statements of the store.
    fn sql(&self) -> &Statements;

    /// The time of the transaction; `at`, the caller's, if the store has no clock.
    fn now(&self, at: DateTime<Utc>) -> DateTime<Utc>;

    /// All rows of a statement.
    fn all(&mut self, statement: Statement) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// Runs a statement and says how many rows it has changed.
    fn run(&mut self, statement: Statement) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Undoes a transaction that has failed, for a database that should not find out by itself.
    #[cfg(feature = "sql-servers")]
    fn undo(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Lets other nodes know of a change when the transaction has ended.
    fn tell(&mut self, hint: Hint);

    /// How many bytes of jobs one statement carries at most, but for the last job, so that a batch of big ones does not
    /// fill the memory twice.
    fn room(&self) -> usize {
        ROOM
    }

    /// The first row of a statement that has one at most.
    fn first(&mut self, statement: Statement) -> impl Future<Output = Result<Option<Self::Row>, StoreError>> + Send {
        async { Ok(self.all(statement).await?.into_iter().next()) }
    }
}

/// A statement with its arguments.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) text: Text,
    pub(crate) arguments: Vec<Argument>,
}

/// An argument of a statement.
#[derive(Debug, Clone)]
pub(crate) enum Argument {
    Integer(Option<i64>),
    Text(String),
}

/// A statement without arguments so far.
pub(crate) fn query(text: &Text) -> Statement {
    Statement { text: text.clone(), arguments: Vec::new() }
}

impl Statement {
    fn text(mut self, text: impl Into<String>) -> Self {
        self.arguments.push(Argument::Text(text.into()));
        self
    }

    /// The name of a node.
    fn node(self, id: &NodeId) -> Self {
        self.text(node_name::written(id))
    }

    /// A list as one argument, in JSON.
    fn list(self, items: impl IntoIterator<Item = Value>) -> Self {
        self.text(Value::Array(items.into_iter().collect()).to_string())
    }

    fn integer(mut self, integer: impl Into<i64>) -> Self {
        self.arguments.push(Argument::Integer(Some(integer.into())));
        self
    }

    fn time(mut self, time: Option<DateTime<Utc>>) -> Self {
        self.arguments.push(Argument::Integer(time.map(|time| time.timestamp_micros())));
        self
    }

    /// A limit, or a number that counts calls.
    fn count(self, count: impl TryInto<i64>) -> Self {
        self.integer(count.try_into().unwrap_or(i64::MAX))
    }
}

/// A count in a row that this store alone writes; what cannot be one is 0.
fn number(row: &impl Columns, at: usize) -> u64 {
    row.integer(at).ok().flatten().and_then(|it| u64::try_from(it).ok()).unwrap_or_default()
}

/// A text in a row; what is none is empty.
fn text(row: &impl Columns, at: usize) -> String {
    let bytes = row.bytes(at).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A time in a row.
fn time(row: &impl Columns, at: usize) -> Option<DateTime<Utc>> {
    row.integer(at).ok().flatten().and_then(DateTime::from_timestamp_micros)
}
