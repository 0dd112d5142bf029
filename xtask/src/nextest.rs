//! Running the tests with cargo-nextest, and reading its reports.

use std::{fs, path::PathBuf};

use roxmltree::{Document, Node};
use serde_json::Value;

use crate::{
    process::{cargo, output, run, succeeds},
    workspace::Workspace,
};

/// One build for all steps: the same packages, features and profile.
pub(crate) const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];

/// A test and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    /// The binary, as nextest names it: `package` for the tests in its `src`, `package::file` for those in its `tests`.
    pub(crate) binary: String,
    /// The path of the test in its binary.
    pub(crate) name: String,
    pub(crate) has_passed: bool,
    /// Whether it had failed before it passed.
    pub(crate) is_flaky: bool,
}

/// What a test has shown that failed and then passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaky {
    /// That it passes, and that its name is to be told.
    Pass,
    /// That it fails.
    Fail,
}

/// Installs cargo-nextest if it is missing.
pub(crate) fn install() -> Result<(), String> {
    if succeeds(&mut cargo(["nextest", "--version"])) {
        return Ok(());
    }
    println!("cargo-nextest is missing; it is installed now, which takes some minutes and happens once");
    run(&mut cargo(["install", "cargo-nextest", "--locked"]))
}

/// Runs the tests that a filterset names, or all of them, with these variables in their environment. A test that fails is run once
/// more; what it is then worth is for `flaky` to say. The result is that of nextest as a whole: it may fail without a test that
/// failed, as when a test does not compile.
pub(crate) fn run_tests(
    workspace: &Workspace,
    filter: Option<&str>,
    flaky: Flaky,
    variables: Vec<(String, String)>,
) -> (Vec<Test>, Result<(), String>) {
    let report = report_file(workspace);
    // One that is left from before must not be taken for this run's.
    let _ = fs::remove_file(&report);
    let mut command = cargo(["nextest", "run", "--profile", "xtask", "--no-tests", "pass"]);
    command.args(match flaky {
        Flaky::Pass => ["--flaky-result", "pass"],
        Flaky::Fail => ["--flaky-result", "fail"],
    });
    command.envs(variables).args(EVERYTHING).args(filter.iter().flat_map(|filter| ["--filterset", filter]));
    let result = run(&mut command);
    let tests = match fs::read_to_string(&report) {
        Ok(xml) => tests(&xml),
        Err(_) => Ok(Vec::new()),
    };
    match tests {
        Ok(tests) => (tests, result),
        Err(error) => (Vec::new(), result.and_then(|()| Err(format!("{}: {error}", report.display())))),
    }
}

/// The test binaries of the workspace, as (package, binary).
pub(crate) fn binaries() -> Result<Vec<(String, String)>, String> {
    let list = output(cargo(["nextest", "list", "--message-format", "json"]).args(EVERYTHING))?;
    let list: Value = serde_json::from_str(&list).map_err(|error| format!("cargo nextest list: {error}"))?;
    let suites = list["rust-suites"].as_object().into_iter().flatten();
    Ok(suites.map(|(id, suite)| (suite["package-name"].as_str().unwrap_or_default().to_owned(), id.clone())).collect())
}

/// nextest keeps its reports beside the workspace's own target folder, wherever cargo's is.
fn report_file(workspace: &Workspace) -> PathBuf {
    workspace.root.join("target/nextest/xtask/junit.xml")
}

fn tests(junit: &str) -> Result<Vec<Test>, roxmltree::Error> {
    let document = Document::parse(junit)?;
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
    Ok(cases.filter(|case| child(case, "skipped").is_none()).map(|case| test(&case)).collect())
}

fn test(case: &Node<'_, '_>) -> Test {
    let attribute = |name| case.attribute(name).unwrap_or_default().to_owned();
    let has_passed = child(case, "failure").is_none() && child(case, "error").is_none();
    let is_flaky = child(case, "flakyFailure").is_some() || child(case, "flakyError").is_some();
    Test { binary: attribute("classname"), name: attribute("name"), has_passed, is_flaky }
}

fn child<'a, 'input>(node: &Node<'a, 'input>, tag: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(tag))
}

#[cfg(test)]
mod reports {
    use super::*;

    /// As cargo-nextest 0.9.143 writes it.
    const JUNIT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="4" failures="1" errors="1" uuid="1" timestamp="2026-11-21T09:00:00Z" time="1">
    <testsuite name="apscheduler::matrix" tests="4" disabled="0" errors="1" failures="1">
        <testcase name="tokio::memory::starts" classname="apscheduler::matrix" time="0.01">
        </testcase>
        <testcase name="tokio::sqlite::starts" classname="apscheduler::matrix" time="0.01">
            <failure message="panicked at 'a &lt; b'" type="test failure with exit code 101">text</failure>
        </testcase>
        <testcase name="smol::memory::starts" classname="apscheduler::matrix" time="180">
            <error type="test timeout"/>
        </testcase>
        <testcase name="smol::sqlite::starts" classname="apscheduler::matrix" time="0.02">
            <flakyFailure type="test failure"/>
        </testcase>
        <testcase name="smol::redis::starts" classname="apscheduler::matrix" time="0">
            <skipped/>
        </testcase>
    </testsuite>
</testsuites>"#;

    #[test]
    fn failures_and_timeouts_are_told_from_passes_and_skips() {
        let tests = tests(JUNIT).unwrap();
        assert!(tests.iter().all(|test| test.binary == "apscheduler::matrix"));
        let ends: Vec<_> = tests.iter().map(|test| (test.name.as_str(), test.has_passed, test.is_flaky)).collect();
        assert_eq!(
            ends,
            [
                ("tokio::memory::starts", true, false),
                ("tokio::sqlite::starts", false, false),
                ("smol::memory::starts", false, false),
                ("smol::sqlite::starts", true, true),
            ]
        );
    }

    #[test]
    fn a_report_that_was_cut_off_is_an_error() {
        assert!(tests(&JUNIT[..500]).is_err());
    }
}
