//! What a scheduler is made of, as a value.

use std::{collections::BTreeMap, time::Duration};

use chrono_tz::Tz;
use scheduler_core::{Error, ExecutorName, JobId, PartialOptions, StoreName, duration};
use scheduler_runtime::{Builder, Runtime, Scheduler};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    executor::ExecutorConfig,
    jobs::JobConfig,
    store::{Entry, StoreConfig},
    zone,
};

/// What a scheduler is made of, but for its tasks. What is not given has the default that a [`Builder`] has.
///
/// It can be a section of a program's own configuration, in any format of serde.
///
/// ```
/// use scheduler_config::SchedulerConfig;
/// use scheduler_thread::ThreadRuntime;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = SchedulerConfig::from_toml(&std::fs::read_to_string("scheduler.toml")?)?.with_env()?;
/// let scheduler = config
///     .builder(ThreadRuntime::new()?)
///     .await?
///     .task("greet", |name: String| async move { println!("hello, {name}") })
///     .build()?;
/// scheduler.start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SchedulerConfig {
    /// The zone of triggers that name none, by its name in the tz database. Defaults to UTC.
    #[serde(with = "zone", skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Tz>,
    /// After how long without a sign of life other nodes take over this one's runs. Defaults to 15 s.
    #[serde(with = "duration::given", skip_serializing_if = "Option::is_none")]
    pub lease: Option<Duration>,
    /// Within how long wake-ups are merged once they come thick. Defaults to 1 ms.
    #[serde(with = "duration::given", skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Duration>,
    /// The most runs that this node runs at once. Defaults to 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_limit: Option<usize>,
    /// What jobs get where their description says nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub job_defaults: PartialOptions,
    /// The stores by their names. Without one named `default` there is one in memory.
    #[serde(deserialize_with = "stores", skip_serializing_if = "BTreeMap::is_empty")]
    #[doc(alias = "jobstores")]
    pub stores: BTreeMap<StoreName, StoreConfig>,
    /// The executors by their names. Without one named `default` there is [`Spawn`](scheduler_executors::Spawn).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub executors: BTreeMap<ExecutorName, ExecutorConfig>,
    /// The jobs by their ids, which are added whenever the scheduler starts; see [`Builder::job`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs: BTreeMap<JobId, JobConfig>,
}

impl SchedulerConfig {
    /// Connects to the stores, and begins to put a scheduler together: the program adds its tasks, and builds it. Its start adds
    /// the jobs, and refuses one whose task, store, executor or arguments are wrong, by its id.
    ///
    /// # Errors
    ///
    /// A store cannot be connected to, or the feature of a store or an executor is not switched on. What is wrong with the
    /// rest, such as a lease that is too short, is an error of the builder's last step.
    pub async fn builder(self, runtime: impl Runtime) -> Result<Builder, Error> {
        let mut builder = Scheduler::builder(runtime).job_defaults(self.job_defaults);
        if let Some(zone) = self.timezone {
            builder = builder.timezone(zone);
        }
        if let Some(lease) = self.lease {
            builder = builder.lease(lease);
        }
        if let Some(accuracy) = self.accuracy {
            builder = builder.accuracy(accuracy);
        }
        if let Some(runs) = self.run_limit {
            builder = builder.run_limit(runs);
        }
        for (name, executor) in self.executors {
            builder = executor.add_to(builder, name)?;
        }
        for (name, store) in self.stores {
            let store = store.connect().await.map_err(|error| Error::from_store(&name, error))?;
            builder = builder.store(name, store);
        }
        for (id, job) in self.jobs {
            builder = builder.job(job.into_spec(id));
        }
        Ok(builder)
    }
}

fn stores<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<StoreName, StoreConfig>, D::Error> {
    let stores = BTreeMap::<StoreName, Entry>::deserialize(deserializer)?;
    Ok(stores.into_iter().map(|(name, Entry(store))| (name, store)).collect())
}

fn is_default(options: &PartialOptions) -> bool {
    *options == PartialOptions::default()
}
