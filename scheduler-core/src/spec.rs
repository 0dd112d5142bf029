//! How a user describes a new job.

use chrono::{DateTime, TimeZone, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Conflict, ExecutorName, JobId, PartialOptions, StoreName, Tags, Task, TaskName, Trigger, store::whole_micros,
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
    pub(crate) tags: Tags,
    pub(crate) meta: Result<Value, String>,
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
            tags: Tags::default(),
            meta: Ok(Value::Null),
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

    /// What the task is called with, as JSON. Defaults to `null`. What cannot be written as JSON, or not be read
    /// again, is an error when the job is added: more than [`NESTING_LIMIT`](crate::NESTING_LIMIT) arrays and objects in each
    /// other.
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

    /// Adds a tag, by which the job is grouped and found with others: see [`JobFilter`](crate::store::JobFilter). At most
    /// [`Tags::LIMIT`] tags of at most [`Tags::LENGTH_LIMIT`] bytes, without control characters; others are an error when the job is added.
    ///
    /// ```
    /// # use scheduler_core::{JobSpec, trigger::Interval};
    /// let spec = JobSpec::new("invoice", Interval::hours(24)).tag("tenant:42").tags(["billing", "nightly"]);
    /// # let _ = spec;
    /// ```
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags = self.tags.with(tag);
        self
    }

    /// Adds tags, as [`tag`](Self::tag) does.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags.into_iter().fold(self.tags, Tags::with);
        self
    }

    /// What the application notes about the job, as JSON: who asked for it, a link, a colour. It means nothing to the
    /// scheduler, is no argument of the task, and is read from [`JobBody::meta`](crate::JobBody::meta). Defaults to
    /// `null`. It is checked as [`args`](Self::args) are.
    pub fn meta(mut self, meta: impl Serialize) -> Self {
        self.meta = serde_json::to_value(meta).map_err(|error| error.to_string());
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

    /// Options that several jobs have in common; those that were given before are dropped. There is a setter for each option,
    /// too.
    pub fn options(mut self, options: PartialOptions) -> Self {
        self.options = options;
        self
    }

    /// The task that the job runs.
    pub fn task_name(&self) -> &TaskName {
        &self.task
    }

    /// The id under which the job is known, if one is given.
    pub fn job_id(&self) -> Option<&JobId> {
        self.id.as_ref()
    }

    /// The store that keeps the job, if one is named.
    pub fn store_name(&self) -> Option<&StoreName> {
        self.store.as_ref()
    }

    /// What is done when a job with this id is there already.
    pub fn conflict(&self) -> Conflict {
        self.conflict
    }

    /// The trigger, if the job does not run at once.
    pub fn trigger(&self) -> Option<&Trigger> {
        self.trigger.as_ref()
    }

    /// The trigger, to be changed, if the job does not run at once.
    #[doc(hidden)]
    pub fn trigger_mut(&mut self) -> Option<&mut Trigger> {
        self.trigger.as_mut()
    }

    /// What the task is to be called with, or why that cannot be written as JSON.
    #[doc(hidden)]
    pub fn arguments(&self) -> Result<&Value, &str> {
        self.args.as_ref().map_err(String::as_str)
    }

    /// Takes over what its task has for all of its jobs and this one does not say otherwise.
    #[doc(hidden)]
    pub fn inherit(&mut self, task: &Task) {
        self.options = std::mem::take(&mut self.options).or(&task.options);
        self.executor = self.executor.take().or_else(|| task.executor.clone());
    }

    /// Takes the task of a closure out, to be registered under the name that the job is given in exchange.
    #[doc(hidden)]
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
