//! The thread runtime keeps every promise of a runtime.

use std::num::NonZeroUsize;

use scheduler_thread::ThreadRuntime;

mod a_worker_per_core {
    use super::*;

    scheduler_testkit::runtime_conformance!(ThreadRuntime::new().unwrap());
}

mod one_worker {
    use super::*;

    scheduler_testkit::runtime_conformance!(ThreadRuntime::with_worker_threads(NonZeroUsize::MIN).unwrap());
}
