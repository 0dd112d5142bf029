//! `cargo xtask test`: everything that has to hold before a change is merged.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    budgets, examples,
    extent::{self, Extent},
    features::{self, Combinations},
    misuse,
    nextest::{self, EVERYTHING, Flaky, Test},
    packages, pasted,
    process::{cargo, run as run_program, run_and_read, succeeds},
    purity,
    services::{self, Servers},
    stores,
    tally::Tally,
    workspace::Workspace,
};

/// Doc tests are short, but compiled one by one on some toolchains.
const DOC_TESTS_DEADLINE: Duration = Duration::from_secs(30 * 60);

type Step = fn(&mut Setting) -> Result<Tally, String>;

/// Cheap ones first. Each is run, whatever became of those before it.
const STEPS: &[(&str, Step)] = &[
    ("format", |_| Ok(Tally::one(format()))),
    ("servers", |setting| setting.servers().map(|_| Tally::one(Ok(())))),
    ("lints", |_| Ok(Tally::one(lints()))),
    ("tests", tests),
    ("doc tests", doc_tests),
    ("features", features),
    ("purity", |_| Ok(Tally::one(purity::check().map(|sizes| println!("{sizes}"))))),
    ("packages", |setting| packages::check(&setting.workspace)),
    ("examples", examples),
    ("budgets", |setting| budgets::check(&setting.workspace)),
    ("first programs", |setting| pasted::check(&setting.workspace, setting.extent)),
    ("documentation", |_| Ok(Tally::one(documentation()))),
];

/// What the steps share.
struct Setting {
    workspace: Workspace,
    stores: Stores,
    extent: Extent,
    /// Started by the first step that needs them.
    servers: Option<Result<Servers, String>>,
}

/// Whose tests are run.
#[derive(Debug, PartialEq, Eq)]
enum Stores {
    All,
    /// Those that need no server.
    Embedded,
    Only(Vec<String>),
}

/// `cargo xtask test [--stores LIST] [--thorough]`.
pub(crate) fn run(options: &[&str]) -> Result<bool, String> {
    let (extent, options) = Extent::parse(options);
    let chosen = Stores::parse(&options)?;
    let workspace = Workspace::read()?;
    chosen.check()?;
    let mut setting = Setting { workspace, stores: chosen, extent, servers: None };

    let mut all = Tally::default();
    let mut summary = String::from("\n");
    for (name, step) in STEPS {
        println!("\n== {name}");
        let (tally, took) = measured(|| step(&mut setting).unwrap_or_else(|error| Tally::one(Err(error))));
        let line = format!("{name:<14} {tally}, {} s\n", took.as_secs());
        print!("\n{line}");
        summary += &line;
        all += tally;
    }
    print!("{summary}");
    if extent == Extent::Sampled {
        println!("{}", extent::left_out());
    }
    for flaky in &all.flaky {
        println!("flaky, passed when it was run again: {flaky}");
    }
    for failure in &all.failures {
        println!("failed: {failure}");
    }
    println!("{all}");
    Ok(all.has_passed())
}

impl Setting {
    /// The servers of the chosen stores.
    fn servers(&mut self) -> Result<&Servers, String> {
        let Self { workspace, stores: chosen, servers, .. } = self;
        let start = || {
            let names: Vec<_> = chosen.of().into_iter().filter(|store| stores::is_server(store)).collect();
            Servers::start(workspace, &names)
        };
        servers.get_or_insert_with(start).as_ref().map_err(|error| format!("without servers, {error}"))
    }
}

impl Stores {
    fn parse(options: &[&str]) -> Result<Self, String> {
        match options {
            [] => Ok(Self::All),
            ["--stores"] => Err(misuse("`--stores` needs a list, as in `--stores sqlite,redis`, or `none`")),
            ["--stores", "none"] => Ok(Self::Embedded),
            ["--stores", list] => Ok(Self::Only(list.split(',').map(|store| store.trim().to_owned()).collect())),
            ["--stores", _, surplus, ..] | [surplus, ..] => Err(misuse(&format!("unknown argument `{surplus}`"))),
        }
    }

    fn check(&self) -> Result<(), String> {
        let Self::Only(chosen) = self else { return Ok(()) };
        let known = stores::names();
        match chosen.iter().find(|store| !known.contains(&store.as_str())) {
            Some(store) => Err(format!("there is no store `{store}`; there are {}", known.join(", "))),
            None => Ok(()),
        }
    }

    /// The names of the chosen ones.
    fn of(&self) -> Vec<&'static str> {
        let is_chosen = |store: &&str| match self {
            Self::All => true,
            Self::Embedded => !stores::is_server(store),
            Self::Only(chosen) => chosen.iter().any(|name| name == store),
        };
        stores::names().into_iter().filter(is_chosen).collect()
    }

    /// What leaves out the tests of the other stores: those with a store's name as a part of theirs or of their binary's.
    fn filter(&self) -> Result<Option<String>, String> {
        let chosen = self.of();
        let others: Vec<_> = stores::names().into_iter().filter(|store| !chosen.contains(store)).collect();
        if others.is_empty() {
            return Ok(None);
        }
        let binaries = nextest::binaries()?;
        Ok(Some(without(&others, binaries.iter().map(|(_, binary)| binary.as_str()))))
    }
}

/// A filterset that leaves out the tests of these stores. It names binaries that are there only; nextest insists on it.
fn without<'a>(stores: &[&str], binaries: impl Iterator<Item = &'a str>) -> String {
    let of_store =
        |name: &str, store: &str| name.strip_prefix(store).is_some_and(|it| it.is_empty() || it.starts_with('_'));
    let belongs = |binary: &&str| {
        binary.rsplit_once("::").is_some_and(|(_, name)| stores.iter().any(|store| of_store(name, store)))
    };
    let binaries = binaries.filter(belongs).map(|binary| format!(" | binary_id(={binary})"));
    format!("not (test(/(^|::)({})(::|$)/){})", stores.join("|"), binaries.collect::<String>())
}

fn format() -> Result<(), String> {
    component("rustfmt", "fmt")?;
    run_program(&mut cargo(["fmt", "--all", "--check"]))
}

fn lints() -> Result<(), String> {
    component("clippy", "clippy")?;
    run_program(cargo(["clippy", "--all-targets"]).args(EVERYTHING).args(["--", "-D", "warnings"]))
}

/// A minimal toolchain has neither; rustup knows where to get them.
fn component(name: &str, command: &str) -> Result<(), String> {
    if succeeds(&mut cargo([command, "--version"])) {
        return Ok(());
    }
    run_program(Command::new("rustup").args(["component", "add", name]))
}

fn tests(setting: &mut Setting) -> Result<Tally, String> {
    nextest::install()?;
    let mut variables = setting.servers()?.variables();
    variables.extend(services::browser(&setting.workspace)?);
    variables.extend(setting.extent.variable());
    let of_stores = setting.stores.filter()?;
    let filter = extent::filter(setting.extent, of_stores.as_deref());
    let flaky = match setting.extent {
        Extent::Sampled => Flaky::Pass,
        Extent::Thorough => Flaky::Fail,
    };
    let (tests, result) = nextest::run_tests(&setting.workspace, filter.as_deref(), flaky, variables);
    let (passed, failed): (Vec<_>, Vec<_>) = tests.into_iter().partition(|test| test.has_passed);
    let line = |test: &Test| format!("test {} {}", test.binary, test.name);
    Ok(Tally {
        passed: passed.len() as u64,
        failures: failed.iter().map(line).collect(),
        flaky: passed.iter().filter(|test| test.is_flaky).map(line).collect(),
    }
    .closed_by(result))
}

fn features(setting: &mut Setting) -> Result<Tally, String> {
    let combinations = match setting.extent {
        Extent::Sampled => Combinations::Facade,
        Extent::Thorough => Combinations::Each,
    };
    features::check(&setting.workspace, combinations)
}

fn doc_tests(setting: &mut Setting) -> Result<Tally, String> {
    let variables = setting.servers()?.variables();
    let mut command = cargo(["test", "--doc", "--no-fail-fast"]);
    let (output, result) = run_and_read(command.envs(variables).args(EVERYTHING), DOC_TESTS_DEADLINE);
    Ok(doc_tally(&output).closed_by(result))
}

fn examples(setting: &mut Setting) -> Result<Tally, String> {
    let variables = setting.servers()?.variables();
    examples::run(&setting.workspace, &variables)
}

/// Adds up the lines `test result: ok. 16 passed; 0 failed; ..` and takes the names from `test NAME ... FAILED`.
fn doc_tally(output: &str) -> Tally {
    let mut tally = Tally::default();
    for line in output.lines() {
        if let Some(result) = line.strip_prefix("test result: ") {
            tally.passed += count_before("passed", result);
        } else if let Some(test) = line.strip_prefix("test ").filter(|test| test.contains("FAILED")) {
            let name = test.split(" ... ").next().unwrap_or(test);
            tally.failures.push(format!("doc test {name}"));
        }
    }
    tally
}

fn count_before(word: &str, line: &str) -> u64 {
    let words: Vec<_> = line.split([' ', ';']).collect();
    let pair = words.windows(2).find(|pair| pair[1] == word);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

fn documentation() -> Result<(), String> {
    run_program(cargo(["doc", "--no-deps"]).args(EVERYTHING).env("RUSTDOCFLAGS", "-D warnings"))
}

#[expect(clippy::disallowed_methods, reason = "for people: how long a step took")]
fn measured<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

#[cfg(test)]
mod options_and_reports {
    use super::*;

    #[test]
    fn stores_are_chosen_by_name() {
        let both = Stores::Only(vec!["memory".into(), "sqlite".into()]);
        assert_eq!(both.of(), ["memory", "sqlite"]);
        let embedded = Stores::parse(&["--stores", "none"]).unwrap().of();
        assert_eq!(embedded, ["memory", "sqlite"], "the stores that need no server are those in `STORES` without one");
        assert_eq!(Stores::parse(&[]), Ok(Stores::All));
        assert_eq!(Stores::parse(&["--stores", "memory, sqlite"]).as_ref(), Ok(&both));
        assert_eq!(both.check(), Ok(()));

        let unknown = Stores::parse(&["--stores", "redi"]).unwrap().check();
        assert_eq!(unknown, Err(format!("there is no store `redi`; there are {}", stores::names().join(", "))));
        for wrong in [&["--stores"][..], &["--store", "x"], &["--stores", "redis", "fast"]] {
            let error = Stores::parse(wrong).unwrap_err();
            assert!(error.contains("usage:"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn tests_of_the_stores_that_are_not_chosen_are_left_out() {
        let all = Stores::parse(&["--stores", &stores::names().join(",")]).unwrap();
        assert_eq!(all.filter(), Ok(None));
        let binaries = ["scheduler-stores", "scheduler-stores::sqlite_files", "apscheduler::matrix"];
        assert_eq!(
            without(&["redis", "sqlite"], binaries.into_iter()),
            "not (test(/(^|::)(redis|sqlite)(::|$)/) | binary_id(=scheduler-stores::sqlite_files))"
        );
    }

    #[test]
    fn doc_tests_are_counted_over_all_crates_with_and_without_colours() {
        let output = "\
   Doc-tests scheduler_core

running 3 tests
test scheduler-core/src/id.rs - id::JobId (line 84) ... ok
test scheduler-core/src/id.rs - id::Uid (line 130) ... FAILED
test scheduler-core/src/job.rs - job::JobBody (line 12) - compile ... \u{1b}[31mFAILED\u{1b}[m

failures:

---- scheduler-core/src/id.rs - id::Uid (line 130) stdout ----
Test executable failed (exit status: 101).

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s

running 2 tests
test result: \u{1b}[32mok\u{1b}[m. 20 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s

all doctests ran in 0.49s; merged doctests compilation took 0.44s
";
        let tally = doc_tally(output);
        assert_eq!(tally.passed, 21);
        assert_eq!(
            tally.failures,
            [
                "doc test scheduler-core/src/id.rs - id::Uid (line 130)",
                "doc test scheduler-core/src/job.rs - job::JobBody (line 12) - compile",
            ]
        );
    }
}
