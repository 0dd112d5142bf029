//! Threads for work that blocks: as many as the work asks for, within a bound.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a thread without work stays. Starting one costs tens of microseconds, so this only has to outlast the
/// pauses within a burst; after it an idle pool has no thread, and none that wakes.
const LINGER: Duration = Duration::from_secs(10);

/// Threads for work that blocks, for adapters whose runtime has none that idle for free.
///
/// A thread starts when work finds none free, up to a limit; beyond that work waits in a queue, first
/// come, first served. A thread that has found no work for ten seconds ends. Work that panics ends,
/// and its thread carries on. Clones share the threads; dropping them all lets the queued work run.
///
/// ```
/// use std::sync::mpsc;
///
/// use scheduler_runtime::BlockingPool;
///
/// let (answer, answers) = mpsc::channel();
/// BlockingPool::default().run(Box::new(move || answer.send(6 * 7).unwrap()));
/// assert_eq!(answers.recv(), Ok(42));
/// ```
#[derive(Clone)]
pub struct BlockingPool {
    shared: Arc<Shared>,
}

struct Shared {
    limit: NonZeroUsize,
    desk: Mutex<Desk>,
    work_waits: Condvar,
}

#[derive(Default)]
struct Desk {
    queue: VecDeque<Work>,
    threads: usize,
    idle: usize,
}

type Work = Box<dyn FnOnce() + Send + 'static>;

impl BlockingPool {
    /// The limit of [`default`](Self::default), which is tokio's: threads that wait cost address
    /// space, not processor time, and hundreds of slow calls at once are ordinary.
    pub const DEFAULT_LIMIT: NonZeroUsize = NonZeroUsize::new(512).expect("512 is not zero");

    /// A pool of at most `limit` threads.
    #[must_use]
    pub fn new(limit: NonZeroUsize) -> Self {
        Self { shared: Arc::new(Shared { limit, desk: Mutex::default(), work_waits: Condvar::new() }) }
    }

    /// Runs `work` on a thread of the pool.
    ///
    /// # Panics
    ///
    /// If the pool has no thread and the system cannot start one.
    pub fn run(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        let mut desk = self.shared.desk();
        desk.queue.push_back(work);
        if desk.queue.len() <= desk.idle || desk.threads == self.shared.limit.get() {
            self.shared.work_waits.notify_one();
            return;
        }
        let shared = Arc::clone(&self.shared);
        let started = thread::Builder::new().name("scheduler-blocking".to_owned()).spawn(move || shared.serve());
        match started {
            Ok(_) => desk.threads += 1,
            // The threads there are will come to it.
            Err(_) if desk.threads > 0 => {}
            Err(error) => {
                desk.queue.pop_back();
                drop(desk);
                panic!("cannot start a thread for blocking work: {error}");
            }
        }
    }
}

impl Default for BlockingPool {
    /// A pool of at most [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) threads.
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let desk = self.shared.desk();
        f.debug_struct("BlockingPool")
            .field("limit", &self.shared.limit)
            .field("threads", &desk.threads)
            .field("idle", &desk.idle)
            .field("queued", &desk.queue.len())
            .finish()
    }
}

impl Shared {
    fn serve(&self) {
        let mut desk = self.desk();
        loop {
            while let Some(work) = desk.queue.pop_front() {
                drop(desk);
                // The panic hook has already reported it.
                let _ = catch_unwind(AssertUnwindSafe(work));
                desk = self.desk();
            }
            desk.idle += 1;
            let (woken, waited) = self
                .work_waits
                .wait_timeout_while(desk, LINGER, |desk| desk.queue.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            desk = woken;
            desk.idle -= 1;
            if waited.timed_out() && desk.queue.is_empty() {
                desk.threads -= 1;
                return;
            }
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // No work runs and nothing panics under the lock, so the counts hold.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Only what hangs takes this long.
    const DEADLINE: Duration = Duration::from_secs(60);

    #[test]
    fn work_beyond_the_limit_waits_for_a_thread() {
        let pool = BlockingPool::new(NonZeroUsize::new(2).unwrap());
        let (at_work, working) = mpsc::channel();
        let gates: Vec<_> = (0..3)
            .map(|n| {
                let (gate, open) = mpsc::channel::<()>();
                let at_work = at_work.clone();
                pool.run(Box::new(move || {
                    at_work.send(n).unwrap();
                    let _ = open.recv();
                }));
                gate
            })
            .collect();

        let mut first_two = [working.recv_timeout(DEADLINE).unwrap(), working.recv_timeout(DEADLINE).unwrap()];
        first_two.sort_unstable();
        assert_eq!(first_two, [0, 1]);
        assert_eq!(pool.shared.desk().threads, 2);
        assert_eq!(pool.shared.desk().queue.len(), 1);

        drop(gates);
        assert_eq!(working.recv_timeout(DEADLINE), Ok(2));
    }

    #[test]
    fn a_thread_that_is_free_takes_the_next_work() {
        let pool = BlockingPool::default();
        for _ in 0..100 {
            let (done, end) = mpsc::channel::<()>();
            pool.run(Box::new(move || drop(done)));
            assert_eq!(end.recv_timeout(DEADLINE), Err(mpsc::RecvTimeoutError::Disconnected));
            until(|| pool.shared.desk().idle > 0);
        }

        assert_eq!(pool.shared.desk().threads, 1);
    }

    #[test]
    fn work_that_panics_leaves_its_thread_alive() {
        let pool = BlockingPool::new(NonZeroUsize::MIN);
        pool.run(Box::new(|| panic!("(this panic is part of the test)")));

        let (done, end) = mpsc::channel();
        pool.run(Box::new(move || done.send(()).unwrap()));

        assert_eq!(end.recv_timeout(DEADLINE), Ok(()));
    }

    #[test]
    fn work_still_queued_when_the_pool_is_dropped_runs() {
        let pool = BlockingPool::new(NonZeroUsize::MIN);
        let (gate, open) = mpsc::channel::<()>();
        pool.run(Box::new(move || {
            let _ = open.recv();
        }));
        let (done, end) = mpsc::channel();
        pool.run(Box::new(move || done.send(()).unwrap()));

        drop(pool);
        drop(gate);

        assert_eq!(end.recv_timeout(DEADLINE), Ok(()));
    }

    fn until(condition: impl Fn() -> bool) {
        while !condition() {
            thread::yield_now();
        }
    }
}
