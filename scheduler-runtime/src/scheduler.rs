//! The handle of a scheduler: its life, its parts and its listeners.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use async_channel::{Sender, TrySendError, WeakSender};
use chrono_tz::Tz;
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use scheduler_core::{
    Error, ErrorKind, Event, EventKind, EventMask, Executor, ExecutorName, JobStore, NodeId, StateType, StoreName,
    Task, TaskName,
    engine::{Command, Mode, Reply, SchedulerState, ShutdownMode},
    trigger::CustomTrigger,
};

use crate::{
    Builder, EventStream, ListenerId,
    background::block_on,
    builder::check_time,
    driver::{Attachment, Message, gone},
    health::Heartbeat,
    listen::{Listeners, STREAM_EVENTS, is_told_of, listen, log_panic},
    own_run,
    registry::Registry,
    runtime::Runtime,
};

/// How long a call waits for a place in the command channel: by then the loop is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// A handle to a scheduler. Cloning gives another handle to the same one.
///
/// A scheduler that has been started goes on when its handles are dropped, until [`shutdown`](Self::shutdown) or the end of
/// its runtime. One that has not been started goes with its last handle, also one that a listener or a task holds. What
/// those hold is dropped with the shutdown.
///
/// ```
/// use scheduler_core::{EventMask, JobSpec, engine::ShutdownMode, trigger::Interval};
/// use scheduler_runtime::Scheduler;
/// use scheduler_tokio::TokioRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let rt = tokio::runtime::Builder::new_current_thread().build()?;
/// # rt.block_on(async {
/// let scheduler = Scheduler::builder(TokioRuntime::current())
///     .task("greet", |name: String| async move { format!("hello, {name}") })
///     .build()?;
/// let mut events = scheduler.events(EventMask::RUN_EXECUTED);
/// scheduler.add_job(JobSpec::new("greet", Interval::hours(1)).id("hourly").args("ann")).await?;
/// scheduler.add_job(JobSpec::now("greet").args("bob")).await?;
/// scheduler.start().await?;
///
/// let executed = events.next().await.expect("the scheduler is running")?;
/// println!("{executed:?}");
/// let job = scheduler.job("hourly").await?.expect("it was added above");
/// job.pause().await?;
/// scheduler.shutdown(ShutdownMode::Wait).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # }
/// ```
#[doc = include_str!("scheduler/what_happens.md")]
#[derive(Debug, Clone)]
#[doc(alias = "AsyncIOScheduler")]
#[doc(alias = "BaseScheduler")]
pub struct Scheduler {
    shared: Arc<Shared>,
    /// The store to which this handle is confined.
    scope: Option<StoreName>,
}

#[derive(Debug, Clone)]
struct Shared {
    node: NodeId,
    /// That of triggers which name none.
    timezone: Tz,
    commands: Sender<Message>,
    runtime: Arc<dyn Runtime>,
    registry: Arc<Registry>,
    listeners: Arc<Listeners>,
    heartbeat: Arc<Heartbeat>,
    /// A scheduler that has not been started goes when all of these have gone. None in the handles of tasks.
    _holds: Option<Sender<Infallible>>,
}

impl Scheduler {
    /// Begins to put a scheduler together that runs on `runtime`; see [`Builder`].
    pub fn builder(runtime: impl Runtime) -> Builder {
        Builder::new(Arc::new(runtime))
    }

    /// Begins to put a scheduler together that runs on a runtime held elsewhere, too.
    pub fn builder_on(runtime: Arc<dyn Runtime>) -> Builder {
        Builder::new(runtime)
    }

    pub(crate) fn new(
        (node, timezone): (NodeId, Tz),
        (commands, holds): (Sender<Message>, Sender<Infallible>),
        runtime: Arc<dyn Runtime>,
        registry: Arc<Registry>,
        listeners: Arc<Listeners>,
        heartbeat: Arc<Heartbeat>,
    ) -> Self {
        let shared = Shared { node, timezone, commands, runtime, registry, listeners, heartbeat, _holds: Some(holds) };
        Self { shared: Arc::new(shared), scope: None }
    }

    /// A handle that does not keep the scheduler.
    pub(crate) fn for_tasks(&self) -> Self {
        Self { shared: Arc::new(Shared { _holds: None, ..Shared::clone(&self.shared) }), scope: None }
    }

    /// A handle that adds, finds, lists and removes jobs in one store only, also if their description names another one.
    /// APScheduler's `jobstore=` argument.
    #[doc(alias = "jobstore")]
    pub fn in_store(&self, store: impl Into<StoreName>) -> Self {
        Self { shared: Arc::clone(&self.shared), scope: Some(store.into()) }
    }

    /// Opens the stores that are [opened at the start](Builder::open_store), adds what was [`scheduled`](Builder::scheduled), and
    /// starts to run jobs that are due, those of earlier runs of the program included.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyStarted`]; [`ErrorKind::ShutDown`]; the store's own, naming it, if it cannot be opened in the
    /// [time](Builder::wait_for_stores) that it is given; those of [`add_job`](Self::add_job) for a scheduled job, naming it.
    /// Nothing has started then, and it can be tried again.
    pub async fn start(&self) -> Result<(), Error> {
        self.begin(Mode::Running).await
    }

    /// Starts without running jobs until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_paused(&self) -> Result<(), Error> {
        self.begin(Mode::Paused).await
    }

    /// Takes no more jobs until [`resume`](Self::resume). Running runs go on, and those
    /// start that wait for their executor; other nodes go on, too. Does nothing if paused.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`]; [`ErrorKind::ShutDown`].
    pub async fn pause(&self) -> Result<(), Error> {
        self.done(Command::Pause).await
    }

    /// Takes jobs again. Does nothing if running.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause).
    pub async fn resume(&self) -> Result<(), Error> {
        self.done(Command::Resume).await
    }

    /// Ends the scheduler, as the mode says: after its running runs, after a time at most, or at once. What has not started is given
    /// back, and so is what is cut off and is to run at least once. Jobs stay in their stores. Does nothing if it has shut down. Goes
    /// on if the call is dropped; another call may hurry it.
    ///
    /// A task of this scheduler that calls it with [`ShutdownMode::Wait`] or [`ShutdownMode::Within`] would wait for
    /// its own end: that is an error, and nothing happens. It calls [`begin_shutdown`](Self::begin_shutdown), or spawns
    /// this without waiting for that.
    ///
    /// A store that does not answer is waited for one lease at most; what was held there is free when the lease ends.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OwnRun`] if a task would wait for itself. [`ErrorKind::Busy`] if the loop does not take the
    /// command. If the loop has ended otherwise, so that nothing was waited for and nothing given back:
    /// [`ErrorKind::Panicked`] if by a panic, [`ErrorKind::ShutDown`] if with its runtime.
    pub async fn shutdown(&self, mode: ShutdownMode) -> Result<(), Error> {
        self.refuse_own_shutdown(mode)?;
        self.unless_ended(self.done(Command::Shutdown(mode)).await)
    }

    /// Asks the scheduler to end and does not wait for that: for tasks and listeners, for whose own end
    /// [`shutdown`](Self::shutdown) would wait. [`EventKind::SchedulerShutdown`](scheduler_core::EventKind) tells when it
    /// is over.
    ///
    /// # Errors
    ///
    /// Those of [`shutdown`](Self::shutdown), but for [`ErrorKind::OwnRun`].
    pub fn begin_shutdown(&self, mode: ShutdownMode) -> Result<(), Error> {
        self.unless_ended(self.post(Command::Shutdown(mode)))
    }

    /// What is asked of a scheduler that has shut down is done already.
    fn unless_ended(&self, shut_down: Result<(), Error>) -> Result<(), Error> {
        match shut_down {
            Err(error) if error.kind() == ErrorKind::ShutDown && self.heartbeat().has_ended() => Ok(()),
            result => result,
        }
    }

    /// Runs a future to its end on the calling thread, such as one of the calls here: for blocking tasks, which have this handle by
    /// [`RunContextExt::scheduler`](crate::RunContextExt::scheduler), and other code that is not async.
    ///
    /// ```
    /// use scheduler_core::{Error, JobSpec, RunContext};
    /// use scheduler_runtime::RunContextExt;
    ///
    /// /// A blocking task: it packs a folder, and has that told.
    /// fn pack(context: RunContext, folder: String) -> Result<(), Error> {
    ///     let scheduler = context.scheduler()?;
    ///     scheduler.block_on(scheduler.add_job(JobSpec::now("tell").args(folder)))?;
    ///     Ok(())
    /// }
    /// # let _ = pack;
    /// ```
    ///
    /// # Panics
    ///
    /// Where the runtime's `block_on` does, which is in async code; in async and inline tasks of this scheduler, which would wait for
    /// their own thread; and if the future does.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        own_run::assert_may_block(&self.shared.node);
        block_on(&*self.shared.runtime, future)
    }

    /// What the scheduler is doing.
    pub async fn state(&self) -> SchedulerState {
        match self.call(Command::State).await {
            Ok(state) => state,
            Err(error) if matches!(error.kind(), ErrorKind::ShutDown | ErrorKind::Panicked) => SchedulerState::ShutDown,
            // A loop that is too busy to answer has not ended.
            Err(_) => SchedulerState::Running,
        }
    }

    /// Whether the scheduler has been started and has not shut down; paused counts.
    #[doc(alias = "running")]
    pub async fn is_running(&self) -> bool {
        matches!(self.state().await, SchedulerState::Running | SchedulerState::Paused)
    }

    /// Makes the scheduler look at once for what is due. Needed only when something else has written to a store that cannot
    /// tell of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ShutDown`].
    pub async fn wakeup(&self) -> Result<(), Error> {
        // Knowing no new task, the engine looks all the same.
        self.done(Command::AddTasks(Vec::new())).await
    }

    /// Registers a task. Jobs for it that are due already run at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the name is taken, if the scheduler was built without [state](Builder::state) that the task takes,
    /// or if an option of the task is out of its range; [`ErrorKind::ShutDown`].
    pub async fn add_task(&self, task: Task) -> Result<(), Error> {
        self.add_task_with(task, |_| false).await
    }

    /// As [`add_task`](Self::add_task), for a thread that has state of its own.
    pub(crate) async fn add_task_with(&self, task: Task, is_local: impl Fn(StateType) -> bool) -> Result<(), Error> {
        self.shared.registry.check_task(&task, is_local)?;
        let name = task.name().clone();
        self.shared.registry.add_task(task)?;
        let added = self.done(Command::AddTasks(vec![name.clone()])).await;
        if added.is_err() {
            self.shared.registry.remove_task(&name);
        }
        added
    }

    /// As [`add_task_with`](Self::add_task_with), for a caller that cannot wait: the scheduler knows the task before what it is
    /// told later.
    pub(crate) fn begin_add_task(&self, task: Task, is_local: impl Fn(StateType) -> bool) -> Result<(), Error> {
        self.shared.registry.check_task(&task, is_local)?;
        let name = task.name().clone();
        self.shared.registry.add_task(task)?;
        let posted = self.post(Command::AddTasks(vec![name.clone()]));
        if posted.is_err() {
            self.shared.registry.remove_task(&name);
        }
        posted
    }

    /// Gives a task up. Its jobs stay, left to nodes that know it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownTask`]; [`ErrorKind::ShutDown`].
    pub async fn remove_task(&self, name: impl Into<TaskName>) -> Result<(), Error> {
        let name = name.into();
        if self.shared.registry.task(&name).is_none() {
            return Err(Error::new(ErrorKind::UnknownTask, format!("this scheduler has no task `{name}`")));
        }
        self.done(Command::RemoveTasks(vec![name.clone()])).await?;
        self.shared.registry.remove_task(&name);
        Ok(())
    }

    /// Registers the implementation of a custom trigger.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the name is taken.
    pub fn add_trigger(
        &self,
        name: impl Into<String>,
        implementation: impl CustomTrigger + 'static,
    ) -> Result<(), Error> {
        self.shared.registry.add_trigger(name.into(), Arc::new(implementation))
    }

    /// Adds a store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the name is taken, or the store goes by its server's clock and the runtime by a virtual one;
    /// [`ErrorKind::ShutDown`].
    #[doc(alias = "add_jobstore")]
    pub async fn add_store(&self, name: impl Into<StoreName>, store: impl JobStore) -> Result<(), Error> {
        let name = name.into();
        check_time(&*self.shared.runtime, &name, &store)?;
        let command = Command::AddStore(name, store.limits());
        self.call_with(command, Attachment::Store(Arc::new(store))).await
    }

    /// Gives a store up, when the runs of its jobs that run here have ended. Its jobs stay in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OwnRun`] if a run of one of its jobs calls this, which would wait for its own end;
    /// [`ErrorKind::UnknownStore`]; [`ErrorKind::ShutDown`].
    #[doc(alias = "remove_jobstore")]
    pub async fn remove_store(&self, name: impl Into<StoreName>) -> Result<(), Error> {
        let name = name.into();
        self.refuse_own_removal(&name)?;
        self.done(Command::RemoveStore(name)).await
    }

    /// Adds an executor.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the name is taken; [`ErrorKind::ShutDown`].
    pub async fn add_executor(&self, name: impl Into<ExecutorName>, executor: impl Executor) -> Result<(), Error> {
        let command = Command::AddExecutor(name.into(), executor.limit());
        self.call_with(command, Attachment::Executor(Arc::new(executor))).await
    }

    /// Gives an executor up. What runs on it ends, what waits for it is given back; jobs that name it are left to nodes
    /// that have it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownExecutor`]; [`ErrorKind::ShutDown`].
    pub async fn remove_executor(&self, name: impl Into<ExecutorName>) -> Result<(), Error> {
        self.done(Command::RemoveExecutor(name.into())).await
    }

    /// Calls a function at each event in a set, from the scheduler's own loop and in order: it must not block. One that
    /// panics is reported by event and goes on being called.
    pub fn add_listener(&self, mask: EventMask, listener: impl Fn(&Event) + Send + Sync + 'static) -> ListenerId {
        self.shared.listeners.add(mask, listener)
    }

    /// Awaits an async function at each event in a set, one after the other, on the scheduler's runtime. One that panics is
    /// reported by event and goes on being called.
    pub fn add_async_listener<F>(
        &self,
        mask: EventMask,
        listener: impl Fn(Arc<Event>) -> F + Send + 'static,
    ) -> ListenerId
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let events = self.events(mask);
        let id = events.id();
        // It does not keep a scheduler that has no other handle.
        let commands = self.shared.commands.downgrade();
        let work = listen(events, listener, move |panic, at| tell_panic(panic, at, &commands));
        self.shared.runtime.spawn(Box::pin(work));
        id
    }

    /// Removes a listener. False if it is not there.
    pub fn remove_listener(&self, id: ListenerId) -> bool {
        self.shared.listeners.remove(id)
    }

    /// The events in a set, from now on, as a stream that holds 4,096 of them for a reader that is behind.
    pub fn events(&self, mask: EventMask) -> EventStream {
        self.events_with_capacity(mask, STREAM_EVENTS)
    }

    /// As [`events`](Self::events), holding this many, at least one: 0 counts as 1. Memory is taken as the stream fills.
    pub fn events_with_capacity(&self, mask: EventMask, capacity: usize) -> EventStream {
        self.shared.listeners.subscribe(mask, capacity)
    }

    /// The zone of triggers that name none, as [the builder was told](Builder::timezone).
    pub fn timezone(&self) -> Tz {
        self.shared.timezone
    }

    pub(crate) fn node(&self) -> &NodeId {
        &self.shared.node
    }

    /// Refuses to let a task of this scheduler wait for its own end.
    pub(crate) fn refuse_own_shutdown(&self, mode: ShutdownMode) -> Result<(), Error> {
        match mode {
            ShutdownMode::Wait | ShutdownMode::Within(_) => own_run::refuse_to_wait(&self.shared.node, None),
            ShutdownMode::Now => Ok(()),
        }
    }

    /// The same for a task of a job in this store.
    pub(crate) fn refuse_own_removal(&self, store: &StoreName) -> Result<(), Error> {
        own_run::refuse_to_wait(&self.shared.node, Some(store))
    }

    pub(crate) fn scope(&self) -> Option<&StoreName> {
        self.scope.as_ref()
    }

    pub(crate) fn runtime(&self) -> &dyn Runtime {
        &*self.shared.runtime
    }

    pub(crate) fn heartbeat(&self) -> &Heartbeat {
        &self.shared.heartbeat
    }

    /// A handle that is confined to no store.
    pub(crate) fn unconfined(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), scope: None }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    pub(crate) async fn done(&self, command: Command) -> Result<(), Error> {
        self.call(command).await
    }

    /// Gives a command to the engine and waits for its answer.
    pub(crate) async fn call<T>(&self, command: Command) -> Result<T, Error>
    where
        T: TryFrom<Reply, Error = Error>,
    {
        self.call_with(command, Attachment::Nothing).await
    }

    pub(crate) async fn call_with<T>(&self, command: Command, attachment: Attachment) -> Result<T, Error>
    where
        T: TryFrom<Reply, Error = Error>,
    {
        let (reply, answer) = oneshot::channel();
        let answer = match self.send(Message { command, attachment, reply }).await {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(gone())),
            Err(error) => Err(error),
        };
        let answer = answer.map_err(|error| match error.kind() {
            ErrorKind::ShutDown => self.ended(error),
            ErrorKind::UnknownStore => self.registry().openings().explain(error),
            _ => error,
        });
        T::try_from(answer?)
    }

    /// Why there is no loop any more.
    fn ended(&self, gone: Error) -> Error {
        self.failure().err().unwrap_or(gone)
    }

    /// The panic by which the loop has ended, if it has.
    pub(crate) fn failure(&self) -> Result<(), Error> {
        match self.heartbeat().failure() {
            None => Ok(()),
            Some(panic) => {
                let message = format!(
                    "the scheduler's loop panicked and has ended: {panic}; start the process anew, and report it, for it is a bug"
                );
                Err(Error::new(ErrorKind::Panicked, message))
            }
        }
    }

    /// Sends a command and does not wait for the answer.
    fn post(&self, command: Command) -> Result<(), Error> {
        let (reply, _) = oneshot::channel();
        self.shared.commands.try_send(Message { command, attachment: Attachment::Nothing, reply }).map_err(|error| {
            match error {
                TrySendError::Closed(_) => self.ended(gone()),
                TrySendError::Full(_) => self.busy(),
            }
        })
    }

    async fn send(&self, message: Message) -> Result<(), Error> {
        let message = match self.shared.commands.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(gone()),
            Err(TrySendError::Full(message)) => message,
        };
        let place = pin!(self.shared.commands.send(message));
        match select(place, self.shared.runtime.sleep(PATIENCE)).await {
            Either::Left((Ok(()), _)) => Ok(()),
            Either::Left((Err(_), _)) => Err(gone()),
            Either::Right(_) => Err(self.busy()),
        }
    }

    fn busy(&self) -> Error {
        let calls = self.shared.commands.capacity().unwrap_or_default();
        let message = format!(
            "the scheduler's command channel is full: {calls} calls wait for its loop; is that blocked by a listener or \
             an inline task?"
        );
        Error::new(ErrorKind::Busy, message)
    }
}

/// Tells of the panic of an async listener, by an event if one is to tell of it.
fn tell_panic(panic: String, at: &EventKind, commands: &WeakSender<Message>) {
    let commands = if is_told_of(at) { commands.upgrade() } else { None };
    let Some(commands) = commands else { return log_panic(&panic, at) };
    let (reply, _) = oneshot::channel();
    let message = Message { command: Command::ListenerFailed(panic.clone()), attachment: Attachment::Nothing, reply };
    // A loop that has no room for it has more to tell than it can.
    if commands.try_send(message).is_err() {
        log_panic(&panic, at);
    }
}
