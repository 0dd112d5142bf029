//! What a handle does with jobs.

use scheduler_core::{
    Conflict, ErrorKind, JobBody, JobChange, JobSpec, JobState, PartialOptions, RunContext, Verdict, WhenFinished,
    engine::{ExportedJob, SchedulerState, ShutdownMode},
    trigger::{Cron, Date, First, Interval, Trigger},
};
use scheduler_executors::{Inline, task};
use scheduler_stores::MemoryStore;
use serde::Deserialize;

use crate::world::{World, clock, time};

fn ids(world: &World) -> Vec<String> {
    world.wait(world.scheduler.jobs()).unwrap().iter().map(|job| job.id.to_string()).collect()
}

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
fn a_job_is_found_wherever_it_is_and_lists_are_by_next_fire_time() {
    let world = World::new(|builder| builder.store("other", MemoryStore::new()));
    world.add(JobSpec::new("tick", Interval::seconds(30)).id("late"));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("paused").paused());
    world.add(JobSpec::new("tick", Interval::seconds(20)).id("early").store("other"));

    assert_eq!(ids(&world), ["early", "late", "paused"]);
    let found = world.wait(world.scheduler.job("early")).unwrap().unwrap();
    assert_eq!(found.store().as_str(), "other");
    assert!(world.wait(world.scheduler.job("nobody")).unwrap().is_none());

    let other = world.scheduler.in_store("other");
    let in_other: Vec<_> = world.wait(other.jobs()).unwrap().iter().map(|job| job.id.to_string()).collect();
    assert_eq!(in_other, ["early"]);
    assert!(world.wait(other.job("late")).unwrap().is_none());
    let error = world.wait(world.scheduler.in_store("nowhere").jobs()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownStore);
}

#[test]
fn long_lists_come_in_pages_and_complete() {
    let world = World::new(|builder| builder);
    let specs = (0..2_500).map(|n| JobSpec::new("tick", Interval::hours(1)).id(format!("{n:04}"))).collect();
    world.wait(world.scheduler.add_jobs(specs));

    assert_eq!(ids(&world).len(), 2_500);
    assert_eq!(world.wait(world.scheduler.remove_all_jobs()), Ok(2_500));
    assert_eq!(ids(&world), Vec::<String>::new());
}

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

#[test]
fn the_printed_list_is_for_people() {
    let world = World::new(|builder| builder.store("other", MemoryStore::new()));
    world.add(JobSpec::new("tick", Interval::seconds(30)).id("late").name("Late one"));
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("early"));
    world.add(JobSpec::new("tick", Cron::crontab("30 2 * * *").unwrap()).id("stopped").paused());

    let mut text = Vec::new();
    world.wait(world.scheduler.print_jobs(&mut text)).unwrap();

    assert_eq!(
        String::from_utf8(text).unwrap(),
        "Store default:\n    \
             tick (trigger: every 10s, next fire time: 2026-11-21 10:00:10 UTC)\n    \
             Late one (trigger: every 30s, next fire time: 2026-11-21 10:00:30 UTC)\n    \
             tick (trigger: crontab 30 2 * * *, paused)\n\
         Store other:\n    \
             No scheduled jobs\n"
    );
}

#[test]
fn a_writer_that_fails_is_an_error_of_the_list() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is full"))
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let world = World::new(|builder| builder);

    let error = world.wait(world.scheduler.print_jobs(&mut Full)).unwrap_err();

    assert_eq!(error.to_string(), "the list of jobs cannot be written: the disk is full");
}

#[test]
fn jobs_leave_as_json_and_enter_another_scheduler_as_they_were() {
    let world = World::new(|builder| builder);
    let tick = |id: &str| JobSpec::new("tick", Interval::seconds(10)).id(id).name("Tick").max_instances(2);
    world.add(tick("one"));
    world.add(tick("two").paused());
    world.advance(5);
    let json = serde_json::to_string(&world.wait(world.scheduler.export_jobs()).unwrap()).unwrap();
    world.advance(20);

    let other = world.beside(|builder| builder);
    let jobs: Vec<ExportedJob> = serde_json::from_str(&json).unwrap();
    let added = other.wait(other.scheduler.import_jobs(jobs.clone(), Conflict::Error));

    assert!(added.iter().all(Result::is_ok), "{added:?}");
    assert_eq!(
        other.told(),
        [
            "10:00:25 added one",
            "10:00:25 added two",
            // It catches up with what was due meanwhile.
            "10:00:25 coalesced one@10:00:10 (1)".replace(" (1)", "").as_str(),
            "10:00:25 submitted one@10:00:20",
            "10:00:25 executed one@10:00:20",
        ]
    );
    let two = other.wait(other.scheduler.job("two")).unwrap().unwrap();
    assert_eq!((&two.state, two.body.options.max_instances.get()), (&JobState::Paused, 2));
    let again = other.wait(other.scheduler.import_jobs(jobs.clone(), Conflict::Error));
    assert!(again.iter().all(|added| added.as_ref().is_err_and(|error| error.is_conflict())), "{again:?}");
    let replaced = other.wait(other.scheduler.import_jobs(jobs, Conflict::Replace));
    assert!(replaced.iter().all(Result::is_ok), "{replaced:?}");
}

#[test]
fn what_cannot_be_imported_is_refused_by_itself() {
    let world = World::new(|builder| builder.task("greet", |_: String| async {}));
    let exported = |id: &str, body: &str| -> ExportedJob {
        let body: JobBody = serde_json::from_str(body).unwrap();
        ExportedJob { id: id.into(), paused: false, next_fire_time: None, job: body }
    };
    let trigger = r#""trigger": {"type": "interval", "every_us": 10000000}"#;

    let added = world.wait(world.scheduler.import_jobs(
        vec![
            exported("typed", &format!(r#"{{"v": 1, "task": "greet", "args": 7, {trigger}}}"#)),
            exported("good", &format!(r#"{{"v": 1, "task": "greet", "args": "ann", {trigger}}}"#)),
            exported("unknown", &format!(r#"{{"v": 1, "task": "ghost", {trigger}}}"#)),
            exported("newer", &format!(r#"{{"v": 2, "task": "tick", {trigger}}}"#)),
        ],
        Conflict::Error,
    ));

    let kinds: Vec<_> = added.iter().map(|added| added.as_ref().map(|_| ()).map_err(|error| error.kind())).collect();
    assert_eq!(kinds, [Err(ErrorKind::Arguments), Ok(()), Err(ErrorKind::UnknownTask), Err(ErrorKind::NewerVersion)]);
    assert_eq!(ids(&world), ["good"]);
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
fn job_defaults_hold_where_a_description_says_nothing() {
    let defaults = PartialOptions::default().max_instances(5).history(7);
    let world = World::new(|builder| builder.job_defaults(defaults).timezone_named("Europe/Berlin"));

    let job = world.add(JobSpec::new("tick", Cron::crontab("0 12 * * *").unwrap()).history(9));

    assert_eq!((job.body.options.max_instances.get(), job.body.options.history), (5, 9));
    // Noon in Berlin.
    assert_eq!(job.next_fire_time, Some(clock("11:00:00")));
}

#[test]
fn the_first_fire_of_an_interval_can_be_now() {
    let world = World::new(|builder| builder);

    world.add(JobSpec::new("tick", Interval::hours(1).first(First::Now)).id("clock"));

    assert_eq!(world.told()[1], "10:00:00 submitted clock@10:00:00");
}

#[test]
fn a_scheduler_goes_from_stopped_over_running_and_paused_to_shut_down() {
    let world = World::stopped(|builder| builder);
    let state = || world.wait(world.scheduler.state());
    assert_eq!(state(), SchedulerState::Stopped);
    assert_eq!(world.wait(world.scheduler.pause()).unwrap_err().kind(), ErrorKind::NotRunning);
    assert_eq!(world.wait(world.scheduler.resume()).unwrap_err().kind(), ErrorKind::NotRunning);
    assert!(!world.wait(world.scheduler.is_running()));

    world.wait(world.scheduler.start()).unwrap();
    assert_eq!(state(), SchedulerState::Running);
    assert_eq!(world.wait(world.scheduler.start()).unwrap_err().kind(), ErrorKind::AlreadyStarted);
    assert_eq!(world.wait(world.scheduler.start_paused()).unwrap_err().kind(), ErrorKind::AlreadyStarted);
    world.wait(world.scheduler.pause()).unwrap();
    world.wait(world.scheduler.pause()).unwrap();
    assert_eq!(state(), SchedulerState::Paused);
    assert!(world.wait(world.scheduler.is_running()));
    world.wait(world.scheduler.resume()).unwrap();
    world.wait(world.scheduler.resume()).unwrap();
    world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    assert_eq!(state(), SchedulerState::ShutDown);

    assert_eq!(world.told(), ["10:00:00 started", "10:00:00 paused", "10:00:00 resumed", "10:00:00 shut down"]);
}

#[test]
fn a_scheduler_that_is_started_paused_runs_nothing_until_it_is_resumed() {
    let world = World::stopped(|builder| builder);
    world.wait(world.scheduler.start_paused()).unwrap();
    world.add(JobSpec::now("tick").id("once"));
    world.advance(60);
    assert_eq!(world.told(), ["10:00:00 started", "10:00:00 added once"]);

    world.wait(world.scheduler.resume()).unwrap();

    assert_eq!(
        world.told(),
        [
            "10:01:00 resumed",
            "10:01:00 submitted once@10:00:00",
            "10:01:00 executed once@10:00:00",
            "10:01:00 finished once"
        ]
    );
}

#[test]
fn stores_and_executors_come_and_go() {
    let world = World::new(|builder| builder);
    world.wait(world.scheduler.add_store("other", MemoryStore::new())).unwrap();
    world.wait(world.scheduler.add_executor("inline", Inline::new())).unwrap();
    let error = world.wait(world.scheduler.add_store("other", MemoryStore::new())).unwrap_err();
    assert_eq!(error.to_string(), "store `other` is there already; remove it first or choose another name");
    let error = world.wait(world.scheduler.add_executor("inline", Inline::new())).unwrap_err();
    assert_eq!(error.to_string(), "executor `inline` is there already; remove it first or choose another name");
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("there").store("other").executor("inline"));
    world.advance(10);

    world.wait(world.scheduler.remove_executor("inline")).unwrap();
    world.advance(10);
    world.wait(world.scheduler.remove_store("other")).unwrap();
    world.advance(60);

    assert_eq!(
        world.told(),
        [
            "10:00:00 store other added",
            "10:00:00 executor inline added",
            "10:00:00 added there",
            "10:00:10 submitted there@10:00:10",
            "10:00:10 executed there@10:00:10",
            "10:00:10 executor inline removed",
            "10:00:20 declined there: this node has no executor `inline`",
            "10:00:20 store other removed",
        ]
    );
    let error = world.wait(world.scheduler.remove_store("other")).unwrap_err();
    assert_eq!(error.to_string(), "there is no store `other`; the scheduler has `default`");
    let error = world.wait(world.scheduler.remove_executor("inline")).unwrap_err();
    assert_eq!(error.to_string(), "there is no executor `inline`; the scheduler has `default`");
}

#[test]
fn a_task_that_is_removed_leaves_its_jobs_to_others_and_one_that_is_added_takes_them_up() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.told();

    world.wait(world.scheduler.remove_task("tick")).unwrap();
    world.advance(60);
    assert_eq!(world.told(), ["10:00:10 declined clock: this node has no task `tick`"]);
    let error = world.wait(world.scheduler.remove_task("tick")).unwrap_err();
    assert_eq!(error.to_string(), "this scheduler has no task `tick`");
    world.wait(world.scheduler.add_task(task("tick", || async {}))).unwrap();

    assert_eq!(
        world.told(),
        [
            "10:01:00 coalesced clock@10:00:10..10:00:50 (5)",
            "10:01:00 submitted clock@10:01:00",
            "10:01:00 executed clock@10:01:00"
        ]
    );
}

#[test]
fn a_scheduler_with_nothing_due_does_not_wake() {
    let world = World::new(|builder| builder);
    world.wait(world.scheduler.wakeup()).unwrap();
    // Once it looks for what dead nodes left behind, when it has been here for as long as their leases.
    world.advance(60);
    let before = world.runtime.wake_ups();

    world.advance(86_400);

    assert_eq!(world.runtime.wake_ups(), before, "nothing is due, so nothing wakes");
}

#[test]
fn any_trigger_is_taken_by_value() {
    let world = World::new(|builder| builder);
    let text = r#"{"type": "date", "at": "2026-11-21T10:00:07Z"}"#;
    let trigger: Trigger = serde_json::from_str(text).unwrap();

    let job = world.add(JobSpec::new("tick", trigger));

    assert_eq!(job.next_fire_time, Some(clock("10:00:07")));
}
