//! `cargo xtask features`: whether the libraries compile without features, with each alone, with pairs, and with all.

use std::time::Duration;

use crate::{
    process::{cargo, run as run_program, run_and_read, succeeds},
    tally::Tally,
    workspace::{INTERNAL, Workspace},
};

/// Which combinations of features are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Combinations {
    /// None of each library, and each runtime of the facade alone. What lints it lints all features together.
    Facade,
    /// None, each alone, all: of every library.
    Each,
    /// Each pair as well, of the facade: its features are those of the libraries below it.
    Pairs,
}

/// What a service picks one of: without a runtime, no other feature of the facade is of use.
const RUNTIMES: [&str; 4] = ["tokio", "async-std", "smol", "thread"];

/// A combination takes seconds; the crates that they are built from take minutes the first time.
const DEADLINE: Duration = Duration::from_secs(3 * 60 * 60);

/// `cargo xtask features [--pairs]`.
pub(crate) fn run(combinations: Combinations) -> Result<bool, String> {
    let tally = check(&Workspace::read()?, combinations)?;
    println!("{tally}");
    Ok(tally.has_passed())
}

/// Counts one check for each combination.
pub(crate) fn check(workspace: &Workspace, combinations: Combinations) -> Result<Tally, String> {
    install()?;
    if combinations == Combinations::Facade {
        let mut tally = hack(&arguments(workspace, "--no-default-features"));
        let mut each = arguments_of(&["apscheduler"], "--each-feature");
        each.extend(["--include-features".to_owned(), RUNTIMES.join(",")]);
        tally += hack(&each);
        return Ok(tally);
    }
    let mut tally = hack(&arguments(workspace, "--each-feature"));
    if combinations == Combinations::Pairs {
        tally += hack(&["--feature-powerset", "--depth", "2", "--package", "apscheduler"].map(str::to_owned));
    }
    Ok(tally)
}

/// Installs cargo-hack if it is missing.
fn install() -> Result<(), String> {
    if succeeds(&mut cargo(["hack", "--version"])) {
        return Ok(());
    }
    println!("cargo-hack is missing; it is installed now, which takes a minute and happens once");
    run_program(&mut cargo(["install", "cargo-hack", "--locked"]))
}

/// What asks for the libraries that have features.
fn arguments(workspace: &Workspace, which: &str) -> Vec<String> {
    let libraries =
        workspace.packages.iter().filter(|it| it.name == "apscheduler" || it.name.starts_with("scheduler-"));
    let with_features = libraries.filter(|it| !it.features.is_empty() && it.name != "scheduler-bench");
    arguments_of(&with_features.map(|it| it.name.as_str()).collect::<Vec<_>>(), which)
}

/// What asks for these libraries with `--each-feature`, or with none. A feature that only others switch on is none of its own.
fn arguments_of(libraries: &[&str], which: &str) -> Vec<String> {
    let mut arguments = vec![which.to_owned()];
    if which == "--each-feature" {
        arguments.extend(["--exclude-features".to_owned(), INTERNAL.join(",")]);
    }
    arguments.extend(libraries.iter().flat_map(|name| ["--package".to_owned(), (*name).to_owned()]));
    arguments
}

fn hack(arguments: &[String]) -> Tally {
    let mut command = cargo(["hack", "clippy", "--lib", "--keep-going"]);
    command.args(arguments).args(["--", "-D", "warnings"]);
    let (output, result) = run_and_read(&mut command, DEADLINE);
    tally_of(&output).closed_by(result)
}

/// Counts the lines `info: running .. (7/46)`, and takes those that failed from `error: .. exit successfully: `..``.
fn tally_of(output: &str) -> Tally {
    let failures: Vec<_> = output
        .lines()
        .filter_map(|line| line.strip_prefix("error: process didn't exit successfully: "))
        .map(|command| format!("features: {command}"))
        .collect();
    let checks = output.lines().filter(|line| line.starts_with("info: running")).count();
    Tally { passed: checks.saturating_sub(failures.len()) as u64, failures, ..Tally::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    #[test]
    fn libraries_with_features_are_asked_for() {
        let package = |name: &str, features: &[&str]| Package {
            name: name.into(),
            features: features.iter().copied().map(Into::into).collect(),
            ..Package::default()
        };
        let packages = vec![
            package("apscheduler", &["tokio"]),
            package("scheduler-core", &[]),
            package("scheduler-bench", &["redis"]),
            package("xtask", &["odd"]),
        ];
        let workspace = Workspace { root: "/w".into(), target: "/w/target".into(), packages };
        assert_eq!(
            arguments(&workspace, "--each-feature"),
            ["--each-feature", "--exclude-features", "sql-servers", "--package", "apscheduler"]
        );
        assert_eq!(
            arguments(&workspace, "--no-default-features"),
            ["--no-default-features", "--package", "apscheduler"]
        );
    }

    #[test]
    fn each_combination_counts() {
        let output = "\
info: running `cargo clippy --lib --no-default-features` on apscheduler (1/2)
    Finished `dev` profile [unoptimized + debuginfo] target(s) in 0.18s

info: running `cargo clippy --lib --no-default-features --features smol` on apscheduler (2/2)
error: could not compile `apscheduler` (lib) due to 1 previous error
error: process didn't exit successfully: `cargo clippy --lib --features smol` (exit status: 101)
";
        let tally = tally_of(output);
        assert_eq!((tally.passed, tally.failures.len()), (1, 1));
        assert_eq!(tally.failures[0], "features: `cargo clippy --lib --features smol` (exit status: 101)");
    }
}
