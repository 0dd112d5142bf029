//! A job that a program in Python adds with plain SQL is run.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{process::Command, time::Duration};

use apscheduler::{EventKind, EventMask, RunContext, Scheduler, ShutdownMode, TokioRuntime};
use serde::Deserialize;

use test_support::test_store::TestStore;

#[derive(Deserialize)]
struct Report {
    to: String,
}

/// A scheduler on the store runs the job that the program adds, wakes up for it by itself, and knows its arguments.
async fn runs_what_python_adds(test_store: &TestStore) {
    let [_, url, prefix] = test_store.parts();
    let prefix = if prefix.is_empty() { "scheduler_" } else { prefix };
    let (told, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let report = move |context: RunContext, report: Report| {
        told.send((context.job_id, report.to)).unwrap();
        async {}
    };
    let scheduler = Scheduler::builder(TokioRuntime::current())
        .store("default", test_store.open().await)
        .task("report", report)
        .build()
        .unwrap();
    let mut events = scheduler.events(EventMask::ALL);
    scheduler.start().await.unwrap();

    let args = "{\"to\": \"ann's \\\"friend\\\" \u{1F600}\"}";
    python(&[url, "report", args, "--id", "once", "--prefix", prefix]);
    let (job, to) = within(reports.recv()).await.unwrap();
    assert_eq!((job.as_str(), to.as_str()), ("once", "ann's \"friend\" \u{1F600}"));
    loop {
        let event = within(events.next()).await.unwrap().unwrap();
        if let EventKind::RunExecuted { run, .. } = &event.kind {
            assert_eq!(run.job.id, "once");
            break;
        }
    }
    // A job for one date is over with its run.
    assert!(scheduler.job("once").await.unwrap().is_none());

    let each_second = r#"{"type": "cron", "dialect": "quartz", "expression": "* * * * * ?"}"#;
    python(&[url, "report", r#"{"to": "bob"}"#, "--id", "often", "--prefix", prefix, "--trigger", each_second]);
    for _ in 0..2 {
        let (job, to) = within(reports.recv()).await.unwrap();
        assert_eq!((job.as_str(), to.as_str()), ("often", "bob"));
    }
    assert!(scheduler.job("often").await.unwrap().unwrap().next_fire_time.is_some());
    scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
}

fn python(args: &[&str]) {
    let root = env!("CARGO_MANIFEST_DIR");
    let drivers = Command::new("bash").args([&format!("{root}/xtask/services.sh"), "python"]).output().unwrap();
    let drivers = String::from_utf8(drivers.stdout).unwrap();
    let mut command = Command::new("python3");
    command.arg(format!("{root}/examples/insert_job.py")).args(args).env("PYTHONPATH", drivers.trim());
    let python = command.output().expect("python3 is there");
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it happens in time")
}

#[test]
fn the_form_in_the_documentation_is_read() {
    let text = include_str!("../docs/stores.md");
    let forms: Vec<&str> = text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(forms.len(), 1);
    let body: apscheduler::JobBody = serde_json::from_str(forms[0]).unwrap();
    assert!(body.extra.is_empty() && body.options.extra.is_empty(), "{body:?}");
    assert_eq!(serde_json::to_value(&body).unwrap(), serde_json::from_str::<serde_json::Value>(forms[0]).unwrap());
}

macro_rules! on_store {
    ($($feature:literal $store:ident)*) => {
        $(
            #[cfg(feature = $feature)]
            mod $store {
                #[tokio::test(flavor = "multi_thread")]
                async fn a_job_that_python_adds_with_plain_sql_is_run() {
                    crate::runs_what_python_adds(&test_support::test_store::TestStore::new(stringify!($store))).await;
                }
            }
        )*
    };
}

on_store!("sqlite" sqlite "postgres" postgres "mysql" mysql);
