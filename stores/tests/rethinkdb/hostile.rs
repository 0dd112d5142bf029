//! Documents that people and other programs write, and ids and numbers that RethinkDB dislikes.

use chrono::{DateTime, Utc};
use futures_lite::future::block_on;
use scheduler_core::{
    JobId, JobState, Listed, Uid,
    store::{Clock, Inserted, JobQuery},
};
use scheduler_testkit::store::{Bench, StoreUnderTest};
use serde_json::{Value, json};

use crate::tables::Tables;

#[test]
fn documents_that_make_no_sense_are_reported_and_harm_nobody() {
    block_on(async {
        let tables = Tables::new();
        let bench = Bench::new(tables.clone().setup().await);
        let body = r#"{"v": 1, "task": "task", "trigger": {"type": "date", "at": "2026-01-01T09:00:00Z"}}"#;
        let sound = json!({ "body": body, "task": "task", "v": 1, "due": 1 });
        let rows = [
            ("a list as body", json!({ "body": [1] })),
            ("an owner that is a number", json!({ "owner": 7, "claim_until": 1 })),
            ("no time", json!({ "due": 1.5 })),
            ("not json", json!({ "body": "nonsense" })),
            ("runs that are none", json!({ "runs": [7, { "state": "running" }] })),
            ("totals", json!({ "totals": "many" })),
            ("version", json!({ "version": "x", "totals": 7 })),
            ("wrong task", json!({ "task": "other" })),
        ];
        for (n, (id, fields)) in rows.iter().enumerate() {
            let mut row = sound.clone();
            row["uid"] = Uid(n as u128).to_string().into();
            row["id"] = (*id).into();
            for (name, value) in fields.as_object().unwrap() {
                row[name.as_str()] = value.clone();
            }
            tables.insert("jobs", row).await;
        }
        bench.due_job("sound").await;

        let mut claimed = bench.a().adopt().await;

        // The one with another task is not for this node, and the one whose body disagrees with it is listed as it is.
        assert_eq!(claimed.jobs.iter().map(|it| it.job.id.as_str()).collect::<Vec<_>>(), ["sound"]);
        claimed.quarantined.sort_by(|a, b| a.id.cmp(&b.id));
        let ids: Vec<&str> = claimed.quarantined.iter().map(|raw| raw.id.as_str()).collect();
        let broken: Vec<&str> = rows.iter().map(|(id, _)| *id).filter(|id| *id != "wrong task").collect();
        assert_eq!(ids, broken);
        assert_eq!(bench.a().adopt().await.quarantined, []);
        let listed = bench.store().jobs(&JobQuery { after: None, limit: 99 }).await.unwrap();
        let is_put_aside = |entry: &&Listed| match entry {
            Listed::Raw(_) => true,
            Listed::Job(job) => matches!(job.state, JobState::Quarantined(_)),
        };
        assert_eq!(listed.iter().filter(is_put_aside).count(), rows.len());
        for id in broken {
            let document = tables.document(id).await;
            assert_eq!((&document["state"], &document["due"]), (&json!("quarantined"), &Value::Null), "{id}");
        }
    });
}

/// A primary key of RethinkDB takes 127 bytes, and an index sorts by fewer of them than an id may have.
#[test]
fn long_ids_that_begin_alike_are_kept_apart_and_in_order() {
    block_on(async {
        let bench = Bench::new(Tables::new().setup().await);
        let id = |end: &str| format!("{}{end}", "ä\"$'\\".repeat(31));
        let ids = ["", "a", "b", "ba", "ß"].map(id);
        assert_eq!(ids[4].len(), 188);
        for id in ids.iter().rev() {
            bench.due_job(id).await;
        }
        for id in &ids {
            let again = bench.store().insert(bench.at(), &[bench.job(id, bench.at())]).await.unwrap().value;
            assert!(matches!(&again[..], [Inserted::Conflict(_)]), "{again:?}");
        }
        let page = JobQuery { after: Some(JobId::from(ids[0].as_str())), limit: 3 };
        let listed = bench.store().jobs(&page).await.unwrap();
        assert_eq!(listed.iter().map(|it| it.id().as_str()).collect::<Vec<_>>(), ids[1..4]);
    });
}

/// A float cannot tell these microseconds from each other.
#[test]
fn times_beyond_the_floats_are_kept_to_the_microsecond() {
    block_on(async {
        let store = Tables::new().open(Clock::Caller).await;
        let bench = Bench::new(StoreUnderTest::new(store.clone(), store));
        let times = [1, -1].map(|micros| {
            let year: DateTime<Utc> = "3026-01-01T00:00:00Z".parse().unwrap();
            year + chrono::TimeDelta::microseconds(micros)
        });
        for (n, at) in times.into_iter().enumerate() {
            let job = bench.job(&format!("job-{n}"), at);
            bench.add(&job).await;
            assert_eq!(bench.stored(job.id.as_str()).await, job);
        }
    });
}
