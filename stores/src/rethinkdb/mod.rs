//! Jobs in RethinkDB.

mod client;
mod failure;
mod find;
mod ids;
mod options;
mod rows;
mod schema;
mod search;
mod watch;
mod write;

use std::{collections::BTreeSet, fmt};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use scheduler_core::forward_job_store;
use scheduler_core::{
    JobId, NodeId, Run, Uid,
    store::{Changed, Claim, Clock, Declined, Durability, Hint, StoreError, StoreLimits, Wakes},
};
use unreql::cmd::connect;

pub use self::options::RethinkDbOptions;
use self::{client::Client, schema::Tables, watch::Watch};
use crate::kit::{
    Access, Archive, Backend, Document, HoldKind, Inserting, JobFinder, KitStore, LoadedJob, NewJob, Node, Nodes,
    Replace, Session,
    rules::{earlier, whole_micros},
};

/// Keeps jobs in RethinkDB, which any number of processes can share.
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::RethinkDbStore;
///
/// let store = RethinkDbStore::connect("rethinkdb://user:password@one,two/app").await?;
/// # Ok(())
/// # }
/// ```
///
/// Database, tables and indexes are created if they are not there. Clones share their sessions. It works inside of every
/// runtime and without one, since the driver waits on a thread of its own.
///
/// It is written for RethinkDB 2.3 and 2.4 and **tested against reqlite 2.3.0 only**, an imitation of the server in one
/// process and in memory: the server itself could not be had. What reqlite does not have has not been seen at work:
/// passwords and permissions, several servers and majorities, disks, and concurrent clients, whose queries the tests let
/// it run one after the other because its writes are not atomic.
///
/// # Durability
///
/// Each write counts when it is on disk (`durability: hard`) at as many replicas as the table's `write_acks` say, by default
/// a majority; reads see what a majority has (`read_mode: majority`). A query that takes longer than
/// [`RethinkDbOptions::timeout`], and any on a connection that is lost, fails as
/// [`Unavailable`](scheduler_core::store::StoreErrorKind::Unavailable); the next one connects again. The connection is not
/// encrypted, since the driver knows no TLS; between data centres, take a tunnel.
///
/// Two servers of a cluster that are asked at the same moment can make a table twice, under one name. Give all nodes the
/// same servers in the same order, so that they ask the same one, or start one node before the others.
///
/// # Tables
///
/// Other programs may read them, and add jobs. Times are whole microseconds since 1970 in UTC. The names begin with the
/// prefix of [`RethinkDbOptions::table_prefix`], by default `scheduler_`.
///
/// | table | a row is | key |
/// |---|---|---|
/// | `scheduler_jobs` | a job with its open runs | `uid`, 32 hexadecimal digits |
/// | `scheduler_ids` | whose an id is: the `uid` and the `ticket` of the job, and the id as `job` | `id`, which is `r.uuid` of the job's id |
/// | `scheduler_runs` | an ended fire time of a job, or a range of given-up ones | `id`, the uid, a hyphen and `seq` in 16 hexadecimal digits |
/// | `scheduler_nodes` | a scheduler that holds a claim or a running run | `id` |
/// | `scheduler_meta` | `schema`, the version of these tables; `changes`, a number that differs after each change | `id` |
///
/// A job has the fields `id`; `body`, its definition as JSON text ([`JobBody`](scheduler_core::JobBody)); `task`, `v`,
/// `max_instances` and `history`, copies from it that have to agree with it; `state`, `next_fire_time`, `due` and so on, as
/// the other stores have them in columns; `runs`, its open runs; and `version`, which grows with each write: whoever
/// changes a document counts it up. `tags`, a list, are a copy of those of the definition, by which searches look: who adds a job with tags
/// adds these, too. `id` is unique among the jobs whose `state` is neither `ending` nor `removed`. A
/// document that has `pending` is one that is being added. A number that a float cannot keep is an object,
/// as in `{"$number": "9007199254740993"}`.
///
/// To add a job, insert it, and then write another number into `changes`; a job whose id is taken is to be looked for
/// before, in the index `live_id`. Two programs that add the same id in the same moment both succeed if they do not go
/// through `scheduler_ids`; what the stores add does.
///
/// ```js
/// r.table('scheduler_jobs').insert({uid: '8c5cd7e2ab6c4f1e93a8b7d2f1a0c3e4', id: 'report',
///     body: '{"v": 1, "task": "report", "trigger": {"type": "date", "at": "2027-01-01T09:00:00Z"}}',
///     task: 'report', v: 1, next_fire_time: 1798794000000000, due: 1798794000000000})
/// r.table('scheduler_meta').get('changes').update({value: r.row('value').add(1)})
/// ```
///
/// A document that cannot be read is never deleted: it is listed as it is, and set to `state` `quarantined` with a `reason`
/// when it would be due.
#[derive(Clone, Debug)]
#[doc(alias = "RethinkDBJobStore")]
pub struct RethinkDbStore {
    store: KitStore,
}

forward_job_store!(RethinkDbStore => |this| this.store);

impl RethinkDbStore {
    /// Connects to the first server that answers, as in `rethinkdb://user:password@one,two:28016/app`; see
    /// [`RethinkDbOptions::connect`].
    ///
    /// # Errors
    ///
    /// The URL is not valid, no server can be reached, the password is wrong, or the tables are of a newer version.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        RethinkDbOptions::new().connect(url).await
    }

    /// Connects with options of the driver; see [`RethinkDbOptions::connect_with`].
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(options: connect::Options) -> Result<Self, StoreError> {
        RethinkDbOptions::new().connect_with(options).await
    }

    async fn open(options: RethinkDbOptions, servers: Vec<connect::Options>) -> Result<Self, StoreError> {
        let database = servers.first().map(|server| server.db.clone()).unwrap_or_default();
        let tables = Tables::new(&database, &options.prefix);
        let client = Client::new(servers, options.timeout);
        schema::prepare(&client, &tables).await?;
        let database = Database { client, tables, options, watch: Watch::default() };
        database.tidy().await?;
        Ok(Self { store: KitStore::new(database) })
    }
}

/// The tables of a store, and how they are reached.
struct Database {
    client: Client,
    tables: Tables,
    options: RethinkDbOptions,
    watch: Watch,
}

impl Database {
    /// The most jobs, moves or entries of one call: what a query carries within a second.
    const BATCH: usize = 500;
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("place", &self.client.failures.place())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for Database {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(self.options.clock, Wakes::Push, Durability::Durable)
            .with_payload(self.options.payload)
            .with_batch(Self::BATCH)
    }

    fn place(&self) -> String {
        self.client.failures.place().to_owned()
    }

    async fn begin(&self) -> Result<Box<dyn Session + '_>, StoreError> {
        Ok(Box::new(self))
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        self.watch.changed(&self.client, &self.tables, seen).await
    }
}

#[async_trait]
impl Session for &Database {
    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        match self.options.clock {
            Clock::Server => self.server_now().await,
            Clock::Caller => Ok(whole_micros(at)),
        }
    }

    async fn insert(&self, jobs: &[NewJob<'_>]) -> Result<Vec<Inserting>, StoreError> {
        let documents: Vec<Document> = jobs.iter().map(Document::inserted).collect();
        self.add_all(&documents).await
    }

    async fn by_key(&self, keys: &BTreeSet<String>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        Ok(LoadedJob::all(self.documents_by_key(keys).await?))
    }

    async fn by_live_id(&self, ids: &BTreeSet<JobId>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        Ok(LoadedJob::all(self.documents_by_live_id(ids).await?))
    }

    async fn list(&self, after: Option<&JobId>, limit: usize, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        Ok(LoadedJob::all(self.page(after, limit).await?))
    }

    async fn write(&self, jobs: &[&LoadedJob], now: DateTime<Utc>) -> Result<Vec<bool>, StoreError> {
        let replacements = Replace::all(jobs, now);
        self.replace_all(&replacements).await
    }

    async fn due(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        Ok(LoadedJob::all(self.due_for(claim, since, now, limit).await?))
    }

    async fn next(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        _: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (due, claim_end) = try_join(self.next_due(claim, now), self.next_claim_end(claim)).await?;
        Ok(earlier(due, claim_end))
    }

    async fn expired(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<LoadedJob>, StoreError> {
        Ok(LoadedJob::all(self.expired_by(now, limit).await?))
    }

    async fn declined(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Declined>, StoreError> {
        self.left_alone(claim, now, limit).await
    }

    async fn held_by(
        &self,
        node: &NodeId,
        hold: HoldKind,
        limit: usize,
        _: Access,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        Ok(LoadedJob::all(self.held(node, hold, limit).await?))
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        let (known, running) = try_join(self.known_nodes(), self.running_nodes()).await?;
        Ok(Nodes { known, running })
    }

    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        self.one_node(id).await
    }

    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        self.write_node(node).await
    }

    async fn remove_node(&self, node: &Node) -> Result<bool, StoreError> {
        self.delete_node(node).await
    }

    async fn ended(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        self.archived_runs(runs).await
    }

    async fn history(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.runs_page(uid, before, limit).await
    }

    fn archive(&self) -> Option<&dyn Archive> {
        Some(self)
    }

    fn job_finder(&self) -> Option<&dyn JobFinder> {
        Some(self)
    }

    async fn announce(&self, _: &[Hint]) -> Result<(), StoreError> {
        self.note_change().await
    }
}

#[async_trait]
impl Archive for &Database {
    async fn archive(&self, runs: &[Run]) -> Result<(), StoreError> {
        self.archive_runs(runs).await
    }

    async fn prune(&self, below: &[(Uid, u64)]) -> Result<(), StoreError> {
        self.delete_runs(below).await
    }
}

impl Database {
    async fn next_due(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.due_after(claim, now).await
    }

    async fn next_claim_end(&self, claim: &Claim) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.claim_end(claim).await
    }

    async fn running_nodes(&self) -> Result<BTreeSet<NodeId>, StoreError> {
        self.running().await
    }

    async fn known_nodes(&self) -> Result<Vec<Node>, StoreError> {
        self.all_nodes().await
    }
}
