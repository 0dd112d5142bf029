//! A worker, seen from its pool.

use std::{
    cell::Cell,
    ffi::OsString,
    io,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    path::PathBuf,
    pin::pin,
    process::{Command, Stdio},
    time::Duration,
};

use async_io::{Async, Timer};
use async_process::Child;
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use scheduler_core::{CancellationToken, Outcome};

use super::{
    group::{self, describe},
    serve,
    wire::{self, FromWorker, HEADER, MARKER, Setup, ToWorker},
};

/// How workers are started, and what they may do.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// This program, unless there is another one.
    pub(super) program: Option<PathBuf>,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) runs_per_worker: Option<u64>,
    pub(super) memory_limit: Option<u64>,
    pub(super) grace: Duration,
    pub(super) start_timeout: Duration,
}

impl Options {
    fn command(&self) -> io::Result<Command> {
        let mut command = match &self.program {
            Some(program) => Command::new(program),
            None => this_program()?,
        };
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// The program of this process, even if a newer one has taken its place on the disk.
fn this_program() -> io::Result<Command> {
    let path = std::env::current_exe()?;
    if cfg!(target_os = "linux") {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(path);
        return Ok(command);
    }
    Ok(Command::new(path))
}

/// What has become of a run that was given to a worker.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The worker has ended it, and may take another one.
    Ended(Outcome),
    /// The worker is gone, and with it the run.
    Died(Outcome),
    /// The worker was dead before it could read the run.
    Unread(String),
}

/// A process that runs tasks for its pool, and the line to it.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    line: Async<UnixStream>,
    state: State,
    runs: u64,
    is_grown: bool,
}

/// What a worker says, why that cannot be understood, or why it says nothing more.
type Answer = io::Result<Result<FromWorker, String>>;

/// What dropping a worker means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It ends by itself once the line is cut.
    Idle,
    /// The worker runs a task whose result is not wanted any more: it is killed.
    Busy,
    /// It has ended.
    Dead,
}

impl Worker {
    /// Starts a worker and waits until it serves.
    ///
    /// The error says why it does not.
    pub(super) async fn start(options: &Options) -> Result<Self, String> {
        if serve::is_worker() {
            return Err(format!("this process is a worker of a process pool itself, and has no pool: {HINT}"));
        }
        let mut worker = Self::spawn(options).map_err(|error| format!("it could not be started: {error}"))?;
        let hello = async { Some(worker.meet(options).await) };
        let late = async {
            Timer::after(options.start_timeout).await;
            None
        };
        match future::or(hello, late).await {
            Some(Ok(hello)) => {
                worker.state = State::Idle;
                hello.map(|()| worker)
            }
            Some(Err(error)) if is_end(&error) => {
                Err(format!("it ended with {} instead of serving: {HINT}", worker.death().await))
            }
            Some(Err(error)) => Err(format!("it does not serve: {error}; {HINT}")),
            None => Err(format!("it did not serve within {:?}: {HINT}", options.start_timeout)),
        }
    }

    fn spawn(options: &Options) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let line = Async::new(ours)?;
        let marker = serve::name(theirs.try_clone()?.into())?;
        let mut command = options.command()?;
        // Control-C in a terminal is for the program, which then decides about its workers.
        command.env(MARKER, marker).process_group(0);
        let mut command = async_process::Command::from(command);
        let child = command.stdin(OwnedFd::from(theirs)).stdout(Stdio::inherit()).stderr(Stdio::inherit()).spawn()?;
        Ok(Self { child, line, state: State::Busy, runs: 0, is_grown: false })
    }

    /// The first words. The inner error is the worker's own.
    async fn meet(&self, options: &Options) -> io::Result<Result<(), String>> {
        let setup = Setup {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            grace: options.grace,
            memory_limit: options.memory_limit,
        };
        let frame = wire::frame(&ToWorker::Setup(setup)).map_err(io::Error::other)?;
        (&self.line).write_all(&frame).await?;
        match self.read().await? {
            Ok(FromWorker::Hello(hello)) => Ok(hello),
            Ok(FromWorker::Done { .. }) => Err(io::Error::other("it began with another message than the first one")),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Whether the worker has done as much as it may.
    pub(super) fn is_worn(&self, options: &Options) -> bool {
        self.is_grown || options.runs_per_worker.is_some_and(|most| self.runs >= most)
    }

    /// Gives a run to the worker and waits for its end. Dropping the future leaves a worker that is killed when it is
    /// dropped.
    pub(super) async fn run(&mut self, order: &[u8], cancellation: &CancellationToken, options: &Options) -> Attempt {
        self.state = State::Busy;
        self.runs += 1;
        let (answer, is_told_to_stop) = self.exchange(order, cancellation, options).await;
        self.judge(answer, is_told_to_stop, options).await
    }

    /// Sends a run and gives the answer, or none if the worker is to be killed; and whether it was told to stop.
    async fn exchange(
        &self,
        order: &[u8],
        cancellation: &CancellationToken,
        options: &Options,
    ) -> (Option<Answer>, bool) {
        let is_sent = Cell::new(false);
        let mut answer = pin!(async {
            (&self.line).write_all(order).await?;
            is_sent.set(true);
            self.read().await
        });
        let cancelled = async {
            cancellation.cancelled().await;
            None
        };
        let answered = future::or(async { Some(answer.as_mut().await) }, cancelled).await;
        if answered.is_some() || !is_sent.get() {
            return (answered, false);
        }
        let late = async {
            Timer::after(options.grace).await;
            None
        };
        // A worker that reads nothing any more cannot even be asked.
        let asked = async {
            self.ask_to_stop().await;
            future::pending().await
        };
        let grace = future::or(asked, late);
        (future::or(async { Some(answer.await) }, grace).await, true)
    }

    async fn ask_to_stop(&self) {
        if let Ok(frame) = wire::frame(&ToWorker::Cancel) {
            // A worker that cannot be told is dead, which shows in its answer.
            let _ = (&self.line).write_all(&frame).await;
        }
    }

    async fn judge(&mut self, answer: Option<Answer>, is_told_to_stop: bool, options: &Options) -> Attempt {
        let Some(answer) = answer else {
            self.death().await;
            return Attempt::Died(Outcome::Cancelled);
        };
        match answer {
            Ok(Ok(FromWorker::Done { outcome, is_grown })) => {
                self.state = State::Idle;
                self.is_grown = is_grown;
                Attempt::Ended(outcome.into())
            }
            Ok(Ok(FromWorker::Hello(_))) => self.give_up("its worker said hello instead").await,
            Ok(Err(error)) => self.give_up(&format!("the worker's answer is lost: {error}")).await,
            // What the worker has not read may be what it was told after the run.
            Err(error) if is_unread(&error) && !is_told_to_stop => Attempt::Unread(self.death().await),
            // It lives and talks, but not to its pool: whatever is said next cannot be understood either.
            Err(error) if !is_end(&error) => {
                let worker = self.child.id();
                self.death().await;
                Attempt::Died(Outcome::Crashed(format!(
                    "its pool killed its worker, process {worker}, whose answer cannot be understood: {error}"
                )))
            }
            Err(_) => {
                let death = self.death().await;
                let limit = options.memory_limit.map(|bytes| format!("; its memory was limited to {bytes} bytes"));
                Attempt::Died(Outcome::Crashed(format!("its worker ended with {death}{}", limit.unwrap_or_default())))
            }
        }
    }

    /// Ends a worker that cannot be understood, since its next answer may be to the last run.
    async fn give_up(&mut self, error: &str) -> Attempt {
        self.death().await;
        Attempt::Died(Outcome::Error(error.to_owned()))
    }

    /// Reads what the worker says next. The inner error is about a message that cannot be understood.
    async fn read(&self) -> Answer {
        let mut line = &self.line;
        let mut header = [0; HEADER];
        line.read_exact(&mut header).await?;
        let mut frame = vec![0; wire::length(header)?];
        line.read_exact(&mut frame).await?;
        Ok(wire::message(&frame))
    }

    /// Ends the process, if it has not ended already, with all that it has started, and says how it has ended.
    async fn death(&mut self) -> String {
        // Nothing changes the status of a process that is about to end.
        self.kill();
        let status = self.child.status().await;
        self.state = State::Dead;
        status.map_or_else(|error| format!("a status that is not known: {error}"), describe)
    }

    fn kill(&mut self) {
        group::kill(&mut self.child);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.state == State::Busy {
            self.kill();
        }
    }
}

/// What is usually wrong with a worker that does not serve.
const HINT: &str = "call `process::serve` first in `main`, with the tasks";

/// Whether the worker has hung up.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Whether the worker hung up without having read all that was sent. Linux tells it from an ordinary end; where it is not
/// told, a run that a dead worker was given counts as crashed.
fn is_unread(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
