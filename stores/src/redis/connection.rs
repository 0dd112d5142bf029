//! The connection on which a store's calls go.

use std::{fmt, sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Client, Cmd, InfoDict, Pipeline, RedisResult, Value, aio::MultiplexedConnection};
use scheduler_core::store::StoreError;
use tokio::{sync::Mutex, time::timeout};

use super::{
    failure::Failures,
    names::Names,
    options::RedisOptions,
    reply::{number, optional},
    script,
    setup::Setup,
    write::SCHEMA,
};
use crate::private_tokio::PrivateTokio;

/// How long connecting may take.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take, which comes in milliseconds unless the server is busy or away.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// How long a call may take, with all that it waits for.
const CALL: Duration = Duration::from_secs(15);

/// A server, with a connection to it that is made when it is needed.
pub(super) struct Link {
    pub(super) options: RedisOptions,
    pub(super) failures: Failures,
    pub(super) client: Client,
    /// The client's connections live there, since one that was made inside of a caller's runtime would die with it.
    pub(super) threads: PrivateTokio,
    pub(super) names: Names,
    connection: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    connection: Option<MultiplexedConnection>,
    /// Counts the connections, so that a failure drops that on which it came.
    number: u64,
}

impl Link {
    pub(super) fn new(options: RedisOptions, client: Client) -> Result<Self, StoreError> {
        Ok(Self {
            failures: Failures::new(client.get_connection_info()),
            names: Names::new(&options.prefix),
            threads: PrivateTokio::start()?,
            connection: Mutex::new(Slot::default()),
            options,
            client,
        })
    }

    /// Sends commands together and gives their replies back, or the first error among them.
    pub(super) async fn ask(self: &Arc<Self>, commands: Vec<Cmd>) -> Result<Vec<Value>, StoreError> {
        let link = Arc::clone(self);
        let call = async move {
            match timeout(CALL, link.send(commands)).await {
                Ok(reply) => reply,
                Err(_) => Err(link.failures.of_silence(CALL)),
            }
        };
        self.threads.run(call).await
    }

    /// As [`ask`](Self::ask), of keys that this build can read.
    pub(super) async fn read(self: &Arc<Self>, mut commands: Vec<Cmd>) -> Result<Vec<Value>, StoreError> {
        let mut schema = redis::cmd("HGET");
        schema.arg(self.names.key("meta")).arg("schema");
        commands.push(schema);
        let mut replies = self.ask(commands).await?;
        let schema = optional(replies.pop().unwrap_or(Value::Nil), number).map_err(|it| self.failures.of_reply(&it))?;
        match schema {
            Some(schema) if schema > SCHEMA => Err(self.failures.of_schema(schema, SCHEMA)),
            _ => Ok(replies),
        }
    }

    async fn send(&self, commands: Vec<Cmd>) -> Result<Vec<Value>, StoreError> {
        let (mut connection, number) = self.connection().await?;
        let replies = match exchange(&mut connection, commands).await {
            Ok(replies) => replies.into_iter().map(Value::extract_error).collect(),
            Err(error) => Err(error),
        };
        match replies {
            Ok(replies) => Ok(replies),
            Err(error) => {
                if Failures::is_of_connection(&error) {
                    self.drop_connection(number).await;
                }
                Err(self.failures.of(error))
            }
        }
    }

    /// What the server says of itself, if it does so.
    pub(super) async fn setup(self: &Arc<Self>) -> Setup {
        let link = Arc::clone(self);
        let asking = async move {
            let (mut connection, _) = link.connection().await.ok()?;
            let info = redis::cmd("INFO").query_async::<InfoDict>(&mut connection).await.ok();
            let save =
                redis::cmd("CONFIG").arg("GET").arg("save").query_async::<(String, String)>(&mut connection).await;
            Some(Setup::new(info, save.ok().map(|(_, save)| save)))
        };
        self.threads.run(async { timeout(CONNECT, asking).await }).await.ok().flatten().unwrap_or_default()
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), StoreError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((connection.clone(), slot.number));
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = connection.map_err(|error| self.failures.of(error))?;
        slot.number += 1;
        slot.connection = Some(connection.clone());
        Ok((connection, slot.number))
    }

    async fn drop_connection(&self, number: u64) {
        let mut slot = self.connection.lock().await;
        if slot.number == number {
            slot.connection = None;
        }
    }
}

/// Sends commands; once more after their scripts those that a server has refused for not knowing them.
async fn exchange(connection: &mut MultiplexedConnection, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
    let is_unknown = |reply: &Value| matches!(reply, Value::ServerError(error) if error.code() == "NOSCRIPT");
    let commands = pipeline(commands);
    let mut replies: Vec<Value> = commands.query_async(connection).await?;
    if replies.iter().any(is_unknown) {
        let again = commands.cmd_iter().zip(&replies).filter(|(_, reply)| is_unknown(reply)).map(|(it, _)| it.clone());
        let again: Vec<Value> = pipeline(script::load().chain(again)).query_async(connection).await?;
        let unknown: Vec<&mut Value> = replies.iter_mut().filter(|reply| is_unknown(reply)).collect();
        for (reply, again) in unknown.into_iter().rev().zip(again.into_iter().rev()) {
            *reply = again;
        }
    }
    Ok(replies)
}

fn pipeline(commands: impl IntoIterator<Item = Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline.ignore_errors();
    pipeline
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("place", &self.failures.place()).finish_non_exhaustive()
    }
}
