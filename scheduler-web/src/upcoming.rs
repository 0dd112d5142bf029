//! What runs in the coming hours, over all jobs: counts for a picture, and a list of what comes first.
//!
//! It is computed from the triggers. Jobs are read in the order of their next fire times, up to a limit; so is the work for fire times.

use std::{cmp::Reverse, collections::BinaryHeap};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_core::{
    JobState,
    store::{JobFilter, JobOrder, JobStateKind},
};
use scheduler_runtime::{Job, Page, Scheduler};
use serde::Serialize;

use crate::{
    clock_changes::{self, ClockChange},
    problem::Problem,
};

/// Into how many equal parts the time is divided.
pub(crate) const BUCKETS: usize = 96;
/// The longest time that can be looked ahead.
pub(crate) const HOURS_LIMIT: usize = 7 * 24;
/// The most jobs that are looked at.
const JOBS: usize = 2_000;
/// The most fire times that are searched for one by one, of a job and of all. Those of an interval are counted, whatever their number.
const OF_A_JOB: usize = 2_000;
const OF_ALL: usize = 20_000;
/// The most jobs that are asked what the clocks do to them.
const OF_CLOCKS: usize = 200;
/// How many jobs a round trip brings.
const PAGE: usize = 500;

/// From how many fire times in the time on a job counts as frequent: four in each part.
const FREQUENT: u64 = 4 * BUCKETS as u64;

/// What runs in the coming hours.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Upcoming {
    pub(crate) from: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
    /// How many seconds each of the counts stands for.
    pub(crate) seconds: i64,
    /// How many fire times there are in each part of the time, but for those of the frequent jobs: beside them, nothing else would show.
    pub(crate) counts: Vec<u64>,
    /// The jobs that run all the time.
    pub(crate) frequent: Vec<Frequent>,
    /// Whether the counts are whole. If not, there are more fire times than are searched for.
    pub(crate) is_complete: bool,
    /// What changes of the clocks in the next 13 months do to those of the jobs that fire in the time, the earliest first.
    pub(crate) clock_changes: Vec<Clocks>,
    /// How many jobs fire in the time.
    pub(crate) jobs: usize,
    /// The first fire times.
    pub(crate) fire_times: Vec<Coming>,
}

/// A job that runs all the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Frequent {
    pub(crate) job: String,
    pub(crate) store: String,
    /// How many fire times it has.
    pub(crate) count: u64,
}

impl Upcoming {
    pub(crate) fn total(&self) -> u64 {
        let frequent = self.frequent.iter().map(|it| it.count);
        self.counts.iter().copied().chain(frequent).fold(0, u64::saturating_add)
    }
}

/// A job that a change of the clocks does something to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Clocks {
    pub(crate) job: String,
    pub(crate) store: String,
    #[serde(flatten)]
    pub(crate) change: ClockChange,
}

/// A fire time to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Coming {
    pub(crate) at: DateTime<Utc>,
    pub(crate) job: String,
    pub(crate) store: String,
    pub(crate) name: String,
    pub(crate) task: String,
}

/// Whose fire times are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    All,
    /// All but those of the frequent jobs, which would fill a page by themselves.
    ButFrequent,
}

/// What runs within so many hours from now, and the first `limit` fire times of those that are `listed`.
pub(crate) async fn read(
    scheduler: &Scheduler,
    hours: usize,
    limit: usize,
    listed: Listed,
) -> Result<Upcoming, Problem> {
    let from = scheduler.now();
    let hours = i64::try_from(hours.clamp(1, HOURS_LIMIT)).unwrap_or(24);
    let length = TimeDelta::hours(hours);
    let until = from.checked_add_signed(length).unwrap_or(from);
    let (jobs, are_all) = jobs_until(scheduler, until).await?;
    let seconds = length.num_seconds() / BUCKETS as i64;
    let bucket = length / BUCKETS as i32;
    let (mut counts, mut frequent, mut is_complete, mut left) = (vec![0_u64; BUCKETS], Vec::new(), are_all, OF_ALL);
    let mut in_list = Vec::new();
    for job in &jobs {
        let mut strip = Strip { from, until, bucket, counts: vec![0; BUCKETS], left };
        is_complete &= strip.count(job);
        left = strip.left;
        let count = strip.counts.iter().copied().fold(0, u64::saturating_add);
        if listed == Listed::All || count < FREQUENT {
            in_list.push(job);
        }
        if count >= FREQUENT {
            frequent.push(Frequent { job: job.id.to_string(), store: job.store().to_string(), count });
        } else {
            counts.iter_mut().zip(strip.counts).for_each(|(all, one)| *all = all.saturating_add(one));
        }
    }
    Ok(Upcoming {
        from,
        until,
        seconds,
        counts,
        frequent,
        is_complete,
        clock_changes: clocks(&jobs, from),
        jobs: jobs.len(),
        fire_times: first(&in_list, until, limit),
    })
}

/// The jobs that fire before this time, and whether they are all that do.
async fn jobs_until(scheduler: &Scheduler, until: DateTime<Utc>) -> Result<(Vec<Job>, bool), Problem> {
    let mut jobs = Vec::new();
    let mut page = Page::first(PAGE);
    loop {
        let filter = JobFilter::new().state(JobStateKind::Active);
        let found = scheduler.search_jobs(filter, JobOrder::NextFireTime, page).await?;
        for job in found.jobs {
            match job.next_fire_time.filter(|next| *next < until) {
                Some(_) if jobs.len() >= JOBS => return Ok((jobs, false)),
                Some(_) if job.state == JobState::Active => jobs.push(job),
                Some(_) => {}
                // They come by their next fire times.
                None => return Ok((jobs, true)),
            }
        }
        match found.next {
            Some(cursor) => page = Page::after(cursor, PAGE),
            None => return Ok((jobs, true)),
        }
    }
}

/// The fire times of a job in each part of the time.
struct Strip {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    bucket: TimeDelta,
    counts: Vec<u64>,
    /// How many fire times may still be searched for one by one.
    left: usize,
}

impl Strip {
    /// Counts the fire times of a job; false if there are more than are searched for.
    fn count(&mut self, job: &Job) -> bool {
        let Some(next) = job.next_fire_time else { return true };
        self.add(next, 1);
        let trigger = &job.body.trigger;
        if trigger.waits_for_end() || self.count_cheaply(job, next) {
            return true;
        }
        let most = OF_A_JOB.min(self.left);
        let mut searched = 0;
        for fire_time in trigger.fires(next).take(most) {
            searched += 1;
            self.left = self.left.saturating_sub(1);
            match fire_time {
                Ok(at) if at < self.until => self.add(at, 1),
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
        searched < most
    }

    /// Counts by arithmetic what follows the next fire time, where the trigger can.
    fn count_cheaply(&mut self, job: &Job, next: DateTime<Utc>) -> bool {
        let instant = TimeDelta::microseconds(1);
        let mut counts = Vec::with_capacity(self.counts.len());
        let mut begin = self.from;
        for _ in 0..self.counts.len() {
            let Some(end) = begin.checked_add_signed(self.bucket) else { return false };
            let (first, last) = (begin.max(next.checked_add_signed(instant).unwrap_or(next)), end - instant);
            counts.push(match first <= last {
                true => job.body.trigger.count(first, last),
                false => Some(0),
            });
            begin = end;
        }
        let Some(counts) = counts.into_iter().collect::<Option<Vec<u64>>>() else { return false };
        for (total, count) in self.counts.iter_mut().zip(counts) {
            *total = total.saturating_add(count);
        }
        true
    }

    fn add(&mut self, at: DateTime<Utc>, count: u64) {
        // What is late runs now.
        let since = at.signed_duration_since(self.from).max(TimeDelta::zero());
        let number = since.num_milliseconds().checked_div(self.bucket.num_milliseconds());
        let bucket = number.and_then(|number| usize::try_from(number).ok()).and_then(|at| self.counts.get_mut(at));
        if let Some(total) = bucket {
            *total = total.saturating_add(count);
        }
    }
}

/// What the clocks do to these jobs.
fn clocks(jobs: &[Job], now: DateTime<Utc>) -> Vec<Clocks> {
    let (mut found, mut left) = (Vec::new(), OF_CLOCKS);
    for job in jobs.iter().filter(|job| job.body.trigger.zone().is_some_and(|zone| zone != Tz::UTC)) {
        if left == 0 {
            break;
        }
        left -= 1;
        found.extend(clock_changes::of(&job.body.trigger, now).into_iter().map(|change| Clocks {
            job: job.id.to_string(),
            store: job.store().to_string(),
            change,
        }));
    }
    found.sort_by_key(|it| it.change.at);
    found
}

/// The first fire times of these jobs, in their order.
fn first(jobs: &[&Job], until: DateTime<Utc>, limit: usize) -> Vec<Coming> {
    let mut heads: BinaryHeap<Reverse<(DateTime<Utc>, usize)>> =
        jobs.iter().enumerate().filter_map(|(number, job)| Some(Reverse((job.next_fire_time?, number)))).collect();
    let mut coming = Vec::new();
    while coming.len() < limit
        && let Some(Reverse((at, number))) = heads.pop()
        && let Some(job) = jobs.get(number)
    {
        coming.push(Coming {
            at,
            job: job.id.to_string(),
            store: job.store().to_string(),
            name: job.body.display_name().to_owned(),
            task: job.body.task.to_string(),
        });
        let trigger = &job.body.trigger;
        let following = if trigger.waits_for_end() { None } else { trigger.fires(at).next().and_then(Result::ok) };
        heads.extend(following.filter(|next| *next < until).map(|next| Reverse((next, number))));
    }
    coming
}
