//! `apscheduler.executors.<name>.*`.

use std::num::{NonZeroU64, NonZeroUsize};

use super::section::Section;
use crate::executor::ExecutorConfig;

const TYPES: &[(&str, &str)] = &[
    ("threadpool", "apscheduler.executors.pool:ThreadPoolExecutor"),
    ("processpool", "apscheduler.executors.pool:ProcessPoolExecutor"),
    ("asyncio", "apscheduler.executors.asyncio:AsyncIOExecutor"),
    ("gevent", "apscheduler.executors.gevent:GeventExecutor"),
    ("tornado", "apscheduler.executors.tornado:TornadoExecutor"),
    ("twisted", "apscheduler.executors.twisted:TwistedExecutor"),
    ("debug", "apscheduler.executors.debug:DebugExecutor"),
];

pub(super) fn translate(section: &mut Section<'_>) -> Option<ExecutorConfig> {
    let is_by_alias = section.rest().contains(&"type".to_owned());
    let kind = section.kind("executor", TYPES)?;
    let (executor, name) = match kind {
        "threadpool" => (thread_pool(section), "thread_pool"),
        "processpool" => (process_pool(section), "process_pool"),
        "debug" => (ExecutorConfig::Inline, "inline"),
        _ => {
            let why = "it bounds plain functions alone there; here the runtime's threads for blocking tasks do, and \
                       `executors.*.limit` bounds all runs";
            section.refuse_all(&["max_workers"], why);
            (ExecutorConfig::Spawn { limit: None }, "spawn")
        }
    };
    section.becomes(if is_by_alias { "type" } else { "class" }, "type", name);
    section.refuse_rest(&format!("APScheduler's executor `{kind}` does not take it"));
    Some(executor)
}

fn thread_pool(section: &mut Section<'_>) -> ExecutorConfig {
    let threads = workers(section, "threads");
    let name = section.text("pool_kwargs.thread_name_prefix");
    if let Some(name) = &name {
        section.becomes("pool_kwargs.thread_name_prefix", "name", name.as_str());
    }
    refuse_pool_options(section);
    ExecutorConfig::ThreadPool { threads, name, stack_size: None }
}

fn process_pool(section: &mut Section<'_>) -> ExecutorConfig {
    let workers = workers(section, "workers");
    let key = "pool_kwargs.max_tasks_per_child";
    let runs_per_worker = section.integer(key).and_then(|runs| {
        let runs = NonZeroU64::new(runs);
        match runs {
            Some(runs) => section.becomes(key, "runs_per_worker", runs.get()),
            None => section.refuse(key, "0 is not more than 0"),
        }
        runs
    });
    refuse_pool_options(section);
    ExecutorConfig::ProcessPool { workers, runs_per_worker, memory_limit: None, grace: None }
}

fn workers(section: &mut Section<'_>, option: &str) -> Option<NonZeroUsize> {
    let workers: usize = section.integer("max_workers")?;
    let workers = NonZeroUsize::new(workers);
    match workers {
        Some(workers) => section.becomes("max_workers", option, workers.get()),
        None => section.refuse("max_workers", "0 is not more than 0"),
    }
    workers
}

fn refuse_pool_options(section: &mut Section<'_>) {
    section.refuse_all(&["pool_kwargs"], "it is for Python's pool, which is not there");
}
