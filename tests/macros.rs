//! Functions under `#[task]` and `#[scheduled]`, from the attribute to their runs, on the virtual clock.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use apscheduler::{EventKind, Retry, prelude::*};
use chrono::{DateTime, Utc};
use scheduler_testkit::SimulatedRuntime;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    to: String,
    copies: u32,
}

/// A function whose documentation, attributes and visibility are its own.
#[task(name = "send-report", timeout = "30s", retry = 3, priority = 7, tags = ["reports", "mail"], meta = "by post")]
pub(crate) async fn report(context: RunContext, report: Report) -> Result<String, String> {
    Ok(format!("{} x {} for {}", report.copies, report.to, context.job_id))
}

#[task]
fn add((one, other): (i64, i64)) -> Result<i64, String> {
    one.checked_add(other).ok_or_else(|| "too large".to_owned())
}

#[task]
async fn context_only(context: RunContext) -> Result<u64, String> {
    Ok(u64::from(context.attempt))
}

#[task]
async fn r#type() {}

#[derive(Clone)]
struct Greeting(&'static str);

#[task(priority = 3)]
async fn greet_from(State(greeting): State<Greeting>, context: RunContext, name: String) -> Result<String, String> {
    Ok(format!("{}, {name}, from {}", greeting.0, context.job_id))
}

#[scheduled(every = "1h", id = "shout")]
fn shout(greeting: State<Greeting>) -> Result<String, String> {
    Ok(greeting.0.0.to_uppercase())
}

/// Only other programs can make jobs of it, which is no reason not to compile.
#[derive(Deserialize)]
struct ReadOnly(#[expect(dead_code, reason = "it is read from arguments, and that is all")] u32);

#[task]
async fn reads(_: ReadOnly) {}

const COPIES: u32 = 2;

#[scheduled(
    cron = "0 9 * * mon-fri",
    timezone = "Europe/Berlin",
    args = Report { to: "ann".to_owned(), copies: COPIES },
    id = "morning",
    misfire_grace_time = Duration::from_secs(60),
    coalesce = Coalesce::All,
    max_instances = 3,
    retry = Retry::attempts(5),
)]
async fn morning_report(report: Report) -> Result<String, String> {
    Ok(format!("{} x {}", report.copies, report.to))
}

#[scheduled(every = "1h", args = "ann")]
fn greet(name: String) -> Result<String, String> {
    Ok(format!("hello, {name}"))
}

#[scheduled(cron(day_of_week = "sat", hour = 10, minute = "15,45"))]
async fn weekend() {}

#[scheduled(at = "2026-11-21T12:00:00", timezone = "Europe/Berlin", misfire_grace_time = "10m")]
async fn once() {}

#[scheduled(trigger = Interval::minutes(20).until(clock("10:30")))]
async fn by_code() {}

mod renamed {
    pub(crate) use apscheduler::*;
}

#[scheduled(crate = "crate::renamed", every = "1h", args = 7)]
async fn by_another_name(_: u32) {}

mod elsewhere {
    #[apscheduler::task]
    pub(super) fn private_parts(_: apscheduler::RunContext) {}
}

/// A scheduler on a Saturday at ten, and what its runs gave.
struct World {
    runtime: SimulatedRuntime,
    scheduler: Scheduler,
    told: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new(with: impl FnOnce(apscheduler::Builder) -> apscheduler::Builder) -> Self {
        let runtime = SimulatedRuntime::starting_at(clock("10:00"));
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let builder = Scheduler::builder(runtime.clone()).listener(EventMask::ALL, move |event| {
            let line = match &event.kind {
                EventKind::RunExecuted { run, output, .. } => {
                    format!("{} {}: {output}", run.fire_time.format("%H:%M"), run.job.id)
                }
                EventKind::RunError { run, error, .. } => format!("{}: error {error}", run.job.id),
                _ => return,
            };
            tell.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        });
        let scheduler = with(builder).build().unwrap();
        let world = Self { runtime, scheduler, told };
        world.wait(world.scheduler.start()).unwrap();
        world
    }

    fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        let mut answer = None;
        self.runtime.block_on(Box::pin(async { answer = Some(call.await) }));
        answer.unwrap()
    }

    fn told_after(&self, minutes: u64) -> Vec<String> {
        self.runtime.advance(Duration::from_secs(60 * minutes));
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

fn clock(time: &str) -> DateTime<Utc> {
    format!("2026-11-21T{time}:00Z").parse().unwrap()
}

#[test]
fn a_function_under_task_runs_with_arguments_of_its_own_type() {
    let world = World::new(|builder| {
        builder.register(report::task()).register(add::task()).register(context_only::task()).register(r#type::task())
    });
    let ann = Report { to: "ann".to_owned(), copies: 2 };
    for job in [
        report::job(Interval::minutes(10), ann).id("reports"),
        add::now((40, 2)).id("sum"),
        add::now((i64::MAX, 1)).id("overflow"),
        context_only::job(Date::at(clock("10:05"))).id("context"),
        r#type::now().id("raw"),
    ] {
        world.wait(world.scheduler.add_job(job)).unwrap();
    }

    let mut told = world.told_after(10);
    told.sort();
    assert_eq!(
        told,
        [
            "10:00 raw: null",
            "10:00 sum: 42",
            "10:05 context: 1",
            "10:10 reports: \"2 x ann for reports\"",
            "overflow: error too large",
        ]
    );
}

#[test]
fn the_function_stays_what_it_was() {
    assert_eq!(add((1, 2)), Ok(3));
    assert_eq!(greet("ann".to_owned()), Ok("hello, ann".to_owned()));
    let world = World::new(|builder| builder);
    world.wait(r#type());
}

#[test]
fn a_task_has_the_name_of_its_function_or_the_given_one() {
    assert_eq!(report::NAME, "send-report");
    assert_eq!(report::task().name().as_str(), "send-report");
    assert_eq!(r#type::NAME, "type");
    assert_eq!(elsewhere::private_parts::task().name().as_str(), "private_parts");
    assert_eq!(reads::task().name().as_str(), "reads");
    assert_eq!(by_another_name::scheduled().jobs()[0].job_id().unwrap().as_str(), "by_another_name");
}

#[test]
fn the_functions_of_the_same_names_still_make_tasks() {
    // `task` of the prelude is both.
    let by_function = task("tick", || async {});
    assert_eq!(by_function.name().as_str(), "tick");
}

#[test]
fn options_of_the_attribute_are_those_of_its_jobs() {
    let world = World::new(|builder| builder.register(report::task()));
    let ann = Report { to: "ann".to_owned(), copies: 2 };
    let job = world.wait(world.scheduler.add_job(report::job(Interval::hours(1), ann))).unwrap();
    let options = &job.body.options;
    assert_eq!(options.timeout, Some(Duration::from_secs(30)));
    assert_eq!(options.retry.as_deref(), Some(&Retry::attempts(3)));
    assert_eq!(options.priority, 7);
    assert_eq!((&job.body.tags, &job.body.meta), (&["mail", "reports"].into(), &"by post".into()));
}

#[test]
fn options_of_the_attribute_are_also_those_of_jobs_that_name_the_task_and_a_job_may_say_otherwise() {
    let world = World::new(|builder| builder.register(report::task()));
    let by_name = JobSpec::new("send-report", Interval::hours(1)).args(Report { to: "ann".to_owned(), copies: 2 });
    let job = world.wait(world.scheduler.add_job(by_name.priority(1))).unwrap();
    assert_eq!((job.body.options.timeout, job.body.options.priority), (Some(Duration::from_secs(30)), 1));
}

#[test]
fn a_function_takes_state_before_its_arguments() {
    let world = World::new(|builder| {
        builder.state(Greeting("hello")).register(greet_from::task()).scheduled(shout::scheduled())
    });
    let job = world.wait(world.scheduler.add_job(greet_from::now("ann".to_owned()).id("letter"))).unwrap();
    assert_eq!(job.body.options.priority, 3);
    assert_eq!(world.told_after(60), ["10:00 letter: \"hello, ann, from letter\"", "11:00 shout: \"HELLO\""]);

    let builder = Scheduler::builder(SimulatedRuntime::starting_at(clock("10:00"))).scheduled(shout::scheduled());
    let error = builder.build().unwrap_err().to_string();
    assert!(error.starts_with("task `shout` takes `State<macros::Greeting>`, "), "{error}");
}

#[test]
fn a_function_under_scheduled_has_its_job_once_the_scheduler_has_started() {
    let world = World::new(|builder| builder.scheduled(morning_report::scheduled()));
    let job = world.wait(world.scheduler.job("morning")).unwrap().unwrap();
    // On Monday at nine in Berlin.
    assert_eq!(job.next_fire_time, Some("2026-11-23T08:00:00Z".parse().unwrap()));
    assert_eq!(job.body.options.misfire_grace_time, Some(Duration::from_secs(60)));
    assert_eq!((job.body.options.coalesce, job.body.options.max_instances.get()), (Coalesce::All, 3));
    assert_eq!(job.body.options.retry.as_deref(), Some(&Retry::attempts(5)));

    assert_eq!(world.told_after(2 * 24 * 60), ["08:00 morning: \"2 x ann\""]);
}

#[test]
fn every_way_to_say_when_is_followed() {
    let world = World::new(|builder| {
        builder
            .scheduled(greet::scheduled())
            .scheduled(weekend::scheduled())
            .scheduled(once::scheduled())
            .scheduled(by_code::scheduled())
    });
    assert_eq!(
        world.told_after(75),
        [
            "10:15 weekend: null",
            "10:20 by_code: null",
            "10:45 weekend: null",
            "11:00 greet: \"hello, ann\"",
            "11:00 once: null",
        ]
    );
    // It remembers that it has run.
    let once = world.wait(world.scheduler.job("once")).unwrap().unwrap();
    assert_eq!((once.state.clone(), once.next_fire_time), (JobState::Kept, None));
}

#[test]
fn a_date_that_has_passed_is_missed_when_it_is_too_late() {
    let late = SimulatedRuntime::starting_at(clock("11:11"));
    let scheduler = Scheduler::builder(late.clone()).scheduled(once::scheduled()).build().unwrap();
    let mut verdicts = Vec::new();
    late.block_on(Box::pin(async {
        scheduler.start().await.unwrap();
        late.sleep(Duration::from_secs(1)).await;
        verdicts = scheduler.runs("once", 10).await.unwrap();
    }));
    let states: Vec<_> = verdicts.iter().map(|run| format!("{:?}", run.state)).collect();
    assert!(states.len() == 1 && states[0].contains("Missed"), "{states:?}");
}
