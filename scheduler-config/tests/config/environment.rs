//! Variables of the environment come before what a file says.

use std::time::Duration;

use scheduler_config::{ExecutorConfig, SchedulerConfig};
use scheduler_core::PartialOptions;

fn file() -> SchedulerConfig {
    SchedulerConfig::from_toml(
        "lease = '30s'\n[job_defaults]\nmax_instances = 2\nhistory = 7\n[stores]\nMain = 'sqlite://jobs.db'\n",
    )
    .expect("the file is one")
}

#[test]
fn a_variable_takes_the_place_of_what_the_file_says() {
    let config = file().with_vars([
        ("APSCHEDULER_LEASE", "1m"),
        ("APSCHEDULER_ACCURACY", "0.5"),
        ("APSCHEDULER_JOB_DEFAULTS__MAX_INSTANCES", "3"),
        ("APSCHEDULER_JOB_DEFAULTS__OVERLAP__QUEUE", "5"),
        ("APSCHEDULER_JOB_DEFAULTS__TIMEOUT", "none"),
        ("APSCHEDULER_JOB_DEFAULTS__COALESCE", "true"),
        ("APSCHEDULER_EXECUTORS__HEAVY__TYPE", "thread_pool"),
        ("APSCHEDULER_EXECUTORS__HEAVY__NAME", "\"7\""),
        ("PATH", "/bin"),
    ]);
    let config = config.unwrap();
    assert_eq!((config.lease, config.accuracy), (Some(Duration::from_secs(60)), Some(Duration::from_millis(500))));
    let defaults = PartialOptions::default()
        .max_instances(3)
        .history(7)
        .overlap(scheduler_core::Overlap::Queue(5))
        .timeout(None)
        .coalesce(scheduler_core::Coalesce::Latest);
    assert_eq!(config.job_defaults, defaults);
    let pool = ExecutorConfig::ThreadPool { threads: None, name: Some("7".to_owned()), stack_size: None };
    assert_eq!(config.executors["heavy"], pool);
    assert_eq!(config.stores["Main"].url.as_str(), "sqlite://jobs.db");
}

#[test]
fn a_store_is_found_by_its_name_in_any_case_and_gets_a_url_or_options() {
    let config = file().with_vars([("APSCHEDULER_STORES__MAIN__PREFIX", "a_")]).unwrap();
    let main = &config.stores["Main"];
    assert_eq!((main.url.as_str(), main.prefix.as_deref(), config.stores.len()), ("sqlite://jobs.db", Some("a_"), 1));
    // Whichever comes first.
    let vars = [("APSCHEDULER_STORES__MAIN__PREFIX", "a_"), ("APSCHEDULER_STORES__MAIN", "redis://db")];
    let config = file().with_vars(vars).unwrap();
    let main = &config.stores["Main"];
    assert_eq!((main.url.as_str(), main.prefix.as_deref()), ("redis://db", Some("a_")));
}

#[test]
fn nothing_set_changes_nothing() {
    assert_eq!(
        file().with_vars([("APSCHEDULER_LEASE", ""), ("LEASE", "1s"), ("apscheduler_lease", "1s")]).unwrap(),
        file()
    );
}

#[test]
fn an_error_names_the_variable() {
    let cases = [
        (
            "APSCHEDULER_LEASE",
            "long",
            "environment variable `APSCHEDULER_LEASE`: `long` is no duration; write it as in 1d 2h 3m 4.5s or 250ms",
        ),
        (
            "APSCHEDULER_JOB_DEFAULTS__MAX_INSTANCES",
            "three",
            "environment variable `APSCHEDULER_JOB_DEFAULTS__MAX_INSTANCES`: invalid type: string \"three\", expected u32",
        ),
        (
            "APSCHEDULER_JOB_DEFAULTS__MAX_INSTANCE",
            "3",
            "environment variable `APSCHEDULER_JOB_DEFAULTS__MAX_INSTANCE`: unknown field `max_instance`, expected one of `misfire_grace_time`, `coalesce`, `max_instances`, `overlap`, `limit_key`, `delivery`, `timeout`, `retry`, `priority`, `history`, `when_finished`, `retention`, `output`",
        ),
        (
            "APSCHEDULER_DEBUG",
            "1",
            "environment variable `APSCHEDULER_DEBUG`: unknown field `debug`, expected one of `timezone`, `lease`, `accuracy`, `run_limit`, `job_defaults`, `stores`, `executors`, `jobs`",
        ),
        (
            "APSCHEDULER_STORES__NEW__PREFIX",
            "a_",
            "environment variable `APSCHEDULER_STORES__NEW__PREFIX`: missing field `url`",
        ),
        (
            "APSCHEDULER_STORES__MAIN",
            "oracle://u:secret@db",
            "environment variable `APSCHEDULER_STORES__MAIN`: store url `oracle://u:***@db`: no store has the scheme `oracle`; take one of memory, sqlite, postgres, postgresql, mysql, mariadb, redis, rediss, valkey, valkeys, redis+unix, valkey+unix, mongodb, mongodb+srv, etcd, etcd+https, zookeeper, rethinkdb",
        ),
        (
            "APSCHEDULER_STORES__",
            "a",
            "environment variable `APSCHEDULER_STORES__`: it has an empty part; write it as in `APSCHEDULER_JOB_DEFAULTS__MAX_INSTANCES`",
        ),
        (
            "APSCHEDULER_EXECUTORS",
            "{",
            "environment variable `APSCHEDULER_EXECUTORS`: it is no JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            "APSCHEDULER_JOB_DEFAULTS__HISTORY__ROWS",
            "1",
            "environment variable `APSCHEDULER_JOB_DEFAULTS__HISTORY__ROWS`: `job_defaults.history` is a value, which has nothing in it",
        ),
    ];
    for (name, value, message) in cases {
        assert_eq!(file().with_vars([(name, value)]).unwrap_err().to_string(), message);
    }
    let others = [
        ("APSCHEDULER_JOB_DEFAULTS__TIMEOUT", "1s"),
        ("APSCHEDULER_JOB_DEFAULTS__ZEAL", "1"),
        ("APSCHEDULER_STORES__A", "memory:"),
    ];
    let message = file().with_vars(others).unwrap_err().to_string();
    assert!(
        message.starts_with("environment variable `APSCHEDULER_JOB_DEFAULTS__ZEAL`: unknown field `zeal`"),
        "{message}"
    );
}

#[test]
fn what_a_process_pool_tells_its_workers_is_no_configuration() {
    let vars = [("APSCHEDULER_WORKER", "8:4711"), ("APSCHEDULER_LEASE", "30s")];
    assert_eq!(SchedulerConfig::default().with_vars(vars).unwrap().lease, Some(Duration::from_secs(30)));
}
