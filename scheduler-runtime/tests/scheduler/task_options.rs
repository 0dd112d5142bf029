//! Options of a task, which its jobs have unless they say otherwise.

use std::time::Duration;

use scheduler_core::{Conflict, ErrorKind, JobSpec, Overlap, PartialOptions, Retry, Task, trigger::Interval};
use scheduler_executors::{Spawn, task};
use scheduler_runtime::{Builder, Scheduler};
use scheduler_thread::ThreadRuntime;

use crate::world::{World, at};

const MINUTE: Duration = Duration::from_secs(60);

/// A task whose jobs repeat failed runs, on an executor of its own.
fn report() -> Task {
    task("report", || async {}).retry(Retry::attempts(3)).timeout(MINUTE).overlap(Overlap::Queue(1)).executor("reports")
}

fn with_reports(builder: Builder) -> Builder {
    builder
        .executor("reports", Spawn::new())
        .job_defaults(PartialOptions::default().timeout(2 * MINUTE).priority(7))
        .register(report())
}

#[test]
fn a_job_has_the_options_and_the_executor_of_its_task() {
    let world = World::new(with_reports);
    let job = world.add(JobSpec::new("report", Interval::hours(1)));
    assert_eq!(job.body.options.retry.as_deref(), Some(&Retry::attempts(3)));
    assert_eq!((job.body.options.timeout, job.body.options.overlap), (Some(MINUTE), Overlap::Queue(1)));
    assert_eq!(job.body.executor.as_str(), "reports");
    assert_eq!(job.body.options.priority, 7, "which neither says");

    let other = world.add(JobSpec::new("tick", Interval::hours(1)));
    assert_eq!((other.body.options.timeout, other.body.executor.as_str()), (Some(2 * MINUTE), "default"));
}

#[test]
fn what_the_job_says_itself_counts() {
    let world = World::new(with_reports);
    let spec = JobSpec::new("report", Interval::hours(1)).retry(None).timeout(5 * MINUTE).executor("default");
    let job = world.add(spec);
    assert_eq!((&job.body.options.retry, job.body.options.timeout), (&None, Some(5 * MINUTE)));
    assert_eq!(job.body.options.overlap, Overlap::Queue(1));
    assert_eq!(job.body.executor.as_str(), "default");
}

#[test]
fn a_job_keeps_its_options_until_it_is_added_anew() {
    let world = World::new(|builder| builder.register(task("report", || async {}).priority(1)));
    let hourly = || JobSpec::new("report", Interval::hours(1)).id("hourly");
    world.add(hourly());

    world.wait(world.scheduler.remove_task("report")).unwrap();
    world.wait(world.scheduler.add_task(task("report", || async {}).priority(2))).unwrap();
    let job = world.wait(world.scheduler.job("hourly")).unwrap().unwrap();
    assert_eq!(job.body.options.priority, 1);
    assert_eq!(world.add(hourly().on_conflict(Conflict::Replace)).body.options.priority, 2);
}

#[test]
fn jobs_of_the_start_and_closures_have_them_too() {
    let scheduled = JobSpec::new("report", Interval::hours(1)).id("scheduled").on_conflict(Conflict::Replace);
    let world = World::new(|builder| with_reports(builder).job(scheduled));
    let job = world.wait(world.scheduler.job("scheduled")).unwrap().unwrap();
    assert_eq!(job.body.options.timeout, Some(MINUTE));

    let job = world.add(JobSpec::closure(report(), Interval::hours(1)));
    assert_eq!((job.body.options.timeout, job.body.executor.as_str()), (Some(MINUTE), "reports"));
}

#[test]
fn a_local_task_has_options_for_its_jobs() {
    let local = Scheduler::builder(ThreadRuntime::new().unwrap()).local().unwrap();
    local.task_with_options("report", PartialOptions::default().priority(3), || std::future::ready(())).unwrap();
    let job = local.add_job(JobSpec::new("report", Interval::hours(1))).unwrap();
    assert_eq!(job.body.options.priority, 3);
}

#[test]
fn an_option_out_of_its_range_is_told_with_its_task() {
    let idle = || task("report", || async {}).max_instances(0);
    let error = Scheduler::builder(at("10:00:00")).register(idle()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "task `report`: `max_instances` of 0: at least 1; to keep a job from running, pause it"
    );

    let world = World::new(|builder| builder);
    let late = world.wait(world.scheduler.add_task(idle())).unwrap_err();
    assert_eq!(late, error);
}
