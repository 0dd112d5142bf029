//! The collections of one store, and how calls reach them.

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::mongodb::{
    Client, Collection, Database,
    bson::{Bson, Document as Bsons, RawArrayBuf, RawDocumentBuf, doc, raw::cstr, rawdoc},
    error::Error,
    options::{CollectionOptions, ReadPreference, SelectionCriteria, WriteConcern},
};
use futures_util::TryStreamExt;
use scheduler_core::store::{StoreError, StoreErrorKind};

use super::failure::Failures;
use crate::private_tokio::PrivateTokio;

/// How long a call may take: longer than the driver looks for a server, so that its word on that is heard.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How many bytes of writes one command carries; the server takes 16 MiB.
const COMMAND_BYTES: usize = 12 << 20;

/// The largest document that the server takes, and so the largest write.
const DOCUMENT_BYTES: usize = 16 << 20;

/// The collections of one store. Clones share their connections.
#[derive(Clone)]
pub(super) struct Server {
    tokio: PrivateTokio,
    database: Database,
    write_concern: WriteConcern,
    pub(super) jobs: Collection<Bsons>,
    pub(super) runs: Collection<Bsons>,
    pub(super) nodes: Collection<Bsons>,
    pub(super) meta: Collection<Bsons>,
    pub(super) failures: Failures,
    versions: Arc<Versions>,
}

/// Draws versions of documents, of which each write gets its own.
#[derive(Default)]
struct Versions {
    random: RandomState,
    drawn: AtomicU64,
}

/// Which kind of write a batch has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Writes {
    Update,
    Delete,
}

/// What a search finds at most, and in which order.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) sort: Option<Bsons>,
    pub(super) limit: Option<usize>,
    pub(super) projection: Option<Bsons>,
    pub(super) hint: Option<Bsons>,
}

impl Server {
    pub(super) fn new(tokio: PrivateTokio, client: &Client, database: &str, prefix: &str, failures: Failures) -> Self {
        let database = client.database(database);
        let write_concern = database.write_concern().cloned().unwrap_or_else(WriteConcern::majority);
        let options = CollectionOptions::builder()
            .write_concern(write_concern.clone())
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            .build();
        let collection = |name: &str| database.collection_with_options(&format!("{prefix}{name}"), options.clone());
        Self {
            jobs: collection("jobs"),
            runs: collection("runs"),
            nodes: collection("nodes"),
            meta: collection("meta"),
            tokio,
            database,
            write_concern,
            failures,
            versions: Arc::default(),
        }
    }

    pub(super) fn tokio(&self) -> &PrivateTokio {
        &self.tokio
    }

    /// Runs a call on the private threads, for a bounded time.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.tokio.run(async { tokio::time::timeout(PATIENCE, call).await }).await {
            Ok(reply) => reply.map_err(|error| self.failures.of(error)),
            Err(_) => {
                let message = format!("it did not answer within {} s; the call will be repeated", PATIENCE.as_secs());
                Err(self.failures.with(StoreErrorKind::Unavailable, &message))
            }
        }
    }

    /// A version that no other write has.
    pub(super) fn version(&self) -> i64 {
        let hash = self.versions.random.hash_one(self.versions.drawn.fetch_add(1, Ordering::Relaxed));
        (hash >> 1).cast_signed().max(1)
    }

    /// What the server says of itself.
    pub(super) async fn hello(&self) -> Result<Bsons, StoreError> {
        let database = self.database.clone();
        self.run(async move { database.run_command(doc! { "hello": 1 }).await }).await
    }

    pub(super) async fn find(
        &self,
        collection: &Collection<Bsons>,
        query: Bsons,
        page: Page,
    ) -> Result<Vec<Bsons>, StoreError> {
        let collection = collection.clone();
        self.run(async move {
            let mut find = collection.find(query);
            if let Some(sort) = page.sort {
                find = find.sort(sort);
            }
            if let Some(projection) = page.projection {
                find = find.projection(projection);
            }
            if let Some(hint) = page.hint {
                find = find.hint(::mongodb::options::Hint::Keys(hint));
            }
            if let Some(limit) = page.limit {
                find = find.limit(i64::try_from(limit).unwrap_or(i64::MAX));
            }
            // All in one reply, if it has the room.
            let size = page.limit.unwrap_or(usize::MAX).min(100_000);
            find.batch_size(u32::try_from(size).unwrap_or(u32::MAX)).await?.try_collect().await
        })
        .await
    }

    /// Sends writes, each by itself, and gives back how many
    /// of them have found their document.
    pub(super) async fn write(
        &self,
        kind: Writes,
        collection: &Collection<Bsons>,
        writes: &[Bsons],
    ) -> Result<usize, StoreError> {
        let mut found = 0;
        for (first, chunk) in self.chunks(writes)? {
            let (command, field) = match kind {
                Writes::Update => (cstr!("update"), cstr!("updates")),
                Writes::Delete => (cstr!("delete"), cstr!("deletes")),
            };
            let mut command = rawdoc! { command: collection.name(), "ordered": false };
            command.append(field, chunk);
            let concern = ::mongodb::bson::serialize_to_raw_document_buf(&self.write_concern);
            command.append(cstr!("writeConcern"), concern.map_err(|error| self.failures.of_bson(error))?);
            let database = self.database.clone();
            let reply = self.run(async move { database.run_raw_command(command).await }).await?;
            found += self.judge(&reply, first)?;
        }
        Ok(found)
    }

    /// The writes in as many commands as they need, each with the number of its first one.
    fn chunks(&self, writes: &[Bsons]) -> Result<Vec<(usize, RawArrayBuf)>, StoreError> {
        let mut chunks: Vec<(usize, RawArrayBuf)> = Vec::new();
        let mut bytes = usize::MAX;
        for (item, write) in writes.iter().enumerate() {
            let write =
                RawDocumentBuf::try_from(write).map_err(|error| self.failures.of_bson(error).with_item(item))?;
            let size = write.as_bytes().len();
            if size > DOCUMENT_BYTES {
                let message = format!("a document would have {size} bytes, and the server takes 16 MiB");
                return Err(self.failures.with(StoreErrorKind::TooLarge, &message).with_item(item));
            }
            bytes = bytes.saturating_add(size);
            if bytes > COMMAND_BYTES {
                chunks.push((item, RawArrayBuf::new()));
                bytes = size;
            }
            if let Some((_, chunk)) = chunks.last_mut() {
                chunk.push(write);
            }
        }
        Ok(chunks)
    }

    /// How many documents a command of writes has found, if none went wrong.
    fn judge(&self, reply: &Bsons, first: usize) -> Result<usize, StoreError> {
        let number = |bson: Option<&Bson>| match bson {
            Some(Bson::Int32(number)) => usize::try_from(*number).ok(),
            Some(Bson::Int64(number)) => usize::try_from(*number).ok(),
            Some(Bson::Double(number)) => Some(*number as usize),
            _ => None,
        };
        if let Some(Bson::Document(error)) = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()) {
            let item = first + number(error.get("index")).unwrap_or_default();
            let message = error.get_str("errmsg").unwrap_or_default();
            return Err(self.failures.of_write(error.get_i32("code").unwrap_or_default(), message, item));
        }
        if let Ok(error) = reply.get_document("writeConcernError") {
            let message = format!("what was written may be lost again: {error}");
            return Err(self.failures.with(StoreErrorKind::Unavailable, &message));
        }
        Ok(number(reply.get("n")).unwrap_or_default())
    }
}
