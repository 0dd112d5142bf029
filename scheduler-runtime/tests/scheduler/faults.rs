//! What goes wrong around a scheduler: tasks, listeners, executors and stores that fail. The loop goes on.

use scheduler_core::{
    BoxFuture, Delivery, Dispatch, ErrorKind, EventMask, Executor, JobSpec, Outcome,
    engine::ShutdownMode,
    trigger::{First, Interval},
};
use scheduler_executors::{Inline, Spawn, blocking, task};
use scheduler_runtime::LoopState;
use scheduler_stores::MemoryStore;

use crate::{
    stage::{FaultyStore, Hand},
    world::World,
};

#[test]
fn a_task_that_panics_is_an_error_and_fires_again() {
    async fn panics() {
        panic!("(this panic is part of the test)")
    }
    let world = World::new(|builder| builder.task("break", panics));
    world.add(JobSpec::new("break", Interval::seconds(10)).id("bad"));
    world.told();

    world.advance(20);

    assert_eq!(
        world.told(),
        [
            "10:00:10 submitted bad@10:00:10",
            "10:00:10 error bad@10:00:10: panicked: (this panic is part of the test)",
            "10:00:20 submitted bad@10:00:20",
            "10:00:20 error bad@10:00:20: panicked: (this panic is part of the test)",
        ]
    );
}

#[test]
fn a_task_name_that_no_database_takes_is_refused() {
    let world = World::new(|builder| builder);
    let error = world.wait(world.scheduler.add_task(task("a\0b", || async {}))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.to_string(), "task name \"a\\0b\" contains NUL, which not every store can keep");
}

#[test]
fn a_listener_that_panics_is_told_of_and_goes_on_being_called() {
    let world = World::new(|builder| builder);
    world.scheduler.add_listener(EventMask::RUN_SUBMITTED, |event| panic!("event {}", event.seq));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.told();

    world.advance(20);

    assert_eq!(
        world.told(),
        [
            "10:00:10 submitted clock@10:00:10",
            "10:00:10 listener failed: event 5",
            "10:00:10 executed clock@10:00:10",
            "10:00:20 submitted clock@10:00:20",
            "10:00:20 listener failed: event 8",
            "10:00:20 executed clock@10:00:20",
        ]
    );
}

#[test]
fn listeners_that_panic_at_each_others_panics_do_not_go_round_for_ever() {
    let world = World::new(|builder| builder);
    world.scheduler.add_listener(EventMask::ALL, |_| panic!("(this panic is part of the test)"));

    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));

    assert_eq!(world.told(), ["10:00:00 added clock", "10:00:00 listener failed: (this panic is part of the test)"]);
}

/// Panics when it is to start something.
#[derive(Debug)]
struct BrokenExecutor;

impl Executor for BrokenExecutor {
    fn start(&self, _: Dispatch) -> BoxFuture<'static, Outcome> {
        panic!("(this panic is part of the test)")
    }
}

/// Starts runs whose futures panic.
#[derive(Debug)]
struct BrokenRuns;

impl Executor for BrokenRuns {
    fn start(&self, _: Dispatch) -> BoxFuture<'static, Outcome> {
        Box::pin(async { panic!("(this panic is part of the test)") })
    }
}

#[test]
fn an_executor_that_panics_ends_its_run_as_an_error() {
    let world = World::new(|builder| builder.executor("broken", BrokenExecutor).executor("late", BrokenRuns));
    world.add(JobSpec::now("tick").id("one").executor("broken"));
    world.add(JobSpec::now("tick").id("two").executor("late"));

    let told = world.told();

    assert!(told.contains(&"10:00:00 error one@10:00:00: panicked: (this panic is part of the test)".to_owned()));
    assert!(told.contains(&"10:00:00 error two@10:00:00: panicked: (this panic is part of the test)".to_owned()));
}

#[test]
fn a_run_whose_executor_gives_it_up_ends_as_cancelled() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.advance(10);
    world.told();

    hand.drop_all();
    world.advance(0);

    assert_eq!(world.told(), ["10:00:10 cancelled clock@10:00:10"]);
}

#[test]
fn a_store_that_panics_is_a_store_that_fails_and_the_others_carry_on() {
    let store = FaultyStore::default();
    let world = World::new(|builder| builder.store("faulty", store.clone()));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("faulty").store("faulty"));
    world.told();
    store.panic();

    let error = world.refused(JobSpec::new("tick", Interval::seconds(10)).id("lost").store("faulty"));
    assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
    assert_eq!(error.to_string(), "store `faulty`: the store panicked: (this panic is part of the test)");
    world.advance(10);

    let (of_store, others): (Vec<_>, Vec<_>) =
        world.told().into_iter().partition(|line| line.contains("store faulty failed: the store panicked: "));
    assert_eq!(of_store.len(), 1);
    assert_eq!(others, ["10:00:10 submitted clock@10:00:10", "10:00:10 executed clock@10:00:10"]);
}

#[test]
fn a_store_that_is_away_is_told_of_and_its_jobs_catch_up_when_it_is_back() {
    let store = FaultyStore::default();
    let world = World::new(|builder| builder.store("default", store.clone()));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.told();

    store.go_away();
    world.advance(35);
    let told = world.told();
    assert_eq!(told[0], "10:00:10 store default failed: nobody answers");
    assert!(told.iter().all(|line| line.contains("store default failed")), "{told:#?}");
    store.come_back();
    world.advance(10);

    let told = world.told();
    assert!(told[0].ends_with("store default recovered"), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("coalesced clock@10:00:10..")), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("executed clock@10:00:")), "{told:#?}");
}

#[test]
fn an_attempt_that_was_taken_over_is_not_taken_for_its_successor() {
    let jobs = MemoryStore::new();
    let (store, others_store) = (FaultyStore::over(jobs.clone()), FaultyStore::over(jobs));
    let hand = Hand::default();
    let world = World::new(|builder| builder.store("default", store.clone()).executor("default", hand.clone()));
    let other =
        world.beside(|builder| builder.store("default", others_store.clone()).executor("default", Hand::default()));
    let long = JobSpec::new("tick", Interval::hours(10).first(First::Now)).id("long");
    world.add(long.delivery(Delivery::AtLeastOnce));
    world.advance(1);
    assert_eq!(world.told().last().unwrap(), "10:00:00 submitted long@10:00:00");

    // The first node cannot reach the store for longer than its lease, then the second one cannot.
    store.go_away();
    world.advance(20);
    assert_eq!(other.told(), ["10:00:15 taken over long@10:00:00 #2", "10:00:15 submitted long@10:00:00 #2"]);
    store.come_back();
    others_store.go_away();
    world.advance(60);
    world.told();
    // Nobody else is left to run it, and it does not run beside its first attempt.
    assert_eq!(hand.count(), 1);

    hand.end(Outcome::Ok("first attempt".into()));
    world.advance(60);
    hand.end(Outcome::Ok("third attempt".into()));
    world.advance(1);

    assert_eq!(
        world.told(),
        [
            "10:01:21 taken away long@10:00:00",
            "10:01:21.550 taken over long@10:00:00 #3",
            "10:01:21.550 submitted long@10:00:00 #3",
            "10:02:21 executed long@10:00:00 #3 -> \"third attempt\"",
        ]
    );
}

#[test]
fn an_executor_that_is_removed_and_added_in_one_go_is_there() {
    let world = World::new(|builder| builder.executor("pool", Inline::new()));
    let (removed, added) = world.wait(async {
        let removed = world.scheduler.remove_executor("pool");
        futures_util::future::join(removed, world.scheduler.add_executor("pool", Spawn::new())).await
    });
    assert_eq!((removed, added), (Ok(()), Ok(())));
    world.told();

    world.add(JobSpec::now("tick").id("once").executor("pool"));

    assert!(world.told().contains(&"10:00:00 executed once@10:00:00".to_owned()));
}

#[test]
fn a_flood_of_ended_runs_does_not_keep_calls_waiting() {
    let world = World::new(|builder| builder);
    let specs = (0..10_000).map(|n| JobSpec::now("tick").id(format!("{n:05}"))).collect();
    world.wait(world.scheduler.pause()).unwrap();
    world.wait(world.scheduler.add_jobs(specs));
    world.told();
    let (log, scheduler) = (world.log(), world.scheduler.clone());
    let ask = move || {
        let (scheduler, log) = (scheduler.clone(), log.clone());
        async move {
            log.write("asked");
            scheduler.wakeup().await.unwrap();
            log.write("answered");
        }
    };
    world.wait(world.scheduler.add_task(task("ask", ask))).unwrap();
    world.add(JobSpec::now("ask").id("ask"));

    world.wait(world.scheduler.resume()).unwrap();

    let told = world.told();
    let place = |what| told.iter().position(|line| line == what).unwrap();
    let executed = told[place("asked")..place("answered")].iter().filter(|line| line.contains("executed")).count();
    assert!(executed <= 1_000, "{executed} runs had ended before the answer");
}

#[test]
fn a_blocking_task_that_panics_is_an_error() {
    let world = World::new(|builder| {
        builder.register(blocking("break", || -> () { panic!("(this panic is part of the test)") }))
    });

    world.add(JobSpec::now("break").id("bad"));

    assert!(
        world.told().contains(&"10:00:00 error bad@10:00:00: panicked: (this panic is part of the test)".to_owned())
    );
}

/// Panics when it is dropped.
#[derive(Debug)]
struct BreaksOnDrop;

impl Drop for BreaksOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("(this panic is part of the test)");
        }
    }
}

#[test]
fn an_async_listener_that_panics_is_told_of_and_goes_on_being_called() {
    async fn breaks() {
        panic!("(this panic is part of the test)")
    }
    let world = World::new(|builder| builder);
    world.scheduler.add_async_listener(EventMask::RUN_EXECUTED, |_| breaks());
    // One that does not even give a future.
    world.scheduler.add_async_listener(EventMask::RUN_EXECUTED, |event| {
        assert!(event.seq == 0, "(this panic too)");
        std::future::ready(())
    });
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.told();

    for time in ["10:00:10", "10:00:20"] {
        world.advance(10);

        assert_eq!(
            world.told(),
            [
                format!("{time} submitted clock@{time}"),
                format!("{time} executed clock@{time}"),
                format!("{time} listener failed: (this panic is part of the test)"),
                format!("{time} listener failed: (this panic too)"),
            ]
        );
    }
}

#[test]
fn async_listeners_that_panic_at_each_others_panics_do_not_go_round_for_ever() {
    let world = World::new(|builder| builder);
    for _ in 0..2 {
        world.scheduler.add_async_listener(EventMask::ALL, |_| async { panic!("(this panic is part of the test)") });
    }

    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));

    let failed = "10:00:00 listener failed: (this panic is part of the test)";
    assert_eq!(world.told(), ["10:00:00 added clock", failed, failed]);
}

#[test]
fn an_async_listener_does_not_keep_a_scheduler_that_nobody_can_start() {
    let world = World::stopped(|builder| builder);
    let (log, dropped) = (world.log(), world.log());
    let kept = Noted(dropped);
    world.scheduler.add_async_listener(EventMask::ALL, move |_| {
        let _ = &kept;
        std::future::ready(())
    });
    let World { runtime, scheduler, .. } = world;

    drop(scheduler);
    runtime.advance(std::time::Duration::ZERO);

    assert_eq!(log.read(), ["the listener is gone"]);
}

/// Writes down that it has been dropped.
struct Noted(crate::world::Log);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.write("the listener is gone");
    }
}

#[test]
fn what_a_panic_carries_may_panic_itself() {
    let world = World::new(|builder| builder);
    world.scheduler.add_listener(EventMask::RUN_SUBMITTED, |_| std::panic::panic_any(BreaksOnDrop));
    world.scheduler.add_async_listener(EventMask::RUN_SUBMITTED, |_| async { std::panic::panic_any(BreaksOnDrop) });

    world.add(JobSpec::now("tick").id("once"));

    let told = world.told();
    let failed = "10:00:00 listener failed: a value that is not text".to_owned();
    assert_eq!(told.iter().filter(|line| **line == failed).count(), 2, "{told:#?}");
    assert!(told.contains(&"10:00:00 executed once@10:00:00".to_owned()), "{told:#?}");
}

/// Runs tasks, and panics when it is let go of.
#[derive(Debug)]
struct ClingingExecutor(BreaksOnDrop);

impl Executor for ClingingExecutor {
    fn start(&self, dispatch: Dispatch) -> BoxFuture<'static, Outcome> {
        let _ = &self.0;
        Inline::new().start(dispatch)
    }
}

#[test]
fn an_executor_and_a_store_that_panic_when_they_are_removed_are_removed() {
    let world = World::new(|builder| {
        builder
            .executor("clinging", ClingingExecutor(BreaksOnDrop))
            .executor("left", ClingingExecutor(BreaksOnDrop))
            .store("clinging", FaultyStore::holding(BreaksOnDrop))
            .store("left", FaultyStore::holding(BreaksOnDrop))
    });

    assert_eq!(world.wait(world.scheduler.remove_executor("clinging")), Ok(()));
    assert_eq!(world.wait(world.scheduler.remove_store("clinging")), Ok(()));
    world.told();
    world.add(JobSpec::now("tick").id("once"));
    assert!(world.told().contains(&"10:00:00 executed once@10:00:00".to_owned()));

    assert_eq!(world.wait(world.scheduler.shutdown(ShutdownMode::Wait)), Ok(()));
    assert_eq!(world.wait(world.scheduler.health()).event_loop, LoopState::Ended);
}

/// Ends each run as a success, and panics when the run's future is dropped.
#[derive(Debug)]
struct ClingingRuns;

impl Executor for ClingingRuns {
    fn start(&self, _: Dispatch) -> BoxFuture<'static, Outcome> {
        struct Run {
            _leftover: BreaksOnDrop,
        }

        impl Future for Run {
            type Output = Outcome;

            fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Outcome> {
                std::task::Poll::Ready(Outcome::Ok(7.into()))
            }
        }
        Box::pin(Run { _leftover: BreaksOnDrop })
    }
}

#[test]
fn the_outcome_of_a_run_stands_whatever_its_leftovers_do() {
    let world = World::new(|builder| builder.executor("clinging", ClingingRuns));

    world.add(JobSpec::now("tick").id("once").executor("clinging"));

    assert!(world.told().contains(&"10:00:00 executed once@10:00:00 -> 7".to_owned()));
}
