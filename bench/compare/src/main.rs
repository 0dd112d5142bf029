//! Measures this scheduler beside bare timers and other schedulers, in turn and on the same machine, and writes down what came of it.
//!
//! ```text
//! cargo run --release --manifest-path bench/compare/Cargo.toml -- [--rounds 5] [--groups add,fire-1k,..] [--python python3]
//! ```
//!
//! In each round every program runs once, one after the other, so that what the machine does meanwhile falls on all of
//! them. A figure is the median of the rounds, with the lowest and the highest; a ratio is the median of the ratios
//! within a round. `bench/results/` gets each line that a program has printed (`rows.jsonl`), the tables (`tables.md`)
//! and the pictures. `--draw 1` measures nothing, and makes tables and pictures of the lines that are there. A peer
//! that is not there, as APScheduler without its Python, is told of and left out.

mod groups;
mod picture;
mod table;

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use figures::Flags;
use groups::{Group, Program};
use serde_json::Value;

/// What one program has printed in one round.
type Row = BTreeMap<String, Value>;

fn main() -> ExitCode {
    match Flags::parse(std::env::args().skip(1)).map_err(Into::into).and_then(|flags| run(&flags)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (bench, root) = (here.join(".."), here.join("../.."));
    let results = bench.join("results");
    if flags.number("draw", 0) > 0 {
        return draw(&results, &read(&results)?);
    }
    let chosen: Vec<&str> = flags.text("groups", groups::USUAL).split(',').collect();
    let mut ours = vec!["build", "--release", "-p", "scheduler-bench"];
    if chosen.contains(&"servers") {
        ours.extend(["--features", groups::SERVERS]);
    }
    let programs = Programs {
        ours: built(&root, &ours)?.join("scheduler-bench"),
        peers: built(here, &["build", "--release", "--bins"])?,
        python: flags.text("python", "python3").to_owned(),
        script: here.join("apscheduler_peer.py"),
    };
    fs::create_dir_all(&results)?;
    let mut all = Vec::new();
    for name in chosen {
        let group = groups::named(name)?;
        all.push((group, measure(group, flags.number("rounds", 5).max(1), &programs)));
        // What has been measured so far is not lost if the rest fails.
        write(&results, &all)?;
    }
    draw(&results, &all)
}

/// What has been measured of each group.
type Results = Vec<(&'static Group, Measured)>;

fn write(folder: &Path, all: &Results) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    for (group, measured) in all {
        for (label, rows) in measured {
            for (round, row) in rows {
                let row = serde_json::json!({"group": group.name, "label": label, "round": round, "row": row});
                text += &format!("{row}\n");
            }
        }
    }
    Ok(fs::write(folder.join("rows.jsonl"), text)?)
}

fn read(folder: &Path) -> Result<Results, Box<dyn Error>> {
    let mut all: Results = Vec::new();
    for line in fs::read_to_string(folder.join("rows.jsonl"))?.lines() {
        let line: Value = serde_json::from_str(line)?;
        let group = groups::named(line["group"].as_str().unwrap_or_default())?;
        if all.last().is_none_or(|(last, _)| last.name != group.name) {
            all.push((group, Vec::new()));
        }
        let label = line["label"].as_str().unwrap_or_default();
        let round = line["round"].as_u64().unwrap_or_default() as usize;
        let row = serde_json::from_value(line["row"].clone())?;
        if let Some((_, measured)) = all.last_mut() {
            match measured.last_mut().filter(|(last, _)| last == label) {
                Some((_, rows)) => rows.push((round, row)),
                None => measured.push((label.to_owned(), vec![(round, row)])),
            }
        }
    }
    Ok(all)
}

/// Writes the tables and the pictures.
fn draw(folder: &Path, all: &Results) -> Result<(), Box<dyn Error>> {
    let rounds = all.iter().flat_map(|(_, measured)| measured).map(|(_, rows)| rows.len()).max().unwrap_or_default();
    let mut tables = table::head(rounds)?;
    for (group, measured) in all {
        tables += &table::of(group, measured);
        for plot in group.plots {
            let path = folder.join(format!("{}-{}.svg", group.name, plot.field.replace('_', "-")));
            fs::write(path, picture::bars(group, plot, measured))?;
        }
    }
    fs::write(folder.join("tables.md"), &tables)?;
    print!("{tables}");
    Ok(())
}

/// The rows of each program by its label, in the order of the group: with the number of the round.
type Measured = Vec<(String, Vec<(usize, Row)>)>;

fn measure(group: &Group, rounds: usize, programs: &Programs) -> Measured {
    let mut measured: Measured = group.programs.iter().map(|program| (program.label.to_owned(), Vec::new())).collect();
    for round in 0..rounds {
        for (at, program) in group.programs.iter().enumerate() {
            eprintln!("{} {}/{rounds}: {}", group.name, round + 1, program.label);
            match programs.run(program) {
                Ok(row) => measured[at].1.push((round, row)),
                Err(error) => println!("{} of {} is left out: {error}", program.label, group.name),
            }
        }
    }
    measured.retain(|(_, rows)| !rows.is_empty());
    measured
}

/// Builds, and gives the folder of the programs.
fn built(folder: &Path, arguments: &[&str]) -> Result<PathBuf, Box<dyn Error>> {
    let mut command = Command::new("cargo");
    // `cargo run` describes this package by them, and build scripts that look at them would be run again, with all that stands on them.
    let of_this = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_this)) {
        command.env_remove(name);
    }
    let status = command.args(arguments).current_dir(folder).status()?;
    if !status.success() {
        return Err(format!("cargo {} in {}: {status}", arguments.join(" "), folder.display()).into());
    }
    let metadata =
        Command::new("cargo").args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(folder).output()?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    Ok(Path::new(target).join("release"))
}

struct Programs {
    ours: PathBuf,
    /// The folder of the peers' programs.
    peers: PathBuf,
    python: String,
    script: PathBuf,
}

impl Programs {
    fn run(&self, program: &Program) -> Result<Row, Box<dyn Error>> {
        let mut words = program.command.split(' ');
        let mut command = match words.next() {
            Some("scheduler-bench") => Command::new(&self.ours),
            Some("apscheduler") => {
                let mut command = Command::new(&self.python);
                command.arg(&self.script);
                command
            }
            Some(peer) => Command::new(self.peers.join(peer)),
            None => return Err("a program has a name".into()),
        };
        let output = command.args(words).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).map_err(|_| {
            let errors = String::from_utf8_lossy(&output.stderr);
            let why = errors.lines().last().filter(|line| !line.is_empty()).unwrap_or(last);
            format!("{}: {}: {why}", program.command, output.status).into()
        })
    }
}
