//! The simulator: several engines, one store behind a bad network, virtual time, and everything that goes wrong.
//!
//! A seed decides all of it: how many nodes there are, their leases and clocks, the jobs and what their users do to
//! them, which messages are late, lost or told twice, when the store is away, when a node freezes, dies or is
//! restarted. An oracle watches what the store is seen to do and what the engines do and tell: each fire time has
//! exactly one run or verdict, no run is lost, none executes twice under valid leases, no more are running under a key
//! than its limit allows, and nothing is told before it is committed. After a while the faults stop; then every run has
//! to end and the cluster has to fall silent.
//!
//! ```text
//! SIM_SEED=123 cargo nextest run -p scheduler-testkit sim      one seed again
//! SIM_SEEDS=100000 cargo nextest run -p scheduler-testkit sim  many of them
//! ```
//!
//! The store under the simulation has to answer at once and to go by the time that it is given, as a memory store does.

mod calls;
mod chance;
mod mutant;
mod node;
mod oracle;
mod parameters;
mod store_link;
mod time;
mod world;

pub use mutant::Mutant;
pub use parameters::Parameters;

use std::{fmt, sync::Arc};

use scheduler_core::JobStore;

use self::world::World;

/// One simulation.
///
/// ```no_run
/// use std::sync::Arc;
/// use scheduler_core::JobStore;
/// use scheduler_testkit::sim::{Mutant, Simulation};
///
/// fn survives(store: Arc<dyn JobStore>) -> bool {
///     Simulation::new(123, store).mutant(Mutant::Sound).run().is_ok()
/// }
/// ```
#[derive(Debug)]
pub struct Simulation {
    seed: u64,
    store: Arc<dyn JobStore>,
    mutant: Mutant,
    trace: Trace,
}

/// Whether a simulation says what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// It does not, which is fastest.
    Off,
    /// It sums up what happens, so that two runs of a seed can be compared.
    Sum,
    /// It writes what happens to the standard error, line by line.
    Lines,
}

/// What came of a simulation in which nothing was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many things happened.
    pub steps: u64,
    /// How many store calls there were.
    pub calls: u64,
    /// How many runs there were, verdicts of ranges included.
    pub runs: usize,
    /// How many of them were taken over from a node.
    pub takeovers: u64,
    /// How many attempts failed and were repeated.
    pub retries: u64,
    /// How many runs were given back by nodes that shut down, after they had started.
    pub given_back: u64,
    /// How many runs ended since they took too long.
    pub timeouts: u64,
    /// The sum of what happened, if asked for.
    pub trace: u64,
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The seed.
    pub seed: u64,
    /// When, in microseconds of virtual time.
    pub at: i64,
    /// What happened.
    pub what: String,
    /// Under which conditions.
    pub parameters: Box<Parameters>,
}

impl Simulation {
    /// A simulation of this seed over an empty store.
    pub fn new(seed: u64, store: Arc<dyn JobStore>) -> Self {
        Self { seed, store, mutant: Mutant::Sound, trace: Trace::Off }
    }

    /// Puts a bug between the engines and the world. Defaults to none.
    pub fn mutant(mut self, mutant: Mutant) -> Self {
        self.mutant = mutant;
        self
    }

    /// Says what happens. Defaults to [`Trace::Off`].
    pub fn trace(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }

    /// Runs until the cluster has fallen silent, or a promise is broken.
    ///
    /// # Errors
    ///
    /// The first promise that was broken.
    pub fn run(self) -> Result<Report, Violation> {
        let seed = self.seed;
        let mut world = World::new(seed, self.store, self.mutant, self.trace);
        world.run().map_err(|what| Violation {
            seed,
            at: world.now(),
            what,
            parameters: Box::new(world.parameters().clone()),
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at as f64 / 1e6;
        write!(
            f,
            "after {seconds} s: {}; reproduce with `SIM_SEED={} cargo nextest run -p scheduler-testkit sim`",
            self.what, self.seed
        )
    }
}

impl std::error::Error for Violation {}
