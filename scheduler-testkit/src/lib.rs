//! Conformance suites, the virtual clock and the simulator of apscheduler.

pub mod runtime;
pub mod sim;
pub mod store;

pub use runtime::SimulatedRuntime;
