//! The loop: performs the engine's effects and brings back what comes of them.

mod closures;
mod log;
mod runs;
mod store_call;

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_channel::Receiver;
use futures_channel::{mpsc, oneshot};
use futures_util::{
    FutureExt, StreamExt,
    future::{Either, select},
};
use scheduler_core::{
    BlockingPool as SpawnBlocking, CancellationToken, Dispatch, Error, ErrorKind, Event, EventKind, Executor,
    ExecutorName, JobStore, Outcome, RunId, StoreName, Task, TaskName,
    engine::{CallId, Command, Effect, Engine, Input, OpId, Reply, SchedulerState, Start, StoreCall, StoreReply},
    store::StoreError,
};

use self::{
    closures::Closures,
    log::log,
    runs::{AttemptId, Report, Runs, context_of},
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
    Finished(RunId, AttemptId, Outcome),
}

/// Somebody who waits for an answer, and what becomes a part of the scheduler with it.
#[derive(Debug)]
struct Call {
    reply: oneshot::Sender<Result<Reply, Error>>,
    part: Part,
}

/// A part of a scheduler that is being added.
#[derive(Debug)]
enum Part {
    Nothing,
    Store(StoreName, Arc<dyn JobStore>),
    Executor(ExecutorName, Arc<dyn Executor>),
}

/// A store, for as long as it is a part of the scheduler.
#[derive(Debug)]
struct Attached {
    store: Arc<dyn JobStore>,
    /// Ends the question for changes, which may never be answered and would keep the store for ever.
    detached: CancellationToken,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.detached.cancel();
    }
}

pub(crate) struct Driver {
    pub(crate) engine: Engine,
    runtime: Arc<dyn Runtime>,
    registry: Arc<Registry>,
    listeners: Arc<Listeners>,
    stores: HashMap<StoreName, Attached>,
    executors: HashMap<ExecutorName, Arc<dyn Executor>>,
    commands: Receiver<Message>,
    completions: mpsc::UnboundedReceiver<Completion>,
    /// Bounded by the calls and runs in flight, which the engine bounds.
    completed: mpsc::UnboundedSender<Completion>,
    /// Completions of calls that were answered at once.
    ready: VecDeque<Completion>,
    calls: HashMap<CallId, Call>,
    runs: Runs,
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
            runs: Runs::default(),
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
    }

    /// Gives the engine a command; the reply is sent when there is one.
    pub(crate) fn command(&mut self, message: Message) {
        self.last_call += 1;
        let call = CallId(self.last_call);
        let part = match (message.attachment, &message.command) {
            (Attachment::Store(store), Command::AddStore(name, _)) => Part::Store(name.clone(), store),
            (Attachment::Executor(executor), Command::AddExecutor(name)) => Part::Executor(name.clone(), executor),
            (Attachment::Closures(closures), Command::AddJobs(store, _)) => {
                self.add_closures(call, store.clone(), closures);
                Part::Nothing
            }
            _ => Part::Nothing,
        };
        self.calls.insert(call, Call { reply: message.reply, part });
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
        tracing::trace!(?effect);
        match effect {
            Effect::Store(op, store, call) => self.call_store(op, &store, call),
            Effect::Start(start) => self.start(start),
            Effect::Cancel(run) => self.runs.cancel(run),
            Effect::Reply(call, result) => self.answer(call, result),
            Effect::Notify(event) => self.tell(&event),
        }
    }

    fn answer(&mut self, call: CallId, result: Result<Reply, Error>) {
        for task in self.closures.on_reply(call, &result) {
            self.forget_closure(task);
        }
        let Some(Call { reply, part }) = self.calls.remove(&call) else {
            return;
        };
        match part {
            Part::Store(name, store) if result.is_ok() => {
                self.stores.insert(name, Attached { store, detached: CancellationToken::new() });
            }
            Part::Executor(name, executor) if result.is_ok() => {
                self.executors.insert(name, executor);
            }
            Part::Nothing | Part::Store(..) | Part::Executor(..) => {}
        }
        // A caller that has gone does not want to know.
        drop(reply.send(result));
    }

    fn call_store(&mut self, op: OpId, store: &StoreName, call: StoreCall) {
        let Some(Attached { store, detached }) = self.stores.get(store) else {
            debug_assert!(false, "the engine calls stores that it was told of");
            return;
        };
        let is_question = matches!(call, StoreCall::Changed(_));
        let mut work = store_call::work(Arc::clone(store), call);
        // A store in memory answers at the first poll, which spares a task.
        if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return self.ready.push_back(Completion::Stored(op, result));
        }
        let completed = self.completed.clone();
        let detached = is_question.then(|| detached.clone());
        self.runtime.spawn(Box::pin(async move {
            let result = match detached {
                None => work.await,
                Some(detached) => match select(work, pin!(detached.cancelled())).await {
                    Either::Left((result, _)) => result,
                    Either::Right(_) => return,
                },
            };
            // The driver has gone if this cannot be sent.
            drop(completed.unbounded_send(Completion::Stored(op, result)));
        }));
    }

    fn start(&mut self, start: Start) {
        let (attempt, token) = self.runs.begin(start.run);
        let report = Report::new(start.run, attempt, self.completed.clone());
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
        match catch_unwind(AssertUnwindSafe(|| executor.start(dispatch))) {
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
                if let Some(task) = self.closures.on_removed(job.uid) {
                    self.forget_closure(task);
                }
            }
            EventKind::AllJobsRemoved { store, .. } => {
                for task in self.closures.on_all_removed(store) {
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
        // Telling of panics at panics would not end, and nothing is told after the end.
        let is_told = !matches!(event.kind, EventKind::ListenerFailed { .. } | EventKind::SchedulerShutdown);
        for panic in panics {
            if is_told {
                self.tell_engine(Command::ListenerFailed(panic));
            } else {
                tracing::error!(panic, kind = ?event.kind, "a listener panicked");
            }
        }
    }

    fn add_closures(&mut self, call: CallId, store: StoreName, closures: Vec<Option<Task>>) {
        let names: Vec<_> = closures.iter().map(|task| task.as_ref().map(|task| task.name().clone())).collect();
        for task in closures.into_iter().flatten() {
            // Their names are numbers that no other closure has.
            drop(self.registry.add_task(task));
        }
        self.tell_engine(Command::AddTasks(names.iter().flatten().cloned().collect()));
        self.closures.on_add(call, store, names);
    }

    fn forget_closure(&mut self, task: TaskName) {
        let closure = self.registry.remove_task(&task);
        // What a closure has captured may panic when it is dropped.
        drop(catch_unwind(AssertUnwindSafe(|| drop(closure))));
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
            Completion::Finished(run, attempt, outcome) => {
                if !self.runs.end(run, attempt) {
                    return;
                }
                Input::Finished(run, outcome)
            }
        };
        tracing::trace!(?input);
        self.engine.handle(self.runtime.now(), input);
    }

    /// Waits for something to happen and tells the engine. False if nothing can happen any more.
    async fn wait(&mut self) -> bool {
        let now = self.runtime.now();
        let wake = self.engine.next_wake(now);
        let is_orphaned = self.commands.is_closed() && self.commands.is_empty();
        if is_orphaned && self.engine.state() == SchedulerState::Stopped {
            return false;
        }
        let after = wake.map_or(LONGEST_SLEEP, |wake| wake.after.min(LONGEST_SLEEP));
        if after.is_zero() {
            // Whoever brings the answers that are waited for may be waiting behind this task.
            yield_now().await;
        }
        let first = {
            let mut timer = wake.map(|_| self.runtime.sleep(after));
            let (completions, commands) = (&mut self.completions, &self.commands);
            let mut command = pin!(commands.recv());
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
            First::Completion(completion) => {
                if self.runs.are_several() {
                    // Others that end in the same moment are reported in the same turn.
                    yield_now().await;
                }
                self.complete(completion);
            }
            First::Message(message) => self.command(message),
            First::Timer => self.engine.handle(self.runtime.now(), Input::Wake),
        }
        if self.take_in_more() == Inbox::Busy {
            // On a runtime of one thread, others want to run as well.
            yield_now().await;
        }
        true
    }

    /// Takes in what has come meanwhile, of each kind in turn, so that neither keeps the other waiting.
    fn take_in_more(&mut self) -> Inbox {
        for _ in 0..MESSAGES_AT_ONCE {
            let completion = self.completions.next().now_or_never().flatten();
            let message = self.commands.try_recv().ok();
            if completion.is_none() && message.is_none() {
                return Inbox::Empty;
            }
            if let Some(completion) = completion {
                self.complete(completion);
            }
            if let Some(message) = message {
                self.command(message);
            }
        }
        Inbox::Busy
    }
}

/// However the loop ends, by itself or with its runtime, nobody is left waiting and nothing is kept that leads back to it.
impl Drop for Driver {
    fn drop(&mut self) {
        self.commands.close();
        while let Ok(message) = self.commands.try_recv() {
            drop(message.reply.send(Err(gone())));
        }
        self.listeners.close();
        self.registry.close();
    }
}

/// Whether more has come than was taken in.
#[derive(PartialEq)]
enum Inbox {
    Empty,
    Busy,
}

enum First {
    Completion(Completion),
    Message(Message),
    Timer,
}

/// Lets others run before it goes on.
async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(crate) fn gone() -> Error {
    Error::new(
        ErrorKind::ShutDown,
        "the scheduler has shut down, or the runtime on which it ran is gone; build another",
    )
}
