//! What the stores share whose jobs are rows of SQL tables: access to the rows for the kit, written once.
//!
//! A database brings the text of its [`Statements`], [`Tables`] to read and a [`Transaction`] to change them. All that is read
//! in order to be changed is read under a lock, in one order for all, so that no two transactions wait for each other: the row
//! of the calling node first, then jobs by uid. The rows of other nodes, and the jobs of a claim or a takeover, are left out
//! while another transaction has them locked, so that no claim waits.
//!
//! # The indexes of searches
//!
//! A claim changes no column of these, so that it costs no more than before.
//!
//! | index | search | written by |
//! |---|---|---|
//! | tags by tag, and by job | jobs with a tag; those to delete | adding, redefining and deleting jobs |
//! | jobs by task | jobs and counts of a task | as above; on PostgreSQL by each move, too |
//! | jobs by state, but for active ones | jobs and counts by state | what pauses, resumes, keeps |
//! | jobs by (next fire time, id) | jobs in that order | each move |
//! | jobs that are over by (id, uid) | these in that order; runs of a job by its id | the end of a job that stays known |
//! | runs by (fire time, job, number) | runs of all jobs, newest first; of a task and of a node | each run |
//! | runs by (verdict, fire time, ..), but for those that went well | runs that failed, were missed or skipped | such runs |
//!
//! What they cost a move on PostgreSQL is counted in `docs/design/indexes-of-searches.md`.
//!
//! MySQL has no partial indexes; there the last one and those of states and of what is over have all rows. There is
//! none of runs by node: a node's open runs have one for claims, and its ended ones are found on a walk along the fire
//! times.

mod failure;
mod guest;
mod load;
pub(crate) mod node_name;
#[cfg(feature = "sql-servers")]
mod pool;
mod rows;
pub(crate) mod script;
mod search;
mod session;
mod statements;
mod write;

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
    failure::Failures,
    guest::Guest,
    session::SqlSession,
    statements::{Lists, Sql, Statements},
};
#[cfg(feature = "sql-servers")]
pub(crate) use self::{
    failure::judge_tls,
    pool::{ANSWER_TIMEOUT, Lent, Pool, within},
    statements::Kind,
};
use crate::kit::columns::Columns;

/// The most jobs, moves or entries of one call: enough for one transaction to carry a busy second, few enough that no other one
/// waits for long.
pub(crate) const BATCH: usize = 1_000;

/// See [`Tables::room`].
pub(crate) const ROOM: usize = 4 << 20;

/// The tables of a store.
pub(crate) trait Tables: Send + Sync {
    /// A row as the database hands it out.
    type Row: Columns + Send + Sync;

    /// The statements of the store.
    fn sql(&self) -> &Statements;

    /// What is told of failures.
    fn failures(&self) -> &Failures;

    /// All rows of a statement that reads, outside of a transaction.
    fn read(&self, statement: Statement) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// How many bytes of jobs one statement carries at most, but for the last job, so that a batch of big ones does not
    /// fill the memory twice.
    fn room(&self) -> usize {
        ROOM
    }
}

/// What a verb that changes something works in. If it is dropped before its end, nothing of it is kept.
pub(crate) trait Transaction: Send {
    /// The tables that it changes.
    type Tables: Tables;

    /// The time of the transaction; `at`, the caller's, if the store has no clock.
    fn now(&self, at: DateTime<Utc>) -> DateTime<Utc>;

    /// All rows of a statement.
    fn all(&mut self, statement: Statement) -> impl Future<Output = Result<Vec<RowOf<Self>>, StoreError>> + Send;

    /// Runs a statement.
    fn run(&mut self, statement: Statement) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lets other nodes know of a change when the transaction has ended.
    fn tell(&mut self, hint: Hint);

    /// Ends it and keeps what was written.
    fn commit(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Undoes a transaction that has failed, for a database that should not find out by itself.
    fn undo(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Whether it has failed because of another transaction, so that it is worth to be repeated.
    fn has_met_another(&self) -> bool {
        false
    }
}

/// A row in a transaction.
pub(crate) type RowOf<Tx> = <<Tx as Transaction>::Tables as Tables>::Row;

/// A statement with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) sql: Sql,
    pub(crate) arguments: Vec<Argument>,
}

/// An argument of a statement.
#[derive(Debug, Clone)]
pub(crate) enum Argument {
    Integer(Option<i64>),
    Text(String),
}

/// A statement without arguments so far.
pub(crate) fn statement(sql: &Sql) -> Statement {
    Statement { sql: sql.clone(), arguments: Vec::new() }
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
    pub(crate) fn list<T: Into<Value>>(self, items: impl IntoIterator<Item = T>) -> Self {
        self.text(items.into_iter().collect::<Value>().to_string())
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
