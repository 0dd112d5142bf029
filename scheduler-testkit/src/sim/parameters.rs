//! What a seed draws before anything happens: the cluster, the faults, the jobs.

use std::{num::NonZeroUsize, time::Duration};

use scheduler_core::{
    Coalesce, Delivery, JobSpec, Overlap, PartialOptions, Retry, Trigger, WhenFinished,
    store::{Clock, Wakes},
    trigger::{Cron, Date, Interval},
};

use super::{
    chance::Chance,
    time::{MS, SECOND, utc},
};

/// What a seed has drawn.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// How many nodes there are.
    pub nodes: usize,
    /// How long a node's runs are left alone.
    pub lease: Duration,
    /// How long the faults last.
    pub chaos: Duration,
    /// Whose clock the store goes by.
    pub clock: Clock,
    /// How the store tells of changes.
    pub wakes: Wakes,
    /// The usual time of a message, one way.
    pub latency: Duration,
    /// After how long a caller gives a store call up.
    pub timeout: Duration,
    /// How many calls of a thousand go wrong in some way.
    pub troubled_calls: i64,
    /// The most items of a store call.
    pub batch: usize,
    /// The most jobs of a claim.
    pub claim_limit: usize,
    /// The most runs of a node.
    pub run_limit: usize,
    /// The most runs that a node's executor takes at once; none if any number.
    pub slots: Option<NonZeroUsize>,
    pub(super) faults: i64,
    pub(super) commands: i64,
    pub(super) jobs: i64,
    pub(super) is_job_defaults: bool,
    /// The limit keys, of which each job has one or none.
    pub(super) keys: &'static [&'static str],
}

impl Parameters {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let lease = chance.between(2, 15);
        let is_server = chance.permille(700);
        let latency = chance.pick(&[0, 200, 2_000, 20_000, 150_000]);
        // Never so short that a call without a fault does not come back in time.
        let timeout = chance.between(300, 1_500 * lease).max(latency / 1_000 * 5);
        let wakes = if chance.permille(600) { Wakes::Push } else { Wakes::Poll(Duration::from_secs(1)) };
        Self {
            nodes: chance.between(1, 4) as usize,
            lease: Duration::from_secs(lease as u64),
            chaos: Duration::from_secs(chance.between(30, 150) as u64),
            clock: if is_server { Clock::Server } else { Clock::Caller },
            wakes,
            latency: Duration::from_micros(latency as u64),
            timeout: Duration::from_millis(timeout as u64),
            troubled_calls: chance.pick(&[0, 5, 30, 100]),
            batch: chance.pick(&[1, 3, 1_000]),
            claim_limit: chance.pick(&[1, 2, 1_000]),
            run_limit: chance.pick(&[1, 5, 100_000]),
            slots: NonZeroUsize::new(chance.pick(&[0, 0, 1, 3])),
            faults: chance.pick(&[0, 3, 10]),
            commands: chance.pick(&[0, 0, 5, 30, 300]),
            jobs: chance.between(1, 10),
            is_job_defaults: chance.permille(300),
            keys: chance.pick(&[&[][..], &["printer"], &["printer", "tenant", "tenant", ""]]),
        }
    }

    pub(super) fn chaos_ends(&self) -> i64 {
        self.chaos.as_micros() as i64
    }

    pub(super) fn lease_micros(&self) -> i64 {
        self.lease.as_micros() as i64
    }

    /// A job whose last fire time falls into the time of faults.
    pub(super) fn draw_job(&self, chance: &mut Chance, number: i64) -> JobSpec {
        let spec = JobSpec::new("work", self.draw_trigger(chance)).id(format!("job-{number}"));
        let mut options = PartialOptions::default().history(1_000_000);
        if !self.is_job_defaults {
            options = options
                .misfire_grace_time(chance.pick(&[None, None, Some(0), Some(2), Some(20)]).map(Duration::from_secs))
                .coalesce(chance.pick(&[Coalesce::Latest, Coalesce::Latest, Coalesce::Earliest, Coalesce::All]))
                .overlap(chance.pick(&[
                    Overlap::Skip,
                    Overlap::Skip,
                    Overlap::Queue(1),
                    Overlap::Queue(5),
                    Overlap::Allow,
                    Overlap::CancelPrevious,
                ]))
                .when_finished(chance.pick(&[WhenFinished::Remove, WhenFinished::Keep]))
                .retention(Duration::from_secs(chance.pick(&[0, 0, 5, 3_600])));
        }
        options = options.delivery(chance.pick(&[Delivery::AtLeastOnce, Delivery::AtMostOnce]));
        let spec = spec.options(options).priority(chance.between(-1, 1) as i32);
        let spec = match chance.pick(&[0, 0, 0, 200, 2_000, 5_000]) {
            0 => spec,
            millis => spec.timeout(Duration::from_millis(millis)),
        };
        let spec = if self.keys.is_empty() { spec } else { spec.limit_key(chance.pick(self.keys)) };
        let spec = match chance.pick(&[0, 0, 2, 4]) {
            0 => spec,
            attempts => {
                let pause = Duration::from_millis(chance.between(0, 2_000) as u64);
                spec.retry(Retry::attempts(attempts).backoff(pause).cap(Duration::from_secs(5)))
            }
        };
        if self.is_job_defaults { spec } else { spec.max_instances(chance.pick(&[1, 1, 2, 4])) }
    }

    /// The same for a job that gets another trigger.
    pub(super) fn draw_trigger(&self, chance: &mut Chance) -> Trigger {
        let end = utc(self.chaos_ends());
        let period = chance.between(1, 20) as u64;
        let every = Interval::every(Duration::from_millis(period * 500 + 500));
        match chance.between(0, 9) {
            0 => Date::at(utc(chance.between(0, self.chaos_ends()))).into(),
            1 => Interval::after_end(Duration::from_secs(period)).until(end).into(),
            2 => Cron::fields().second(format!("*/{period}")).build().expect("the step is in range").end(end).into(),
            3 | 4 => every.until(end).jitter(Duration::from_millis(chance.between(1, 9_000) as u64)).into(),
            _ => every.until(end).into(),
        }
    }

    /// How long a task takes, in microseconds.
    pub(super) fn draw_duration(&self, chance: &mut Chance, is_calm: bool) -> i64 {
        match chance.between(0, 9) {
            _ if is_calm => chance.between(1, 100) * MS,
            0 => chance.between(self.lease_micros() / 2, self.lease_micros() * 5 / 2),
            1 | 2 => chance.between(SECOND / 2, 5 * SECOND),
            _ => chance.between(1, 500) * MS,
        }
    }
}
