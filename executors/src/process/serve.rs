//! The life of a worker, seen from inside.

use std::{
    fmt::{self, Display},
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
use scheduler_core::{BoxFuture, CancellationToken, Dispatch, Outcome, StateType, States, Task, TaskCall};

use super::wire::{self, FromWorker, MARKER, Order, Setup, ToWorker};
use crate::{Tasks, attempt::attempt, panics};

/// Runs tasks for a [`ProcessPool`](super::ProcessPool), if this process is one of its workers; then it does not return.
/// In any other process it returns at once.
///
/// Call it first in `main`, before anything that a worker shall not do, such as to bind a port or to start threads. A
/// worker gives its standard input to the pool and finds nothing there; its standard output and error are the program's.
/// What tasks capture is made anew in each worker; for the state that they take see [`Worker`].
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
    Worker::new(tasks).serve();
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
pub fn serve_with(tasks: impl IntoIterator<Item = Task>, block_on: impl FnMut(BoxFuture<'static, Outcome>) -> Outcome) {
    Worker::new(tasks).block_on(block_on).serve();
}

/// What a process does if it is a worker of a [`ProcessPool`](super::ProcessPool): [`serve`], with state for its tasks.
///
/// State is made once in each worker, when it starts, and in no other process. A worker whose state cannot be made, or lacks a
/// type that a task takes, does not serve: the run that needed it ends as an error, which says why.
///
/// ```
/// use std::sync::Arc;
///
/// use scheduler_core::{State, Task};
/// use scheduler_executors::{blocking, process};
///
/// #[derive(Clone)]
/// struct Fonts(Arc<Vec<u8>>); // Which take a while to load.
///
/// fn load() -> Fonts {
///     Fonts(Arc::new(vec![0; 1 << 20]))
/// }
///
/// fn render(State(fonts): State<Fonts>, page: String) -> usize {
///     fonts.0.len() + page.len()
/// }
///
/// fn tasks() -> Vec<Task> {
///     vec![blocking("render", render)]
/// }
///
/// fn main() {
///     process::Worker::new(tasks()).state(load).serve();
///     // Here the program begins: it registers `tasks()` with its scheduler, whose builder wants `.state(load())` as well.
/// }
/// ```
#[must_use = "it does nothing until it serves"]
pub struct Worker<'a> {
    tasks: Vec<Task>,
    states: Vec<MakeState<'a>>,
    block_on: Box<dyn FnMut(BoxFuture<'static, Outcome>) -> Outcome + 'a>,
}

/// Adds a value to the state of the tasks, or says why not.
type MakeState<'a> = Box<dyn FnOnce(States) -> Result<States, String> + 'a>;

impl<'a> Worker<'a> {
    /// A worker that runs these tasks. Async ones are driven by its main thread.
    pub fn new(tasks: impl IntoIterator<Item = Task>) -> Self {
        let tasks = tasks.into_iter().collect();
        Self { tasks, states: Vec::new(), block_on: Box::new(future::block_on) }
    }

    /// Makes a value that tasks take by its type, with [`State`](scheduler_core::State).
    pub fn state<T: Clone + Send + Sync + 'static>(self, make: impl FnOnce() -> T + 'a) -> Self {
        self.try_state(|| Ok::<T, String>(make()))
    }

    /// As [`state`](Self::state), for what may fail, such as to connect to a database.
    pub fn try_state<T, E>(mut self, make: impl FnOnce() -> Result<T, E> + 'a) -> Self
    where
        T: Clone + Send + Sync + 'static,
        E: Display,
    {
        self.states.push(Box::new(|states| {
            let state = StateType::of::<T>();
            let made = panics::catch(make).map_err(|panic| format!("making the state `{state}` panicked: {panic}"))?;
            let value = made.map_err(|error| format!("the state `{state}` cannot be made: {error}"))?;
            states.with(value)
        }));
        self
    }

    /// Drives async tasks by a function of the program; see [`serve_with`].
    pub fn block_on(mut self, block_on: impl FnMut(BoxFuture<'static, Outcome>) -> Outcome + 'a) -> Self {
        self.block_on = Box::new(block_on);
        self
    }

    /// Serves if this process is a worker, and then does not return; in any other process it returns at once.
    pub fn serve(self) {
        if !is_worker() {
            return;
        }
        // The pool sees how this process ends.
        exit(match work(self) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("a worker of an apscheduler process pool ends: {error}");
                1
            }
        })
    }
}

impl fmt::Debug for Worker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("tasks", &self.tasks).finish_non_exhaustive()
    }
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
fn work(worker: Worker<'_>) -> io::Result<()> {
    // Tasks and the programs that they start shall not get at the line to the pool.
    let mut line = UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;

    let ToWorker::Setup(setup) = read(&line)? else { return Err(not_expected()) };
    let Worker { tasks, states, mut block_on } = worker;
    let served = prepare(&setup).and_then(|()| serving(tasks, states));
    tell(&mut line, &FromWorker::Hello(served.as_ref().map(drop).map_err(String::clone)))?;
    let Ok((tasks, states)) = served else { return Ok(()) };

    let orders = listen(line.try_clone()?, setup.grace)?;
    for order in orders {
        let outcome = match order {
            Ok((order, cancellation)) => run((&tasks, &states), *order, cancellation, &mut *block_on),
            Err(message) => Outcome::Error(message),
        };
        let is_grown = setup.memory_limit.is_some_and(is_near);
        if report(&mut line, outcome, is_grown).is_err() {
            break; // The pool has gone.
        }
    }
    Ok(())
}

/// The tasks, and the state that they take.
fn serving(tasks: Vec<Task>, states: Vec<MakeState<'_>>) -> Result<(Tasks, States), String> {
    let states = states.into_iter().try_fold(States::default(), |states, make| make(states))?;
    for task in &tasks {
        if let Some(missing) = task.missing_state(|state| states.has(state)) {
            return Err(format!(
                "task `{}` takes `State<{missing}>`, which this worker does not have: give it to `process::Worker` with \
                 `.state(..)`",
                task.name()
            ));
        }
    }
    let tasks = Tasks::new(tasks).map_err(|error| error.to_string())?;
    Ok((tasks, states))
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
    (tasks, states): (&Tasks, &States),
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
    let dispatch = Dispatch::new(task.clone(), args, context.with_states(states.clone()), blocking);
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
