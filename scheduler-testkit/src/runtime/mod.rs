//! Runtimes: the virtual one for tests, and the promises that each one keeps.

pub mod conformance;
mod simulated;

pub use self::simulated::SimulatedRuntime;
