//! Executors that take only so many runs at once, and priorities.

use std::time::Duration;

use scheduler_core::{JobSpec, Verdict, engine::ShutdownMode, trigger::Interval};
use scheduler_executors::Spawn;
use scheduler_runtime::{Builder, Runtime};
use scheduler_stores::MemoryStore;

use crate::world::{World, clock};

/// An executor for two runs at once, and a task that takes ten seconds.
fn narrow(builder: Builder, world_clock: scheduler_testkit::SimulatedRuntime) -> Builder {
    builder.executor("default", Spawn::new().limit(2)).task("slow", move || {
        let clock = world_clock.clone();
        async move { clock.sleep(Duration::from_secs(10)).await }
    })
}

fn world() -> World {
    let runtime = crate::world::at("10:00:00");
    let its_clock = runtime.clone();
    World::new_on(runtime, |builder| narrow(builder, its_clock))
}

/// Jobs that are due at one instant.
fn jobs(world: &World, jobs: &[(&str, i32)]) {
    let spec = |(id, priority): &(&str, i32)| {
        JobSpec::new("slow", Interval::days(1)).first_fire_time(clock("10:00:05")).id(*id).priority(*priority)
    };
    let added = world.wait(world.scheduler.add_jobs(jobs.iter().map(spec).collect()));
    assert!(added.iter().all(Result::is_ok), "{added:?}");
    world.told();
}

#[test]
fn an_executor_gets_no_more_runs_at_once_than_its_limit() {
    let world = world();
    jobs(&world, &[("a", 0), ("b", 0), ("c", 0)]);

    world.advance(30);

    assert_eq!(
        world.told(),
        [
            "10:00:05 submitted a@10:00:05",
            "10:00:05 submitted b@10:00:05",
            "10:00:05 queued c@10:00:05",
            "10:00:15 submitted c@10:00:05",
            "10:00:15 executed a@10:00:05",
            "10:00:15 executed b@10:00:05",
            "10:00:25 executed c@10:00:05",
        ]
    );
}

#[test]
fn those_of_a_higher_priority_start_first() {
    let world = world();
    jobs(&world, &[("low", -1), ("normal", 0), ("also-normal", 0), ("high", 7), ("higher", 8)]);

    world.advance(30);

    let submitted = |line: String| line.split_once(" submitted ").map(|(_, run)| run.to_owned());
    let order: Vec<_> = world.told().into_iter().filter_map(submitted).collect();
    assert_eq!(order, ["higher@10:00:05", "high@10:00:05", "normal@10:00:05", "also-normal@10:00:05", "low@10:00:05"]);
}

#[test]
fn a_shutdown_leaves_what_waits_to_the_next_scheduler() {
    let store = MemoryStore::new();
    let runtime = crate::world::at("10:00:00");
    let (its_clock, other_clock) = (runtime.clone(), runtime.clone());
    let first = World::new_on(runtime, |builder| narrow(builder, its_clock).store("default", store.clone()));
    jobs(&first, &[("a", 0), ("b", 0), ("c", 0)]);
    first.advance(5);

    first.wait(first.scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    assert_eq!(first.told().last().unwrap(), "10:00:15 shut down");
    let second = first.beside(|builder| narrow(builder, other_clock).store("default", store));
    second.advance(10);

    let told = second.told();
    assert_eq!(told.last().unwrap(), "10:00:25 executed c@10:00:05");
}

#[test]
fn a_job_that_is_removed_while_its_run_waits_does_not_run() {
    let world = world();
    jobs(&world, &[("a", 2), ("b", 1), ("c", 0)]);
    world.advance(5);
    let waiting = world.wait(world.scheduler.job("c")).unwrap().unwrap();
    world.told();

    world.wait(waiting.remove()).unwrap();
    world.advance(30);

    assert_eq!(
        world.told(),
        [
            "10:00:05 removed c",
            "10:00:05 cancelled c@10:00:05",
            "10:00:15 executed a@10:00:05",
            "10:00:15 executed b@10:00:05",
        ]
    );
}

#[test]
fn the_time_that_a_run_waits_does_not_count_for_its_timeout() {
    let world = world();
    let spec = |id: &str| JobSpec::now("slow").id(id).timeout(Duration::from_secs(11));
    let added = world.wait(world.scheduler.add_jobs(["a", "b", "c", "d", "e"].map(spec).into()));
    assert!(added.iter().all(Result::is_ok));

    world.advance(40);

    let ended: Vec<_> = world.told().into_iter().filter(|line| line.contains("executed")).collect();
    assert_eq!(ended.len(), 5, "{ended:?}");
}

#[test]
fn a_limit_of_nothing_is_a_limit_of_one() {
    let world = World::new(|builder| builder.executor("default", Spawn::new().limit(0)));
    let job = world.add(JobSpec::now("tick").id("once").when_finished(scheduler_core::WhenFinished::Keep));
    assert_eq!(world.wait(job.refresh()).unwrap().totals.of(Verdict::Ok), 1);
}
