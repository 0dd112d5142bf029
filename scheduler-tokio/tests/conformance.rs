//! The tokio runtime keeps every promise of a runtime, in each of its forms.

mod a_runtime_of_its_own {
    use scheduler_tokio::TokioRuntime;

    scheduler_testkit::runtime_conformance!(TokioRuntime::new().expect("the system has threads"));
}

/// The host's runtimes live as long as the process, as those of services do.
mod by_handle {
    use scheduler_tokio::TokioRuntime;
    use tokio::runtime::{Builder, Runtime};

    scheduler_testkit::runtime_conformance!(TokioRuntime::from(host().handle().clone()));

    /// Without timers: none are needed.
    fn host() -> &'static Runtime {
        let host = Builder::new_multi_thread().worker_threads(1).build();
        Box::leak(Box::new(host.expect("the system has threads")))
    }
}

mod by_handle_of_a_current_thread_runtime {
    use std::future::pending;
    use std::sync::mpsc;
    use std::thread;

    use scheduler_tokio::TokioRuntime;
    use tokio::runtime::Builder;

    scheduler_testkit::runtime_conformance!(host());

    fn host() -> TokioRuntime {
        let (handle, handles) = mpsc::channel();
        thread::spawn(move || {
            let host = Builder::new_current_thread().build().expect("no threads");
            handle.send(host.handle().clone()).expect("asked for");
            host.block_on(pending::<()>());
        });
        TokioRuntime::from(handles.recv().expect("the host has started"))
    }
}
