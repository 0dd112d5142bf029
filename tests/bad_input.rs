//! What is wrong is refused or put aside, and the message names it.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use apscheduler::{
    Builder, Conflict, Error, ErrorKind, Event, EventKind, EventMask, EventStream, ExportedJob, JobChange, JobSpec,
    JobState, Scheduler, ShutdownMode, ThreadRuntime, TokioRuntime, Trigger,
    executors::Inline,
    stores::{MemoryStore, SqliteStore},
    trigger::{Cron, Date, First, Interval},
};
use chrono::{TimeDelta, Utc};
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;

/// How long a test waits for something before it fails.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Report {
    #[expect(dead_code, reason = "it is there to be read")]
    to: String,
}

fn builder() -> Builder {
    Scheduler::builder(TokioRuntime::current()).task("tick", || async {}).task("report", |_: Report| async {})
}

fn tick(id: &str) -> JobSpec {
    JobSpec::new("tick", Interval::hours(1)).id(id)
}

fn due(task: &str) -> JobSpec {
    JobSpec::new(task, Interval::hours(1).first(First::Now)).id(task)
}

/// A SQLite file.
struct File(TempDir);

impl File {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.0.path().join("jobs.db").display())
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::connect(&self.url()).await.unwrap()
    }

    /// Does what no scheduler would.
    async fn damage(&self, sql: &str) {
        let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
        let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{sql}");
    }

    async fn read<T>(&self, sql: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Send + Unpin,
    {
        let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
    }
}

async fn next(events: &mut EventStream) -> Arc<Event> {
    let next = tokio::time::timeout(DEADLINE, events.next()).await.expect("it happens");
    next.expect("the scheduler is there").expect("the reader keeps up")
}

#[track_caller]
fn assert_error(error: &Error, kind: ErrorKind, message: &str) {
    assert_eq!(error.to_string(), message);
    assert_eq!(error.kind(), kind);
}

#[tokio::test]
async fn a_job_for_a_task_that_nobody_knows_is_refused() {
    let scheduler = builder().build().unwrap();

    let error = scheduler.add_job(JobSpec::new("gost", Interval::hours(1)).id("nightly")).await.unwrap_err();

    assert_error(
        &error,
        ErrorKind::UnknownTask,
        "job `nightly`: this scheduler has no task `gost`; register it before adding jobs for it",
    );
    scheduler.add_job(tick("clock")).await.unwrap();
    let error = scheduler.modify_job("clock", JobChange::default().task("gost")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTask);
}

#[tokio::test]
async fn a_job_for_an_unknown_task_that_is_met_in_the_store_is_left_as_it_is() {
    let file = File::new();
    let knows = builder().task("ghost", || async {}).store("default", file.open().await).build().unwrap();
    knows.add_job(due("ghost")).await.unwrap();
    knows.shutdown(ShutdownMode::Wait).await.unwrap();
    let before: String = file.read("SELECT body || next_fire_time || revision FROM scheduler_jobs").await;

    let scheduler = builder().store("default", file.open().await).build().unwrap();
    let mut events = scheduler.events(EventMask::JOB_DECLINED);
    scheduler.start().await.unwrap();

    let event = next(&mut events).await;
    let EventKind::JobDeclined { job, task, reason, .. } = &event.kind else { panic!("{event:?}") };
    assert_eq!((job.as_str(), task.as_str()), ("ghost", "ghost"));
    assert_eq!(reason, "this node has no task `ghost`");
    scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    let after: String = file.read("SELECT body || next_fire_time || revision FROM scheduler_jobs").await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn arguments_that_the_task_does_not_take_are_refused_when_they_are_given() {
    let scheduler = builder().build().unwrap();
    let report = |args| JobSpec::new("report", Interval::hours(1)).id("r").args(args);

    let error = scheduler.add_job(report(serde_json::json!({"to": 7}))).await.unwrap_err();

    assert_error(
        &error,
        ErrorKind::Arguments,
        "the arguments do not fit task `report`: the task takes `Report`, which these arguments are not: to: invalid type: \
         integer `7`, expected a string",
    );
    scheduler.add_job(report(serde_json::json!({"to": "ann"}))).await.unwrap();
    let error = scheduler.modify_job("r", JobChange::default().args([7])).await.unwrap_err();
    assert!(error.to_string().contains("task `report`"), "{error}");
}

#[tokio::test]
async fn arguments_that_fit_no_more_are_an_error_of_the_run() {
    let file = File::new();
    let scheduler = builder().store("default", file.open().await).build().unwrap();
    scheduler.add_job(due("report").args(serde_json::json!({"to": "ann"}))).await.unwrap();
    file.damage("UPDATE scheduler_jobs SET body = json_set(body, '$.args', json('{\"whom\": \"ann\"}'))").await;

    let mut events = scheduler.events(EventMask::RUN_ERROR);
    scheduler.start().await.unwrap();

    let event = next(&mut events).await;
    let EventKind::RunError { run, error, .. } = &event.kind else { panic!("{event:?}") };
    assert_eq!(run.job.id, "report");
    assert_eq!(error, "the task takes `Report`, which these arguments are not: missing field `to`");
}

#[tokio::test]
async fn a_job_that_is_too_large_is_refused_and_the_others_of_its_batch_are_added() {
    let file = File::new();
    let scheduler = builder().store("default", file.open().await).task("eat", |_: String| async {}).build().unwrap();
    let eat = |id: &str, bytes: usize| JobSpec::new("eat", Interval::hours(1)).id(id).args("x".repeat(bytes));

    let added = scheduler.add_jobs(vec![eat("small", 1), eat("large", 1 << 20), eat("other", 1)]).await;

    let error = added[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().starts_with("store `default`: job `large`"), "{error}");
    assert!(error.to_string().contains("1048576"), "{error}");
    assert!(added[0].is_ok() && added[2].is_ok(), "{added:?}");
    let error = scheduler.modify_job("small", JobChange::default().args("x".repeat(1 << 20))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert_eq!(scheduler.job("small").await.unwrap().unwrap().body.args, "x");
}

#[tokio::test]
async fn stores_and_executors_that_are_not_there_are_named_with_those_that_are() {
    let scheduler = builder().store("archive", MemoryStore::new()).executor("inline", Inline::new()).build().unwrap();

    let error = scheduler.add_job(tick("clock").store("achive")).await.unwrap_err();
    let no_store = "there is no store `achive`; the scheduler has `default`, `archive`";
    assert_error(&error, ErrorKind::UnknownStore, no_store);
    let elsewhere = scheduler.in_store("achive");
    for error in [
        elsewhere.jobs().await.unwrap_err(),
        elsewhere.job("clock").await.unwrap_err(),
        elsewhere.remove_job("clock").await.unwrap_err(),
        elsewhere.remove_all_jobs().await.unwrap_err(),
        elsewhere.pause_job("clock").await.unwrap_err(),
        elsewhere.export_jobs().await.unwrap_err(),
        scheduler.remove_store("achive").await.unwrap_err(),
    ] {
        assert_error(&error, ErrorKind::UnknownStore, no_store);
    }

    let error = scheduler.add_job(tick("clock").executor("inlin")).await.unwrap_err();
    let no_executor = "there is no executor `inlin`; the scheduler has `default`, `inline`";
    assert_error(&error, ErrorKind::UnknownExecutor, no_executor);
    scheduler.add_job(tick("clock")).await.unwrap();
    let error = scheduler.modify_job("clock", JobChange::default().executor("inlin")).await.unwrap_err();
    assert_error(&error, ErrorKind::UnknownExecutor, no_executor);
}

#[tokio::test]
async fn a_duplicate_is_refused_and_named() {
    let scheduler = builder().build().unwrap();
    scheduler.add_job(tick("clock")).await.unwrap();

    let error = scheduler.add_job(tick("clock")).await.unwrap_err();

    assert_error(
        &error,
        ErrorKind::Conflict,
        "job `clock` is in store `default` already; choose another id, or `Conflict::Replace` or `Conflict::Keep`",
    );
}

#[tokio::test]
async fn ids_that_no_store_can_keep_are_refused() {
    let scheduler = builder().build().unwrap();
    let long = "x".repeat(192);

    for (id, message) in [
        ("", "job id \"\": it is empty; choose another".to_owned()),
        ("a\0b", "job id \"a\\0b\": it contains NUL; choose another".to_owned()),
        (&*long, format!("job id {long:?}: it has 192 bytes; 191 are allowed; choose another")),
    ] {
        let error = scheduler.add_job(tick(id)).await.unwrap_err();
        assert_error(&error, ErrorKind::Job, &message);
    }
}

#[test]
fn a_zone_that_does_not_exist_is_named() {
    let runtime = || ThreadRuntime::new().unwrap();

    let error = Scheduler::builder(runtime()).timezone_named("Europe/Atlantis").build().unwrap_err();
    assert_error(
        &error,
        ErrorKind::Config,
        "time zone `Europe/Atlantis`: the tz database has no such zone; an example is `Europe/Berlin`",
    );

    let json = r#"{"type": "cron", "dialect": "fields", "fields": {"hour": "9"}, "timezone": "Europe/Atlantis"}"#;
    let error = serde_json::from_str::<Trigger>(json).unwrap_err();
    assert!(error.to_string().contains("Europe/Atlantis"), "{error}");
}

#[test]
fn a_builder_refuses_what_contradicts_itself() {
    let builder = || Scheduler::builder(ThreadRuntime::new().unwrap()).task("tick", || async {});
    let cases = [
        (builder().task("tick", || async {}), "task `tick` is registered already; choose another name"),
        (
            builder().store("a", MemoryStore::new()).store("a", MemoryStore::new()),
            "store `a` is given twice; each needs a name of its own",
        ),
        (
            builder().executor("a", Inline::new()).executor("a", Inline::new()),
            "executor `a` is given twice; each needs a name of its own",
        ),
        (builder().lease(Duration::from_millis(99)), "lease 99ms: at least 100ms are needed"),
        (builder().accuracy(Duration::from_secs(2)), "accuracy 2s: at most 1s are allowed"),
    ];

    for (builder, message) in cases {
        assert_error(&builder.build().unwrap_err(), ErrorKind::Config, message);
    }
}

#[tokio::test]
async fn triggers_that_cannot_fire_or_be_computed_are_refused() {
    let scheduler = builder().build().unwrap();

    let error =
        scheduler.add_job(JobSpec::new("tick", Cron::crontab("30 2 31 2 *").unwrap()).id("j")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeverFires);
    assert!(error.to_string().starts_with("job `j` would never fire: crontab 30 2 31 2 *"), "{error}");
    let error = scheduler.add_job(JobSpec::new("tick", Interval::seconds(0)).id("j")).await.unwrap_err();
    assert_error(
        &error,
        ErrorKind::Trigger,
        "job `j`: trigger: interval: the period is zero; give at least one microsecond",
    );
    let over = Interval::hours(1).until(Utc::now() - TimeDelta::hours(2));
    let error = scheduler.add_job(JobSpec::new("tick", over).id("j")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeverFires);
    // A time that has passed is not among them: it runs at once.
    scheduler.add_job(JobSpec::new("tick", Date::at(Utc::now() - TimeDelta::hours(1)))).await.unwrap();
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_put_aside_listed_and_kept_until_somebody_removes_it() {
    let file = File::new();
    let scheduler = builder().store("default", file.open().await).build().unwrap();
    scheduler.add_job(due("tick").id("broken")).await.unwrap();
    scheduler.add_job(due("tick").id("whole")).await.unwrap();
    file.damage("UPDATE scheduler_jobs SET body = '{\"v\": 1, \"task\"' WHERE id = 'broken'").await;

    let mut events = scheduler.events(EventMask::JOB_QUARANTINED | EventMask::RUN_EXECUTED);
    scheduler.start().await.unwrap();
    let mut told = [next(&mut events).await, next(&mut events).await];
    told.sort_by_key(|event| matches!(event.kind, EventKind::RunExecuted { .. }));

    let EventKind::JobQuarantined { job, reason, .. } = &told[0].kind else { panic!("{told:?}") };
    assert_eq!(job, "broken");
    assert!(reason.contains("EOF while parsing"), "{reason}");
    assert_eq!(told[1].kind.run().unwrap().job.id, "whole");
    let unreadable = scheduler.unreadable_jobs().await.unwrap();
    let [(store, raw)] = &unreadable[..] else { panic!("{unreadable:?}") };
    assert_eq!((store.as_str(), raw.id.as_str(), raw.body.as_str()), ("default", "broken", "{\"v\": 1, \"task\""));
    let error = scheduler.job("broken").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quarantined);
    assert!(error.to_string().starts_with("job `broken` cannot be read: "), "{error}");
    assert!(error.to_string().ends_with("; repair its row or remove it"), "{error}");
    let mut text = Vec::new();
    scheduler.print_jobs(&mut text).await.unwrap();
    assert!(String::from_utf8(text).unwrap().contains("    broken: unreadable: "));
    assert_eq!(scheduler.export_jobs().await.unwrap().len(), 1);
    let again = scheduler.add_job(tick("broken").on_conflict(Conflict::Replace)).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Quarantined);
    assert_eq!(file.read::<i64>("SELECT count(*) FROM scheduler_jobs").await, 2);

    scheduler.remove_job("broken").await.unwrap();

    assert_eq!(scheduler.unreadable_jobs().await.unwrap(), []);
    scheduler.add_job(tick("broken")).await.unwrap();
}

#[tokio::test]
async fn a_row_that_was_repaired_runs_again() {
    let file = File::new();
    let scheduler = builder().store("default", file.open().await).build().unwrap();
    scheduler.add_job(due("tick").id("broken")).await.unwrap();
    let body: String = file.read("SELECT body FROM scheduler_jobs").await;
    file.damage("UPDATE scheduler_jobs SET body = 'nonsense'").await;
    let mut events = scheduler.events(EventMask::JOB_QUARANTINED | EventMask::RUN_EXECUTED);
    scheduler.start().await.unwrap();
    assert!(matches!(next(&mut events).await.kind, EventKind::JobQuarantined { .. }));

    file.damage(&format!("UPDATE scheduler_jobs SET body = '{body}'")).await;
    let job = scheduler.job("broken").await.unwrap().unwrap();
    assert!(matches!(job.state, JobState::Quarantined(_)), "{:?}", job.state);
    job.modify(JobChange::default().next_fire_time(Utc::now())).await.unwrap();

    assert!(matches!(next(&mut events).await.kind, EventKind::RunExecuted { .. }));
}

#[tokio::test]
async fn a_job_of_a_newer_version_is_left_as_it_is() {
    let file = File::new();
    let scheduler = builder().store("default", file.open().await).build().unwrap();
    scheduler.add_job(due("tick").id("newer")).await.unwrap();
    file.damage("UPDATE scheduler_jobs SET v = 4, body = json_set(body, '$.v', 4)").await;

    let mut events = scheduler.events(EventMask::JOB_DECLINED);
    scheduler.start().await.unwrap();

    let event = next(&mut events).await;
    let EventKind::JobDeclined { job, reason, .. } = &event.kind else { panic!("{event:?}") };
    assert_eq!((job.as_str(), reason.as_str()), ("newer", "its version 4 is newer than 3, which this node reads"));

    let json =
        r#"{"id": "newer", "job": {"v": 4, "task": "tick", "trigger": {"type": "interval", "every_us": 1000000}}}"#;
    let job: ExportedJob = serde_json::from_str(json).unwrap();
    let error = scheduler.import_jobs(vec![job], Conflict::Error).await.remove(0).unwrap_err();
    assert_error(
        &error,
        ErrorKind::NewerVersion,
        "job `newer` has version 4, and this scheduler reads 3; update it first",
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_read_and_says_so() {
    let file = File::new();
    let writer = builder().store("default", file.open().await).build().unwrap();
    writer.add_job(tick("clock")).await.unwrap();
    writer.shutdown(ShutdownMode::Wait).await.unwrap();

    let store = SqliteStore::connect(&format!("{}?mode=ro", file.url())).await.unwrap();
    let scheduler = builder().store("default", store).build().unwrap();

    assert_eq!(scheduler.jobs().await.unwrap().len(), 1);
    for error in [
        scheduler.add_job(tick("other")).await.unwrap_err(),
        scheduler.pause_job("clock").await.unwrap_err(),
        scheduler.remove_job("clock").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        assert!(error.to_string().starts_with("store `default`: "), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_not_opened_nor_touched() {
    let file = File::new();
    let path = file.0.path().join("jobs.db");
    let text = "Dear diary, today I wrote a scheduler. ".repeat(100);
    fs::write(&path, &text).unwrap();

    let error = SqliteStore::connect(&file.url()).await.unwrap_err();

    assert!(error.to_string().contains("jobs.db"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_command_channel_that_is_full_says_so() {
    // A local scheduler that is not run takes nothing in.
    let local = Scheduler::builder(ThreadRuntime::new().unwrap()).local().unwrap();
    let handle = local.handle();
    let mut calls: Vec<_> = (0..1_024).map(|_| Box::pin(handle.wakeup())).collect();
    for call in &mut calls {
        assert!(pin!(call).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    let error = handle.begin_shutdown(ShutdownMode::Wait).unwrap_err();

    assert_error(
        &error,
        ErrorKind::Busy,
        "the scheduler's command channel is full: 1024 calls wait for its loop; is that blocked by a listener or an inline \
         task?",
    );
}

/// Waits until all of these jobs have been told of as quarantined, and says why.
async fn quarantined(events: &mut EventStream, jobs: &[&str]) -> Vec<String> {
    let mut reasons = vec![None; jobs.len()];
    while reasons.contains(&None) {
        if let EventKind::JobQuarantined { job, reason, .. } = &next(events).await.kind {
            let at = jobs.iter().position(|id| *job == *id).unwrap_or_else(|| panic!("{job}: {reason}"));
            reasons[at] = Some(reason.clone());
        }
    }
    reasons.into_iter().flatten().collect()
}

/// Waits until a job has run so often.
async fn runs(events: &mut EventStream, id: &str, mut times: usize) {
    while times > 0 {
        if let EventKind::RunExecuted { run, .. } = &next(events).await.kind {
            times -= usize::from(run.job.id == *id);
        }
    }
}

#[tokio::test]
async fn rows_at_the_ends_of_what_numbers_and_texts_can_hold_harm_nobody_now_or_at_the_next_start() {
    let file = File::new();
    let scheduler = builder().store("default", file.open().await).build().unwrap();
    let mut events =
        scheduler.events(EventMask::RUN_EXECUTED | EventMask::JOB_QUARANTINED | EventMask::SCHEDULER_FAILED);
    scheduler.start().await.unwrap();
    scheduler.add_job(JobSpec::new("tick", Interval::every(Duration::from_millis(50))).id("clock")).await.unwrap();
    for id in ["end", "attempts", "counts", "large"] {
        scheduler.add_job(tick(id)).await.unwrap();
    }
    runs(&mut events, "clock", 1).await;

    let end = r#"{"v":1,"task":"tick","trigger":{"type":"except","trigger":{"type":"date",
        "at":"+262142-12-31T23:59:59.999999Z"},"dates":["2026-12-25"],"timezone":"Asia/Tokyo"}}"#;
    file.damage(&format!("UPDATE scheduler_jobs SET body = '{end}', due = 0 WHERE id = 'end'")).await;
    file.damage(
        "INSERT INTO scheduler_runs (uid, seq, fire_time, state, wait, attempt, takeovers, due, fence, cancel_requested) \
         SELECT uid, 7, 0, 'waiting', 'retry', 4294967295, 0, 0, 1, 0 FROM scheduler_jobs WHERE id = 'attempts'",
    )
    .await;
    file.damage("UPDATE scheduler_jobs SET last_seq = 7, due = 0 WHERE id = 'attempts'").await;
    file.damage("UPDATE scheduler_jobs SET fence = 9223372036854775807, due = 0 WHERE id = 'counts'").await;
    file.damage(
        "UPDATE scheduler_jobs SET body = replace(hex(zeroblob(17 * 512 * 1024)), '0', ' ') || body, due = 0 \
         WHERE id = 'large'",
    )
    .await;
    scheduler.wakeup().await.unwrap();

    let reasons = quarantined(&mut events, &["counts", "large"]).await;
    assert_eq!(
        reasons,
        [
            "the column `fence` is 9223372036854775807, which cannot grow any more",
            "the body has more than the 16777216 bytes that are read of one",
        ]
    );
    runs(&mut events, "clock", 3).await;
    assert!(scheduler.health().await.is_live());
    assert_eq!(scheduler.shutdown(ShutdownMode::Wait).await, Ok(()));

    let again = builder().store("default", file.open().await).build().unwrap();
    let mut events = again.events(EventMask::RUN_EXECUTED | EventMask::JOB_QUARANTINED | EventMask::SCHEDULER_FAILED);
    again.start().await.unwrap();
    runs(&mut events, "clock", 3).await;
    assert_eq!(again.unreadable_jobs().await.unwrap().len(), 2);
    assert_eq!(again.shutdown(ShutdownMode::Wait).await, Ok(()));
    let size: i64 = file.read("SELECT length(body) FROM scheduler_jobs WHERE id = 'large'").await;
    assert!(size > 17 << 20, "it is kept as it was");
}
