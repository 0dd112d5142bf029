//! The loop: performs the engine's effects and brings back what comes of them.

mod closures;
mod inbox;
mod log;
mod message;
#[cfg_attr(not(feature = "metrics"), path = "driver/unmeasured.rs")]
pub(crate) mod metrics;
mod runs;
mod span;
mod store_call;

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_channel::Receiver;
use futures_channel::mpsc;
use futures_util::{
    FutureExt,
    future::{Either, select},
    stream::FuturesUnordered,
};
use scheduler_core::{
    BoxFuture, CancellationToken, Dispatch, Error, Event, EventKind, Executor, ExecutorName, JobStore, Outcome, RunId,
    SpawnBlocking, States, StoreName, Task, TaskCall, TaskName,
    engine::{CallId, Command, Effect, Engine, Input, OpId, Reply, Start, StoreCall, StoreReply},
    store::{StoreError, StoreErrorKind},
};
use scheduler_executors::panics;
use tracing::Instrument;

pub(crate) use self::message::{Attachment, Message, gone};
use self::{
    closures::Closures,
    inbox::{Inbox, yield_now},
    log::log,
    message::{Call, Part},
    runs::{AttemptId, Report, Runs, context_of},
};
use crate::{
    health::Heartbeat,
    let_go::let_go,
    listen::{Listeners, is_told_of, log_panic},
    own_run::OwnRun,
    registry::Registry,
    runtime::{Runtime, SystemClock},
};

/// How many runs are started before others run: on a runtime of one thread, and on one that a host's event loop drives,
/// these are the tasks themselves. Starting that many takes about a millisecond.
const STARTS_AT_ONCE: usize = 1_000;

/// How long starts may go on before others run, where they take longer than that; looked at after each so many.
const LONGEST_TURN: Duration = Duration::from_millis(10);
const STARTS_BETWEEN_LOOKS: usize = 32;

/// How many answers of stores are taken in before others run, and before commands are: in memory, each of them may be a
/// thousand jobs, and while there is more than can be done there is always another.
const ANSWERS_AT_ONCE: usize = 16;

/// How long the loop may outlive the runs of a runtime that is being dropped with both.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// How long the loop may be held up before that is told.
const HELD_UP: Duration = Duration::from_secs(1);

/// How long nothing is told of that after it has been: a slow listener is slow at each event.
const HELD_UP_AGAIN: Duration = Duration::from_secs(60);

/// What has come of an effect.
#[derive(Debug)]
enum Completion {
    Stored(OpId, Result<StoreReply, StoreError>),
    Finished(RunId, AttemptId, Outcome),
    /// The runtime has dropped an attempt before its end.
    Dropped(RunId, AttemptId),
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
    /// Closed by this loop alone, since tasks hold handles that are not to keep a scheduler.
    commands: Receiver<Message>,
    /// Closed when the handles have gone that keep a scheduler which has not been started.
    held: Receiver<Infallible>,
    /// What tasks take by its type, with their handle of the scheduler.
    pub(crate) states: States,
    /// What the scheduler is put together from. The engine is told when the loop first runs: only then is there a time.
    parts: Vec<Message>,
    completions: mpsc::UnboundedReceiver<Completion>,
    /// Bounded by the calls and runs in flight, which the engine bounds.
    completed: mpsc::UnboundedSender<Completion>,
    /// Completions of calls that were answered at once.
    ready: VecDeque<Completion>,
    /// The ends of runs that the runtime has dropped, for when it turns out to be there still.
    dropped: FuturesUnordered<BoxFuture<'static, Completion>>,
    calls: HashMap<CallId, Call>,
    runs: Runs,
    closures: Closures,
    blocking: SpawnBlocking,
    last_call: u64,
    /// When it was last told that the loop had been held up.
    held_up_at: Option<Duration>,
    heartbeat: Arc<Heartbeat>,
}

impl Driver {
    pub(crate) fn new(
        engine: Engine,
        runtime: Arc<dyn Runtime>,
        registry: Arc<Registry>,
        listeners: Arc<Listeners>,
        (commands, held): (Receiver<Message>, Receiver<Infallible>),
        heartbeat: Arc<Heartbeat>,
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
            held,
            states: States::default(),
            parts: Vec::new(),
            completions,
            completed,
            ready: VecDeque::new(),
            dropped: FuturesUnordered::new(),
            calls: HashMap::new(),
            runs: Runs::default(),
            closures: Closures::default(),
            blocking: Arc::new(move |work| pool.spawn_blocking(work)),
            last_call: 0,
            held_up_at: None,
            heartbeat,
        }
    }

    /// Tells the engine of a part of the scheduler before anything else.
    pub(crate) fn include(&mut self, part: Message) {
        self.parts.push(part);
    }

    /// Runs until the engine has shut down, or was never started and the last handle that could start it is gone. A
    /// panic of the loop itself is told as its end.
    pub(crate) async fn run(mut self) {
        if let Err(panic) = panics::contain(Box::pin(self.run_to_end())).await {
            self.fail(panic);
        }
    }

    async fn run_to_end(&mut self) {
        for part in std::mem::take(&mut self.parts) {
            self.command(part);
        }
        loop {
            while self.perform_effects() == Inbox::Busy {
                yield_now().await;
                // What the application asks for, too, does not wait until there is nothing left to start.
                self.take_in_commands();
            }
            if self.engine.is_ended() || !self.wait().await {
                break self.heartbeat.end();
            }
        }
    }

    /// Tells of the end of a loop that has panicked: its engine may be in any state, and is not asked for anything any more. What
    /// runs cannot renew its lease and is told to stop, since others will take it over.
    fn fail(&mut self, panic: String) {
        self.heartbeat.fail(&panic);
        self.runs.cancel_all();
        // The clock of the runtime may be what has panicked.
        let now = panics::catch(|| self.runtime.now()).unwrap_or_else(|_| SystemClock::now());
        let event = self.engine.on_panic(now, panic);
        log(&event);
        metrics::on_event(&event);
        for panic in self.listeners.tell(&event) {
            log_panic(&panic, &event.kind);
        }
    }

    /// Gives the engine a command; the reply is sent when there is one.
    pub(crate) fn command(&mut self, message: Message) {
        self.last_call += 1;
        let call = CallId(self.last_call);
        let mut warnings = Vec::new();
        let part = match (message.attachment, &message.command) {
            (Attachment::Store(store), Command::AddStore(name, _)) => {
                warnings
                    .extend(store.warnings().into_iter().map(|warning| Command::StoreWarned(name.clone(), warning)));
                Part::Store(name.clone(), store)
            }
            (Attachment::Executor(executor), Command::AddExecutor(name, _)) => Part::Executor(name.clone(), executor),
            (Attachment::LendStore(lend), Command::InTransaction(name)) => {
                if let Some(Attached { store, .. }) = self.stores.get(name) {
                    // A caller that has gone does not want it.
                    drop(lend.send(Arc::clone(store)));
                }
                Part::Nothing
            }
            (Attachment::Closures(closures), Command::AddJobs(store, _)) => {
                self.add_closures(call, store.clone(), closures);
                Part::Nothing
            }
            _ => Part::Nothing,
        };
        self.calls.insert(call, Call { reply: message.reply, part });
        self.engine.handle(self.runtime.now(), Input::Command(call, message.command));
        warnings.into_iter().for_each(|warning| self.tell_engine(warning));
    }

    /// Performs what is to be done, and what comes of it. Busy if there is more after many starts or answers.
    ///
    /// The ends of runs come before the answers of stores: what a claim has brought is planned by them, and a run that has
    /// ended is not to be taken for one that is running because the scheduler is behind.
    fn perform_effects(&mut self) -> Inbox {
        let (mut starts, mut answers) = (0, 0);
        let begun = self.runtime.now().monotonic;
        loop {
            self.take_in_ends();
            while let Some(effect) = self.engine.poll_effect() {
                let is_start = matches!(effect, Effect::Start(_));
                self.perform(effect);
                starts += usize::from(is_start);
                if is_start && (starts == STARTS_AT_ONCE || self.is_turn_over(starts, begun)) {
                    return Inbox::Busy;
                }
            }
            // What has been started is to have had its chance before an answer is looked at that counts what is running.
            if !self.ready.is_empty() && (starts > 0 || answers == ANSWERS_AT_ONCE) {
                return Inbox::Busy;
            }
            let Some(completion) = self.ready.pop_front() else {
                return Inbox::Empty;
            };
            answers += 1;
            self.complete(completion);
        }
    }

    fn is_turn_over(&self, starts: usize, begun: Duration) -> bool {
        starts.is_multiple_of(STARTS_BETWEEN_LOOKS)
            && self.runtime.now().monotonic.saturating_sub(begun) >= LONGEST_TURN
    }

    fn perform(&mut self, effect: Effect) {
        tracing::trace!(target: "apscheduler", ?effect);
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
            part => let_go("a part that was not added", part),
        }
        // A caller that has gone does not want to know.
        drop(reply.send(result));
    }

    fn call_store(&mut self, op: OpId, name: &StoreName, call: StoreCall) {
        let Some(Attached { store, detached }) = self.stores.get(name) else {
            let message =
                format!("the scheduler has no store `{name}`, which it calls; please report it, for it is a bug");
            let error = StoreError::new(StoreErrorKind::Unavailable, message);
            return self.ready.push_back(Completion::Stored(op, Err(error)));
        };
        let is_question = matches!(call, StoreCall::Changed(_));
        let probe = metrics::Probe::on(&self.runtime, name, &call);
        let mut work = probe.measure(store_call::work(Arc::clone(store), call));
        // A store in memory answers at the first poll, which spares a task.
        if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return self.ready.push_back(Completion::Stored(op, result));
        }
        let completed = self.completed.clone();
        let detached = is_question.then(|| detached.clone());
        // A question for changes may be open for as long as nothing happens.
        let held = if is_question { None } else { self.runtime.hold_time() };
        let spawned = self.spawn(Box::pin(async move {
            let result = match detached {
                None => work.await,
                Some(detached) => match select(work, pin!(detached.cancelled())).await {
                    Either::Left((result, _)) => result,
                    Either::Right(_) => return,
                },
            };
            // The driver has gone if this cannot be sent.
            drop(completed.unbounded_send(Completion::Stored(op, result)));
            // Time goes on when the loop has had its chance.
            drop(held);
        }));
        if let Err(panic) = spawned {
            let message = format!("the call did not reach the store, since the runtime panicked: {panic}");
            let error = StoreError::new(StoreErrorKind::Unavailable, message);
            self.ready.push_back(Completion::Stored(op, Err(error)));
        }
    }

    fn start(&mut self, start: Start) {
        let (attempt, token) = self.runs.begin(start.run);
        let span = span::of(&start, || self.lateness(&start));
        metrics::on_start(&start, || self.lateness(&start));
        let report = Report::new(
            start.run,
            attempt,
            self.completed.clone(),
            (span::End::of(&span, &self.runtime), metrics::Running::on(&start.executor)),
        );
        let task = self.registry.task(&start.task);
        let (Some(task), Some(executor)) = (task, self.executors.get(&start.executor)) else {
            let missing = format!("task `{}` or executor `{}` has been removed here", start.task, start.executor);
            return report.send(Outcome::Error(missing));
        };
        let context = context_of(&start, self.engine.node().clone(), token).with_states(self.states.clone());
        let is_blocking = matches!(task.call(), TaskCall::Blocking(_));
        let own = OwnRun::of(&context);
        let dispatch =
            Dispatch::new(own.within(span::within(&span, task)), start.args, context, Arc::clone(&self.blocking));
        // What blocks does so in real time, on a thread that may be the executor's own.
        let held = if is_blocking { self.runtime.hold_time() } else { None };
        let since = self.runtime.now().monotonic;
        let started = panics::catch(|| own.started_on_runtime(|| span.in_scope(|| executor.start(dispatch))));
        match started {
            // A runtime that panics drops the attempt, whose report says so.
            Ok(attempt) => drop(self.spawn(Box::pin(async move {
                let outcome = panics::contain(own.on_runtime(attempt).instrument(span)).await;
                report.send(outcome.unwrap_or_else(Outcome::Panicked));
                drop(held);
            }))),
            Err(panic) => report.send(Outcome::Panicked(panic)),
        }
        let Start { task, job, executor, .. } = start;
        self.note_held_up(since, || format!("task `{task}` of job `{job}` on executor `{executor}`"));
    }

    /// Tells that something has held the loop up, if it took long, since then.
    fn note_held_up(&mut self, since: Duration, by: impl FnOnce() -> String) {
        let now = self.runtime.now().monotonic;
        let duration = now.saturating_sub(since);
        if duration <= HELD_UP {
            return;
        }
        metrics::on_held_up(duration);
        if self.held_up_at.is_none_or(|at| now.saturating_sub(at) >= HELD_UP_AGAIN) {
            self.held_up_at = Some(now);
            self.tell_engine(Command::LoopHeldUp(by(), duration));
        }
    }

    /// Runs a future on the runtime. The error is what that panicked with instead.
    fn spawn(&self, future: BoxFuture<'static, ()>) -> Result<(), String> {
        panics::catch(|| self.runtime.spawn(future)).inspect_err(|panic| {
            tracing::error!(target: "apscheduler", panic, "the runtime panicked when it was to run a future");
        })
    }

    /// How long after it could have, an attempt starts.
    fn lateness(&self, start: &Start) -> Duration {
        let late = self.engine.time_of(self.runtime.now(), &start.store) - start.due;
        late.to_std().unwrap_or_default()
    }

    fn tell(&mut self, event: &Event) {
        log(event);
        metrics::on_event(event);
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
                let_go("a store", self.stores.remove(store));
            }
            EventKind::ExecutorRemoved(executor) => {
                let_go("an executor", self.executors.remove(executor));
            }
            _ => {}
        }
        // Most events have no listener, and each run has several events.
        if !self.listeners.are_waiting_for(&event.kind) {
            return;
        }
        let since = self.runtime.now().monotonic;
        let panics = self.listeners.tell(event);
        if is_told_of(&event.kind) && !matches!(event.kind, EventKind::LoopHeldUp { .. }) {
            let kind = || format!("{:?}", event.kind.mask()).replace(['{', '"', '}'], "");
            self.note_held_up(since, || format!("a listener at {}", kind()));
        }
        for panic in panics {
            if is_told_of(&event.kind) {
                self.tell_engine(Command::ListenerFailed(panic));
            } else {
                log_panic(&panic, &event.kind);
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
        let_go("a closure", self.registry.remove_task(&task));
        self.tell_engine(Command::RemoveTasks(vec![task]));
    }

    /// Gives the engine a command whose reply is dropped.
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
            Completion::Dropped(run, attempt) => return self.end_if_it_stays(run, attempt),
        };
        tracing::trace!(target: "apscheduler", ?input);
        self.engine.handle(self.runtime.now(), input);
    }

    /// Ends a run that its runtime has dropped as cancelled, unless the runtime is being dropped itself: this loop goes in
    /// a moment then, and the run is to be taken over as that of a node which has died.
    fn end_if_it_stays(&self, run: RunId, attempt: AttemptId) {
        let moment = self.runtime.sleep(LAST_MOMENT);
        self.dropped.push(Box::pin(moment.map(move |()| Completion::Finished(run, attempt, Outcome::Cancelled))));
    }
}

/// However the loop ends, by itself or with its runtime, each waiting call is answered, and nothing is kept that leads back to it.
impl Drop for Driver {
    fn drop(&mut self) {
        self.commands.close();
        while let Ok(message) = self.commands.try_recv() {
            drop(message.reply.send(Err(gone())));
        }
        self.listeners.close();
        self.registry.close();
        let_go("a store", std::mem::take(&mut self.stores));
        let_go("an executor", std::mem::take(&mut self.executors));
        let_go("the state of tasks", std::mem::take(&mut self.states));
    }
}
