//! The last step of a builder: what was given is checked and becomes a scheduler with its loop.

use std::{sync::Arc, time::Duration};

use futures_channel::oneshot;
use futures_util::lock::Mutex;
use scheduler_core::{
    Error, ErrorKind, ExecutorName, JobStore, StoreName,
    engine::{Command, Config, Engine, LONGEST_LEASE, SHORTEST_LEASE},
    store::{Clock, NodeInfo},
};
use scheduler_executors::Spawn;
use scheduler_stores::MemoryStore;

use super::Builder;
use crate::{
    Scheduler,
    driver::{Attachment, Driver, Message, metrics},
    health::Heartbeat,
    opening::Openings,
    run_context::with_own,
    runtime::Runtime,
};

/// How many commands wait for the loop before callers do: a burst of a service's start.
const COMMANDS: usize = 1_024;

/// The longest time within which wake-ups are merged.
const COARSEST_ACCURACY: Duration = Duration::from_secs(1);

impl Builder {
    pub(crate) fn assemble(mut self) -> Result<(Scheduler, Driver), Error> {
        self.check()?;
        let has_default_store = self.store_names().any(|name| *name == StoreName::default());
        let seed = seed()?;
        let config = Config {
            job_defaults: self.job_defaults,
            timezone: self.timezone,
            lease: self.lease,
            accuracy: self.accuracy,
            run_limit: self.run_limit,
            info: Arc::new(self.info),
            ..Config::new(format!("{seed:032x}"), seed)
        };
        if !has_default_store {
            self.stores.insert(0, (StoreName::default(), Arc::new(MemoryStore::new())));
        }
        if self.executors.iter().all(|(name, _)| *name != ExecutorName::default()) {
            self.executors.insert(0, (ExecutorName::default(), Arc::new(Spawn::new())));
        }
        self.registry.openings = Openings { left: Mutex::new(self.openings), patience: self.store_patience };
        let registry = Arc::new(self.registry);
        let node = config.node.clone();
        metrics::describe();
        let heartbeat = Arc::new(Heartbeat::new(self.runtime.now()));
        let (sender, commands) = async_channel::bounded(COMMANDS);
        let (holds, held) = async_channel::bounded(1); // nothing goes through it
        let mut driver = Driver::new(
            Engine::new(config),
            Arc::clone(&self.runtime),
            Arc::clone(&registry),
            Arc::clone(&self.listeners),
            (commands, held),
            Arc::clone(&heartbeat),
        );
        let tell = |driver: &mut Driver, command, attachment| {
            // Names are unique by now, so that there is no answer to wait for.
            let (reply, _) = oneshot::channel();
            driver.include(Message { command, attachment, reply });
        };
        tell(&mut driver, Command::AddTasks(self.tasks), Attachment::Nothing);
        for (name, executor) in self.executors {
            tell(&mut driver, Command::AddExecutor(name, executor.limit()), Attachment::Executor(executor));
        }
        for (name, store) in self.stores {
            tell(&mut driver, Command::AddStore(name, store.limits()), Attachment::Store(store));
        }
        let states = registry.states();
        let scheduler =
            Scheduler::new((node, self.timezone), (sender, holds), self.runtime, registry, self.listeners, heartbeat);
        driver.states = with_own(states, &scheduler)?;
        Ok((scheduler, driver))
    }

    fn store_names(&self) -> impl Iterator<Item = &StoreName> + Clone {
        self.stores.iter().map(|(name, _)| name).chain(self.openings.iter().map(|opening| &opening.name))
    }

    fn check(&mut self) -> Result<(), Error> {
        let config = |message: String| Err(Error::new(ErrorKind::Config, message));
        if !self.errors.is_empty() {
            return Err(self.errors.swap_remove(0));
        }
        if let Some(name) = repeated(self.store_names()) {
            return config(format!("store `{name}` is given twice; each needs a name of its own"));
        }
        if let Some(name) = repeated(self.executors.iter().map(|(name, _)| name)) {
            return config(format!("executor `{name}` is given twice; each needs a name of its own"));
        }
        if self.lease < SHORTEST_LEASE {
            return config(format!("lease {:?}: at least {SHORTEST_LEASE:?} are needed", self.lease));
        }
        if self.lease > LONGEST_LEASE {
            return config(format!("lease {:?}: at most {LONGEST_LEASE:?} are allowed", self.lease));
        }
        if self.accuracy > COARSEST_ACCURACY {
            return config(format!("accuracy {:?}: at most {COARSEST_ACCURACY:?} are allowed", self.accuracy));
        }
        if self.run_limit == 0 {
            return config("run limit 0: at least 1 is needed; to run nothing, start the scheduler paused".to_owned());
        }
        if self.info.labels.keys().any(String::is_empty) {
            return config("a label of the node has no name; give it one, as in `zone`".to_owned());
        }
        let (labels, most) = (self.info.labels_len(), NodeInfo::LABELS_LIMIT);
        if labels > most {
            return config(format!("the labels of the node have {labels} bytes, at most {most} are allowed"));
        }
        if let Err(error) = self.job_defaults.check() {
            return config(format!("job defaults: {error}"));
        }
        for (name, store) in &self.stores {
            check_time(&*self.runtime, name, &**store)?;
        }
        self.registry.check_tasks()
    }
}

/// Refuses a store that goes by the clock of its server where time is a test's: nothing that is due here would be due there.
pub(crate) fn check_time(runtime: &dyn Runtime, name: &StoreName, store: &dyn JobStore) -> Result<(), Error> {
    if !runtime.is_time_virtual() || store.limits().clock == Clock::Caller {
        return Ok(());
    }
    let message = format!(
        "store `{name}` goes by the clock of its server, and the runtime's time is virtual (a simulation, or tokio's paused clock): \
         open the store with `Clock::Caller`, take a `MemoryStore`, or test on a runtime in real time"
    );
    Err(Error::new(ErrorKind::Config, message))
}

fn repeated<'a, T: PartialEq>(names: impl Iterator<Item = &'a T> + Clone) -> Option<&'a T> {
    names
        .clone()
        .enumerate()
        .find(|(at, name)| names.clone().take(*at).any(|other| other == *name))
        .map(|(_, name)| name)
}

/// This build on this machine.
pub(super) fn of_this_process() -> NodeInfo {
    let info = NodeInfo::of_this_build();
    match host().filter(|name| !name.is_empty()) {
        Some(host) => info.with_host(host),
        None => info,
    }
}

/// The name of the machine; none if it cannot be had.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn host() -> Option<String> {
    Some(rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// The name of the machine; none if it cannot be had.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn host() -> Option<String> {
    // Windows has the first one, shells of other systems the second.
    ["COMPUTERNAME", "HOSTNAME"].into_iter().find_map(|name| std::env::var(name).ok())
}

fn seed() -> Result<u128, Error> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed).map_err(|error| {
        Error::new(ErrorKind::Config, format!("the operating system gives no random numbers: {error}"))
    })?;
    Ok(u128::from_le_bytes(seed))
}
