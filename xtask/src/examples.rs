//! Running each example, and looking at what it prints.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::{
    nextest::EVERYTHING,
    process::{cargo, output, run_and_read},
    tally::Tally,
    workspace::{Workspace, elements},
};

/// How each example is run: its name, its arguments, and texts that its output has in it.
///
/// An example with several rows is run several times, in this order and in the same folder, so that a row may find what
/// the one before it left there. The folder is empty at first.
const EXAMPLES: &[(&str, &[&str], &[&str])] = &[
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
    ("async_std", &[], &["tick 3"]),
    ("smol", &[], &["tick 3"]),
    ("gevent_like", &[], &["10000 visits at once on one thread"]),
];

/// An example is a story for a reader who waits for its end.
const DEADLINE: Duration = Duration::from_secs(60);

/// Builds and runs the examples of all packages. One that is not in the table fails, and so does a row without one.
pub(crate) fn run(workspace: &Workspace) -> Result<Tally, String> {
    let there: Vec<&str> =
        workspace.packages.iter().flat_map(|package| &package.examples).map(String::as_str).collect();
    let named: Vec<&str> = EXAMPLES.iter().map(|(name, ..)| *name).collect();
    let mut tally = Tally { passed: 0, failures: mismatches(&there, &named) };
    if there.is_empty() {
        return Ok(tally);
    }

    let programs = build()?;
    let folders = workspace.scratch("examples");
    // Left from the run before; missing in the first one.
    let _ = fs::remove_dir_all(&folders);
    for (name, args, texts) in EXAMPLES.iter().filter(|(name, ..)| there.contains(name)) {
        let result = match programs.get(*name) {
            Some(program) => tell(program, args, texts, &folders.join(name)),
            None => Err("cargo has built no program of it".to_owned()),
        };
        tally += Tally::one(result.map_err(|failure| format!("example {name}: {failure}")));
    }
    Ok(tally)
}

/// Runs one example in a folder of its own.
fn tell(program: &Path, args: &[&str], texts: &[&str], folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (output, result) = run_and_read(Command::new(program).args(args).current_dir(folder), DEADLINE);
    result.and_then(|()| has_all(&output, texts))
}

/// The programs of all examples, by name. They come out of the build that the tests have made already.
fn build() -> Result<BTreeMap<String, PathBuf>, String> {
    let messages = output(
        cargo(["build", "--examples", "--message-format", "json-render-diagnostics", "--quiet"]).args(EVERYTHING),
    )?;
    Ok(programs(&messages))
}

/// The programs in cargo's messages, one JSON object a line.
fn programs(messages: &str) -> BTreeMap<String, PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let examples = messages.filter(|message| elements(&message["target"]["kind"]).any(|kind| kind == "example"));
    let programs = examples.filter_map(|example| {
        let program = example["executable"].as_str()?;
        Some((example["target"]["name"].as_str()?.to_owned(), PathBuf::from(program)))
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
{"reason":"compiler-artifact","target":{"kind":["example"],"name":"hello"},"executable":"/t/debug/examples/hello"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(programs(messages), BTreeMap::from([("hello".into(), "/t/debug/examples/hello".into())]));
    }

    #[test]
    fn the_table_and_the_examples_have_to_agree() {
        assert_eq!(mismatches(&["a", "b"], &["b", "a", "b"]), Vec::<String>::new());
        let told = mismatches(&["a", "b"], &["b", "c"]);
        assert!(told[0].starts_with("example a: how it is run is missing"), "{told:?}");
        assert!(told[1].starts_with("example c: it is in xtask"), "{told:?}");
    }

    #[test]
    fn each_text_that_is_missing_in_the_output_is_named() {
        assert_eq!(has_all("one two", &["one", "two"]), Ok(()));
        assert_eq!(has_all("one", &["one", "two", "3\n"]), Err(r#"its output lacks "two" and "3\n""#.into()));
    }
}
