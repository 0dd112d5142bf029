//! The executor with threads of its own.

use std::{
    collections::VecDeque,
    io,
    num::NonZeroUsize,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use futures_lite::future;
use scheduler_core::{BoxFuture, Dispatch, Executor, Outcome};

use crate::{
    handoff::{Dropped, Work, drive, hand_over_to},
    panics,
};

/// Runs tasks on a bounded number of threads, in the order of their priority and then in that in which they become due.
///
/// A thread calls a blocking task, and drives an async one to its end before it takes another run. An async task finds
/// no runtime around it there: one that needs tokio's timers or sockets belongs on [`Spawn`](crate::Spawn).
///
/// Threads start when they are first needed and stay until the pool is dropped. Runs that find no free thread wait at the
/// scheduler, which bounds how many do; their timeout begins when they get one. Dropping the pool returns at once: its
/// threads finish what they run and what is still waited for, and end.
///
/// ```
/// use scheduler_core::Executor;
/// use scheduler_executors::ThreadPool;
///
/// let executor: Box<dyn Executor> = Box::new(ThreadPool::new().threads(4).named("reports"));
/// ```
#[derive(Debug)]
#[doc(alias = "ThreadPoolExecutor")]
pub struct ThreadPool {
    threads: usize,
    name: String,
    stack_size: Option<usize>,
    queue: Arc<Queue>,
}

impl ThreadPool {
    /// A pool with the defaults of the methods below.
    pub fn new() -> Self {
        Self { threads: 10, name: "apscheduler".to_owned(), stack_size: None, queue: Arc::default() }
    }

    /// At most this many threads, and at least one: 0 counts as 1. Defaults to 10, as in APScheduler.
    #[doc(alias = "max_workers")]
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// The name of the threads, which get numbers from 1 after it. Defaults to `apscheduler`. Some systems show only the
    /// first 15 bytes.
    #[doc(alias = "thread_name_prefix")]
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into().replace('\0', ""); // which no thread may have in its name
        self
    }

    /// The stack of each thread in bytes. Defaults to that of Rust's threads, 2 MiB on most systems.
    #[must_use]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Queues a run for a thread, which calls `conduct` for it.
    pub(crate) fn start_with<C>(&self, conduct: C, dispatch: Dispatch) -> BoxFuture<'static, Outcome>
    where
        C: FnOnce(Dispatch, Dropped<'_>) -> Outcome + Send + 'static,
    {
        let (work, run) = hand_over_to(conduct, dispatch);
        match self.push(work) {
            Ok(()) => run,
            Err(error) => {
                let message = format!("pool `{}` could not start a thread: {error}", self.name);
                Box::pin(future::ready(Outcome::Error(message)))
            }
        }
    }

    /// Queues work and starts a thread for it if none is idle. The error means that no thread is there at all.
    fn push(&self, work: Work) -> io::Result<()> {
        let mut state = self.queue.lock();
        // A thread that was notified and has not woken up yet counts as idle, and so does its work as waiting.
        if state.waiting.len() >= state.idle && state.threads < self.threads {
            match self.start_thread(state.threads + 1) {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(error),
                // The threads that are there get to it.
                Err(_) => {}
            }
        }
        state.waiting.push_back(work);
        drop(state);
        self.queue.changed.notify_one();
        Ok(())
    }

    fn start_thread(&self, number: usize) -> io::Result<()> {
        let mut thread = thread::Builder::new().name(format!("{}-{number}", self.name));
        if let Some(bytes) = self.stack_size {
            thread = thread.stack_size(bytes);
        }
        let queue = self.queue.clone();
        thread.spawn(move || queue.serve()).map(drop)
    }
}

impl Default for ThreadPool {
    fn default() -> Self {
        Self::new()
    }
}

impl Executor for ThreadPool {
    /// As many runs as it has threads; further ones wait at the scheduler, by priority.
    fn limit(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.threads)
    }

    fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
        self.start_with(drive, dispatch)
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
    }
}

/// What the pool and its threads share.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    /// Threads that were started.
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
    is_closed: bool,
}

impl Queue {
    /// The life of a thread.
    fn serve(&self) {
        while let Some(work) = self.next() {
            // The task's panics are caught further in; a waker's must not cost the pool a thread either.
            let _ = panics::catch(work);
        }
    }

    /// The oldest work, or none once the pool is gone and nothing is left.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                return Some(work);
            }
            if state.is_closed {
                return None;
            }
            state.idle += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// No user's code runs under the lock, so that poison says nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let State { waiting, threads, idle, is_closed } = &*self.lock();
        f.debug_struct("Queue")
            .field("waiting", &waiting.len())
            .field("threads", threads)
            .field("idle", idle)
            .field("is_closed", is_closed)
            .finish()
    }
}
