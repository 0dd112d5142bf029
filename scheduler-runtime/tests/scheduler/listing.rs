//! Finding, listing, printing, exporting and importing jobs.

use scheduler_core::{
    Conflict, ErrorKind, JobBody, JobSpec, JobState,
    engine::ExportedJob,
    trigger::{Cron, Interval},
};
use scheduler_stores::MemoryStore;

use crate::world::World;

pub(crate) fn ids(world: &World) -> Vec<String> {
    world.wait(world.scheduler.jobs()).unwrap().iter().map(|job| job.id.to_string()).collect()
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
             early: tick (trigger: every 10s, next fire time: 2026-11-21 10:00:10 UTC)\n    \
             late: Late one (trigger: every 30s, next fire time: 2026-11-21 10:00:30 UTC)\n    \
             stopped: tick (trigger: crontab 30 2 * * *, paused)\n\
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
            exported("newer", &format!(r#"{{"v": 4, "task": "tick", {trigger}}}"#)),
        ],
        Conflict::Error,
    ));

    let kinds: Vec<_> = added.iter().map(|added| added.as_ref().map(|_| ()).map_err(|error| error.kind())).collect();
    assert_eq!(kinds, [Err(ErrorKind::Arguments), Ok(()), Err(ErrorKind::UnknownTask), Err(ErrorKind::NewerVersion)]);
    assert_eq!(ids(&world), ["good"]);
}
