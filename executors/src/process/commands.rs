//! The executor that runs programs.

use std::{num::NonZeroUsize, time::Duration};

use async_io::Timer;
use scheduler_core::{BoxFuture, Dispatch, Executor, Outcome, RunContext, Task, TaskCall};
use serde::{Deserialize, Deserializer, de};

use super::{CommandLine, program::run};
use crate::{Spawn, attempt::attempt_with_grace, task};

/// Runs programs: backups, scripts, whatever a crontab would run.
///
/// It gives the tasks that run a program, and is the executor for them:
///
/// ```
/// use scheduler_core::{Executor, JobSpec, trigger::Cron};
/// use scheduler_executors::process::{CommandLine, Commands};
///
/// let commands = Commands::new().limit(2);
/// // A job of this one says what to run. A job of that one may only add arguments.
/// let shell = commands.task("shell");
/// let backup = commands.program("backup", CommandLine::new("pg_dump").arg("--no-password"));
/// let executor: Box<dyn Executor> = Box::new(commands);
///
/// let nightly = Cron::crontab("0 3 * * *")?;
/// JobSpec::new("shell", nightly.clone()).executor("commands").args(CommandLine::new("backup.sh").working_folder("/srv"));
/// JobSpec::new("backup", nightly).executor("commands").args(["shop"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A run whose program ends with status 0 is [`Outcome::Ok`] with what it has printed, as
/// `{"status": 0, "stdout": "...", "stderr": "..."}`. Another status is an [`Outcome::Error`] with the end of what it has
/// printed on standard error, and a death by a signal is [`Outcome::Crashed`]. Of each output the end is kept, up to the
/// [`output_limit`](Self::output_limit); the text then says how much is left out before it.
///
/// A program leads a process group of its own. When its run is cancelled or runs into its timeout, the whole group is
/// sent SIGTERM, and SIGKILL after the [`grace`](Self::grace). Dropping the run's future kills the group at once, and so
/// does cancelling it on another executor, on which these tasks work as well. What a program has left running in the
/// background when it ends by itself goes on. Where there are no process groups, as on Windows, the program itself is
/// killed.
///
/// Other tasks run on this executor as they do on [`Spawn`].
#[derive(Debug, Clone)]
pub struct Commands {
    limit: NonZeroUsize,
    options: Options,
}

/// How programs run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) output_limit: usize,
    pub(super) grace: Duration,
}

impl Commands {
    /// The executor with the defaults of the methods below.
    pub fn new() -> Self {
        let limit = NonZeroUsize::new(10).expect("ten is not zero");
        Self { limit, options: Options { output_limit: 64 << 10, grace: Duration::from_secs(5) } }
    }

    /// At most this many programs at once, and at least one (0 counts as 1); further ones wait at the scheduler. Defaults to 10, as many as
    /// APScheduler's pools run.
    #[doc(alias = "max_workers")]
    #[must_use]
    pub fn limit(mut self, programs: usize) -> Self {
        self.limit = NonZeroUsize::new(programs).unwrap_or(NonZeroUsize::MIN);
        self
    }

    /// How many bytes are kept of each of the two outputs, counted from the end; 0 keeps nothing. Defaults to 64 KiB,
    /// since a result is held in memory. For the tasks that are made after that.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.options.output_limit = bytes;
        self
    }

    /// How long a program may go on after SIGTERM before it is killed; with zero it is killed at once. Defaults to five
    /// seconds. For the tasks that are made after that.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.options.grace = grace;
        self
    }

    /// A task that runs what the job says, a [`CommandLine`].
    ///
    /// Each client that may add jobs, or write to the store, then runs any program with the rights of this process. Where that is
    /// too much, give the [`program`](Self::program) here.
    pub fn task(&self, name: impl Into<scheduler_core::TaskName>) -> Task {
        let options = self.options;
        task(name, move |context: RunContext, line: CommandLine| async move {
            run(&line, options, &context.cancellation).await
        })
    }

    /// A task that runs this program. The job may have a list of texts as arguments, which come after those given here. One
    /// that no program can be given, since it has a NUL in it, is refused when the job is added.
    ///
    /// To the program, an argument of the job that begins with a hyphen is an **option**, such as `--file=/etc/passwd`. If the
    /// authors of jobs shall not give options, end the options with `--` as the last argument here; most programs know that.
    ///
    /// The program inherits the environment of this process, passwords in it included, unless
    /// [`inherit_env`](CommandLine::inherit_env) says what it may see.
    ///
    /// ```
    /// use scheduler_executors::process::{CommandLine, Commands};
    ///
    /// let line = CommandLine::new("gzip").args(["--keep", "--"]).inherit_env(["PATH", "LANG"]);
    /// let gzip = Commands::new().program("gzip", line);
    /// assert!(gzip.check(&serde_json::json!(["--help"])).is_ok()); // The name of a file to gzip.
    /// assert!(gzip.check(&serde_json::json!(["a\0b"])).is_err());
    /// ```
    pub fn program(&self, name: impl Into<scheduler_core::TaskName>, line: CommandLine) -> Task {
        let options = self.options;
        let add = move |context: RunContext, args: Option<Arguments>| {
            let line = line.clone().args(args.map(|Arguments(args)| args).unwrap_or_default());
            async move { run(&line, options, &context.cancellation).await }
        };
        task(name, add)
    }
}

/// Texts that a program can be given.
struct Arguments(Vec<String>);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let args = Vec::<String>::deserialize(deserializer)?;
        CommandLine::new("program").args(&args).check().map_err(de::Error::custom)?;
        Ok(Self(args))
    }
}

impl Default for Commands {
    fn default() -> Self {
        Self::new()
    }
}

impl Executor for Commands {
    fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
        match dispatch.task.call() {
            TaskCall::Async(_) => {
                // The executor does not wait for a program that cannot be killed.
                let longest = self.options.grace + Duration::from_secs(1);
                let grace = async move {
                    Timer::after(longest).await;
                };
                Box::pin(attempt_with_grace(dispatch, grace))
            }
            TaskCall::Blocking(_) => Spawn::new().start(dispatch),
        }
    }

    fn limit(&self) -> Option<NonZeroUsize> {
        Some(self.limit)
    }
}
