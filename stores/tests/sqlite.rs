//! The SQLite store holds what the port promises, without any runtime.

mod file;

scheduler_testkit::store_conformance!(file::setup());
