//! The connection on which a store hears of changes.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::DateTime;
use event_listener::Event;
use futures_util::StreamExt;
use redis::aio::PubSub;
use scheduler_core::store::{Changed, Hint, StoreError};
use tokio::time::{sleep, timeout};

use super::connection::{ANSWER, CONNECT, Link};
use crate::{changes::Changes, private_tokio::AbortOnDrop};

/// After a silence of this length the server is asked whether it is still there, since a cut wire says nothing.
const SILENCE: Duration = Duration::from_secs(15);
/// The pause before the next attempt to connect.
const PAUSE: Duration = Duration::from_millis(500);

/// Hears of changes from the first call of `changed` on.
#[derive(Debug)]
pub(super) struct Watch {
    link: Arc<Link>,
    heard: Arc<Heard>,
    task: Mutex<Option<AbortOnDrop<()>>>,
}

/// What has been heard.
#[derive(Debug, Default)]
struct Heard {
    state: Mutex<State>,
    changed: Event,
}

#[derive(Debug, Default)]
struct State {
    changes: Changes,
    ear: Ear,
}

/// How it stands with the connection.
#[derive(Debug, Default)]
enum Ear {
    /// It has not been made yet.
    #[default]
    Opening,
    /// It has been made, and is made again whenever it breaks.
    Open,
    /// The first attempt has failed.
    Failed(StoreError),
}

impl Watch {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, heard: Arc::default(), task: Mutex::default() }
    }

    /// What changed after `seen`. Fails if there is no connection to hear of it and never was.
    pub(super) async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        self.start();
        loop {
            // Listening starts before the look, so that no change falls in between.
            let listener = self.heard.changed.listen();
            if let Some(change) = self.heard.since(seen)? {
                return Ok(change);
            }
            listener.await;
        }
    }

    fn start(&self) {
        let mut task = self.task.lock().expect("nothing panics while it holds the task");
        if task.is_none() {
            let listening = listen(Arc::clone(&self.link), Arc::clone(&self.heard));
            *task = Some(self.link.threads.spawn(listening));
        }
    }
}

impl Heard {
    /// What changed after `seen`. Nothing can be said before the connection is made, as a change could be missed.
    fn since(&self, seen: u64) -> Result<Option<Changed>, StoreError> {
        let mut state = self.state.lock().expect("nothing panics while it holds the state");
        match std::mem::take(&mut state.ear) {
            Ear::Opening => return Ok(None),
            // The next caller waits for the next attempt.
            Ear::Failed(error) => return Err(error),
            Ear::Open => state.ear = Ear::Open,
        }
        Ok(state.changes.since(seen))
    }

    fn note(&self, hint: Hint) {
        self.update(|state| state.changes.note(hint));
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("nothing panics while it holds the state"));
        self.changed.notify(usize::MAX);
    }
}

/// Listens for as long as the store lives.
async fn listen(link: Arc<Link>, heard: Arc<Heard>) {
    loop {
        match subscribe(&link).await {
            Ok(channel) => {
                heard.update(|state| match state.ear {
                    Ear::Open => state.changes.note(Hint::Resync),
                    _ => state.ear = Ear::Open,
                });
                hear(channel, &heard).await;
            }
            Err(error) => heard.update(|state| {
                if !matches!(state.ear, Ear::Open) {
                    state.ear = Ear::Failed(error);
                }
            }),
        }
        sleep(PAUSE).await;
    }
}

async fn subscribe(link: &Link) -> Result<PubSub, StoreError> {
    let connecting = async {
        let mut channel = link.client.get_async_pubsub().await?;
        channel.subscribe(link.names.key("changes")).await?;
        Ok(channel)
    };
    let connected = timeout(CONNECT, connecting).await.map_err(|_| link.failures.of_silence(CONNECT))?;
    connected.map_err(|error| link.failures.of(error))
}

/// Takes messages until the connection breaks.
async fn hear(channel: PubSub, heard: &Heard) {
    let (mut sink, stream) = channel.split();
    let mut stream = pin!(stream);
    loop {
        match timeout(SILENCE, stream.next()).await {
            Ok(Some(message)) => heard.note(hint(message.get_payload_bytes())),
            Ok(None) => return,
            Err(_) => match timeout(ANSWER, sink.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                _ => return,
            },
        }
    }
}

/// What a message says; one that is of another make says that something has changed.
fn hint(message: &[u8]) -> Hint {
    let text = String::from_utf8_lossy(message);
    let due = |time: &str| Some(Hint::Due(DateTime::from_timestamp_micros(time.parse().ok()?)?));
    match text.split_once(' ') {
        Some(("due", time)) => due(time).unwrap_or(Hint::Resync),
        Some(("cancel", node)) => Hint::Cancel(node.into()),
        _ => Hint::Resync,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_any_make_are_understood() {
        let time = DateTime::from_timestamp_micros(1_795_251_600_123_456).unwrap();
        assert_eq!(hint(b"due 1795251600123456"), Hint::Due(time));
        assert_eq!(hint(b"cancel node a"), Hint::Cancel("node a".into()));
        for other in [&b"resync"[..], b"", b"due", b"due soon", b"due 99999999999999999999", b"\xff\xfe", b"hello all"]
        {
            assert_eq!(hint(other), Hint::Resync);
        }
    }
}
