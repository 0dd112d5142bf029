//! The one driver loop of apscheduler, over any runtime.

pub mod runtime;

pub use runtime::*;
