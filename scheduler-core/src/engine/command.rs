//! Conversations with the application: each command is answered once, after the store has confirmed it.
//!
//! ```text
//! add job "report" every 10 s
//!   → store insert "report" next 10:00:10
//!   ← added
//!   → notify job added · reply job
//! ```

mod add;
mod change;
mod form;
mod health;
mod prepare;
mod query;
mod replace;
mod rules;
mod run;
mod transaction;

pub(super) use add::Adding;
pub use health::{Health, Lease, StoreHealth, StoreLink};

use super::{
    CallId, Command, Effect, Engine, Mode, Reply, SchedulerState, StoreCall, StoreReply, slots::Slots,
    store_state::StoreState,
};
use crate::{
    Error, ErrorKind, EventKind, JobRow, Listed, Now, StoreName,
    spec::is_closure,
    store::{StoreError, StoreLimits},
};

/// A store call that a command waits for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PendingCall {
    Insert(add::Inserting),
    Replace(replace::Replacing),
    Read(query::Reading),
    Change(change::Changing),
    Recall(change::Recalling),
    Remove(query::Removing),
    RemoveAll(query::RemovingAll),
    Request(run::Requesting),
    Cancel(run::Cancelling),
    Jobs(CallId, StoreName),
    Runs(CallId, StoreName),
    Search(CallId, StoreName),
    SetKeyLimit(CallId, StoreName),
}

impl PendingCall {
    /// The store that is asked.
    pub(super) fn store(&self) -> &StoreName {
        match self {
            Self::Insert(inserting) => &inserting.store,
            Self::Replace(replacing) => &replacing.store,
            Self::Read(reading) => &reading.store,
            Self::Change(changing) => &changing.store,
            Self::Recall(recalling) => &recalling.changing.store,
            Self::Remove(removing) => &removing.store,
            Self::RemoveAll(removing) => &removing.store,
            Self::Request(requesting) => &requesting.store,
            Self::Cancel(cancelling) => &cancelling.store,
            Self::Jobs(_, store) | Self::Runs(_, store) | Self::Search(_, store) | Self::SetKeyLimit(_, store) => store,
        }
    }

    /// Whether it is tried anew, since the job had changed.
    pub(super) fn is_retry(&self) -> bool {
        match self {
            Self::Replace(replacing) => replacing.tries > 0,
            Self::Change(changing) => changing.tries > 0,
            Self::Recall(recalling) => recalling.changing.tries > 0,
            Self::Request(requesting) => requesting.tries > 0,
            Self::Insert(_)
            | Self::Read(_)
            | Self::Remove(_)
            | Self::RemoveAll(_)
            | Self::Cancel(_)
            | Self::Jobs(..)
            | Self::Runs(..)
            | Self::Search(..)
            | Self::SetKeyLimit(..) => false,
        }
    }
}

impl Engine {
    pub(super) fn on_command(&mut self, now: Now, call: CallId, command: Command) {
        if self.state == SchedulerState::ShutDown
            && !matches!(command, Command::State | Command::Health | Command::Shutdown(_))
        {
            return self
                .reply(call, Err(Error::new(ErrorKind::ShutDown, "the scheduler has been shut down; build another")));
        }
        match command {
            Command::Start(mode) => self.on_start(now, call, mode),
            Command::Pause => self.on_pause(now, call),
            Command::Resume => self.on_resume(now, call),
            Command::State => self.reply(call, Ok(Reply::State(self.state))),
            Command::Health => self.reply(call, Ok(Reply::Health(self.health(now)))),
            Command::Shutdown(mode) => self.shut_down(now, call, mode),
            Command::AddStore(store, limits) => self.add_store(now, call, store, limits),
            Command::InTransaction(store) => self.stand_in(now, call, &store),
            Command::RemoveStore(store) => self.remove_store(call, &store),
            Command::Stores => {
                let stores = self.stores.iter().map(|state| state.name.clone()).collect();
                self.reply(call, Ok(Reply::Stores(stores)));
            }
            Command::AddExecutor(executor, limit) => {
                let is_new = !self.executors.contains_key(&executor);
                if is_new {
                    self.executors.insert(executor.clone(), Slots::new(limit));
                }
                self.reply_if(now, call, is_new, EventKind::ExecutorAdded(executor.clone()), || {
                    Error::new(
                        ErrorKind::Config,
                        format!("executor `{executor}` is there already; remove it first or choose another name"),
                    )
                });
                self.recheck();
            }
            Command::RemoveExecutor(executor) => {
                let was_there = self.executors.remove(&executor).is_some();
                self.stores.iter_mut().for_each(|state| state.give_back_waiting_for(&executor));
                let error = self.unknown_executor(&executor);
                self.reply_if(now, call, was_there, EventKind::ExecutorRemoved(executor), || error);
            }
            Command::AddTasks(tasks) => {
                std::sync::Arc::make_mut(&mut self.tasks).extend(tasks);
                self.recheck();
                self.reply(call, Ok(Reply::Done));
            }
            Command::RemoveTasks(tasks) => {
                std::sync::Arc::make_mut(&mut self.tasks).retain(|task| !tasks.contains(task));
                // Jobs of a task that was there are told of once more, as left to others.
                if !tasks.iter().all(is_closure) {
                    self.stores.iter_mut().for_each(|state| state.claims.survey.forget_last());
                }
                self.reply(call, Ok(Reply::Done));
            }
            Command::AddJobs(store, specs) => self.add_jobs(now, call, &store, specs),
            Command::ImportJobs(store, jobs, conflict) => self.import_jobs(now, call, &store, jobs, conflict),
            Command::ChangeJob(store, id, change) => self.find(call, store, id, query::Purpose::Change(change)),
            Command::Job(store, id) => self.find(call, store, id, query::Purpose::Show),
            Command::RunJobNow(store, id) => self.find(call, store, id, query::Purpose::RunNow),
            Command::CancelRun(store, id, run) => self.cancel_run(now, call, store, id, run),
            Command::RemoveJob(store, id) => self.remove_job(now, call, store, id),
            Command::RemoveAllJobs(store) => self.remove_all_jobs(now, call, store),
            Command::Jobs(store, query) => {
                self.list(call, store.clone(), StoreCall::Jobs(query), PendingCall::Jobs(call, store));
            }
            Command::Runs(store, query) => {
                self.list(call, store.clone(), StoreCall::Runs(query), PendingCall::Runs(call, store));
            }
            Command::Search(store, search) => {
                self.list(call, store.clone(), StoreCall::Search(search), PendingCall::Search(call, store));
            }
            Command::SetKeyLimit(store, key, limit) => self.set_key_limit(now, call, store, key, limit),
            Command::LoopHeldUp(by, duration) => {
                self.notify(now, EventKind::LoopHeldUp { by, duration });
                self.reply(call, Ok(Reply::Done));
            }
            Command::StoreWarned(store, warning) => {
                self.notify(now, EventKind::StoreWarning { store, warning });
                self.reply(call, Ok(Reply::Done));
            }
            Command::ListenerFailed(error) => {
                self.notify(now, EventKind::ListenerFailed { error });
                self.reply(call, Ok(Reply::Done));
            }
        }
    }

    /// Goes on with what has waited for an answer. One that belongs to another call is an error to each.
    pub(super) fn on_answer(&mut self, now: Now, pending: PendingCall, result: Result<StoreReply, StoreError>) {
        match pending {
            PendingCall::Insert(inserting) => self.on_inserted(now, inserting, answer(result)),
            PendingCall::Replace(replacing) => self.on_replaced(now, replacing, answer(result)),
            PendingCall::Read(reading) => self.on_read(now, reading, answer(result)),
            PendingCall::Change(changing) => self.on_changed_job(now, changing, answer(result)),
            PendingCall::Recall(recalling) => self.on_recalled(now, recalling, answer(result)),
            PendingCall::Remove(removing) => self.on_removed(now, removing, answer(result)),
            PendingCall::RemoveAll(removing) => self.on_removed_all(now, removing, answer(result)),
            PendingCall::Request(requesting) => self.on_requested(now, requesting, answer(result)),
            PendingCall::Cancel(cancelling) => self.on_cancelled(now, cancelling, answer(result)),
            PendingCall::Jobs(call, store) => self.on_listed(call, &store, answer(result).map(Reply::Jobs)),
            PendingCall::Runs(call, store) => self.on_listed(call, &store, answer(result).map(Reply::Runs)),
            PendingCall::SetKeyLimit(call, store) => {
                self.on_listed(call, &store, answer::<()>(result).map(|()| Reply::Done));
            }
            PendingCall::Search(call, store) => self.on_listed(call, &store, answer(result).map(Reply::Searched)),
        }
    }

    pub(super) fn reply(&mut self, call: CallId, result: Result<Reply, Error>) {
        self.effects.push_back(Effect::Reply(call, result));
    }

    fn reply_if(&mut self, now: Now, call: CallId, is_done: bool, event: EventKind, error: impl FnOnce() -> Error) {
        if is_done {
            self.notify(now, event);
            self.reply(call, Ok(Reply::Done));
        } else {
            self.reply(call, Err(error()));
        }
    }

    fn on_start(&mut self, now: Now, call: CallId, mode: Mode) {
        if self.state != SchedulerState::Stopped {
            let message = "the scheduler has been started already; resume it if it is paused";
            return self.reply(call, Err(Error::new(ErrorKind::AlreadyStarted, message)));
        }
        self.state = match mode {
            Mode::Running => SchedulerState::Running,
            Mode::Paused => SchedulerState::Paused,
        };
        self.notify(now, EventKind::SchedulerStarted);
        self.reply(call, Ok(Reply::Done));
    }

    fn on_pause(&mut self, now: Now, call: CallId) {
        match self.state {
            SchedulerState::Running => {
                self.state = SchedulerState::Paused;
                self.notify(now, EventKind::SchedulerPaused);
                self.reply(call, Ok(Reply::Done));
            }
            SchedulerState::Paused => self.reply(call, Ok(Reply::Done)),
            SchedulerState::Stopped | SchedulerState::ShutDown => self.reply(call, Err(not_running())),
        }
    }

    fn on_resume(&mut self, now: Now, call: CallId) {
        match self.state {
            SchedulerState::Paused => {
                self.state = SchedulerState::Running;
                self.recheck();
                self.notify(now, EventKind::SchedulerResumed);
                self.reply(call, Ok(Reply::Done));
            }
            SchedulerState::Running => self.reply(call, Ok(Reply::Done)),
            SchedulerState::Stopped | SchedulerState::ShutDown => self.reply(call, Err(not_running())),
        }
    }

    fn add_store(&mut self, now: Now, call: CallId, store: StoreName, limits: StoreLimits) {
        if self.store_state(&store).is_some() {
            let message = format!("store `{store}` is there already; remove it first or choose another name");
            return self.reply(call, Err(Error::new(ErrorKind::Config, message)));
        }
        self.stores.push(StoreState::new(store.clone(), limits));
        self.notify(now, EventKind::StoreAdded(store));
        self.reply(call, Ok(Reply::Done));
    }

    /// Claims again, since this node can run more than before.
    fn recheck(&mut self) {
        for state in &mut self.stores {
            state.claims.note_change();
        }
    }

    pub(super) fn unknown_store(&self, store: &StoreName) -> Error {
        let known: Vec<_> = self.stores.iter().map(|state| state.name.as_str()).collect();
        let message = format!("there is no store `{store}`; the scheduler has {}", listing(&known));
        Error::new(ErrorKind::UnknownStore, message)
    }

    pub(super) fn unknown_executor(&self, executor: &crate::ExecutorName) -> Error {
        let known: Vec<_> = self.executors.keys().map(crate::ExecutorName::as_str).collect();
        let message = format!("there is no executor `{executor}`; the scheduler has {}", listing(&known));
        Error::new(ErrorKind::UnknownExecutor, message)
    }
}

/// The answer to a call, if it is one.
pub(super) fn answer<T>(result: Result<StoreReply, StoreError>) -> Result<T, StoreError>
where
    T: TryFrom<StoreReply, Error = StoreError>,
{
    result.and_then(T::try_from)
}

fn not_running() -> Error {
    Error::new(ErrorKind::NotRunning, "the scheduler is not running; start it first")
}

fn not_found(id: &crate::JobId, store: Option<&StoreName>) -> Error {
    let message = match store {
        Some(store) => format!("job `{id}` is not in store `{store}`"),
        None => format!("job `{id}` is in no store of this scheduler"),
    };
    Error::new(ErrorKind::NotFound, message)
}

/// The job, if it can be read.
fn readable(listed: Listed) -> Result<JobRow, Error> {
    match listed {
        Listed::Job(job) => Ok(job),
        Listed::Raw(raw) => Err(Error::new(
            ErrorKind::Quarantined,
            format!("job `{}` cannot be read: {}; repair its row or remove it", raw.id, raw.reason),
        )),
    }
}

fn listing(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}
