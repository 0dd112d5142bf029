//! The loop of a scheduler and its tasks on one thread.

mod runtime;
mod task;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use futures_channel::{mpsc, oneshot};
use futures_util::{
    FutureExt, StreamExt,
    future::{Either, LocalBoxFuture, select},
    stream::FuturesUnordered,
};
use scheduler_core::{
    BoxFuture, CancellationToken, Dispatch, Error, ErrorKind, Executor, ExecutorName, Outcome, StateType, TaskName,
};
use scheduler_executors::{LocalStates, Spawn, panics};
use tracing::{Instrument, Span};

use self::runtime::{Arrival, LocalExecutor, LocalRuntime};
pub(crate) use self::task::{LocalCall, call, stand_in};
use crate::{Builder, Scheduler, own_run::OwnRun, runtime::Runtime};

/// The name of the executor that runs tasks on the scheduler's own thread.
const EXECUTOR: &str = "local";

/// The loop of a scheduler and its tasks, which need not be `Send`, on the one thread that polls them. What
/// [`Local`](crate::Local) and [`Pumped`](crate::Pumped) share.
pub(crate) struct LocalSet {
    /// None when it has ended.
    driver: RefCell<Option<BoxFuture<'static, ()>>>,
    tasks: RefCell<HashMap<TaskName, LocalCall>>,
    /// Replaced when a value is added: what a task does while it takes one may add another.
    states: RefCell<Rc<LocalStates>>,
    arrivals: RefCell<mpsc::UnboundedReceiver<Arrival>>,
    /// Futures of the thread's own, on their way to those that run.
    joining: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
    running: RefCell<FuturesUnordered<LocalBoxFuture<'static, ()>>>,
    is_working: Cell<bool>,
}

/// What a turn has come to.
pub(crate) struct Turn {
    /// How many futures and runs have arrived.
    pub(crate) arrived: usize,
    /// Whether any of those that run has ended.
    pub(crate) have_ended: bool,
}

impl LocalSet {
    /// Puts a scheduler together whose loop is in this set; also gives the runtime that the loop is on.
    pub(crate) fn assemble(mut builder: Builder) -> Result<(Scheduler, Arc<dyn Runtime>, Self), Error> {
        let (sender, arrivals) = mpsc::unbounded();
        let runtime: Arc<dyn Runtime> = Arc::new(LocalRuntime { host: builder.runtime(), arrivals: sender.clone() });
        builder = builder.on(Arc::clone(&runtime));
        if !builder.has_executor(&ExecutorName::default()) {
            builder = builder.executor(ExecutorName::default(), LocalExecutor { arrivals: sender.clone() });
        }
        let (scheduler, driver) = builder.executor(EXECUTOR, LocalExecutor { arrivals: sender }).assemble()?;
        let local_set = Self {
            driver: RefCell::new(Some(Box::pin(driver.run()))),
            tasks: RefCell::default(),
            states: RefCell::default(),
            arrivals: RefCell::new(arrivals),
            joining: RefCell::default(),
            running: RefCell::default(),
            is_working: Cell::new(false),
        };
        Ok((scheduler, runtime, local_set))
    }

    /// Gives tasks a value that they take by its type.
    pub(crate) fn add_state<T: 'static>(&self, value: T) -> Result<(), Error> {
        let mut states = self.states.borrow_mut();
        if Rc::make_mut(&mut states).add(value) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, StateType::of::<T>().given_twice()))
    }

    /// Whether there is a value of the type on this thread.
    pub(crate) fn has_state(&self, state: StateType) -> bool {
        self.states.borrow().has(state)
    }

    /// Knows from now on how a task is called.
    pub(crate) fn add_task(&self, name: TaskName, call: LocalCall) {
        self.tasks.borrow_mut().insert(name, call);
    }

    /// Polls a future of the thread's own from the next turn on.
    pub(crate) fn join(&self, future: LocalBoxFuture<'static, ()>) {
        self.joining.borrow_mut().push(future);
    }

    /// Whether this is called from within a turn: by a task, a listener, or what they call.
    pub(crate) fn is_working(&self) -> bool {
        self.is_working.get()
    }

    /// Whether the loop has ended.
    pub(crate) fn is_over(&self) -> bool {
        // While it is borrowed it is being polled.
        self.driver.try_borrow().is_ok_and(|driver| driver.is_none())
    }

    /// Polls the loop, and then each task that can go on.
    pub(crate) fn turn(&self, cx: &mut Context<'_>) -> Turn {
        let _working = Working::begin(&self.is_working);
        self.poll_driver(cx);
        Turn { arrived: self.take_in(cx), have_ended: self.poll_running(cx) }
    }

    fn poll_driver(&self, cx: &mut Context<'_>) {
        let mut driver = self.driver.borrow_mut();
        if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(cx).is_ready()) {
            *driver = None;
        }
    }

    /// Takes in what has arrived; gives how much that is.
    fn take_in(&self, cx: &mut Context<'_>) -> usize {
        let mut arrived = 0;
        for future in self.joining.take() {
            arrived += 1;
            self.run(future);
        }
        loop {
            let arrival = self.arrivals.borrow_mut().poll_next_unpin(cx);
            let Poll::Ready(Some(arrival)) = arrival else {
                return arrived;
            };
            arrived += 1;
            self.run(match arrival {
                Arrival::Future(future) => future,
                Arrival::Run(dispatch, span, outcome) => self.run_of(*dispatch, span, outcome),
            });
        }
    }

    fn run(&self, future: LocalBoxFuture<'static, ()>) {
        // What panics ends, and nothing else is affected.
        let contained = panics::contain(future).map(|ended| {
            if let Err(panic) = ended {
                tracing::error!(target: "apscheduler", panic, "a future on the scheduler's thread panicked");
            }
        });
        self.running.borrow().push(Box::pin(contained));
    }

    /// Polls what runs; true if some of it has ended.
    fn poll_running(&self, cx: &mut Context<'_>) -> bool {
        let mut have_ended = false;
        while let Poll::Ready(Some(())) = self.running.borrow_mut().poll_next_unpin(cx) {
            have_ended = true;
        }
        have_ended
    }

    fn run_of(&self, dispatch: Dispatch, span: Span, outcome: oneshot::Sender<Outcome>) -> LocalBoxFuture<'static, ()> {
        let call = self.tasks.borrow().get(dispatch.task.name()).map(Rc::clone);
        let states = Rc::clone(&self.states.borrow());
        Box::pin(async move {
            let attempt = panics::contain(Box::pin(attempt(call, &states, dispatch).instrument(span)));
            let ended = attempt.await.unwrap_or_else(Outcome::Panicked);
            // If the executor's future was dropped, the result has no receiver.
            drop(outcome.send(ended));
        })
    }
}

/// Says, as long as it lives, that the set is at work.
struct Working<'a>(&'a Cell<bool>);

impl<'a> Working<'a> {
    fn begin(is_working: &'a Cell<bool>) -> Self {
        is_working.set(true);
        Self(is_working)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// One attempt of a run: of a local task, or of one that would run anywhere.
async fn attempt(call: Option<LocalCall>, states: &LocalStates, dispatch: Dispatch) -> Outcome {
    let token = dispatch.context.cancellation.clone();
    match call {
        Some(_) if token.is_cancelled() => Outcome::Cancelled,
        Some(call) => {
            let context = dispatch.context.clone();
            let own = OwnRun::of(&context);
            let body = own.future_within(|| call(dispatch.context, states, dispatch.args));
            until_stopped(own.on_runtime(body), token).await
        }
        None => Spawn::new().start(dispatch).await,
    }
}

/// Polls a task to its end, or drops it when it is told to stop.
async fn until_stopped(body: impl Future<Output = Outcome> + Unpin, token: CancellationToken) -> Outcome {
    // The body first, and once more at the end, since it may have been told just after it was polled: one that ends by
    // itself when it is told to stop keeps its outcome.
    match select(body, pin!(token.cancelled())).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), body)) => body.now_or_never().unwrap_or(Outcome::Cancelled),
    }
}
