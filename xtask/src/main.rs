//! `cargo xtask`: what developers and CI run.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

mod budgets;
#[cfg(test)]
mod documentation;
mod examples;
mod extent;
mod features;
mod matrix;
mod nextest;
mod oracle;
mod packages;
mod pasted;
mod process;
mod purity;
mod services;
mod stores;
mod tally;
mod test;
mod workspace;

use std::{env, process::ExitCode};

use self::features::Combinations;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--stores LIST] [--thorough]
                         everything that CI checks: format, lints, tests, doc tests, purity, packages, examples, documentation;
                         what is repeated on several runtimes, nodes and libraries is sampled, unless it is to be thorough;
                         LIST names the stores whose tests are run, as in `sqlite,redis`; all of them by default,
                         with `none` those that need no server. Servers are installed, started and stopped
  services VERB [NAME...]
                         the servers that tests use: `install` what is missing, `start` them and print where they are,
                         `stop` them and remove their data, `kill` them and keep their data, `list` them; all of them
                         by default. `browser` installs Chromium and axe-core, and prints where they are
  matrix                 the tests that passed for each runtime with each store, as a table
  features [--pairs]     whether the libraries compile without features, with each alone and with all; with `--pairs`
                         whether the facade does with each two of them, too, which takes long
  oracle DIR             replays the fire times in the `*.jsonl` files of a folder, and names each disagreement
  oracle --transitions [SEED]
                         compares random cron expressions with a walk through every second, around every change of
                         every zone's clocks; takes minutes, and wants `--release`
  purity                 whether the crates depend on nothing that they must not know, and examples and guide on the facade
  budgets [--write]      what a firing, an added job and a run cost, in instructions that valgrind counts, held to what is written down
                         in `bench/budgets.json`; with `--write` it is written down anew
  help                   this text";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["test", options @ ..] => test::run(options),
        ["services", options @ ..] => services::run(options),
        ["matrix"] => matrix::run(),
        ["features"] => features::run(Combinations::Each),
        ["features", "--pairs"] => features::run(Combinations::Pairs),
        ["oracle", options @ ..] => return oracle::run(&options.iter().map(ToString::to_string).collect::<Vec<_>>()),
        ["purity"] => purity::run(),
        ["budgets"] => budgets::run(budgets::Then::Compare),
        ["budgets", "--write"] => budgets::run(budgets::Then::Write),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(true)
        }
        [] => Err(misuse("a command is missing")),
        ["matrix" | "features" | "purity" | "budgets" | "help", argument, ..] => {
            Err(misuse(&format!("unknown argument `{argument}`")))
        }
        [command, ..] => Err(misuse(&format!("unknown command `{command}`"))),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

/// The message for a call that is not understood.
fn misuse(message: &str) -> String {
    format!("{message}\n\n{USAGE}")
}
