//! The simulated runtime keeps the promises that can be kept in one thread.

use chrono::{DateTime, Utc};
use scheduler_testkit::SimulatedRuntime;

scheduler_testkit::runtime_conformance!(SimulatedRuntime::starting_at(start()), in_one_thread);

/// A start that is not a whole microsecond.
fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 123_456_789).expect("within the calendar")
}
