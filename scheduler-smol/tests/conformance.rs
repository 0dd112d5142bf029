//! The smol runtime keeps every promise of a runtime.

use scheduler_smol::SmolRuntime;

scheduler_testkit::runtime_conformance!(SmolRuntime);
