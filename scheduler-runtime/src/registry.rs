//! What a scheduler knows by name: tasks, custom triggers, and the jobs that it adds when it starts; and the state of its tasks.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use scheduler_core::{
    Error, ErrorKind, JobRow, JobSpec, Listed, StateType, States, Task, TaskName, Trigger,
    engine::{SearchReply, StoreReply},
    store::{Inserted, Updated},
    trigger::CustomTrigger,
};

use crate::{let_go::let_go, opening::Openings};

/// The tasks, custom triggers and scheduled jobs of one scheduler, shared by its handles and its driver.
#[derive(Default)]
pub(crate) struct Registry {
    /// What tasks take by its type. Settled when the scheduler is built, and dropped when it has ended.
    states: RwLock<States>,
    is_closed: AtomicBool,
    tasks: RwLock<BTreeMap<TaskName, Task>>,
    triggers: RwLock<BTreeMap<String, Arc<dyn CustomTrigger>>>,
    /// Settled when the scheduler is built.
    scheduled: Vec<JobSpec>,
    pub(crate) openings: Openings,
}

/// A number that no other closure of the process has: schedulers that share a memory store must tell theirs apart.
pub(crate) fn next_closure() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}

impl Registry {
    pub(crate) fn add_state<T: Send + Sync + 'static>(&self, value: T) -> Result<(), Error> {
        let mut states = self.states.write().unwrap_or_else(PoisonError::into_inner);
        let more = states.clone().with(value).map_err(|error| Error::new(ErrorKind::Config, error))?;
        *states = more;
        Ok(())
    }

    /// What tasks take by its type.
    pub(crate) fn states(&self) -> States {
        self.states.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses a task that takes state which is neither here nor on its own thread, and one whose options are out of their range.
    pub(crate) fn check_task(&self, task: &Task, is_local: impl Fn(StateType) -> bool) -> Result<(), Error> {
        if let Err(error) = task.job_options().check() {
            return Err(Error::new(ErrorKind::Config, format!("task `{}`: {error}", task.name())));
        }
        let states = self.states();
        match task.missing_state(|state| states.has(state) || is_local(state)) {
            // The call that follows says that the scheduler has ended.
            Some(_) if self.is_closed.load(Ordering::Acquire) => Ok(()),
            Some(missing) => {
                let message = format!(
                    "task `{}` takes `State<{missing}>`, and the scheduler has no state of this type: give it to its builder \
                     with `.state(..)`",
                    task.name()
                );
                Err(Error::new(ErrorKind::Config, message))
            }
            None => Ok(()),
        }
    }

    /// Checks all tasks that are known.
    pub(crate) fn check_tasks(&self) -> Result<(), Error> {
        let tasks = self.tasks.read().unwrap_or_else(PoisonError::into_inner);
        tasks.values().try_for_each(|task| self.check_task(task, |_| false))
    }

    pub(crate) fn add_task(&self, task: Task) -> Result<(), Error> {
        if task.name().as_str().contains('\0') {
            let message = format!("task name {:?} contains NUL, which not every store can keep", task.name());
            return Err(Error::new(ErrorKind::Config, message));
        }
        let mut tasks = self.tasks.write().unwrap_or_else(PoisonError::into_inner);
        if tasks.contains_key(task.name()) {
            let message = format!("task `{}` is registered already; choose another name", task.name());
            return Err(Error::new(ErrorKind::Config, message));
        }
        tasks.insert(task.name().clone(), task);
        Ok(())
    }

    pub(crate) fn remove_task(&self, name: &TaskName) -> Option<Task> {
        self.tasks.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    pub(crate) fn task(&self, name: &TaskName) -> Option<Task> {
        self.tasks.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn add_trigger(&self, name: String, implementation: Arc<dyn CustomTrigger>) -> Result<(), Error> {
        let mut triggers = self.triggers.write().unwrap_or_else(PoisonError::into_inner);
        if triggers.contains_key(&name) {
            let message = format!("trigger `{name}` is registered already; choose another name");
            return Err(Error::new(ErrorKind::Config, message));
        }
        triggers.insert(name, implementation);
        Ok(())
    }

    /// Keeps a job that is added when the scheduler starts.
    pub(crate) fn add_scheduled(&mut self, spec: JobSpec) -> Result<(), Error> {
        let place = |spec: &JobSpec| (spec.store_name().cloned().unwrap_or_default(), spec.job_id().cloned());
        if self.scheduled.iter().any(|other| place(other) == place(&spec)) {
            let (store, id) = place(&spec);
            let id = id.as_ref().map_or("", |id| id.as_str());
            let message = format!("job `{id}` in store `{store}` is scheduled twice; give each an id of its own");
            return Err(Error::new(ErrorKind::Config, message));
        }
        self.scheduled.push(spec);
        Ok(())
    }

    /// The stores that are opened when the scheduler starts.
    pub(crate) fn openings(&self) -> &Openings {
        &self.openings
    }

    /// The jobs that are added when the scheduler starts.
    pub(crate) fn scheduled(&self) -> &[JobSpec] {
        &self.scheduled
    }

    /// Forgets all, which may hold a handle and so this.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let tasks = std::mem::take(&mut *self.tasks.write().unwrap_or_else(PoisonError::into_inner));
        let triggers = std::mem::take(&mut *self.triggers.write().unwrap_or_else(PoisonError::into_inner));
        let states = std::mem::take(&mut *self.states.write().unwrap_or_else(PoisonError::into_inner));
        // Dropped when the locks are free: a drop may call back, and may panic.
        let_go("a task or a trigger", (tasks, triggers));
        let_go("the state of tasks", states);
    }

    /// Gives each custom trigger of a description the implementation of its name. One that brings its own along makes it
    /// known, so that the job fires when it comes back from its store.
    pub(crate) fn resolve(&self, trigger: &mut Trigger) {
        trigger.custom_mut(&mut |custom| match &custom.implementation {
            Some(own) => {
                let mut triggers = self.triggers.write().unwrap_or_else(PoisonError::into_inner);
                triggers.entry(custom.name.clone()).or_insert_with(|| Arc::clone(own));
            }
            None => custom.implementation = self.implementation(&custom.name),
        });
    }

    fn implementation(&self, name: &str) -> Option<Arc<dyn CustomTrigger>> {
        self.triggers.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Resolves the triggers of all jobs that a store has handed out.
    pub(crate) fn resolve_reply(&self, reply: &mut StoreReply) {
        // A memory store hands out what another scheduler has put in; what counts is what is known here.
        let job = |job: &mut JobRow| {
            job.body.trigger.custom_mut(&mut |custom| custom.implementation = self.implementation(&custom.name));
        };
        let listed = |listed: &mut Listed| {
            if let Listed::Job(row) = listed {
                job(row);
            }
        };
        match reply {
            StoreReply::Insert(stamped) => stamped.value.iter_mut().for_each(|inserted| {
                if let Inserted::Conflict(existing) = inserted {
                    listed(existing);
                }
            }),
            StoreReply::Update(stamped) => match &mut stamped.value {
                Updated::Updated(row) | Updated::Conflict(row) => job(row),
                Updated::Gone => {}
            },
            StoreReply::Job(found) => found.iter_mut().for_each(|found| listed(found)),
            StoreReply::Jobs(jobs) => jobs.iter_mut().for_each(&listed),
            StoreReply::Search(SearchReply::Jobs(page)) => page.jobs.iter_mut().for_each(&listed),
            StoreReply::Turn(turn) => {
                if let Some(claimed) = &mut turn.claim {
                    claimed.jobs.iter_mut().for_each(|claimed| job(&mut claimed.job));
                }
            }
            StoreReply::Cancel(_)
            | StoreReply::Remove(_)
            | StoreReply::RemoveAll(_)
            | StoreReply::Runs(_)
            | StoreReply::Search(_)
            | StoreReply::Release
            | StoreReply::SetKeyLimit
            | StoreReply::Changed(_) => {}
        }
    }
}
