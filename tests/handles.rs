//! What depends on the runtime when a blocking handle is used in async code.
//!
//! What does not is tested in `scheduler-runtime`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    time::Duration,
};

use apscheduler::prelude::*;

/// How long a test waits for another thread before it fails.
const DEADLINE: Duration = Duration::from_secs(30);

/// What comes of a future on a thread of the runtime's.
fn on<T: Send + 'static>(runtime: &Arc<dyn Runtime>, future: impl Future<Output = T> + Send + 'static) -> T {
    let (tell, tells) = mpsc::channel();
    runtime.spawn(Box::pin(async move { tell.send(future.await).unwrap() }));
    tells.recv_timeout(DEADLINE).unwrap()
}

/// What a blocking call says in async code: that the future has to be awaited, or nothing if it has its answer.
fn jobs_in_async_code(runtime: Arc<dyn Runtime>) -> Result<usize, String> {
    let scheduler = Arc::new(Scheduler::builder_on(Arc::clone(&runtime)).background().unwrap());
    let inside = Arc::clone(&scheduler);
    let answer = on(&runtime, async move {
        let call = catch_unwind(AssertUnwindSafe(|| inside.jobs().unwrap().len()));
        call.map_err(|panic| (*panic.downcast::<&str>().expect("the message of a panic")).to_owned())
    });
    // Whatever became of the call, the scheduler is as before.
    scheduler.start().unwrap();
    scheduler.shutdown(ShutdownMode::Wait).unwrap();
    answer
}

/// Building a scheduler and pumping it in async code, where nothing may wait.
fn pump_in_async_code(runtime: Arc<dyn Runtime>) {
    let of_scheduler = Arc::clone(&runtime);
    let has_ended = on(&runtime, async move {
        let scheduler = Scheduler::builder_on(of_scheduler).pumped().unwrap();
        let handle = scheduler.handle();
        scheduler.spawn_local(async move {
            handle.start().await.unwrap();
            handle.begin_shutdown(ShutdownMode::Wait).unwrap();
        });
        scheduler.pump(SystemClock::now());
        scheduler.is_ended()
    });
    assert!(has_ended);
}

mod tokio {
    use super::*;

    #[test]
    fn a_blocking_call_in_async_code_panics_and_says_what_to_do() {
        let message = jobs_in_async_code(Arc::new(TokioRuntime::new().unwrap())).unwrap_err();
        assert!(message.contains("called from async code: await the future there"), "{message}");
    }

    #[test]
    fn a_pump_in_async_code_does_as_elsewhere() {
        pump_in_async_code(Arc::new(TokioRuntime::new().unwrap()));
    }
}

mod thread {
    use super::*;

    #[test]
    fn a_blocking_call_in_async_code_panics_and_says_what_to_do() {
        let message = jobs_in_async_code(Arc::new(ThreadRuntime::new().unwrap())).unwrap_err();
        assert!(message.contains("called from async code: await the future there"), "{message}");
    }

    #[test]
    fn a_pump_in_async_code_does_as_elsewhere() {
        pump_in_async_code(Arc::new(ThreadRuntime::new().unwrap()));
    }
}

mod smol {
    use super::*;

    #[test]
    fn a_blocking_call_in_async_code_holds_up_its_thread_until_the_loop_has_answered() {
        assert_eq!(jobs_in_async_code(Arc::new(SmolRuntime)), Ok(0));
    }

    #[test]
    fn a_pump_in_async_code_does_as_elsewhere() {
        pump_in_async_code(Arc::new(SmolRuntime));
    }
}

mod async_std {
    use super::*;

    #[test]
    fn a_blocking_call_in_async_code_holds_up_its_thread_until_the_loop_has_answered() {
        assert_eq!(jobs_in_async_code(Arc::new(AsyncStdRuntime)), Ok(0));
    }

    #[test]
    fn a_pump_in_async_code_does_as_elsewhere() {
        pump_in_async_code(Arc::new(AsyncStdRuntime));
    }
}
