//! What a database has to do for jobs that are kept as documents.

use std::{collections::BTreeSet, fmt};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, NodeId, Run, Uid,
    store::{Changed, Claim, Declined, StoreError, StoreLimits},
};
use serde_json::{Map, Value};

/// A place for documents: one for each job with its open runs, one for each node, and rows of ended runs.
///
/// All that is asked of the database is that writing one document, together with what it is found by, is atomic and goes
/// through only if nobody has written it since it was read. Everything else is done by
/// [`DocumentStore`](super::DocumentStore), the same for each database.
///
/// Any error may mean that the call was applied or not; the verb that made it is repeated.
#[async_trait]
pub(crate) trait Shelf: fmt::Debug + Send + Sync + 'static {
    /// What the store can do; see [`JobStore::limits`](scheduler_core::JobStore::limits).
    fn limits(&self) -> StoreLimits;

    /// The database's name and address, for the head of a message.
    fn place(&self) -> String;

    /// The database's time in whole microseconds; `at`, the caller's, if the database has none.
    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError>;

    /// Adds documents of live jobs, each by itself and in this order, if neither its key nor its live id is there.
    async fn add(&self, documents: &[Document]) -> Result<Vec<Added>, StoreError>;

    /// The documents with these keys that are there, in any order.
    async fn by_key(&self, keys: &BTreeSet<String>) -> Result<Vec<Document>, StoreError>;

    /// The documents with these live ids that are there, in any order.
    async fn by_live_id(&self, ids: &BTreeSet<JobId>) -> Result<Vec<Document>, StoreError>;

    /// A page of the documents with a live id, by the bytes of that, from after the given one.
    async fn list(&self, after: Option<&JobId>, limit: usize) -> Result<Vec<Document>, StoreError>;

    /// Writes documents, each by itself, if it is in the database as it was read. True for those that it was.
    async fn replace(&self, replacements: &[Replace]) -> Result<Vec<bool>, StoreError>;

    /// The due documents that the claim can take (see [`Index::is_for`] and [`Index::is_free`]), in the order of (`due`, `key`).
    async fn due(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Document>, StoreError>;

    /// The earliest `due` after `now` among the documents that are for the claim and not claimed by another node.
    async fn next_due(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// The earliest end of another node's claim among the documents that are for the claim.
    async fn next_claim_end(&self, claim: &Claim) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// The first due documents that nobody has claimed and that are not for the claim.
    async fn declined(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Declined>, StoreError>;

    /// The first documents that a node holds, in the order of their keys.
    async fn held_by(&self, node: &NodeId, hold: HoldKind, limit: usize) -> Result<Vec<Document>, StoreError>;

    /// The nodes that run something, by the documents; without a look at each document.
    async fn running_nodes(&self) -> Result<BTreeSet<NodeId>, StoreError>;

    /// All nodes.
    async fn nodes(&self) -> Result<Vec<Node>, StoreError>;

    /// One node.
    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError>;

    /// Writes a node if it is in the database as it was read (`version`), or not there if that is 0, and gives it back
    /// with its new version. None if it was not written.
    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError>;

    /// Deletes a node if it is in the database as it was read. False if not.
    async fn remove_node(&self, node: &Node) -> Result<bool, StoreError>;

    /// Writes rows of ended runs; those that are there already are the same.
    async fn file(&self, runs: &[Run]) -> Result<(), StoreError>;

    /// Filed runs by their job and number, in any order.
    async fn filed(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError>;

    /// A page of a job's filed runs with numbers below `before`, newest first.
    async fn filed_page(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError>;

    /// Deletes the filed runs of jobs with numbers below the given ones.
    async fn prune(&self, below: &[(Uid, u64)]) -> Result<(), StoreError>;

    /// Lets all nodes know that something has changed.
    async fn tell(&self) -> Result<(), StoreError>;

    /// Hears of that; see [`JobStore::changed`](scheduler_core::JobStore::changed).
    async fn changed(&self, seen: u64) -> Result<Changed, StoreError>;
}

/// A job with its open runs, as a JSON object; see [`document`](super::document) for its fields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    /// The text of the uid, which need not be one.
    pub(crate) key: String,
    /// The database's mark of what was read, which differs after each write; 0 if it was not read.
    pub(crate) version: u64,
    /// Everything else, `uid` included.
    pub(crate) fields: Map<String, Value>,
}

/// A document to be written in the place of another one.
#[derive(Debug)]
pub(crate) struct Replace {
    /// As it was read.
    pub(crate) old: Document,
    /// As it is to be; none to delete it. Key and id stay the same.
    pub(crate) new: Option<Document>,
}

/// What became of a document that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "what is added reads `Added` everywhere else, too")]
pub(crate) enum Added {
    /// It is in the database.
    Added,
    /// One with this key was there: it is the same call, repeated.
    KeyIsTaken,
    /// Another live job has the id.
    IdIsTaken,
}

/// How a node holds a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldKind {
    /// It has claimed the job.
    Claim,
    /// It runs a run of it.
    Run,
    /// It runs a run of it that is asked to stop.
    Asked,
}

/// What a document is found by; computed from its fields and written with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// The id, if the job is live.
    pub(crate) live_id: Option<JobId>,
    /// When a claim shall look at it. None of a quarantined one.
    pub(crate) due: Option<DateTime<Utc>>,
    /// The task and the version.
    pub(crate) task: String,
    pub(crate) v: i64,
    /// Who has claimed it, until when.
    pub(crate) claim: Option<(NodeId, DateTime<Utc>)>,
    /// The nodes that run a run of it.
    pub(crate) running: BTreeSet<NodeId>,
    /// Those of them that are asked to stop one.
    pub(crate) asked: BTreeSet<NodeId>,
}

impl Index {
    /// Whether the claim's node can run the job.
    pub(crate) fn is_for(&self, claim: &Claim) -> bool {
        self.v <= i64::from(claim.max_v) && claim.tasks.iter().any(|task| task.as_str() == self.task)
    }

    /// Whether the claim may take it: it is unclaimed, or the node's own, or past its claim if the claim adopts.
    pub(crate) fn is_free(&self, claim: &Claim, now: DateTime<Utc>) -> bool {
        let is_lapsed = |until: DateTime<Utc>| claim.lapsed_by(now).is_some_and(|by| until <= by);
        self.claim.as_ref().is_none_or(|(owner, until)| *owner == claim.owner || is_lapsed(*until))
    }
}

/// A node that holds something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// None once another node has begun to take it over.
    pub(crate) lease_until: Option<DateTime<Utc>>,
    pub(crate) last_claim_seq: u64,
    /// As in [`Document::version`].
    pub(crate) version: u64,
}
