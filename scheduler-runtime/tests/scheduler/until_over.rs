//! A job is there until its last run has ended, and whoever was told of a run is told of its end.

use std::time::Duration;

use scheduler_core::{
    Conflict, ErrorKind, JobChange, JobSpec, JobState, Outcome, Overlap, Retry, RunState, Verdict, Wait, WhenFinished,
    trigger::{Date, First, Interval},
};
use scheduler_runtime::Job;
use scheduler_stores::MemoryStore;
use serde_json::Value;

use crate::{
    stage::Hand,
    world::{World, clock},
};

/// A one-shot for 10:00:10.
fn once() -> JobSpec {
    let retry = Retry::attempts(5).backoff(Duration::from_secs(60)).factor(1.0).jitter(0.0);
    JobSpec::new("tick", Date::at(clock("10:00:10"))).id("once").retry(retry)
}

/// It is 10:00:20, and the first attempt has failed at 10:00:10. The next one is due at 10:01:10.
fn failed_once() -> (World, Hand, Job) {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    let job = world.add(once());
    world.advance(10);
    end(&world, &hand, Outcome::Error("no paper".to_owned()));
    world.advance(10);
    world.told();
    (world, hand, job)
}

fn end(world: &World, hand: &Hand, outcome: Outcome) {
    hand.end(outcome);
    world.advance(0);
}

#[test]
fn a_one_shot_that_is_retried_is_listed_found_and_explained() {
    let (world, hand, job) = failed_once();
    let scheduler = &world.scheduler;

    let listed = world.wait(scheduler.jobs()).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].state, listed[0].next_fire_time, listed[0].is_ending()), (&JobState::Active, None, true));
    assert_eq!(listed[0].to_string(), "tick (trigger: date 2026-11-21T10:00:10Z, waits for the end of its run)");
    assert_eq!(world.wait(scheduler.job("once")).unwrap().unwrap().uid, job.uid);
    assert_eq!(world.wait(scheduler.runs("once", 10)).unwrap()[0].state, RunState::Waiting(Wait::Retry));
    let why = |time| world.wait(scheduler.explain("once", clock(time))).unwrap().to_string();
    assert!(why("10:00:10").contains("its attempt 1 failed, and the next one starts at"), "{}", why("10:00:10"));
    assert!(why("10:00:30").contains("last fire time"), "{}", why("10:00:30"));
    assert_eq!(world.wait(scheduler.export_jobs()).unwrap(), []);

    world.advance(50);
    end(&world, &hand, Outcome::Ok(Value::Null));
    assert_eq!(
        world.told(),
        ["10:01:10 submitted once@10:00:10 #2", "10:01:10 executed once@10:00:10 #2", "10:01:10 finished once"]
    );
    assert!(world.wait(scheduler.job("once")).unwrap().is_none());
}

#[test]
fn its_id_is_taken_and_a_replacement_with_the_same_trigger_lets_it_end() {
    let (world, hand, job) = failed_once();
    let refused = world.refused(once());
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(world.add(once().on_conflict(Conflict::Keep)).uid, job.uid);
    let replaced = world.add(once().name("anew").on_conflict(Conflict::Replace));
    assert_eq!((replaced.uid, replaced.next_fire_time, replaced.is_ending()), (job.uid, None, true));

    world.advance(50);
    end(&world, &hand, Outcome::Ok(Value::Null));

    assert_eq!(
        world.told(),
        [
            "10:00:20 modified once",
            "10:01:10 submitted once@10:00:10 #2",
            "10:01:10 executed once@10:00:10 #2",
            "10:01:10 finished once"
        ]
    );
    // Now it is free.
    world.add(JobSpec::new("tick", Interval::hours(1)).id("once"));
}

#[test]
fn with_another_trigger_it_has_fire_times_again_and_stays_when_its_run_ends() {
    for is_replaced in [true, false] {
        let (world, hand, job) = failed_once();
        let trigger = Interval::hours(1);
        let changed = match is_replaced {
            true => world.add(JobSpec::new("tick", trigger).id("once").on_conflict(Conflict::Replace)),
            false => world.wait(world.scheduler.reschedule_job("once", trigger)).unwrap(),
        };
        assert_eq!((changed.uid, changed.next_fire_time), (job.uid, Some(clock("11:00:20"))));
        world.advance(50);
        end(&world, &hand, Outcome::Ok(Value::Null));
        let job = world.wait(job.refresh()).unwrap();
        assert_eq!((job.totals.of(Verdict::Ok), job.next_fire_time), (1, Some(clock("11:00:20"))));
    }
}

#[test]
fn it_can_be_kept_run_once_more_or_given_another_time() {
    let (world, hand, job) = failed_once();
    world.wait(job.run_now()).unwrap();
    end(&world, &hand, Outcome::Ok(Value::Null));
    assert_eq!(
        world.told(),
        ["10:00:20 queued once@10:00:20", "10:00:20 submitted once@10:00:20", "10:00:20 executed once@10:00:20"]
    );
    let later = JobChange::default().next_fire_time(clock("10:00:40"));
    world.wait(world.scheduler.modify_job("once", later)).unwrap();
    world.advance(20);
    end(&world, &hand, Outcome::Ok(Value::Null));
    assert_eq!(
        world.told(),
        ["10:00:20 modified once", "10:00:40 submitted once@10:00:40", "10:00:40 executed once@10:00:40"]
    );
    let kept = JobChange::default().when_finished(WhenFinished::Keep);
    assert_eq!(world.wait(world.scheduler.modify_job("once", kept)).unwrap().state, JobState::Kept);
    world.advance(30);
    end(&world, &hand, Outcome::Ok(Value::Null));
    assert_eq!(world.wait(job.refresh()).unwrap().totals.of(Verdict::Ok), 3);
}

#[test]
fn while_it_is_paused_its_run_is_not_repeated_and_afterwards_it_is_not_run_anew() {
    let (world, hand, job) = failed_once();
    assert_eq!(world.wait(world.scheduler.pause_job("once")).unwrap().state, JobState::Paused);
    world.advance(600);
    assert_eq!(world.told(), ["10:00:20 modified once", "10:00:20 paused once"]);

    assert!(world.wait(world.scheduler.resume_job("once")).unwrap().is_ending());
    end(&world, &hand, Outcome::Ok(Value::Null));

    assert_eq!(
        world.told(),
        [
            "10:10:20 modified once",
            "10:10:20 submitted once@10:00:10 #2",
            "10:10:20 executed once@10:00:10 #2",
            "10:10:20 finished once"
        ]
    );
    assert!(world.wait(job.refresh()).is_err());
}

#[test]
fn a_job_whose_last_run_ended_while_it_was_paused_is_over_when_it_is_resumed() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    let job = world.add(once());
    world.advance(10);
    world.wait(job.pause()).unwrap();
    end(&world, &hand, Outcome::Ok(Value::Null));
    assert_eq!(world.wait(job.refresh()).unwrap().state, JobState::Paused);
    world.told();

    world.wait(job.resume()).unwrap();

    assert_eq!(world.told(), ["10:00:10 modified once", "10:00:10 finished once"]);
    assert_eq!(hand.count(), 0);
}

#[test]
fn a_run_that_is_to_be_repeated_is_told_cancelled_when_its_job_is_removed() {
    for is_all in [false, true] {
        let (world, _, _) = failed_once();
        match is_all {
            false => world.wait(world.scheduler.remove_job("once")).unwrap(),
            true => assert_eq!(world.wait(world.scheduler.remove_all_jobs()).unwrap(), 1),
        }
        world.advance(600);
        let removed = if is_all { "10:00:20 all 1 jobs of default removed" } else { "10:00:20 removed once" };
        assert_eq!(world.told(), ["10:00:20 cancelled once@10:00:10", removed]);
    }
}

#[test]
fn a_queued_run_is_told_cancelled_when_its_job_is_removed_and_a_running_one_ends() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    let every = Interval::seconds(10).first(First::Now);
    let job = world.add(JobSpec::new("tick", every).id("long").overlap(Overlap::Queue(2)));
    world.advance(20);
    world.told();

    world.wait(job.remove()).unwrap();
    end(&world, &hand, Outcome::Ok(Value::Null));

    assert_eq!(
        world.told(),
        [
            "10:00:20 cancelled long@10:00:10",
            "10:00:20 cancelled long@10:00:20",
            "10:00:20 removed long",
            "10:00:20 executed long@10:00:00"
        ]
    );
}

#[test]
fn the_node_that_removes_a_job_tells_of_the_end_of_what_waited() {
    let (store, hand) = (MemoryStore::new(), Hand::default());
    let retry = Retry::attempts(3).backoff(Duration::from_secs(60)).jitter(0.0);
    let world = World::new(|builder| builder.store("default", store.clone()).executor("default", hand.clone()));
    world.add(JobSpec::new("tick", Date::at(clock("10:00:10"))).id("once").retry(retry.clone()));
    let spec = JobSpec::new("tick", Date::at(clock("10:00:10"))).id("two").retry(retry).overlap(Overlap::Allow);
    let two = world.add(spec);
    world.advance(10);
    world.wait(two.run_now()).unwrap();
    end(&world, &hand, Outcome::Error("no paper".to_owned()));
    world.told();
    let other = world.beside(|builder| builder.store("default", store));

    other.wait(other.scheduler.remove_job("once")).unwrap();
    assert_eq!(other.told(), ["10:00:10 cancelled once@10:00:10", "10:00:10 removed once"]);

    // One that fails in a job that another node has removed is not repeated, whatever else runs of it.
    other.wait(other.scheduler.remove_job("two")).unwrap();
    end(&world, &hand, Outcome::Error("no ink".to_owned()));
    assert_eq!(world.told(), ["10:00:10 error two@10:00:10: no ink"]);
    end(&world, &hand, Outcome::Ok(Value::Null));
    world.advance(600);
    assert_eq!(world.told(), ["10:00:10 executed two@10:00:10", "10:00:10 finished two"]);
}
