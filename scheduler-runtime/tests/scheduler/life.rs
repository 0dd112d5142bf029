//! The life of a scheduler, and its parts.

use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::{
    ErrorKind, EventMask, JobSpec, Outcome, PartialOptions,
    engine::{SchedulerState, ShutdownMode},
    trigger::{Cron, Date, Interval},
};
use scheduler_executors::{Inline, task};
use scheduler_runtime::Scheduler;
use scheduler_stores::MemoryStore;
use scheduler_testkit::SimulatedRuntime;

use crate::{
    stage::{FaultyStore, Hand},
    world::{World, clock},
};

#[test]
fn a_scheduler_goes_from_stopped_over_running_and_paused_to_shut_down() {
    let world = World::stopped(|builder| builder);
    let state = || world.wait(world.scheduler.state());
    assert_eq!(state(), SchedulerState::Stopped);
    assert_eq!(world.wait(world.scheduler.pause()).unwrap_err().kind(), ErrorKind::NotRunning);
    assert_eq!(world.wait(world.scheduler.resume()).unwrap_err().kind(), ErrorKind::NotRunning);
    assert!(!world.wait(world.scheduler.is_running()));

    world.wait(world.scheduler.start()).unwrap();
    assert_eq!(state(), SchedulerState::Running);
    assert_eq!(world.wait(world.scheduler.start()).unwrap_err().kind(), ErrorKind::AlreadyStarted);
    assert_eq!(world.wait(world.scheduler.start_paused()).unwrap_err().kind(), ErrorKind::AlreadyStarted);
    world.wait(world.scheduler.pause()).unwrap();
    world.wait(world.scheduler.pause()).unwrap();
    assert_eq!(state(), SchedulerState::Paused);
    assert!(world.wait(world.scheduler.is_running()));
    world.wait(world.scheduler.resume()).unwrap();
    world.wait(world.scheduler.resume()).unwrap();
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    assert_eq!(state(), SchedulerState::ShutDown);

    assert_eq!(world.told(), ["10:00:00 started", "10:00:00 paused", "10:00:00 resumed", "10:00:00 shut down"]);
}

#[test]
fn a_scheduler_that_is_started_paused_runs_nothing_until_it_is_resumed() {
    let world = World::stopped(|builder| builder);
    world.wait(world.scheduler.start_paused()).unwrap();
    world.add(JobSpec::now("tick").id("once"));
    world.advance(60);
    assert_eq!(world.told(), ["10:00:00 started", "10:00:00 added once"]);

    world.wait(world.scheduler.resume()).unwrap();

    assert_eq!(
        world.told(),
        [
            "10:01:00 resumed",
            "10:01:00 submitted once@10:00:00",
            "10:01:00 executed once@10:00:00",
            "10:01:00 finished once"
        ]
    );
}

#[test]
fn stores_and_executors_come_and_go() {
    let world = World::new(|builder| builder);
    world.wait(world.scheduler.add_store("other", MemoryStore::new())).unwrap();
    world.wait(world.scheduler.add_executor("inline", Inline::new())).unwrap();
    let error = world.wait(world.scheduler.add_store("other", MemoryStore::new())).unwrap_err();
    assert_eq!(error.to_string(), "store `other` is there already; remove it first or choose another name");
    let error = world.wait(world.scheduler.add_executor("inline", Inline::new())).unwrap_err();
    assert_eq!(error.to_string(), "executor `inline` is there already; remove it first or choose another name");
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("there").store("other").executor("inline"));
    world.advance(10);

    world.wait(world.scheduler.remove_executor("inline")).unwrap();
    world.advance(10);
    world.wait(world.scheduler.remove_store("other")).unwrap();
    world.advance(60);

    assert_eq!(
        world.told(),
        [
            "10:00:00 store other added",
            "10:00:00 executor inline added",
            "10:00:00 added there",
            "10:00:10 submitted there@10:00:10",
            "10:00:10 executed there@10:00:10",
            "10:00:10 executor inline removed",
            "10:00:20 declined there: this node has no executor `inline`",
            "10:00:20 store other removed",
        ]
    );
    let error = world.wait(world.scheduler.remove_store("other")).unwrap_err();
    assert_eq!(error.to_string(), "there is no store `other`; the scheduler has `default`");
    let error = world.wait(world.scheduler.remove_executor("inline")).unwrap_err();
    assert_eq!(error.to_string(), "there is no executor `inline`; the scheduler has `default`");
}

/// As by a web process of the next release, which adds jobs and runs none.
#[test]
fn a_job_for_a_task_that_no_running_node_knows_is_told_of_when_it_is_due() {
    let store = MemoryStore::new();
    let world = World::new(|builder| builder.store("default", store.clone()));
    world.advance(10);
    let web =
        Scheduler::builder(world.runtime.clone()).store("default", store).task("next", || async {}).build().unwrap();
    world.wait(web.add_job(JobSpec::now("next").id("at once"))).unwrap();
    world.wait(web.add_job(JobSpec::new("next", Interval::seconds(90)).id("later"))).unwrap();
    world.advance(120);
    assert_eq!(
        world.told(),
        [
            "10:00:15 declined at once: this node has no task `next`",
            "10:01:45 declined later: this node has no task `next`",
        ]
    );
}

/// As with SQLite, MySQL, MongoDB, etcd, ZooKeeper and RethinkDB, which tell of a change without its time.
#[test]
fn where_a_store_does_not_say_when_a_job_is_due_one_without_a_node_is_told_of_within_a_minute_however_far_ahead_it_was()
{
    let store = FaultyStore::default().without_times();
    let world = World::new(|builder| builder.store("default", store.clone()));
    world.advance(10);
    let web =
        Scheduler::builder(world.runtime.clone()).store("default", store).task("next", || async {}).build().unwrap();
    let hours = [1, 12, 100, 1_000];
    for hours in hours {
        let spec = JobSpec::new("next", Date::at(clock("10:00:00") + TimeDelta::hours(hours)));
        world.wait(web.add_job(spec.id(format!("after {hours} h")))).unwrap();
    }
    for hours in hours {
        let due = clock("10:00:00") + TimeDelta::hours(hours);
        world.runtime.run_until(due);
        assert_eq!(world.told(), [""; 0], "{hours} h");
        world.runtime.run_until(due + TimeDelta::seconds(60));
        let told = world.told();
        assert!(told.len() == 1 && told[0].contains(&format!("declined after {hours} h")), "{told:?}");
    }
}

#[test]
fn a_task_that_is_removed_leaves_its_jobs_to_others_and_one_that_is_added_takes_them_up() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.told();

    world.wait(world.scheduler.remove_task("tick")).unwrap();
    world.advance(60);
    assert_eq!(world.told(), ["10:00:10 declined clock: this node has no task `tick`"]);
    let error = world.wait(world.scheduler.remove_task("tick")).unwrap_err();
    assert_eq!(error.to_string(), "this scheduler has no task `tick`");
    world.wait(world.scheduler.add_task(task("tick", || async {}))).unwrap();

    assert_eq!(
        world.told(),
        [
            "10:01:00 coalesced clock@10:00:10..10:00:50 (5)",
            "10:01:00 submitted clock@10:01:00",
            "10:01:00 executed clock@10:01:00"
        ]
    );
}

#[test]
fn a_scheduler_with_nothing_due_does_not_wake() {
    let world = World::new(|builder| builder);
    world.wait(world.scheduler.wakeup()).unwrap();
    // Once it looks for what dead nodes left behind, when it has been here for as long as their leases.
    world.advance(60);
    let before = world.runtime.wake_ups();

    world.advance(86_400);

    assert_eq!(world.runtime.wake_ups(), before, "nothing is due, so nothing wakes");
}

#[test]
fn job_defaults_hold_where_a_description_says_nothing() {
    let defaults = PartialOptions::default().max_instances(5).history(7);
    let world = World::new(|builder| builder.job_defaults(defaults).timezone_named("Europe/Berlin"));

    let job = world.add(JobSpec::new("tick", Cron::crontab("0 12 * * *").unwrap()).history(9));

    assert_eq!((job.body.options.max_instances.get(), job.body.options.history), (5, 9));
    // Noon in Berlin.
    assert_eq!(job.next_fire_time, Some(clock("11:00:00")));
}

#[test]
fn each_job_runs_on_the_executor_that_it_names() {
    let (fast, slow) = (Hand::default(), Hand::default());
    let world = World::new(|builder| builder.executor("fast", fast.clone()).executor("slow", slow.clone()));

    world.add(JobSpec::now("tick").id("one").executor("fast"));
    world.add(JobSpec::now("tick").id("two").executor("slow"));
    world.add(JobSpec::now("tick").id("three").executor("slow"));

    assert_eq!((fast.count(), slow.count()), (1, 2));
    assert_eq!(fast.end(Outcome::Ok(serde_json::Value::Null)).job_id, "one");
}

#[test]
fn no_more_runs_run_at_once_than_the_run_limit_says() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()).run_limit(2));
    for id in ["one", "two", "three"] {
        world.add(JobSpec::now("tick").id(id));
    }
    assert_eq!(hand.count(), 2);

    hand.end(Outcome::Ok(serde_json::Value::Null));
    world.advance(0);

    assert_eq!(hand.count(), 2);
    hand.end(Outcome::Ok(serde_json::Value::Null));
    assert_eq!(hand.end(Outcome::Ok(serde_json::Value::Null)).job_id, "three");
}

#[test]
fn a_clock_that_is_set_forward_is_noticed_within_a_minute_and_nothing_is_early_when_it_is_set_back() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Cron::crontab("0 12 * * *").unwrap()).id("noon"));
    world.told();

    world.runtime.step_clock(TimeDelta::hours(2));
    world.advance(60);
    let told = world.told();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].ends_with("clock of Node stepped 7200s"), "{told:#?}");
    assert!(told[1].ends_with("submitted noon@12:00:00"), "{told:#?}");

    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Cron::crontab("0 12 * * *").unwrap()).id("noon"));
    world.told();
    world.runtime.step_clock(TimeDelta::hours(-1));
    world.advance(2 * 3_600);
    let told = world.told();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].ends_with("clock of Node stepped -3600s"), "{told:#?}");
    world.runtime.run_until(clock("12:00:00"));
    assert_eq!(world.told(), ["12:00:00 submitted noon@12:00:00", "12:00:00 executed noon@12:00:00"]);
}

#[test]
fn handles_and_their_calls_go_between_threads() {
    fn goes<T: Send>(_: &T) {}
    let world = World::new(|builder| builder);
    let scheduler = &world.scheduler;

    goes(scheduler);
    goes(&scheduler.add_job(JobSpec::now("tick")));
    goes(&scheduler.print_jobs(&mut Vec::new()));
    goes(&scheduler.shutdown(ShutdownMode::Wait));
    goes(&scheduler.events(EventMask::ALL).next());
    goes(&world.add(JobSpec::now("tick")).refresh());
}

#[test]
fn options_out_of_their_range_are_errors_of_the_last_step() {
    let builder = || Scheduler::builder(SimulatedRuntime::starting_at(clock("10:00:00")));
    let defaults = PartialOptions::default();
    for (builder, error) in [
        (builder().node_label("", "eu-1"), "a label of the node has no name; give it one, as in `zone`"),
        (
            builder().node_label("zone", "x".repeat(4_093)),
            "the labels of the node have 4097 bytes, at most 4096 are allowed",
        ),
        (builder().run_limit(0), "run limit 0: at least 1 is needed; to run nothing, start the scheduler paused"),
        (
            builder().job_defaults(defaults.clone().max_instances(0)),
            "job defaults: `max_instances` of 0: at least 1; to keep a job from running, pause it",
        ),
        (
            builder().job_defaults(defaults.timeout(Duration::ZERO)),
            "job defaults: `timeout` of 0ns: at least 1ms, or none for no limit",
        ),
    ] {
        let found = builder.build().unwrap_err();
        assert_eq!((found.kind(), &*found.to_string()), (ErrorKind::Config, error));
    }
}

#[test]
fn a_lease_that_is_too_short_or_too_long_is_an_error_of_the_last_step() {
    let build = |lease| Scheduler::builder(SimulatedRuntime::starting_at(clock("10:00:00"))).lease(lease).build();
    let year = Duration::from_secs(365 * 86_400);
    for (lease, error) in [
        (Duration::from_millis(99), "lease 99ms: at least 100ms are needed"),
        (year + Duration::from_secs(1), "lease 31536001s: at most 31536000s are allowed"),
        (Duration::MAX, "lease 18446744073709551615.999999999s: at most 31536000s are allowed"),
    ] {
        let found = build(lease).unwrap_err();
        assert_eq!((found.kind(), &*found.to_string()), (ErrorKind::Config, error));
    }

    let world = World::new(|builder| builder.lease(year));
    world.add(JobSpec::now("tick").id("once"));
    world.advance(1);
    assert_eq!(world.told().last().unwrap(), "10:00:00 finished once");
}
