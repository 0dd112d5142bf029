//! Custom triggers: registered, missing, failing, panicking.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::{
    ErrorKind, JobChange, JobSpec, JobState,
    engine::ExportedJob,
    trigger::{Custom, CustomTrigger, Interval},
};
use scheduler_runtime::Scheduler;
use scheduler_stores::MemoryStore;
use serde_json::{Value, json};

use crate::world::{World, at};

/// Fires every so many seconds, as its argument says, and fails from a time on in the way it is told to.
struct Every {
    from: &'static str,
    failure: fn() -> Result<Option<DateTime<Utc>>, String>,
}

impl CustomTrigger for Every {
    fn next(
        &self,
        args: &Value,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, String> {
        if now >= crate::world::clock(self.from) {
            return (self.failure)();
        }
        let seconds = args["seconds"].as_i64().ok_or("it needs `seconds`")?;
        Ok(Some(previous.unwrap_or(now) + TimeDelta::seconds(seconds)))
    }
}

const GOOD: Every = Every { from: "23:59:59", failure: || Ok(None) };
const FAILS: Every = Every { from: "10:00:20", failure: || Err("the tide tables end".to_owned()) };
const PANICS: Every = Every { from: "10:00:20", failure: || panic!("(this panic is part of the test)") };

fn every(seconds: u64) -> Custom {
    Custom::new("every", json!({ "seconds": seconds }))
}

#[test]
fn a_registered_trigger_says_when_its_jobs_fire() {
    let world = World::new(|builder| builder.trigger("every", GOOD));
    let job = world.add(JobSpec::new("tick", every(10)).id("custom"));
    world.told();

    world.advance(20);
    world.wait(job.reschedule(every(3))).unwrap();
    world.wait(job.modify(JobChange::default().trigger(every(4)))).unwrap();
    world.advance(4);

    assert_eq!(
        world.told(),
        [
            "10:00:10 submitted custom@10:00:10",
            "10:00:10 executed custom@10:00:10",
            "10:00:20 submitted custom@10:00:20",
            "10:00:20 executed custom@10:00:20",
            "10:00:20 modified custom",
            "10:00:20 modified custom",
            "10:00:24 submitted custom@10:00:24",
            "10:00:24 executed custom@10:00:24",
        ]
    );
}

#[test]
fn a_trigger_can_be_registered_later_and_once() {
    let world = World::new(|builder| builder);
    let error = world.refused(JobSpec::new("tick", every(10)).id("custom"));
    assert_eq!(error.kind(), ErrorKind::Trigger);
    assert_eq!(
        error.to_string(),
        "job `custom`: trigger: custom trigger `every`: not registered on this node; register its implementation"
    );

    world.scheduler.add_trigger("every", GOOD).unwrap();
    world.add(JobSpec::new("tick", every(10)).id("custom"));

    let error = world.scheduler.add_trigger("every", GOOD).unwrap_err();
    assert_eq!(error.to_string(), "trigger `every` is registered already; choose another name");
    let twice = Scheduler::builder(at("10:00:00")).trigger("every", GOOD).trigger("every", FAILS).build();
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn a_node_without_the_trigger_leaves_its_jobs_to_others_and_says_so() {
    let jobs = MemoryStore::new();
    let with = World::new(|builder| builder.store("default", jobs.clone()).trigger("every", GOOD));
    with.add(JobSpec::new("tick", every(10)).id("custom"));
    with.wait(with.scheduler.shutdown(scheduler_core::engine::ShutdownMode::Wait)).unwrap();
    let without = with.beside(|builder| builder.store("default", jobs.clone()));

    without.advance(20);

    assert_eq!(
        without.told(),
        ["10:00:10 declined custom: custom trigger `every`: not registered on this node; register its implementation"]
    );
    let job = without.wait(without.scheduler.job("custom")).unwrap().unwrap();
    assert_eq!(job.state, JobState::Active);
}

#[test]
fn a_trigger_that_fails_or_panics_puts_its_job_aside_and_the_loop_goes_on() {
    for (trigger, trouble) in [(FAILS, "the tide tables end"), (PANICS, "panicked: (this panic is part of the test)")] {
        let world = World::new(|builder| builder.trigger("every", trigger));
        world.add(JobSpec::new("tick", every(10)).id("custom"));
        world.add(JobSpec::new("tick", Interval::seconds(15)).id("clock"));
        world.told();

        world.advance(30);

        let told = world.told();
        let quarantined: Vec<_> = told.iter().filter(|line| line.contains("quarantined")).collect();
        assert_eq!(quarantined, [&format!("10:00:20 quarantined custom: trigger: custom trigger `every`: {trouble}")]);
        assert!(told.contains(&"10:00:30 executed clock@10:00:30".to_owned()), "{told:#?}");
        let job = world.wait(world.scheduler.job("custom")).unwrap().unwrap();
        assert!(matches!(&job.state, JobState::Quarantined(reason) if reason.contains(trouble)), "{:?}", job.state);

        // Somebody repairs it.
        world.wait(job.reschedule(Interval::seconds(10))).unwrap();
        world.advance(10);
        assert!(world.told().contains(&"10:00:40 executed custom@10:00:40".to_owned()));
    }
}

#[test]
fn arguments_that_the_trigger_does_not_take_are_refused_at_once() {
    let world = World::new(|builder| builder.trigger("every", GOOD));

    let error = world.refused(JobSpec::new("tick", Custom::new("every", json!({}))).id("custom"));

    assert_eq!(error.to_string(), "job `custom`: trigger: custom trigger `every`: it needs `seconds`");
}

#[test]
fn exported_jobs_find_their_triggers_again() {
    let world = World::new(|builder| builder.trigger("every", GOOD));
    world.add(JobSpec::new("tick", every(10)).id("custom"));
    let json = serde_json::to_string(&world.wait(world.scheduler.export_jobs()).unwrap()).unwrap();
    let other = world.beside(|builder| builder.trigger("every", GOOD));
    let jobs: Vec<ExportedJob> = serde_json::from_str(&json).unwrap();

    let added = other.wait(other.scheduler.import_jobs(jobs, scheduler_core::Conflict::Error));
    assert!(added[0].is_ok(), "{added:?}");
    other.told();
    other.advance(10);

    assert_eq!(other.told(), ["10:00:10 submitted custom@10:00:10", "10:00:10 executed custom@10:00:10"]);
}

#[test]
fn a_trigger_that_brings_its_implementation_along_makes_it_known() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", every(10).with_implementation(Arc::new(GOOD))).id("custom"));
    world.told();

    world.advance(10);

    assert_eq!(world.told(), ["10:00:10 submitted custom@10:00:10", "10:00:10 executed custom@10:00:10"]);
}
