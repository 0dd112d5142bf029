//! Health and readiness.

use std::time::Duration;

use scheduler_core::{
    JobSpec, Outcome,
    engine::{Lease, SchedulerState, ShutdownMode, StoreLink},
    store::Wakes,
    trigger::{First, Interval},
};
use scheduler_runtime::{Health, LoopState, Runtime, Scheduler};
use scheduler_testkit::SimulatedRuntime;

use crate::{
    stage::{FaultyStore, Hand, StillRuntime},
    world::{World, at, block_on, clock},
};

fn health(world: &World) -> Health {
    world.wait(world.scheduler.health())
}

/// Live or not, ready or not.
fn verdict(health: &Health) -> &'static str {
    match (health.is_live(), health.is_ready()) {
        (true, true) => "ready",
        (true, false) => "live",
        (false, false) => "dead",
        (false, true) => panic!("dead schedulers are not ready: {health:?}"),
    }
}

#[test]
fn a_scheduler_is_live_while_its_loop_is_and_ready_once_it_is_started() {
    let world = World::stopped(|builder| builder);
    assert_eq!((health(&world).state, verdict(&health(&world))), (Some(SchedulerState::Stopped), "live"));
    world.wait(world.scheduler.start()).unwrap();
    assert_eq!((health(&world).state, verdict(&health(&world))), (Some(SchedulerState::Running), "ready"));
    world.wait(world.scheduler.pause()).unwrap();
    assert_eq!((health(&world).state, verdict(&health(&world))), (Some(SchedulerState::Paused), "ready"));

    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    let ended = health(&world);
    assert_eq!((ended.event_loop, ended.state), (LoopState::Ended, Some(SchedulerState::ShutDown)));
    assert_eq!(verdict(&ended), "live");
}

#[test]
fn a_scheduler_that_is_started_paused_is_ready_though_it_has_asked_its_store_nothing() {
    let world = World::stopped(|builder| {
        builder.store("default", FaultyStore::default().with_limits(|limits| limits.with_wakes(Wakes::Never)))
    });
    world.wait(world.scheduler.start_paused()).unwrap();
    assert_eq!(health(&world).stores[0].link, StoreLink::Untried);
    assert_eq!(verdict(&health(&world)), "ready");
}

#[test]
fn a_scheduler_that_shuts_down_is_not_ready_while_its_runs_end() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    world.add(JobSpec::now("tick"));
    world.advance(1);
    world.scheduler.begin_shutdown(ShutdownMode::Wait).unwrap();
    let ending = health(&world);
    assert_eq!((ending.event_loop, ending.state), (LoopState::Answers, Some(SchedulerState::ShutDown)));
    assert_eq!((ending.stores[0].running, verdict(&ending)), (1, "live"));
    hand.end(Outcome::Ok(().into()));
}

#[test]
fn a_store_that_is_away_makes_a_scheduler_unready_and_not_dead() {
    let (store, hand) = (FaultyStore::default(), Hand::default());
    let world = World::new(|builder| builder.store("default", store.clone()).executor("default", hand.clone()));
    world.add(JobSpec::new("tick", Interval::seconds(10).first(First::Now)));
    world.advance(1);
    assert_eq!((health(&world).stores[0].running, health(&world).stores[0].lease), (1, Lease::Held));
    assert_eq!(health(&world).stores[0].next_due, Some(clock("10:00:10")));

    store.go_away();
    hand.end(Outcome::Ok(().into()));
    world.advance(0);
    let away = health(&world);
    assert_eq!(away.stores[0].link, StoreLink::Down { since: clock("10:00:01"), error: "nobody answers".into() });
    assert_eq!((away.stores[0].running, away.stores[0].unreported), (0, 1));
    assert_eq!(verdict(&away), "live");

    store.come_back();
    world.advance(10);
    assert_eq!(health(&world).stores[0].link, StoreLink::Up);
    assert_eq!(verdict(&health(&world)), "ready");
}

#[test]
fn a_loop_that_nobody_runs_is_stuck_and_that_is_told_in_time() {
    let clock = at("10:00:00");
    let runtime = StillRuntime::new(clock.clone());
    let scheduler = Scheduler::builder(runtime.clone()).build().unwrap();
    clock.advance(Duration::from_secs(90));

    let stuck = block_on(&clock, scheduler.health());

    assert_eq!((stuck.event_loop, stuck.state), (LoopState::Stuck, None));
    assert_eq!(stuck.quiet_for, Duration::from_secs(90));
    assert_eq!(seconds(&clock), 90.5);
    assert_eq!(verdict(&stuck), "dead");

    // A loop that has gone with its runtime is told at once.
    runtime.end();
    let gone = block_on(&clock, scheduler.health());
    assert_eq!((gone.event_loop, seconds(&clock)), (LoopState::Gone, 90.5));
    assert_eq!(verdict(&gone), "dead");
}

fn seconds(runtime: &SimulatedRuntime) -> f64 {
    (runtime.now().utc - clock("10:00:00")).as_seconds_f64()
}

#[test]
fn a_loop_that_answers_says_how_long_it_had_nothing_to_do() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::seconds(40)));
    world.advance(43);
    assert_eq!(health(&world).quiet_for, Duration::from_secs(3));
}

#[test]
fn health_is_json_for_whoever_wants_to_show_it() {
    let store = FaultyStore::default();
    let world = World::new(|builder| builder.store("default", store.clone()));
    store.go_away();
    world.wait(world.scheduler.wakeup()).unwrap();
    let mut json = serde_json::to_value(health(&world)).unwrap();
    json["node"].take();
    assert_eq!(
        json,
        serde_json::json!({
            "event_loop": "answers",
            "quiet_for": 0.0,
            "state": "running",
            "node": null,
            "stores": [{
                "name": "default",
                "link": {"state": "down", "since": "2026-11-21T10:00:00Z", "error": "nobody answers"},
                "lease": "not_needed",
                "running": 0,
                "waiting": 0,
                "settling": 0,
                "unreported": 0,
                "next_due": null,
            }],
        })
    );
}
