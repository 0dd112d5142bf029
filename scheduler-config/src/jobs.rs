//! A job as a configuration has it.

use scheduler_core::{Conflict, ExecutorName, JobId, JobSpec, PartialOptions, StoreName, Tags, TaskName, Trigger};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Map, Value};

/// A job that the scheduler adds when it starts: its task, its trigger, and what differs from the defaults.
///
/// Options of the job are keys beside the others, as in [`PartialOptions`].
///
/// ```
/// use scheduler_config::{JobConfig, SchedulerConfig};
/// use scheduler_core::{PartialOptions, trigger::Interval};
///
/// let config = SchedulerConfig::from_toml(
///     r#"
///     [jobs.greeting]
///     task = "greet"
///     trigger = "every 10s"
///     args = { whom = "ann" }
///     max_instances = 3
///     "#,
/// )?;
/// let mut job = JobConfig::new("greet", Interval::seconds(10));
/// job.args = serde_json::json!({"whom": "ann"});
/// job.options = PartialOptions::default().max_instances(3);
/// assert_eq!(config.jobs["greeting"], job);
/// # Ok::<(), scheduler_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JobConfig {
    /// The task, by the name under which the program registers it.
    pub task: TaskName,
    /// When it fires: a text as triggers display (`every 10s`, `crontab 0 9 * * mon-fri in Europe/Berlin`,
    /// `date 2027-01-01T00:00:00Z`), or a table in their persisted form (`{ type = "interval", every_us = 10_000_000 }`).
    pub trigger: Trigger,
    /// What the task is called with. Defaults to nothing, which is `null`. Dates and times of TOML become texts.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub args: Value,
    /// The store that keeps it. Defaults to `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreName>,
    /// The executor that runs it. Defaults to `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<ExecutorName>,
    /// A name for people. Defaults to the task's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The words by which it is grouped and found.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// What the application notes about it. Defaults to nothing, which is `null`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub meta: Value,
    /// Whether it is paused when it is added for the first time. Defaults to false.
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
    /// What to do when the store has kept the job: `replace` it, `keep` what the store has, or `error`. Defaults to
    /// `replace`.
    #[serde(serialize_with = "conflict", skip_serializing_if = "is_replace")]
    pub on_conflict: Conflict,
    /// What differs from the job defaults.
    #[serde(flatten)]
    pub options: PartialOptions,
}

impl JobConfig {
    /// A job without options.
    pub fn new(task: impl Into<TaskName>, trigger: impl Into<Trigger>) -> Self {
        Self {
            task: task.into(),
            trigger: trigger.into(),
            args: Value::Null,
            store: None,
            executor: None,
            name: None,
            tags: Tags::default(),
            meta: Value::Null,
            paused: false,
            on_conflict: Conflict::Replace,
            options: PartialOptions::default(),
        }
    }

    pub(crate) fn into_spec(self, id: JobId) -> JobSpec {
        let mut spec = JobSpec::new(self.task, self.trigger)
            .id(id)
            .args(self.args)
            .tags(self.tags.iter())
            .meta(self.meta)
            .options(self.options)
            .on_conflict(self.on_conflict);
        if let Some(store) = self.store {
            spec = spec.store(store);
        }
        if let Some(executor) = self.executor {
            spec = spec.executor(executor);
        }
        if let Some(name) = self.name {
            spec = spec.name(name);
        }
        if self.paused { spec.paused() } else { spec }
    }
}

/// By way of JSON, in which args and triggers are anyway: serde's `flatten` would forget which option is wrong.
impl<'de> Deserialize<'de> for JobConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Map::deserialize(deserializer)?;
        table.values_mut().for_each(untimed);
        Self::read(table).map_err(D::Error::custom)
    }
}

impl JobConfig {
    fn read(mut table: Map<String, Value>) -> Result<Self, String> {
        let mut job = Self::new(required::<TaskName>(&mut table, "task")?, trigger(&mut table)?);
        job.args = table.remove("args").unwrap_or_default();
        job.store = optional(&mut table, "store")?;
        job.executor = optional(&mut table, "executor")?;
        job.name = optional(&mut table, "name")?;
        job.tags = optional(&mut table, "tags")?.unwrap_or_default();
        job.tags.check().map_err(|error| format!("`tags`: {error}"))?;
        job.meta = table.remove("meta").unwrap_or_default();
        job.paused = optional(&mut table, "paused")?.unwrap_or_default();
        if let Some(word) = optional::<String>(&mut table, "on_conflict")? {
            let named = [Conflict::Replace, Conflict::Keep, Conflict::Error].into_iter().find(|it| named(*it) == word);
            job.on_conflict =
                named.ok_or_else(|| format!("`on_conflict`: `{word}` is none of `replace`, `keep` and `error`"))?;
        }
        job.options = serde_path_to_error::deserialize(Value::from(table))
            .map_err(|error| format!("`{}`: {}", error.path(), error.inner()))?;
        Ok(job)
    }
}

fn trigger(table: &mut Map<String, Value>) -> Result<Trigger, String> {
    match required(table, "trigger")? {
        Value::String(text) => text.parse().map_err(|error| format!("`trigger`: {error}")),
        form @ Value::Object(_) => value("trigger", form),
        other => Err(format!("`trigger`: {other} is neither a text such as `every 10s` nor a table with its `type`")),
    }
}

fn required<T: DeserializeOwned>(table: &mut Map<String, Value>, key: &str) -> Result<T, String> {
    optional(table, key)?.ok_or_else(|| format!("`{key}` is missing"))
}

fn optional<T: DeserializeOwned>(table: &mut Map<String, Value>, key: &str) -> Result<Option<T>, String> {
    table.remove(key).filter(|value| !value.is_null()).map(|given| value(key, given)).transpose()
}

fn value<T: DeserializeOwned>(key: &str, value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("`{key}`: {error}"))
}

/// Dates and times of TOML come as a table with this key.
const DATETIME: &str = "$__toml_private_datetime";

fn untimed(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(untimed),
        Value::Object(table) => match table.remove(DATETIME) {
            Some(text) => *value = text,
            None => table.values_mut().for_each(untimed),
        },
        _ => {}
    }
}

fn named(conflict: Conflict) -> &'static str {
    match conflict {
        Conflict::Error => "error",
        Conflict::Replace => "replace",
        Conflict::Keep => "keep",
    }
}

fn conflict<S: Serializer>(conflict: &Conflict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(named(*conflict))
}

fn is_replace(conflict: &Conflict) -> bool {
    *conflict == Conflict::Replace
}

fn is_false(it: &bool) -> bool {
    !it
}
