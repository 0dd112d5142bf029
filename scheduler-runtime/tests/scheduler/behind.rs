//! More than the machine can do: what is late is late, and nothing else happens to it.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use chrono::TimeDelta;
use scheduler_core::{EventKind, EventMask, JobSpec, engine::SchedulerState, trigger::Interval};
use scheduler_runtime::{Builder, Runtime, Scheduler};
use scheduler_testkit::SimulatedRuntime;

use crate::{
    stage::SlowRuntime,
    world::{at, block_on, clock},
};

/// Half as many again as can be started in a second.
const JOBS: i64 = 1_500;

/// For how long they fire.
const SECONDS: i64 = 4;

/// Runs that end at once, once a second and job, the jobs' phases spread over the second.
fn jobs() -> Vec<JobSpec> {
    let start = clock("10:00:01");
    let spec = |number: i64| {
        let phase = start + TimeDelta::microseconds(number * 1_000_000 / JOBS);
        let until = start + TimeDelta::seconds(SECONDS) - TimeDelta::microseconds(1);
        JobSpec::new("tick", Interval::seconds(1).starting_at(phase).until(until)).id(format!("job-{number}"))
    };
    (0..JOBS).map(spec).collect()
}

/// What became of the fire times: how many, by event.
#[derive(Clone, Default)]
struct Verdicts(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Verdicts {
    fn watch(&self, builder: Builder) -> Builder {
        let verdicts = self.clone();
        builder.listener(EventMask::ALL, move |event| {
            let (name, run) = match &event.kind {
                EventKind::RunExecuted { run, .. } => ("executed", run),
                EventKind::RunCoalesced(run) => ("coalesced", run),
                EventKind::RunSkipped(run) => ("skipped", run),
                EventKind::RunMissed(run) => ("missed", run),
                _ => return,
            };
            *verdicts.0.lock().unwrap().entry(name).or_default() += run.count.unwrap_or(1);
        })
    }

    fn are_of_one_that_is_behind(&self, runtime: &SlowRuntime) {
        let took = runtime.starts();
        assert!(took > 5 * SECONDS as u64 * 1_000 / 4, "its starts took {took} ms, in {SECONDS} s");
        assert_eq!(self.of("executed") + self.of("coalesced"), (JOBS * SECONDS) as u64, "{:?}", self.0);
        assert_eq!(self.of("skipped"), 0, "{:?}", self.0);
    }

    fn of(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or_default()
    }
}

#[test]
fn a_scheduler_that_is_behind_skips_nothing() {
    let (simulated, verdicts) = (at("10:00:00"), Verdicts::default());
    let runtime = SlowRuntime::new(simulated.clone());
    let builder = Scheduler::builder(runtime.clone()).executor("default", runtime.executor());
    let scheduler = verdicts.watch(builder).task("tick", || async {}).build().unwrap();
    add(&simulated, &scheduler);
    block_on(&simulated, scheduler.start()).unwrap();

    simulated.advance(Duration::from_secs(10));

    verdicts.are_of_one_that_is_behind(&runtime);
}

#[test]
fn a_local_scheduler_that_is_behind_skips_nothing() {
    let (simulated, verdicts) = (at("10:00:00"), Verdicts::default());
    let runtime = SlowRuntime::new(simulated.clone());
    let builder = Scheduler::builder(runtime.clone()).executor("default", runtime.executor());
    let scheduler = verdicts.watch(builder).task("tick", || async {}).local().unwrap();
    let added = scheduler.add_jobs(jobs());
    assert!(added.iter().all(Result::is_ok));
    scheduler.start().unwrap();

    let clock = simulated;
    scheduler.block_on(async move { clock.sleep(Duration::from_secs(10)).await });

    verdicts.are_of_one_that_is_behind(&runtime);
}

#[test]
fn a_scheduler_that_is_behind_answers() {
    let simulated = at("10:00:00");
    let runtime = SlowRuntime::new(simulated.clone());
    let builder = Scheduler::builder(runtime.clone()).executor("default", runtime.executor());
    let scheduler = builder.task("tick", || async {}).build().unwrap();
    add(&simulated, &scheduler);
    block_on(&simulated, scheduler.start()).unwrap();
    block_on(&simulated, async {
        simulated.sleep(Duration::from_secs(1)).await;
        while runtime.starts() < 500 {
            a_turn_of_others().await;
        }
    });

    let before = runtime.starts();
    assert_eq!(block_on(&simulated, scheduler.state()), SchedulerState::Running);
    block_on(&simulated, scheduler.pause_job("job-7")).unwrap();
    let during = runtime.starts() - before;
    simulated.advance(Duration::from_secs(10));

    assert!(during <= 3_000, "two calls took as long as {during} starts");
    assert!(runtime.starts() > before + during + 500, "there was more to do all the time");
}

/// Lets what else can run do so once.
async fn a_turn_of_others() {
    let mut has_waited = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn add(simulated: &SimulatedRuntime, scheduler: &Scheduler) {
    let added = block_on(simulated, scheduler.add_jobs(jobs()));
    assert!(added.iter().all(Result::is_ok), "{added:?}");
}
