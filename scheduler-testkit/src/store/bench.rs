//! The bench on which a promise is tested: two nodes, a clock, jobs.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::{
    JobBody, JobId, JobOptions, JobRow, JobState, JobStore, Listed, Run, Totals, Trigger, Uid,
    store::{Clock, Inserted, RunQuery},
    trigger::Date,
};
use serde_json::{Map, json};

use super::{Damage, Node, StoreUnderTest};

/// How long the leases of the suite last: short, since a store with a clock of its own really waits for them, and long enough
/// that a busy machine makes the next call in time.
pub const LEASE: Duration = Duration::from_secs(1);

/// Two nodes on one store, and its time.
///
/// ```no_run
/// # use scheduler_testkit::store::{Bench, StoreUnderTest};
/// # async fn check(store: StoreUnderTest) {
/// let bench = Bench::new(store);
/// let job = bench.due_job("report").await;
/// assert_eq!(bench.a().claim().await.jobs[0].job.uid, job.uid);
/// # }
/// ```
#[derive(Debug)]
pub struct Bench {
    store: StoreUnderTest,
    clock: Mutex<DateTime<Utc>>,
    drawn: AtomicU64,
}

impl Bench {
    /// A bench for one test.
    pub fn new(store: StoreUnderTest) -> Self {
        let start = DateTime::from_timestamp_micros(1_795_251_600_123_456).expect("a time in November 2026");
        Self { store, clock: Mutex::new(start), drawn: AtomicU64::new(0) }
    }

    /// The node that uses the first handle.
    pub fn a(&self) -> Node<'_> {
        Node::new(self, "node-a", &*self.store.a)
    }

    /// The node that uses the second handle.
    pub fn b(&self) -> Node<'_> {
        Node::new(self, "node-b", &*self.store.b)
    }

    /// Another node on the first handle.
    pub fn node(&self, name: &str) -> Node<'_> {
        Node::new(self, name, &*self.store.a)
    }

    /// The first handle.
    pub fn store(&self) -> &dyn JobStore {
        &*self.store.a
    }

    /// Opens the storage once more, if the store outlives the process.
    pub async fn reopened(&self) -> Option<Arc<dyn JobStore>> {
        Some(self.store.reopen.as_ref()?().await)
    }

    /// Damages a job's row, if the store's author has said how.
    ///
    /// # Errors
    ///
    /// [`CannotDamage`] if not.
    pub async fn damage(&self, id: &JobId, damage: Damage) -> Result<(), CannotDamage> {
        self.store.damage.as_ref().ok_or(CannotDamage)?(id.clone(), damage).await;
        Ok(())
    }

    /// Whether the store goes by its callers' clocks, so that times can be foretold exactly.
    pub fn is_told_the_time(&self) -> bool {
        self.store().limits().clock == Clock::Caller
    }

    /// The time that a call would carry.
    pub fn at(&self) -> DateTime<Utc> {
        *self.clock.lock().expect("nothing panics while it holds the clock")
    }

    /// The store's time.
    pub async fn now(&self) -> DateTime<Utc> {
        match self.is_told_the_time() {
            true => self.at(),
            false => self.store().remove(self.at(), &[]).await.expect("an empty removal").now,
        }
    }

    /// Lets time pass.
    pub async fn advance(&self, time: Duration) {
        let delta = TimeDelta::from_std(time).expect("a short time");
        *self.clock.lock().expect("nothing panics while it holds the clock") += delta;
        if let Some(advance) = &self.store.advance {
            advance(time).await;
        }
    }

    /// A number that was not drawn before.
    pub(super) fn draw(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// An active job that fires at a time; not yet in the store.
    pub fn job(&self, id: &str, at: DateTime<Utc>) -> JobRow {
        JobRow {
            uid: Uid(u128::from(self.draw()) << 64 | 0xFEED),
            id: id.into(),
            body: body(at),
            state: JobState::Active,
            next_fire_time: Some(at),
            due: Some(at),
            last_end: None,
            blocked: false,
            revision: 0,
            fence: 0,
            last_seq: 0,
            totals: Totals::default(),
        }
    }

    /// Adds a job.
    pub async fn add(&self, job: &JobRow) {
        let reply = self.store().insert(self.at(), std::slice::from_ref(job)).await.expect("the job is sound");
        assert_eq!(reply.value, [Inserted::Added], "job {}", job.id);
    }

    /// Adds a job that is due now.
    pub async fn due_job(&self, id: &str) -> JobRow {
        let job = self.job(id, self.now().await);
        self.add(&job).await;
        job
    }

    /// A job as it is in the store.
    pub async fn find(&self, id: &str) -> Option<JobRow> {
        match self.store().job(&id.into()).await.expect("the job can be asked for")? {
            Listed::Job(job) => Some(job),
            Listed::Raw(raw) => panic!("job {id} cannot be decoded: {}", raw.reason),
        }
    }

    /// A job as it is in the store, where it must be.
    pub async fn stored(&self, id: &str) -> JobRow {
        self.find(id).await.unwrap_or_else(|| panic!("job {id} is not in the store"))
    }

    /// The newest runs of a job, newest first.
    pub async fn runs(&self, uid: Uid) -> Vec<Run> {
        let query = RunQuery { uid, before: None, limit: 1_000 };
        self.store().runs(&query).await.expect("the runs can be asked for")
    }
}

/// The store's author has not said how rows are damaged.
#[derive(Debug)]
pub struct CannotDamage;

fn body(at: DateTime<Utc>) -> JobBody {
    JobBody {
        v: 1,
        name: Some("a job of the suite".to_owned()),
        task: "task".into(),
        args: json!({ "to": "ann", "n": 1 }),
        trigger: trigger(at),
        executor: "default".into(),
        options: JobOptions::default(),
        chosen_fire_time: Some(at),
        tags: ["suite", "tenant:42"].into(),
        meta: json!({ "by": "ann" }),
        pause: None,
        extra: Map::new(),
    }
}

pub(super) fn trigger(at: DateTime<Utc>) -> Trigger {
    Date::at(at).into()
}
