//! Documents: created once, refused if newer, kept apart by prefix, written by other programs.

use futures_lite::future::block_on;
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use scheduler_core::{
    JobStore, Listed, Uid,
    store::{Clock, JobQuery, Removed, StoreErrorKind},
};
use scheduler_stores::MongoDbOptions;
use scheduler_testkit::store::{Bench, StoreUnderTest};

use crate::collections::{Collections, setup_on};

#[test]
fn nodes_that_start_together_do_not_trip_over_each_other() {
    let collections = Collections::new();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..8).map(|_| scope.spawn(|| block_on(collections.open(Clock::Server)))).collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    block_on(async {
        let collections = Collections::new();
        drop(collections.open(Clock::Server).await);
        let meta = collections.collection("meta");
        let newer = doc! { "$set": { "value": 7 } };
        collections.run(async move { meta.update_one(doc! { "_id": "schema" }, newer).await }).await.unwrap();
        let error = collections.options(Clock::Server).connect(&collections.url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        let message = error.to_string();
        assert!(message.contains("schema 7") && message.contains("up to 4"), "{message}");
        assert!(message.contains(&collections.prefix) && message.contains("mongodb database"), "{message}");
    });
}

#[test]
fn schedulers_with_other_prefixes_share_a_database_without_meeting() {
    block_on(async {
        let (billing, reports) = (Collections::new(), Collections::new());
        let bench = Bench::new(setup_on(&reports, Clock::Server).await);
        bench.due_job("report").await;
        let billing = billing.open(Clock::Server).await;
        assert_eq!(billing.jobs(&JobQuery { after: None, limit: 9 }).await.unwrap(), []);
    });
}

#[test]
fn prefixes_that_are_no_names_are_refused() {
    for prefix in ["1x", "a b", "a.b", "a$", "ä", &"x".repeat(33)] {
        let error = MongoDbOptions::new().collection_prefix(prefix).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{prefix}");
        assert!(error.to_string().contains(prefix), "{error}");
    }
}

/// As the store's documentation shows it: with whichever number type the language has, and the server's own `_id`s seen to.
#[test]
fn a_document_of_another_program_is_a_job() {
    block_on(async {
        let collections = Collections::new();
        let bench = Bench::new(setup_on(&collections, Clock::Server).await);
        let mut seen = bench.store().changed(0).await.unwrap().seen;
        let job = foreign(&bench, Uid(7).to_string().into(), "from a shell");
        collections.insert(job).await;
        let meta = collections.collection("meta");
        let count = doc! { "$inc": { "value": 1.0 } };
        collections.run(async move { meta.update_one(doc! { "_id": "changes" }, count).await }).await.unwrap();
        loop {
            let change = bench.store().changed(seen).await.unwrap();
            if change.hint.is_some() {
                break;
            }
            seen = change.seen;
        }

        let started = bench.a().start("from a shell").await;

        assert_eq!(started.claimed.job.body.extra["colour"], "red");
        let stored = collections.job("from a shell").await;
        let kept = (stored.get_object_id("note").is_ok(), stored.get_datetime("since").is_ok());
        assert_eq!(kept, (true, true), "fields that the store does not know stay: {stored}");
    });
}

#[test]
fn documents_that_make_no_sense_are_reported_and_harm_nobody() {
    block_on(async {
        let collections = Collections::new();
        let bench = Bench::new(setup_on(&collections, Clock::Server).await);
        let uid = |n| Bson::from(Uid(n).to_string());
        let broken: [(&str, Bson, Document); 10] = [
            ("not json", uid(1), doc! { "body": "nonsense" }),
            ("no text", uid(2), doc! { "body": 7 }),
            ("a list of times", uid(3), doc! { "due": [1_i64, 2_i64] }),
            ("a list of states", uid(4), doc! { "state": ["active"] }),
            ("totals of another kind", uid(5), doc! { "totals": [1] }),
            ("runs of another kind", uid(6), doc! { "runs": [7, { "state": "running" }] }),
            ("a version of another kind", uid(7), doc! { "version": "one", "fence": -1 }),
            ("an id of the server", ObjectId::new().into(), doc! {}),
            ("no uid", "nobody".into(), doc! {}),
            ("no time", uid(8), doc! { "next_fire_time": i64::MAX }),
        ];
        for (id, key, fields) in broken.clone() {
            let mut job = foreign(&bench, key, id);
            job.extend(fields);
            collections.insert(job).await;
        }
        let mut stranger = foreign(&bench, 7.into(), "not the store's");
        stranger.remove("live_id");
        collections.insert(stranger).await;
        bench.due_job("sound").await;

        let claimed = bench.a().claim_up_to(20).await;

        assert_eq!(claimed.jobs.iter().map(|it| it.job.id.as_str()).collect::<Vec<_>>(), ["sound"]);
        let mut ids: Vec<&str> = claimed.quarantined.iter().map(|raw| raw.id.as_str()).collect();
        let mut wanted: Vec<&str> = broken.iter().map(|(id, ..)| *id).collect();
        ids.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(ids, wanted, "{claimed:#?}");
        assert!(claimed.quarantined.iter().all(|raw| !raw.reason.is_empty()), "{claimed:#?}");
        let again = bench.b().claim().await;
        assert_eq!((again.jobs, again.quarantined), (vec![], vec![]));

        let listed = bench.store().jobs(&JobQuery { after: None, limit: 99 }).await.unwrap();
        assert_eq!(listed.len(), broken.len() + 1);
        for (id, ..) in broken {
            let removed = bench.store().remove(bench.at(), &[id.into()]).await.unwrap().value;
            assert!(matches!(removed[..], [Removed::Removed { .. }]), "{id}: {removed:?}");
        }
        let listed = bench.store().jobs(&JobQuery { after: None, limit: 99 }).await.unwrap();
        assert!(matches!(&listed[..], [Listed::Job(job)] if job.id == "sound"), "{listed:#?}");
    });
}

#[test]
fn a_body_keeps_what_it_is_written_like() {
    block_on(async {
        let collections = Collections::new();
        let bench = Bench::new(setup_on(&collections, Clock::Server).await);
        let mut job = bench.job("o'neill \\ \" $where 日本", bench.now().await);
        job.body.args = serde_json::json!({ "nul": "\u{0}", "$set": { "a.b": 1 }, "big": 1e300, "most": u64::MAX });
        bench.add(&job).await;
        let started = bench.a().start(job.id.as_str()).await;
        assert_eq!(started.claimed.job.body, job.body);
        let stored = collections.job(job.id.as_str()).await;
        assert_eq!(stored.get_str("body").unwrap(), serde_json::to_string(&job.body).unwrap());
    });
}

/// A client lives on the runtime that it was created in; the store works from elsewhere as long as that runs.
#[test]
fn a_client_of_the_application_can_be_used() {
    let collections = Collections::new();
    let store = block_on(collections.options(Clock::Server).from_client(&collections.client)).unwrap();
    let bench = Bench::new(StoreUnderTest::new(store.clone(), store));
    block_on(async {
        bench.due_job("report").await;
        assert_eq!(bench.b().claim().await.jobs.len(), 1);
    });
}

/// A job as another program adds it.
fn foreign(bench: &Bench, key: Bson, id: &str) -> Document {
    let trigger = serde_json::to_string(&bench.job("any", bench.at()).body.trigger).unwrap();
    doc! {
        "_id": key,
        "id": id,
        "live_id": id,
        "body": format!(r#"{{"v": 1, "task": "task", "colour": "red", "trigger": {trigger}}}"#),
        "task": "task",
        "v": 1.0,
        "next_fire_time": 1_700_000_000_000_000_f64,
        "due": 1_700_000_000_000_000_f64,
        "note": ObjectId::new(),
        "since": mongodb::bson::DateTime::from_millis(0),
    }
}
