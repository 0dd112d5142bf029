//! A job store of your own, from the kit: jobs in one file of [redb], an embedded database in pure Rust.
//!
//! ```text
//! verb → begin: one write transaction → load, write, .. → commit
//! ```
//!
//! The rules of the verbs are the kit's. Here is only where a job is kept and how it is found:
//!
//! | table | key | value |
//! |---|---|---|
//! | `jobs` | uid | the job as a JSON object, with its open runs |
//! | `ids` | id of a live job | its uid |
//! | `due` | time in microseconds, uid | nothing |
//! | `retained` | time until which a job that is over stays known, uid | nothing |
//! | `held` | node, how it holds the job, uid | nothing |
//! | `nodes` | name | the node as a JSON object |
//! | `runs` | uid, number | an ended run as a JSON object |
//!
//! redb has one write transaction at a time and blocks the thread that begins a second one, so that sessions wait for
//! each other before they begin. Its calls block the thread for as long as the disk takes, which is right for a program
//! that has nothing else to do meanwhile; a server would give them to threads of their own.
//!
//! [redb]: https://www.redb.org

use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use apscheduler::{
    JobId, NodeId, Run, Uid,
    chrono::{DateTime, Utc},
    forward_job_store,
    serde_json::{self, Map, Value},
    store::{Changed, Claim, Clock, Declined, Durability, Hint, StoreError, StoreErrorKind, StoreLimits, Wakes},
    stores::kit::{
        Access, Archive, Backend, Document, HoldKind, Index, Inserting, KitStore, LoadedJob, NewJob, Node, Nodes,
        Replace, Session, node_fields, node_of,
        rules::{earlier, whole_micros},
        run_fields, run_of, text,
    },
};
use async_lock::MutexGuardArc;
use async_trait::async_trait;
use event_listener::Event;
use redb::{Database, ReadableTable, Table, TableDefinition, WriteTransaction};

const JOBS: TableDefinition<'_, &str, &str> = TableDefinition::new("jobs");
const IDS: TableDefinition<'_, &str, &str> = TableDefinition::new("ids");
const DUE: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("due");
const RETAINED: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("retained");
const HELD: TableDefinition<'_, (&str, u8, &str), ()> = TableDefinition::new("held");
const NODES: TableDefinition<'_, &str, &str> = TableDefinition::new("nodes");
const RUNS: TableDefinition<'_, (&str, u64), &str> = TableDefinition::new("runs");

/// Keeps jobs in a file of redb, for the schedulers of one process. Clones share it.
#[derive(Debug, Clone)]
pub struct RedbStore {
    store: KitStore,
}

forward_job_store!(RedbStore => |this| this.store);

impl RedbStore {
    /// Opens a file, which is created if it is not there.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is no database, or another process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let place = format!("redb file {}", path.as_ref().display());
        let database = Database::create(path).map_err(|error| failure(&place, error))?;
        let file = File { place, database, writer: Arc::default(), changes: AtomicU64::new(1), changed: Event::new() };
        Ok(Self { store: KitStore::new(file) })
    }
}

/// The file, and what the schedulers of this process share of it.
struct File {
    place: String,
    database: Database,
    /// Held by the session that writes.
    writer: Arc<async_lock::Mutex<()>>,
    /// How many changes have been announced.
    changes: AtomicU64,
    changed: Event,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("place", &self.place).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for File {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(Clock::Caller, Wakes::Push, Durability::Durable).with_batch(500)
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    async fn begin(&self) -> Result<Box<dyn Session + '_>, StoreError> {
        let writer = self.writer.lock_arc().await;
        let transaction = self.database.begin_write().map_err(|error| failure(&self.place, error))?;
        let (transaction, is_announced) = (Mutex::new(Some(transaction)), AtomicBool::new(false));
        Ok(Box::new(Verb { file: self, transaction, is_announced, _writer: writer }))
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        loop {
            let listener = self.changed.listen();
            let now = self.changes.load(Ordering::Acquire);
            if now != seen {
                return Ok(Changed { seen: now, hint: Some(Hint::Resync) });
            }
            listener.await;
        }
    }
}

/// The transaction of a verb. If it is dropped before its end, nothing of it is kept.
struct Verb<'f> {
    file: &'f File,
    transaction: Mutex<Option<WriteTransaction>>,
    is_announced: AtomicBool,
    _writer: MutexGuardArc<()>,
}

/// What a verb does with the tables.
type Done<T> = Result<T, redb::Error>;

impl Verb<'_> {
    fn perform<T>(&self, perform: impl FnOnce(&WriteTransaction) -> Done<T>) -> Result<T, StoreError> {
        let transaction: MutexGuard<'_, _> = self.transaction.lock().unwrap_or_else(PoisonError::into_inner);
        match &*transaction {
            Some(transaction) => perform(transaction).map_err(|error| failure(&self.file.place, error)),
            None => {
                Err(StoreError::new(StoreErrorKind::Unavailable, format!("{}: the verb has ended", self.file.place)))
            }
        }
    }

    /// The jobs with these keys, in their order.
    fn load(&self, keys: impl IntoIterator<Item = String>) -> Result<Vec<LoadedJob>, StoreError> {
        self.perform(|transaction| {
            let jobs = transaction.open_table(JOBS)?;
            let mut found = Vec::new();
            for key in keys {
                if let Some(job) = document(&jobs, &key)? {
                    found.push(LoadedJob::from_document(job));
                }
            }
            Ok(found)
        })
    }

    /// Goes over the jobs that are due in these times, by time, until there are enough.
    fn due_between(
        &self,
        from: i64,
        to: i64,
        limit: usize,
        is_wanted: impl Fn(&Index) -> bool,
    ) -> Result<Vec<Document>, StoreError> {
        self.perform(|transaction| {
            let jobs = transaction.open_table(JOBS)?;
            let due = transaction.open_table(DUE)?;
            let mut found = Vec::new();
            for entry in due.range((from, "")..(to, ""))? {
                if found.len() == limit {
                    break;
                }
                found.extend(document(&jobs, entry?.0.value().1)?.filter(|job| is_wanted(&job.index())));
            }
            Ok(found)
        })
    }

    /// The keys of the jobs that a node holds in this way.
    fn held(&self, node: &NodeId, hold: HoldKind, limit: usize) -> Result<Vec<String>, StoreError> {
        self.perform(|transaction| {
            let held = transaction.open_table(HELD)?;
            let range = held.range((node.as_str(), hold as u8, "")..(node.as_str(), hold as u8 + 1, ""))?;
            range.take(limit).map(|entry| Ok(entry?.0.value().2.to_owned())).collect()
        })
    }

    /// The nodes that hold something in this way, with the keys of that.
    fn holders(&self, hold: HoldKind) -> Result<Vec<(NodeId, String)>, StoreError> {
        self.perform(|transaction| {
            let mut found = Vec::new();
            for entry in transaction.open_table(HELD)?.iter()? {
                let key = entry?.0;
                let (node, kind, job) = key.value();
                if kind == hold as u8 {
                    found.push((NodeId::from(node), job.to_owned()));
                }
            }
            Ok(found)
        })
    }
}

#[async_trait]
impl Session for Verb<'_> {
    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        Ok(whole_micros(at))
    }

    async fn insert(&self, jobs: &[NewJob<'_>]) -> Result<Vec<Inserting>, StoreError> {
        self.perform(|transaction| {
            let mut outcomes = Vec::with_capacity(jobs.len());
            for job in jobs.iter().map(Document::inserted) {
                let index = job.index();
                let is_id_taken = match &index.live_id {
                    Some(id) => transaction.open_table(IDS)?.get(id.as_str())?.is_some(),
                    None => false,
                };
                outcomes.push(if transaction.open_table(JOBS)?.get(&*job.key)?.is_some() {
                    Inserting::UidIsTaken
                } else if is_id_taken {
                    Inserting::IdIsTaken
                } else {
                    put(transaction, None, Some(&job))?;
                    Inserting::Done
                });
            }
            Ok(outcomes)
        })
    }

    async fn by_key(&self, keys: &BTreeSet<String>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        self.load(keys.iter().cloned())
    }

    async fn by_live_id(&self, ids: &BTreeSet<JobId>, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let keys: Vec<String> = self.perform(|transaction| {
            let table = transaction.open_table(IDS)?;
            let key = |id: &JobId| Ok(table.get(id.as_str())?.map(|key| key.value().to_owned()));
            ids.iter().filter_map(|id| key(id).transpose()).collect()
        })?;
        self.load(keys)
    }

    async fn list(&self, after: Option<&JobId>, limit: usize, _: Access) -> Result<Vec<LoadedJob>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let keys: Vec<String> = self.perform(|transaction| {
            let from = after.map_or(Unbounded, |after| Excluded(after.as_str()));
            let ids = transaction.open_table(IDS)?;
            let page = ids.range::<&str>((from, Unbounded))?.take(limit);
            page.map(|entry| Ok(entry?.1.value().to_owned())).collect()
        })?;
        self.load(keys)
    }

    async fn write(&self, jobs: &[&LoadedJob], now: DateTime<Utc>) -> Result<Vec<bool>, StoreError> {
        self.perform(|transaction| {
            for Replace { old, new } in Replace::all(jobs, now) {
                put(transaction, Some(&old), new.as_ref())?;
            }
            Ok(vec![true; jobs.len()])
        })
    }

    async fn due(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let is_wanted = |index: &Index| index.is_for(claim) && index.is_free(claim, now);
        let since = since.map_or(i64::MIN, |since| since.timestamp_micros());
        Ok(LoadedJob::all(self.due_between(since, now.timestamp_micros() + 1, limit, is_wanted)?))
    }

    async fn next(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        _: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let is_ours = |index: &Index| index.claim.as_ref().is_none_or(|(owner, _)| *owner == claim.owner);
        let is_wanted = |index: &Index| index.is_for(claim) && is_ours(index);
        let due = self.due_between(now.timestamp_micros() + 1, i64::MAX, 1, is_wanted)?;
        let claimed = self.holders(HoldKind::Claim)?.into_iter().filter(|(node, _)| *node != claim.owner);
        let claimed = self.load(claimed.map(|(_, key)| key))?;
        let indexes = claimed.iter().filter_map(|job| Some(job.document()?.index()));
        let claim_end = indexes.filter(|index| index.is_for(claim)).filter_map(|index| Some(index.claim?.1)).min();
        Ok(earlier(due.first().and_then(|job| job.index().due), claim_end))
    }

    async fn expired(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<LoadedJob>, StoreError> {
        let keys: Vec<String> = self.perform(|transaction| {
            let retained = transaction.open_table(RETAINED)?;
            let expired = retained.range((i64::MIN, "")..(now.timestamp_micros() + 1, ""))?.take(limit);
            expired.map(|entry| Ok(entry?.0.value().1.to_owned())).collect()
        })?;
        self.load(keys)
    }

    async fn declined(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Declined>, StoreError> {
        let is_wanted = |index: &Index| !index.is_for(claim) && index.claim.is_none();
        let due = self.due_between(i64::MIN, now.timestamp_micros() + 1, limit, is_wanted)?;
        Ok(due.iter().map(Document::declined).collect())
    }

    async fn held_by(
        &self,
        node: &NodeId,
        hold: HoldKind,
        limit: usize,
        _: Access,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        self.load(self.held(node, hold, limit)?)
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        let running = self.holders(HoldKind::Run)?.into_iter().map(|(node, _)| node).collect();
        let known = self.perform(|transaction| {
            let nodes = transaction.open_table(NODES)?;
            nodes
                .iter()?
                .map(|entry| entry.map(|(id, text)| node(id.value(), text.value())).map_err(Into::into))
                .collect()
        })?;
        Ok(Nodes { known, running })
    }

    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        self.perform(|transaction| {
            let nodes = transaction.open_table(NODES)?;
            Ok(nodes.get(id.as_str())?.map(|text| node(id.as_str(), text.value())))
        })
    }

    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        self.perform(|transaction| {
            transaction.open_table(NODES)?.insert(node.id.as_str(), &*text(&node_fields(node)))?;
            Ok(Some(Node { version: 1, ..node.clone() }))
        })
    }

    async fn remove_node(&self, node: &Node) -> Result<bool, StoreError> {
        self.perform(|transaction| {
            transaction.open_table(NODES)?.remove(node.id.as_str())?;
            Ok(true)
        })
    }

    async fn ended(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        self.perform(|transaction| {
            let table = transaction.open_table(RUNS)?;
            let mut found = Vec::new();
            for (uid, seq) in runs {
                found.extend(table.get((&*uid.to_string(), *seq))?.and_then(|text| run(text.value())));
            }
            Ok(found)
        })
    }

    async fn history(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError> {
        let uid = uid.to_string();
        self.perform(|transaction| {
            let table = transaction.open_table(RUNS)?;
            let mut found = Vec::new();
            for entry in table.range((&*uid, 0)..(&*uid, before))?.rev().take(limit) {
                found.extend(run(entry?.1.value()));
            }
            Ok(found)
        })
    }

    fn archive(&self) -> Option<&dyn Archive> {
        Some(self)
    }

    async fn announce(&self, _: &[Hint]) -> Result<(), StoreError> {
        self.is_announced.store(true, Ordering::Release);
        Ok(())
    }

    async fn commit(&self) -> Result<(), StoreError> {
        let transaction = self.transaction.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(transaction) = transaction {
            transaction.commit().map_err(|error| failure(&self.file.place, error))?;
        }
        if self.is_announced.load(Ordering::Acquire) {
            self.file.changes.fetch_add(1, Ordering::AcqRel);
            self.file.changed.notify(usize::MAX);
        }
        Ok(())
    }
}

#[async_trait]
impl Archive for Verb<'_> {
    async fn archive(&self, runs: &[Run]) -> Result<(), StoreError> {
        self.perform(|transaction| {
            let mut table = transaction.open_table(RUNS)?;
            for run in runs {
                table.insert((&*run.id.uid.to_string(), run.id.seq), &*text(&run_fields(run)))?;
            }
            Ok(())
        })
    }

    async fn prune(&self, below: &[(Uid, u64)]) -> Result<(), StoreError> {
        self.perform(|transaction| {
            let mut table = transaction.open_table(RUNS)?;
            for (uid, seq) in below {
                let uid = uid.to_string();
                table.retain_in((&*uid, 0)..(&*uid, *seq), |_, _| false)?;
            }
            Ok(())
        })
    }
}

/// Writes a job in the place of another state of it, with the entries by which it is found.
fn put(transaction: &WriteTransaction, old: Option<&Document>, new: Option<&Document>) -> Done<()> {
    let (mut jobs, mut ids) = (transaction.open_table(JOBS)?, transaction.open_table(IDS)?);
    let (mut due, mut held) = (transaction.open_table(DUE)?, transaction.open_table(HELD)?);
    let mut retained = transaction.open_table(RETAINED)?;
    if let Some(old) = old {
        let (key, index) = (&*old.key, old.index());
        jobs.remove(key)?;
        index.live_id.iter().try_for_each(|id| ids.remove(id.as_str()).map(drop))?;
        index.due.iter().try_for_each(|at| due.remove((at.timestamp_micros(), key)).map(drop))?;
        index.retained_until.iter().try_for_each(|at| retained.remove((at.timestamp_micros(), key)).map(drop))?;
        holds(&index).try_for_each(|(node, hold)| held.remove((node.as_str(), hold as u8, key)).map(drop))?;
    }
    if let Some(new) = new {
        let (key, index) = (&*new.key, new.index());
        jobs.insert(key, &*new.text())?;
        index.live_id.iter().try_for_each(|id| ids.insert(id.as_str(), key).map(drop))?;
        index.due.iter().try_for_each(|at| due.insert((at.timestamp_micros(), key), ()).map(drop))?;
        index.retained_until.iter().try_for_each(|at| retained.insert((at.timestamp_micros(), key), ()).map(drop))?;
        holds(&index).try_for_each(|(node, hold)| held.insert((node.as_str(), hold as u8, key), ()).map(drop))?;
    }
    Ok(())
}

/// Which nodes hold a job, and how.
fn holds(index: &Index) -> impl Iterator<Item = (&NodeId, HoldKind)> {
    let claim = index.claim.iter().map(|(owner, _)| (owner, HoldKind::Claim));
    let running = index.running.iter().map(|node| (node, HoldKind::Run));
    claim.chain(running).chain(index.stopping.iter().map(|node| (node, HoldKind::Stop)))
}

/// A transaction loads no job that another one may change, so that there is one version of each.
fn document(jobs: &Table<'_, &'static str, &'static str>, key: &str) -> Done<Option<Document>> {
    Ok(jobs.get(key)?.map(|text| Document::parse(key, 1, text.value().as_bytes())))
}

fn node(id: &str, text: &str) -> Node {
    // What cannot be read of a node counts as that of one whose lease has passed.
    let fields: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    node_of(id, 1, &fields)
}

/// An ended run; none if it cannot be read, as in each store.
fn run(text: &str) -> Option<Run> {
    run_of(&serde_json::from_str(text).ok()?).ok()
}

fn failure(place: &str, error: impl Into<redb::Error>) -> StoreError {
    let error = error.into();
    StoreError::new(StoreErrorKind::Unavailable, format!("{place}: {error}")).with_source(error)
}
