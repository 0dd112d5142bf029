//! The async-std runtime keeps every promise of a runtime.

use scheduler_async_std::AsyncStdRuntime;

scheduler_testkit::runtime_conformance!(AsyncStdRuntime);
