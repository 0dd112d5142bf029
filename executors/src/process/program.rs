//! One program, from its start to its end.

use std::{
    io,
    pin::pin,
    process::ExitStatus,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use async_io::Timer;
use async_process::{Child, ChildStdin, Stdio};
use futures_lite::{AsyncWriteExt, future};
use scheduler_core::{CancellationToken, Outcome};
use serde_json::json;

use super::{CommandLine, commands::Options, group, output::Output};

/// Runs a program to its end, or ends it when it is cancelled. Dropping the future kills it.
pub(super) async fn run(line: &CommandLine, options: Options, cancellation: &CancellationToken) -> Outcome {
    let mut program = match Program::start(line) {
        Ok(program) => program,
        Err(error) => return Outcome::Error(error),
    };
    let mut outputs = (Output::new(options.output_limit), Output::new(options.output_limit));
    let end = {
        let (left, is_closed) = (AtomicU64::new(u64::MAX), AtomicBool::new(false));
        let child = &mut program.child;
        let (input, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut streams = pin!(async {
            let outputs = future::zip(outputs.0.fill(stdout, &left), outputs.1.fill(stderr, &left));
            future::zip(outputs, feed(input, line.input())).await;
            is_closed.store(true, Relaxed);
        });
        let endless = async {
            streams.as_mut().await;
            future::pending().await
        };
        let end = future::or(program.end(options.grace, cancellation), endless).await;

        // What it has said at the end is still in the pipes. A background that keeps them open is not waited for.
        left.store(LONGEST_PIPE, Relaxed);
        if !is_closed.load(Relaxed) {
            let patience = async {
                Timer::after(LAST_WORDS).await;
            };
            future::or(streams, patience).await;
        }
        end
    };
    outcome(line, end, &outputs.0, &outputs.1)
}

/// The bytes that a pipe holds at most, unless a privileged process has made it larger.
const LONGEST_PIPE: u64 = 1 << 20;

/// How long it takes at most to read what is in the pipes.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A process that leads a group of its own. Dropped before its end, it is killed with the group.
struct Program {
    child: Child,
    has_ended: bool,
}

/// How a program has ended.
enum End {
    ByItself(io::Result<ExitStatus>),
    Stopped,
}

impl Program {
    fn start(line: &CommandLine) -> Result<Self, String> {
        let name = line.program();
        line.check().map_err(|error| format!("program `{name}` cannot be run: {error}"))?;
        #[cfg_attr(not(unix), expect(unused_mut, reason = "there are no groups"))]
        let mut command = line.command();
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut command = async_process::Command::from(command);
        let input = if line.input().is_some() { Stdio::piped() } else { Stdio::null() };
        let spawned = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        match (spawned, line.folder()) {
            (Ok(child), _) => Ok(Self { child, has_ended: false }),
            (Err(_), Some(folder)) if !std::path::Path::new(folder).is_dir() => {
                Err(format!("program `{name}` could not be started: its working folder `{folder}` is not there"))
            }
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {
                Err(format!("program `{name}` could not be started: it is not there, nor in a folder of `PATH`"))
            }
            (Err(error), _) => Err(format!("program `{name}` could not be started: {error}")),
        }
    }

    /// Waits for the end, and brings it about when the run is cancelled.
    async fn end(&mut self, grace: Duration, cancellation: &CancellationToken) -> End {
        let mut status = pin!(self.child.status());
        let cancelled = async {
            cancellation.cancelled().await;
            None
        };
        if let Some(status) = future::or(async { Some(status.as_mut().await) }, cancelled).await {
            self.has_ended = true;
            return End::ByItself(status);
        }
        group::ask_to_end(&mut self.child);
        let late = async {
            Timer::after(grace).await;
            None
        };
        if future::or(async { Some(status.as_mut().await) }, late).await.is_none() {
            group::kill(&mut self.child);
            // Its status says nothing but that it was killed.
            drop(status.await);
        }
        self.has_ended = true;
        // The rest of the group, whose number is its own as long as there is a rest.
        group::kill(&mut self.child);
        End::Stopped
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.has_ended {
            group::kill(&mut self.child);
        }
    }
}

/// Writes a program's input. One that does not read it has its reasons.
async fn feed(pipe: Option<ChildStdin>, input: Option<&str>) {
    if let (Some(mut pipe), Some(input)) = (pipe, input) {
        let _ = pipe.write_all(input.as_bytes()).await;
        let _ = pipe.close().await;
    }
}

fn outcome(line: &CommandLine, end: End, stdout: &Output, stderr: &Output) -> Outcome {
    let name = line.program();
    let status = match end {
        End::Stopped => return Outcome::Cancelled,
        End::ByItself(Err(error)) => {
            return Outcome::Error(format!("program `{name}` ended, but its status is not known: {error}"));
        }
        End::ByItself(Ok(status)) => status,
    };
    if status.success() {
        return Outcome::Ok(json!({"status": 0, "stdout": stdout.text(), "stderr": stderr.text()}));
    }
    let last = if stderr.is_empty() { stdout } else { stderr }.end();
    let colon = if last.is_empty() { "" } else { ": " };
    let text = format!("program `{name}` ended with {}{colon}{last}", group::describe(status));
    match status.code() {
        Some(_) => Outcome::Error(text),
        None => Outcome::Crashed(text),
    }
}
