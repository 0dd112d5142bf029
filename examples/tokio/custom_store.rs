//! A store of one's own: jobs in memory, and a journal in a file from which they come back.
//!
//! Run it twice with `cargo run -p examples-tokio --bin custom_store`: the second time, the job goes on where it was.
//!
//! A store that goes by the clock of its callers is a function of the calls that it is given. So this one writes down each
//! call before it takes it, and takes them all again when it is opened. One process at a time uses the file, which only
//! grows: fit for a handful of jobs on a small device, and short enough to be read. The test at the end holds it to the
//! same promises as every other store.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    num::NonZeroU32,
    path::Path,
    sync::Arc,
    time::Duration,
};

use apscheduler::{
    Conflict, EventMask, JobId, JobRow, JobSpec, JobStore, LimitKey, Listed, NodeId, Run, RunId, Scheduler,
    ShutdownMode, TokioRuntime, Verdict,
    store::{
        Cancelled, Changed, Claim, Claimed, Durability, Inserted, JobCounts, JobFilter, JobPage, JobQuery, JobSearch,
        KeyLimit, NodeRow, Record, Recorded, Removed, RemovedAll, RunPage, RunQuery, RunSearch, Settle, Settled,
        Stamped, StoreError, StoreErrorKind, StoreLimits, Update, Updated,
    },
    stores::MemoryStore,
    trigger::{First, Interval},
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = JournalStore::open("jobs.journal").await?;
    let scheduler =
        Scheduler::builder(TokioRuntime::current()).store("default", store).task("count", || async {}).build()?;
    match scheduler.job("counter").await? {
        Some(job) => println!("job `counter` is back: it has run {} times", job.totals.of(Verdict::Ok)),
        None => println!("nothing in the journal yet"),
    }
    let every_tenth = Interval::every(Duration::from_millis(100)).first(First::Now);
    scheduler.add_job(JobSpec::new("count", every_tenth).id("counter").on_conflict(Conflict::Keep)).await?;

    let mut events = scheduler.events(EventMask::RUN_EXECUTED);
    scheduler.start().await?;
    for _ in 0..3 {
        events.next().await;
    }
    scheduler.pause().await?;
    if let Some(job) = scheduler.job("counter").await? {
        println!("now it has had {} runs", job.totals.of(Verdict::Ok));
    }
    scheduler.shutdown(ShutdownMode::Wait).await?;
    Ok(())
}

/// Jobs in memory, and all calls that made them so in a file.
#[derive(Debug, Clone)]
struct JournalStore {
    memory: MemoryStore,
    /// Locked while a call is written and taken, so that the file has the calls in the order in which they were taken.
    journal: Arc<Mutex<File>>,
}

/// A call that may change something, a line in the file.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Call {
    Insert(DateTime<Utc>, Vec<JobRow>),
    Update(DateTime<Utc>, Update),
    Cancel(DateTime<Utc>, JobId, RunId),
    Remove(DateTime<Utc>, Vec<JobId>),
    RemoveAll(DateTime<Utc>),
    SetKeyLimit(DateTime<Utc>, LimitKey, Option<NonZeroU32>),
    Claim(Claim),
    Settle(Settle),
    Record(Record),
    Release(DateTime<Utc>, NodeId),
}

impl JournalStore {
    /// Opens a journal, or begins one.
    async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let mut text = String::new();
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        file.read_to_string(&mut text).map_err(failed)?;
        let memory = MemoryStore::new();
        // What follows the last line break was being written when the process ended, and no caller was told of it.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text[..whole].lines() {
            let call = serde_json::from_str(line).map_err(|error| {
                StoreError::new(
                    StoreErrorKind::Incompatible,
                    format!("the journal has a line that is no call: {error}"),
                )
            })?;
            take(&memory, call).await;
        }
        file.set_len(whole as u64).and_then(|()| file.seek(io::SeekFrom::End(0))).map_err(failed)?;
        Ok(Self { memory, journal: Arc::new(Mutex::new(file)) })
    }

    /// Writes a call down. It may be taken as long as the guard is there.
    async fn write(&self, call: Call) -> Result<MutexGuard<'_, File>, StoreError> {
        let mut line = serde_json::to_vec(&call)
            .map_err(|error| StoreError::new(StoreErrorKind::Rejected, format!("the call is no JSON: {error}")))?;
        line.push(b'\n');
        let mut journal = self.journal.lock().await;
        let end = journal.stream_position().map_err(failed)?;
        if let Err(error) = journal.write_all(&line).and_then(|()| journal.sync_data()) {
            // Half a line must not be followed by another one.
            journal.set_len(end).and_then(|()| journal.seek(io::SeekFrom::Start(end))).map_err(failed)?;
            return Err(failed(error));
        }
        Ok(journal)
    }
}

/// Takes a call again. Its answer was given long ago.
async fn take(memory: &MemoryStore, call: Call) {
    match call {
        Call::Insert(at, jobs) => drop(memory.insert(at, &jobs).await),
        Call::Update(at, update) => drop(memory.update(at, &update).await),
        Call::Cancel(at, job, run) => drop(memory.cancel(at, &job, run).await),
        Call::SetKeyLimit(at, key, limit) => drop(memory.set_key_limit(at, &key, limit).await),
        Call::Remove(at, ids) => drop(memory.remove(at, &ids).await),
        Call::RemoveAll(at) => drop(memory.remove_all(at).await),
        Call::Claim(claim) => drop(memory.claim(&claim).await),
        Call::Settle(settle) => drop(memory.settle(&settle).await),
        Call::Record(record) => drop(memory.record(&record).await),
        Call::Release(at, owner) => drop(memory.release(at, &owner).await),
    }
}

fn failed(error: io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("the journal cannot be used: {error}")).with_source(error)
}

#[async_trait]
impl JobStore for JournalStore {
    fn limits(&self) -> StoreLimits {
        self.memory.limits().with_durability(Durability::Durable)
    }

    async fn insert(&self, at: DateTime<Utc>, jobs: &[JobRow]) -> Result<Stamped<Vec<Inserted>>, StoreError> {
        let _written = self.write(Call::Insert(at, jobs.to_vec())).await?;
        self.memory.insert(at, jobs).await
    }

    async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
        let _written = self.write(Call::Update(at, update.clone())).await?;
        self.memory.update(at, update).await
    }

    async fn cancel(&self, at: DateTime<Utc>, job: &JobId, run: RunId) -> Result<Stamped<Cancelled>, StoreError> {
        let _written = self.write(Call::Cancel(at, job.clone(), run)).await?;
        self.memory.cancel(at, job, run).await
    }

    async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
        let _written = self.write(Call::Remove(at, ids.to_vec())).await?;
        self.memory.remove(at, ids).await
    }

    async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
        let _written = self.write(Call::RemoveAll(at)).await?;
        self.memory.remove_all(at).await
    }

    async fn set_key_limit(
        &self,
        at: DateTime<Utc>,
        key: &LimitKey,
        limit: Option<NonZeroU32>,
    ) -> Result<(), StoreError> {
        let _written = self.write(Call::SetKeyLimit(at, key.clone(), limit)).await?;
        self.memory.set_key_limit(at, key, limit).await
    }

    async fn key_limits(&self, key: Option<&LimitKey>) -> Result<Vec<KeyLimit>, StoreError> {
        self.memory.key_limits(key).await
    }

    async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
        self.memory.job(id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
        self.memory.jobs(query).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        self.memory.runs(query).await
    }

    // Without these, searches look at one live job after the other. A store that keeps jobs which are over finds those by itself.
    async fn search_jobs(&self, search: &JobSearch) -> Result<JobPage, StoreError> {
        self.memory.search_jobs(search).await
    }

    async fn count_jobs(&self, filter: &JobFilter) -> Result<JobCounts, StoreError> {
        self.memory.count_jobs(filter).await
    }

    async fn search_runs(&self, search: &RunSearch) -> Result<RunPage, StoreError> {
        self.memory.search_runs(search).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        self.memory.nodes().await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let _written = self.write(Call::Claim(claim.clone())).await?;
        self.memory.claim(claim).await
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        let _written = self.write(Call::Settle(settle.clone())).await?;
        self.memory.settle(settle).await
    }

    async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
        let _written = self.write(Call::Record(record.clone())).await?;
        self.memory.record(record).await
    }

    async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
        let _written = self.write(Call::Release(at, owner.clone())).await?;
        self.memory.release(at, owner).await
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        self.memory.changed(seen).await
    }
}

/// Every promise of the port, on an empty store for each.
#[cfg(test)]
mod conformance {
    use scheduler_testkit::store::StoreUnderTest;

    use super::JournalStore;

    async fn setup() -> StoreUnderTest {
        let folder = std::sync::Arc::new(tempfile::TempDir::new().expect("a folder"));
        let open = move || {
            let folder = folder.clone();
            async move { JournalStore::open(folder.path().join("jobs.journal")).await.expect("it can be opened") }
        };
        let store = open().await;
        StoreUnderTest::new(store.clone(), store).reopen(open)
    }

    scheduler_testkit::store_conformance!(setup());
}
