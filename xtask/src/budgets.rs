//! What jobs cost, counted: the instructions that valgrind counts, which do not depend on how busy the machine is.
//!
//! ```text
//! scheduler-bench engine --secs 2      N instructions, n firings
//! scheduler-bench engine --secs 10     M instructions, m firings
//!                                      (M - N) / (m - n) a firing, held to `bench/budgets.json`
//! ```
//!
//! The engine's program also counts what it allocates. Both counts are those of the build that the tests use, which is
//! not optimised: what an algorithm costs shows there, too, and a build of its own would take minutes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    examples,
    process::{output, run_aside, succeeds},
    services,
    tally::Tally,
    workspace::Workspace,
};

/// What is counted: its name, a small and a large measurement of `scheduler-bench`, and the field of its line that says how much it was.
const COSTS: &[(&str, [&str; 2], &str)] = &[
    ("engine: a firing", ["engine --n 500 --secs 2", "engine --n 500 --secs 10"], "runs"),
    ("memory: a job is added", ["add --n 1000", "add --n 5000"], "n"),
    ("memory: a run", ["store --store memory --n 1000", "store --store memory --n 3000"], "runs"),
    ("sqlite: a run", ["store --store sqlite --n 300", "store --store sqlite --n 900"], "runs"),
];

/// By how much a cost may differ from what is written down, in percent: with the compiler that it was counted with, and with others.
const ROOM: [u64; 2] = [5, 30];

/// Valgrind makes programs some fifty times slower.
const DEADLINE: Duration = Duration::from_secs(600);

/// What is done with what was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is held to what is written down.
    Compare,
    /// It is written down.
    Write,
}

/// `cargo xtask budgets [--write]`.
pub(crate) fn run(then: Then) -> Result<bool, String> {
    let workspace = Workspace::read()?;
    if then == Then::Write {
        let counted = count(&workspace)?;
        let text = serde_json::to_string_pretty(&json!({"rustc": compiler()?, "costs": counted}));
        let text = text.map_err(|error| error.to_string())? + "\n";
        return fs::write(file(&workspace), text).map(|()| true).map_err(|error| error.to_string());
    }
    let tally = check(&workspace)?;
    println!("{tally}");
    Ok(tally.has_passed())
}

/// Counts, and compares with what is written down.
pub(crate) fn check(workspace: &Workspace) -> Result<Tally, String> {
    if !cfg!(target_os = "linux") {
        println!("valgrind is for Linux: nothing is counted");
        return Ok(Tally::default());
    }
    let file = file(workspace);
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let known: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let room = ROOM[usize::from(known["rustc"] != json!(compiler()?))];
    let mut tally = Tally::default();
    for (name, counted) in count(workspace)? {
        tally += Tally::one(compare(&name, known["costs"][&name].as_u64(), counted, room));
    }
    Ok(tally)
}

/// Whether a cost is within its budget. One that has sunk is to be written down, so that it cannot rise again unseen.
fn compare(name: &str, budget: Option<u64>, counted: u64, room: u64) -> Result<(), String> {
    let again = "`cargo xtask budgets --write` writes it down";
    let budget = budget.ok_or_else(|| format!("{name}: no budget is known; {again}"))?;
    println!("{name}: {counted}, {budget} are written down");
    let by = counted.abs_diff(budget) * 100;
    if by <= room * budget {
        return Ok(());
    }
    let direction = if counted > budget { "more" } else { "less" };
    let percent = by / budget.max(1);
    Err(format!("{name}: {counted}, {percent} % {direction} than {budget}; if that is meant, {again}"))
}

/// What each costs.
fn count(workspace: &Workspace) -> Result<BTreeMap<String, u64>, String> {
    if !succeeds(Command::new("valgrind").arg("--version")) {
        services::install_library(workspace, "valgrind")?;
    }
    let programs = examples::build(&mut examples::programs_of_all())?;
    let program = programs.get("scheduler-bench").ok_or("cargo has built no scheduler-bench")?;
    let mut costs = BTreeMap::new();
    for (name, [small, large], field) in COSTS {
        // Both at once: how long it takes is not what is counted.
        let (small, large) = thread::scope(|scope| {
            let small = scope.spawn(|| Count::of(program, small, field));
            let large = Count::of(program, large, field);
            (small.join().map_err(|_| format!("{name}: the count panicked")), large)
        });
        let (small, large) = (small??, large?);
        let much = large.much.checked_sub(small.much).filter(|much| *much > 0);
        let much = much.ok_or_else(|| format!("{name}: both measurements are of the same size"))?;
        let instructions = large.instructions.saturating_sub(small.instructions) / much;
        costs.insert(format!("{name}, instructions"), instructions);
        if let Some(allocations) = large.allocations_per_thousand {
            costs.insert(format!("{name}, allocations per thousand"), allocations);
        }
    }
    Ok(costs)
}

/// What one measurement has taken.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    instructions: u64,
    /// How many jobs or runs it was.
    much: u64,
    /// How often a thousand of them have asked for memory, where the program counts that.
    allocations_per_thousand: Option<u64>,
}

impl Count {
    fn of(program: &Path, arguments: &str, field: &str) -> Result<Self, String> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).args(arguments.split(' '));
        let (printed, result) = run_aside(&mut command, DEADLINE);
        result.and_then(|()| Self::read(&printed, field).ok_or_else(|| format!("{arguments}: it printed {printed}")))
    }

    /// From the program's line, and the one in which callgrind says how many instructions it has collected.
    fn read(printed: &str, field: &str) -> Option<Self> {
        let line = printed.lines().find(|line| line.starts_with('{'))?;
        let measured: Value = serde_json::from_str(line).ok()?;
        let collected = printed.lines().find_map(|line| line.split("Collected : ").nth(1))?;
        let allocations = measured["allocations_per_run"].as_f64();
        Some(Self {
            instructions: collected.trim().parse().ok()?,
            much: measured[field].as_u64()?,
            allocations_per_thousand: allocations.map(|of_one| (of_one * 1_000.0).round() as u64),
        })
    }
}

fn compiler() -> Result<String, String> {
    Ok(output(Command::new("rustc").arg("--version"))?.trim().to_owned())
}

fn file(workspace: &Workspace) -> PathBuf {
    workspace.root.join("bench/budgets.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_from_what_both_programs_print() {
        let printed = "==7== For interactive control, run 'callgrind_control -h'.\n{\"work\":\"engine\",\"runs\":1000,\"allocations_per_run\":7.1166}\n==7== Collected : 123456\n";
        assert_eq!(
            Count::read(printed, "runs"),
            Some(Count { instructions: 123_456, much: 1_000, allocations_per_thousand: Some(7_117) })
        );
        assert_eq!(Count::read("Segmentation fault", "runs"), None);
    }

    #[test]
    fn a_cost_that_has_risen_or_sunk_by_more_than_the_room_is_told() {
        assert_eq!(compare("a run", Some(1_000), 1_050, 5), Ok(()));
        assert_eq!(compare("a run", Some(1_000), 950, 5), Ok(()));
        let risen = compare("a run", Some(1_000), 1_200, 5).unwrap_err();
        assert!(risen.starts_with("a run: 1200, 20 % more than 1000;"), "{risen}");
        assert!(compare("a run", Some(1_000), 900, 5).unwrap_err().contains("10 % less"));
        assert!(compare("a run", None, 900, 5).unwrap_err().contains("no budget is known"));
    }
}
