//! What comes to the loop from the handles, and what waits for its answer.

use std::sync::Arc;

use futures_channel::oneshot;
use scheduler_core::{
    Error, ErrorKind, Executor, ExecutorName, JobStore, StoreName, Task,
    engine::{Command, Reply},
};

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
    /// Where the store is sent that the command is about.
    LendStore(oneshot::Sender<Arc<dyn JobStore>>),
    /// For each of the jobs that are added, its closure if it is one.
    Closures(Vec<Option<Task>>),
}

/// A caller that waits for an answer, and what becomes a part of the scheduler with it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) reply: oneshot::Sender<Result<Reply, Error>>,
    pub(super) part: Part,
}

/// A part of a scheduler that is being added.
#[derive(Debug)]
pub(super) enum Part {
    Nothing,
    Store(StoreName, Arc<dyn JobStore>),
    Executor(ExecutorName, Arc<dyn Executor>),
}

pub(crate) fn gone() -> Error {
    Error::new(
        ErrorKind::ShutDown,
        "the scheduler has shut down, or the runtime on which it ran is gone; build another",
    )
}
