//! Each peer behind the same call: to add one schedule.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    error::Error,
    pin::Pin,
    str::FromStr,
    sync::{Arc, Condvar, LazyLock, Mutex, PoisonError, atomic::Ordering::Relaxed},
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, DurationRound, TimeDelta, Timelike, Utc};
use tokio::runtime::Handle;

use crate::{ARMED, LATE};

/// When a schedule is due first, and then again, in microseconds; a period of 0 is never.
#[derive(Clone, Copy)]
pub struct Plan {
    first: i64,
    period: i64,
}

impl Plan {
    pub fn every(first: DateTime<Utc>, period: TimeDelta) -> Self {
        Self { first: first.timestamp_micros(), period: period.num_microseconds().unwrap_or(i64::MAX) }
    }

    pub fn once(due: DateTime<Utc>) -> Self {
        Self { first: due.timestamp_micros(), period: 0 }
    }
}

pub trait Peer {
    /// Whether the peer keeps due times in whole seconds only.
    const WHOLE_SECONDS: bool = false;
    /// Whether the peer counts up what it has taken in.
    const TELLS_ARMED: bool = true;

    fn add(&self, at: usize, plan: Plan) -> impl Future<Output = Result<(), Box<dyn Error>>>;
}

fn fired(due: i64) {
    LATE.note(time(due));
}

/// A run of a schedule of a second whose peer does not say which second it is: late against the last one.
fn fired_on_second() {
    let now = Utc::now();
    LATE.note(now.duration_trunc(TimeDelta::seconds(1)).unwrap_or(now));
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The monotonic time for one of the wall clock.
fn instant(micros: i64) -> tokio::time::Instant {
    static ANCHOR: LazyLock<(Instant, i64)> = LazyLock::new(|| (Instant::now(), Utc::now().timestamp_micros()));
    let (instant, at) = *ANCHOR;
    (instant + Duration::from_micros((micros - at).max(0) as u64)).into()
}

/// A task of tokio with a sleep of its own for each schedule.
pub struct Sleep;

impl Peer for Sleep {
    async fn add(&self, _at: usize, plan: Plan) -> Result<(), Box<dyn Error>> {
        tokio::spawn(async move {
            let mut due = plan.first;
            ARMED.fetch_add(1, Relaxed);
            loop {
                tokio::time::sleep_until(instant(due)).await;
                fired(due);
                if plan.period == 0 {
                    break;
                }
                due += plan.period;
            }
        });
        Ok(())
    }
}

type Job = Arc<dyn Fn(i64) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

#[derive(Default)]
struct Schedules {
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    jobs: Vec<(i64, Job)>,
}

/// A binary heap on a thread of its own that sleeps until its first entry is due. The future of a due job is spawned on
/// tokio, or polled once where it is.
pub struct Heap(Arc<(Mutex<Schedules>, Condvar)>);

impl Heap {
    pub fn start(spawn: Option<Handle>) -> Self {
        let shared: Arc<(Mutex<Schedules>, Condvar)> = Arc::default();
        let ours = Arc::clone(&shared);
        thread::spawn(move || Self::run(&ours, spawn.as_ref()));
        Self(shared)
    }

    fn run((schedules, changed): &(Mutex<Schedules>, Condvar), spawn: Option<&Handle>) {
        let mut batch: Vec<(i64, Job)> = Vec::new();
        let mut guard = schedules.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            Self::take_due(&mut guard, &mut batch);
            if !batch.is_empty() {
                drop(guard);
                for (due, job) in batch.drain(..) {
                    let mut run = job(due);
                    match spawn {
                        Some(runtime) => drop(runtime.spawn(run)),
                        None => assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()),
                    }
                }
                guard = schedules.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            guard = match guard.heap.peek() {
                None => changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
                Some(Reverse((due, _))) => {
                    let wait = Duration::from_micros((due - Utc::now().timestamp_micros()).max(0) as u64);
                    changed.wait_timeout(guard, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn take_due(schedules: &mut Schedules, batch: &mut Vec<(i64, Job)>) {
        let now = Utc::now().timestamp_micros();
        while let Some(mut first) = schedules.heap.peek_mut() {
            let Reverse((due, at)) = *first;
            if due > now || batch.len() == 1_024 {
                break;
            }
            let (period, job) = &schedules.jobs[at];
            batch.push((due, Arc::clone(job)));
            if *period == 0 {
                PeekMut::pop(first);
            } else {
                *first = Reverse((due + period, at));
            }
        }
    }
}

impl Peer for Heap {
    async fn add(&self, _at: usize, plan: Plan) -> Result<(), Box<dyn Error>> {
        let job: Job = Arc::new(|due| Box::pin(async move { fired(due) }));
        let (schedules, changed) = &*self.0;
        let is_first = {
            let mut schedules = schedules.lock().unwrap_or_else(PoisonError::into_inner);
            let is_first = schedules.heap.peek().is_none_or(|Reverse((due, _))| plan.first < *due);
            let at = schedules.jobs.len();
            schedules.jobs.push((plan.period, job));
            schedules.heap.push(Reverse((plan.first, at)));
            is_first
        };
        if is_first {
            changed.notify_one();
        }
        ARMED.fetch_add(1, Relaxed);
        Ok(())
    }
}

pub struct TokioCron(tokio_cron_scheduler::JobScheduler);

impl TokioCron {
    pub async fn start(channel: usize) -> Result<Self, Box<dyn Error>> {
        let scheduler = tokio_cron_scheduler::JobScheduler::new_with_channel_size(channel).await?;
        scheduler.start().await?;
        Ok(Self(scheduler))
    }
}

impl Peer for TokioCron {
    const WHOLE_SECONDS: bool = true;

    async fn add(&self, _at: usize, plan: Plan) -> Result<(), Box<dyn Error>> {
        use tokio_cron_scheduler::Job;
        let job = if plan.period == 0 {
            let wait = (plan.first - Utc::now().timestamp_micros()).max(0) as u64;
            let wait = Duration::from_secs(wait.div_ceil(1_000_000).max(1));
            Job::new_one_shot_async(wait, move |_, _| Box::pin(async move { fired(plan.first) }))?
        } else {
            let period = Duration::from_micros(plan.period as u64);
            Job::new_repeated_async(period, |_, _| Box::pin(async { fired_on_second() }))?
        };
        self.0.add(job).await?;
        ARMED.fetch_add(1, Relaxed);
        Ok(())
    }
}

/// A schedule of apalis is a worker, so there is one for each.
pub struct Apalis;

impl Peer for Apalis {
    const WHOLE_SECONDS: bool = true;
    const TELLS_ARMED: bool = false;

    async fn add(&self, at: usize, plan: Plan) -> Result<(), Box<dyn Error>> {
        use apalis::prelude::*;
        use apalis_cron::{CronScheduler, Tick};
        let first = time(plan.first);
        let text = match plan.period {
            0 => format!("{} {} {} * * *", first.second(), first.minute(), first.hour()),
            1_000_000 => "* * * * * *".to_owned(),
            _ => "0 0 0 1 1 *".to_owned(),
        };
        let worker = WorkerBuilder::new(format!("worker-{at}"))
            .backend(CronScheduler::new(cron::Schedule::from_str(&text)?))
            .build(|tick: Tick| async move { fired(tick.get_timestamp() as i64 * 1_000_000) });
        tokio::spawn(async move {
            drop(worker.run().await);
        });
        Ok(())
    }
}
