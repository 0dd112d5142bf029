//! What a database has to do for the kit: access to data, and none of the rules.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, JobRow, NodeId, Run, RunId, Uid,
    store::{Changed, Claim, Declined, Hint, SqlStatement, StoreError, StoreErrorKind, StoreLimits},
};

use super::{
    job::LoadedJob,
    search::{JobFinder, RunFinder},
};

/// A database in which jobs are kept; [`KitStore`](super::KitStore) makes a job store of it.
///
/// `examples/redb_store` in the repository implements it for an embedded database, in a few hundred lines.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What the store can do; see [`JobStore::limits`](scheduler_core::JobStore::limits).
    fn limits(&self) -> StoreLimits;

    /// What the user of the store should know of how the server is set up; see
    /// [`JobStore::warnings`](scheduler_core::JobStore::warnings). None by default.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// The database's name and address, with which messages begin, as in `PostgreSQL at db.example.org:5432`.
    fn place(&self) -> String;

    /// Begins a verb. A database with transactions begins one; it ends with [`Session::commit`], and is undone if the session
    /// is dropped before.
    ///
    /// # Errors
    ///
    /// The database cannot be reached.
    async fn begin(&self) -> Result<Box<dyn Session + '_>, StoreError>;

    /// Begins a verb that reads and changes nothing. The same as [`begin`](Self::begin) by default.
    ///
    /// # Errors
    ///
    /// The database cannot be reached.
    async fn begin_reading(&self) -> Result<Box<dyn Session + '_>, StoreError> {
        self.begin().await
    }

    /// Begins a verb in a transaction of the application's, which is in a connection or session of the database's client. What
    /// the session writes is the application's to commit or undo: its [`commit`](Session::commit) only lets nodes know, when the
    /// application commits, of what was [announced](Session::announce). Refused by default.
    ///
    /// # Errors
    ///
    /// The transaction is not one of this database's, none is open, or the database cannot be reached.
    async fn begin_in<'t>(
        &'t self,
        transaction: &'t mut (dyn Any + Send),
    ) -> Result<Box<dyn Session + 't>, StoreError> {
        let _ = transaction;
        let message = format!(
            "{}: it takes part in no transaction of the application; SQLite, PostgreSQL, MySQL and MongoDB do: keep the job in \
             one of them, or add it by `add_job` after the commit",
            self.place()
        );
        Err(StoreError::new(StoreErrorKind::Incompatible, message))
    }

    /// The statements that add a job as [`Session::insert`] does and let nodes know of it, for another client of an SQL database.
    /// None by default.
    fn insertion(&self, job: &NewJob<'_>) -> Option<Vec<SqlStatement>> {
        let _ = job;
        None
    }

    /// Waits for the next change that another node has announced; see
    /// [`JobStore::changed`](scheduler_core::JobStore::changed).
    ///
    /// # Errors
    ///
    /// The database cannot be reached.
    async fn changed(&self, seen: u64) -> Result<Changed, StoreError>;

    /// What a node does last, after it has given up all that it held: as writing everything to one file. Nothing by default.
    async fn after_release(&self) {}
}

/// Access to the data during one verb.
///
/// A backend is asked for one of two things:
///
/// - Either the session is a transaction: what it loads in order to change it is locked until the end, so that its writes always
///   succeed.
/// - Or each job is written by itself, atomically together with what it is found by, and only if its record is still as it was
///   loaded. The kit loads and changes a job again whose write has failed for that reason.
///
/// Methods take `&self`, and the kit calls several of them at the same time where their order does not matter: a backend with a
/// pipeline sends them together, one with a transaction lets them wait for each other.
///
/// Any error may mean that the call was applied or not. The verb is repeated then, and the rules recognize what was applied.
#[async_trait]
pub trait Session: Send + Sync {
    /// The database's time in whole microseconds; `at`, the caller's, if the database has no clock.
    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError>;

    /// Adds jobs, each by itself and in this order, if neither its uid nor its live id is there.
    ///
    /// [`Head::inserted`](super::rules::Head::inserted) and [`Document::inserted`](super::Document::inserted) give what to
    /// write.
    async fn insert(&self, jobs: &[NewJob<'_>]) -> Result<Vec<Inserting>, StoreError>;

    /// The jobs with these keys that are there, in any order. A key is the text of a uid, or what else stands in its place.
    async fn by_key(&self, keys: &BTreeSet<String>, access: Access) -> Result<Vec<LoadedJob>, StoreError>;

    /// The jobs with these live ids that are there, in any order.
    async fn by_live_id(&self, ids: &BTreeSet<JobId>, access: Access) -> Result<Vec<LoadedJob>, StoreError>;

    /// A page of the jobs that have a live id, by the bytes of that, from after the given one.
    async fn list(&self, after: Option<&JobId>, limit: usize, access: Access) -> Result<Vec<LoadedJob>, StoreError>;

    /// Writes what has changed of loaded jobs, each by itself, and says for each whether it was written. One that another call
    /// has written since it was loaded is not.
    ///
    /// A backend whose [`archive`](Self::archive) is none writes all of it: the ended runs, the pruning and the deletion, too.
    async fn write(&self, jobs: &[&LoadedJob], now: DateTime<Utc>) -> Result<Vec<bool>, StoreError>;

    /// The version that a job has after its record of this version was [written](Self::write), if that is certain. The kit then
    /// need not load the jobs that the node holds before it changes them again. None by default; a transaction is not asked.
    fn version_after(&self, _version: u64) -> Option<u64> {
        None
    }

    /// The jobs due by `now`, and not before `since` if one is given, that the claim can take, with [`Access::Redefine`], in the
    /// order of (`due`, key): not quarantined, for the claim ([`is_for`](super::rules::is_for)) and free for it
    /// ([`Head::is_free`](super::rules::Head::is_free)). In a transaction those that another one has locked are left out.
    ///
    /// A backend that sends only so many bytes gives the first job that is too much with [`Access::Change`], as the last one,
    /// which is left to the next claim.
    async fn due(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<LoadedJob>, StoreError>;

    /// When the node should claim again if it has taken all that is due: the earlier of the first `due` after `now` of a job that
    /// is for the claim and not claimed by another node; and the first end of another node's claim of such a job.
    ///
    /// `until` is the end of the claims that this call has made.
    async fn next(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// The first jobs that are over and whose `retained_until` is not after `now`, with [`Access::ChangeUnlocked`], in any order.
    /// Claims ask for them now and then, and delete them.
    async fn expired(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<LoadedJob>, StoreError>;

    /// All jobs that are over and stay known, in any order, to be shown. A backend with a [`job_finder`](Self::job_finder) is not asked. By
    /// default those that will have [`expired`](Self::expired) at the end of time.
    async fn retained(&self) -> Result<Vec<LoadedJob>, StoreError> {
        self.expired(DateTime::<Utc>::MAX_UTC, usize::MAX).await
    }

    /// The first due jobs that no node has claimed and that are not for the claim.
    async fn declined(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Declined>, StoreError>;

    /// The first jobs that a node holds, by key, with an access to change them.
    async fn held_by(
        &self,
        node: &NodeId,
        hold: HoldKind,
        limit: usize,
        access: Access,
    ) -> Result<Vec<LoadedJob>, StoreError>;

    /// Whether a node holds anything in this way.
    async fn holds(&self, node: &NodeId, hold: HoldKind) -> Result<bool, StoreError> {
        Ok(!self.held_by(node, hold, 1, Access::Show).await?.is_empty())
    }

    /// The running runs of a node that are asked to stop, of up to so many jobs, in order.
    async fn stopping(&self, node: &NodeId, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let jobs = self.held_by(node, HoldKind::Stop, limit, Access::Show).await?;
        let mut runs: Vec<RunId> = jobs.iter().flat_map(|job| job.stopping(node)).collect();
        runs.sort_unstable();
        Ok(runs)
    }

    /// All nodes that hold something; none is locked.
    async fn nodes(&self) -> Result<Nodes, StoreError>;

    /// What the nodes have said of themselves; from what [`nodes`](Self::nodes) reads by default.
    async fn node_infos(&self) -> Result<BTreeMap<NodeId, Arc<str>>, StoreError> {
        let nodes = self.nodes().await?;
        Ok(nodes.known.into_iter().filter_map(|node| Some((node.id, node.info?))).collect())
    }

    /// One node. It is not locked.
    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError>;

    /// The node that makes the call. A transaction waits for others that have it locked, and keeps it locked until the end: the
    /// kit asks as late as it can, since calls of one node would come one after the other otherwise. As
    /// [`node`](Self::node) by default.
    async fn lock_own_node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        self.node(id).await
    }

    /// A node as it is now, to be taken over; none if it is in use right now. As it was read by default: a backend without
    /// transactions finds out when it writes.
    async fn lock_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        Ok(Some(node.clone()))
    }

    /// Writes a node if it is in the database as it was read (`version`), or not there if that is 0, and gives it back
    /// with its new version. None if it was not written. One that is locked is always written.
    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError>;

    /// Writes a node as [`put_node`](Self::put_node) does, and then jobs as [`write`](Self::write) does. If the node was not
    /// written, the jobs are not, and the answer is none. A backend that can do both at once saves a round trip.
    async fn put_node_and_write(
        &self,
        node: &Node,
        jobs: &[&LoadedJob],
        now: DateTime<Utc>,
    ) -> Result<Option<(Node, Vec<bool>)>, StoreError> {
        let Some(node) = self.put_node(node).await? else { return Ok(None) };
        Ok(Some((node, self.write(jobs, now).await?)))
    }

    /// Deletes a node if it is in the database as it was read. False if not.
    async fn remove_node(&self, node: &Node) -> Result<bool, StoreError>;

    /// Runs that have ended, by their job and number, in any order.
    async fn ended(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError>;

    /// A page of a job's runs with numbers below `before`, newest first. An [`Archive`] gives those that are in it.
    async fn history(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError>;

    /// Where the ended runs are kept, if a write of a job does not cover them; none by default.
    fn archive(&self) -> Option<&dyn Archive> {
        None
    }

    /// What finds jobs by indexes; none by default, so that searches look at one live job after the other, and at all that are
    /// over.
    fn job_finder(&self) -> Option<&dyn JobFinder> {
        None
    }

    /// What finds runs by indexes; none by default, so that searches look at the runs of one job after the other.
    fn run_finder(&self) -> Option<&dyn RunFinder> {
        None
    }

    /// Tells all nodes of changes, at the end of the session if it is a transaction. A backend whose nodes cannot be told more
    /// than that something has changed tells them that.
    async fn announce(&self, hints: &[Hint]) -> Result<(), StoreError>;

    /// Whether the session is a transaction, whose calls come one after the other and see what it has written. False by default.
    fn is_transaction(&self) -> bool {
        false
    }

    /// Ends the session and keeps what was written. Nothing to do for one without a transaction.
    async fn commit(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Ends the session after a failure and keeps nothing. Nothing to do by default.
    async fn undo(&self) {}

    /// Whether the session has failed only because of another one that was in its way, so that the verb is worth to be repeated
    /// at once.
    fn has_met_another(&self) -> bool {
        false
    }
}

/// Rows of ended runs, for a backend that can write only one record atomically.
///
/// Such a backend keeps a run that ends in the record of its job; the kit copies it to the archive before the record is written
/// the next time.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Writes rows of ended runs; those that are there already are the same.
    async fn archive(&self, runs: &[Run]) -> Result<(), StoreError>;

    /// Deletes the archived runs of jobs with numbers below the given ones.
    async fn prune(&self, below: &[(Uid, u64)]) -> Result<(), StoreError>;
}

/// What a job is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To show it: with its definition; nothing is locked.
    Show,
    /// To change its state or its runs: with its open runs, and without its definition if that saves work. A transaction locks it,
    /// and waits for others that have it locked.
    Change,
    /// The same with its definition.
    Redefine,
    /// As [`Change`](Self::Change), but what others have locked is left out.
    ChangeUnlocked,
}

/// A job that is to be added.
#[derive(Debug, Clone, Copy)]
pub struct NewJob<'a> {
    /// The job.
    pub row: &'a JobRow,
    /// The JSON text of its definition.
    pub body: &'a str,
}

/// What became of a job that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserting {
    /// The job is in the database now.
    Done,
    /// A job with this uid was there: the call is repeated.
    UidIsTaken,
    /// Another live job has the id.
    IdIsTaken,
}

/// How a node holds a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldKind {
    /// The node has claimed the job.
    Claim,
    /// The node runs a run of the job.
    Run,
    /// The node runs a run of the job that is asked to stop.
    Stop,
}

/// The nodes of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes {
    /// Those that have a row.
    pub known: Vec<Node>,
    /// Those that run something, with a row or without one: such a node was taken over while its call was on the way.
    pub running: BTreeSet<NodeId>,
}

/// A node that holds something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The name of the node.
    pub id: NodeId,
    /// Until when other nodes leave its runs alone. None once another node has begun to take it over.
    pub lease_until: Option<DateTime<Utc>>,
    /// The number of its last claim.
    pub last_claim_seq: u64,
    /// The database's mark of what was read, which differs after each write; 0 if the node has no row.
    pub version: u64,
    /// What the node says of itself, as JSON ([`NodeInfo`](scheduler_core::store::NodeInfo)): given when the node is first written. A
    /// backend that writes a node as a whole keeps it there; one that has [`Session::node_infos`] reads none.
    pub info: Option<Arc<str>>,
}

impl Node {
    /// A node that has no row.
    pub fn unknown(id: &NodeId) -> Self {
        Self { id: id.clone(), lease_until: None, last_claim_seq: 0, version: 0, info: None }
    }
}
