//! The life of a worker, seen from inside.

use std::{
    fs::File,
    io::{self, Write, stdin},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::MetadataExt, net::UnixStream},
    },
    process::exit,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use futures_lite::future;
use rustix::process::{Resource, Rlimit, Signal};
use scheduler_core::{BoxFuture, CancellationToken, Dispatch, Outcome, Task, TaskCall};

use super::wire::{self, FromWorker, MARKER, Order, Setup, ToWorker};
use crate::{Tasks, attempt::attempt, panics};

/// Runs tasks for a [`ProcessPool`](super::ProcessPool), if this process is one of its workers; then it does not return.
/// In any other process it returns at once.
///
/// Call it first in `main`, before anything that a worker shall not do, such as to bind a port or to start threads. A
/// worker gives its standard input to the pool and finds nothing there; its standard output and error are the program's.
/// What tasks capture is made anew in each worker.
///
/// An async task is driven by the worker's main thread, and finds no runtime around it; see [`serve_with`].
///
/// ```
/// use scheduler_core::Task;
/// use scheduler_executors::{blocking, process};
///
/// fn tasks() -> Vec<Task> {
///     vec![blocking("square", |n: u64| n * n)]
/// }
///
/// fn main() {
///     process::serve(tasks());
///     // Here the program begins: it registers `tasks()` with its scheduler.
/// }
/// ```
pub fn serve(tasks: impl IntoIterator<Item = Task>) {
    serve_with(tasks, future::block_on);
}

/// What [`serve`] does, with async tasks driven by a function of the program: for tasks that need a runtime around them.
///
/// It is called in a worker alone, on the main thread, for one run after the other. Blocking tasks are called without it.
///
/// ```no_run
/// use scheduler_executors::{process, task};
/// # struct Runtime;
/// # impl Runtime {
/// #     fn new() -> std::io::Result<Self> { Ok(Self) }
/// #     fn block_on<F: Future>(&self, future: F) -> F::Output { futures_lite::future::block_on(future) }
/// # }
///
/// let runtime = std::cell::OnceCell::new(); // tokio's, made by the first run
/// process::serve_with([task("fetch", async || "fetched")], |run| {
///     runtime.get_or_init(|| Runtime::new().expect("a worker may have a runtime")).block_on(run)
/// });
/// ```
pub fn serve_with(
    tasks: impl IntoIterator<Item = Task>,
    mut block_on: impl FnMut(BoxFuture<'static, Outcome>) -> Outcome,
) {
    if !is_worker() {
        return;
    }
    // The pool sees how this process ends.
    exit(match work(tasks, &mut block_on) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("a worker of an apscheduler process pool ends: {error}");
            1
        }
    })
}

/// Whether a pool has started this process and waits for it to [`serve`].
pub(super) fn is_worker() -> bool {
    let Ok(marker) = std::env::var(MARKER) else { return false };
    stdin().as_fd().try_clone_to_owned().and_then(name).is_ok_and(|name| name == marker)
}

/// A name for a socket, the same in each process that has it.
pub(super) fn name(socket: OwnedFd) -> io::Result<String> {
    let metadata = File::from(socket).metadata()?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// Serves until the pool hangs up.
fn work(
    tasks: impl IntoIterator<Item = Task>,
    block_on: &mut dyn FnMut(BoxFuture<'static, Outcome>) -> Outcome,
) -> io::Result<()> {
    // Tasks and the programs that they start shall not get at the line to the pool.
    let mut line = UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;

    let ToWorker::Setup(setup) = read(&line)? else { return Err(not_expected()) };
    let tasks = prepare(&setup).and_then(|()| Tasks::new(tasks).map_err(|error| error.to_string()));
    tell(&mut line, &FromWorker::Hello(tasks.as_ref().map(drop).map_err(String::clone)))?;
    let Ok(tasks) = tasks else { return Ok(()) };

    let orders = listen(line.try_clone()?, setup.grace)?;
    for order in orders {
        let outcome = match order {
            Ok((order, cancellation)) => run(&tasks, *order, cancellation, block_on),
            Err(message) => Outcome::Error(message),
        };
        let is_grown = setup.memory_limit.is_some_and(is_near);
        if report(&mut line, outcome, is_grown).is_err() {
            break; // The pool has gone.
        }
    }
    Ok(())
}

fn prepare(setup: &Setup) -> Result<(), String> {
    let version = env!("CARGO_PKG_VERSION");
    if setup.version != version {
        return Err(format!("the worker's program has version {version} of the pool, not {}", setup.version));
    }
    #[cfg(target_os = "linux")]
    name_process();
    let Some(bytes) = setup.memory_limit else { return Ok(()) };
    // A limit that is lower already stays, since it cannot be raised.
    let bytes = rustix::process::getrlimit(Resource::As).maximum.map_or(bytes, |maximum| maximum.min(bytes));
    rustix::process::setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum: Some(bytes) })
        .map_err(|error| format!("the worker's memory could not be limited to {bytes} bytes: {error}"))
}

/// Names the process as it would be if it had not been started through `/proc/self/exe`.
#[cfg(target_os = "linux")]
fn name_process() {
    let Ok(program) = std::env::current_exe() else { return };
    let name = program.file_name().and_then(|name| std::ffi::CString::new(name.as_encoded_bytes()).ok());
    if let Some(name) = name {
        // For `ps` and `top` alone.
        let _ = rustix::thread::set_name(&name);
    }
}

/// What there is to run, or why it could not be read.
type Orders = Receiver<Result<(Box<Order>, CancellationToken), String>>;

/// Reads what the pool says, on a thread of its own, since a task may be asked to stop while it runs.
fn listen(line: UnixStream, grace: Duration) -> io::Result<Orders> {
    let (orders, receiver) = channel();
    let listener = Listener { line, orders, current: CancellationToken::new() };
    thread::Builder::new().name("apscheduler-pool".to_owned()).spawn(move || listener.listen(grace))?;
    Ok(receiver)
}

struct Listener {
    line: UnixStream,
    orders: Sender<Result<(Box<Order>, CancellationToken), String>>,
    /// Of the last run.
    current: CancellationToken,
}

impl Listener {
    fn listen(mut self, grace: Duration) {
        while let Ok(frame) = wire::read_frame(&self.line) {
            let order = match wire::message(&frame) {
                Ok(ToWorker::Run(order)) => {
                    self.current = CancellationToken::new();
                    Ok((order, self.current.clone()))
                }
                Ok(ToWorker::Cancel) => {
                    self.current.cancel();
                    continue;
                }
                Ok(ToWorker::Setup(_)) => Err("the worker is set up already".to_owned()),
                Err(error) => Err(format!("the worker has not understood the run: {error}")),
            };
            if self.orders.send(order).is_err() {
                return; // The worker ends.
            }
        }
        self.hang_up(grace);
    }

    /// The pool or its whole process has gone, and nothing else ends this worker.
    #[expect(clippy::disallowed_methods, reason = "a thread of a process without a scheduler")]
    fn hang_up(self, grace: Duration) {
        self.current.cancel();
        // Without this end of the channel the main thread ends the process, unless a task holds it.
        drop(self.orders);
        thread::sleep(grace);
        // Nothing more can be done about a failure.
        let _ = rustix::process::kill_current_process_group(Signal::KILL);
    }
}

fn run(
    tasks: &Tasks,
    order: Order,
    cancellation: CancellationToken,
    block_on: &mut dyn FnMut(BoxFuture<'static, Outcome>) -> Outcome,
) -> Outcome {
    let (name, args, context) = order.into_call(cancellation);
    let Some(task) = tasks.task(name.as_str()) else {
        let known: Vec<_> = tasks.iter().map(|task| task.name().as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { format!("`{}`", known.join("`, `")) };
        return Outcome::Error(format!(
            "the worker has no task `{name}`: give it to `process::serve`, which has {known}"
        ));
    };
    let blocking = Arc::new(|work| drop(thread::spawn(work)));
    let dispatch = Dispatch::new(task.clone(), args, context, blocking);
    match task.call() {
        TaskCall::Blocking(_) => future::block_on(attempt(dispatch)),
        TaskCall::Async(_) => {
            let run = Box::pin(attempt(dispatch));
            panics::catch(|| block_on(run)).unwrap_or_else(Outcome::Panicked)
        }
    }
}

/// Whether the memory that this process has mapped comes near to a limit, so that a leak ends a worker between two runs
/// rather than within one. Never, where the system does not say.
fn is_near(limit: u64) -> bool {
    let mapped = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    mapped().is_some_and(|kib| kib.saturating_mul(1024) > limit / 4 * 3)
}

fn report(line: &mut UnixStream, outcome: Outcome, is_grown: bool) -> io::Result<()> {
    match wire::frame(&FromWorker::Done { outcome: outcome.into(), is_grown }) {
        Ok(frame) => line.write_all(&frame),
        Err(error) => {
            let outcome = Outcome::Error(format!("the task ended, but the worker cannot tell its result: {error}"));
            tell(line, &FromWorker::Done { outcome: outcome.into(), is_grown })
        }
    }
}

fn tell(line: &mut UnixStream, message: &FromWorker) -> io::Result<()> {
    line.write_all(&wire::frame(message).map_err(io::Error::other)?)
}

fn read(line: &UnixStream) -> io::Result<ToWorker> {
    wire::message(&wire::read_frame(line)?).map_err(io::Error::other)
}

fn not_expected() -> io::Error {
    io::Error::other("the pool began with another message than the first one")
}
