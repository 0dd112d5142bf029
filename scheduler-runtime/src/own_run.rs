//! Which runs the calling code is in: a task that waits for its own end waits for ever.
//!
//! A thread knows of the runs whose code it is just executing: of a blocking task for the time of its call, of an async one
//! while it is polled, whichever thread that is on. What a task spawns runs beside it and may wait for it.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use scheduler_core::{
    BoxFuture, Error, ErrorKind, JobId, NodeId, Outcome, RunContext, RunId, StoreName, Task, TaskCall,
};

/// A run, as far as it matters who waits for its end.
#[derive(Debug)]
pub(crate) struct OwnRun {
    /// The scheduler that runs it.
    node: NodeId,
    store: StoreName,
    job: JobId,
    run: RunId,
}

/// Whose thread code of a run is executed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// One on which the runtime polls whatever is to be polled, the calls to stores as well. It may have no other.
    OfRuntime,
    /// Any.
    Any,
}

thread_local! {
    /// The innermost last: a task may drive another scheduler, which runs its tasks in turn.
    static RUNS: RefCell<Vec<(Arc<OwnRun>, Thread)>> = const { RefCell::new(Vec::new()) };
}

impl OwnRun {
    pub(crate) fn of(context: &RunContext) -> Arc<Self> {
        let RunContext { node, store, job_id, run_id, .. } = context;
        Arc::new(Self { node: node.clone(), store: store.clone(), job: job_id.clone(), run: *run_id })
    }

    /// The task with its calls known to be those of this run, on whichever thread its executor makes them.
    pub(crate) fn within(self: &Arc<Self>, task: Task) -> Task {
        let run = Arc::clone(self);
        let call = match task.call().clone() {
            TaskCall::Async(call) => TaskCall::Async(Arc::new(move |context, args| {
                Box::pin(run.future_within(|| call(context, args))) as BoxFuture<'static, Outcome>
            })),
            TaskCall::Blocking(call) => TaskCall::Blocking(Arc::new(move |context, args| {
                let _entered = enter(&run, Thread::Any);
                call(context, args)
            })),
        };
        task.with_call(call)
    }

    /// A future that is made now and polled later, both known to be done by this run.
    pub(crate) fn future_within<F: Future + Unpin>(self: &Arc<Self>, make: impl FnOnce() -> F) -> InRun<F> {
        let _entered = enter(self, Thread::Any);
        InRun { run: Arc::clone(self), thread: Thread::Any, future: make() }
    }

    /// Starts the run on a thread of the runtime.
    pub(crate) fn started_on_runtime<T>(self: &Arc<Self>, start: impl FnOnce() -> T) -> T {
        let _entered = enter(self, Thread::OfRuntime);
        start()
    }

    /// A future that the runtime polls for this run.
    pub(crate) fn on_runtime<F: Future + Unpin>(self: Arc<Self>, future: F) -> InRun<F> {
        InRun { run: self, thread: Thread::OfRuntime, future }
    }
}

/// The error for a call that waits for the end of the runs of a scheduler, or for those of one of its stores, if this is
/// called by one of them.
pub(crate) fn refuse_to_wait(node: &NodeId, store: Option<&StoreName>) -> Result<(), Error> {
    let is_waited_for = |run: &OwnRun, _| run.node == *node && store.is_none_or(|store| *store == run.store);
    let Some(job) = find(is_waited_for) else {
        return Ok(());
    };
    let message = match store {
        None => format!(
            "a run of job `{job}` was to wait until its own scheduler has shut down, and so for its own end: call \
             begin_shutdown, which does not wait, or shut down from elsewhere"
        ),
        Some(store) => format!(
            "a run of job `{job}` was to wait until its own store `{store}` is removed, and so for its own end: remove it \
             from elsewhere, or from something that the task spawns and does not wait for"
        ),
    };
    Err(Error::new(ErrorKind::OwnRun, message))
}

/// The error for a call that waits for the end of one run, if this is called by that run.
pub(crate) fn refuse_to_wait_for(node: &NodeId, run: RunId) -> Result<(), Error> {
    let Some(job) = find(|own, _| own.node == *node && own.run == run) else {
        return Ok(());
    };
    let message = format!("a run of job `{job}` was to wait for its own end, which would never come");
    Err(Error::new(ErrorKind::OwnRun, message))
}

/// Refuses to let a task of this scheduler block a thread of the runtime, which may have no other: it would never get to the calls
/// that the task waits for.
///
/// # Panics
///
/// In such a task.
pub(crate) fn assert_may_block(node: &NodeId) {
    let polled = find(|run, thread| run.node == *node && thread == Thread::OfRuntime);
    if let Some(job) = polled {
        panic!(
            "a task of job `{job}`, async or inline, called a blocking function of its own scheduler, which may wait for its thread: \
             await the scheduler's handle instead, or make it a blocking task on another executor"
        );
    }
}

fn find(is_meant: impl Fn(&OwnRun, Thread) -> bool) -> Option<JobId> {
    let found = RUNS.try_with(|runs| {
        let runs = runs.borrow();
        runs.iter().rev().find(|(run, thread)| is_meant(run, *thread)).map(|(run, _)| run.job.clone())
    });
    found.ok().flatten()
}

fn enter(run: &Arc<OwnRun>, thread: Thread) -> Entered {
    // Without its locals the thread is about to end, and nothing waits on it.
    let is_entered = RUNS.try_with(|runs| runs.borrow_mut().push((Arc::clone(run), thread))).is_ok();
    Entered { is_entered }
}

/// Being in a run, until it is dropped.
struct Entered {
    is_entered: bool,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.is_entered {
            let left = RUNS.try_with(|runs| runs.borrow_mut().pop());
            drop(left);
        }
    }
}

/// A future that is polled as a part of its run.
pub(crate) struct InRun<F> {
    run: Arc<OwnRun>,
    thread: Thread,
    future: F,
}

impl<F: Future + Unpin> Future for InRun<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = enter(&self.run, self.thread);
        Pin::new(&mut self.future).poll(cx)
    }
}
