//! The table of behaviours: misfire, coalesce, overlap, delivery, conflict, catch-up, history.

use std::time::Duration;

use scheduler_core::{
    Coalesce, Delivery, JobSpec, Outcome, Overlap, Verdict,
    engine::ShutdownMode,
    trigger::{Date, First, Interval},
};
use scheduler_runtime::Job;

use crate::{
    stage::Hand,
    world::{World, clock, time},
};

/// A world that was asleep from 10:00:00 to 10:00:35 while a job was due every ten seconds.
fn overslept(describe: impl FnOnce(JobSpec) -> JobSpec) -> (World, Job) {
    let world = World::new(|builder| builder);
    let job = world.add(describe(JobSpec::new("tick", Interval::seconds(10)).id("clock")));
    world.wait(world.scheduler.pause()).unwrap();
    world.advance(35);
    world.told();
    world.wait(world.scheduler.resume()).unwrap();
    (world, job)
}

#[test]
fn by_default_the_latest_of_the_fire_times_runs_however_late() {
    let (world, _) = overslept(|job| job);

    assert_eq!(
        world.told(),
        [
            "10:00:35 resumed",
            "10:00:35 coalesced clock@10:00:10..10:00:20 (2)",
            "10:00:35 submitted clock@10:00:30",
            "10:00:35 executed clock@10:00:30",
        ]
    );
}

#[test]
fn coalesced_to_the_earliest_the_later_ones_are_given_up() {
    let (world, _) = overslept(|job| job.coalesce(Coalesce::Earliest));

    assert_eq!(
        world.told(),
        [
            "10:00:35 resumed",
            "10:00:35 submitted clock@10:00:10",
            "10:00:35 coalesced clock@10:00:20..10:00:30 (2)",
            "10:00:35 executed clock@10:00:10",
        ]
    );
}

#[test]
fn without_coalescing_each_fire_time_runs_in_order() {
    let (world, _) = overslept(|job| job.coalesce(Coalesce::All));

    assert_eq!(
        world.told(),
        [
            "10:00:35 resumed",
            "10:00:35 submitted clock@10:00:10",
            "10:00:35 queued clock@10:00:20",
            "10:00:35 queued clock@10:00:30",
            "10:00:35 executed clock@10:00:10",
            "10:00:35 submitted clock@10:00:20",
            "10:00:35 executed clock@10:00:20",
            "10:00:35 submitted clock@10:00:30",
            "10:00:35 executed clock@10:00:30",
        ]
    );
}

#[test]
fn fire_times_later_than_the_grace_time_are_missed_before_the_rest_is_coalesced() {
    let (world, job) = overslept(|job| job.misfire_grace_time(Duration::from_secs(20)));

    assert_eq!(
        world.told(),
        [
            "10:00:35 resumed",
            "10:00:35 missed clock@10:00:10",
            "10:00:35 coalesced clock@10:00:20",
            "10:00:35 submitted clock@10:00:30",
            "10:00:35 executed clock@10:00:30",
        ]
    );
    let runs = world.wait(job.runs(10)).unwrap();
    let verdicts: Vec<_> = runs.iter().map(|run| (time(run.fire_time), run.verdict().unwrap())).collect();
    assert_eq!(
        verdicts,
        [
            ("10:00:30".to_owned(), Verdict::Ok),
            ("10:00:20".to_owned(), Verdict::Coalesced),
            ("10:00:10".to_owned(), Verdict::Missed)
        ]
    );
}

#[test]
fn a_one_shot_that_is_too_late_is_missed_and_its_job_is_over() {
    let world = World::new(|builder| builder);
    let spec = JobSpec::new("tick", Date::at(clock("10:00:10"))).id("once");
    world.add(spec.misfire_grace_time(Duration::from_secs(1)));
    world.wait(world.scheduler.pause()).unwrap();
    world.advance(35);
    world.told();

    world.wait(world.scheduler.resume()).unwrap();

    assert_eq!(world.told(), ["10:00:35 resumed", "10:00:35 missed once@10:00:10", "10:00:35 finished once"]);
}

#[test]
fn a_year_of_a_one_second_job_costs_one_run() {
    let world = World::stopped(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(1)).id("clock"));
    world.advance(365 * 86_400);
    world.told();

    world.wait(world.scheduler.start()).unwrap();

    assert_eq!(world.told().len(), 4);
    let totals = world.wait(job.refresh()).unwrap().totals;
    assert_eq!((totals.of(Verdict::Ok), totals.of(Verdict::Coalesced)), (1, 365 * 86_400 - 1));
}

/// A job that fires every ten seconds and whose runs the test ends.
fn long(describe: impl FnOnce(JobSpec) -> JobSpec) -> (World, Hand) {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    world.add(describe(JobSpec::new("tick", Interval::seconds(10).first(First::Now)).id("long")));
    world.told();
    (world, hand)
}

fn end(world: &World, hand: &Hand) {
    hand.end(Outcome::Ok(serde_json::Value::Null));
    world.advance(0);
}

#[test]
fn by_default_a_fire_time_is_skipped_while_its_job_is_running() {
    let (world, hand) = long(|job| job);

    world.advance(25);
    end(&world, &hand);
    world.advance(5);

    assert_eq!(
        world.told(),
        [
            "10:00:10 skipped long@10:00:10",
            "10:00:20 skipped long@10:00:20",
            "10:00:25 executed long@10:00:00",
            "10:00:30 submitted long@10:00:30",
        ]
    );
}

#[test]
fn as_many_run_at_once_as_max_instances_says() {
    let (world, hand) = long(|job| job.max_instances(2));

    world.advance(20);

    assert_eq!(hand.count(), 2);
    assert_eq!(world.told(), ["10:00:10 submitted long@10:00:10", "10:00:20 skipped long@10:00:20"]);
}

#[test]
fn queued_fire_times_run_when_a_slot_is_free_and_further_ones_are_skipped() {
    let (world, hand) = long(|job| job.overlap(Overlap::Queue(2)));

    world.advance(30);
    end(&world, &hand);
    world.advance(1);
    end(&world, &hand);

    assert_eq!(
        world.told(),
        [
            "10:00:10 queued long@10:00:10",
            "10:00:20 queued long@10:00:20",
            "10:00:30 skipped long@10:00:30",
            "10:00:30 executed long@10:00:00",
            "10:00:30 submitted long@10:00:10",
            "10:00:31 executed long@10:00:10",
            "10:00:31 submitted long@10:00:20",
        ]
    );
}

#[test]
fn with_overlap_allowed_all_run() {
    let (world, hand) = long(|job| job.overlap(Overlap::Allow));

    world.advance(30);

    assert_eq!(hand.count(), 4);
}

#[test]
fn a_later_fire_time_cancels_the_previous_run_and_waits_for_its_end() {
    let (world, hand) = long(|job| job.overlap(Overlap::CancelPrevious));

    world.advance(10);
    assert!(hand.is_cancelled(0));
    assert_eq!(world.told(), ["10:00:10 queued long@10:00:10"]);
    world.advance(10);
    // The one that waited gives way to the newer one.
    assert_eq!(world.told(), ["10:00:20 cancelled long@10:00:10", "10:00:20 queued long@10:00:20"]);
    hand.end(Outcome::Cancelled);
    world.advance(0);

    assert_eq!(world.told(), ["10:00:20 cancelled long@10:00:00", "10:00:20 submitted long@10:00:20"]);
}

#[test]
fn an_async_task_is_cancelled_by_the_next_fire_time() {
    let world = World::new(|builder| builder.task("hang", std::future::pending::<()>));
    world.add(JobSpec::new("hang", Interval::seconds(10)).id("long").overlap(Overlap::CancelPrevious));
    world.told();

    world.advance(20);

    assert_eq!(
        world.told(),
        [
            "10:00:10 submitted long@10:00:10",
            "10:00:20 queued long@10:00:20",
            "10:00:20 cancelled long@10:00:10",
            "10:00:20 submitted long@10:00:20",
        ]
    );
}

#[test]
fn a_fixed_delay_counts_from_the_end_of_the_run() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    world.add(JobSpec::new("tick", Interval::after_end(Duration::from_secs(10)).first(First::Now)).id("long"));
    world.told();
    world.advance(7);
    end(&world, &hand);

    world.advance(10);

    assert_eq!(world.told(), ["10:00:07 executed long@10:00:00", "10:00:17 submitted long@10:00:17"]);
}

#[test]
fn a_run_lets_its_removed_job_end() {
    let (world, hand) = long(|job| job.overlap(Overlap::Queue(1)));
    world.advance(10);
    world.told();

    world.wait(world.scheduler.remove_job("long")).unwrap();
    world.advance(60);
    end(&world, &hand);

    let told = world.told();
    assert_eq!(told[..2], ["10:00:10 cancelled long@10:00:10", "10:00:10 removed long"]);
    assert_eq!(told.last().unwrap(), "10:01:10 executed long@10:00:00");
    assert_eq!(hand.count(), 0);
}

#[test]
fn a_running_run_ends_while_its_job_is_paused_and_waiting_ones_wait() {
    let (world, hand) = long(|job| job.overlap(Overlap::Queue(1)));
    world.advance(10);
    world.wait(world.scheduler.pause_job("long")).unwrap();
    world.told();

    end(&world, &hand);
    world.advance(60);
    assert_eq!(world.told(), ["10:00:10 executed long@10:00:00"]);
    world.wait(world.scheduler.resume_job("long")).unwrap();

    let told = world.told();
    assert!(told.contains(&"10:01:10 submitted long@10:00:10".to_owned()), "{told:#?}");
}

#[test]
fn the_schedulers_pause_lets_running_runs_end_and_starts_nothing() {
    let (world, hand) = long(|job| job);
    world.wait(world.scheduler.pause()).unwrap();
    world.advance(20);
    end(&world, &hand);

    assert_eq!(world.told(), ["10:00:00 paused", "10:00:20 executed long@10:00:00"]);
    assert_eq!(hand.count(), 0);
}

#[test]
fn a_run_whose_node_is_gone_is_taken_over_or_lost_as_its_delivery_says() {
    for (delivery, end) in
        [(Delivery::AtLeastOnce, "submitted long@10:00:00 #2"), (Delivery::AtMostOnce, "lost long@10:00:00")]
    {
        let jobs = scheduler_stores::MemoryStore::new();
        let gone = crate::stage::FaultyStore::over(jobs.clone());
        let hand = Hand::default();
        let first = World::new(|builder| builder.store("default", gone.clone()).executor("default", hand.clone()));
        let second = first.beside(|builder| builder.store("default", jobs.clone()).executor("default", hand.clone()));
        let spec = JobSpec::new("tick", Date::at(clock("10:00:00"))).id("long").delivery(delivery);
        first.add(spec);
        assert_eq!(hand.count(), 1);

        gone.go_away();
        first.advance(60);

        let told = second.told();
        assert!(told.iter().any(|line| line.ends_with(end)), "{delivery:?}: {told:#?}");
    }
}

#[test]
fn two_schedulers_on_one_store_never_run_a_fire_time_twice_and_share_max_instances() {
    let jobs = scheduler_stores::MemoryStore::new();
    let hand = Hand::default();
    let first = World::new(|builder| builder.store("default", jobs.clone()).executor("default", hand.clone()));
    let second = first.beside(|builder| builder.store("default", jobs.clone()).executor("default", hand.clone()));
    first.add(JobSpec::new("tick", Interval::seconds(10).first(First::Now)).id("long").max_instances(2));

    first.advance(30);

    assert_eq!(hand.count(), 2);
    let told = [first.told(), second.told()].concat();
    let count = |what: &str| told.iter().filter(|line| line.contains(what)).count();
    assert_eq!((count("submitted"), count("skipped")), (2, 2), "{told:#?}");
}

#[test]
fn what_had_not_started_at_the_shutdown_is_free_at_once() {
    let jobs = scheduler_stores::MemoryStore::new();
    let (hand, other_hand) = (Hand::default(), Hand::default());
    let first = World::new(|builder| builder.store("default", jobs.clone()).executor("default", hand.clone()));
    first.add(JobSpec::new("tick", Interval::seconds(10).first(First::Now)).id("long").overlap(Overlap::Queue(5)));
    first.advance(10);
    first.wait(first.scheduler.shutdown(ShutdownMode::Now)).unwrap();

    let second = first.beside(|builder| builder.store("default", jobs).executor("default", other_hand.clone()));

    assert_eq!(second.told(), Vec::<String>::new());
    assert_eq!(other_hand.end(Outcome::Ok(serde_json::Value::Null)).fire_time, clock("10:00:10"));
}
