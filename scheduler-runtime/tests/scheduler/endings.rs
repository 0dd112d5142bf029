//! How schedulers end, and what those who still hold them see.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use scheduler_core::{
    Delivery, ErrorKind, EventKind, EventMask, JobSpec, JobStore, Outcome, Retry, RunState, Verdict,
    engine::ShutdownMode,
    store::RunQuery,
    trigger::{First, Interval},
};
use scheduler_executors::{Inline, task};
use scheduler_runtime::{Runtime, Scheduler};
use scheduler_stores::MemoryStore;

use crate::{
    stage::{FaultyStore, Hand, StillRuntime},
    world::{Log, World, at, clock},
};

fn within(seconds: u64) -> ShutdownMode {
    ShutdownMode::within(Duration::from_secs(seconds))
}

#[test]
fn a_call_whose_loop_is_dropped_with_its_runtime_is_answered() {
    let runtime = StillRuntime::new(at("10:00:00"));
    let scheduler = Scheduler::builder(runtime.clone()).build().unwrap();
    let mut call = pin!(scheduler.start());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());

    runtime.end();

    let Poll::Ready(Err(error)) = call.poll(&mut cx) else { panic!("the call is answered") };
    assert_eq!(error.kind(), ErrorKind::ShutDown);
    assert!(error.to_string().contains("the runtime on which it ran is gone"), "{error}");
}

#[test]
fn an_event_stream_ends_when_the_loop_is_dropped_with_its_runtime() {
    let runtime = StillRuntime::new(at("10:00:00"));
    let scheduler = Scheduler::builder(runtime.clone()).build().unwrap();
    let mut events = scheduler.events(EventMask::ALL);
    let mut next = pin!(events.next());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(next.as_mut().poll(&mut cx).is_pending());

    runtime.end();

    assert_eq!(next.poll(&mut cx), Poll::Ready(None));
}

#[test]
fn a_run_that_is_dropped_with_its_runtime_is_left_to_be_taken_over() {
    let runtime = StillRuntime::new(at("10:00:00"));
    let (store, hand) = (MemoryStore::new(), Hand::default());
    let builder = Scheduler::builder(runtime.clone()).accuracy(Duration::ZERO).store("default", store.clone());
    let scheduler = builder.executor("hand", hand.clone()).task("report", || async {}).build().unwrap();
    let mut add = pin!(scheduler.add_job(JobSpec::now("report").executor("hand").delivery(Delivery::AtLeastOnce)));
    let mut start = pin!(scheduler.start());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(start.as_mut().poll(&mut cx).is_pending() && add.as_mut().poll(&mut cx).is_pending());
    runtime.poll_all();
    let Poll::Ready(Ok(job)) = add.poll(&mut cx) else { panic!("the job is added") };
    assert_eq!(hand.count(), 1);

    // The loop may outlive the runs by a moment, since a runtime drops what it has in any order.
    runtime.drop_all_but_the_first();
    runtime.poll_all();
    runtime.end();

    let runs = futures_executor::block_on(store.runs(&RunQuery { uid: job.uid, before: None, limit: 10 })).unwrap();
    assert_eq!(runs.iter().map(|run| run.state).collect::<Vec<_>>(), [RunState::Running]);
}

#[test]
fn an_event_stream_that_is_asked_for_after_the_shutdown_has_ended() {
    let world = World::new(|builder| builder);
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    let mut events = world.scheduler.events(EventMask::ALL);

    assert_eq!(world.wait(events.next()), None);
}

#[test]
fn every_call_after_the_shutdown_says_so() {
    let world = World::new(|builder| builder);
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    let tick = || JobSpec::new("tick", Interval::seconds(10)).id("clock");
    let errors = [
        world.wait(world.scheduler.start()).unwrap_err(),
        world.wait(world.scheduler.add_job(tick())).unwrap_err(),
        world.wait(world.scheduler.jobs()).unwrap_err(),
        world.wait(world.scheduler.wakeup()).unwrap_err(),
        world.wait(world.scheduler.add_task(task("late", || async {}))).unwrap_err(),
        world.wait(world.scheduler.add_task(task("late", || async {}))).unwrap_err(),
        world.wait(world.scheduler.add_store("late", MemoryStore::new())).unwrap_err(),
        world.wait(world.scheduler.add_executor("late", Inline::new())).unwrap_err(),
    ];

    for error in errors {
        assert_eq!(error.kind(), ErrorKind::ShutDown, "{error}");
    }
    assert_eq!(world.wait(world.scheduler.shutdown(ShutdownMode::Wait)), Ok(()));
    assert!(!world.wait(world.scheduler.is_running()));
}

#[test]
fn a_scheduler_that_was_never_started_goes_with_its_last_handle() {
    let store = FaultyStore::default();
    let world = World::stopped(|builder| builder.store("default", store.clone()));
    let mut events = world.scheduler.events(EventMask::ALL);
    assert_eq!(store.holders(), 2);

    drop(world.scheduler);
    world.runtime.advance(Duration::ZERO);

    assert_eq!(store.holders(), 1);
    assert_eq!(events.try_next(), None);
}

#[test]
fn a_scheduler_that_was_started_goes_on_without_its_handles() {
    let World { runtime, scheduler, .. } = World::new(|builder| builder);
    let mut events = scheduler.events(EventMask::RUN_EXECUTED);
    let add = scheduler.add_job(JobSpec::new("tick", Interval::seconds(10)));
    crate::world::block_on(&runtime, add).unwrap();

    drop(scheduler);
    runtime.advance(Duration::from_secs(30));

    let executed = std::iter::from_fn(|| events.try_next()).count();
    assert_eq!(executed, 3);
}

#[test]
fn a_store_is_let_go_with_its_scheduler() {
    let store = FaultyStore::default();
    let world = World::new(|builder| builder.store("default", store.clone()));
    assert_eq!(store.holders(), 2);

    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    assert_eq!(store.holders(), 1);
}

#[test]
fn a_store_that_is_removed_is_let_go() {
    let store = FaultyStore::default();
    let world = World::new(|builder| builder.store("other", store.clone()));

    world.wait(world.scheduler.remove_store("other")).unwrap();

    assert_eq!(store.holders(), 1);
}

#[test]
fn what_holds_a_handle_and_is_held_by_the_scheduler_goes_with_the_shutdown() {
    let world = World::new(|builder| builder);
    let marker = Arc::new(());
    let held = |of: &Arc<()>| (world.scheduler.clone(), Arc::clone(of));
    let (by_listener, by_task) = (held(&marker), held(&marker));
    world.scheduler.add_listener(EventMask::NONE, move |_| drop(by_listener.clone()));
    let call = move || {
        let held = by_task.clone();
        async move { drop(held) }
    };
    world.wait(world.scheduler.add_task(task("holds", call))).unwrap();
    assert_eq!(Arc::strong_count(&marker), 3);

    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    assert_eq!(Arc::strong_count(&marker), 1);
}

#[test]
fn a_listener_that_holds_an_event_stream_can_be_removed() {
    let world = World::new(|builder| builder);
    let events = Mutex::new(world.scheduler.events(EventMask::ALL));
    let id = world.scheduler.add_listener(EventMask::ALL, move |_| drop(events.lock().unwrap().try_next()));

    assert!(world.scheduler.remove_listener(id));
    assert!(!world.scheduler.remove_listener(id));
}

#[test]
fn a_listener_or_task_ends_the_scheduler_without_waiting_for_itself() {
    let world = World::new(|builder| builder);
    let scheduler = world.scheduler.clone();
    world.scheduler.add_listener(EventMask::RUN_EXECUTED, move |event| {
        assert!(matches!(event.kind, EventKind::RunExecuted { .. }));
        scheduler.begin_shutdown(ShutdownMode::Wait).unwrap();
    });
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.told();

    world.advance(60);

    assert_eq!(
        world.told(),
        ["10:00:10 submitted clock@10:00:10", "10:00:10 executed clock@10:00:10", "10:00:10 shut down"]
    );
}

#[test]
fn shutting_down_waits_for_running_runs() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.advance(10);
    world.told();

    let mut shutdown = pin!(world.scheduler.shutdown(ShutdownMode::Wait));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(shutdown.as_mut().poll(&mut cx).is_pending());
    world.advance(600);
    assert!(shutdown.as_mut().poll(&mut cx).is_pending());
    assert!(!hand.is_cancelled(0));
    assert_eq!(world.told(), Vec::<String>::new());

    hand.end(Outcome::Ok("done".into()));
    world.advance(0);

    assert_eq!(shutdown.poll(&mut cx), Poll::Ready(Ok(())));
    assert_eq!(world.told(), ["10:10:10 executed clock@10:00:10 -> \"done\"", "10:10:10 shut down"]);
}

#[test]
fn shutting_down_now_cancels_running_runs_and_does_not_wait() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.advance(10);
    world.told();

    world.wait(world.scheduler.shutdown(ShutdownMode::Now)).unwrap();

    assert!(hand.is_cancelled(0));
    assert_eq!(world.told(), ["10:00:10 cancelled clock@10:00:10", "10:00:10 shut down"]);
}

#[test]
fn a_run_that_is_cut_off_is_run_at_once_by_another_node_and_loses_no_retry() {
    for (mode, given_back_at) in [(ShutdownMode::Now, "10:00:10"), (within(5), "10:00:15")] {
        let jobs = MemoryStore::new();
        let (hand, other_hand) = (Hand::default(), Hand::default());
        let first = World::new(|builder| builder.store("default", jobs.clone()).executor("default", hand.clone()));
        let second = first.beside(|builder| builder.store("default", jobs).executor("default", other_hand.clone()));
        let retry = Retry::attempts(2).backoff(Duration::ZERO);
        let spec = JobSpec::new("tick", Interval::seconds(3600).first(First::Now)).id("clock");
        first.wait(second.scheduler.pause()).unwrap();
        first.add(spec.delivery(Delivery::AtLeastOnce).retry(retry));
        first.advance(10);
        first.wait(second.scheduler.resume()).unwrap();
        first.told();
        second.told();

        first.wait(first.scheduler.shutdown(mode)).unwrap();

        assert!(hand.is_cancelled(0));
        let told = [format!("{given_back_at} given back clock@10:00:00"), format!("{given_back_at} shut down")];
        assert_eq!(first.told(), told);
        assert_eq!(second.told(), [format!("{given_back_at} submitted clock@10:00:00")]);
        other_hand.end(Outcome::Error("no paper".into()));
        second.advance(0);
        assert_eq!(
            second.told(),
            [
                format!("{given_back_at} retried clock@10:00:00 at {given_back_at}: no paper"),
                format!("{given_back_at} submitted clock@10:00:00 #2"),
            ]
        );
        let [run] = &second.wait(second.scheduler.runs("clock", 10)).unwrap()[..] else { panic!("there is one run") };
        assert_eq!((run.state, run.attempt, run.takeovers), (RunState::Running, 2, 0));
    }
}

#[test]
fn a_shutdown_within_a_time_ends_as_soon_as_nothing_runs() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.advance(10);
    world.told();
    let mut shutdown = pin!(world.scheduler.shutdown(within(60)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(shutdown.as_mut().poll(&mut cx).is_pending());
    world.advance(20);
    hand.end(Outcome::Ok("done".into()));
    world.advance(0);

    assert_eq!(shutdown.poll(&mut cx), Poll::Ready(Ok(())));
    assert_eq!(world.told(), ["10:00:30 executed clock@10:00:10 -> \"done\"", "10:00:30 shut down"]);
}

#[test]
fn runs_are_told_to_stop_in_the_last_fifth_of_the_time_and_those_at_most_once_end_as_cancelled_with_it() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock").delivery(Delivery::AtMostOnce));
    world.advance(10);
    world.told();
    let mut shutdown = pin!(world.scheduler.shutdown(within(10)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(shutdown.as_mut().poll(&mut cx).is_pending());

    world.advance(7);
    assert!(!hand.is_cancelled(0));
    world.advance(1);
    assert!(hand.is_cancelled(0) && shutdown.as_mut().poll(&mut cx).is_pending());
    world.advance(2);

    assert_eq!(shutdown.poll(&mut cx), Poll::Ready(Ok(())));
    assert_eq!(world.told(), ["10:00:20 cancelled clock@10:00:10", "10:00:20 shut down"]);
}

#[test]
fn what_is_given_back_after_it_was_asked_to_stop_elsewhere_or_removed_ends_as_cancelled() {
    let jobs = MemoryStore::new();
    let hand = Hand::default();
    let first = World::new(|builder| builder.store("default", jobs.clone()).executor("default", hand.clone()));
    let spec = |id: &str| JobSpec::new("tick", Interval::seconds(3600).first(First::Now)).id(id);
    for id in ["asked", "removed"] {
        first.add(spec(id).delivery(Delivery::AtLeastOnce));
    }
    first.advance(1);
    let asked = first.wait(first.scheduler.runs("asked", 1)).unwrap().remove(0).id;
    // Another node, of which the first one has not heard yet.
    let at = first.runtime.now().utc;
    futures_executor::block_on(jobs.cancel(at, &"asked".into(), asked)).unwrap();
    futures_executor::block_on(jobs.remove(at, &["removed".into()])).unwrap();
    first.scheduler.begin_shutdown(ShutdownMode::Now).unwrap();
    first.advance(0);

    let second = first.beside(|builder| builder.store("default", jobs.clone()).executor("default", hand.clone()));
    second.advance(1);

    assert_eq!(hand.count(), 2, "neither has been started again");
    let [run] = &second.wait(second.scheduler.runs("asked", 1)).unwrap()[..] else { panic!("there is one run") };
    assert_eq!(run.verdict(), Some(Verdict::Cancelled));
    assert_eq!(second.wait(second.scheduler.jobs()).unwrap().len(), 1);
}

#[test]
fn a_task_may_not_wait_for_a_shutdown_within_a_time_either() {
    let world = World::new(|builder| builder);
    let own = world.scheduler.clone();
    let shut_down = move || {
        let own = own.clone();
        async move { own.shutdown(within(5)).await }
    };
    world.wait(world.scheduler.add_task(task("shut-down", shut_down))).unwrap();
    world.add(JobSpec::now("shut-down").id("own"));
    world.advance(0);

    let told = world.told();
    assert!(told.iter().any(|line| line.contains("error own@10:00:00: a run of job `own` was to wait")), "{told:?}");
}

#[test]
fn an_async_task_is_dropped_at_its_next_await_when_the_scheduler_shuts_down_now() {
    struct Dropped(Log);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.write("dropped");
        }
    }
    let log = Log::default();
    let dropped = log.clone();
    let wait = move || {
        let dropped = Dropped(dropped.clone());
        async move {
            let _dropped = dropped;
            std::future::pending::<()>().await;
        }
    };
    let world = World::new(|builder| builder.task("wait", wait));
    world.add(JobSpec::now("wait").id("once"));
    world.told();

    world.wait(world.scheduler.shutdown(ShutdownMode::Now)).unwrap();

    assert_eq!(world.told(), ["10:00:00 cancelled once@10:00:00", "10:00:00 finished once", "10:00:00 shut down"]);
    assert_eq!(log.read(), ["dropped"]);
}

#[test]
fn a_store_that_does_not_answer_holds_up_the_shutdown_for_one_lease_at_most() {
    let store = FaultyStore::default();
    let hand = Hand::default();
    let world = World::new(|builder| builder.store("default", store.clone()).executor("default", hand.clone()));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.advance(10);
    store.go_away();
    hand.end(Outcome::Ok(serde_json::Value::Null));
    world.told();

    let start = world.runtime.now().utc;
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    assert!((world.runtime.now().utc - start).num_seconds() <= 15);
    let told = world.told();
    let last = told.iter().rev().take(3).rev().map(String::as_str).collect::<Vec<_>>();
    let given_up = "10:00:25 store default failed: it did not answer while it was given up; what this node held there is \
                    free when its lease ends";
    assert_eq!(last, [given_up, "10:00:25 taken away clock@10:00:10", "10:00:25 shut down"]);
}

#[test]
fn a_shutdown_while_a_claim_is_under_way_gives_back_what_that_brings() {
    for mode in [ShutdownMode::Wait, ShutdownMode::Now] {
        let jobs = MemoryStore::new();
        let store = FaultyStore::over(jobs.clone());
        let world = World::new(|builder| builder.store("default", store.clone()));
        world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
        world.told();
        store.hold_back();
        world.advance(10);

        let mut shutdown = pin!(world.scheduler.shutdown(mode));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(shutdown.as_mut().poll(&mut cx).is_pending());
        world.advance(1);
        assert!(shutdown.as_mut().poll(&mut cx).is_pending(), "what was claimed has to be given back");
        store.let_go();
        world.advance(0);

        assert_eq!(shutdown.poll(&mut cx), Poll::Ready(Ok(())));
        assert_eq!(world.told(), ["10:00:11 shut down"], "nothing was started");
        // Another node need not wait for the end of a lease.
        let other = world.beside(|builder| builder.store("default", jobs));
        let runs = other.wait(other.scheduler.runs("clock", 10)).unwrap();
        assert_eq!(runs.iter().map(|run| (run.fire_time, run.attempt)).collect::<Vec<_>>(), [(clock("10:00:10"), 1)]);
    }
}

#[test]
fn a_shutdown_that_waits_is_hurried_by_one_that_does_not() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.advance(10);
    world.told();
    let mut waits = pin!(world.scheduler.shutdown(ShutdownMode::Wait));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waits.as_mut().poll(&mut cx).is_pending());
    world.advance(5);

    world.wait(world.scheduler.shutdown(ShutdownMode::Now)).unwrap();

    assert_eq!(waits.poll(&mut cx), Poll::Ready(Ok(())));
    assert_eq!(world.told(), ["10:00:15 cancelled clock@10:00:10", "10:00:15 shut down"]);
}

#[test]
fn what_comes_of_a_task_that_ignored_its_cancellation_is_not_told_any_more() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.advance(10);
    world.wait(world.scheduler.shutdown(ShutdownMode::Now)).unwrap();
    assert_eq!(world.told().last().unwrap(), "10:00:10 shut down");

    // Its future is polled to its end all the same.
    hand.end(Outcome::Ok("at last".into()));
    world.advance(1);

    assert_eq!(world.told(), Vec::<String>::new());
}

#[test]
fn a_job_in_somebodys_hands_says_so_after_the_shutdown() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    assert_eq!(world.wait(job.refresh()).unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(world.wait(job.pause()).unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(world.wait(job.remove()).unwrap_err().kind(), ErrorKind::ShutDown);
}
