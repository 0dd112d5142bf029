//! Closures as jobs: kept by memory stores for as long as their jobs are there.

use std::sync::Arc;

use scheduler_core::{
    Conflict, ErrorKind, JobSpec,
    store::Durability,
    trigger::{First, Interval},
};
use scheduler_executors::task;
use scheduler_stores::MemoryStore;

use crate::{
    stage::FaultyStore,
    world::{Log, World},
};

/// A closure that writes into a log, and a way to see whether it is still kept.
fn closure(log: &Log, line: &str) -> (scheduler_core::Task, std::sync::Weak<()>) {
    let (kept, log, line) = (Arc::new(()), log.clone(), line.to_owned());
    let weak = Arc::downgrade(&kept);
    let call = move || {
        let (_kept, log, line) = (Arc::clone(&kept), log.clone(), line.clone());
        async move { log.write(line) }
    };
    (task("", call), weak)
}

#[test]
fn a_memory_store_keeps_closures_and_forgets_them_with_their_jobs() {
    let world = World::new(|builder| builder);
    let log = Log::default();
    let (write, kept) = closure(&log, "written");
    let job = world.add(JobSpec::closure(write, Interval::seconds(10)).id("closure"));

    world.advance(20);
    assert_eq!(log.read(), ["written", "written"]);
    assert!(kept.upgrade().is_some());
    world.wait(job.remove()).unwrap();

    assert!(kept.upgrade().is_none());
}

#[test]
fn a_closure_goes_when_its_job_is_over() {
    let world = World::new(|builder| builder);
    let log = Log::default();
    let (write, kept) = closure(&log, "written");

    world.add(JobSpec::closure(write, scheduler_core::trigger::Date::at(crate::world::clock("10:00:05"))));
    world.advance(5);

    assert_eq!(log.read(), ["written"]);
    assert!(kept.upgrade().is_none());
}

#[test]
fn a_closure_goes_when_all_jobs_are_removed() {
    let world = World::new(|builder| builder);
    let (write, kept) = closure(&Log::default(), "written");
    world.add(JobSpec::closure(write, Interval::seconds(10)));

    world.wait(world.scheduler.remove_all_jobs()).unwrap();

    assert!(kept.upgrade().is_none());
}

#[test]
fn a_closure_whose_job_is_refused_kept_or_replaced_goes_at_once() {
    let world = World::new(|builder| builder);
    let log = Log::default();
    let (first, first_kept) = closure(&log, "first");
    let (refused, refused_kept) = closure(&log, "refused");
    let (unneeded, unneeded_kept) = closure(&log, "unneeded");
    let (second, second_kept) = closure(&log, "second");
    let every = || Interval::seconds(10).first(First::AfterOneInterval);
    world.add(JobSpec::closure(first, every()).id("closure"));

    let error = world.refused(JobSpec::closure(refused, every()).id("closure"));
    assert_eq!((error.kind(), refused_kept.upgrade()), (ErrorKind::Conflict, None));
    world.add(JobSpec::closure(unneeded, every()).id("closure").on_conflict(Conflict::Keep));
    assert!(unneeded_kept.upgrade().is_none());
    assert!(first_kept.upgrade().is_some());
    world.add(JobSpec::closure(second, every()).id("closure").on_conflict(Conflict::Replace));
    assert!(first_kept.upgrade().is_none());
    assert!(second_kept.upgrade().is_some());
    world.advance(10);

    assert_eq!(log.read(), ["second"]);
}

#[test]
fn a_closure_that_goes_to_a_store_that_is_not_there_goes_at_once() {
    let world = World::new(|builder| builder);
    let (write, kept) = closure(&Log::default(), "written");

    let error = world.refused(JobSpec::closure(write, Interval::seconds(10)).store("nowhere"));

    assert_eq!((error.kind(), kept.upgrade()), (ErrorKind::UnknownStore, None));
}

#[test]
fn closures_of_schedulers_that_share_a_store_are_told_apart() {
    let jobs = MemoryStore::new();
    let first = World::new(|builder| builder.store("default", jobs.clone()));
    let second = first.beside(|builder| builder.store("default", jobs.clone()));
    let log = Log::default();
    for (world, line) in [(&first, "first"), (&second, "second")] {
        let (write, _) = closure(&log, line);
        world.add(JobSpec::closure(write, Interval::seconds(10)).id(line));
    }
    first.told();
    second.told();

    first.advance(10);

    let mut written = log.read();
    written.sort();
    assert_eq!(written, ["first", "second"]);
    assert_eq!(first.told(), ["10:00:10 submitted first@10:00:10", "10:00:10 executed first@10:00:10"]);
    assert_eq!(second.told(), ["10:00:10 submitted second@10:00:10", "10:00:10 executed second@10:00:10"]);
}

#[test]
fn a_store_that_outlives_the_process_refuses_closures_and_says_what_to_do() {
    let durable = FaultyStore::default().with_limits(|limits| limits.with_durability(Durability::Durable));
    let world = World::new(|builder| builder.store("durable", durable));
    let (write, kept) = closure(&Log::default(), "written");

    let error = world.refused(JobSpec::closure(write, Interval::seconds(10)).id("closure").store("durable"));

    assert_eq!((error.kind(), kept.upgrade()), (ErrorKind::Closure, None));
    assert_eq!(
        error.to_string(),
        "job `closure` is a closure, which store `durable` cannot keep beyond this process; register it as a task under a \
         name and add a job for that, or add it to a memory store"
    );
}

#[test]
fn closures_are_left_out_of_exports() {
    let world = World::new(|builder| builder);
    let (write, _) = closure(&Log::default(), "written");
    world.add(JobSpec::closure(write, Interval::seconds(10)));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));

    let exported = world.wait(world.scheduler.export_jobs()).unwrap();

    assert_eq!(exported.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["clock"]);
}
