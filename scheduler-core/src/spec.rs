//! How a user describes a new job, and changes to one.

use std::{num::NonZeroU32, time::Duration};

use chrono::{DateTime, TimeZone, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Coalesce, Conflict, Delivery, ExecutorName, JobId, JobOptions, Overlap, StoreName, Task, TaskName, Trigger,
    WhenFinished,
};

/// Describes a new job: which task, when, and what differs from the scheduler's job defaults.
///
/// ```
/// use scheduler_core::{JobSpec, Overlap, trigger::Interval};
///
/// let spec = JobSpec::new("report", Interval::seconds(10))
///     .id("nightly")
///     .args(serde_json::json!({"to": "ann"}))
///     .overlap(Overlap::Queue(5));
/// assert_eq!(spec.task_name(), "report");
/// ```
#[derive(Debug, Clone)]
#[doc(alias = "add_job")]
pub struct JobSpec {
    pub(crate) task: TaskName,
    pub(crate) closure: Option<Task>,
    pub(crate) trigger: Option<Trigger>,
    pub(crate) store: Option<StoreName>,
    pub(crate) id: Option<JobId>,
    pub(crate) name: Option<String>,
    pub(crate) args: Result<Value, String>,
    pub(crate) executor: Option<ExecutorName>,
    pub(crate) options: PartialOptions,
    pub(crate) conflict: Conflict,
    pub(crate) begin: Begin,
}

/// How a new job begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Begin {
    /// With its trigger's first fire time.
    Trigger,
    /// At this time, whatever the trigger says.
    At(DateTime<Utc>),
    /// Paused.
    Paused,
}

impl JobSpec {
    /// A job that runs a registered task when a trigger says so.
    pub fn new(task: impl Into<TaskName>, trigger: impl Into<Trigger>) -> Self {
        Self::with(task.into(), Some(trigger.into()))
    }

    /// A job that runs a registered task once, at once.
    pub fn now(task: impl Into<TaskName>) -> Self {
        Self::with(task.into(), None)
    }

    /// A job that runs a task of its own, such as a closure, which only a store within this process can keep.
    pub fn closure(task: Task, trigger: impl Into<Trigger>) -> Self {
        Self { closure: Some(task.clone()), ..Self::with(task.name().clone(), Some(trigger.into())) }
    }

    fn with(task: TaskName, trigger: Option<Trigger>) -> Self {
        Self {
            task,
            closure: None,
            trigger,
            store: None,
            id: None,
            name: None,
            args: Ok(Value::Null),
            executor: None,
            options: PartialOptions::default(),
            conflict: Conflict::default(),
            begin: Begin::Trigger,
        }
    }

    /// The id under which the job is known. Defaults to its uid, 32 hexadecimal digits.
    pub fn id(mut self, id: impl Into<JobId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The store that keeps the job. Defaults to `default`.
    #[doc(alias = "jobstore")]
    pub fn store(mut self, store: impl Into<StoreName>) -> Self {
        self.store = Some(store.into());
        self
    }

    /// A name for people. Defaults to the task's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What the task is called with, as JSON. Defaults to `null`. What cannot be written as JSON is an error when the
    /// job is added.
    #[doc(alias = "kwargs")]
    pub fn args(mut self, args: impl Serialize) -> Self {
        self.args = serde_json::to_value(args).map_err(|error| error.to_string());
        self
    }

    /// The executor that runs it. Defaults to `default`.
    pub fn executor(mut self, executor: impl Into<ExecutorName>) -> Self {
        self.executor = Some(executor.into());
        self
    }

    /// What to do when a job with this id is there already. Defaults to [`Conflict::Error`].
    #[doc(alias = "replace_existing")]
    pub fn on_conflict(mut self, conflict: Conflict) -> Self {
        self.conflict = conflict;
        self
    }

    /// Adds the job paused: it fires when it has been resumed. APScheduler's `next_run_time=None`.
    pub fn paused(mut self) -> Self {
        self.begin = Begin::Paused;
        self
    }

    /// Makes the first fire time exactly this one, whatever the trigger says; later ones follow from it.
    #[doc(alias = "next_run_time")]
    pub fn first_fire_time<Z: TimeZone>(mut self, at: DateTime<Z>) -> Self {
        self.begin = Begin::At(whole_micros(at.with_timezone(&Utc)));
        self
    }

    /// Options that several jobs have in common; those that were given before are dropped.
    pub fn options(mut self, options: PartialOptions) -> Self {
        self.options = options;
        self
    }

    /// How late a fire time may be settled and still run. Defaults to none: however late.
    pub fn misfire_grace_time(mut self, grace: impl Into<Option<Duration>>) -> Self {
        self.options = self.options.misfire_grace_time(grace);
        self
    }

    /// Which of several fire times that are due at once run. Defaults to the latest.
    pub fn coalesce(mut self, coalesce: Coalesce) -> Self {
        self.options = self.options.coalesce(coalesce);
        self
    }

    /// How many runs may be running at once; 0 counts as 1. Defaults to 1.
    pub fn max_instances(mut self, n: u32) -> Self {
        self.options = self.options.max_instances(n);
        self
    }

    /// What becomes of a fire time when that many are running. Defaults to [`Overlap::Skip`].
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.options = self.options.overlap(overlap);
        self
    }

    /// What becomes of a run whose node dies. Defaults to at least once in a store that outlives the process.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.options = self.options.delivery(delivery);
        self
    }

    /// How many ended runs the store keeps. Defaults to 100.
    pub fn history(mut self, runs: u32) -> Self {
        self.options = self.options.history(runs);
        self
    }

    /// What becomes of the job after its last fire time. Defaults to being removed.
    pub fn when_finished(mut self, when_finished: WhenFinished) -> Self {
        self.options = self.options.when_finished(when_finished);
        self
    }

    /// The task that the job runs.
    pub fn task_name(&self) -> &TaskName {
        &self.task
    }

    /// The store that keeps the job, if one is named.
    pub fn store_name(&self) -> Option<&StoreName> {
        self.store.as_ref()
    }

    /// The trigger, if the job does not run at once.
    pub fn trigger_mut(&mut self) -> Option<&mut Trigger> {
        self.trigger.as_mut()
    }

    /// What the task is to be called with, or why that cannot be written as JSON.
    pub fn arguments(&self) -> Result<&Value, &str> {
        self.args.as_ref().map_err(String::as_str)
    }

    /// Takes the task of a closure out, to be registered under the name that the job is given in exchange.
    pub fn take_closure(&mut self, number: u64) -> Option<Task> {
        let task = self.closure.take()?.renamed(format!("{CLOSURE}{number}"));
        self.task = task.name().clone();
        Some(task)
    }
}

/// How the names of closures begin, which only the process that made them knows.
const CLOSURE: &str = "closure#";

pub(crate) fn is_closure(task: &TaskName) -> bool {
    task.as_str().starts_with(CLOSURE)
}

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

/// Changes to a job; what is not given stays.
///
/// ```
/// use scheduler_core::JobChange;
/// let change = JobChange::default().args(serde_json::json!({"to": "bob"})).max_instances(2);
/// # let _ = change;
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[doc(alias = "modify_job")]
pub struct JobChange {
    pub(crate) name: Option<String>,
    pub(crate) task: Option<TaskName>,
    pub(crate) args: Option<Result<Value, String>>,
    pub(crate) executor: Option<ExecutorName>,
    pub(crate) options: PartialOptions,
    pub(crate) trigger: Option<Trigger>,
    pub(crate) next_fire_time: Option<DateTime<Utc>>,
}

impl JobChange {
    /// Another name for people.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Another task.
    #[doc(alias = "func")]
    pub fn task(mut self, task: impl Into<TaskName>) -> Self {
        self.task = Some(task.into());
        self
    }

    /// Other arguments.
    pub fn args(mut self, args: impl Serialize) -> Self {
        self.args = Some(serde_json::to_value(args).map_err(|error| error.to_string()));
        self
    }

    /// Another executor.
    pub fn executor(mut self, executor: impl Into<ExecutorName>) -> Self {
        self.executor = Some(executor.into());
        self
    }

    /// Another trigger; the next fire time is computed from now. Unlike in APScheduler, where `modify_job` leaves the old
    /// next fire time standing.
    pub fn trigger(mut self, trigger: impl Into<Trigger>) -> Self {
        self.trigger = Some(trigger.into());
        self
    }

    /// Makes the next fire time exactly this one; later ones follow from it. An error for a paused job, which has none.
    #[doc(alias = "next_run_time")]
    pub fn next_fire_time<Z: TimeZone>(mut self, at: DateTime<Z>) -> Self {
        self.next_fire_time = Some(whole_micros(at.with_timezone(&Utc)));
        self
    }

    /// Other options.
    pub fn options(mut self, options: PartialOptions) -> Self {
        self.options = options;
        self
    }

    /// Another [`JobOptions::misfire_grace_time`].
    pub fn misfire_grace_time(mut self, grace: impl Into<Option<Duration>>) -> Self {
        self.options = self.options.misfire_grace_time(grace);
        self
    }

    /// Another [`JobOptions::coalesce`].
    pub fn coalesce(mut self, coalesce: Coalesce) -> Self {
        self.options = self.options.coalesce(coalesce);
        self
    }

    /// Another [`JobOptions::max_instances`]; 0 counts as 1.
    pub fn max_instances(mut self, n: u32) -> Self {
        self.options = self.options.max_instances(n);
        self
    }

    /// Another [`JobOptions::overlap`].
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.options = self.options.overlap(overlap);
        self
    }

    /// The new trigger, if there is one.
    pub fn trigger_mut(&mut self) -> Option<&mut Trigger> {
        self.trigger.as_mut()
    }

    /// The task and the arguments that it would have, to be checked before the change is made.
    pub fn call(&self) -> (Option<&TaskName>, Option<Result<&Value, &str>>) {
        (self.task.as_ref(), self.args.as_ref().map(|args| args.as_ref().map_err(String::as_str)))
    }
}

/// Cuts an instant to whole microseconds, which is what every store keeps.
pub(crate) fn whole_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}
