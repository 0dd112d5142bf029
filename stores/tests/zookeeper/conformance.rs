//! The promises of the port, without any runtime.

scheduler_testkit::store_conformance!(crate::tree::setup());
