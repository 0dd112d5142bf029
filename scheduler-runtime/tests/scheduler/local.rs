//! A scheduler on one thread, with tasks that are not `Send`.

use std::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn, ready},
    pin::pin,
    rc::Rc,
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use scheduler_core::{
    Error, ErrorKind, EventKind, EventMask, JobSpec, Outcome, Retry, RunContext,
    engine::ShutdownMode,
    trigger::{First, Interval},
};
use scheduler_executors::{Spawn, blocking, task};
use scheduler_runtime::{Builder, Local, Runtime, Scheduler};
use scheduler_stores::MemoryStore;
use scheduler_testkit::SimulatedRuntime;
use scheduler_thread::ThreadRuntime;
use scheduler_tokio::TokioRuntime;

use crate::{
    stage::{FaultyStore, StillRuntime},
    world::{Log, at, line},
};

/// A local scheduler on a runtime whose other threads do nothing, and its transcript.
fn local(with: impl FnOnce(Builder) -> Builder) -> (Local, SimulatedRuntime, Log) {
    let clock = at("10:00:00");
    let log = Log::default();
    let told = log.clone();
    let builder = Scheduler::builder(StillRuntime::new(clock.clone()))
        .accuracy(Duration::ZERO)
        .listener(EventMask::ALL, move |event| told.write(line(event)));
    let local = with(builder).local().unwrap();
    local.start().unwrap();
    log.read();
    (local, clock, log)
}

#[test]
fn everything_runs_on_the_calling_thread_and_needs_no_other() {
    let (local, clock, log) = local(|builder| builder.task("anywhere", |n: u32| async move { n + 1 }));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sees = Rc::clone(&seen);
    let call = move |context: RunContext, name: String| {
        sees.borrow_mut().push((name, context.job_id.to_string()));
        ready(())
    };
    local.task("here", call).unwrap();
    local.add_job(JobSpec::new("here", Interval::seconds(10)).id("local").args("ann")).unwrap();
    local.add_job(JobSpec::new("anywhere", Interval::seconds(10)).id("sent").args(6)).unwrap();
    log.read();

    local.block_on(clock.sleep(Duration::from_secs(11)));

    assert_eq!(*seen.borrow(), [("ann".to_owned(), "local".to_owned())]);
    let mut told = log.read();
    told.sort();
    assert_eq!(
        told,
        [
            "10:00:10 executed local@10:00:10",
            "10:00:10 executed sent@10:00:10 -> 7",
            "10:00:10 submitted local@10:00:10",
            "10:00:10 submitted sent@10:00:10",
        ]
    );
}

#[test]
fn run_returns_when_a_task_has_ended_the_scheduler() {
    let (local, _, log) = local_stopped(|builder| builder);
    let handle = local.handle();
    let stop = move || {
        let handle = handle.clone();
        async move { handle.begin_shutdown(ShutdownMode::Wait) }
    };
    local.task("stop", stop).unwrap();
    local.add_job(JobSpec::new("stop", Interval::seconds(10)).id("stop")).unwrap();
    log.read();

    local.run().unwrap();

    assert_eq!(
        log.read(),
        [
            "10:00:00 started",
            "10:00:10 submitted stop@10:00:10",
            "10:00:10 executed stop@10:00:10",
            "10:00:10 shut down"
        ]
    );
}

fn local_stopped(with: impl FnOnce(Builder) -> Builder) -> (Local, SimulatedRuntime, Log) {
    let clock = at("10:00:00");
    let log = Log::default();
    let told = log.clone();
    let builder = Scheduler::builder(StillRuntime::new(clock.clone()))
        .listener(EventMask::ALL, move |event| told.write(line(event)));
    (with(builder).local().unwrap(), clock, log)
}

#[test]
fn ten_thousand_tasks_that_share_an_rc_meet_on_one_thread() {
    const TASKS: usize = 10_000;
    let (local, clock, _) = local(|builder| builder);
    let (arrived, waiting) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::<Waker>::new())));
    let of_task = (Rc::clone(&arrived), Rc::clone(&waiting));
    let meet = move || {
        let (arrived, waiting) = of_task.clone();
        async move {
            arrived.set(arrived.get() + 1);
            poll_fn(|cx| {
                if arrived.get() == TASKS {
                    waiting.borrow_mut().drain(..).for_each(Waker::wake);
                    return Poll::Ready(());
                }
                waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            })
            .await;
        }
    };
    local.task("meet", meet).unwrap();
    let mut events = local.events_with_capacity(EventMask::RUN_EXECUTED, TASKS);
    let specs = (0..TASKS).map(|n| JobSpec::now("meet").id(format!("{n:05}"))).collect();

    local.add_jobs(specs).into_iter().for_each(|added| drop(added.unwrap()));
    local.block_on(clock.sleep(Duration::from_secs(1)));

    assert_eq!(arrived.get(), TASKS);
    assert_eq!(std::iter::from_fn(|| events.try_next()).filter(Result::is_ok).count(), TASKS);
}

#[test]
fn a_task_that_waits_for_its_own_scheduler_fails_with_what_to_do() {
    let (local, clock, log) = local(|builder| builder);
    let local = Rc::new(local);
    let own = Rc::downgrade(&local);
    let call = move || {
        let local = own.upgrade().expect("the test holds it");
        async move { local.pause() }
    };
    local.task("wait", call).unwrap();
    log.read();

    local.add_job(JobSpec::now("wait").id("own")).unwrap();
    local.block_on(clock.sleep(Duration::from_secs(1)));

    assert_eq!(
        log.read()[2],
        "10:00:00 error own@10:00:00: panicked: a task or listener of a local scheduler runs inside one of its calls and \
         cannot wait for another: await its handle, or begin_shutdown"
    );
}

#[test]
fn a_task_can_await_the_handle() {
    let (local, clock, log) = local(|builder| builder);
    let handle = local.handle();
    let call = move || {
        let handle = handle.clone();
        async move { handle.jobs().await.map(|jobs| jobs.len()) }
    };
    local.task("count", call).unwrap();

    local.add_job(JobSpec::new("count", Interval::hours(1).first(First::Now)).id("count")).unwrap();
    local.block_on(clock.sleep(Duration::from_secs(1)));

    assert_eq!(log.read().last().unwrap(), "10:00:00 executed count@10:00:00 -> 1");
}

#[test]
fn a_task_that_panics_is_an_error_also_when_it_is_dropped() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("(this panic is part of the test)");
        }
    }
    let (local, clock, log) = local(|builder| builder);
    local.task("call", || -> std::future::Ready<()> { panic!("(this panic is part of the test)") }).unwrap();
    local.task("drop", || async { drop(Panics) }).unwrap();
    local
        .task("hold", || async {
            let _panics = Panics;
            pending::<()>().await;
        })
        .unwrap();
    log.read();
    for task in ["call", "drop", "hold"] {
        local.add_job(JobSpec::now(task).id(task)).unwrap();
    }
    local.block_on(clock.sleep(Duration::from_secs(1)));

    let errors: Vec<_> = log.read().into_iter().filter(|line| line.contains("error")).collect();
    assert_eq!(
        errors,
        [
            "10:00:00 error call@10:00:00: panicked: (this panic is part of the test)",
            "10:00:00 error drop@10:00:00: panicked: (this panic is part of the test)",
        ]
    );
    // Now cancels the one that holds on, whose drop panics.
    local.shutdown(ShutdownMode::Now).unwrap();
    assert_eq!(log.read(), ["10:00:01 cancelled hold@10:00:00", "10:00:01 finished hold", "10:00:01 shut down"]);
}

#[test]
fn a_task_is_dropped_at_its_next_await_when_its_job_is_cancelled() {
    let (local, clock, log) = local(|builder| builder);
    let held = Rc::new(());
    let holds = Rc::clone(&held);
    let hold = move || {
        let held = Rc::clone(&holds);
        async move {
            let _held = held;
            pending::<()>().await;
        }
    };
    local.task("hold", hold).unwrap();
    local.add_job(JobSpec::now("hold").id("hold")).unwrap();
    local.block_on(clock.sleep(Duration::from_secs(1)));
    assert_eq!(Rc::strong_count(&held), 3);
    log.read();

    local.shutdown(ShutdownMode::Now).unwrap();

    assert_eq!(Rc::strong_count(&held), 2);
    assert_eq!(log.read()[0], "10:00:01 cancelled hold@10:00:00");
}

#[test]
fn a_task_that_takes_too_long_is_dropped_and_repeated() {
    let (local, clock, log) = local(|builder| builder);
    let held = Rc::new(());
    let holds = Rc::clone(&held);
    local
        .task("hold", move |context: RunContext| {
            let guard = Rc::clone(&holds);
            async move {
                if context.attempt == 1 {
                    pending::<()>().await;
                }
                drop(guard);
            }
        })
        .unwrap();
    let retry = Retry::attempts(2).backoff(Duration::from_secs(10)).jitter(0.0);
    local.add_job(JobSpec::now("hold").id("hold").timeout(Duration::from_secs(5)).retry(retry)).unwrap();
    local.block_on(clock.sleep(Duration::from_secs(1)));
    assert_eq!(Rc::strong_count(&held), 3);
    log.read();

    local.block_on(clock.sleep(Duration::from_secs(20)));

    assert_eq!(Rc::strong_count(&held), 2);
    assert_eq!(
        log.read(),
        [
            "10:00:05 retried hold@10:00:00 at 10:00:15: timed out after 5s",
            "10:00:15 submitted hold@10:00:00 #2",
            "10:00:15 executed hold@10:00:00 #2",
            "10:00:15 finished hold",
        ]
    );
}

#[test]
fn local_tasks_run_on_the_executor_local_when_default_is_another() {
    let (local, clock, log) = local(|builder| builder.executor("default", Spawn::new()));
    local.task("here", || ready(7)).unwrap();
    log.read();
    local.add_job(JobSpec::now("here").id("local").executor("local")).unwrap();

    local.block_on(clock.sleep(Duration::from_secs(1)));
    assert!(log.read().contains(&"10:00:00 executed local@10:00:00 -> 7".to_owned()));

    local.add_job(JobSpec::now("here").id("lost")).unwrap();
    local.block_on(clock.sleep(Duration::from_secs(1)));
    assert!(log.read().contains(
        &"10:00:01 error lost@10:00:01: task `here` is local to its scheduler's thread: its jobs need the executor `local`"
            .to_owned()
    ));
}

#[test]
fn the_arguments_of_a_local_task_are_checked_when_its_job_is_added() {
    let (local, _, _) = local(|builder| builder);
    local.task("here", |_: u32| ready(())).unwrap();

    let error = local.add_job(JobSpec::now("here").id("bad").args("seven")).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Arguments);
    assert!(error.to_string().contains("task `here`"), "{error}");
    assert_eq!(local.task("here", || ready(())).unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn async_listeners_and_streams_are_served_on_the_thread() {
    let (local, clock, log) = local(|builder| builder.task("tick", || async {}));
    let heard = log.clone();
    local.add_async_listener(EventMask::RUN_EXECUTED, move |event| {
        let heard = heard.clone();
        async move { heard.write(format!("heard {}", event.seq)) }
    });

    local.add_job(JobSpec::now("tick").id("once")).unwrap();
    local.block_on(clock.sleep(Duration::from_secs(1)));

    assert_eq!(log.read().last().unwrap(), "heard 7");
}

#[test]
fn blocking_tasks_run_elsewhere_and_the_thread_is_woken() {
    let here = thread::current().id();
    let where_it_runs = move || Outcome::Ok((thread::current().id() == here).into());
    let local =
        Scheduler::builder(ThreadRuntime::new().unwrap()).register(blocking("where", where_it_runs)).local().unwrap();
    let handle = local.handle();
    local.add_listener(EventMask::RUN_EXECUTED, move |event| {
        assert!(matches!(&event.kind, EventKind::RunExecuted { output, .. } if output == false));
        handle.begin_shutdown(ShutdownMode::Wait).unwrap();
    });
    local.add_job(JobSpec::now("where")).unwrap();

    local.run().unwrap();
}

#[test]
fn another_thread_ends_it_through_its_handle() {
    let local = Scheduler::builder(ThreadRuntime::new().unwrap()).local().unwrap();
    let handle = local.handle();
    let other = thread::spawn(move || futures_executor::block_on(handle.shutdown(ShutdownMode::Wait)));

    // Whichever comes first: a scheduler that has been shut down is not started any more.
    match local.run() {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ShutDown),
    }

    assert_eq!(other.join().unwrap(), Ok(()));
}

#[test]
fn it_runs_on_a_tokio_runtime_of_one_thread_that_nobody_else_drives() -> Result<(), Error> {
    let host = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = Scheduler::builder(TokioRuntime::from(host.handle().clone())).local()?;
    let handle = local.handle();
    let stop = move || {
        let handle = handle.clone();
        async move { handle.begin_shutdown(ShutdownMode::Wait) }
    };
    local.add_task(task("stop", stop))?;
    local.add_job(JobSpec::now("stop"))?;

    local.run()
}

#[test]
fn what_its_handle_asks_while_nobody_runs_it_waits_until_the_channel_is_full() {
    let (local, clock, _) = local(|builder| builder);
    let handle = local.handle();
    let mut calls: Vec<_> = (0..1_024).map(|_| Box::pin(handle.wakeup())).collect();
    let mut cx = std::task::Context::from_waker(Waker::noop());
    for call in &mut calls {
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }

    let start = clock.now().utc;
    let error = crate::world::block_on(&clock, handle.wakeup()).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!((clock.now().utc - start).num_seconds(), 10);
    assert!(error.to_string().starts_with("the scheduler's command channel is full: 1024 calls wait"), "{error}");
    assert_eq!(handle.begin_shutdown(ShutdownMode::Wait).unwrap_err().kind(), ErrorKind::Busy);
    assert!(crate::world::block_on(&clock, handle.is_running()));
    // Once it runs, all of them are answered.
    local.block_on(async {
        for call in calls {
            call.await.unwrap();
        }
    });
}

#[test]
fn dropping_it_answers_who_waits_for_it() {
    let (local, clock, _) = local(|builder| builder);
    let handle = local.handle();
    drop(local);

    let error = crate::world::block_on(&clock, handle.wakeup()).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::ShutDown);
}

#[test]
fn an_async_listener_that_panics_ends_alone() {
    let (local, clock, log) = local(|builder| builder.task("tick", || async {}));
    local.add_async_listener(EventMask::RUN_EXECUTED, |_| async { panic!("(this panic is part of the test)") });
    local.add_job(JobSpec::new("tick", Interval::seconds(10)).id("clock")).unwrap();

    local.block_on(clock.sleep(Duration::from_secs(20)));

    assert!(log.read().contains(&"10:00:20 executed clock@10:00:20".to_owned()));
}

#[test]
fn it_is_started_once_and_runs_on_from_there() {
    let (local, _, log) = local_stopped(|builder| builder);
    let handle = local.handle();
    let stop = move || {
        let handle = handle.clone();
        async move { handle.begin_shutdown(ShutdownMode::Wait) }
    };
    local.task("stop", stop).unwrap();
    local.add_job(JobSpec::new("stop", Interval::seconds(10)).id("stop")).unwrap();
    local.start_paused().unwrap();
    assert_eq!(local.start().unwrap_err().kind(), ErrorKind::AlreadyStarted);
    local.resume().unwrap();
    log.read();

    local.run().unwrap();

    assert_eq!(
        log.read(),
        ["10:00:10 submitted stop@10:00:10", "10:00:10 executed stop@10:00:10", "10:00:10 shut down"]
    );
    assert_eq!(local.run().unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(local.jobs().unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(local.block_on(async { 7 }), 7, "nobody needs the loop for that");
}

#[test]
fn dropping_it_drops_its_tasks_where_they_stand() {
    let (local, clock, log) = local(|builder| builder);
    let held = Rc::new(());
    let holds = Rc::clone(&held);
    let hold = move || {
        let held = Rc::clone(&holds);
        async move {
            let _held = held;
            pending::<()>().await;
        }
    };
    local.task("hold", hold).unwrap();
    local.add_job(JobSpec::now("hold").id("hold")).unwrap();
    local.block_on(clock.sleep(Duration::from_secs(1)));
    assert_eq!(Rc::strong_count(&held), 3);
    log.read();

    drop(local);

    assert_eq!(Rc::strong_count(&held), 1);
    assert_eq!(log.read(), Vec::<String>::new());
}

#[test]
fn several_stores_are_used_at_once() {
    let other = FaultyStore::over(MemoryStore::new());
    let (local, clock, log) = local(|builder| builder.task("tick", || async {}).store("other", other.clone()));
    local.add_store("third", MemoryStore::new()).unwrap();
    for (id, store) in [("one", "default"), ("two", "other"), ("three", "third")] {
        local.add_job(JobSpec::new("tick", Interval::seconds(10)).id(id).store(store)).unwrap();
    }
    let stores: Vec<_> = local.jobs().unwrap().iter().map(|job| job.store().to_string()).collect();
    assert_eq!(stores.len(), 3, "{stores:?}");
    assert_eq!(local.block_on(local.handle().in_store("third").remove_all_jobs()), Ok(1));
    log.read();

    other.go_away();
    local.block_on(clock.sleep(Duration::from_secs(11)));

    let told = log.read();
    assert!(told.contains(&"10:00:10 executed one@10:00:10".to_owned()), "{told:#?}");
    assert!(told.contains(&"10:00:10 store other failed: nobody answers".to_owned()), "{told:#?}");
    other.come_back();
    local.block_on(clock.sleep(Duration::from_secs(20)));
    let told = log.read();
    assert!(told.iter().any(|line| line.ends_with("executed two@10:00:10")), "{told:#?}");
    local.remove_store("third").unwrap();
}

#[test]
fn a_task_that_is_cancelled_just_after_it_was_polled_can_end_by_itself() {
    let (local, clock, log) = local(|builder| builder);
    let tidy = |context: RunContext| async move {
        let mut is_told = pin!(context.cancellation.cancelled());
        let told = poll_fn(|cx| {
            let polled = is_told.as_mut().poll(cx);
            // What another thread may do between this poll and the next one.
            context.cancellation.cancel();
            polled
        });
        told.await;
    };
    local.task("tidy", tidy).unwrap();
    local.add_job(JobSpec::now("tidy").id("tidy")).unwrap();

    local.block_on(clock.sleep(Duration::from_secs(1)));

    let told = log.read();
    assert!(told.contains(&"10:00:00 executed tidy@10:00:00".to_owned()), "{told:#?}");
}

#[test]
fn a_task_that_takes_too_long_is_dropped_and_tried_again() {
    let (local, clock, log) = local(|builder| builder);
    let held = Rc::new(());
    let holds = Rc::clone(&held);
    let hold = move || {
        let held = Rc::clone(&holds);
        async move {
            let _held = held;
            pending::<()>().await;
        }
    };
    local.task("hold", hold).unwrap();
    let retry = Retry::attempts(2).backoff(Duration::from_secs(5));
    let spec = JobSpec::now("hold").id("hold").timeout(Duration::from_secs(10)).retry(retry);
    local.add_job(spec).unwrap();
    log.read();

    local.block_on(clock.sleep(Duration::from_secs(60)));

    assert_eq!(Rc::strong_count(&held), 2, "nothing of it is left");
    let told = log.read();
    let ends: Vec<_> = told.iter().filter(|line| !line.contains("submitted")).collect();
    assert!(ends[0].starts_with("10:00:10 retried hold@10:00:00"), "{told:#?}");
    assert!(ends[1].ends_with("timeout hold@10:00:00 #2"), "{told:#?}");
    assert!(ends[2].ends_with("finished hold"), "{told:#?}");
}

#[test]
fn its_loop_and_async_tasks_outlive_the_tokio_runtime() {
    let host = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let builder = Scheduler::builder(TokioRuntime::from(host.handle().clone()));
    let local = builder.register(blocking("block", || 7)).local().unwrap();
    local.task("here", || ready(7)).unwrap();
    local.start().unwrap();
    let mut events = local.events(EventMask::RUN_EXECUTED | EventMask::RUN_CANCELLED | EventMask::RUN_ERROR);
    let mut next = || local.block_on(events.next()).unwrap().unwrap();

    drop(host);

    local.add_job(JobSpec::now("here")).unwrap();
    assert_eq!(next().kind.mask(), EventMask::RUN_EXECUTED);
    local.add_job(JobSpec::now("block")).unwrap();
    let event = next();
    assert!(
        matches!(&event.kind, EventKind::RunError { error, .. } if error.contains("the threads were gone")),
        "{event:?}"
    );
    local.shutdown(ShutdownMode::Wait).unwrap();
}
