//! Jobs on their way into a store.

use super::super::script::{Script, at, every, job, limits, unavailable};
use crate::{
    BODY_VERSION, Conflict, ErrorKind, JobChange, JobRow, JobSpec, JobState, Listed, NESTING_LIMIT, Task, TaskCall,
    Trigger, Uid, Verdict,
    engine::{Command, ExportedJob, JobEdit, Mode, StoreCall, StoreReply},
    store::{Durability, Inserted, Stamped, StoreError, StoreErrorKind, StoreLimits, Update, Updated},
    trigger::{Cron, Custom, Date, Interval, Or},
};

use super::*;

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
        (JobSpec::new("work", every(1)).id("j").tag("ten\nants"), ErrorKind::Job, r#"tag "ten\nants" has a control"#),
        (JobSpec::new("work", every(1)).id("j").tags(["a", ""]), ErrorKind::Job, "job `j`: a tag is empty"),
        (
            JobSpec::new("work", every(1)).id("j").meta(not_json()),
            ErrorKind::Job,
            "its `meta` cannot be written as JSON",
        ),
        (
            JobSpec::new("work", every(1)).id("j").meta(nested(NESTING_LIMIT + 1)),
            ErrorKind::Job,
            "in its `meta` more than",
        ),
        (JobSpec::new("work", every(1)).id("j").max_instances(0), ErrorKind::Job, "`max_instances` of 0: at least 1"),
        (JobSpec::new("work", every(1)).id("j").timeout(std::time::Duration::ZERO), ErrorKind::Job, "`timeout` of 0ns"),
        (
            JobSpec::new("work", every(1)).id("j").misfire_grace_time(std::time::Duration::from_micros(1)),
            ErrorKind::Job,
            "`misfire_grace_time` of 1µs: at least 1ms",
        ),
        (JobSpec::new("work", every(1)).id("j").retry(crate::Retry::attempts(0)), ErrorKind::Job, "`retry` with 0"),
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

/// A value in which so many arrays lie in each other.
fn nested(levels: usize) -> serde_json::Value {
    (0..levels).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]))
}

#[test]
fn what_could_not_be_read_again_is_refused_before_it_is_written() {
    let custom = |levels| Trigger::from(Custom::new("mine", nested(levels)));
    let many = |levels| (0..levels).fold(every(1), |part, _| Or::of([part, every(2)]).unwrap().into());
    let cases = [
        (JobSpec::new("work", every(1)).args(nested(NESTING_LIMIT + 1)), ErrorKind::Arguments),
        (JobSpec::new("work", custom(NESTING_LIMIT)), ErrorKind::Trigger),
        (JobSpec::new("work", many(NESTING_LIMIT / 2)), ErrorKind::Trigger),
    ];
    for (spec, kind) in cases {
        for durability in [Durability::Volatile, Durability::Durable] {
            let mut script = Script::with_limits(StoreLimits { durability, ..limits() });
            let error = script.added_at_once(spec.clone().id("deep")).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains("more than 120 arrays and objects"), "{error}");
        }
    }
    // The deepest that are taken can be read.
    for spec in [
        JobSpec::new("work", every(1)).args(nested(NESTING_LIMIT)),
        JobSpec::new("work", custom(NESTING_LIMIT - 1)).first_fire_time(at(1.0)),
        JobSpec::new("work", many(NESTING_LIMIT / 2 - 1)).first_fire_time(at(1.0)),
    ] {
        let mut script = Script::new();
        script.add(spec.id("deep"));
        let StoreCall::Insert(_, rows) = script.open_call().clone() else { panic!("it was not written") };
        let exported =
            vec![ExportedJob { id: "deep".into(), paused: false, next_fire_time: None, job: rows[0].body.clone() }];
        let json = serde_json::to_string(&exported).unwrap();
        let read: Vec<ExportedJob> = serde_json::from_str(&json).unwrap();
        assert_eq!(read, exported);
    }
}

#[test]
fn an_imported_job_that_could_not_be_read_again_is_refused() {
    let import = |change: &dyn Fn(&mut crate::JobBody)| {
        let mut job = job(1, "report", every(10), 10.0).job.body;
        change(&mut job);
        let exported = ExportedJob { id: "report".into(), paused: false, next_fire_time: None, job };
        let mut script = Script::new();
        script.command(Command::ImportJobs("default".into(), vec![exported], Conflict::Error));
        script.last_error().to_string()
    };
    let deep = nested(NESTING_LIMIT + 1);
    assert!(import(&|body| body.args = deep.clone()).contains("in its arguments more than 120"));
    assert!(
        import(&|body| body.trigger = Custom::new("mine", deep.clone()).into())
            .contains("trigger: its parts lie so deep")
    );
    assert!(
        import(&|body| drop(body.extra.insert("colour".into(), deep.clone()))).contains("in a field that is not known")
    );
    assert!(import(&|body| body.options.timeout = Some(std::time::Duration::ZERO)).contains("`timeout` of 0ns"));
    assert_eq!(import(&|body| body.v = 0), "job `report`: its version is 0; the first is 1");
    assert_eq!(
        import(&|body| drop(body.options.extra.insert("timeout".into(), 1.into()))),
        "job `report`: it has `timeout` twice: as itself and among the fields that are not known"
    );
    assert!(import(&|body| drop(body.extra.insert("args".into(), 1.into()))).contains("it has `args` twice"));
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
    script.command(Command::ChangeJob(
        None,
        "report".into(),
        Box::new(JobEdit::Modify(JobChange::default().task(&name))),
    ));
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
fn uids_follow_each_other_in_the_order_of_adding_and_begin_with_the_time() {
    let mut script = Script::running();
    let mut uids = Vec::new();
    for second in [1.0, 1.0, 2.0] {
        let specs = ["a", "b"].map(|_| JobSpec::now("work"));
        script.at(second).command(Command::AddJobs("default".into(), specs.into()));
        let StoreCall::Insert(at, rows) = script.open_call() else { panic!() };
        uids.extend(rows.iter().map(|row| (row.uid, *at)));
        script.inserted();
    }
    assert!(uids.is_sorted_by(|(one, _), (two, _)| one < two), "{uids:?}");
    assert!(uids.iter().all(|(uid, at)| uid.0 >> 80 == at.timestamp_millis() as u128), "{uids:?}");
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

#[test]
fn unchanged_jobs_are_replaced_by_the_one_call_that_finds_them_and_nothing_is_written_or_told() {
    let exact = serde_json::json!({"to": ["ann", null], "share": 0.1, "count": u64::MAX, "rate": 2.0});
    let spec = |id: &str| JobSpec::new("work", every(10)).id(id).args(exact.clone()).on_conflict(Conflict::Replace);
    let mut existing = Vec::new();
    for (id, state) in [("a", JobState::Active), ("b", JobState::Paused), ("c", JobState::Kept)] {
        let mut first = Script::new();
        first.add(spec(id).timeout(std::time::Duration::from_millis(1_500)));
        let StoreCall::Insert(_, rows) = first.open_call() else { panic!() };
        // As it comes back from a store: through JSON.
        let body = serde_json::from_str(&serde_json::to_string(&rows[0].body).unwrap()).unwrap();
        existing.push(JobRow {
            body,
            state,
            revision: 7,
            last_seq: 3,
            uid: Uid(existing.len() as u128 + 1),
            ..rows[0].clone()
        });
    }
    let mut script = Script::new();
    let specs = ["a", "b", "c"].map(|id| spec(id).timeout(std::time::Duration::from_millis(1_500)));
    script.pass(25.0).command(Command::AddJobs("default".into(), specs.into()));
    existing.iter().for_each(|job| script.know(job));
    let value = existing.iter().map(|job| Inserted::Conflict(Box::new(Listed::Job(job.clone())))).collect();
    script.stored(Ok(StoreReply::Insert(Stamped { now: at(25.0), value })));
    script.expect(
        "→ insert a next +30s, b next +30s, c next +30s
         → reply added a, added b, added c",
    );
    assert!(!script.has_call());
}

/// Twenty jobs that are there already are replaced by others of another name.
fn replaced_by_others() -> (Script, Vec<JobRow>) {
    let mut script = Script::with_limits(StoreLimits { batch: 20, ..limits() });
    let ids: Vec<String> = (10..31).map(|n| format!("job-{n}")).collect();
    let spec = |id: &String| JobSpec::new("work", every(10)).id(id.as_str()).name("new").on_conflict(Conflict::Replace);
    let rows: Vec<_> = ids.iter().enumerate().map(|(n, id)| job(n as u128 + 1, id, every(10), 10.0).job).collect();
    script.command(Command::AddJobs("default".into(), ids.iter().map(spec).collect()));
    rows.iter().for_each(|job| script.know(job));
    let value = rows[..20].iter().map(|job| Inserted::Conflict(Box::new(Listed::Job(job.clone())))).collect();
    script.stored(Ok(StoreReply::Insert(Stamped { now: at(0.0), value })));
    (script, rows)
}

#[test]
fn replacements_go_some_at_a_time_and_before_the_next_batch() {
    let (mut script, rows) = replaced_by_others();
    assert_eq!(script.count("→ update"), 16);
    for (done, row) in rows[..20].iter().enumerate() {
        assert!(script.count("→ insert") == 0, "after {done}");
        script.updated(Updated::Updated(Box::new(row.clone())));
        assert_eq!(script.open_calls(), 16.min(19 - done).max(1), "after {done}");
    }
    script.inserted();
    assert_eq!(script.count("→ reply added job-10, added job-11, "), 1);
}

#[test]
fn a_store_that_fails_in_the_middle_of_replacing_is_not_tried_with_the_rest() {
    let (mut script, _) = replaced_by_others();
    assert_eq!(script.count("→ update"), 16);
    (0..16).for_each(|_| script.stored(Err(unavailable())));
    assert_eq!((script.open_calls(), script.count("→ reply StoreUnavailable: ")), (0, 1));
}

/// A job is replaced by one with this trigger and another name, at 25 seconds; the update that this leads to.
fn replaced(existing: JobRow, trigger: impl Into<Trigger>) -> Result<Update, crate::Error> {
    let mut script = Script::new();
    let spec = JobSpec::new("work", trigger.into()).id("report").name("new");
    script.pass(25.0).add(spec.on_conflict(Conflict::Replace));
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
    let run = &update.runs[0];
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
    script.add(JobSpec::new("work", every(10)).id("report").name("new").on_conflict(Conflict::Replace));
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
    newer.job.v = BODY_VERSION + 1;
    let mut script = Script::new();
    script.command(Command::ImportJobs("default".into(), vec![newer], Conflict::Error));
    script.expect("→ reply NewerVersion: job `report` has version 4, and this scheduler reads 3; update it first");
}

fn inserted(script: &Script) -> JobRow {
    match script.open_call() {
        StoreCall::Insert(_, jobs) => jobs[0].clone(),
        call => panic!("an insert is expected, not {call:?}"),
    }
}

#[test]
fn a_job_has_the_lowest_version_that_has_words_for_its_trigger() {
    // So that in a rolling deploy nodes of the release before run what they can read, and leave the rest alone.
    let crontab = |text: &str| Trigger::from(Cron::crontab(text).unwrap());
    for (trigger, v) in [
        (every(10), 1),
        (crontab("*/5 8-18 LW * mon#1"), 1),
        (crontab("CRON_TZ=Asia/Tokyo H 9 * * *"), 1),
        (Cron::quartz("0 0 0 L-3,15W * ?").unwrap().into(), 1),
        (Cron::fields().day("last fri").hour("9").build().unwrap().into(), 1),
        (crontab("0 */5 8-18 * * mon"), 2),
        (crontab("0 9 ? * mon"), 2),
        (crontab("0 9 L-3 * *"), 2),
        (crontab("0 9 15W * *"), 2),
        (crontab("0 9 */100,1-7 * mon"), 2),
        (crontab("0 9 * * monday"), 2),
        (Cron::quartz("0 30/30 * * * ?").unwrap().into(), 2),
        (Cron::fields().day_of_week("monday").build().unwrap().into(), 2),
        ("except(or(every 1h; crontab 0 0 9 * * *); dates 2026-12-25)".parse().unwrap(), 2),
        ("except(every 1h; during 1h of crontab 0 9 ? * *)".parse().unwrap(), 2),
    ] {
        let mut script = Script::new();
        script.add(JobSpec::new("work", trigger.clone()).id("report"));
        assert_eq!(inserted(&script).body.v, v, "{trigger}");
        // The same for a job that comes with another version, and for one that is rescheduled.
        let exported = ExportedJob {
            id: "report".into(),
            paused: true,
            next_fire_time: None,
            job: crate::JobBody { trigger: trigger.clone(), ..report(0.0).body },
        };
        let mut script = Script::new();
        script.command(Command::ImportJobs("default".into(), vec![exported], Conflict::Error));
        assert_eq!(inserted(&script).body.v, v, "{trigger}");
        assert_eq!(replaced(report(10.0), trigger).unwrap().body.unwrap().v, v);
    }
}
