//! Tables: created once, refused if newer, kept apart by prefix, filled by other programs.

use futures_lite::future::block_on;
use scheduler_core::{
    JobId, JobStore, Listed, Uid,
    store::{Clock, Hint, Inserted, JobQuery, StoreErrorKind},
};
use scheduler_stores::{RethinkDbOptions, RethinkDbStore};
use scheduler_testkit::store::{Bench, StoreUnderTest};
use serde_json::json;
use unreql::r;

use crate::tables::{Tables, address, driver_options, url};

#[test]
fn nodes_that_start_together_wait_for_each_other() {
    let tables = Tables::new();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..6).map(|_| scope.spawn(|| block_on(tables.open(Clock::Server)))).collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    block_on(async {
        let tables = Tables::new();
        drop(tables.open(Clock::Server).await);
        tables.run("meta", |meta| meta.get("schema").update(json!({ "value": 7 }))).await;
        let error = tables.options().connect(&url()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        let message = error.to_string();
        assert!(message.contains("schema 7") && message.contains("up to 3"), "{message}");
        assert!(message.contains(&tables.prefix) && message.contains(&address()), "{message}");
    });
}

#[test]
fn schedulers_with_other_prefixes_share_a_database_without_meeting() {
    block_on(async {
        let (billing, reports) = (Tables::new(), Tables::new());
        let bench = Bench::new(reports.setup().await);
        bench.due_job("report").await;
        let billing = billing.open(Clock::Server).await;
        assert_eq!(billing.jobs(&JobQuery { after: None, limit: 9 }).await.unwrap(), []);
    });
}

#[test]
fn a_prefix_that_is_no_part_of_a_name_is_rejected() {
    for prefix in ["a b", "a;", "ä", "a.", &"x".repeat(33)] {
        let error = RethinkDbOptions::new().table_prefix(prefix).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{prefix}");
        assert!(error.to_string().contains("letters"), "{error}");
    }
}

#[test]
fn a_bad_url_says_what_is_wrong_with_it_but_no_password() {
    for (url, reason) in [
        ("http://u:secret@db", "does not begin with `rethinkdb://`"),
        ("rethinkdb://u:secret@db:x", "port"),
        ("rethinkdb://u:secret@db/a b", "database"),
    ] {
        let error = block_on(RethinkDbStore::connect(url)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible, "{url}");
        let message = error.to_string();
        assert!(message.contains(reason) && !message.contains("secret"), "{message}");
    }
}

#[test]
fn options_of_the_driver_can_be_used_and_show_no_password() {
    block_on(async {
        let tables = Tables::new();
        // reqlite takes the empty password only; the name is the application's.
        let store = tables.options().connect_with(driver_options().user("admin")).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store.clone(), tables.open(Clock::Server).await));
        bench.due_job("report").await;
        assert_eq!(bench.b().claim().await.jobs.len(), 1);
        let shown = format!("{store:?}");
        assert!(shown.contains(&address()) && shown.contains(&tables.prefix), "{shown}");
        assert!(!shown.contains("admin"), "{shown}");
    });
}

/// As the documentation of the store says it.
#[test]
fn another_program_adds_a_job() {
    block_on(async {
        let tables = Tables::new();
        let bench = Bench::new(tables.clone().setup().await);
        let seen = bench.store().changed(0).await.unwrap().seen;
        let body = r#"{"v": 1, "task": "task", "trigger": {"type": "date", "at": "2026-01-01T09:00:00Z"}}"#;
        let at = 1_767_258_000_000_000_i64;
        let row = json!({ "uid": Uid(7).to_string(), "id": "report", "body": body, "task": "task", "v": 1,
            "next_fire_time": at, "due": at });
        tables.insert("jobs", row).await;
        tables
            .run("meta", |meta| meta.get("changes").update(unreql::rjson!({ "value": r.row().g("value").add(1) })))
            .await;

        assert_eq!(bench.store().changed(seen).await.unwrap().hint, Some(Hint::Resync));
        let mut job = bench.stored("report").await;
        assert_eq!((job.uid, job.due.unwrap().timestamp_micros()), (Uid(7), at));
        // Its id is taken, although no row of the ids says so.
        let outcome = bench.store().insert(bench.at(), &[bench.job("report", bench.at())]).await.unwrap().value;
        assert_eq!(outcome, [Inserted::Conflict(Box::new(Listed::Job(job.clone())))]);
        let claimed = bench.a().claim_one("report").await;
        job.fence = 1;
        assert_eq!(claimed.job, job);
        assert_eq!(tables.document("report").await["version"], 1);
        bench.store().remove(bench.at(), &[JobId::from("report")]).await.unwrap();
        bench.due_job("report").await;
    });
}
