//! `cargo xtask oracle DIR` replays the cases of a folder; `cargo xtask oracle --transitions [SEED]` compares random
//! expressions with a walk through every second, around each transition of each zone (a few minutes with `--release`).
#![allow(clippy::print_stdout, reason = "a program's output")]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

use chrono_tz::TZ_VARIANTS;
use test_support::triggers::{reference, replay};

/// Runs the subcommand; fails if any case does.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let counts = match args {
        [flag] if flag == "--transitions" => all_transitions(0),
        [flag, seed] if flag == "--transitions" => match seed.parse() {
            Ok(seed) => all_transitions(seed),
            Err(_) => return usage(&format!("`{seed}` is not a seed")),
        },
        [folder] if !folder.starts_with('-') => match replay_folder(Path::new(folder)) {
            Ok(counts) => counts,
            Err(error) => return usage(&error),
        },
        _ => return usage("one folder, or --transitions"),
    };
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(problem: &str) -> ExitCode {
    println!("{problem}\nusage: cargo xtask oracle DIR | --transitions [SEED]");
    ExitCode::from(2)
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
}

fn replay_folder(folder: &Path) -> Result<Counts, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let is_cases = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jsonl");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_cases).collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("{}: no *.jsonl in it", folder.display()));
    }
    let mut counts = Counts::default();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let case = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"));
            match case.and_then(|case| replay::replay(&case)) {
                Ok(()) => counts.passed += 1,
                Err(disagreement) => {
                    counts.failed += 1;
                    println!("{}:{}: {line}\n  {disagreement}", file.display(), number + 1);
                }
            }
        }
    }
    Ok(counts)
}

fn all_transitions(seed: u64) -> Counts {
    let (next_zone, passed, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((number, &zone)) =
            Some(next_zone.fetch_add(1, Ordering::Relaxed)).and_then(|number| Some((number, TZ_VARIANTS.get(number)?)))
        {
            for transition in reference::transitions(zone) {
                let mut random = reference::Random(seed ^ (number as u64) << 48 ^ transition as u64);
                match reference::compare(&mut random, zone, transition) {
                    Ok(_) => passed.fetch_add(1, Ordering::Relaxed),
                    Err(disagreement) => {
                        println!("{disagreement}");
                        failed.fetch_add(1, Ordering::Relaxed)
                    }
                };
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    Counts { passed: passed.into_inner(), failed: failed.into_inner() }
}
