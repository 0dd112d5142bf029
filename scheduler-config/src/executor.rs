//! An executor as a configuration has it.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};

#[cfg(not(all(feature = "process", unix)))]
use scheduler_core::ErrorKind;
use scheduler_core::{Error, ExecutorName, duration};
use scheduler_executors::{Inline, Spawn, ThreadPool};
use scheduler_runtime::Builder;
use serde::{Deserialize, Serialize};

/// An executor: its type, and what differs from its own defaults.
///
/// ```
/// use std::num::NonZeroUsize;
/// use scheduler_config::{ExecutorConfig, SchedulerConfig};
///
/// let config = SchedulerConfig::from_toml(
///     r#"
///     [executors]
///     reports = { type = "thread_pool", threads = 4 }
///     "#,
/// )?;
/// let pool = ExecutorConfig::ThreadPool { threads: NonZeroUsize::new(4), name: None, stack_size: None };
/// assert_eq!(config.executors["reports"], pool);
/// # Ok::<(), scheduler_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
#[non_exhaustive]
pub enum ExecutorConfig {
    /// `spawn`: futures on the scheduler's runtime, and its threads for blocking tasks; see [`Spawn`].
    Spawn {
        /// The most runs at once on this node; further ones wait. Defaults to none: any number.
        limit: Option<NonZeroUsize>,
    },
    /// `thread_pool`: threads of its own; see [`ThreadPool`].
    ThreadPool {
        /// The most threads. Defaults to 10.
        threads: Option<NonZeroUsize>,
        /// The name of the threads. Defaults to `apscheduler`.
        name: Option<String>,
        /// The stack of each thread in bytes.
        stack_size: Option<usize>,
    },
    /// `process_pool`: worker processes, under the feature `process` and on Unix; see `ProcessPool` of the executors. The
    /// program lets them serve first of all in `main`.
    ProcessPool {
        /// The most workers. Defaults to the number of processors.
        workers: Option<NonZeroUsize>,
        /// After how many runs a worker is replaced. Defaults to never.
        runs_per_worker: Option<NonZeroU64>,
        /// The most memory of a worker, in bytes. Defaults to no limit.
        memory_limit: Option<NonZeroU64>,
        /// How long a cancelled run may go on before its worker is killed. Defaults to one second.
        grace: Option<Duration>,
    },
    /// `commands`: programs, under the feature `process`; see `Commands` of the executors. The tasks that run them are
    /// registered by the program, and bring the bounds of their output.
    Commands {
        /// The most programs at once on this node; further ones wait. Defaults to 10.
        limit: Option<NonZeroUsize>,
    },
    /// `inline`: in place, on the scheduler's own loop; see [`Inline`].
    Inline,
}

impl ExecutorConfig {
    pub(crate) fn add_to(self, builder: Builder, name: ExecutorName) -> Result<Builder, Error> {
        Ok(match self {
            Self::Spawn { limit: None } => builder.executor(name, Spawn::new()),
            Self::Spawn { limit: Some(limit) } => builder.executor(name, Spawn::new().limit(limit.get())),
            Self::ThreadPool { threads, name: threads_name, stack_size } => {
                let mut pool = ThreadPool::new();
                if let Some(threads) = threads {
                    pool = pool.threads(threads.get());
                }
                if let Some(name) = threads_name {
                    pool = pool.named(name);
                }
                if let Some(bytes) = stack_size {
                    pool = pool.stack_size(bytes);
                }
                builder.executor(name, pool)
            }
            #[cfg(all(feature = "process", unix))]
            Self::ProcessPool { workers, runs_per_worker, memory_limit, grace } => {
                let mut pool = scheduler_executors::process::ProcessPool::new();
                if let Some(workers) = workers {
                    pool = pool.workers(workers.get());
                }
                if let Some(runs) = runs_per_worker {
                    pool = pool.runs_per_worker(runs.get());
                }
                if let Some(bytes) = memory_limit {
                    pool = pool.memory_limit(bytes.get());
                }
                if let Some(grace) = grace {
                    pool = pool.grace(grace);
                }
                builder.executor(name, pool)
            }
            #[cfg(feature = "process")]
            Self::Commands { limit } => {
                let commands = scheduler_executors::process::Commands::new();
                builder.executor(
                    name,
                    match limit {
                        Some(limit) => commands.limit(limit.get()),
                        None => commands,
                    },
                )
            }
            Self::Inline => builder.executor(name, Inline::new()),
            #[cfg(not(all(feature = "process", unix)))]
            missing => {
                let kind = Table::from(missing).r#type.name();
                let why = if cfg!(feature = "process") { "is for Unix alone" } else { "needs the feature `process`" };
                return Err(Error::new(ErrorKind::Config, format!("executor `{name}`: the type `{kind}` {why}")));
            }
        })
    }
}

/// What can be written about an executor, of whichever type, so that an error names the key.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    r#type: Type,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<NonZeroUsize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threads: Option<NonZeroUsize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stack_size: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workers: Option<NonZeroUsize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    runs_per_worker: Option<NonZeroU64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory_limit: Option<NonZeroU64>,
    #[serde(default, with = "duration::given", skip_serializing_if = "Option::is_none")]
    grace: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    #[default]
    Spawn,
    ThreadPool,
    ProcessPool,
    Commands,
    Inline,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::ThreadPool => "thread_pool",
            Self::ProcessPool => "process_pool",
            Self::Commands => "commands",
            Self::Inline => "inline",
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Spawn | Self::Commands => &["limit"],
            Self::ThreadPool => &["threads", "name", "stack_size"],
            Self::ProcessPool => &["workers", "runs_per_worker", "memory_limit", "grace"],
            Self::Inline => &[],
        }
    }
}

impl TryFrom<Table> for ExecutorConfig {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let given = [
            ("limit", table.limit.is_some()),
            ("threads", table.threads.is_some()),
            ("name", table.name.is_some()),
            ("stack_size", table.stack_size.is_some()),
            ("workers", table.workers.is_some()),
            ("runs_per_worker", table.runs_per_worker.is_some()),
            ("memory_limit", table.memory_limit.is_some()),
            ("grace", table.grace.is_some()),
        ];
        let (name, known) = (table.r#type.name(), table.r#type.options());
        match given.iter().find(|(option, is_given)| *is_given && !known.contains(option)) {
            Some((option, _)) if known.is_empty() => {
                return Err(format!("`{option}`: an executor of type `{name}` has no options"));
            }
            Some((option, _)) => {
                let known = known.join(", ");
                return Err(format!("`{option}`: an executor of type `{name}` does not have it, only {known}"));
            }
            None => {}
        }
        Ok(match table.r#type {
            Type::Spawn => Self::Spawn { limit: table.limit },
            Type::ThreadPool => {
                Self::ThreadPool { threads: table.threads, name: table.name, stack_size: table.stack_size }
            }
            Type::ProcessPool => Self::ProcessPool {
                workers: table.workers,
                runs_per_worker: table.runs_per_worker,
                memory_limit: table.memory_limit,
                grace: table.grace,
            },
            Type::Commands => Self::Commands { limit: table.limit },
            Type::Inline => Self::Inline,
        })
    }
}

impl From<ExecutorConfig> for Table {
    fn from(executor: ExecutorConfig) -> Self {
        match executor {
            ExecutorConfig::Spawn { limit } => Self { limit, ..Self::default() },
            ExecutorConfig::ThreadPool { threads, name, stack_size } => {
                Self { r#type: Type::ThreadPool, threads, name, stack_size, ..Self::default() }
            }
            ExecutorConfig::ProcessPool { workers, runs_per_worker, memory_limit, grace } => {
                Self { r#type: Type::ProcessPool, workers, runs_per_worker, memory_limit, grace, ..Self::default() }
            }
            ExecutorConfig::Commands { limit } => Self { r#type: Type::Commands, limit, ..Self::default() },
            ExecutorConfig::Inline => Self { r#type: Type::Inline, ..Self::default() },
        }
    }
}
