//! The loop: performs the engine's effects and brings back what comes of them.

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_channel::Receiver;
use futures_channel::{mpsc, oneshot};
use futures_util::{FutureExt, StreamExt};
use scheduler_core::{
    BlockingPool as SpawnBlocking, CancellationToken, Dispatch, Error, ErrorKind, Event, EventKind, Executor,
    ExecutorName, JobStore, NodeId, Outcome, RunContext, RunId, StoreName, Task, TaskName, Uid,
    engine::{CallId, Command, Effect, Engine, Input, OpId, Reply, Start, StoreCall, StoreReply},
    store::StoreError,
};

use crate::{
    listen::{Listeners, message_of},
    registry::Registry,
    runtime::Runtime,
};

/// The longest sleep: a stepped clock or a suspended machine is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How many messages are taken in before what they lead to is done: enough to make batches, too few to be felt.
const MESSAGES_AT_ONCE: usize = 256;

/// A command on its way to the engine, with what only the driver may hold.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) command: Command,
    pub(crate) attachment: Attachment,
    pub(crate) reply: oneshot::Sender<Result<Reply, Error>>,
}

/// What a command brings along that the engine knows by name only.
#[derive(Debug)]
pub(crate) enum Attachment {
    Nothing,
    Store(Arc<dyn JobStore>),
    Executor(Arc<dyn Executor>),
    /// For each of the jobs that are added, its closure if it is one.
    Closures(Vec<Option<Task>>),
}

/// What has come of an effect.
#[derive(Debug)]
enum Completion {
    Stored(OpId, Result<StoreReply, StoreError>),
    Finished(RunId, Outcome),
}

pub(crate) struct Driver {
    pub(crate) engine: Engine,
    runtime: Arc<dyn Runtime>,
    registry: Arc<Registry>,
    listeners: Arc<Listeners>,
    stores: HashMap<StoreName, Arc<dyn JobStore>>,
    executors: HashMap<ExecutorName, Arc<dyn Executor>>,
    commands: Receiver<Message>,
    completions: mpsc::UnboundedReceiver<Completion>,
    /// Bounded by the calls and runs in flight, which the engine bounds.
    completed: mpsc::UnboundedSender<Completion>,
    /// Completions of calls that were answered at once.
    ready: VecDeque<Completion>,
    calls: HashMap<CallId, oneshot::Sender<Result<Reply, Error>>>,
    runs: HashMap<RunId, CancellationToken>,
    closures: Closures,
    blocking: SpawnBlocking,
    last_call: u64,
}

impl Driver {
    pub(crate) fn new(
        engine: Engine,
        runtime: Arc<dyn Runtime>,
        registry: Arc<Registry>,
        listeners: Arc<Listeners>,
        commands: Receiver<Message>,
    ) -> Self {
        let (completed, completions) = mpsc::unbounded();
        let pool = Arc::clone(&runtime);
        Self {
            engine,
            runtime,
            registry,
            listeners,
            stores: HashMap::new(),
            executors: HashMap::new(),
            commands,
            completions,
            completed,
            ready: VecDeque::new(),
            calls: HashMap::new(),
            runs: HashMap::new(),
            closures: Closures::default(),
            blocking: Arc::new(move |work| pool.spawn_blocking(work)),
            last_call: 0,
        }
    }

    /// Runs until the engine has shut down, or was never started and nobody is left to start it.
    pub(crate) async fn run(mut self) {
        loop {
            self.perform_effects();
            if self.engine.is_ended() || !self.wait().await {
                break;
            }
        }
        self.commands.close();
        while let Ok(message) = self.commands.try_recv() {
            // Whoever asks has gone or gets the answer that there is nobody to ask.
            drop(message.reply.send(Err(gone())));
        }
        self.listeners.close();
    }

    /// Gives the engine a command; the reply is sent when there is one.
    pub(crate) fn command(&mut self, message: Message) {
        self.last_call += 1;
        let call = CallId(self.last_call);
        match (message.attachment, &message.command) {
            (Attachment::Store(store), Command::AddStore(name, _)) => {
                self.stores.entry(name.clone()).or_insert(store);
            }
            (Attachment::Executor(executor), Command::AddExecutor(name)) => {
                self.executors.entry(name.clone()).or_insert(executor);
            }
            (Attachment::Closures(closures), Command::AddJobs(store, _)) => {
                self.add_closures(call, store.clone(), closures)
            }
            _ => {}
        }
        self.calls.insert(call, message.reply);
        self.engine.handle(self.runtime.now(), Input::Command(call, message.command));
    }

    fn perform_effects(&mut self) {
        loop {
            while let Some(effect) = self.engine.poll_effect() {
                self.perform(effect);
            }
            let Some(completion) = self.ready.pop_front() else {
                return;
            };
            self.complete(completion);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Store(op, store, call) => self.call_store(op, &store, call),
            Effect::Start(start) => self.start(start),
            Effect::Cancel(run) => {
                if let Some(token) = self.runs.get(&run) {
                    token.cancel();
                }
            }
            Effect::Reply(call, result) => {
                for task in self.closures.on_reply(call, &result) {
                    self.forget_closure(task);
                }
                if let Some(reply) = self.calls.remove(&call) {
                    // A caller that has gone does not want to know.
                    drop(reply.send(result));
                }
            }
            Effect::Notify(event) => self.tell(&event),
        }
    }

    fn call_store(&mut self, op: OpId, store: &StoreName, call: StoreCall) {
        let Some(store) = self.stores.get(store).map(Arc::clone) else {
            debug_assert!(false, "the engine calls stores that it was told of");
            return;
        };
        let mut work = Box::pin(perform_call(store, call).catch_panic());
        // A store in memory answers at the first poll, which spares a task.
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => self.ready.push_back(Completion::Stored(op, result)),
            Poll::Pending => {
                let completed = self.completed.clone();
                self.runtime.spawn(Box::pin(async move {
                    // The driver has gone if this cannot be sent.
                    drop(completed.unbounded_send(Completion::Stored(op, work.await)));
                }));
            }
        }
    }

    fn start(&mut self, start: Start) {
        let run = start.run;
        let token = CancellationToken::new();
        self.runs.insert(run, token.clone());
        let report = Report { run, completed: self.completed.clone(), is_sent: false };
        let task = self.registry.task(&start.task);
        let (Some(task), Some(executor)) = (task, self.executors.get(&start.executor)) else {
            let missing = format!("task `{}` or executor `{}` has been removed here", start.task, start.executor);
            return report.send(Outcome::Error(missing));
        };
        let dispatch = Dispatch {
            task,
            context: context_of(&start, self.engine.node().clone(), token),
            args: start.args,
            blocking: Arc::clone(&self.blocking),
        };
        match std::panic::catch_unwind(AssertUnwindSafe(|| executor.start(dispatch))) {
            Ok(attempt) => self.runtime.spawn(Box::pin(async move {
                let outcome = AssertUnwindSafe(attempt).catch_unwind().await;
                report.send(outcome.unwrap_or_else(|panic| Outcome::Panicked(message_of(&*panic))));
            })),
            Err(panic) => report.send(Outcome::Panicked(message_of(&*panic))),
        }
    }

    fn tell(&mut self, event: &Event) {
        log(event);
        match &event.kind {
            EventKind::JobRemoved { job, .. } => {
                if let Some((_, task)) = self.closures.kept.remove(&job.uid) {
                    self.forget_closure(task);
                }
            }
            EventKind::AllJobsRemoved { store, .. } => {
                for task in self.closures.remove_store(store) {
                    self.forget_closure(task);
                }
            }
            EventKind::StoreRemoved(store) => {
                self.stores.remove(store);
            }
            EventKind::ExecutorRemoved(executor) => {
                self.executors.remove(executor);
            }
            _ => {}
        }
        let panics = self.listeners.tell(event);
        if matches!(event.kind, EventKind::ListenerFailed { .. }) {
            // Telling of these would not end.
            return panics.iter().for_each(|panic| tracing::error!(panic, "a listener panicked at another's panic"));
        }
        for panic in panics {
            self.tell_engine(Command::ListenerFailed(panic));
        }
    }

    fn add_closures(&mut self, call: CallId, store: StoreName, closures: Vec<Option<Task>>) {
        let names: Vec<_> = closures.iter().map(|task| task.as_ref().map(|task| task.name().clone())).collect();
        for task in closures.into_iter().flatten() {
            // Their names are numbers that no other closure has.
            drop(self.registry.add_task(task));
        }
        self.tell_engine(Command::AddTasks(names.iter().flatten().cloned().collect()));
        self.closures.asked.insert(call, (store, names));
    }

    fn forget_closure(&mut self, task: TaskName) {
        self.registry.remove_task(&task);
        self.tell_engine(Command::RemoveTasks(vec![task]));
    }

    /// Gives the engine a command whose reply nobody waits for.
    fn tell_engine(&mut self, command: Command) {
        self.last_call += 1;
        self.engine.handle(self.runtime.now(), Input::Command(CallId(self.last_call), command));
    }

    fn complete(&mut self, completion: Completion) {
        let input = match completion {
            Completion::Stored(op, mut result) => {
                if let Ok(reply) = &mut result {
                    self.registry.resolve_reply(reply);
                }
                Input::Stored(op, result)
            }
            Completion::Finished(run, outcome) => {
                self.runs.remove(&run);
                Input::Finished(run, outcome)
            }
        };
        self.engine.handle(self.runtime.now(), input);
    }

    /// Waits for something to happen and tells the engine. False if nothing can happen any more.
    async fn wait(&mut self) -> bool {
        let now = self.runtime.now();
        let wake = self.engine.next_wake(now);
        let is_orphaned = self.commands.is_closed() && self.commands.is_empty();
        if is_orphaned && self.engine.state() == scheduler_core::engine::SchedulerState::Stopped {
            return false;
        }
        let after = wake.map_or(LONGEST_SLEEP, |wake| wake.after.min(LONGEST_SLEEP));
        let first = {
            let mut timer = wake.map(|_| self.runtime.sleep(after));
            let (completions, commands) = (&mut self.completions, &self.commands);
            let mut command = std::pin::pin!(commands.recv());
            // What has come of effects first: it frees what commands may need.
            poll_fn(move |cx| {
                if let Poll::Ready(Some(completion)) = completions.poll_next_unpin(cx) {
                    return Poll::Ready(First::Completion(completion));
                }
                if !is_orphaned && let Poll::Ready(received) = command.as_mut().poll(cx) {
                    match received {
                        Ok(message) => return Poll::Ready(First::Message(message)),
                        // The last handle has gone; the next look takes that into account.
                        Err(_) => return Poll::Ready(First::Timer),
                    }
                }
                match &mut timer {
                    Some(timer) => timer.as_mut().poll(cx).map(|()| First::Timer),
                    None => Poll::Pending,
                }
            })
            .await
        };
        match first {
            First::Completion(completion) => self.complete(completion),
            First::Message(message) => self.command(message),
            First::Timer => self.engine.handle(self.runtime.now(), Input::Wake),
        }
        self.take_in_more();
        true
    }

    fn take_in_more(&mut self) {
        for _ in 0..MESSAGES_AT_ONCE {
            if let Some(Some(completion)) = self.completions.next().now_or_never() {
                self.complete(completion);
            } else if let Ok(message) = self.commands.try_recv() {
                self.command(message);
            } else {
                return;
            }
        }
    }
}

enum First {
    Completion(Completion),
    Message(Message),
    Timer,
}

/// The closures of jobs, which go with their jobs.
#[derive(Debug, Default)]
struct Closures {
    /// Those of jobs that are being added, in the order of the call.
    asked: HashMap<CallId, (StoreName, Vec<Option<TaskName>>)>,
    /// Those of live jobs.
    kept: HashMap<Uid, (StoreName, TaskName)>,
}

impl Closures {
    /// Keeps the closures of the jobs that were added; gives those that nobody needs.
    fn on_reply(&mut self, call: CallId, result: &Result<Reply, Error>) -> Vec<TaskName> {
        let Some((store, names)) = self.asked.remove(&call) else {
            return Vec::new();
        };
        let Ok(Reply::Added(jobs)) = result else {
            return names.into_iter().flatten().collect();
        };
        let mut unneeded = Vec::new();
        for (name, job) in names.into_iter().zip(jobs) {
            match (name, job) {
                (Some(name), Ok(job)) if job.body.task == name => {
                    let replaced = self.kept.insert(job.uid, (store.clone(), name));
                    unneeded.extend(replaced.map(|(_, task)| task));
                }
                (name, _) => unneeded.extend(name),
            }
        }
        unneeded
    }

    fn remove_store(&mut self, store: &StoreName) -> Vec<TaskName> {
        let (gone, kept) = std::mem::take(&mut self.kept).into_iter().partition(|(_, (of, _))| of == store);
        self.kept = kept;
        let gone: HashMap<Uid, (StoreName, TaskName)> = gone;
        gone.into_values().map(|(_, task)| task).collect()
    }
}

/// Reports the outcome of an attempt, also if its future is dropped before it has one.
struct Report {
    run: RunId,
    completed: mpsc::UnboundedSender<Completion>,
    is_sent: bool,
}

impl Report {
    fn send(mut self, outcome: Outcome) {
        self.is_sent = true;
        drop(self.completed.unbounded_send(Completion::Finished(self.run, outcome)));
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if !self.is_sent {
            drop(self.completed.unbounded_send(Completion::Finished(self.run, Outcome::Cancelled)));
        }
    }
}

fn context_of(start: &Start, node: NodeId, cancellation: CancellationToken) -> RunContext {
    RunContext {
        job_id: start.job.clone(),
        run_id: start.run,
        job_name: Arc::clone(&start.job_name),
        store: start.store.clone(),
        node,
        fire_time: start.fire_time,
        attempt: start.attempt,
        fence: start.fence,
        cancellation,
    }
}

async fn perform_call(store: Arc<dyn JobStore>, call: StoreCall) -> Result<StoreReply, StoreError> {
    Ok(match call {
        StoreCall::Insert(at, jobs) => StoreReply::Insert(store.insert(at, &jobs).await?),
        StoreCall::Update(at, update) => StoreReply::Update(store.update(at, &update).await?),
        StoreCall::Remove(at, ids) => StoreReply::Remove(store.remove(at, &ids).await?),
        StoreCall::RemoveAll(at) => StoreReply::RemoveAll(store.remove_all(at).await?),
        StoreCall::Job(id) => StoreReply::Job(store.job(&id).await?.map(Box::new)),
        StoreCall::Jobs(query) => StoreReply::Jobs(store.jobs(&query).await?),
        StoreCall::Runs(query) => StoreReply::Runs(store.runs(&query).await?),
        StoreCall::Turn(turn) => StoreReply::Turn(Box::new(store.turn(&turn).await?)),
        StoreCall::Release(at, node) => {
            store.release(at, &node).await?;
            StoreReply::Release
        }
        StoreCall::Changed(seen) => StoreReply::Changed(store.changed(seen).await?),
    })
}

/// A store that panics is a store that fails.
trait CatchPanic: Future<Output = Result<StoreReply, StoreError>> + Send + Sized + 'static {
    fn catch_panic(self) -> Pin<Box<dyn Future<Output = Self::Output> + Send>> {
        Box::pin(AssertUnwindSafe(self).catch_unwind().map(|result| {
            result.unwrap_or_else(|panic| {
                let message = format!("the store panicked: {}", message_of(&*panic));
                Err(StoreError::new(scheduler_core::store::StoreErrorKind::Unavailable, message))
            })
        }))
    }
}

impl<F: Future<Output = Result<StoreReply, StoreError>> + Send + 'static> CatchPanic for F {}

pub(crate) fn gone() -> Error {
    Error::new(
        ErrorKind::ShutDown,
        "the scheduler has shut down, or the runtime on which it ran is gone; build another",
    )
}

fn log(event: &Event) {
    let seq = event.seq;
    match &event.kind {
        EventKind::StoreFailed { store, error, retry_in } => {
            tracing::warn!(seq, %store, error, ?retry_in, "store failed");
        }
        EventKind::JobQuarantined { store, job, reason } => {
            tracing::error!(seq, %store, %job, reason, "job quarantined");
        }
        EventKind::JobDeclined { store, job, task, reason } => {
            tracing::warn!(seq, %store, %job, %task, reason, "job left to other nodes");
        }
        EventKind::ListenerFailed { error } => tracing::error!(seq, error, "listener panicked"),
        EventKind::RunError { run, error, .. } => {
            tracing::warn!(seq, job = %run.job.id, run = %run.run, error, "run failed");
        }
        EventKind::RunMissed(run)
        | EventKind::RunSkipped(run)
        | EventKind::RunLost(run)
        | EventKind::RunTakenAway(run) => {
            tracing::warn!(seq, job = %run.job.id, run = %run.run, fire_time = %run.fire_time, kind = ?event.kind.mask(), "fire time not run");
        }
        _ => tracing::debug!(seq, kind = ?event.kind, "event"),
    }
}
