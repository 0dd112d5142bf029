//! How a node hears of changes: a feed of the row that is written with each of them.

use std::{pin::Pin, time::Duration};

use async_lock::Mutex;
use futures_util::{Stream, StreamExt};
use scheduler_core::store::{Changed, Hint, StoreError};
use serde_json::Value;
use unreql::{Error, cmd::options::ChangesOptions, r};

use super::{
    client::{Client, run_options, within},
    schema::Tables,
};

/// For how long a feed may be silent before it is made anew: a dead connection is not reported.
const SILENCE: Duration = Duration::from_secs(60);

/// A feed on a session of its own, which is made again when it breaks.
#[derive(Default)]
pub(super) struct Watch {
    feed: Mutex<Option<Feed>>,
}

struct Feed {
    rows: Pin<Box<dyn Stream<Item = Result<Value, Error>> + Send>>,
    /// The number of the latest change.
    latest: u64,
}

impl Watch {
    /// Waits until the number of the latest change is not the one that was seen.
    ///
    /// The first row of a new feed is the one that is there, so that what happens between two feeds is not missed. If this
    /// is dropped, the feed stays as it is.
    pub(super) async fn changed(&self, client: &Client, tables: &Tables, seen: u64) -> Result<Changed, StoreError> {
        let mut kept = self.feed.lock().await;
        loop {
            let feed = match kept.take() {
                Some(feed) => feed,
                None => Feed::open(client, tables).await?,
            };
            if feed.latest != seen {
                let latest = feed.latest;
                *kept = Some(feed);
                return Ok(Changed { seen: latest, hint: Some(Hint::Resync) });
            }
            let feed = kept.insert(feed);
            match within(SILENCE, feed.rows.next()).await {
                Some(Some(Ok(row))) => feed.latest = number(&row["new_val"]),
                Some(Some(Err(error))) => {
                    *kept = None;
                    return Err(client.failures.of(error));
                }
                Some(None) => {
                    *kept = None;
                    return Err(client.failures.unavailable("the feed of changes has ended"));
                }
                None => *kept = None,
            }
        }
    }
}

impl Feed {
    async fn open(client: &Client, tables: &Tables) -> Result<Self, StoreError> {
        let session = client.connect().await?;
        let options = ChangesOptions::new().include_initial(true);
        let changes = tables.changes().changes(r.with_opt((), options));
        let connection = session.connection().map_err(|error| client.failures.of(error))?;
        let mut rows = Box::pin(changes.run::<_, Value>(r.args((connection, run_options()))));
        match client.bounded(rows.next()).await {
            Some(Some(Ok(row))) => Ok(Self { latest: number(&row["new_val"]), rows }),
            Some(Some(Err(error))) => Err(client.failures.of(error)),
            Some(None) => Err(client.failures.unavailable("the feed of changes has ended")),
            None => Err(client.late("no feed of changes")),
        }
    }
}

/// The number of a change; one that is none differs from what a first call has seen, too.
fn number(row: &Value) -> u64 {
    row["value"].as_f64().map_or(1, |value| value as u64).max(1)
}
