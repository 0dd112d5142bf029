//! A run without a scheduler around it.

use std::{sync::Arc, sync::mpsc, thread, time::Duration};

use chrono::DateTime;
use futures_lite::future::block_on;
use scheduler_core::{Dispatch, Executor, Outcome, RunContext, RunId, Task, Uid};
use serde_json::Value;

/// How long a test waits for another thread before it fails.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn dispatch(task: &Task, args: Value) -> Dispatch {
    let mut context = RunContext::new("nightly", RunId { uid: Uid(1), seq: 7 }, DateTime::UNIX_EPOCH);
    (context.job_name, context.node) = ("Nightly".into(), "a".into());
    (context.attempt, context.fence) = (1, 3);
    let blocking = Arc::new(|work| drop(thread::spawn(work)));
    Dispatch::new(task.clone(), args, context, blocking)
}

/// Runs a task without arguments to its end.
pub(crate) fn outcome(executor: &dyn Executor, task: &Task) -> Outcome {
    block_on(executor.start(dispatch(task, Value::Null)))
}

pub(crate) fn ok(value: impl Into<Value>) -> Outcome {
    Outcome::Ok(value.into())
}

/// Something that is reported from another thread, by a message or by dropping the sender.
pub(crate) struct Report(mpsc::Receiver<()>);

impl Report {
    pub(crate) fn new() -> (mpsc::Sender<()>, Self) {
        let (sender, receiver) = mpsc::channel();
        (sender, Self(receiver))
    }

    pub(crate) fn has_come(&self) -> bool {
        self.0.try_recv().is_ok()
    }

    #[track_caller]
    pub(crate) fn wait(&self) {
        self.0.recv_timeout(DEADLINE).expect("the message comes");
    }

    /// All clones of the sender are gone.
    #[track_caller]
    pub(crate) fn wait_for_drop(&self) {
        let end = self.0.recv_timeout(DEADLINE);
        assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}

/// Blocks the threads that wait at it until it is opened, which dropping it does.
pub(crate) fn gate() -> (mpsc::Sender<()>, impl Fn() + Clone + Send + Sync + 'static) {
    let (open, receiver) = mpsc::channel::<()>();
    let receiver = Arc::new(std::sync::Mutex::new(receiver));
    let wait = move || {
        let _ = receiver.lock().expect("nobody panics here").recv_timeout(DEADLINE);
    };
    (open, wait)
}
