//! What is promised about programs.

use std::{path::Path, time::Duration};

use futures_lite::future::block_on;
use rustix::process::{Signal, kill_process};
use scheduler_core::{Executor, Outcome, Task};
use scheduler_executors::{
    Spawn, ThreadPool, blocking,
    process::{CommandLine, Commands},
};
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    deaths::number,
    stage::{Begun, begin_with, crash, dispatch_of, error, eventually, is_alive, ok},
};

fn run(task: &Task, args: impl Serialize) -> Outcome {
    block_on(Commands::new().start(dispatch_of(task.clone(), args)))
}

/// Runs a text in the shell's language.
fn shell(script: &str) -> Outcome {
    run(&Commands::new().task("shell"), sh(script))
}

fn sh(script: &str) -> CommandLine {
    CommandLine::new("sh").arg("-c").arg(script)
}

fn printed(stdout: &str, stderr: &str) -> Outcome {
    ok(json!({"status": 0, "stdout": stdout, "stderr": stderr}))
}

/// Starts a script that writes a process number to the file `$1`, and waits until it is there.
fn begin(executor: &dyn Executor, commands: &Commands, script: &str) -> Begun {
    let task = commands.task("shell");
    begin_with(executor, |file| dispatch_of(task, sh(script).arg("sh").arg(file.to_str().unwrap())))
}

#[test]
fn a_program_that_succeeds_gives_what_it_prints() {
    assert_eq!(shell("echo out; echo err >&2"), printed("out\n", "err\n"));
}

#[test]
fn a_program_has_the_arguments_environment_folder_and_input_of_its_job() {
    let task = Commands::new().task("shell");
    let folder = TempDir::new().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let script = r#"echo "$1 $COLOUR"; pwd; cat"#;
    let line =
        sh(script).args(["sh", "a *"]).env("COLOUR", "blue").working_folder(folder.to_str().unwrap()).stdin("in");
    assert_eq!(run(&task, line), printed(&format!("a * blue\n{}\nin", folder.display()), ""));

    let bare = sh("echo ${HOME:-none}; echo $ONE; cat").clear_env().env("ONE", "1");
    assert_eq!(run(&task, bare), printed("none\n1\n", ""), "and no input, if none is given");
}

#[test]
fn a_program_inherits_what_it_is_to_see_and_nothing_else() {
    let seen = || sh("echo ${HOME:-none} ${CARGO_MANIFEST_DIR:-none}").inherit_env(["CARGO_MANIFEST_DIR", "NOT_THERE"]);
    assert_eq!(shell_of(seen()), printed(&format!("none {}\n", env!("CARGO_MANIFEST_DIR")), ""));
    assert_eq!(shell_of(seen().clear_env()), printed("none none\n", ""));
    let written = serde_json::to_value(seen()).unwrap();
    assert_eq!(written["inherit_env"], json!(["CARGO_MANIFEST_DIR", "NOT_THERE"]));
    assert_eq!(serde_json::from_value::<CommandLine>(written).unwrap(), seen());
}

fn shell_of(line: CommandLine) -> Outcome {
    run(&Commands::new().task("shell"), line)
}

#[test]
fn arguments_of_a_job_are_options_unless_they_are_ended() {
    let ends = CommandLine::new("printf").args(["--", "%s "]);
    assert_eq!(run(&Commands::new().program("say", ends), json!(["--file=x", "-v"])), printed("--file=x -v ", ""));
    let task = Commands::new().program("say", CommandLine::new("printf").arg("%s"));
    let refused = task.check(&json!(["a\0b"])).unwrap_err();
    assert!(refused.ends_with("\"a\\0b\" has a NUL in it, which no program can be given"), "{refused}");
    assert!(task.check(&json!(null)).is_ok() && task.check(&json!([])).is_ok());
}

#[test]
fn a_program_that_fails_is_an_error_with_its_status_and_the_end_of_its_complaints() {
    assert_eq!(
        shell("echo on; echo no disk >&2; exit 3"),
        Outcome::Error("program `sh` ended with exit status 3: no disk".into())
    );
    assert_eq!(shell("echo no disk; exit 4"), Outcome::Error("program `sh` ended with exit status 4: no disk".into()));
    assert_eq!(shell("exit 5"), Outcome::Error("program `sh` ended with exit status 5".into()));

    let text = error(shell("yes complaint | head -c 100000 >&2; exit 1"));
    assert!(text.starts_with("program `sh` ended with exit status 1: [98000 bytes left out]\n"), "{text}");
    assert!(text.ends_with("complaint") && text.len() < 2_100, "{text}");
}

#[test]
fn a_program_that_is_killed_by_others_has_crashed() {
    assert_eq!(crash(shell("kill -KILL $$")), "program `sh` ended with signal 9 (SIGKILL)");
    assert!(crash(shell("echo oh >&2; kill -SEGV $$")).starts_with("program `sh` ended with signal 11 (SIGSEGV)"));
}

#[test]
fn a_program_that_cannot_be_started_is_an_error_that_says_why() {
    let task = Commands::new().task("t");
    assert_eq!(
        error(run(&task, CommandLine::new("no-such-program"))),
        "program `no-such-program` could not be started: it is not there, nor in a folder of `PATH`"
    );
    assert_eq!(
        error(run(&task, CommandLine::new("true").working_folder("/no/such/folder"))),
        "program `true` could not be started: its working folder `/no/such/folder` is not there"
    );
    assert_eq!(
        error(run(&task, CommandLine::new("/etc/passwd"))),
        "program `/etc/passwd` could not be started: Permission denied (os error 13)"
    );
}

#[test]
fn what_no_system_could_run_is_refused_when_the_job_is_added() {
    let task = Commands::new().task("t");
    assert_eq!(task.check(&json!({"program": "true"})), Ok(()));
    let wrong = |args: Value, message: &str| {
        let expected = format!("the task takes `CommandLine`, which these arguments are not: {message}");
        assert_eq!(task.check(&args), Err(expected));
    };
    wrong(json!({"program": ""}), "the program has no name");
    wrong(json!({"program": "a\0b"}), "\"a\\0b\" has a NUL in it, which no program can be given");
    wrong(json!({"program": "a", "env": {"A=B": "c"}}), "\"A=B\" cannot be the name of a variable");
    wrong(json!({"program": "a", "args": [1]}), "args[0]: invalid type: integer `1`, expected a string");
    let fields = "`program`, `args`, `env`, `clear_env`, `inherit_env`, `working_folder`, `stdin`";
    wrong(json!({"program": "a", "cwd": "/"}), &format!("cwd: unknown field `cwd`, expected one of {fields}"));
}

#[test]
fn a_job_of_a_given_program_may_only_add_arguments() {
    let task = Commands::new().program("say", CommandLine::new("echo").arg("well,"));
    assert_eq!(run(&task, Value::Null), printed("well,\n", ""));
    assert_eq!(run(&task, ["hello", "; rm"]), printed("well, hello ; rm\n", ""));
    assert!(task.check(&json!({"program": "rm"})).is_err());
}

#[test]
fn of_a_long_output_the_end_is_kept_and_the_program_is_not_held_up() {
    let commands = Commands::new().output_limit(10);
    let script = "yes 123456789 | head -c 20000000; yes 123456789 | head -c 15000000 >&2";
    assert_eq!(
        run(&commands.task("t"), sh(script)),
        printed("[19999990 bytes left out]\n123456789\n", "[14999990 bytes left out]\n123456789\n")
    );
}

#[test]
fn a_program_that_does_not_read_its_input_is_not_held_up() {
    assert_eq!(
        run(&Commands::new().task("t"), sh("exec <&-; echo on").stdin("x".repeat(1 << 20))),
        printed("on\n", "")
    );
}

#[test]
fn a_program_that_reads_and_prints_megabytes_at_once_gets_through() {
    let text = "0123456789abcde\n".repeat(1 << 17); // 2 MiB
    let commands = Commands::new().output_limit(4 << 20);
    assert_eq!(run(&commands.task("t"), CommandLine::new("cat").stdin(&text)), printed(&text, ""));
}

#[test]
fn what_a_program_leaves_in_the_background_goes_on_and_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let files = ["quiet", "loud"].map(|name| folder.path().join(name));
    let script = "sleep 1000 & echo $! > $1; yes & echo $! > $2; echo done >&2";
    let line = sh(script).arg("sh").args(files.iter().map(|file| file.to_str().unwrap()));
    let Outcome::Ok(told) = run(&Commands::new().task("t"), line) else { panic!("it succeeds") };
    assert_eq!(told["stderr"], "done\n");

    let [quiet, loud] = files.map(|file| number(&file));
    assert!(is_alive(quiet));
    eventually("nobody listens any more, which ends `yes`", || !is_alive(loud));
    kill_process(quiet, Signal::KILL).unwrap();
}

#[test]
fn a_cancelled_program_is_asked_to_end_and_has_its_grace() {
    let commands = Commands::new().grace(Duration::from_secs(25));
    let folder = TempDir::new().unwrap();
    let swept = folder.path().join("swept");
    let script =
        format!("trap 'echo yes > {}; exit 0' TERM; echo $$ > $1; while :; do sleep 0.01; done", swept.display());
    let begun = begin(&commands, &commands, &script);
    begun.token.cancel();
    assert_eq!(block_on(begun.run), Outcome::Cancelled);
    assert_eq!(std::fs::read_to_string(swept).unwrap(), "yes\n");
}

#[test]
fn a_cancelled_program_that_goes_on_is_killed_with_all_that_it_has_started() {
    let commands = Commands::new().grace(Duration::from_millis(50));
    // Neither the shell nor its child heeds SIGTERM.
    let begun = begin(&commands, &commands, "trap '' TERM; sleep 1000 & echo $! > $1; wait");
    let grandchild = number(&begun.file);
    begun.token.cancel();
    assert_eq!(block_on(begun.run), Outcome::Cancelled);
    eventually("the grandchild is killed", || !is_alive(grandchild));
}

#[test]
fn what_a_cancelled_program_leaves_behind_is_killed_when_it_has_ended() {
    let commands = Commands::new().grace(Duration::from_secs(25));
    let script = r#"sh -c 'trap "" TERM; echo $$ > $0; exec sleep 1000' "$1" & wait"#;
    let begun = begin(&commands, &commands, script);
    let grandchild = number(&begun.file);
    begun.token.cancel();
    assert_eq!(block_on(begun.run), Outcome::Cancelled);
    eventually("the grandchild is killed", || !is_alive(grandchild));
}

#[test]
fn dropping_the_future_of_a_run_kills_the_program_and_all_that_it_has_started() {
    let commands = Commands::new();
    let begun = begin(&commands, &commands, "trap '' TERM; sleep 1000 & echo $! > $1; wait");
    let grandchild = number(&begun.file);
    drop(begun.run);
    eventually("the grandchild is killed", || !is_alive(grandchild));
}

#[test]
fn a_program_runs_on_any_executor_and_is_killed_at_once_there() {
    let commands = Commands::new();
    for executor in [&Spawn::new() as &dyn Executor, &ThreadPool::new()] {
        let task = commands.task("t");
        assert_eq!(block_on(executor.start(dispatch_of(task, sh("echo on")))), printed("on\n", ""));
        let begun = begin(executor, &commands, "trap '' TERM; sleep 1000 & echo $! > $1; wait");
        let grandchild = number(&begun.file);
        begun.token.cancel();
        assert_eq!(block_on(begun.run), Outcome::Cancelled);
        eventually("the grandchild is killed", || !is_alive(grandchild));
    }
}

#[test]
fn other_tasks_run_on_the_executor_of_programs_too() {
    assert_eq!(run(&blocking("double", |n: u64| n * 2), 4), ok(8));
    assert_eq!(Executor::limit(&Commands::new().limit(3)).map(|limit| limit.get()), Some(3));
}

#[test]
fn no_program_is_left_as_a_zombie() {
    let commands = Commands::new();
    let begun = begin(&commands, &commands, "echo $$ > $1; exec sleep 1000");
    let program = number(&begun.file);
    drop(begun.run);
    eventually("it has been waited for", || !Path::new(&format!("/proc/{}", program.as_raw_nonzero())).exists());
}
