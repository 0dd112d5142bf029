//! How a user describes changes to a job.

use chrono::{DateTime, TimeZone, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::{ExecutorName, PartialOptions, Tags, TaskName, Trigger, store::whole_micros};

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
    pub(crate) tags: Option<Tags>,
    pub(crate) meta: Option<Result<Value, String>>,
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

    /// Other tags, in the place of those that the job has; none take them away. See [`JobSpec::tag`](crate::JobSpec::tag).
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = Some(tags.into_iter().collect());
        self
    }

    /// Other notes of the application about the job; `null` takes them away. See [`JobSpec::meta`](crate::JobSpec::meta).
    pub fn meta(mut self, meta: impl Serialize) -> Self {
        self.meta = Some(serde_json::to_value(meta).map_err(|error| error.to_string()));
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

    /// The new trigger, if there is one.
    pub fn trigger_mut(&mut self) -> Option<&mut Trigger> {
        self.trigger.as_mut()
    }

    /// The task and the arguments that it would have, to be checked before the change is made.
    pub fn call(&self) -> (Option<&TaskName>, Option<Result<&Value, &str>>) {
        (self.task.as_ref(), self.args.as_ref().map(|args| args.as_ref().map_err(String::as_str)))
    }
}
