//! The store holds what the port promises, by the server's clock.

use scheduler_core::store::Clock;

use crate::collections::setup;

scheduler_testkit::store_conformance!(setup(Clock::Server));
