//! Runs that somebody asks for, and runs that somebody asks to stop.

use scheduler_core::{
    ErrorKind, JobSpec, JobState, Outcome, Overlap, RunId, RunState, Verdict, WhenFinished,
    store::{StoreLimits, Wakes},
    trigger::{First, Interval},
};
use scheduler_runtime::Job;
use scheduler_stores::MemoryStore;
use serde_json::Value;

use crate::{
    stage::{FaultyStore, Hand},
    world::{World, clock, time},
};

/// A job that fires every ten seconds and runs until it is told to end; its first run began at 10:00:00.
fn long(describe: impl FnOnce(JobSpec) -> JobSpec) -> (World, Hand, Job) {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    let job = world.add(describe(JobSpec::new("tick", Interval::seconds(10).first(First::Now)).id("long")));
    world.advance(0);
    world.told();
    (world, hand, job)
}

fn end(world: &World, hand: &Hand, outcome: Outcome) {
    hand.end(outcome);
    world.advance(0);
}

fn verdicts(world: &World, job: &Job) -> Vec<(String, RunState)> {
    let runs = world.wait(job.runs(10)).unwrap();
    runs.iter().map(|run| (time(run.fire_time), run.state)).collect()
}

#[test]
fn a_job_is_run_now_beside_its_schedule() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.advance(3);
    world.told();

    let run = world.wait(job.run_now()).unwrap();
    world.advance(7);

    assert_eq!(
        world.told(),
        [
            "10:00:03 queued clock@10:00:03",
            "10:00:03 submitted clock@10:00:03",
            "10:00:03 executed clock@10:00:03",
            "10:00:10 submitted clock@10:00:10",
            "10:00:10 executed clock@10:00:10",
        ]
    );
    let runs = world.wait(job.runs(10)).unwrap();
    assert_eq!((runs[1].id, runs[1].verdict()), (run, Some(Verdict::Ok)));
    assert_eq!(run.to_string().parse(), Ok(run));
    assert_eq!(world.wait(job.refresh()).unwrap().next_fire_time, Some(clock("10:00:20")));
}

#[test]
fn without_a_free_slot_a_run_now_is_skipped_by_default() {
    let (world, hand, job) = long(|job| job);
    world.advance(3);

    world.wait(job.run_now()).unwrap();
    end(&world, &hand, Outcome::Ok(Value::Null));

    assert_eq!(
        world.told(),
        ["10:00:03 queued long@10:00:03", "10:00:03 skipped long@10:00:03", "10:00:03 executed long@10:00:00"]
    );
}

#[test]
fn a_run_now_waits_for_a_slot_if_there_is_a_place_and_takes_it_from_a_fire_time() {
    let (world, hand, job) = long(|job| job.overlap(Overlap::Queue(1)));
    world.advance(3);

    world.wait(job.run_now()).unwrap();
    world.wait(job.run_now()).unwrap();
    world.advance(7);
    end(&world, &hand, Outcome::Ok(Value::Null));

    assert_eq!(
        world.told(),
        [
            "10:00:03 queued long@10:00:03",
            "10:00:03 queued long@10:00:03",
            "10:00:03 skipped long@10:00:03",
            "10:00:10 skipped long@10:00:10",
            "10:00:10 executed long@10:00:00",
            "10:00:10 submitted long@10:00:03",
        ]
    );
}

#[test]
fn a_run_now_that_cancels_the_previous_ones_waits_for_their_end() {
    let (world, hand, job) = long(|job| job.overlap(Overlap::CancelPrevious));
    world.advance(3);

    world.wait(job.run_now()).unwrap();
    assert!(hand.is_cancelled(0));
    end(&world, &hand, Outcome::Cancelled);

    assert_eq!(
        world.told(),
        ["10:00:03 queued long@10:00:03", "10:00:03 cancelled long@10:00:00", "10:00:03 submitted long@10:00:03"]
    );
}

#[test]
fn with_overlap_allowed_a_run_now_starts_at_once() {
    let (world, hand, job) = long(|job| job.overlap(Overlap::Allow));
    world.wait(job.run_now()).unwrap();
    assert_eq!(hand.count(), 2);
}

#[test]
fn a_paused_job_is_run_now_and_stays_paused() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.wait(job.pause()).unwrap();
    world.advance(3);
    world.told();

    world.wait(job.run_now()).unwrap();
    world.advance(100);

    assert_eq!(
        world.told(),
        ["10:00:03 queued clock@10:00:03", "10:00:03 submitted clock@10:00:03", "10:00:03 executed clock@10:00:03"]
    );
    let job = world.wait(job.refresh()).unwrap();
    assert_eq!((&job.state, job.next_fire_time, job.due), (&JobState::Paused, None, None));
}

#[test]
fn a_job_that_is_paused_before_its_run_now_was_claimed_still_runs_it() {
    let world = World::stopped(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.wait(job.run_now()).unwrap();
    world.wait(job.pause()).unwrap();
    world.told();

    world.wait(world.scheduler.start()).unwrap();
    world.advance(100);

    assert_eq!(
        world.told(),
        ["10:00:00 started", "10:00:00 submitted clock@10:00:00", "10:00:00 executed clock@10:00:00"]
    );
}

#[test]
fn a_one_shot_that_is_over_and_kept_is_run_again() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::now("tick").id("once").when_finished(WhenFinished::Keep));
    world.advance(60);
    world.told();

    world.wait(job.run_now()).unwrap();
    world.advance(60);

    assert_eq!(
        world.told(),
        ["10:01:00 queued once@10:01:00", "10:01:00 submitted once@10:01:00", "10:01:00 executed once@10:01:00"]
    );
    let job = world.wait(job.refresh()).unwrap();
    assert_eq!((&job.state, job.totals.of(Verdict::Ok)), (&JobState::Kept, 2));
}

#[test]
fn a_fixed_delay_goes_on_after_a_run_now() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    let every = Interval::after_end(std::time::Duration::from_secs(10));
    let job = world.add(JobSpec::new("tick", every).id("delay"));
    world.advance(3);
    world.told();

    world.wait(job.run_now()).unwrap();
    world.advance(9);
    end(&world, &hand, Outcome::Ok(Value::Null));
    world.advance(20);

    assert_eq!(
        world.told(),
        [
            "10:00:03 queued delay@10:00:03",
            "10:00:03 submitted delay@10:00:03",
            "10:00:10 skipped delay@10:00:10",
            "10:00:12 executed delay@10:00:03",
            "10:00:22 submitted delay@10:00:22",
        ]
    );
}

#[test]
fn a_run_now_outlives_the_node_that_was_asked_for_it() {
    let jobs = MemoryStore::new();
    let first = World::stopped(|builder| builder.store("default", jobs.clone()));
    let job = first.add(JobSpec::new("tick", Interval::hours(1)).id("clock"));
    let run = first.wait(job.run_now()).unwrap();

    let second = first.beside(|builder| builder.store("default", jobs));
    second.advance(0);

    let runs = second.wait(second.scheduler.runs("clock", 10)).unwrap();
    assert_eq!((runs.len(), runs[0].id, runs[0].verdict()), (1, run, Some(Verdict::Ok)));
}

#[test]
fn a_job_that_cannot_be_run_now_says_why() {
    let world = World::new(|builder| builder);
    let error = world.wait(world.scheduler.run_job_now("nobody")).unwrap_err();
    assert_eq!(error.to_string(), "job `nobody` is in no store of this scheduler");
    assert!(error.is_not_found());
}

#[test]
fn a_running_run_is_told_to_stop_at_once() {
    let (world, hand, job) = long(|job| job);
    let run = world.wait(job.runs(1)).unwrap()[0].id;
    assert!(!hand.is_cancelled(0));

    world.wait(job.cancel_run(run)).unwrap();

    assert!(hand.is_cancelled(0));
    end(&world, &hand, Outcome::Cancelled);
    assert_eq!(world.told(), ["10:00:00 cancelled long@10:00:00"]);
    assert_eq!(verdicts(&world, &job)[0].1, RunState::Ended(Verdict::Cancelled));
    world.advance(10);
    assert_eq!(world.told(), ["10:00:10 submitted long@10:00:10"]);
}

#[test]
fn a_run_that_does_not_listen_ends_as_it_ends() {
    let (world, hand, job) = long(|job| job);
    let run = world.wait(job.runs(1)).unwrap()[0].id;
    world.wait(job.cancel_run(run)).unwrap();
    end(&world, &hand, Outcome::Ok(Value::Null));
    assert_eq!(world.told(), ["10:00:00 executed long@10:00:00"]);
}

#[test]
fn a_run_that_waits_for_a_slot_is_cancelled_without_one() {
    let (world, hand, job) = long(|job| job.overlap(Overlap::Queue(2)));
    world.advance(20);
    world.told();
    let waiting = world.wait(job.runs(10)).unwrap()[1].id;

    world.wait(job.cancel_run(waiting)).unwrap();
    end(&world, &hand, Outcome::Ok(Value::Null));

    assert_eq!(
        world.told(),
        ["10:00:20 cancelled long@10:00:10", "10:00:20 executed long@10:00:00", "10:00:20 submitted long@10:00:20"]
    );
}

#[test]
fn the_run_of_a_one_shot_or_of_a_removed_job_is_cancelled_too() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    let once = world.add(JobSpec::now("tick").id("once"));
    let removed = world.add(JobSpec::new("tick", Interval::seconds(10).first(First::Now)).id("removed"));
    world.advance(0);
    world.wait(removed.remove()).unwrap();
    assert!(world.wait(removed.refresh()).unwrap_err().is_not_found());

    for job in [&once, &removed] {
        world.wait(job.cancel_run(RunId { uid: job.uid, seq: 1 })).unwrap();
    }

    assert!(hand.is_cancelled(0) && hand.is_cancelled(1));
}

#[test]
fn a_run_that_has_ended_is_left_alone_and_one_that_is_not_there_is_not_found() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10).first(First::Now)).id("clock"));
    world.advance(0);
    let run = world.wait(job.runs(1)).unwrap()[0].id;
    world.told();

    assert_eq!(world.wait(job.cancel_run(run)), Ok(()));
    let error = world.wait(job.cancel_run(RunId { seq: 7, ..run })).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), format!("run {}-7 of job `clock` is not in store `default`", job.uid));
    let error = world.wait(world.scheduler.cancel_run("nobody", run)).unwrap_err();
    assert_eq!(error.to_string(), format!("run {run} of job `nobody` is in no store of this scheduler"));
    assert_eq!(world.told(), Vec::<String>::new());
}

#[test]
fn a_run_of_another_job_is_not_cancelled() {
    let (world, hand, job) = long(|job| job);
    world.add(JobSpec::new("tick", Interval::hours(1)).id("other"));
    let run = world.wait(job.runs(1)).unwrap()[0].id;
    assert!(world.wait(world.scheduler.cancel_run("other", run)).unwrap_err().is_not_found());
    assert!(!hand.is_cancelled(0));
}

#[test]
fn a_run_on_another_node_is_cancelled_at_once_if_the_store_can_tell() {
    assert_eq!(seconds_until_another_node_hears(|limits| limits), 0);
}

#[test]
fn a_run_on_another_node_is_cancelled_with_its_next_life_sign_if_the_store_cannot_tell() {
    let seconds = seconds_until_another_node_hears(|limits| limits.with_wakes(Wakes::Never));
    assert!((1..=5).contains(&seconds), "a third of the lease is 5 s, not {seconds}");
}

/// Two nodes share a store; one cancels what the other runs.
fn seconds_until_another_node_hears(change: impl Fn(StoreLimits) -> StoreLimits) -> u64 {
    let jobs = MemoryStore::new();
    let store = || FaultyStore::over(jobs.clone()).with_limits(&change);
    let hand = Hand::default();
    let first = World::new(|builder| builder.store("default", store()).executor("default", hand.clone()));
    let job = first.add(JobSpec::new("tick", Interval::hours(1).first(First::Now)).id("long"));
    first.advance(3);
    let second = first.beside(|builder| builder.store("default", store()));
    let run = second.wait(second.scheduler.runs("long", 1)).unwrap()[0].id;
    first.told();

    second.wait(second.scheduler.cancel_run("long", run)).unwrap();
    let mut seconds = 0;
    while !hand.is_cancelled(0) {
        assert!(seconds < 60, "it is never told");
        first.advance(1);
        seconds += 1;
    }

    end(&first, &hand, Outcome::Cancelled);
    assert_eq!(first.told().len(), 1);
    assert_eq!(verdicts(&first, &job)[0].1, RunState::Ended(Verdict::Cancelled));
    seconds
}
