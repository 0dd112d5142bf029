//! What is over stays known, and the end of a run can be waited for, on any node.

use std::time::Duration;

use futures_util::future::join;
use scheduler_core::{
    ErrorKind, JobSpec, Outcome, Output, PartialOptions, Retry, RunContext, RunId, RunState, Verdict,
    trigger::{Date, Interval},
};
use scheduler_runtime::{Job, RunContextExt, Runtime, ShutdownMode};
use scheduler_stores::MemoryStore;
use serde_json::Value;

use crate::{
    stage::Hand,
    world::{World, clock, time},
};

const MINUTE: Duration = Duration::from_secs(60);

/// A one-shot for 10:00:10.
fn once() -> JobSpec {
    JobSpec::new("tick", Date::at(clock("10:00:10"))).id("once")
}

fn first_run(job: &Job) -> RunId {
    RunId { uid: job.uid, seq: 1 }
}

#[test]
fn a_job_that_is_over_is_known_by_its_runs_for_its_retention() {
    let world = World::new(|builder| builder);
    let job = world.add(once().retention(MINUTE));
    world.advance(10);
    let scheduler = &world.scheduler;

    assert!(world.wait(scheduler.job("once")).unwrap().is_none());
    assert_eq!(world.wait(scheduler.jobs()).unwrap().len(), 0);
    let run = world.wait(scheduler.find_run(first_run(&job))).unwrap().expect("its retention has not passed");
    assert_eq!((run.verdict(), time(run.fire_time)), (Some(Verdict::Ok), "10:00:10".to_owned()));
    let history = world.wait(scheduler.history(job.uid, 10)).unwrap();
    assert_eq!(history, world.wait(job.runs(10)).unwrap());
    assert_eq!(history, [run]);

    // Its id is free, and its successor has a history of its own.
    let successor = world.add(JobSpec::now("tick").id("once").retention(MINUTE));
    world.advance(0);
    assert_eq!(world.wait(scheduler.history(successor.uid, 10)).unwrap().len(), 1);
    assert_eq!(world.wait(scheduler.history(job.uid, 10)).unwrap().len(), 1);

    // It goes with a claim, and nothing wakes the scheduler for that.
    world.advance(61);
    world.add(JobSpec::now("tick").id("another"));
    world.advance(0);
    assert_eq!(world.wait(scheduler.find_run(first_run(&job))).unwrap(), None);
}

#[test]
fn the_retention_is_that_of_the_job_of_the_scheduler_or_of_the_store() {
    let world = World::new(|builder| builder);
    assert_eq!(world.add(once()).body.options.retention, Duration::from_secs(300));
    let world = World::new(|builder| builder.job_defaults(PartialOptions::default().retention(Duration::from_secs(7))));
    assert_eq!(world.add(once()).body.options.retention, Duration::from_secs(7));
    let gone = world.add(once().id("gone").retention(Duration::ZERO));
    world.advance(10);
    assert_eq!(world.wait(world.scheduler.find_run(first_run(&gone))).unwrap(), None);
}

#[test]
fn memory_keeps_the_last_thousand_jobs_that_are_over() {
    let world = World::new(|builder| builder);
    let specs = (0..1_500).map(|n| JobSpec::new("tick", Date::at(clock("10:00:10"))).id(format!("{n:05}")));
    let jobs: Vec<Job> =
        world.wait(world.scheduler.add_jobs(specs.collect())).into_iter().map(Result::unwrap).collect();
    world.advance(10);
    // Each claim deletes some of them.
    for _ in 0..5 {
        world.add(JobSpec::now("tick").retention(Duration::ZERO));
        world.advance(0);
    }
    let is_known = |job: &&Job| world.wait(world.scheduler.find_run(first_run(job))).unwrap().is_some();
    let known = jobs.iter().filter(is_known).count();
    assert!((900..=1_000).contains(&known), "{known}");
}

#[test]
fn the_end_of_a_run_on_this_node_is_waited_for() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    let job = world.add(JobSpec::new("tick", Interval::hours(1)).id("hourly"));
    let run = world.wait(job.run_now()).unwrap();

    let ends = async {
        world.runtime.sleep(Duration::from_secs(7)).await;
        hand.end(Outcome::Error("no paper".to_owned()));
    };
    let (ended, ()) = world.wait(join(job.join(run), ends));

    let ended = ended.unwrap();
    assert_eq!((ended.id, ended.verdict(), ended.error.as_deref()), (run, Some(Verdict::Error), Some("no paper")));
    assert_eq!(time(world.runtime.now().utc), "10:00:07");
    assert_eq!(world.wait(world.scheduler.wait_for(run)).unwrap(), ended);
}

#[test]
fn the_end_of_a_run_on_another_node_is_seen_within_five_seconds() {
    let (hand, store) = (Hand::default(), MemoryStore::new());
    let world = World::new(|builder| builder.store("default", store.clone()).executor("default", hand.clone()));
    let waiting = world.beside(|builder| builder.store("default", store));
    world.wait(waiting.scheduler.pause()).unwrap();
    let job = world.add(once());
    world.advance(10);

    let ends = async {
        world.runtime.sleep(Duration::from_secs(60)).await;
        hand.end(Outcome::Ok(Value::Null));
    };
    let (ended, ()) = world.wait(join(waiting.scheduler.wait_for(first_run(&job)), ends));

    assert_eq!(ended.unwrap().verdict(), Some(Verdict::Ok));
    let waited = time(world.runtime.now().utc);
    assert!(("10:01:10".."10:01:15").contains(&&*waited), "{waited}");
}

#[test]
fn retries_belong_to_the_run_that_is_waited_for() {
    let world = World::new(|builder| builder);
    let retry = Retry::attempts(3).backoff(Duration::from_secs(10)).factor(1.0).jitter(0.0);
    let job = world.add(JobSpec::now("fail").retry(retry));
    let ended = world.wait(job.join(job.next_run())).unwrap();
    assert_eq!((ended.attempt, ended.verdict(), ended.error.as_deref()), (3, Some(Verdict::Error), Some("disk full")));
    let errors: Vec<_> = ended.errors.iter().map(|it| (it.attempt, it.error.as_str(), time(it.at))).collect();
    assert_eq!(errors, [(1, "disk full", "10:00:00".to_owned()), (2, "disk full", "10:00:10".to_owned())]);
    assert_eq!(time(world.runtime.now().utc), "10:00:20");
}

#[test]
fn a_run_that_is_yet_to_come_is_waited_for_while_its_job_is_there() {
    let world = World::new(|builder| builder);
    let job = world.add(once());
    let ended = world.wait(job.join(job.next_run())).unwrap();
    assert_eq!((ended.id, time(world.runtime.now().utc)), (job.next_run(), "10:00:10".to_owned()));

    let job = world.add(JobSpec::new("tick", Interval::hours(1)).id("hourly"));
    let removes = async {
        world.runtime.sleep(Duration::from_secs(60)).await;
        job.remove().await.unwrap();
    };
    let (ended, ()) = world.wait(join(job.join(job.next_run()), removes));
    assert!(ended.unwrap_err().is_not_found());
}

#[test]
fn a_run_whose_job_is_removed_or_goes_at_once_is_given_as_it_was_told() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("default", hand.clone()));
    for is_removed in [true, false] {
        let job = world.add(JobSpec::now("tick").id("once").retention(Duration::ZERO));
        world.advance(0);
        let ends = async {
            world.runtime.sleep(Duration::from_secs(1)).await;
            if is_removed {
                job.remove().await.unwrap();
            }
            hand.end(Outcome::Ok(Value::Null));
        };
        let (ended, ()) = world.wait(join(world.scheduler.wait_for(first_run(&job)), ends));
        assert_eq!(ended.unwrap().state, RunState::Ended(Verdict::Ok));
        assert_eq!(world.wait(world.scheduler.find_run(first_run(&job))).unwrap(), None);
    }
}

#[test]
fn what_is_not_known_is_an_error_at_once() {
    let world = World::new(|builder| builder);
    let job = world.add(once());
    let error = world.wait(world.scheduler.wait_for(first_run(&job))).unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(error.to_string().contains("is not known"), "{error}");
    let other = RunId { uid: scheduler_core::Uid(7), seq: 1 };
    assert!(world.wait(job.join(other)).unwrap_err().to_string().contains("is not one of job `once`"));
    assert_eq!(world.wait(world.scheduler.find_run(other)).unwrap(), None);
    assert_eq!(time(world.runtime.now().utc), "10:00:00");
}

#[test]
fn a_wait_ends_with_its_scheduler() {
    let (hand, store) = (Hand::default(), MemoryStore::new());
    let world = World::new(|builder| builder.store("default", store.clone()).executor("default", hand));
    let waiting = world.beside(|builder| builder.store("default", store));
    world.wait(waiting.scheduler.pause()).unwrap();
    let job = world.add(JobSpec::now("tick"));
    world.advance(0);

    let ends = async {
        world.runtime.sleep(Duration::from_secs(3)).await;
        waiting.scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    };
    let (ended, ()) = world.wait(join(waiting.scheduler.wait_for(first_run(&job)), ends));

    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ShutDown);
}

#[test]
fn a_task_does_not_wait_for_its_own_run() {
    let world = World::new(|builder| {
        builder.task("waits", async |context: RunContext| {
            let scheduler = context.scheduler().map_err(|error| error.to_string())?;
            let error = scheduler.wait_for(context.run_id).await.unwrap_err();
            Ok::<_, String>(format!("{:?}", error.kind()))
        })
    });
    world.add(JobSpec::now("waits").id("once"));
    world.advance(0);
    let told = world.told();
    assert!(told.iter().any(|line| line.ends_with("-> \"OwnRun\"")), "{told:?}");
}

#[test]
fn an_output_is_kept_if_the_job_asks_for_it() {
    let world = World::new(|builder| {
        builder
            .task("answer", || async { vec![4, 2] })
            .blocking_task("text", |length: usize| "x".repeat(length))
            .job_defaults(PartialOptions::default().output(Output::Keep))
    });
    let ended = |spec: JobSpec| {
        let job = world.add(spec);
        world.wait(job.join(job.next_run())).unwrap()
    };

    let answer = ended(JobSpec::now("answer"));
    assert_eq!(answer.output::<Vec<u32>>().unwrap(), [4, 2]);
    let other = answer.output::<String>().unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Output);
    assert!(other.to_string().contains("its output is of another type: invalid type: sequence"), "{other}");
    assert_eq!(ended(JobSpec::now("tick")).output::<()>(), Ok(()));
    assert_eq!(ended(JobSpec::now("text").args(16_382)).output::<String>().unwrap().len(), 16_382);

    // A larger one is left out, and the run has ended ok all the same.
    let large = ended(JobSpec::now("text").args(16_383));
    assert_eq!(large.verdict(), Some(Verdict::Ok));
    let error = large.output::<String>().unwrap_err().to_string();
    assert!(error.contains("its output has 16385 bytes as JSON, more than the 16384 that are kept"), "{error}");

    let discarded = ended(JobSpec::now("answer").output(Output::Discard)).output::<Value>().unwrap_err().to_string();
    assert!(discarded.contains("let its job keep it by `output(Output::Keep)`"), "{discarded}");
    let failed = ended(JobSpec::now("fail")).output::<Value>().unwrap_err().to_string();
    assert!(failed.ends_with("it has no output, since it has not ended ok"), "{failed}");
}
