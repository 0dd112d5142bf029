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

/// What becomes of an async task that calls a blocking function of its own scheduler.
fn jobs_in_an_async_task(runtime: Arc<dyn Runtime>) -> String {
    let scheduler = Arc::new(Scheduler::builder_on(runtime).background().unwrap());
    let (told, tells) = mpsc::channel();
    scheduler.add_listener(EventMask::RUN_ERROR, move |event| {
        let EventKind::RunError { error, .. } = &event.kind else { unreachable!("by the mask") };
        told.send(error.clone()).unwrap();
    });
    let own = Arc::clone(&scheduler);
    let count = move || {
        let own = Arc::clone(&own);
        async move { own.jobs().unwrap().len() }
    };
    scheduler.add_task(task("count", count)).unwrap();
    scheduler.start().unwrap();
    scheduler.add_job(JobSpec::now("count").id("counting")).unwrap();
    let error = tells.recv_timeout(DEADLINE).unwrap();
    scheduler.shutdown(ShutdownMode::Wait).unwrap();
    error
}

const IN_AN_ASYNC_TASK: &str =
    "a task of job `counting`, async or inline, called a blocking function of its own scheduler";

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
    fn a_blocking_call_in_an_async_task_of_its_own_scheduler_fails_and_says_what_to_do() {
        let error = jobs_in_an_async_task(Arc::new(TokioRuntime::new().unwrap()));
        assert!(error.contains(IN_AN_ASYNC_TASK), "{error}");
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
    fn a_blocking_call_in_an_async_task_of_its_own_scheduler_fails_and_says_what_to_do() {
        let error = jobs_in_an_async_task(Arc::new(ThreadRuntime::new().unwrap()));
        assert!(error.contains(IN_AN_ASYNC_TASK), "{error}");
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
    fn a_blocking_call_in_an_async_task_of_its_own_scheduler_fails_and_says_what_to_do() {
        let error = jobs_in_an_async_task(Arc::new(SmolRuntime));
        assert!(error.contains(IN_AN_ASYNC_TASK), "{error}");
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
    fn a_blocking_call_in_an_async_task_of_its_own_scheduler_fails_and_says_what_to_do() {
        let error = jobs_in_an_async_task(Arc::new(AsyncStdRuntime));
        assert!(error.contains(IN_AN_ASYNC_TASK), "{error}");
    }

    #[test]
    fn a_pump_in_async_code_does_as_elsewhere() {
        pump_in_async_code(Arc::new(AsyncStdRuntime));
    }
}
