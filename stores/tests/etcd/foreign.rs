//! What is in the keys, and what other programs may write there.

use std::collections::BTreeSet;

use scheduler_core::{
    JobId, JobStore, Listed, Verdict,
    store::{Changed, Hint, Inserted, JobQuery, Removed, Report},
};
use scheduler_stores::EtcdOptions;
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on, moved};
use serde_json::json;

use crate::{
    server,
    test_store::{TestStore, etcdctl},
};

async fn listed(store: &dyn JobStore) -> Vec<Listed> {
    store.jobs(&JobQuery { after: None, limit: 100 }).await.unwrap()
}

#[test]
fn a_job_that_another_program_adds_as_documented_wakes_the_nodes_and_runs() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = Bench::new(test_store.setup().await);
        let seen = bench.store().changed(0).await.unwrap().seen;
        let p = &test_store.prefix;
        let due = bench.at().timestamp_micros();
        let trigger = serde_json::to_value(&bench.job("any", bench.at()).body.trigger).unwrap();
        let body = json!({ "v": 1, "task": "task", "colour": "red", "trigger": trigger });
        let job = json!({ "id": "report", "task": "task", "v": 1, "next_fire_time": due, "due": due, "body": body });
        let quoted = json!(job.to_string());
        let lines = format!(
            r#"mod("{p}job:0123456789abcdef0123456789abcdef") = "0"
mod("{p}id:report") = "0"

put {p}job:0123456789abcdef0123456789abcdef {quoted}
put {p}id:report 0123456789abcdef0123456789abcdef
put {p}due:{due:020}:0123456789abcdef0123456789abcdef ""
put {p}meta:changes ""


"#
        );
        assert!(etcdctl(&["txn"], &lines).contains("SUCCESS"));
        let change = bench.store().changed(seen).await.unwrap();
        assert!(matches!(change, Changed { hint: Some(Hint::Resync), seen: now } if now > seen), "{change:?}");
        assert_eq!(bench.stored("report").await.uid.to_string(), "0123456789abcdef0123456789abcdef");
        let claimed = bench.a().claim_one("report").await;
        assert_eq!(claimed.job.body.extra["colour"], "red");
        bench.a().settle_one(&moved(&claimed)).await;
        assert_eq!(test_store.names("due:"), [""; 0]);
        assert!(etcdctl(&["txn"], &lines).contains("FAILURE"), "the id is taken");
    });
}

#[test]
fn a_job_leaves_nothing_behind() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = Bench::new(test_store.setup().await);
        bench.due_job("report").await;
        for _ in 0..3 {
            let started = bench.a().start_and("report", |to| to.due = Some(bench.at())).await;
            bench.a().end(&started, Verdict::Ok).await;
        }
        let kinds: BTreeSet<String> =
            test_store.names("").iter().map(|name| name[..name.find(':').unwrap()].into()).collect();
        assert_eq!(kinds, ["due", "id", "job", "meta", "node", "run"].map(String::from).into());
        bench.store().remove(bench.at(), &["report".into()]).await.unwrap();
        bench.a().release().await;
        assert_eq!(test_store.names(""), ["meta:changes", "meta:schema"]);
    });
}

#[test]
fn nodes_with_any_name_hold_what_they_hold() {
    block_on(async {
        let bench = Bench::new(TestStore::new().setup().await);
        let nodes = ["a", "a:", "a:b", "a/b", "a%3A", "ä \"'\n", "running:a"].map(|name| bench.node(name));
        for node in &nodes {
            bench.due_job(node.id.as_str()).await;
            bench.a().renamed(node.id.as_str()).start(node.id.as_str()).await;
        }
        nodes[0].release().await;
        assert_eq!(bench.runs(bench.stored("a").await.uid).await[0].owner.as_ref(), Some(&nodes[0].id));
        for node in &nodes[1..] {
            let runs = bench.runs(bench.stored(node.id.as_str()).await.uid).await;
            assert!(runs[0].is_open() && runs[0].owner.as_ref() == Some(&node.id), "{runs:?}");
            assert_eq!(node.life_sign().await.hold, scheduler_core::store::Hold::Kept);
        }
    });
}

#[test]
fn what_is_no_job_at_all_is_listed_quarantined_and_removed_by_its_id() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = Bench::new(test_store.setup().await);
        for (id, garbage) in [("empty", ""), ("list", "[1, 2]"), ("text", "hello"), ("object", "{}")] {
            bench.due_job(id).await;
            test_store.put(&test_store.job_key(&id.into()), garbage);
        }
        bench.due_job("sound").await;

        let raw: Vec<JobId> = listed(bench.store()).await.iter().filter_map(raw_id).collect();
        assert_eq!(raw, ["empty", "list", "object", "text"].map(JobId::from));
        let claimed = bench.a().claim().await;
        assert_eq!(claimed.jobs.iter().map(|it| it.job.id.as_str()).collect::<Vec<_>>(), ["sound"]);
        assert_eq!(claimed.quarantined.len(), 4);
        assert!(claimed.quarantined.iter().all(|raw| !raw.reason.is_empty()), "{:?}", claimed.quarantined);
        assert_eq!(bench.b().claim().await.quarantined, [], "they are out of the way");
        let raw: Vec<JobId> = listed(bench.store()).await.iter().filter_map(raw_id).collect();
        assert_eq!(raw, ["empty", "list", "object", "text"].map(JobId::from));

        let removed = bench.store().remove(bench.at(), &raw).await.unwrap().value;
        assert!(removed.iter().all(|it| matches!(it, Removed::Removed { running: 0, .. })), "{removed:?}");
        assert_eq!(listed(bench.store()).await.len(), 1);
    });
}

fn raw_id(entry: &Listed) -> Option<JobId> {
    match entry {
        Listed::Raw(raw) => Some(raw.id.clone()),
        Listed::Job(_) => None,
    }
}

#[test]
fn entries_that_name_no_job_are_harmless() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = Bench::new(test_store.setup().await);
        let before = bench.at().timestamp_micros() - 1;
        test_store.put("id:report", "00000000000000000000000000000bad");
        for name in [
            format!("due:{before:020}:00000000000000000000000000000bad"),
            format!("due:{before:020}"),
            "due:soon:x".to_owned(),
            "claim:node-a".to_owned(),
            "claim:node-a:00000000000000000000000000000bad".to_owned(),
            "claim:%:x".to_owned(),
            "running:node-a:00000000000000000000000000000bad".to_owned(),
            "running:gone:x".to_owned(),
            "asked:node-a:x".to_owned(),
            "job:x".to_owned(),
            "node:x".to_owned(),
        ] {
            test_store.put(&name, "nonsense");
        }
        assert_eq!(listed(bench.store()).await, []);
        assert_eq!(bench.find("report").await, None);
        let job = bench.job("report", bench.at());
        let reply = bench.store().insert(bench.at(), &[job.clone(), bench.job("report", bench.at())]).await.unwrap();
        assert!(matches!(reply.value[..], [Inserted::Added, Inserted::Conflict(_)]), "{:?}", reply.value);
        let started = bench.a().start("report").await;
        bench.b().adopt().await;
        bench.b().adopt().await;
        assert_eq!(bench.a().life_sign().await.cancel, []);
        bench.a().end(&started, Verdict::Ok).await;
        bench.a().release().await;
        bench.store().remove(bench.at(), &["report".into()]).await.unwrap();
        assert_eq!(listed(bench.store()).await, []);
    });
}

#[test]
fn changes_are_heard_without_the_key_that_tells_of_them() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = Bench::new(test_store.setup().await);
        let seen = bench.store().changed(0).await.unwrap().seen;
        etcdctl(&["del", "--", &test_store.key("meta:changes")], "");
        let seen = bench.store().changed(seen).await.unwrap().seen;
        let other = test_store.open().await;
        let mut waiting = Box::pin(other.changed(seen));
        for _ in 0..20 {
            assert!(futures_lite::future::poll_once(&mut waiting).await.is_none(), "nothing has changed");
            bench.find("report").await;
        }
        bench.due_job("report").await;
        assert_eq!(waiting.await.unwrap().hint, Some(Hint::Resync));
    });
}

#[test]
fn jobs_that_nobody_here_knows_do_not_stand_in_the_way() {
    block_on(async {
        let bench = Bench::new(TestStore::new().setup().await);
        let strange: Vec<_> = (0..1_200)
            .map(|n| {
                let mut job = bench.job(&format!("strange-{n}"), bench.at() - chrono::TimeDelta::hours(1));
                job.body.task = "gone".into();
                job
            })
            .collect();
        for batch in strange.chunks(100) {
            bench.store().insert(bench.at(), batch).await.unwrap();
        }
        bench.due_job("report").await;
        let claim = bench.a().adopt_call().with_declined(Report::Declined).with_limit(3);
        let claimed = bench.a().send(&claim).await;
        assert_eq!(claimed.jobs.iter().map(|it| it.job.id.as_str()).collect::<Vec<_>>(), ["report"]);
        assert_eq!(claimed.declined.len(), scheduler_core::store::DECLINED_LIMIT);
        assert_eq!(bench.store().remove_all(bench.at()).await.unwrap().value.count, 1_201);
    });
}

#[test]
fn prefixes_do_not_meet() {
    block_on(async {
        let test_store = TestStore::new();
        let names = ["", "job", "id", "node", "job/", "d"].map(|more| test_store.key(more));
        let mut benches = Vec::new();
        for name in &names {
            let store = EtcdOptions::new().key_prefix(name).unwrap().connect(&server::url("etcd")).await.unwrap();
            benches.push(Bench::new(StoreUnderTest::new(store.clone(), store)));
        }
        for (bench, name) in benches.iter().zip(&names) {
            bench.due_job(name).await;
        }
        for (bench, name) in benches.iter().zip(&names) {
            let jobs = bench.a().claim().await.jobs;
            assert_eq!(jobs.iter().map(|it| it.job.id.as_str()).collect::<Vec<_>>(), [name]);
            assert_eq!(bench.store().remove_all(bench.at()).await.unwrap().value.count, 1);
        }
    });
}
