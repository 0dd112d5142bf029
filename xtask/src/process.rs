//! Running other programs.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// A command of the cargo that started xtask, without the variables by which `cargo run` describes the package xtask.
///
/// The build scripts would see them. Some of these scripts are run again when one has changed, as that of ring is, and all that
/// stands on them would be built anew whenever `cargo xtask test` comes after `cargo test`, and the other way round.
pub(crate) fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let of_xtask = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_xtask)) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// Runs a program to its end; what it prints goes to the terminal as it comes.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = line(command);
    println!("\n$ {line}");
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("`{line}` cannot be run: {error}"))?;
    succeeded(&line, status)
}

/// Whether a program runs and succeeds; what it prints is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What a program prints to its standard output; what it says besides goes to the terminal.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let line = line(command);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("`{line}` cannot be run: {error}"))?;
    succeeded(&line, output.status)?;
    String::from_utf8(output.stdout).map_err(|error| format!("`{line}` prints no text: {error}"))
}

/// Runs a program, shows what it prints as it comes, and gives that back. Kills it at the deadline.
pub(crate) fn run_and_read(command: &mut Command, deadline: Duration) -> (String, Result<(), String>) {
    println!("\n$ {}", line(command));
    read(command, deadline, io::stdout(), io::stderr())
}

/// As [`run_and_read`], for programs that run beside each other: what one prints is shown when it has ended.
pub(crate) fn run_aside(command: &mut Command, deadline: Duration) -> (String, Result<(), String>) {
    let (text, result) = read(command, deadline, io::sink(), io::sink());
    println!("\n$ {}\n{}", line(command), text.trim_end());
    (text, result)
}

fn read(
    command: &mut Command,
    deadline: Duration,
    out: impl Write + Send + 'static,
    err: impl Write + Send + 'static,
) -> (String, Result<(), String>) {
    let line = line(command);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return (String::new(), Err(format!("`{line}` cannot be run: {error}"))),
    };
    let text = Arc::new(Mutex::new(Vec::new()));
    let (open, closed) = mpsc::channel::<()>();
    if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
        follow(stdout, out, text.clone(), open.clone());
        follow(stderr, err, text.clone(), open);
    }
    let result = match closed.recv_timeout(deadline) {
        Err(mpsc::RecvTimeoutError::Timeout) => {
            kill(&mut child);
            Err(format!("`{line}` was killed since it ran for more than {} s", deadline.as_secs()))
        }
        // Both pipes are closed: it has ended, or is about to.
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => child
            .wait()
            .map_err(|error| format!("`{line}` cannot be waited for: {error}"))
            .and_then(|status| succeeded(&line, status)),
    };
    // Not waited for after a kill: a grandchild may hold the pipe for ever.
    let text = text.lock().unwrap_or_else(PoisonError::into_inner);
    (String::from_utf8_lossy(&text).into_owned(), result)
}

/// Copies a pipe line by line; drops `open` at its end.
fn follow(
    pipe: impl Read + Send + 'static,
    mut terminal: impl Write + Send + 'static,
    text: Arc<Mutex<Vec<u8>>>,
    open: mpsc::Sender<()>,
) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            text.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&line);
            // A closed terminal does not fail the tests.
            let _ = terminal.write_all(&line).and_then(|()| terminal.flush());
            line.clear();
        }
        drop(open);
    });
}

fn kill(child: &mut Child) {
    // Fails only if it has just ended.
    let _ = child.kill();
    let _ = child.wait();
}

fn succeeded(line: &str, status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed: {status}")) }
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    words.map(|word| if word.contains(' ') { format!("'{word}'") } else { word }).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn both_outputs_of_a_program_are_read() {
        let (text, result) = run_and_read(&mut shell("echo out; echo err >&2"), MINUTE);
        assert_eq!(result, Ok(()));
        assert!(text.contains("out\n") && text.contains("err\n"), "{text}");
    }

    #[test]
    fn a_program_that_fails_says_which_one_and_how() {
        let (text, result) = run_and_read(&mut shell("printf half; exit 3"), MINUTE);
        assert_eq!(text, "half");
        assert_eq!(result, Err("`sh -c 'printf half; exit 3'` failed: exit status: 3".into()));
        assert_eq!(run(&mut shell("exit 4")), Err("`sh -c 'exit 4'` failed: exit status: 4".into()));

        let missing = run(&mut Command::new("/nonexistent/program")).unwrap_err();
        assert!(missing.starts_with("`program` cannot be run: "), "{missing}");
    }

    #[test]
    fn a_program_that_hangs_is_killed_at_its_deadline() {
        let (_, result) = run_and_read(&mut shell("exec sleep 1000"), Duration::ZERO);
        assert_eq!(result, Err("`sh -c 'exec sleep 1000'` was killed since it ran for more than 0 s".into()));
    }
}
