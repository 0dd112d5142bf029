//! What an application can ask for.

use serde_json::json;

use super::script::{Script, at, every, job, limits, unavailable};
use crate::{
    BODY_VERSION, Conflict, ErrorKind, JobChange, JobRow, JobSpec, JobState, Listed, Overlap, PartialOptions, Run,
    RunId, Task, TaskCall, Uid, Verdict, WhenFinished,
    engine::{Change, Command, Effect, ExportedJob, Input, Mode, StoreCall, StoreReply},
    store::{Durability, Inserted, Removed, Stamped, StoreError, StoreErrorKind, StoreLimits, Update, Updated},
    trigger::{Cron, Date, Interval, Trigger},
};

fn change(script: &mut Script, change: Change) {
    script.command(Command::ChangeJob(None, "report".into(), change));
}

/// The script's store has this job, which a command reads.
fn found(script: &mut Script, job: &JobRow) {
    script.know(job);
    script.stored(Ok(StoreReply::Job(Some(Box::new(Listed::Job(job.clone()))))));
}

/// What the command wants written.
fn update(script: &Script) -> Update {
    match script.open_call() {
        StoreCall::Update(_, update) => (**update).clone(),
        call => panic!("an update is expected, not {call:?}"),
    }
}

/// An active job that fires each ten seconds, next after so many.
fn report(next: f64) -> JobRow {
    job(1, "report", every(10), next).job
}

fn in_state(state: JobState) -> JobRow {
    JobRow { state, next_fire_time: None, due: None, ..report(0.0) }
}

#[test]
fn a_new_job_is_told_of_when_the_store_has_it_and_wakes_the_engine() {
    let mut script = Script::running();
    script.at(3.0).add(JobSpec::new("work", Interval::seconds(10)).id("report"));
    script.expect("→ insert report next +13s");
    script.inserted();
    script.expect(
        "→ notify added report
         → reply added report",
    );
    assert_eq!(script.next_wake().unwrap().after.as_secs(), 10);
}

#[test]
fn a_job_can_be_added_before_the_start() {
    let mut script = Script::new();
    script.add(JobSpec::now("work").id("report"));
    script.inserted();
    script.expect(
        "→ insert report next +0s
         → notify added report
         → reply added report",
    );
    assert_eq!(script.next_wake(), None);
    script.command(Command::Start(Mode::Running));
    script.expect(
        "→ notify SchedulerStarted
         → reply done
         → claim",
    );
}

#[test]
fn many_jobs_go_in_batches_one_after_the_other_and_each_has_its_answer() {
    let mut script = Script::with_limits(StoreLimits { batch: 2, ..limits() });
    let spec = |id: &str| JobSpec::new("work", every(10)).id(id);
    let specs = vec![spec("a"), JobSpec::new("play", every(10)).id("b"), spec("c"), spec("d"), spec("e")];
    script.command(Command::AddJobs("default".into(), specs));
    script.expect("→ insert a next +0s, c next +0s");
    script.inserted();
    script.inserted();
    script.expect(
        "→ notify added a
         → notify added c
         → insert d next +0s, e next +0s
         → notify added d
         → notify added e
         → reply added a, UnknownTask: job `b`: this scheduler has no task `play`; register it before adding jobs for \
            it, added c, added d, added e",
    );
}

#[test]
fn a_store_that_fails_in_the_middle_of_many_is_not_tried_with_the_rest() {
    let mut script = Script::with_limits(StoreLimits { batch: 1, ..limits() });
    let spec = |id: &str| JobSpec::new("work", every(10)).id(id);
    script.command(Command::AddJobs("default".into(), vec![spec("a"), spec("b"), spec("c")]));
    script.inserted();
    script.stored(Err(unavailable()));
    script.expect(
        "→ insert a next +0s
         → notify added a
         → insert b next +0s
         → reply added a, StoreUnavailable: store `default`: no route to the store, StoreUnavailable: store \
            `default`: no route to the store",
    );
}

#[test]
fn a_job_that_the_store_refuses_does_not_keep_the_others_out() {
    let mut script = Script::new();
    let spec = |id: &str| JobSpec::new("work", every(10)).id(id);
    script.command(Command::AddJobs("default".into(), vec![spec("a"), spec("b")]));
    script.stored(Err(StoreError::new(StoreErrorKind::TooLarge, "2 MiB are more than 1 MiB").with_item(0)));
    script.inserted();
    script.expect(
        "→ insert a next +0s, b next +0s
         → insert b next +0s
         → notify added b
         → reply TooLarge: store `default`: 2 MiB are more than 1 MiB, added b",
    );
}

#[test]
fn what_cannot_run_is_an_error_that_says_what_to_do() {
    let long = "x".repeat(192);
    let cases: Vec<(JobSpec, ErrorKind, &str)> = vec![
        (JobSpec::new("play", every(1)).id("j"), ErrorKind::UnknownTask, "register it"),
        (JobSpec::new("work", every(1)).id("j").executor("gpu"), ErrorKind::UnknownExecutor, "`default`"),
        (JobSpec::new("work", Interval::seconds(0)).id("j"), ErrorKind::Trigger, "give at least one microsecond"),
        (JobSpec::new("work", Cron::crontab("30 2 31 2 *").unwrap()).id("j"), ErrorKind::NeverFires, "never fire"),
        (JobSpec::new("work", Interval::seconds(1).until(at(-9.0))).id("j").paused(), ErrorKind::NeverFires, "never"),
        (JobSpec::new("work", every(1)).id(""), ErrorKind::Job, "choose another"),
        (JobSpec::new("work", every(1)).id("a\0b"), ErrorKind::Job, "NUL"),
        (JobSpec::new("work", every(1)).id(long.as_str()), ErrorKind::Job, "191"),
        (JobSpec::new("work", every(1)).id("j").args(not_json()), ErrorKind::Arguments, "JSON"),
        (
            JobSpec::new("work", Interval::after_end(std::time::Duration::from_secs(1))).id("j").max_instances(2),
            ErrorKind::Job,
            "set it to 1",
        ),
    ];
    for (spec, kind, advice) in cases {
        let mut script = Script::new();
        let Err(error) = script.added_at_once(spec.clone()) else { panic!("{spec:?} was added") };
        assert_eq!(error.kind(), kind, "{spec:?}: {error}");
        assert!(error.to_string().contains(advice), "{error}");
    }
}

/// JSON has no such key.
fn not_json() -> std::collections::BTreeMap<Vec<u8>, u8> {
    [(vec![1], 1)].into()
}

#[test]
fn a_closure_is_kept_only_by_a_store_within_this_process() {
    let task = Task::new("c", TaskCall::Blocking(std::sync::Arc::new(|_, _| crate::Outcome::Cancelled)), |_| Ok(()));
    let mut spec = JobSpec::closure(task, every(10)).id("report");
    let name = spec.take_closure(1).unwrap().name().clone();
    let mut script = Script::new();
    script.command(Command::AddTasks(vec![name.clone()]));
    let error = script.added_at_once(spec.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closure);

    // Nor does a change bring one in.
    script.command(Command::ChangeJob(None, "report".into(), Change::Modify(JobChange::default().task(&name))));
    found(&mut script, &report(10.0));
    let error = script.last_error();
    assert_eq!(error.kind(), ErrorKind::Closure);

    let mut script = Script::with_limits(StoreLimits { durability: Durability::Volatile, ..limits() });
    script.command(Command::AddTasks(vec![name]));
    script.add(spec);
    script.expect(
        "→ reply done
         → insert report next +0s",
    );
}

#[test]
fn the_delivery_of_a_new_job_follows_its_store() {
    for (durability, delivery) in
        [(Durability::Durable, crate::Delivery::AtLeastOnce), (Durability::Volatile, crate::Delivery::AtMostOnce)]
    {
        let mut script = Script::with_limits(StoreLimits { durability, ..limits() });
        script.add(JobSpec::now("work"));
        let StoreCall::Insert(_, rows) = script.open_call() else { panic!() };
        assert_eq!(rows[0].body.options.delivery, delivery);
    }
}

#[test]
fn a_taken_id_is_an_error_or_kept_or_replaced_as_asked() {
    let conflicting = |conflict| {
        let mut script = Script::new();
        script.add(JobSpec::new("work", every(10)).id("report").name("new").on_conflict(conflict));
        let existing = Box::new(Listed::Job(JobRow { next_fire_time: Some(at(-20.0)), ..report(-20.0) }));
        script.know(&report(0.0));
        let value = vec![Inserted::Conflict(existing)];
        script.stored(Ok(StoreReply::Insert(Stamped { now: at(0.0), value })));
        script
    };
    conflicting(Conflict::Error).expect(
        "→ insert report next +0s
         → reply Conflict: job `report` is in store `default` already; choose another id, or `Conflict::Replace` or \
            `Conflict::Keep`",
    );
    conflicting(Conflict::Keep).expect(
        "→ insert report next +0s
         → reply added report",
    );
    let mut script = conflicting(Conflict::Replace);
    // The trigger is written as before: even a next fire time that has passed stays.
    script.expect(
        "→ insert report next +0s
         → update report @ 0: active next -20s",
    );
    assert_eq!(update(&script).body.unwrap().name.as_deref(), Some("new"));
    script.updated(Updated::Updated(Box::new(report(-20.0))));
    script.expect(
        "→ notify modified report
         → reply added report",
    );
}

/// A job is replaced by one with this trigger, at 25 seconds; the update that this leads to.
fn replaced(existing: JobRow, trigger: impl Into<Trigger>) -> Result<Update, crate::Error> {
    let mut script = Script::new();
    script.pass(25.0).add(JobSpec::new("work", trigger.into()).id("report").on_conflict(Conflict::Replace));
    let value = vec![Inserted::Conflict(Box::new(Listed::Job(existing)))];
    script.stored(Ok(StoreReply::Insert(Stamped { now: at(25.0), value })));
    if script.has_call() { Ok(update(&script)) } else { Err(script.last_error()) }
}

#[test]
fn replacing_keeps_pause_anchor_and_end_of_a_job_with_the_same_trigger() {
    let bound = Trigger::from(Interval::seconds(10)).bind(at(3.0), chrono_tz::UTC, "report");
    let mut paused = in_state(JobState::Paused);
    paused.body.trigger = bound.clone();
    let update = replaced(paused, Interval::seconds(10)).unwrap();
    assert_eq!((update.state, update.next_fire_time, update.due), (JobState::Paused, None, None));
    assert_eq!(update.body.unwrap().trigger, bound);

    // A one-shot that has run and was kept does not run again at each start of the program.
    let mut kept = in_state(JobState::Kept);
    kept.body.trigger = Date::at(at(5.0)).into();
    let update = replaced(kept, Date::at(at(5.0))).unwrap();
    assert_eq!((update.state, update.next_fire_time), (JobState::Kept, None));
}

#[test]
fn replacing_by_another_trigger_begins_anew_and_accounts_for_due_fire_times() {
    let update = replaced(report(10.0), every(7)).unwrap();
    assert_eq!((update.next_fire_time, update.due), (Some(at(28.0)), Some(at(10.0))));
    let run = &update.verdicts[0];
    assert_eq!((run.id.seq, run.first, run.fire_time, run.count), (1, Some(at(10.0)), at(20.0), Some(2)));
    assert_eq!(run.verdict(), Some(Verdict::Cancelled));
}

#[test]
fn replacing_repairs_a_quarantined_job_and_leaves_one_of_a_newer_version_alone() {
    let broken = JobRow { state: JobState::Quarantined("bad".into()), ..report(10.0) };
    let update = replaced(broken, every(10)).unwrap();
    assert_eq!((update.state, update.next_fire_time), (JobState::Active, Some(at(30.0))));

    let mut newer = report(10.0);
    newer.body.v = BODY_VERSION + 1;
    assert_eq!(replaced(newer, every(10)).unwrap_err().kind(), ErrorKind::NewerVersion);
}

#[test]
fn a_replacement_is_tried_anew_when_the_job_changes_under_it_and_added_when_it_goes() {
    let mut script = Script::new();
    script.add(JobSpec::new("work", every(10)).id("report").on_conflict(Conflict::Replace));
    let value = vec![Inserted::Conflict(Box::new(Listed::Job(report(10.0))))];
    script.know(&report(10.0));
    script.stored(Ok(StoreReply::Insert(Stamped { now: at(0.0), value })));
    script.updated(Updated::Conflict(Box::new(JobRow { revision: 4, ..report(20.0) })));
    script.updated(Updated::Gone);
    script.inserted();
    script.expect(
        "→ insert report next +0s
         → update report @ 0: active next +10s
         → update report @ 4: active next +20s
         → insert report next +0s
         → notify added report
         → reply added report",
    );
}

#[test]
fn a_job_under_constant_change_is_busy() {
    let mut script = Script::new();
    change(&mut script, Change::Pause);
    found(&mut script, &report(10.0));
    for revision in 1..=21 {
        script.updated(Updated::Conflict(Box::new(JobRow { revision, ..report(10.0) })));
    }
    assert_eq!(script.last_error().kind(), ErrorKind::Busy);
    assert!(!script.has_call());
}

#[test]
fn pausing_takes_the_fire_times_away_and_accounts_for_those_that_are_due() {
    let mut script = Script::new();
    script.pass(25.0);
    change(&mut script, Change::Pause);
    found(&mut script, &report(10.0));
    script.expect(
        "→ read report
         → update report @ 0: paused, #1 +10s..+20s (2) cancelled",
    );
    script.updated(Updated::Updated(Box::new(in_state(JobState::Paused))));
    script.expect(
        "→ notify modified report
         → reply job report",
    );
}

#[test]
fn pausing_at_the_very_moment_of_a_fire_time_accounts_for_it_too() {
    let mut script = Script::new();
    script.pass(20.0);
    change(&mut script, Change::Pause);
    found(&mut script, &report(10.0));
    script.expect(
        "→ read report
         → update report @ 0: paused, #1 +10s..+20s (2) cancelled",
    );
}

#[test]
fn a_one_shot_whose_time_has_come_is_not_given_up_by_a_pause_and_fires_when_resumed() {
    let once = JobRow { body: job(1, "report", Date::at(at(10.0)).into(), 10.0).job.body, ..report(10.0) };
    let mut script = Script::new();
    script.pass(25.0);
    change(&mut script, Change::Pause);
    found(&mut script, &once);
    script.updated(Updated::Updated(Box::new(in_state(JobState::Paused))));
    change(&mut script, Change::Resume);
    found(&mut script, &JobRow { state: JobState::Paused, next_fire_time: None, due: None, ..once });
    script.expect(
        "→ read report
         → update report @ 0: paused
         → notify modified report
         → reply job report
         → read report
         → update report @ 0: active next +10s due +25s",
    );
}

/// The update by which a job is resumed, at 25 seconds.
fn resumed(job: &JobRow) -> Update {
    let mut script = Script::new();
    script.pass(25.0);
    change(&mut script, Change::Resume);
    found(&mut script, job);
    update(&script)
}

#[test]
fn resuming_goes_on_from_now_and_looks_at_once_for_runs_that_waited() {
    let update = resumed(&in_state(JobState::Paused));
    assert_eq!((update.next_fire_time, update.due), (Some(at(30.0)), Some(at(25.0))));
    assert_eq!(update.state, JobState::Active);
}

#[test]
fn resuming_a_job_whose_time_is_over_ends_or_keeps_it() {
    let mut over = in_state(JobState::Paused);
    over.body.trigger = Interval::seconds(1).starting_at(at(0.0)).until(at(9.0)).into();
    let update = resumed(&over);
    assert_eq!((update.state, update.next_fire_time, update.due), (JobState::Ending, None, Some(at(25.0))));
    over.body.options.when_finished = WhenFinished::Keep;
    assert_eq!(resumed(&over).state, JobState::Kept);
}

#[test]
fn resuming_a_quarantined_job_loses_none_of_its_fire_times() {
    let broken = JobRow { state: JobState::Quarantined("bad".into()), due: None, ..report(10.0) };
    let update = resumed(&broken);
    assert_eq!((update.state, update.next_fire_time), (JobState::Active, Some(at(10.0))));
    assert_eq!((update.due, update.verdicts), (Some(at(25.0)), vec![]));
}

#[test]
fn a_change_that_changes_nothing_writes_and_tells_nothing() {
    for (job, asked) in [
        (report(10.0), Change::Resume),
        (in_state(JobState::Kept), Change::Resume),
        (in_state(JobState::Paused), Change::Pause),
    ] {
        let mut script = Script::new();
        change(&mut script, asked);
        found(&mut script, &job);
        script.expect(
            "→ read report
             → reply job report",
        );
    }
}

#[test]
fn a_job_that_is_over_cannot_be_paused() {
    let mut script = Script::new();
    change(&mut script, Change::Pause);
    found(&mut script, &in_state(JobState::Kept));
    script.expect(
        "→ read report
         → reply Job: job `report` is kept and has no fire times to pause; give it another trigger, or remove it",
    );
}

/// What a change at 25 seconds makes of a job that was to fire at 10 and 20.
fn modified(existing: &JobRow, by: JobChange) -> Update {
    let mut script = Script::new();
    script.pass(25.0);
    change(&mut script, Change::Modify(by));
    found(&mut script, existing);
    update(&script)
}

#[test]
fn modifying_changes_what_is_given_and_keeps_the_rest() {
    let by = JobChange::default().name("n").args(json!([1])).overlap(Overlap::Allow).options(PartialOptions::default());
    let update = modified(&report(10.0), by);
    let body = update.body.unwrap();
    assert_eq!((body.name.as_deref(), body.args), (Some("n"), json!([1])));
    assert_eq!((update.next_fire_time, update.due, update.verdicts), (Some(at(10.0)), Some(at(10.0)), vec![]));
}

#[test]
fn another_trigger_gives_up_what_is_due_and_begins_from_now() {
    let update = modified(&report(10.0), JobChange::default().trigger(every(7)));
    assert_eq!(update.next_fire_time, Some(at(28.0)));
    assert_eq!((update.verdicts[0].first, update.verdicts[0].fire_time), (Some(at(10.0)), at(20.0)));
    // Even if a next fire time is given with it that the old trigger knew.
    let by = JobChange::default().trigger(every(7)).next_fire_time(at(20.0));
    let update = modified(&report(10.0), by);
    assert_eq!(update.next_fire_time, Some(at(20.0)));
    assert_eq!((update.verdicts[0].first, update.verdicts[0].fire_time), (Some(at(10.0)), at(20.0)));
}

#[test]
fn a_chosen_next_fire_time_gives_up_only_those_before_it() {
    let update = modified(&report(10.0), JobChange::default().next_fire_time(at(20.0)));
    assert_eq!((update.next_fire_time, update.due), (Some(at(20.0)), Some(at(10.0))));
    let given_up: Vec<&Run> = update.verdicts.iter().collect();
    assert_eq!((given_up.len(), given_up[0].first, given_up[0].fire_time), (1, None, at(10.0)));
    let update = modified(&report(10.0), JobChange::default().next_fire_time(at(5.0)));
    assert_eq!((update.next_fire_time, update.verdicts), (Some(at(5.0)), vec![]));
}

#[test]
fn a_retry_that_waits_is_not_put_off_by_a_later_next_fire_time() {
    let retrying = JobRow { due: Some(at(26.0)), ..report(40.0) };
    let update = modified(&retrying, JobChange::default().next_fire_time(at(1000.0)));
    assert_eq!((update.next_fire_time, update.due), (Some(at(1000.0)), Some(at(26.0))));
}

#[test]
fn bad_changes_are_errors_that_say_what_to_do() {
    let cases: Vec<(JobChange, JobRow, ErrorKind, &str)> = vec![
        (JobChange::default().task("play"), report(10.0), ErrorKind::UnknownTask, "register it"),
        (JobChange::default().executor("gpu"), report(10.0), ErrorKind::UnknownExecutor, "the scheduler has `default`"),
        (JobChange::default().args(not_json()), report(10.0), ErrorKind::Arguments, "JSON"),
        (JobChange::default().next_fire_time(at(1.0)), in_state(JobState::Paused), ErrorKind::Job, "resume it"),
        (
            JobChange::default().trigger(Interval::after_end(std::time::Duration::from_secs(1))).max_instances(3),
            report(10.0),
            ErrorKind::Job,
            "set it to 1",
        ),
    ];
    for (by, existing, kind, advice) in cases {
        let mut script = Script::new();
        change(&mut script, Change::Modify(by.clone()));
        found(&mut script, &existing);
        let error = script.last_error();
        assert_eq!(error.kind(), kind, "{by:?}: {error}");
        assert!(error.to_string().contains(advice) && error.to_string().contains('`'), "{error}");
    }
}

#[test]
fn a_job_of_a_newer_version_and_one_that_cannot_be_read_are_not_changed() {
    let mut newer = report(10.0);
    newer.body.v = BODY_VERSION + 1;
    let mut script = Script::new();
    change(&mut script, Change::Pause);
    found(&mut script, &newer);
    assert_eq!(script.last_error().kind(), ErrorKind::NewerVersion);

    let raw = crate::RawJob { uid: "x".into(), id: "report".into(), body: "{".into(), reason: "it ends early".into() };
    change(&mut script, Change::Resume);
    script.stored(Ok(StoreReply::Job(Some(Box::new(Listed::Raw(raw))))));
    let error = script.last_error();
    assert_eq!(error.kind(), ErrorKind::Quarantined);
    assert_eq!(error.to_string(), "job `report` cannot be read: it ends early; repair its row or remove it");
}

#[test]
fn a_job_that_goes_while_it_is_changed_is_not_found() {
    let mut script = Script::new();
    change(&mut script, Change::Pause);
    found(&mut script, &report(10.0));
    script.updated(Updated::Gone);
    let error = script.last_error();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "job `report` was removed from store `default` while it was being changed");
}

#[test]
fn a_job_is_looked_for_in_each_store_in_turn() {
    let mut script = Script::new();
    script.command(Command::AddStore("second".into(), limits()));
    script.command(Command::Job(None, "report".into()));
    script.stored(Ok(StoreReply::Job(None)));
    script.stored(Ok(StoreReply::Job(Some(Box::new(Listed::Job(report(10.0)))))));
    change(&mut script, Change::Resume);
    script.stored(Ok(StoreReply::Job(None)));
    script.stored(Ok(StoreReply::Job(None)));
    script.command(Command::RemoveJob(None, "report".into()));
    let removed = |value| Ok(StoreReply::Remove(Stamped { now: at(0.0), value: vec![value] }));
    script.stored(removed(Removed::Gone));
    script.stored(removed(Removed::Removed { uid: Some(Uid(1)), running: 0 }));
    script.expect(
        "→ notify StoreAdded(\"second\")
         → reply done
         → read report
         → second: read report
         → reply found report
         → read report
         → second: read report
         → reply NotFound: job `report` is in no store of this scheduler
         → remove report
         → second: remove report
         → notify removed report Requested
         → reply done",
    );
}

#[test]
fn a_store_that_is_named_is_the_only_one_asked() {
    let mut script = Script::new();
    script.command(Command::Job(Some("third".into()), "report".into()));
    script.command(Command::RemoveJob(Some("default".into()), "report".into()));
    script.stored(Ok(StoreReply::Remove(Stamped { now: at(0.0), value: vec![Removed::Gone] })));
    script.expect(
        "→ reply UnknownStore: there is no store `third`; the scheduler has `default`
         → remove report
         → reply NotFound: job `report` is not in store `default`",
    );
}

#[test]
fn all_jobs_of_all_stores_are_removed_and_counted() {
    let mut script = Script::new();
    script.command(Command::AddStore("second".into(), limits()));
    script.command(Command::RemoveAllJobs(None));
    script.stored(Ok(StoreReply::RemoveAll(Stamped { now: at(0.0), value: 3 })));
    script.stored(Ok(StoreReply::RemoveAll(Stamped { now: at(0.0), value: 4 })));
    script.expect(
        "→ notify StoreAdded(\"second\")
         → reply done
         → remove all
         → notify AllJobsRemoved { store: \"default\", count: 3 }
         → second: remove all
         → notify AllJobsRemoved { store: \"second\", count: 4 }
         → reply 7",
    );
}

#[test]
fn a_job_that_is_removed_while_it_runs_is_told_removed_once() {
    for command in [Command::RemoveJob(None, "report".into()), Command::RemoveAllJobs(None)] {
        let is_one = matches!(command, Command::RemoveJob(..));
        let mut script = Script::running_jobs([job(1, "report", every(100), 0.0)]);
        script.command(command);
        script.stored(Ok(match is_one {
            true => {
                let value = vec![Removed::Removed { uid: Some(Uid(1)), running: 1 }];
                StoreReply::Remove(Stamped { now: at(0.0), value })
            }
            false => StoreReply::RemoveAll(Stamped { now: at(0.0), value: 1 }),
        }));
        script.finished("report#1", crate::Outcome::Ok(json!(null)));
        script.recorded(|recorded| recorded.deleted = vec![(Uid(1), "report".into())]);
        assert_eq!(script.count("emoved"), 1);
    }
}

#[test]
fn an_exported_job_comes_back_as_it_was() {
    let exported =
        |paused, next| ExportedJob { id: "report".into(), paused, next_fire_time: next, job: report(0.0).body };
    for (job, expected) in [
        (exported(false, Some(at(-30.0))), "→ insert report next -30s"),
        (exported(true, None), "→ insert report paused"),
        (exported(false, None), "→ insert report next +0s"),
    ] {
        let mut script = Script::new();
        script.command(Command::ImportJobs("default".into(), vec![job], Conflict::Error));
        script.expect(expected);
    }
    let mut newer = exported(false, None);
    newer.job.v = 2;
    let mut script = Script::new();
    script.command(Command::ImportJobs("default".into(), vec![newer], Conflict::Error));
    script.expect("→ reply NewerVersion: job `report` has version 2, and this scheduler reads 1; update it first");
}

#[test]
fn a_scheduler_starts_once_and_can_be_paused_only_while_it_runs() {
    let mut script = Script::new();
    for command in [Command::Pause, Command::State, Command::Start(Mode::Paused), Command::Start(Mode::Running)] {
        script.command(command);
    }
    for command in [Command::Pause, Command::Resume, Command::Resume, Command::State] {
        script.command(command);
    }
    script.expect(
        "→ reply NotRunning: the scheduler is not running; start it first
         → reply Stopped
         → notify SchedulerStarted
         → reply done
         → reply AlreadyStarted: the scheduler has been started already; resume it if it is paused
         → reply done
         → notify SchedulerResumed
         → reply done
         → claim
         → reply done
         → reply Running",
    );
}

#[test]
fn names_are_taken_once_and_given_up_once() {
    let mut script = Script::new();
    script.command(Command::AddStore("default".into(), limits()));
    script.command(Command::AddExecutor("default".into()));
    script.command(Command::RemoveExecutor("default".into()));
    script.command(Command::RemoveExecutor("default".into()));
    script.command(Command::RemoveTasks(vec!["work".into()]));
    script.add(JobSpec::now("work").id("report"));
    script.expect(
        "→ reply Config: store `default` is there already; remove it first or choose another name
         → reply Config: executor `default` is there already; remove it first or choose another name
         → notify ExecutorRemoved(\"default\")
         → reply done
         → reply UnknownExecutor: there is no executor `default`; the scheduler has none
         → reply done
         → reply UnknownTask: job `report`: this scheduler has no task `work`; register it before adding jobs for it",
    );
}

#[test]
fn equal_engines_given_equal_inputs_have_equal_effects() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    let mut copy = script.engine.clone();
    let finished = || Input::Finished(RunId { uid: Uid(1), seq: 1 }, crate::Outcome::Ok(json!(1)));
    copy.handle(script.clock(), finished());
    script.engine.handle(script.clock(), finished());
    assert_eq!(copy, script.engine);
    let effects = |engine: &mut crate::engine::Engine| std::iter::from_fn(|| engine.poll_effect()).collect::<Vec<_>>();
    let (these, those) = (effects(&mut copy), effects(&mut script.engine));
    assert_eq!(these, those);
    assert!(matches!(these[..], [Effect::Store(..)]));
}
