//! Tasks that bring their jobs along.

use futures_util::future::join;
use scheduler_core::{
    Conflict, ErrorKind, JobSpec, JobState, Scheduled, Trigger,
    engine::ShutdownMode,
    trigger::{Cron, Date, First, Interval},
};
use scheduler_executors::{blocking, task};
use scheduler_runtime::{Builder, Scheduler};
use scheduler_stores::MemoryStore;
use scheduler_thread::ThreadRuntime;

use crate::{
    stage::FaultyStore,
    world::{World, clock, time},
};

/// A task that reports every so many seconds.
fn report(seconds: u64) -> Scheduled {
    Scheduled::new(task("report", || async {}), JobSpec::new("report", Interval::seconds(seconds)))
}

fn on(store: &MemoryStore) -> impl Fn(Builder) -> Builder + use<> {
    let store = store.clone();
    move |builder| builder.store("default", store.clone())
}

#[test]
fn the_jobs_of_a_program_are_there_once_it_has_started() {
    let world = World::stopped(|builder| builder.scheduled(report(10)));
    world.advance(60);
    assert!(world.wait(world.scheduler.jobs()).unwrap().is_empty());

    world.wait(world.scheduler.start()).unwrap();
    world.advance(10);

    assert_eq!(
        world.told(),
        [
            "10:01:00 added report",
            "10:01:00 started",
            "10:01:10 submitted report@10:01:10",
            "10:01:10 executed report@10:01:10"
        ]
    );
}

#[test]
fn they_are_there_as_well_when_it_starts_paused() {
    let world = World::stopped(|builder| builder.scheduled(report(10)));
    world.wait(world.scheduler.start_paused()).unwrap();
    world.advance(60);
    assert_eq!(world.told(), ["10:00:00 added report", "10:00:00 started"]);
}

#[test]
fn a_job_keeps_its_place_in_time_when_the_program_starts_again() {
    let store = MemoryStore::new();
    let world = World::new(|builder| on(&store)(builder).scheduled(report(60)));
    world.advance(70);
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    world.advance(20);

    let again = world.beside(|builder| on(&store)(builder).scheduled(report(60)));

    let job = again.wait(again.scheduler.job("report")).unwrap().unwrap();
    assert_eq!(job.next_fire_time, Some(clock("10:02:00")));
    assert_eq!(again.wait(job.runs(10)).unwrap().len(), 1);
    again.advance(30);
    assert_eq!(again.told(), ["10:02:00 submitted report@10:02:00", "10:02:00 executed report@10:02:00"]);
}

#[test]
fn a_fire_time_that_passed_between_two_starts_is_caught_up() {
    let store = MemoryStore::new();
    let world = World::new(|builder| on(&store)(builder).scheduled(report(60)));
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    world.advance(90);

    let again = world.beside(|builder| on(&store)(builder).scheduled(report(60)));

    let runs = again.wait(again.scheduler.runs("report", 10)).unwrap();
    let fire_times: Vec<_> = runs.iter().map(|run| time(run.fire_time)).collect();
    assert_eq!(fire_times, ["10:01:00"]);
}

#[test]
fn a_job_stays_paused_and_another_trigger_counts_from_the_start() {
    let store = MemoryStore::new();
    let world = World::new(|builder| on(&store)(builder).scheduled(report(60)));
    world.wait(world.scheduler.pause_job("report")).unwrap();
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    let again = world.beside(|builder| on(&store)(builder).scheduled(report(60)));
    let job = again.wait(again.scheduler.job("report")).unwrap().unwrap();
    assert_eq!(job.state, JobState::Paused);
    again.wait(again.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    let next_release = again.beside(|builder| on(&store)(builder).scheduled(report(5)));
    let job = next_release.wait(next_release.scheduler.job("report")).unwrap().unwrap();
    assert_eq!((job.state.clone(), job.next_fire_time), (JobState::Active, Some(clock("10:00:05"))));
}

#[test]
fn what_the_store_has_wins_if_the_program_says_so() {
    let kept = |seconds| {
        let job = JobSpec::new("report", Interval::seconds(seconds)).on_conflict(Conflict::Keep);
        Scheduled::new(task("report", || async {}), job)
    };
    let store = MemoryStore::new();
    let world = World::new(|builder| on(&store)(builder).scheduled(kept(60)));
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    let again = world.beside(|builder| on(&store)(builder).scheduled(kept(5)));

    let job = again.wait(again.scheduler.job("report")).unwrap().unwrap();
    assert_eq!(job.next_fire_time, Some(clock("10:01:00")));
}

#[test]
fn nodes_that_start_at_once_have_one_job_and_run_it_once() {
    let store = MemoryStore::new();
    let world = World::stopped(|builder| on(&store)(builder).scheduled(report(10)));
    let other = Scheduler::builder(world.runtime.clone());
    let other = on(&store)(other).scheduled(report(10)).build().unwrap();

    let (one, two) = world.wait(join(world.scheduler.start(), other.start()));
    one.unwrap();
    two.unwrap();
    world.advance(35);

    let jobs = world.wait(other.jobs()).unwrap();
    assert_eq!(jobs.len(), 1);
    let runs = world.wait(jobs[0].runs(10)).unwrap();
    let fire_times: Vec<_> = runs.iter().rev().map(|run| time(run.fire_time)).collect();
    assert_eq!(fire_times, ["10:00:10", "10:00:20", "10:00:30"]);
}

#[test]
fn an_error_of_a_job_names_it_and_nothing_starts_until_it_is_gone() {
    let store = FaultyStore::over(MemoryStore::new());
    store.go_away();
    let away = store.clone();
    let world = World::stopped(|builder| builder.store("default", away).scheduled(report(10)));

    let error = world.wait(world.scheduler.start()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
    assert!(error.to_string().starts_with("scheduled job `report`: store `default`: "), "{error}");
    assert!(!world.wait(world.scheduler.is_running()));
    world.told();

    store.come_back();
    world.wait(world.scheduler.start()).unwrap();
    assert!(world.told().contains(&"10:00:00 started".to_owned()));
    assert!(world.wait(world.scheduler.job("report")).unwrap().is_some());
}

#[test]
fn a_job_with_wrong_arguments_or_without_any_fire_time_keeps_the_scheduler_from_starting() {
    let wrong_args = JobSpec::new("work", Interval::seconds(10)).args("seven");
    let never = JobSpec::new("work", Cron::crontab("0 0 30 2 *").unwrap()).args(7);
    let unknown_store = JobSpec::new("work", Interval::seconds(10)).args(7).store("elsewhere");
    for (job, kind) in
        [(wrong_args, ErrorKind::Arguments), (never, ErrorKind::NeverFires), (unknown_store, ErrorKind::UnknownStore)]
    {
        let work = Scheduled::new(blocking("work", |_: u32| {}), job.id("wrong"));
        let world = World::stopped(|builder| builder.scheduled(work));
        let error = world.wait(world.scheduler.start()).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().starts_with("scheduled job `wrong`: "), "{error}");
        assert!(!world.wait(world.scheduler.is_running()));
    }
}

#[test]
fn a_job_whose_last_fire_time_has_passed_keeps_nobody_from_starting() {
    let over = Trigger::from(Interval::seconds(10).until(clock("09:00:00")));
    let job = JobSpec::new("report", over);
    let world = World::stopped(|builder| builder.scheduled(Scheduled::new(task("report", || async {}), job)));
    world.wait(world.scheduler.start()).unwrap();
    assert!(world.wait(world.scheduler.jobs()).unwrap().is_empty());
}

#[test]
fn a_second_start_leaves_jobs_as_they_are() {
    let world = World::new(|builder| builder.scheduled(report(60)));
    world.wait(world.scheduler.reschedule_job("report", Interval::seconds(5))).unwrap();
    world.told();

    let error = world.wait(world.scheduler.start()).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::AlreadyStarted);
    let job = world.wait(world.scheduler.job("report")).unwrap().unwrap();
    assert_eq!(job.next_fire_time, Some(clock("10:00:05")));
    assert!(world.told().is_empty());
}

#[test]
fn a_task_has_several_jobs_each_in_its_own_store() {
    let slow = JobSpec::new("whatever", Interval::seconds(60)).id("slow").store("other");
    let both = report(10).and(slow);
    let world = World::stopped(|builder| builder.store("other", MemoryStore::new()).scheduled(both));
    // A handle that is confined to a store starts the same scheduler.
    world.wait(world.scheduler.in_store("other").start()).unwrap();

    let jobs = world.wait(world.scheduler.jobs()).unwrap();
    let places: Vec<_> = jobs.iter().map(|job| (job.id.as_str(), job.store().as_str())).collect();
    assert_eq!(places, [("report", "default"), ("slow", "other")]);
    assert!(jobs.iter().all(|job| job.body.task == "report"));
}

#[test]
fn two_jobs_of_one_id_are_told_when_the_scheduler_is_built() {
    let twice = report(10).and(JobSpec::new("report", Interval::seconds(60)));
    let error = Scheduler::builder(ThreadRuntime::new().unwrap()).scheduled(twice).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.to_string(), "job `report` in store `default` is scheduled twice; give each an id of its own");

    let error = Scheduler::builder(ThreadRuntime::new().unwrap())
        .scheduled(report(10))
        .scheduled(Scheduled::new(task("report", || async {}), JobSpec::now("report").id("other")))
        .build()
        .unwrap_err();
    assert_eq!(error.to_string(), "task `report` is registered already; choose another name");
}

#[test]
fn a_date_that_a_lasting_store_remembers_is_run_once_over_all_starts() {
    let once = || {
        let job = JobSpec::new("report", Date::at(clock("10:00:30")));
        Scheduled::new(task("report", || async {}), job.when_finished(scheduler_core::WhenFinished::Keep))
    };
    let store = MemoryStore::new();
    let world = World::new(|builder| on(&store)(builder).scheduled(once()));
    world.advance(60);
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    let again = world.beside(|builder| on(&store)(builder).scheduled(once()));
    again.advance(60);

    assert_eq!(again.wait(again.scheduler.runs("report", 10)).unwrap().len(), 1);
}

#[test]
fn schedulers_that_are_not_async_add_them_as_well() {
    let at_once = || JobSpec::new("report", Interval::hours(1).first(First::Now));
    let background = Scheduler::builder(ThreadRuntime::new().unwrap())
        .scheduled(Scheduled::new(blocking("report", || {}), at_once()))
        .background()
        .unwrap();
    background.start().unwrap();
    assert!(background.job("report").unwrap().is_some());
    background.shutdown(ShutdownMode::Wait).unwrap();

    let local = Scheduler::builder(ThreadRuntime::new().unwrap())
        .scheduled(Scheduled::new(task("report", || async {}), at_once()))
        .local()
        .unwrap();
    local.start().unwrap();
    assert!(local.job("report").unwrap().is_some());
    local.shutdown(ShutdownMode::Wait).unwrap();
}
