//! The pure core of apscheduler: triggers, the plan, the engine and the ports.

pub mod now;

pub use now::Now;
