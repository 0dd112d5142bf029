//! Sessions with the servers.

use std::{
    future::Future,
    pin::pin,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use async_io::Timer;
use futures_util::future::{Either, select};
use scheduler_core::store::StoreError;
use serde_json::Value;
use unreql::{
    Command, Datum, Session,
    cmd::{
        connect,
        options::{Durability, ReadMode, RunOptions},
    },
    r,
};

use super::failure::{Failures, is_answer, is_lost};

/// Runs queries, each on a session of its own, since a session answers one after the other.
pub(super) struct Client {
    /// They have the password, so that this is never shown.
    servers: Vec<connect::Options>,
    timeout: Duration,
    pub(super) failures: Failures,
    idle: Mutex<Vec<Session>>,
}

/// The most sessions that are kept for later: what one scheduler uses at a time.
const KEPT: usize = 4;

/// What became of a query.
enum Asked {
    Answered(Result<Vec<Value>, StoreError>),
    /// The connection broke before there was an answer.
    Lost(StoreError),
}

impl Asked {
    fn into_answer(self) -> Result<Vec<Value>, StoreError> {
        match self {
            Self::Answered(answer) => answer,
            Self::Lost(error) => Err(error),
        }
    }
}

impl Client {
    pub(super) fn new(servers: Vec<connect::Options>, timeout: Duration) -> Self {
        let failures = Failures::new(place(&servers));
        Self { servers, timeout, failures, idle: Mutex::default() }
    }

    /// The rows that a query gives, or the elements of the array that it gives, or the one value.
    ///
    /// If the connection had been lost before, the query is sent once more on a new one; so it has to be one that does no
    /// harm the second time.
    pub(super) async fn rows(&self, query: Command) -> Result<Vec<Value>, StoreError> {
        let kept = self.idle().pop();
        if let Some(session) = kept
            && let Asked::Answered(answer) = self.ask(session, query.clone()).await
        {
            return answer;
        }
        self.ask(self.connect().await?, query).await.into_answer()
    }

    /// The one value that a query gives, which is sent once.
    pub(super) async fn once(&self, query: Command) -> Result<Value, StoreError> {
        let kept = self.idle().pop();
        let session = match kept {
            Some(session) => session,
            None => self.connect().await?,
        };
        Ok(self.ask(session, query).await.into_answer()?.pop().unwrap_or_default())
    }

    /// Runs a query on a session, which goes if this fails or is dropped, since an answer may still be on its way to it.
    async fn ask(&self, session: Session, query: Command) -> Asked {
        let answer = self.bounded(query.exec_to_vec(r.args((&session, run_options())))).await;
        let is_usable = matches!(&answer, Some(Ok(_))) || matches!(&answer, Some(Err(error)) if is_answer(error));
        let mut idle = self.idle();
        if !is_usable {
            // The others have most likely lost their connection too.
            idle.clear();
        } else if idle.len() < KEPT {
            idle.push(session);
        }
        drop(idle);
        match answer {
            Some(Err(error)) if is_lost(&error) => Asked::Lost(self.failures.of(error)),
            Some(answer) => Asked::Answered(answer.map_err(|error| self.failures.of(error))),
            None => Asked::Answered(Err(self.late("no answer to a query"))),
        }
    }

    /// The one value that a query gives.
    pub(super) async fn value(&self, query: Command) -> Result<Value, StoreError> {
        Ok(self.rows(query).await?.pop().unwrap_or_default())
    }

    /// A new session with the first server that takes it.
    pub(super) async fn connect(&self) -> Result<Session, StoreError> {
        let mut failure = None;
        for server in &self.servers {
            match self.bounded(r.connect(server.clone())).await {
                Some(Ok(session)) => return Ok(session),
                Some(Err(error)) => failure = Some(self.failures.of(error)),
                None => failure = Some(self.late("no connection")),
            }
        }
        Err(failure.unwrap_or_else(|| self.failures.unavailable("no server is given")))
    }

    /// Waits for an answer, but not longer than is allowed.
    pub(super) async fn bounded<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        within(self.timeout, answer).await
    }

    pub(super) fn late(&self, what: &str) -> StoreError {
        self.failures.unavailable(&format!("{what} within {:?}", self.timeout))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().expect("nothing panics while it holds the sessions")
    }
}

/// An array of what queries give; they are run one after the other.
pub(super) fn array(queries: impl IntoIterator<Item = Command>) -> Command {
    Datum::Array(queries.into_iter().map(|query| Datum::Command(Box::new(query))).collect()).into()
}

/// What a future gives, unless that takes longer.
pub(super) async fn within<T>(time: Duration, answer: impl Future<Output = T>) -> Option<T> {
    match select(pin!(answer), pin!(Timer::after(time))).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(_) => None,
    }
}

/// A write counts when a majority of a table's replicas has it on disk, and is what a read then sees.
pub(super) fn run_options() -> RunOptions {
    RunOptions::new().read_mode(ReadMode::Majority).durability(Durability::Hard)
}

fn place(servers: &[connect::Options]) -> String {
    let hosts: Vec<String> = servers.iter().map(|server| format!("{}:{}", server.host, server.port)).collect();
    let database = servers.first().map(|server| server.db.as_ref()).unwrap_or_default();
    format!("rethinkdb `{}/{database}`", hosts.join(","))
}
