//! Jobs in MongoDB.

mod backend;
mod failure;
mod form;
mod guest;
mod options;
mod query;
mod runs;
mod schema;
mod search;
mod server;
mod watch;

use std::fmt;

use ::mongodb::Client;
use scheduler_core::store::StoreError;

pub use self::options::MongoDbOptions;
use self::{backend::Collections, server::Server, watch::Watch};
use crate::kit::KitStore;
use scheduler_core::forward_job_store;

/// Keeps jobs in MongoDB, shared by any number of nodes.
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::MongoDbStore;
///
/// let store = MongoDbStore::connect("mongodb://localhost:27017/app").await?;
/// # Ok(())
/// # }
/// ```
///
/// It works on a replica set, a sharded cluster and a stand-alone server of MongoDB 5.0 or newer, since it needs no
/// transactions: all of a job that has to change together is one document. The collections and their indexes are created
/// if they are not there. Clones share their connections.
///
/// It works under every runtime and under none: the driver needs tokio, and gets a thread of it that all such stores of a
/// process share. A call fails as unavailable after ten seconds at the latest; the driver connects again by itself.
///
/// # Durability, clock and waking
///
/// Writes count when a majority of the replica set has them, unless the URL says otherwise (`w`), and reads are from the
/// primary. The server's clock decides what is due; it has milliseconds, all times in documents are microseconds. A
/// replica set tells all nodes of changes through a change stream; a stand-alone server is asked for them, by default
/// each second.
///
/// # Documents
///
/// Other programs may read them, and add jobs. Times are whole microseconds since 1970 in UTC, as 64-bit integers. The
/// names begin with the prefix of [`MongoDbOptions::collection_prefix`], by default `scheduler_`.
///
/// | collection | a document is | `_id` |
/// |---|---|---|
/// | `scheduler_jobs` | a job with its open runs (`runs`) and those that ended last (`ended`) | the uid, 32 hexadecimal digits |
/// | `scheduler_runs` | an ended run, or a range of given-up fire times | uid and number |
/// | `scheduler_nodes` | a scheduler that holds a claim or a running run | its id |
/// | `scheduler_meta` | `schema`, the version of these documents; `changes`, a counter of changes | its name |
///
/// `body` is the definition as JSON text ([`JobBody`](scheduler_core::JobBody)); `task`, `v`, `max_instances` and
/// `history` are copies from it, and have to agree with it. `live_id` is the `id` for as long as the job is not over,
/// and is unique. `tags`, a list of them, are a copy by which searches look: who adds a job with tags adds these, too.
/// `fired` and `marked` name the runs in the document for searches, and are the store's to write. Who changes a
/// document gives it another `version`, or takes that away. To add a job, insert `_id`, `id`, `live_id`, `body`,
/// `task`, `v`, `next_fire_time` and `due`, and then count up `changes`:
///
/// ```js
/// const uid = Array.from({ length: 32 }, () => "0123456789abcdef"[Math.floor(Math.random() * 16)]).join("")
/// const at = NumberLong("1798794000000000")
/// db.scheduler_jobs.insertOne({ _id: uid, id: "report", live_id: "report", task: "report", v: NumberLong(1),
///     body: '{"v": 1, "task": "report", "trigger": {"type": "date", "at": "2027-01-01T09:00:00Z"}}',
///     next_fire_time: at, due: at })
/// db.scheduler_meta.updateOne({ _id: "changes" }, { $inc: { value: NumberLong(1) } })
/// ```
///
/// A scheduler adds one in a transaction of the application's (`add_job_in`), where it is a replica set. Such a transaction notes its
/// change in a document of its own, `changes` with a random number, which nodes see as well and remove when they are many.
///
/// A document that cannot be read is never deleted: it is listed as it is, and set to `state` `quarantined` with a
/// `reason` when it would be due. Fields that the store does not know stay as they are.
#[derive(Clone)]
#[doc(alias = "MongoDBJobStore")]
pub struct MongoDbStore {
    store: KitStore,
}

impl MongoDbStore {
    /// Connects to the servers of a URL; see [`MongoDbOptions::connect`].
    ///
    /// # Errors
    ///
    /// The URL is not valid, no server can be reached, or the collections are those of a newer version.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        MongoDbOptions::new().connect(url).await
    }

    /// Uses a client of the application; see [`MongoDbOptions::from_client`].
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_client(client: &Client) -> Result<Self, StoreError> {
        MongoDbOptions::new().from_client(client).await
    }

    async fn open(server: Server, options: MongoDbOptions) -> Result<Self, StoreError> {
        schema::prepare(&server, &options.prefix).await?;
        let hello = server.hello().await?;
        // Members of a replica set and routers of a sharded cluster have change streams.
        let has_streams = hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|it| it == "isdbgrid");
        let watch = has_streams.then(Watch::default);
        Ok(Self { store: KitStore::new(Collections { server, options, watch }) })
    }
}

impl fmt::Debug for MongoDbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MongoDbStore").field(&self.store).finish()
    }
}

forward_job_store!(MongoDbStore => |this| this.store);
