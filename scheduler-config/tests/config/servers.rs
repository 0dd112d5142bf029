//! Real servers, each named in every way in which a configuration is written.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "there may be no store with a server"))]

use scheduler_config::SchedulerConfig;
use scheduler_core::{JobSpec, trigger::Cron};
use scheduler_runtime::ShutdownMode;
use scheduler_thread::ThreadRuntime;
use serde_json::{Value, json};
use test_support::server;

use crate::wait;

macro_rules! servers {
    ($($store:ident: $feature:literal,)+) => {$(
        #[cfg(feature = $feature)]
        mod $store {
            #[test]
            fn toml_the_environment_and_flat_keys_lead_to_the_same_jobs() {
                super::toml_the_environment_and_flat_keys_lead_to_the_same_jobs($feature);
            }
        }
    )+};
}

servers! {
    etcd: "etcd",
    mongodb: "mongodb",
    mysql: "mysql",
    postgres: "postgres",
    redis: "redis",
    rethinkdb: "rethinkdb",
    zookeeper: "zookeeper",
}

fn toml_the_environment_and_flat_keys_lead_to_the_same_jobs(store: &str) {
    let url = server::url(store);
    let name = server::prefix().trim_end_matches('_').to_owned();
    let (prefix, flat) = in_flat_keys(store, &url, &name);

    let toml = format!("[stores]\ndefault = {{ url = '{url}', prefix = '{prefix}' }}\n");
    let toml = SchedulerConfig::from_toml(&toml).unwrap();
    let variables = [("APSCHEDULER_STORES__DEFAULT__URL", &url), ("APSCHEDULER_STORES__DEFAULT__PREFIX", &prefix)];
    let environment = SchedulerConfig::default().with_vars(variables).unwrap();
    let flat = SchedulerConfig::from_flat([("apscheduler.jobstores.default", flat)]).checked().unwrap();

    assert_eq!(ids_after_adding(toml, "one"), ["one"]);
    assert_eq!(ids_after_adding(environment, "two"), ["one", "two"]);
    assert_eq!(ids_after_adding(flat, "three"), ["one", "three", "two"]);
}

/// The prefix that the name of a table or a key becomes, and the options of APScheduler's job store.
fn in_flat_keys(store: &str, url: &str, name: &str) -> (String, Value) {
    let (_, rest) = url.split_once("://").unwrap();
    let address = rest.split('/').next().unwrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    let table = format!("{name}_");
    match store {
        "postgres" => {
            let url = format!("postgresql+psycopg2://{rest}");
            (table, json!({"type": "sqlalchemy", "url": url, "tablename": name}))
        }
        "mysql" => {
            let url = format!("mysql+pymysql://{rest}");
            (table, json!({"type": "sqlalchemy", "url": url, "tablename": name}))
        }
        "mongodb" => (table, json!({"type": "mongodb", "host": url, "collection": name})),
        "redis" => (name.to_owned(), json!({"type": "redis", "host": host, "port": port, "jobs_key": name})),
        "rethinkdb" => (table, json!({"type": "rethinkdb", "host": host, "port": port, "table": name})),
        "zookeeper" => (format!("/{name}"), json!({"type": "zookeeper", "hosts": address, "path": format!("/{name}")})),
        "etcd" => (format!("{name}/"), json!({"type": "etcd", "host": host, "port": port, "path": name})),
        other => panic!("there is no server for {other}"),
    }
}

/// The ids of all jobs that a scheduler of this configuration finds once it has added another one.
fn ids_after_adding(config: SchedulerConfig, id: &str) -> Vec<String> {
    let runtime = ThreadRuntime::new().unwrap();
    let builder = wait(&runtime, config.builder(runtime.clone())).unwrap();
    let scheduler = builder.task("report", || async {}).build().unwrap();
    let at_eight = Cron::fields().hour(8).build().unwrap();
    wait(&runtime, scheduler.add_job(JobSpec::new("report", at_eight).id(id))).unwrap();
    let jobs = wait(&runtime, scheduler.jobs()).unwrap();
    wait(&runtime, scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    let mut ids: Vec<String> = jobs.iter().map(|job| job.id.to_string()).collect();
    ids.sort_unstable();
    ids
}
