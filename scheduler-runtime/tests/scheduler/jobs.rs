//! Adding jobs, and what comes of them.

use scheduler_core::{
    Conflict, ErrorKind, JobSpec, JobState, RunContext, Trigger, Verdict, WhenFinished,
    trigger::{Cron, First, Interval},
};
use scheduler_stores::MemoryStore;

use crate::listing::ids;
use crate::world::{World, clock, time};

#[test]
fn a_job_fires_again_and_again() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    assert_eq!(job.next_fire_time, Some(clock("10:00:10")));

    world.advance(25);

    assert_eq!(
        world.told(),
        [
            "10:00:00 added clock",
            "10:00:10 submitted clock@10:00:10",
            "10:00:10 executed clock@10:00:10",
            "10:00:20 submitted clock@10:00:20",
            "10:00:20 executed clock@10:00:20",
        ]
    );
    assert_eq!(world.wait(job.refresh()).unwrap().next_fire_time, Some(clock("10:00:30")));
}

#[test]
fn jobs_added_before_the_start_fire_when_they_are_due() {
    let world = World::stopped(|builder| builder);
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    let error = world.refused(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    assert_eq!(error.kind(), ErrorKind::Conflict);
    world.advance(35);
    assert_eq!(world.told(), ["10:00:00 added clock"]);

    world.wait(world.scheduler.start()).unwrap();
    world.advance(10);

    assert_eq!(
        world.told(),
        [
            "10:00:35 started",
            "10:00:35 coalesced clock@10:00:10..10:00:20 (2)",
            "10:00:35 submitted clock@10:00:30",
            "10:00:35 executed clock@10:00:30",
            "10:00:40 submitted clock@10:00:40",
            "10:00:40 executed clock@10:00:40",
        ]
    );
}

#[test]
fn a_duplicate_is_an_error_at_once_and_names_the_job() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));

    let error = world.refused(JobSpec::new("tick", Interval::seconds(5)).id("clock"));

    assert!(error.is_conflict());
    assert_eq!(
        error.to_string(),
        "job `clock` is in store `default` already; choose another id, or `Conflict::Replace` or `Conflict::Keep`"
    );
}

#[test]
fn replacing_with_the_same_trigger_keeps_the_next_fire_time_and_with_another_computes_it() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.advance(5);
    let replace = |spec: JobSpec| world.add(spec.id("clock").on_conflict(Conflict::Replace));

    let same = replace(JobSpec::new("fail", Interval::seconds(10)).name("Clock"));
    assert_eq!((same.next_fire_time, same.body.display_name()), (Some(clock("10:00:10")), "Clock"));
    let other = replace(JobSpec::new("tick", Interval::seconds(20)));
    assert_eq!(other.next_fire_time, Some(clock("10:00:25")));

    assert_eq!(world.told(), ["10:00:00 added clock", "10:00:05 modified clock", "10:00:05 modified clock"]);
}

#[test]
fn keeping_gives_the_job_that_is_there() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));

    let kept = world.add(JobSpec::new("fail", Interval::seconds(5)).id("clock").on_conflict(Conflict::Keep));

    assert_eq!(kept.body.task, "tick");
    assert_eq!(world.told(), ["10:00:00 added clock"]);
}

#[test]
fn many_jobs_are_added_each_by_itself_and_answered_in_order() {
    let world = World::new(|builder| builder.store("other", MemoryStore::new()));
    let every = || Interval::seconds(10);

    let added = world.wait(world.scheduler.add_jobs(vec![
        JobSpec::new("tick", every()).id("one"),
        JobSpec::new("unknown", every()).id("two"),
        JobSpec::new("tick", every()).id("three").store("other"),
        JobSpec::new("tick", every()).id("one"),
        JobSpec::new("tick", every()).id("five").store("nowhere"),
        JobSpec::new("tick", every()).id("six").executor("nobody"),
        JobSpec::new("tick", every()).id("seven"),
    ]));

    let outcomes: Vec<_> = added
        .iter()
        .map(|added| match added {
            Ok(job) => format!("{} in {}", job.id, job.store()),
            Err(error) => error.to_string(),
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            "one in default",
            "job `two`: this scheduler has no task `unknown`; register it before adding jobs for it",
            "three in other",
            "job `one` is in store `default` already; choose another id, or `Conflict::Replace` or `Conflict::Keep`",
            "there is no store `nowhere`; the scheduler has `default`, `other`",
            "there is no executor `nobody`; the scheduler has `default`",
            "seven in default",
        ]
    );
}

#[test]
fn a_job_without_an_id_gets_one() {
    let world = World::new(|builder| builder);

    let (one, two) = (world.add(JobSpec::now("tick")), world.add(JobSpec::now("tick")));

    assert_eq!(one.id.as_str().len(), 32);
    assert_ne!(one.id, two.id);
}

#[test]
fn an_id_that_no_store_could_keep_is_refused() {
    let world = World::new(|builder| builder);

    for (id, trouble) in [("", "it is empty"), ("a\0b", "it contains NUL"), (&"x".repeat(200), "200 bytes; 191")] {
        let error = world.refused(JobSpec::now("tick").id(id));
        assert_eq!(error.kind(), ErrorKind::Job);
        assert!(error.to_string().contains(trouble), "{error}");
    }
}

#[test]
fn a_job_that_could_never_fire_is_refused() {
    let world = World::new(|builder| builder);

    let error = world.refused(JobSpec::new("tick", Cron::crontab("30 2 31 2 *").unwrap()).id("never"));

    assert_eq!(error.kind(), ErrorKind::NeverFires);
    assert!(error.to_string().starts_with("job `never` would never fire: "), "{error}");
}

#[test]
fn a_one_shot_runs_at_once_and_goes_and_is_kept_on_request() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::now("tick").id("once"));
    let kept = world.add(JobSpec::now("tick").id("kept").when_finished(WhenFinished::Keep));

    assert_eq!(
        world.told(),
        [
            "10:00:00 added once",
            "10:00:00 submitted once@10:00:00",
            "10:00:00 executed once@10:00:00",
            "10:00:00 finished once",
            "10:00:00 added kept",
            "10:00:00 submitted kept@10:00:00",
            "10:00:00 executed kept@10:00:00",
        ]
    );
    let kept = world.wait(kept.refresh()).unwrap();
    assert_eq!((&kept.state, kept.next_fire_time), (&JobState::Kept, None));
    assert_eq!(ids(&world), ["kept"]);
}

#[test]
fn a_first_fire_time_is_exact_and_later_ones_follow_from_it() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock").first_fire_time(clock("10:00:03")));
    world.told();

    world.advance(25);

    let submitted: Vec<_> = world.told().into_iter().filter(|line| line.contains("submitted")).collect();
    assert_eq!(
        submitted,
        ["10:00:03 submitted clock@10:00:03", "10:00:10 submitted clock@10:00:10", "10:00:20 submitted clock@10:00:20"]
    );
}

#[test]
fn a_task_is_told_everything_about_its_run() {
    let (told, tells) = std::sync::mpsc::channel();
    let look = move |context: RunContext| {
        let told = told.clone();
        async move { told.send(context).unwrap() }
    };
    let world = World::new(|builder| builder.task("look", look).store("other", MemoryStore::new()));
    let job = world.add(JobSpec::new("look", Interval::seconds(10)).id("clock").name("Clock").store("other"));

    world.advance(20);

    let (first, second) = (tells.recv().unwrap(), tells.recv().unwrap());
    assert_eq!((first.job_id.as_str(), &*first.job_name, first.store.as_str()), ("clock", "Clock", "other"));
    assert_eq!((first.run_id.uid, first.run_id.seq), (job.uid, 1));
    assert_eq!((time(first.fire_time).as_str(), first.attempt), ("10:00:10", 1));
    assert_eq!((time(second.fire_time).as_str(), second.run_id.seq), ("10:00:20", 2));
    assert!(second.fence > first.fence);
    assert_eq!(first.node.as_str().len(), 32);
    assert!(!first.cancellation.is_cancelled());
}

#[test]
fn history_and_totals_say_how_fire_times_ended() {
    let flaky = |context: RunContext| async move {
        if context.run_id.seq.is_multiple_of(2) { Err("even") } else { Ok(context.run_id.seq) }
    };
    let world = World::new(|builder| builder.task("flaky", flaky));
    let job = world.add(JobSpec::new("flaky", Interval::seconds(10)).id("clock").history(3));

    world.advance(50);

    let runs = world.wait(job.runs(3)).unwrap();
    let ended: Vec<_> =
        runs.iter().map(|run| (run.id.seq, time(run.fire_time), run.verdict(), run.error.as_deref())).collect();
    assert_eq!(
        ended,
        [
            (5, "10:00:50".to_owned(), Some(Verdict::Ok), None),
            (4, "10:00:40".to_owned(), Some(Verdict::Error), Some("even")),
            (3, "10:00:30".to_owned(), Some(Verdict::Ok), None),
        ]
    );
    assert_eq!(world.wait(world.scheduler.runs("clock", 1)).unwrap()[0].id.seq, 5);
    let totals = world.wait(job.refresh()).unwrap().totals;
    assert_eq!((totals.of(Verdict::Ok), totals.of(Verdict::Error), totals.sum()), (3, 2, 5));
    // Stores prune now and then, so that it costs little.
    world.advance(5_000);
    let kept = world.wait(job.runs(1_000)).unwrap();
    assert!((3..100).contains(&kept.len()), "{}", kept.len());
    assert_eq!(world.wait(job.refresh()).unwrap().totals.sum(), 505);
}

#[test]
fn the_first_fire_of_an_interval_can_be_now() {
    let world = World::new(|builder| builder);

    world.add(JobSpec::new("tick", Interval::hours(1).first(First::Now)).id("clock"));

    assert_eq!(world.told()[1], "10:00:00 submitted clock@10:00:00");
}

#[test]
fn any_trigger_is_taken_by_value() {
    let world = World::new(|builder| builder);
    let text = r#"{"type": "date", "at": "2026-11-21T10:00:07Z"}"#;
    let trigger: Trigger = serde_json::from_str(text).unwrap();

    let job = world.add(JobSpec::new("tick", trigger));

    assert_eq!(job.next_fire_time, Some(clock("10:00:07")));
}
