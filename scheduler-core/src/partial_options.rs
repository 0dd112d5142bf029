//! Options of which some are given, and the setters that go with them.

use std::{num::NonZeroU32, time::Duration};

use crate::{Coalesce, Delivery, JobChange, JobOptions, JobSpec, Overlap, WhenFinished};

/// Options of which some are given: a scheduler's job defaults, or the changes to a job.
///
/// ```
/// use scheduler_core::{JobOptions, PartialOptions};
/// let defaults = PartialOptions::default().max_instances(3);
/// assert_eq!(defaults.over(JobOptions::default()).max_instances.get(), 3);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[doc(alias = "job_defaults")]
pub struct PartialOptions {
    misfire_grace_time: Option<Option<Duration>>,
    coalesce: Option<Coalesce>,
    max_instances: Option<NonZeroU32>,
    overlap: Option<Overlap>,
    delivery: Option<Delivery>,
    history: Option<u32>,
    when_finished: Option<WhenFinished>,
}

impl PartialOptions {
    /// See [`JobOptions::misfire_grace_time`].
    pub fn misfire_grace_time(mut self, grace: impl Into<Option<Duration>>) -> Self {
        self.misfire_grace_time = Some(grace.into());
        self
    }

    /// See [`JobOptions::coalesce`].
    pub fn coalesce(mut self, coalesce: Coalesce) -> Self {
        self.coalesce = Some(coalesce);
        self
    }

    /// See [`JobOptions::max_instances`]; 0 counts as 1.
    pub fn max_instances(mut self, n: u32) -> Self {
        self.max_instances = Some(NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN));
        self
    }

    /// See [`JobOptions::overlap`].
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = Some(overlap);
        self
    }

    /// See [`JobOptions::delivery`].
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = Some(delivery);
        self
    }

    /// See [`JobOptions::history`].
    pub fn history(mut self, runs: u32) -> Self {
        self.history = Some(runs);
        self
    }

    /// See [`JobOptions::when_finished`].
    pub fn when_finished(mut self, when_finished: WhenFinished) -> Self {
        self.when_finished = Some(when_finished);
        self
    }

    /// The given options, with those that are set here in their place.
    pub fn over(&self, mut options: JobOptions) -> JobOptions {
        fn set<T: Clone>(to: &mut T, from: &Option<T>) {
            if let Some(value) = from {
                to.clone_from(value);
            }
        }
        set(&mut options.misfire_grace_time, &self.misfire_grace_time);
        set(&mut options.coalesce, &self.coalesce);
        set(&mut options.max_instances, &self.max_instances);
        set(&mut options.overlap, &self.overlap);
        set(&mut options.delivery, &self.delivery);
        set(&mut options.history, &self.history);
        set(&mut options.when_finished, &self.when_finished);
        options
    }
}

/// The setters of [`PartialOptions`], for a type that has some in its field `options`.
macro_rules! option_setters {
    ($of:ty) => {
        impl $of {
            /// How late a fire time may be settled and still run; see [`JobOptions::misfire_grace_time`].
            pub fn misfire_grace_time(mut self, grace: impl Into<Option<Duration>>) -> Self {
                self.options = self.options.misfire_grace_time(grace);
                self
            }

            /// Which of several fire times that are due at once run; see [`JobOptions::coalesce`].
            pub fn coalesce(mut self, coalesce: Coalesce) -> Self {
                self.options = self.options.coalesce(coalesce);
                self
            }

            /// How many runs may be running at once, 0 counting as 1; see [`JobOptions::max_instances`].
            pub fn max_instances(mut self, n: u32) -> Self {
                self.options = self.options.max_instances(n);
                self
            }

            /// What becomes of a fire time when that many are running; see [`JobOptions::overlap`].
            pub fn overlap(mut self, overlap: Overlap) -> Self {
                self.options = self.options.overlap(overlap);
                self
            }

            /// What becomes of a run whose node dies; see [`JobOptions::delivery`].
            pub fn delivery(mut self, delivery: Delivery) -> Self {
                self.options = self.options.delivery(delivery);
                self
            }

            /// How many ended runs the store keeps; see [`JobOptions::history`].
            pub fn history(mut self, runs: u32) -> Self {
                self.options = self.options.history(runs);
                self
            }

            /// What becomes of the job after its last fire time; see [`JobOptions::when_finished`].
            pub fn when_finished(mut self, when_finished: WhenFinished) -> Self {
                self.options = self.options.when_finished(when_finished);
                self
            }
        }
    };
}

option_setters!(JobSpec);
option_setters!(JobChange);
