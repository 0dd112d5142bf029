//! The simulation over the memory store. `SIM_SEED=n` runs one seed and says what happens, `SIM_SEEDS=n` so many.

use std::{env, sync::Arc};

use scheduler_stores::MemoryStore;
use scheduler_testkit::sim::{Mutant, Report, Simulation, Trace, Violation};
use test_support::repeats;

/// How many seeds a normal run takes, and a thorough one.
const SEEDS: [u64; 2] = [150, 1_000];

/// Within how many seeds each bug has to be found.
const SEEDS_FOR_MUTANTS: u64 = 1_000;

fn simulate(seed: u64, mutant: Mutant, trace: Trace) -> Result<Report, Violation> {
    Simulation::new(seed, Arc::new(MemoryStore::new())).mutant(mutant).trace(trace).run()
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn no_fault_breaks_a_promise() {
    if let Some(seed) = variable("SIM_SEED") {
        simulate(seed, Mutant::Sound, Trace::Lines).unwrap_or_else(|violation| panic!("{violation}"));
        return;
    }
    let (mut runs, mut takeovers, mut retries, mut timeouts, mut given_back) = (0, 0, 0, 0, 0);
    let [sampled, all] = SEEDS;
    for seed in 0..variable("SIM_SEEDS").unwrap_or_else(|| repeats(sampled, all)) {
        let report = simulate(seed, Mutant::Sound, Trace::Off).unwrap_or_else(|violation| panic!("{violation}"));
        (runs, takeovers) = (runs + report.runs, takeovers + report.takeovers);
        (retries, timeouts) = (retries + report.retries, timeouts + report.timeouts);
        given_back += report.given_back;
    }
    let counts = [runs as u64, takeovers, retries, timeouts, given_back];
    assert!(
        counts.iter().all(|count| *count > 0),
        "{runs} runs, {takeovers} takeovers, {retries} retries, {timeouts} timeouts, {given_back} given back: that is no simulation"
    );
}

#[test]
fn a_seed_always_leads_to_the_same_trace() {
    for seed in (0..300).step_by(20) {
        let trace = || simulate(seed, Mutant::Sound, Trace::Sum).map(|report| report.trace).map_err(|it| it.what);
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}

#[test]
fn every_known_bug_is_found() {
    let is_found = |mutant| (0..SEEDS_FOR_MUTANTS).any(|seed| simulate(seed, mutant, Trace::Off).is_err());
    let survivors: Vec<Mutant> = Mutant::ALL.into_iter().filter(|mutant| !is_found(*mutant)).collect();
    assert!(survivors.is_empty(), "not found: {survivors:?}");
}
