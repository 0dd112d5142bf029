//! Limits by key: over jobs and nodes, with what waits for a place.

use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::{
    Answer, Coalesce, Delivery, ErrorKind, JobChange, JobSpec, LimitKey, Retry,
    engine::ShutdownMode,
    store::{Clock, Durability, KeyLimit, StoreLimits, Wakes},
    trigger::Interval,
};
use scheduler_runtime::{Builder, Runtime};
use scheduler_stores::MemoryStore;

use crate::{
    stage::FaultyStore,
    world::{World, clock},
};

/// A task that takes ten seconds.
fn slow(builder: Builder, world_clock: scheduler_testkit::SimulatedRuntime) -> Builder {
    builder.task("slow", move || {
        let clock = world_clock.clone();
        async move { clock.sleep(Duration::from_secs(10)).await }
    })
}

fn world_on(store: &MemoryStore) -> World {
    let runtime = crate::world::at("10:00:00");
    let its_clock = runtime.clone();
    World::new_on(runtime, |builder| slow(builder, its_clock).store("default", store.clone()))
}

fn world() -> World {
    world_on(&MemoryStore::new())
}

fn beside(world: &World, store: &MemoryStore) -> World {
    let its_clock = world.runtime.clone();
    world.beside(|builder| slow(builder, its_clock).store("default", store.clone()))
}

fn set(world: &World, key: &str, limit: u32) {
    world.wait(world.scheduler.set_limit(key, limit)).unwrap();
}

/// A job that is due once, some seconds after ten.
fn job(id: &str, second: i64) -> JobSpec {
    let at = clock("10:00:00") + TimeDelta::seconds(second);
    JobSpec::new("slow", Interval::days(1)).first_fire_time(at).id(id).limit_key("tenant-42")
}

fn add(world: &World, spec: JobSpec) {
    world.add(spec);
    world.told();
}

#[test]
fn no_more_runs_of_a_key_than_its_limit_are_running_and_those_due_for_longest_come_next() {
    let world = world();
    set(&world, "tenant-42", 2);
    for (id, second) in [("a", 5), ("b", 6), ("c", 8), ("d", 7), ("e", 17)] {
        add(&world, job(id, second));
    }
    add(&world, job("free", 9).limit_key("another"));
    add(&world, job("other", 9).limit_key(""));

    world.advance(40);

    assert_eq!(
        world.told(),
        [
            "10:00:05 submitted a@10:00:05",
            "10:00:06 submitted b@10:00:06",
            "10:00:07 waiting d for tenant-42",
            "10:00:08 waiting c for tenant-42",
            "10:00:09 submitted free@10:00:09",
            "10:00:09 submitted other@10:00:09",
            "10:00:15 executed a@10:00:05",
            "10:00:15 submitted d@10:00:07",
            "10:00:16 executed b@10:00:06",
            "10:00:16 submitted c@10:00:08",
            "10:00:17 waiting e for tenant-42",
            "10:00:19 executed free@10:00:09",
            "10:00:19 executed other@10:00:09",
            "10:00:25 executed d@10:00:07",
            "10:00:25 submitted e@10:00:17",
            "10:00:26 executed c@10:00:08",
            "10:00:35 executed e@10:00:17",
        ]
    );
}

#[test]
fn a_limit_holds_over_all_nodes_and_a_free_place_is_used_by_whichever_comes_first() {
    let store = MemoryStore::new();
    let one = world_on(&store);
    let other = beside(&one, &store);
    set(&other, "tenant-42", 1);
    for (id, second) in [("a", 1), ("b", 1), ("c", 1)] {
        add(&one, job(id, second));
    }

    one.advance(40);

    let runs = |line: &String| line.contains("submitted") || line.contains("executed");
    let mut told: Vec<String> = one.told().into_iter().chain(other.told()).filter(runs).collect();
    told.sort();
    assert_eq!(
        told,
        [
            "10:00:01 submitted a@10:00:01",
            "10:00:11 executed a@10:00:01",
            "10:00:11 submitted b@10:00:01",
            "10:00:21 executed b@10:00:01",
            "10:00:21 submitted c@10:00:01",
            "10:00:31 executed c@10:00:01",
        ]
    );
}

#[test]
fn a_thousand_that_wait_hold_up_no_other_job_and_ask_the_store_seldom() {
    let world = world();
    set(&world, "tenant-42", 1);
    let waiting = (0..1_000).map(|n| job(&format!("job {n:04}"), 1));
    assert!(world.wait(world.scheduler.add_jobs(waiting.collect())).iter().all(Result::is_ok));
    add(&world, job("other", 2).limit_key(""));

    world.advance(2);

    let told = world.told();
    assert_eq!(told.iter().filter(|line| line.contains(" waiting ")).count(), 999);
    assert_eq!(told.last().unwrap(), "10:00:02 submitted other@10:00:02");
    let limit = world.wait(world.scheduler.limit("tenant-42")).unwrap().unwrap();
    assert_eq!((limit.running, limit.waiting), (1, 999));
    assert_eq!(world.told(), [""; 0]);
    world.advance(60);
    let submitted = world.told().iter().filter(|line| line.contains(" submitted ")).count();
    assert_eq!(submitted, 6, "one after the other, of ten seconds each");
}

#[test]
fn what_waits_is_judged_when_there_is_a_place() {
    let world = world();
    set(&world, "tenant-42", 1);
    add(&world, job("long", 1));
    add(&world, job("patient", 2));
    add(&world, job("impatient", 2).misfire_grace_time(Duration::from_secs(5)));
    let every = |id: &str| JobSpec::new("slow", Interval::seconds(3)).id(id).limit_key("tenant-42");
    add(&world, every("often").first_fire_time(clock("10:00:03")).coalesce(Coalesce::Latest));

    world.advance(30);

    assert_eq!(
        world.told(),
        [
            "10:00:01 submitted long@10:00:01",
            "10:00:02 waiting patient for tenant-42",
            "10:00:02 waiting impatient for tenant-42",
            "10:00:03 waiting often for tenant-42",
            "10:00:10 missed impatient@10:00:02",
            "10:00:11 executed long@10:00:01",
            "10:00:11 submitted patient@10:00:02",
            "10:00:21 executed patient@10:00:02",
            "10:00:21 coalesced often@10:00:03..10:00:18 (6)",
            "10:00:21 submitted often@10:00:21",
            "10:00:24 skipped often@10:00:24",
            "10:00:27 skipped often@10:00:27",
            "10:00:30 skipped often@10:00:30",
        ]
    );
}

#[test]
fn a_retry_leaves_its_place_to_others_while_it_waits() {
    let world = world();
    set(&world, "tenant-42", 1);
    let failing = JobSpec::new("fail", Interval::days(1)).first_fire_time(clock("10:00:01")).id("failing");
    let retry = Retry::attempts(2).backoff(Duration::from_secs(4)).jitter(0.0);
    add(&world, failing.limit_key("tenant-42").retry(retry));
    add(&world, job("slow", 2));

    world.advance(20);

    assert_eq!(
        world.told(),
        [
            "10:00:01 submitted failing@10:00:01",
            "10:00:01 retried failing@10:00:01 at 10:00:05: disk full",
            "10:00:02 submitted slow@10:00:02",
            "10:00:05 waiting failing for tenant-42",
            "10:00:12 executed slow@10:00:02",
            "10:00:12 submitted failing@10:00:01 #2",
            "10:00:12 error failing@10:00:01 #2: disk full",
        ]
    );
}

#[test]
fn a_backlog_takes_the_places_that_there_are() {
    let world = world();
    set(&world, "tenant-42", 2);
    let late = JobSpec::new("slow", Interval::seconds(1).until(clock("10:00:03"))).id("late");
    let late = late.first_fire_time(clock("10:00:00")).coalesce(Coalesce::All).max_instances(10);
    world.wait(world.scheduler.pause()).unwrap();
    add(&world, late.limit_key("tenant-42"));
    world.advance(5);
    world.wait(world.scheduler.resume()).unwrap();
    world.told();

    world.advance(21);

    let runs = |line: &String| line.contains("submitted");
    let told: Vec<String> = world.told().into_iter().filter(runs).collect();
    assert_eq!(world.wait(world.scheduler.job("late")).unwrap().map(|job| job.totals.sum()), None, "it is over");
    assert_eq!(
        told,
        ["10:00:15 submitted late@10:00:02", "10:00:15 submitted late@10:00:03",],
        "the first two have started at once"
    );
}

#[test]
fn a_limit_is_changed_shown_and_taken_away_while_jobs_run() {
    let world = world();
    assert_eq!(world.wait(world.scheduler.limits()).unwrap(), []);
    set(&world, "tenant-42", 1);
    set(&world, "another", 5);
    for id in ["a", "b", "c", "d"] {
        add(&world, job(id, 1));
    }
    world.advance(2);
    world.told();

    set(&world, "tenant-42", 2);
    assert_eq!(world.told(), ["10:00:02 submitted b@10:00:01"]);
    let limit = |key: &str, limit: u32| KeyLimit::new(key.into(), limit.try_into().unwrap());
    let shown: Vec<KeyLimit> = world.wait(world.scheduler.limits()).unwrap().into_iter().map(|it| it.1).collect();
    assert_eq!(shown, [limit("another", 5), limit("tenant-42", 2).with_running(2).with_waiting(2)]);

    world.wait(world.scheduler.remove_limit("tenant-42")).unwrap();
    assert_eq!(world.told(), ["10:00:02 submitted c@10:00:01", "10:00:02 submitted d@10:00:01"]);
    assert_eq!(world.wait(world.scheduler.limit("tenant-42")).unwrap(), None);

    set(&world, "tenant-42", 1);
    assert_eq!(world.wait(world.scheduler.limit("tenant-42")).unwrap().unwrap().running, 4, "what runs counts");
    let again = JobChange::default().next_fire_time(clock("10:00:03"));
    world.wait(world.scheduler.modify_job("a", again.max_instances(2))).unwrap();
    world.advance(1);
    assert_eq!(world.told().last().unwrap(), "10:00:03 waiting a for tenant-42");
}

#[test]
fn what_waits_for_a_place_is_explained() {
    let world = world();
    set(&world, "tenant-42", 1);
    add(&world, job("a", 1));
    add(&world, job("b", 2));
    world.advance(5);

    let explanation = world.wait(world.scheduler.explain("b", clock("10:00:02"))).unwrap();

    assert!(matches!(explanation.answer, Answer::NoPlace { running: 1, .. }), "{explanation:?}");
    assert_eq!(
        explanation.to_string(),
        "`b` at 2026-11-21 10:00:02 UTC: it waits for a place under the limit key `tenant-42`, of which 1 of 1 are taken; it is due \
         since 3s"
    );
}

#[test]
fn the_place_of_a_node_that_is_gone_is_free_when_its_run_has_been_taken_over() {
    let store = MemoryStore::new();
    let one = world_on(&store);
    let other = beside(&one, &store);
    set(&one, "tenant-42", 1);
    add(&one, job("a", 1).delivery(Delivery::AtLeastOnce));
    add(&one, job("b", 2));
    one.advance(3);
    let (gone, left) =
        if one.told().iter().any(|line| line.contains("submitted a")) { (one, other) } else { (other, one) };
    drop(left.told());

    left.wait(gone.scheduler.shutdown(ShutdownMode::Now)).unwrap();
    left.advance(30);

    let runs = |line: &String| line.contains("submitted") || line.contains("executed");
    let told: Vec<String> = left.told().into_iter().filter(runs).map(|line| line[9..].to_owned()).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told.iter().filter(|line| line.contains("submitted")).count(), 2, "{told:?}");
    assert!(told[1].starts_with("executed"), "one after the other: {told:?}");
}

#[test]
fn impossible_limits_and_keys_are_refused() {
    let world = world();
    let refused = |key: &str, limit: u32| world.wait(world.scheduler.set_limit(key, limit)).unwrap_err();
    let cases = [
        ("tenant-42", 0, "limit key `tenant-42`: a limit of 0: at least 1; to keep jobs from running, pause them"),
        (
            "tenant-42",
            1_001,
            "limit key `tenant-42`: a limit of 1001: at most 1000; a key without a limit is not limited",
        ),
        ("", 1, "limit key \"\": it is empty; choose another"),
        ("a\0b", 1, "limit key \"a\\0b\": it contains NUL; choose another"),
    ];
    for (key, limit, message) in cases {
        let error = refused(key, limit);
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Config, message.to_owned()));
    }
    let long = LimitKey::from("x".repeat(192));
    let error = world.refused(job("a", 1).limit_key(&long));
    assert!(error.to_string().contains("`limit_key`: limit key \"xxx"), "{error}");
}

#[test]
fn a_store_that_keeps_no_limits_gets_no_job_with_a_limit_key() {
    let limits = StoreLimits::new(Clock::Caller, Wakes::Push, Durability::Volatile);
    let store = FaultyStore::default().with_limits(|_| limits);
    let world = World::new(|builder| builder.store("default", store));

    let error = world.refused(JobSpec::new("tick", Interval::days(1)).id("a").limit_key("tenant-42"));

    assert_eq!(error.kind(), ErrorKind::Job);
    assert_eq!(
        error.to_string(),
        "job `a` has the limit key `tenant-42`, and store `default` keeps no limits by key; keep the job in one that does, as \
         those of this library"
    );
    world.add(JobSpec::new("tick", Interval::days(1)).id("a"));
}
