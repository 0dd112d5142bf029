//! How changes by others are heard of.

use std::{
    future::{Future, IntoFuture},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::mongodb::{
    Collection,
    bson::{Bson, Document as Bsons, doc},
    error::Error,
};
use event_listener::Event;
use futures_util::TryStreamExt;
use scheduler_core::store::{Changed, Hint, StoreError};

use super::server::{PATIENCE, Server};
use crate::{noted, private_tokio::AbortOnDrop};

/// How long the server holds a question for changes back, if there are none; less than a call may take.
const AWAIT: Duration = Duration::from_secs(5);

/// How long the watcher waits before it opens a stream anew that has broken.
const PAUSE: Duration = Duration::from_secs(1);

/// Hears of changes by a change stream. It starts with the first question and stops when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Watch {
    heard: Arc<Heard>,
    task: Mutex<Option<AbortOnDrop<()>>>,
}

#[derive(Debug, Default)]
struct Heard {
    /// The counter of changes, as it was read last; 0 before that.
    changes: AtomicU64,
    event: Event,
}

impl Watch {
    /// The next change after `seen`.
    pub(super) async fn next(&self, server: &Server, seen: u64) -> Result<Changed, StoreError> {
        self.start(server);
        if seen == 0 {
            return Ok(Changed { seen: read(server).await?, hint: Some(Hint::Resync) });
        }
        loop {
            // Listening starts before the look, so that no change falls in between.
            let listener = self.heard.event.listen();
            let changes = self.heard.changes.load(Ordering::Acquire);
            if changes != 0 && changes != seen {
                return Ok(Changed { seen: changes, hint: Some(Hint::Resync) });
            }
            listener.await;
        }
    }

    fn start(&self, server: &Server) {
        let mut task = self.task.lock().expect("nothing panics while it holds the task");
        if task.is_none() {
            *task = Some(server.tokio().spawn(follow(server.meta.clone(), self.heard.clone())));
        }
    }
}

/// Keeps up with the counter, for ever. What changes while there is no stream shows when the next one is opened.
async fn follow(meta: Collection<Bsons>, heard: Arc<Heard>) {
    loop {
        // The engine learns of a server that is away from its own calls.
        let _: Result<(), Error> = follow_one(&meta, &heard).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow_one(meta: &Collection<Bsons>, heard: &Heard) -> Result<(), Error> {
    let noted = doc! { "documentKey._id": { "$regex": "^changes" }, "operationType": { "$ne": "delete" } };
    let changes = [doc! { "$match": noted }];
    let mut stream = in_time(meta.watch().pipeline(changes).max_await_time(AWAIT).into_future()).await?;
    loop {
        let changes = in_time(look(meta)).await?;
        if heard.changes.swap(changes, Ordering::AcqRel) != changes {
            heard.event.notify(usize::MAX);
        }
        while in_time(stream.next_if_any()).await?.is_none() {
            if !stream.is_alive() {
                return Ok(());
            }
        }
    }
}

/// A connection that nothing comes through any more is as good as none.
async fn in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Err(Error::custom("the server did not answer in time"));
    tokio::time::timeout(PATIENCE, call).await.unwrap_or_else(late)
}

/// The counter of changes.
pub(super) async fn read(server: &Server) -> Result<u64, StoreError> {
    let meta = server.meta.clone();
    server.run(async move { look(&meta).await }).await
}

/// The counter of changes with those that applications have noted, of which many are removed. Never 0, which is what a first call
/// has seen.
async fn look(meta: &Collection<Bsons>) -> Result<u64, Error> {
    let of_changes = doc! { "_id": { "$gte": noted::COUNT, "$lt": "changet" } };
    let found: Vec<Bsons> = meta.find(of_changes).await?.try_collect().await?;
    let (count, notes): (Vec<&Bsons>, Vec<&Bsons>) =
        found.iter().partition(|bsons| bsons.get_str("_id").is_ok_and(|key| key == noted::COUNT));
    let notes: Vec<String> = notes.iter().filter_map(|bsons| bsons.get_str("_id").ok()).map(str::to_owned).collect();
    let seen = noted::seen(counter(count.first().copied()), &notes);
    if notes.len() > noted::KEPT {
        meta.delete_many(doc! { "_id": { "$in": notes } }).await?;
    }
    Ok(seen.max(1))
}

fn counter(changes: Option<&Bsons>) -> u64 {
    let value = match changes.and_then(|changes| changes.get("value")) {
        Some(Bson::Int64(value)) => *value,
        Some(Bson::Int32(value)) => i64::from(*value),
        Some(Bson::Double(value)) => *value as i64,
        _ => 1,
    };
    value.cast_unsigned().max(1)
}
