//! Changing and removing jobs.

use scheduler_core::{
    ErrorKind, JobChange, JobSpec, JobState, Pause,
    store::JobFilter,
    trigger::{Cron, Date, Interval},
};
use scheduler_executors::Inline;
use scheduler_stores::MemoryStore;
use serde::Deserialize;

use crate::listing::ids;
use crate::world::{World, clock};

#[test]
fn a_modified_job_keeps_what_the_change_does_not_name() {
    let world = World::new(|builder| builder.task("greet", |_: String| async {}).executor("inline", Inline::new()));
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock").name("Clock"));
    world.told();

    let change = JobChange::default().task("greet").args("ann").executor("inline").max_instances(3);
    let job = world.wait(job.modify(change)).unwrap();

    assert_eq!((job.body.task.as_str(), &job.body.args), ("greet", &"ann".into()));
    assert_eq!((job.body.executor.as_str(), job.body.display_name()), ("inline", "Clock"));
    assert_eq!(job.body.options.max_instances.get(), 3);
    assert_eq!(job.next_fire_time, Some(clock("10:00:10")));
    assert_eq!(world.told(), ["10:00:00 modified clock"]);
}

#[test]
fn modifying_a_job_that_is_not_there_names_it() {
    let world = World::new(|builder| builder);

    let errors = [
        world.wait(world.scheduler.modify_job("ghost", JobChange::default().name("x"))).unwrap_err(),
        world.wait(world.scheduler.modify_job("ghost", JobChange::default().args(7))).unwrap_err(),
        world.wait(world.scheduler.reschedule_job("ghost", Interval::seconds(1))).unwrap_err(),
        world.wait(world.scheduler.pause_job("ghost")).unwrap_err(),
        world.wait(world.scheduler.resume_job("ghost")).unwrap_err(),
        world.wait(world.scheduler.remove_job("ghost")).unwrap_err(),
        world.wait(world.scheduler.runs("ghost", 10)).unwrap_err(),
    ];

    for error in errors {
        assert!(error.is_not_found(), "{error}");
        assert_eq!(error.to_string(), "job `ghost` is in no store of this scheduler");
    }
    let error = world.wait(world.scheduler.in_store("default").remove_job("ghost")).unwrap_err();
    assert_eq!(error.to_string(), "job `ghost` is not in store `default`");
}

#[test]
fn a_rescheduled_job_fires_by_its_new_trigger_and_a_paused_one_stays_paused() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.advance(5);

    let job = world.wait(job.reschedule(Interval::seconds(7))).unwrap();
    assert_eq!(job.next_fire_time, Some(clock("10:00:12")));
    world.wait(job.pause()).unwrap();
    let job = world.wait(job.reschedule(Interval::seconds(20))).unwrap();
    assert_eq!((&job.state, job.next_fire_time), (&JobState::Paused, None));
    let error = world.wait(job.reschedule(Cron::crontab("30 2 31 2 *").unwrap())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeverFires);
}

#[test]
fn a_paused_job_does_not_fire_until_it_is_resumed() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.told();

    let paused = world.wait(job.pause()).unwrap();
    assert_eq!((&paused.state, paused.next_fire_time), (&JobState::Paused, None));
    assert_eq!(world.wait(paused.pause()).unwrap().state, JobState::Paused);
    world.advance(25);
    let resumed = world.wait(job.resume()).unwrap();
    assert_eq!(resumed.next_fire_time, Some(clock("10:00:30")));
    world.advance(5);

    assert_eq!(
        world.told(),
        [
            "10:00:00 modified clock",
            "10:00:00 paused clock",
            "10:00:25 modified clock",
            "10:00:30 submitted clock@10:00:30",
            "10:00:30 executed clock@10:00:30",
        ]
    );
}

#[test]
fn a_job_can_be_added_paused() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Date::at(clock("10:00:10"))).id("once").paused());
    world.told();
    world.advance(60);
    assert_eq!(world.told(), Vec::<String>::new());

    world.wait(world.scheduler.resume_job("once")).unwrap();

    assert_eq!(
        world.told(),
        [
            "10:01:00 modified once",
            "10:01:00 submitted once@10:00:10",
            "10:01:00 executed once@10:00:10",
            "10:01:00 finished once"
        ]
    );
}

#[test]
fn a_removed_job_is_gone() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.told();

    world.wait(job.remove()).unwrap();
    world.advance(60);

    assert_eq!(world.told(), ["10:00:00 removed clock"]);
    assert!(world.wait(job.remove()).unwrap_err().is_not_found());
    assert!(world.wait(job.refresh()).unwrap_err().is_not_found());
}

#[test]
fn a_job_handle_does_not_take_a_later_job_of_the_same_id_for_its_own() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.wait(job.remove()).unwrap();
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));

    assert!(world.wait(job.refresh()).unwrap_err().is_not_found());
}

#[test]
fn all_jobs_of_one_store_or_of_all_are_removed() {
    let world = World::new(|builder| builder.store("other", MemoryStore::new()));
    for (id, store) in [("one", "default"), ("two", "default"), ("three", "other")] {
        world.add(JobSpec::new("tick", Interval::seconds(10)).id(id).store(store));
    }
    world.told();

    assert_eq!(world.wait(world.scheduler.in_store("default").remove_all_jobs()), Ok(2));
    assert_eq!(ids(&world), ["three"]);
    assert_eq!(world.wait(world.scheduler.remove_all_jobs()), Ok(1));

    assert_eq!(
        world.told(),
        [
            "10:00:00 all 2 jobs of default removed",
            "10:00:00 all 0 jobs of default removed",
            "10:00:00 all 1 jobs of other removed"
        ]
    );
}

#[derive(Deserialize)]
struct Report {
    #[expect(dead_code, reason = "it is there to be read")]
    to: String,
}

#[test]
fn arguments_that_a_task_does_not_take_are_refused_when_they_are_given() {
    let world = World::new(|builder| builder.task("report", |_: Report| async {}));
    let report = |to: serde_json::Value| JobSpec::new("report", Interval::seconds(10)).id("r").args(to);

    let error = world.refused(report(serde_json::json!({"to": 7})));
    assert_eq!(error.kind(), ErrorKind::Arguments);
    assert_eq!(
        error.to_string(),
        "the arguments do not fit task `report`: the task takes `Report`, which these arguments are not: to: invalid type: \
         integer `7`, expected a string"
    );

    let job = world.add(report(serde_json::json!({"to": "ann"})));
    let errors = [
        world.wait(job.modify(JobChange::default().args(7))).unwrap_err(),
        world.wait(job.modify(JobChange::default().task("tick"))).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Arguments, "{error}");
    }
    assert_eq!(world.wait(job.refresh()).unwrap().revision, job.revision);
    let not_json = world.refused(JobSpec::now("tick").id("nan").args(std::collections::HashMap::from([((1, 2), 3)])));
    assert_eq!(not_json.kind(), ErrorKind::Arguments);
}

#[test]
fn a_pause_with_an_end_is_over_by_itself_and_says_who_and_why() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(60)).id("clock"));
    world.advance(90);
    world.told();

    let pause = Pause::new().by("anna").note("no paper").until(clock("10:04:30"));
    let job = world.wait(job.pause_with(pause)).unwrap();

    let pause = job.current_pause().unwrap();
    assert_eq!((pause.by.as_deref(), pause.since), (Some("anna"), Some(clock("10:01:30"))));
    let why = world.wait(world.scheduler.explain("clock", clock("10:03:00"))).unwrap().to_string();
    assert!(why.contains("(by anna, since 2026-11-21 10:01:30 UTC, until 2026-11-21 10:04:30 UTC: no paper)"), "{why}");
    world.advance(210);
    assert_eq!(
        world.told(),
        [
            "10:01:30 modified clock",
            "10:01:30 paused clock, anna, no paper",
            "10:04:30 modified clock",
            "10:05:00 submitted clock@10:05:00",
            "10:05:00 executed clock@10:05:00",
        ]
    );
    let [job] = &world.wait(world.scheduler.jobs()).unwrap()[..] else { panic!("there is one job") };
    assert_eq!((&job.state, job.current_pause()), (&JobState::Active, None));
}

#[test]
fn a_group_of_jobs_is_paused_for_a_reason_and_until_a_time() {
    let world = World::new(|builder| builder);
    for id in ["a", "b"] {
        world.add(JobSpec::new("tick", Interval::seconds(60)).id(id).tag("printer"));
    }
    let pause = Pause::new().note("no paper").until(clock("10:10:00"));
    let done = world.wait(world.scheduler.pause_jobs_with(JobFilter::new().tag("printer"), pause)).unwrap();
    assert_eq!((done.done, done.errors), (2, vec![]));
    let jobs = world.wait(world.scheduler.jobs()).unwrap();
    assert!(jobs.iter().all(|job| job.current_pause().unwrap().note.as_deref() == Some("no paper")), "{jobs:?}");

    world.told();
    world.advance(600);

    assert_eq!(world.told().iter().filter(|line| line.starts_with("10:10:00 executed")).count(), 2);
}
