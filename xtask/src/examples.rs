//! Running each example, and looking at what it prints.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    nextest::EVERYTHING,
    process::{cargo, output, run as run_program, run_aside},
    services,
    tally::Tally,
    workspace::Workspace,
};

/// How an example is run: its name, its arguments, and texts that its output has in it.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

/// How each example is run.
///
/// An example with several rows is run several times, in this order and in the same folder, so that a row may find what
/// the one before it left there. The folder is empty at first.
const EXAMPLES: &[Row] = &[
    (
        "quickstart",
        &["--for", "5"],
        &["added three jobs", "once: once in a lifetime", "time is up", "the jobs stay in"],
    ),
    ("quickstart", &["--for", "3"], &["restored steady", "restored cron", "steady: every two seconds", "time is up"]),
    ("blocking", &[], &["tick 5", "that was the last one", "the scheduler has shut down"]),
    ("background", &[], &["main: step 10 of 10", "a report for ann, on \"pool-1\"", "main: done"]),
    ("long_job", &[], &["one    run 2 skipped", "two    run 2 begins", "queue  run 2 waits", "shutting down"]),
    ("events", &[], &["division worked: 50", "listener: division crashed: panicked: attempt to divide by zero"]),
    (
        "job_management",
        &[],
        &[
            "is in store `default` already",
            "`*/60` at column 1",
            "paused)",
            "arguments {\"to\":\"carl\"}",
            "1 job removed",
        ],
    ),
    ("several_stores", &[], &["kept in memory", "compressed on thread \"pool-1\"", "jobs in store `durable`: 1"]),
    (
        "config_file",
        &[],
        &["store `default`: sqlite://config_file.db", "beat at ", "pickle_protocol: refused", "ended"],
    ),
    ("custom_store", &[], &["nothing in the journal yet", "now it has had "]),
    ("custom_store", &[], &["job `counter` is back: it has run ", "now it has had "]),
    ("swap_backends", &[], &["memory      the service does", "sqlite      the service does", "postgres    "]),
    (
        "virtual_time",
        &[],
        &["backup    28 at half past two, and Thu 12 12:31, Sun 29 03:00", "each schedule does what the shop expects"],
    ),
    (
        "retry_and_timeout",
        &[],
        &["flaky     ok in attempt 4", "hopeless  error in attempt 2", "hanging   timeout in attempt 1"],
    ),
    (
        "dashboard",
        &["--listen", "127.0.0.1:0", "--for", "3"],
        &["the dashboard is at http://127.0.0.1:", "time is up", "ended"],
    ),
    ("async_std", &[], &["tick 3"]),
    ("smol", &[], &["tick 3"]),
    (
        "process_pool",
        &[],
        &[
            "failed: crashed: its worker ended with signal 6 (SIGABRT)",
            "killed after ",
            "17984 primes below 200000",
            "hello, world",
            "the scheduler is well",
        ],
    ),
    ("gevent_like", &[], &["10000 visits at once on one thread"]),
    ("event_loop", &[], &["saved the first level", "after 90 frames there are ", "the scheduler has shut down"]),
    ("event_loop", &["--simulated"], &["after 36000 frames there are 5999 monsters", "the scheduler has shut down"]),
];

/// Examples that are not run here, each with the reason.
const LEFT_OUT: &[(&str, &str)] =
    &[("axum_service", "it serves until somebody ends it: its requests and its end are in its own tests")];

/// What an example prints besides when its environment has this variable: the place of a server that is there.
const WITH_SERVER: &[(&str, &str, &str)] =
    &[("swap_backends", "SCHEDULER_TEST_POSTGRES", "postgres    the service does what it promises")];

/// Examples outside of the workspace, in `examples/NAME`: the library that each needs, if any, and texts that its output
/// has.
const PACKAGES: &[(&str, Option<&str>, &[&str])] = &[
    (
        "glib_loop",
        Some("glib"),
        &["compressed yesterday.log", "note: a quarter has passed", "note: from another thread", "the loop has ended"],
    ),
    ("redb_store", None, &["the first process adds a job and ends", "the second process runs it: hello, ann"]),
];

/// An example is a story for a reader who waits for its end.
const DEADLINE: Duration = Duration::from_secs(60);

/// Most of them wait for a clock most of the time.
const AT_ONCE: usize = 4;

/// Builds and runs the programs of the packages in `examples`, with these variables in their environment. One that is not in
/// the table fails, and so does a row without one.
pub(crate) fn run(workspace: &Workspace, variables: &[(String, String)]) -> Result<Tally, String> {
    let there: Vec<&str> =
        workspace.packages.iter().flat_map(|package| &package.examples).map(String::as_str).collect();
    let named: Vec<&str> =
        EXAMPLES.iter().map(|(name, ..)| *name).chain(LEFT_OUT.iter().map(|(name, _)| *name)).collect();
    let mut tally = Tally { failures: mismatches(&there, &named), ..Tally::default() };
    if there.is_empty() {
        return Ok(tally);
    }

    for (name, reason) in LEFT_OUT {
        println!("example {name} is left out: {reason}");
    }
    let programs = build(&mut programs_of_all())?;
    // As a newcomer compiles it: with its own few crates, and without the features that the others ask for.
    tally += Tally::one(run_program(&mut cargo(["check", "--package", "quickstart"])));
    let folders = workspace.scratch("examples");
    // Left from the run before; missing in the first one.
    let _ = fs::remove_dir_all(&folders);
    let rows: Vec<_> = EXAMPLES.iter().filter(|(name, ..)| there.contains(name)).collect();
    for (name, result) in run_beside_each_other(&rows, &programs, variables, &folders) {
        tally += Tally::one(result.map_err(|failure| format!("example {name}: {failure}")));
    }
    for (name, library, texts) in PACKAGES {
        let result = run_package(workspace, name, *library, texts);
        tally += Tally::one(result.map_err(|failure| format!("example {name}: {failure}")));
    }
    Ok(tally)
}

/// Runs some examples at a time, and the rows of each one after the other.
fn run_beside_each_other(
    rows: &[&Row],
    programs: &BTreeMap<String, PathBuf>,
    variables: &[(String, String)],
    folders: &Path,
) -> Vec<(&'static str, Result<(), String>)> {
    let waiting = Mutex::new(rows.chunk_by(|one, next| one.0 == next.0));
    let results = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(rows_of_one) = next() {
            for (name, args, texts) in rows_of_one {
                let texts = [*texts, &texts_with_servers(name, variables)].concat();
                let result = match programs.get(*name) {
                    Some(program) => {
                        let mut command = Command::new(program);
                        command.args(*args).envs(variables.iter().cloned());
                        tell(&mut command, &texts, &folders.join(name))
                    }
                    None => Err("cargo has built no program of it".to_owned()),
                };
                results.lock().unwrap_or_else(PoisonError::into_inner).push((*name, result));
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Builds, tests and runs an example outside of the workspace. It shares what the workspace has built.
fn run_package(workspace: &Workspace, name: &str, library: Option<&str>, texts: &[&str]) -> Result<(), String> {
    if let Some(library) = library {
        services::install_library(workspace, library)
            .map_err(|error| format!("{error}; it cannot be built without the library {library}"))?;
    }
    let manifest = workspace.root.join("examples").join(name).join("Cargo.toml");
    output(cargo(["test", "--quiet", "--manifest-path"]).arg(&manifest).arg("--target-dir").arg(&workspace.target))?;
    let mut command = cargo(["build", "--manifest-path"]);
    let programs = build(command.arg(manifest).arg("--target-dir").arg(&workspace.target))?;
    let program = programs.get(name).ok_or("cargo has built no program of it")?;
    tell(&mut Command::new(program), texts, &workspace.scratch("examples").join(name))
}

/// Runs one example in a folder of its own.
fn tell(command: &mut Command, texts: &[&str], folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (output, result) = run_aside(command.current_dir(folder), DEADLINE);
    result.and_then(|()| has_all(&output, texts))
}

/// What the servers that are there make an example print.
fn texts_with_servers(example: &str, variables: &[(String, String)]) -> Vec<&'static str> {
    let is_there = |variable: &str| variables.iter().any(|(name, _)| name == variable);
    let rows = WITH_SERVER.iter().filter(|(name, variable, _)| *name == example && is_there(variable));
    rows.map(|(.., text)| *text).collect()
}

/// What builds the programs of the workspace. With the tests, so that they are made of what the tests were made of: without, other
/// features are asked for, and half of it is built anew.
pub(crate) fn programs_of_all() -> Command {
    let mut command = cargo(["build", "--bins", "--tests"]);
    command.args(EVERYTHING);
    command
}

/// The programs that a build makes, by name. Those of the workspace come out of the build that the tests have made already.
pub(crate) fn build(command: &mut Command) -> Result<BTreeMap<String, PathBuf>, String> {
    let messages = output(command.args(["--message-format", "json-render-diagnostics", "--quiet"]))?;
    Ok(programs(&messages))
}

/// The programs in cargo's messages, one JSON object a line.
fn programs(messages: &str) -> BTreeMap<String, PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs = messages.filter_map(|artifact| {
        let program = artifact["executable"].as_str()?;
        if artifact["profile"]["test"] == Value::Bool(true) {
            return None; // The tests of a program have its name.
        }
        Some((artifact["target"]["name"].as_str()?.to_owned(), PathBuf::from(program)))
    });
    programs.collect()
}

fn mismatches(there: &[&str], named: &[&str]) -> Vec<String> {
    let unnamed = there.iter().filter(|name| !named.contains(name));
    let gone = named.iter().filter(|name| !there.contains(name));
    unnamed
        .map(|name| format!("example {name}: how it is run is missing in xtask/src/examples.rs"))
        .chain(gone.map(|name| format!("example {name}: it is in xtask/src/examples.rs, but not in the workspace")))
        .collect()
}

fn has_all(output: &str, texts: &[&str]) -> Result<(), String> {
    let missing: Vec<_> =
        texts.iter().filter(|text| !output.contains(**text)).map(|text| format!("{text:?}")).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("its output lacks {}", missing.join(" and "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargos_messages() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"apscheduler"},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"hello"},"executable":"/t/debug/hello"}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"hello"},"profile":{"test":true},"executable":"/t/debug/deps/hello-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(programs(messages), BTreeMap::from([("hello".into(), "/t/debug/hello".into())]));
    }

    #[test]
    fn the_table_and_the_examples_have_to_agree() {
        assert_eq!(mismatches(&["a", "b"], &["b", "a", "b"]), Vec::<String>::new());
        let told = mismatches(&["a", "b"], &["b", "c"]);
        assert!(told[0].starts_with("example a: how it is run is missing"), "{told:?}");
        assert!(told[1].starts_with("example c: it is in xtask"), "{told:?}");
    }

    #[test]
    fn a_server_that_is_there_has_to_be_used() {
        let variables = [("SCHEDULER_TEST_POSTGRES".to_owned(), "postgres://localhost".to_owned())];
        assert_eq!(texts_with_servers("swap_backends", &variables).len(), 1);
        assert!(texts_with_servers("swap_backends", &[]).is_empty());
        assert!(texts_with_servers("quickstart", &variables).is_empty());
    }

    #[test]
    fn each_text_that_is_missing_in_the_output_is_named() {
        assert_eq!(has_all("one two", &["one", "two"]), Ok(()));
        assert_eq!(has_all("one", &["one", "two", "3\n"]), Err(r#"its output lacks "two" and "3\n""#.into()));
    }
}
