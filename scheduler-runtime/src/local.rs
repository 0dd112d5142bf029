//! A scheduler on one thread, with tasks that need not be `Send`.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use async_channel::{Receiver, Sender};
use futures_channel::oneshot;
use futures_util::{FutureExt, Stream, future::LocalBoxFuture, stream::FuturesUnordered};
use scheduler_core::{
    BoxFuture, CancellationToken, Conflict, Dispatch, Error, Event, EventMask, Executor, ExecutorName, JobChange,
    JobId, JobSpec, JobStore, Outcome, Run, RunContext, StoreName, Task, TaskCall, TaskName, Trigger,
    engine::{ExportedJob, SchedulerState, ShutdownMode},
};
use scheduler_executors::{
    IntoOutcome, Spawn,
    parameters::{Args, Context as ContextOnly, ContextAndArgs, Nothing, Parameters},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Builder, EventStream, Job, ListenerId, Scheduler,
    background::{block_on, blocking_calls},
    listen::message_of,
    runtime::Runtime,
};

/// A scheduler that lives on one thread: its loop and any number of cooperating tasks, which need not be `Send` and may
/// share an `Rc`.
///
/// Nothing happens on it but inside its calls: [`run`](Self::run) runs it until it has been shut down; each other call runs
/// it while it waits. Its [`handle`](Self::handle) can be sent to other threads.
///
/// Tasks registered by [`task`](Self::task) run here; so do async tasks that were given to the builder, if their job names
/// no other executor. Blocking ones run on the runtime's threads for such work.
#[doc(alias = "GeventScheduler")]
pub struct Local {
    scheduler: Scheduler,
    runtime: Arc<dyn Runtime>,
    driver: RefCell<Option<BoxFuture<'static, ()>>>,
    tasks: RefCell<HashMap<TaskName, LocalCall>>,
    requests: Pin<Box<Receiver<Request>>>,
    running: RefCell<FuturesUnordered<LocalBoxFuture<'static, ()>>>,
    is_polling: Cell<bool>,
}

type LocalCall = Rc<dyn Fn(RunContext, Value) -> LocalBoxFuture<'static, Outcome>>;

/// A run that is to start on the thread of a [`Local`].
struct Request {
    dispatch: Dispatch,
    outcome: oneshot::Sender<Outcome>,
}

impl Local {
    pub(crate) fn new(mut builder: Builder) -> Result<Self, Error> {
        let runtime = builder.runtime();
        // Bounded by the runs in flight, which the engine bounds.
        let (sender, requests) = async_channel::unbounded();
        if !builder.has_executor(&ExecutorName::default()) {
            builder = builder.executor(ExecutorName::default(), LocalExecutor { requests: sender });
        }
        let (scheduler, driver) = builder.assemble()?;
        Ok(Self {
            scheduler,
            runtime,
            driver: RefCell::new(Some(Box::pin(driver.run()))),
            tasks: RefCell::default(),
            requests: Box::pin(requests),
            running: RefCell::default(),
            is_polling: Cell::new(false),
        })
    }

    /// Registers an async function under a name; neither it nor its futures need be `Send`. It takes what the functions of
    /// [`Builder::task`] take.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](scheduler_core::ErrorKind) if the name is taken; [`ErrorKind::ShutDown`](scheduler_core::ErrorKind).
    pub fn task<F, P>(&self, name: impl Into<TaskName>, function: F) -> Result<(), Error>
    where
        F: LocalTaskFn<P>,
        P: Parameters,
    {
        let name = name.into();
        self.add_task(stand_in::<P>(name.clone()))?;
        let call: LocalCall = Rc::new(move |context, args| match P::read(context, &args) {
            Ok(values) => function.call(values),
            Err(message) => Box::pin(std::future::ready(Outcome::Error(message))),
        });
        self.tasks.borrow_mut().insert(name, call);
        Ok(())
    }

    /// A handle for other threads and for tasks.
    pub fn handle(&self) -> Scheduler {
        self.scheduler.clone()
    }

    /// Starts to run jobs that are due and returns when the scheduler has been shut down: by a task, a listener, or another
    /// thread.
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::start`].
    pub fn run(&self) -> Result<(), Error> {
        self.start()?;
        block_on(&*self.runtime, poll_fn(|cx| self.poll(cx)));
        Ok(())
    }

    /// Starts to run jobs that are due; they run inside later calls.
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::start`].
    pub fn start(&self) -> Result<(), Error> {
        self.block(self.scheduler.start())
    }

    /// Starts without running jobs until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::start`].
    pub fn start_paused(&self) -> Result<(), Error> {
        self.block(self.scheduler.start_paused())
    }

    /// Ends the scheduler; see [`Scheduler::shutdown`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::shutdown`].
    pub fn shutdown(&self, mode: ShutdownMode) -> Result<(), Error> {
        self.block(self.scheduler.shutdown(mode))
    }

    /// Runs the scheduler until a future of the caller's has ended, and gives what it gives.
    ///
    /// # Panics
    ///
    /// If called from a task or a listener of this scheduler: they run inside such a call already. They can await calls of
    /// the [`handle`](Self::handle).
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.block(future)
    }

    fn block<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        let both = poll_fn(|cx| {
            // When the loop has ended, the future gets its answer from what the loop has left behind.
            let _ = self.poll(cx);
            future.as_mut().poll(cx)
        });
        block_on(&*self.runtime, both)
    }

    /// Polls the loop and the tasks. Ready when the loop has ended.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        assert!(
            !self.is_polling.replace(true),
            "a task or listener of a local scheduler cannot wait for it: await its handle"
        );
        let _reset = Reset(&self.is_polling);
        loop {
            let is_over = self.poll_driver(cx);
            let has_started = self.start_requests(cx);
            let mut running = self.running.borrow_mut();
            let mut has_ended = false;
            while let Poll::Ready(Some(())) = Pin::new(&mut *running).poll_next(cx) {
                has_ended = true;
            }
            drop(running);
            if is_over {
                return Poll::Ready(());
            }
            // What has started or ended has left its waker with the loop, which would wake this thread at once.
            if !has_started && !has_ended {
                return Poll::Pending;
            }
        }
    }

    fn poll_driver(&self, cx: &mut Context<'_>) -> bool {
        let mut driver = self.driver.borrow_mut();
        let is_over = driver.as_mut().is_none_or(|driver| driver.as_mut().poll(cx).is_ready());
        if is_over {
            *driver = None;
        }
        is_over
    }

    fn start_requests(&self, cx: &mut Context<'_>) -> bool {
        let mut has_started = false;
        while let Poll::Ready(Some(request)) = self.requests.clone().as_mut().poll_next(cx) {
            self.start_run(request);
            has_started = true;
        }
        has_started
    }

    fn start_run(&self, Request { dispatch, outcome }: Request) {
        let call = self.tasks.borrow().get(dispatch.task.name()).map(Rc::clone);
        let attempt: LocalBoxFuture<'static, Outcome> = match call {
            Some(call) => {
                let token = dispatch.context.cancellation.clone();
                let body = catch_unwind(AssertUnwindSafe(|| call(dispatch.context, dispatch.args)));
                match body {
                    Ok(body) => Box::pin(run(body, token)),
                    Err(panic) => Box::pin(std::future::ready(Outcome::Panicked(message_of(&*panic)))),
                }
            }
            None => Spawn::new().start(dispatch),
        };
        self.running.borrow_mut().push(Box::pin(async move {
            // Nobody waits for it if the executor's future was dropped.
            drop(outcome.send(attempt.await));
        }));
    }

    fn job_handle(&self, job: Job) -> Job {
        job
    }
}

blocking_calls!(Local, Job);

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("scheduler", &self.scheduler).finish_non_exhaustive()
    }
}

struct Reset<'a>(&'a Cell<bool>);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Polls a task to its end, or drops it when it is told to stop.
async fn run(body: LocalBoxFuture<'static, Outcome>, token: CancellationToken) -> Outcome {
    let body = AssertUnwindSafe(body).catch_unwind();
    futures_util::pin_mut!(body);
    let stop = token.cancelled();
    futures_util::pin_mut!(stop);
    // The body first: one that ends by itself when it is told to stop keeps its outcome.
    match futures_util::future::select(body, stop).await {
        futures_util::future::Either::Left((outcome, _)) => {
            outcome.unwrap_or_else(|panic| Outcome::Panicked(message_of(&*panic)))
        }
        futures_util::future::Either::Right(_) => Outcome::Cancelled,
    }
}

/// Hands runs to the thread of a [`Local`].
#[derive(Debug)]
struct LocalExecutor {
    requests: Sender<Request>,
}

impl Executor for LocalExecutor {
    fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
        let (outcome, ended) = oneshot::channel();
        let sent = self.requests.try_send(Request { dispatch, outcome });
        Box::pin(async move {
            match sent {
                Ok(()) => ended.await.unwrap_or(Outcome::Cancelled),
                Err(_) => Outcome::Error("the local scheduler of this task is gone".to_owned()),
            }
        })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.dispatch).finish()
    }
}

/// What other executors see of a local task.
fn stand_in<P: Parameters>(name: TaskName) -> Task {
    let message = format!("task `{name}` is local to its scheduler's thread: its jobs need the executor `default`");
    let call =
        move |_, _| -> BoxFuture<'static, Outcome> { Box::pin(std::future::ready(Outcome::Error(message.clone()))) };
    Task::new(name, TaskCall::Async(Arc::new(call)), P::check)
}

/// An async function that can be a task of a [`Local`]; see [`Local::task`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a local task",
    note = "a local task is an async function or closure that takes nothing, arguments that serde can read, a \
            `RunContext`, or a `RunContext` and arguments"
)]
pub trait LocalTaskFn<P: Parameters>: 'static {
    /// Calls it.
    fn call(&self, values: P::Values) -> LocalBoxFuture<'static, Outcome>;
}

macro_rules! local_task_fn {
    ($parameters:ty, ($($value:ident: $type:ty),*) $(, $args:ident)?) => {
        impl<F, R $(, $args)?> LocalTaskFn<$parameters> for F
        where
            F: Fn($($type),*) -> R + 'static,
            R: Future<Output: IntoOutcome> + 'static,
            $($args: DeserializeOwned + Send + 'static,)?
        {
            fn call(&self, ($($value,)*): <$parameters as Parameters>::Values) -> LocalBoxFuture<'static, Outcome> {
                let future = self($($value),*);
                Box::pin(async move { future.await.into_outcome() })
            }
        }
    };
}

local_task_fn!(Nothing, ());
local_task_fn!(ContextOnly, (context: RunContext));
local_task_fn!(Args<A>, (args: A), A);
local_task_fn!(ContextAndArgs<A>, (context: RunContext, args: A), A);
