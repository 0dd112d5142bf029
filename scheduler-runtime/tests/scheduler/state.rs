//! What tasks take from their scheduler by type: state of the program, and the scheduler itself.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use scheduler_core::{
    Error, ErrorKind, EventKind, EventMask, JobSpec, RunContext, RunId, State, Uid,
    engine::{SchedulerState, ShutdownMode},
    trigger::{Date, Interval},
};
use scheduler_executors::{Inline, ThreadPool, blocking, task};
use scheduler_runtime::{Builder, RunContextExt, Runtime, Scheduler};
use scheduler_thread::ThreadRuntime;

use crate::{
    stage::StillRuntime,
    world::{World, at, clock},
};

#[derive(Clone)]
struct App {
    greeting: Arc<str>,
}

/// How many letters have been sent, by all runs.
#[derive(Clone, Default)]
struct Sent(Arc<AtomicU32>);

fn app() -> App {
    App { greeting: "hello".into() }
}

async fn greet(State(app): State<App>, context: RunContext, State(sent): State<Sent>, name: String) -> String {
    let count = sent.0.fetch_add(1, Ordering::Relaxed) + 1;
    format!("{}, {name}, from {}; letter {count}", app.greeting, context.job_id)
}

fn greet_blocking(State(app): State<App>, name: String) -> String {
    format!("{}, {name}", app.greeting)
}

#[test]
fn a_task_takes_state_of_several_types_before_its_arguments() {
    let world = World::new(|builder| builder.state(app()).state(Sent::default()).task("greet", greet));
    world.add(JobSpec::new("greet", Interval::seconds(10)).id("ann").args("ann"));
    world.told();

    world.advance(20);

    assert_eq!(
        world.told(),
        [
            "10:00:10 submitted ann@10:00:10",
            "10:00:10 executed ann@10:00:10 -> \"hello, ann, from ann; letter 1\"",
            "10:00:20 submitted ann@10:00:20",
            "10:00:20 executed ann@10:00:20 -> \"hello, ann, from ann; letter 2\"",
        ]
    );
}

#[test]
fn a_blocking_task_takes_state_on_each_executor() {
    for with in [
        |builder: Builder| builder,
        |builder: Builder| builder.executor("default", Inline::new()),
        |builder: Builder| builder.executor("default", ThreadPool::new().threads(1)),
    ] {
        let scheduler = with(Scheduler::builder(ThreadRuntime::new().unwrap()))
            .state(app())
            .blocking_task("greet", greet_blocking)
            .background()
            .unwrap();
        let mut executed = scheduler.events(EventMask::RUN_EXECUTED);
        scheduler.start().unwrap();
        scheduler.add_job(JobSpec::now("greet").args("ann")).unwrap();
        let event = futures_executor::block_on(executed.next()).unwrap().unwrap();
        assert!(format!("{event:?}").contains("hello, ann"), "{event:?}");
        scheduler.shutdown(ShutdownMode::Wait).unwrap();
    }
}

#[test]
fn a_scheduler_without_the_state_of_a_task_is_not_built() {
    let build = |with: fn(Builder) -> Builder| with(Scheduler::builder(at("10:00:00"))).build();
    let error = build(|builder| builder.task("greet", greet).state(app())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "task `greet` takes `State<scheduler::state::Sent>`, and the scheduler has no state of this type: give it to its \
         builder with `.state(..)`"
    );
    let error = build(|builder| builder.blocking_task("greet", greet_blocking)).unwrap_err();
    assert!(error.to_string().starts_with("task `greet` takes `State<scheduler::state::App>`, "), "{error}");
}

#[test]
fn two_values_of_one_type_are_refused() {
    let error = Scheduler::builder(at("10:00:00")).state(7_u32).state(8_u32).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "state of type `u32` is given twice; give one of them a type of its own, such as a struct around it"
    );
}

#[test]
fn a_task_or_closure_that_comes_later_is_refused_without_its_state() {
    let world = World::new(|builder| builder.state(app()));
    let error = world.wait(world.scheduler.add_task(task("greet", greet))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().starts_with("task `greet` takes `State<scheduler::state::Sent>`, "), "{error}");
    assert!(world.wait(world.scheduler.add_task(blocking("greet", greet_blocking))).is_ok());

    let error = world.refused(JobSpec::closure(task("closure", greet), Interval::seconds(1)).args("ann"));
    assert!(error.to_string().contains("takes `State<scheduler::state::Sent>`"), "{error}");

    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    let error = world.wait(world.scheduler.add_task(task("late", greet))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShutDown, "which matters more then");
}

#[test]
fn state_goes_when_the_scheduler_has_ended_whoever_holds_a_handle() {
    let sent = Sent::default();
    let world = World::new(|builder| builder.state(app()).state(sent.clone()).task("greet", greet));
    world.add(JobSpec::now("greet").args("ann"));
    assert!(Arc::strong_count(&sent.0) > 1);

    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();

    assert_eq!(Arc::strong_count(&sent.0), 1);
}

#[test]
fn a_local_task_takes_state_that_is_not_send_and_what_the_builder_was_given() {
    async fn count(State(count): State<Rc<Cell<u32>>>, State(app): State<App>, name: String) -> String {
        count.set(count.get() + 1);
        format!("{}, {name}", app.greeting)
    }
    let clock = at("10:00:00");
    let local = Scheduler::builder(StillRuntime::new(clock.clone())).state(app()).local().unwrap();
    let error = local.task("count", count).unwrap_err();
    assert!(
        error.to_string().starts_with("task `count` takes `State<alloc::rc::Rc<core::cell::Cell<u32>>>`"),
        "{error}"
    );

    let counted = Rc::new(Cell::new(0_u32));
    local.add_state(Rc::clone(&counted)).unwrap();
    assert_eq!(local.add_state(Rc::new(Cell::new(7_u32))).unwrap_err().kind(), ErrorKind::Config);
    local.task("count", count).unwrap();
    local.start().unwrap();
    local.add_job(JobSpec::new("count", Interval::seconds(10)).args("ann")).unwrap();
    local.block_on(clock.sleep(Duration::from_secs(25)));
    assert_eq!(counted.get(), 2);
}

#[test]
fn a_pumped_task_takes_state_that_is_not_send() {
    async fn count(State(count): State<Rc<Cell<u32>>>) {
        count.set(count.get() + 1);
    }
    let pumped = Scheduler::builder(ThreadRuntime::new().unwrap()).pumped().unwrap();
    let counted = Rc::new(Cell::new(0_u32));
    pumped.add_state(Rc::clone(&counted)).unwrap();
    pumped.task("count", count).unwrap();
    let handle = pumped.handle();
    pumped.spawn_local(async move {
        handle.add_job(JobSpec::now("count")).await.unwrap();
        handle.start().await.unwrap();
    });
    let mut now = scheduler_runtime::Now { utc: clock("10:00:00"), monotonic: Duration::ZERO };
    while counted.get() == 0 {
        now = now.after(pumped.pump(now).expect("the job is due").max(Duration::from_millis(1)));
    }
    assert_eq!(counted.get(), 1);
}

/// Adds the next job of a chain, from within a run of the one before.
async fn chain(context: RunContext, left: u32) -> Result<u32, Error> {
    if left > 0 {
        let next = Date::at(context.fire_time + chrono::TimeDelta::seconds(10));
        let spec = JobSpec::new("chain", next).id(format!("chain-{left}")).args(left - 1);
        context.scheduler()?.add_job(spec).await?;
    }
    Ok(left)
}

#[test]
fn a_run_adds_the_job_that_follows() {
    let world = World::new(|builder| builder.task("chain", chain));
    world.add(JobSpec::now("chain").id("first").args(2));
    world.told();
    world.advance(60);
    let executed: Vec<_> = world.told().into_iter().filter(|line| line.contains("executed")).collect();
    assert_eq!(executed, ["10:00:10 executed chain-2@10:00:10 -> 1", "10:00:20 executed chain-1@10:00:20 -> 0"]);
}

/// The same, blocking its thread.
fn blocking_chain(context: RunContext, left: u32) -> Result<u32, Error> {
    if left > 0 {
        let scheduler = context.scheduler()?;
        let executor = if left == 2 { "pool" } else { "default" };
        scheduler.block_on(scheduler.add_job(JobSpec::now("chain").executor(executor).args(left - 1)))?;
    }
    Ok(left)
}

#[test]
fn a_blocking_run_adds_the_job_that_follows_on_each_executor_with_threads() {
    let builder = Scheduler::builder(ThreadRuntime::new().unwrap()).executor("pool", ThreadPool::new().threads(1));
    let scheduler = builder.blocking_task("chain", blocking_chain).background().unwrap();
    let mut executed = scheduler.events(EventMask::RUN_EXECUTED | EventMask::RUN_ERROR);
    scheduler.start().unwrap();
    scheduler.add_job(JobSpec::now("chain").args(2)).unwrap();
    let mut outputs = Vec::new();
    while outputs.len() < 3 {
        match &futures_executor::block_on(executed.next()).unwrap().unwrap().kind {
            EventKind::RunExecuted { output, .. } => outputs.push(output.as_u64().unwrap()),
            other => panic!("{other:?}"),
        }
    }
    outputs.sort();
    assert_eq!(outputs, [0, 1, 2]);
    scheduler.shutdown(ShutdownMode::Wait).unwrap();
}

#[test]
fn a_run_on_the_thread_of_its_scheduler_is_not_left_waiting_for_it() {
    let world = World::new(|builder| {
        builder.executor("inline", Inline::new()).blocking_task("chain", blocking_chain).task(
            "async",
            async |context: RunContext| {
                let scheduler = context.scheduler()?;
                scheduler.block_on(scheduler.add_job(JobSpec::now("tick"))).map(drop)
            },
        )
    });
    world.add(JobSpec::now("chain").id("inline").args(1).executor("inline"));
    world.add(JobSpec::now("async").id("async"));
    let told = world.told().join("\n");
    for job in ["inline", "async"] {
        let error = format!(
            "error {job}@10:00:00: panicked: a task of job `{job}`, async or inline, called a blocking function"
        );
        assert!(told.contains(&error), "{told}");
    }
}

#[test]
fn a_run_has_its_scheduler_when_all_handles_have_gone() {
    let world = World::new(|builder| builder.task("chain", chain));
    world.add(JobSpec::new("chain", Date::at(clock("10:00:30"))).id("first").args(1));
    world.told();
    let log = world.log();
    let World { runtime, scheduler, .. } = world;
    drop(scheduler);
    runtime.advance(Duration::from_secs(60));
    let executed: Vec<_> = log.read().into_iter().filter(|line| line.contains("executed")).collect();
    assert_eq!(executed, ["10:00:30 executed first@10:00:30 -> 1", "10:00:40 executed chain-1@10:00:40 -> 0"]);
}

#[test]
fn the_handle_of_a_run_does_not_keep_a_scheduler_and_says_so_when_it_has_ended() {
    let world = World::new(|builder| builder);
    let (give, given) = std::sync::mpsc::channel();
    let keep = task("keep", move |context: RunContext| {
        give.send(context.scheduler().unwrap()).unwrap();
        async {}
    });
    world.wait(world.scheduler.add_task(keep)).unwrap();
    world.add(JobSpec::now("keep"));
    let kept = given.recv().unwrap();
    assert_eq!(world.wait(kept.state()), SchedulerState::Running);

    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    let error = world.wait(kept.add_job(JobSpec::now("tick"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShutDown);
}

#[test]
fn a_run_without_a_scheduler_says_so() {
    let context = RunContext::new("report", RunId { uid: Uid(1), seq: 1 }, clock("10:00:00"));
    let error = context.scheduler().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRunning);
    assert!(error.to_string().starts_with("the run of job `report` has no scheduler at hand, as in a worker process"));
}
