//! What a pool and its workers tell each other: frames of JSON, each with its length before it.
//!
//! Both ends are the same program, so that the form may change with any version.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use scheduler_core::{
    CancellationToken, Dispatch, JobId, NESTING_LIMIT, NodeId, Outcome, RunContext, RunId, StoreName, TaskName,
    is_nested_too_deeply,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Names the socket at a worker's standard input. A process that finds the name there, but not the socket, is another
/// program that a worker has started.
pub(super) const MARKER: &str = "APSCHEDULER_WORKER";

/// The bytes of the largest frame: arguments and results are held in memory, at each end at least twice.
pub(super) const FRAME_LIMIT: usize = 256 << 20;

/// The bytes of a frame's length.
pub(super) const HEADER: usize = size_of::<u32>();

/// What a pool tells a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToWorker {
    /// The first message.
    Setup(Setup),
    /// The next run. A worker has one at a time.
    Run(Box<Order>),
    /// The run is to end.
    Cancel,
}

/// What a worker tells its pool.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromWorker {
    /// It serves now, or says why it cannot.
    Hello(Result<(), String>),
    /// The run has ended.
    Done {
        /// How it has ended.
        outcome: WireOutcome,
        /// Whether the worker's memory has grown so much that another one is to go on.
        is_grown: bool,
    },
}

/// How a worker shall be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    /// The version of this crate in the pool's process.
    pub(super) version: String,
    /// How long a run may go on after the pool has gone.
    pub(super) grace: Duration,
    /// The most bytes of memory that the worker may map.
    pub(super) memory_limit: Option<u64>,
}

/// A run, as a worker needs it: a [`Dispatch`] without what cannot be sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) task: TaskName,
    pub(super) args: Value,
    job_id: JobId,
    run_id: RunId,
    job_name: Arc<str>,
    store: StoreName,
    node: NodeId,
    fire_time: DateTime<Utc>,
    attempt: u32,
    fence: u64,
}

impl Order {
    pub(super) fn new(dispatch: Dispatch) -> Self {
        let Dispatch { task, args, context, .. } = dispatch;
        let RunContext { job_id, run_id, job_name, store, node, fire_time, attempt, fence, .. } = context;
        Self { task: task.name().clone(), args, job_id, run_id, job_name, store, node, fire_time, attempt, fence }
    }

    /// The task's name, its arguments and what it is told.
    pub(super) fn into_call(self, cancellation: CancellationToken) -> (TaskName, Value, RunContext) {
        let Self { task, args, job_id, run_id, job_name, store, node, fire_time, attempt, fence } = self;
        let mut context = RunContext::new(job_id, run_id, fire_time);
        (context.job_name, context.store, context.node) = (job_name, store, node);
        (context.attempt, context.fence, context.cancellation) = (attempt, fence, cancellation);
        (task, args, context)
    }
}

/// An [`Outcome`] that can be written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WireOutcome {
    Ok(Value),
    Error(String),
    Panicked(String),
    Crashed(String),
    Cancelled,
    TimedOut(Duration),
}

impl From<Outcome> for WireOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            // Its pool could not read it.
            Outcome::Ok(value) if is_nested_too_deeply(&value) => Self::Error(format!(
                "the task succeeded, but the worker cannot tell its result: in it more than {NESTING_LIMIT} arrays and \
                 objects lie in each other"
            )),
            Outcome::Ok(value) => Self::Ok(value),
            Outcome::Error(text) => Self::Error(text),
            Outcome::Panicked(text) => Self::Panicked(text),
            Outcome::Crashed(text) => Self::Crashed(text),
            Outcome::Cancelled => Self::Cancelled,
            Outcome::TimedOut(after) => Self::TimedOut(after),
            other => Self::Error(format!("the worker cannot tell this outcome: {other:?}")),
        }
    }
}

impl From<WireOutcome> for Outcome {
    fn from(outcome: WireOutcome) -> Self {
        match outcome {
            WireOutcome::Ok(value) => Self::Ok(value),
            WireOutcome::Error(text) => Self::Error(text),
            WireOutcome::Panicked(text) => Self::Panicked(text),
            WireOutcome::Crashed(text) => Self::Crashed(text),
            WireOutcome::Cancelled => Self::Cancelled,
            WireOutcome::TimedOut(after) => Self::TimedOut(after),
        }
    }
}

/// A message as a frame. The error says why it cannot be one.
pub(super) fn frame(message: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message).map_err(|error| format!("it cannot be written as JSON: {error}"))?;
    let length = frame.len() - HEADER;
    let header = u32::try_from(length).ok().filter(|_| length <= FRAME_LIMIT);
    let header = header.ok_or_else(|| format!("it has {length} bytes as JSON; the most is {FRAME_LIMIT}"))?;
    frame[..HEADER].copy_from_slice(&header.to_le_bytes());
    Ok(frame)
}

/// The length of the frame that begins with this header.
pub(super) fn length(header: [u8; HEADER]) -> io::Result<usize> {
    let length = u32::from_le_bytes(header) as usize;
    if length > FRAME_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not a frame"));
    }
    Ok(length)
}

/// What a frame says, without its header.
pub(super) fn message<M: DeserializeOwned>(frame: &[u8]) -> Result<M, String> {
    serde_json::from_slice(frame).map_err(|error| format!("it cannot be read: {error}"))
}

/// Reads one frame, without its header; blocks until it is there.
pub(super) fn read_frame(mut line: impl Read) -> io::Result<Vec<u8>> {
    let mut header = [0; HEADER];
    line.read_exact(&mut header)?;
    let mut frame = vec![0; length(header)?];
    line.read_exact(&mut frame)?;
    Ok(frame)
}
