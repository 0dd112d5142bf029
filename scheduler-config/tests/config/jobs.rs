//! Jobs of a configuration are there once the scheduler has started, and what is wrong with one names it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use scheduler_config::SchedulerConfig;
use scheduler_core::{Conflict, Error, JobState, Overlap, PartialOptions, Retry, trigger::Interval};
use scheduler_runtime::{Scheduler, ShutdownMode};
use scheduler_testkit::SimulatedRuntime;
use serde_json::{Value, json};

use crate::{running::morning, wait};

const JOBS: &str = r#"
[job_defaults]
history = 3

[stores]
scratch = "memory:"

[executors]
here = { type = "inline" }

[jobs.minutely]
task = "report"
trigger = "every 1m"
args = { to = ["ann", "bob"], since = 2026-11-01 }
store = "scratch"
executor = "here"
name = "Each minute"
tags = ["tenant:42", "reports"]
meta = { by = "ann" }
overlap = { queue = 5 }
timeout = "10s"
retry = "none"

[jobs."a b.c"]
task = "report"
trigger = { type = "interval", every_us = 10_000_000 }
paused = true
on_conflict = "keep"
"#;

fn scheduler(runtime: &SimulatedRuntime, toml: &str, runs: &Arc<Mutex<Vec<Value>>>) -> Scheduler {
    let config = SchedulerConfig::from_toml(toml).unwrap();
    let told = Arc::clone(runs);
    let report = move |args: Value| {
        told.lock().unwrap().push(args);
        async {}
    };
    wait(runtime, config.builder(runtime.clone())).unwrap().task("report", report).build().unwrap()
}

#[test]
fn jobs_are_there_once_the_scheduler_has_started_and_run() {
    let (runtime, runs) = (morning(), Arc::default());
    let scheduler = scheduler(&runtime, JOBS, &runs);
    assert!(wait(&runtime, scheduler.jobs()).unwrap().is_empty());
    wait(&runtime, scheduler.start()).unwrap();

    let minutely = wait(&runtime, scheduler.job("minutely")).unwrap().unwrap();
    assert_eq!((minutely.body.display_name(), minutely.body.executor.as_str()), ("Each minute", "here"));
    assert_eq!((&minutely.body.tags, &minutely.body.meta), (&["reports", "tenant:42"].into(), &json!({"by": "ann"})));
    let options = &minutely.body.options;
    assert_eq!(
        (options.history, options.overlap, options.timeout),
        (3, Overlap::Queue(5), Some(Duration::from_secs(10)))
    );
    let paused = wait(&runtime, scheduler.job("a b.c")).unwrap().unwrap();
    assert_eq!((paused.state.clone(), paused.body.trigger.to_string().contains("every 10s")), (JobState::Paused, true));

    runtime.advance(Duration::from_secs(61));
    let args = json!({"to": ["ann", "bob"], "since": "2026-11-01"});
    assert!(runs.lock().unwrap().iter().all(|run| *run == args));
    assert!(!runs.lock().unwrap().is_empty());
    wait(&runtime, scheduler.shutdown(ShutdownMode::Wait)).unwrap();
}

#[test]
fn everything_that_can_be_said_of_a_job_is_read_and_written() {
    let config = SchedulerConfig::from_toml(JOBS).unwrap();
    let minutely = &config.jobs["minutely"];
    assert_eq!(minutely.trigger, Interval::minutes(1).into());
    let options = PartialOptions::default().overlap(Overlap::Queue(5)).timeout(Duration::from_secs(10));
    assert_eq!(minutely.options, options.retry(None::<Retry>));
    assert_eq!((minutely.paused, minutely.on_conflict), (false, Conflict::Replace));
    let other = &config.jobs["a b.c"];
    assert_eq!(other.trigger, Interval::seconds(10).into());
    assert_eq!((other.paused, other.on_conflict), (true, Conflict::Keep));

    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(SchedulerConfig::from_json(&json).unwrap(), config);
    let toml = toml::to_string(&config).unwrap();
    assert_eq!(SchedulerConfig::from_toml(&toml).unwrap(), config);
}

#[test]
fn a_variable_changes_a_job() {
    let config = SchedulerConfig::from_toml(JOBS).unwrap().with_vars([
        ("APSCHEDULER_JOBS__MINUTELY__TRIGGER", "every 5m"),
        ("APSCHEDULER_JOBS__MINUTELY__MAX_INSTANCES", "2"),
        ("APSCHEDULER_JOBS__NIGHTLY", r#"{"task": "report", "trigger": "crontab 0 3 * * *"}"#),
    ]);
    let config = config.unwrap();
    assert_eq!(config.jobs["minutely"].trigger, Interval::minutes(5).into());
    assert_eq!(config.jobs["nightly"].trigger.to_string(), "crontab 0 3 * * *");
    for (written, read) in [
        ("crontab @every 1h30m", "every 1h 30m"),
        ("crontab 0 0 1 * * 1-5", "crontab 0 0 1 * * 1-5"),
        ("crontab TZ=Asia/Tokyo 0 9 ? * Monday", "crontab 0 9 ? * Monday in Asia/Tokyo"),
    ] {
        let config = SchedulerConfig::from_toml(JOBS).unwrap();
        let config = config.with_vars([("APSCHEDULER_JOBS__MINUTELY__TRIGGER", written)]).unwrap();
        assert_eq!(config.jobs["minutely"].trigger.to_string(), read);
    }

    let wrong = SchedulerConfig::default().with_vars([("APSCHEDULER_JOBS__X", r#"{"task": "x", "trigger": "daily"}"#)]);
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "environment variable `APSCHEDULER_JOBS__X`: `trigger`: trigger `daily`: \
         begin with date, every, calendar, cron, crontab, quartz, and, or, except or custom"
    );
}

#[test]
fn a_job_that_is_not_understood_is_refused_by_its_id_and_the_key() {
    let cases = [
        ("trigger = 'every 1s'", "`task` is missing"),
        ("task = 'x'", "`trigger` is missing"),
        ("task = 7\ntrigger = 'every 1s'", "`task`: invalid type: integer `7`, expected a string"),
        ("task = 'x'\ntrigger = 7", "`trigger`: 7 is neither a text such as `every 10s` nor a table with its `type`"),
        (
            "task = 'x'\ntrigger = 'crontab 0 25 * * *'",
            "`trigger`: crontab field `hour`: `25` at column 11: the value must be 0 to 23",
        ),
        ("task = 'x'\ntrigger = { type = 'lunar' }", "`trigger`: unknown variant `lunar`"),
        ("task = 'x'\ntrigger = 'every 1s'\npaused = 'yes'", "`paused`: invalid type: string \"yes\""),
        (
            "task = 'x'\ntrigger = 'every 1s'\non_conflict = 'ignore'",
            "`on_conflict`: `ignore` is none of `replace`, `keep` and `error`",
        ),
        (
            "task = 'x'\ntrigger = 'every 1s'\nmax_instances = 'three'",
            "`max_instances`: invalid type: string \"three\"",
        ),
        ("task = 'x'\ntrigger = 'every 1s'\ntimeout = '1 fortnight'", "`timeout`: "),
        ("task = 'x'\ntrigger = 'every 1s'\ncolour = 'red'", "`colour`: unknown field `colour`"),
    ];
    for (toml, expected) in cases {
        let error = SchedulerConfig::from_toml(&format!("[jobs.nightly]\n{toml}\n")).unwrap_err().to_string();
        assert!(error.starts_with("configuration, line 1, `jobs.nightly`: "), "{error}");
        assert!(error.contains(&format!(": {expected}")), "{toml}: {error}");
    }
}

#[test]
fn a_job_that_the_program_cannot_run_keeps_the_scheduler_from_starting() {
    let start = |job: &str| -> Error {
        let (runtime, runs) = (morning(), Arc::default());
        let scheduler = scheduler(&runtime, &format!("[jobs.nightly]\n{job}\n"), &runs);
        wait(&runtime, scheduler.start()).unwrap_err()
    };
    for (job, expected) in [
        ("task = 'brew'\ntrigger = 'every 1s'", "brew"),
        ("task = 'report'\ntrigger = 'every 1s'\nstore = 'cellar'", "cellar"),
        ("task = 'report'\ntrigger = 'every 1s'\nexecutor = 'nobody'", "nobody"),
        ("task = 'report'\ntrigger = 'crontab 0 0 30 2 *'", "would never fire"),
    ] {
        let error = start(job).to_string();
        assert!(error.starts_with("scheduled job `nightly`: ") && error.contains(expected), "{error}");
    }
}
