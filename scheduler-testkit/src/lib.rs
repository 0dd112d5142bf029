//! Conformance suites, the virtual clock and the simulator of apscheduler.

pub mod store;
