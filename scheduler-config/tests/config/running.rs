//! A scheduler from a configuration runs jobs.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use scheduler_config::SchedulerConfig;
use scheduler_core::{Error, JobSpec, RunContext, trigger::Cron};
use scheduler_runtime::ShutdownMode;
use scheduler_testkit::SimulatedRuntime;

use crate::wait;

pub(crate) fn morning() -> SimulatedRuntime {
    let at: DateTime<Utc> = "2026-11-21T06:00:00Z".parse().expect("a time");
    SimulatedRuntime::starting_at(at)
}

#[test]
fn a_scheduler_from_toml_runs_a_job_in_its_zone_with_its_defaults() {
    let runtime = morning();
    let config = SchedulerConfig::from_toml(
        r#"
        timezone = "Europe/Berlin"
        accuracy = 0
        [job_defaults]
        history = 3
        [stores]
        scratch = "memory:"
        [executors]
        here = { type = "inline" }
        "#,
    );
    let runs: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&runs);
    let builder = wait(&runtime, config.unwrap().builder(runtime.clone())).unwrap();
    let scheduler = builder
        .task("report", move |context: RunContext| {
            told.lock().unwrap().push(context.fire_time.to_string());
            async {}
        })
        .build()
        .unwrap();

    let at_eight = Cron::fields().hour(8).build().unwrap();
    let spec = JobSpec::new("report", at_eight).store("scratch").executor("here");
    let job = wait(&runtime, scheduler.add_job(spec)).unwrap();
    assert_eq!(job.body.options.history, 3);
    wait(&runtime, scheduler.start()).unwrap();
    runtime.advance(Duration::from_secs(2 * 3600));
    // Eight o'clock in Berlin.
    assert_eq!(*runs.lock().unwrap(), ["2026-11-21 07:00:00 UTC"]);
    wait(&runtime, scheduler.shutdown(ShutdownMode::Wait)).unwrap();
}

#[test]
fn what_cannot_be_built_says_why() {
    let runtime = morning();
    let build = |toml: &str| -> Error {
        let config = SchedulerConfig::from_toml(toml).unwrap();
        match wait(&runtime, config.builder(runtime.clone())) {
            Ok(builder) => builder.build().unwrap_err(),
            Err(error) => error,
        }
    };
    assert_eq!(build("lease = '1ms'").to_string(), "lease 1ms: at least 100ms are needed");
    assert_eq!(build("accuracy = 2").to_string(), "accuracy 2s: at most 1s are allowed");
    let message = build("[stores]\nmain = 'etcd://u:secret@127.0.0.1:port'").to_string();
    assert!(message.starts_with("store `main`: ") && !message.contains("secret"), "{message}");
}

#[cfg(feature = "sqlite")]
#[test]
fn jobs_in_a_file_that_a_configuration_names_are_there_again() {
    // Files are outside of the virtual time.
    let runtime = scheduler_thread::ThreadRuntime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let toml = format!("[stores]\ndefault = 'sqlite://{}/jobs.db'\n", folder.path().display());
    for is_there in [false, true] {
        let config = SchedulerConfig::from_toml(&toml).unwrap();
        let builder = wait(&runtime, config.builder(runtime.clone())).unwrap();
        let scheduler = builder.task("report", || async {}).build().unwrap();
        let jobs = wait(&runtime, scheduler.jobs()).unwrap();
        assert_eq!(jobs.len(), usize::from(is_there));
        if !is_there {
            let at_eight = Cron::fields().hour(8).build().unwrap();
            wait(&runtime, scheduler.add_job(JobSpec::new("report", at_eight))).unwrap();
        }
        wait(&runtime, scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    }
}
