//! Conformance suites, the virtual clock and the simulator of apscheduler.

pub mod runtime;
pub mod sim;
pub mod store;

pub use runtime::SimulatedRuntime;

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
