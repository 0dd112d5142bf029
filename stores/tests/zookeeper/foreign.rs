//! Nodes that other programs have written.

use std::slice;

use chrono::TimeDelta;
use scheduler_core::{
    JobState, Listed, Verdict,
    store::{Inserted, JobQuery, Removed, Update, Updated},
};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};
use serde_json::{Value, json};

use crate::tree::Tree;

async fn bench(tree: &Tree) -> Bench {
    Bench::new(StoreUnderTest::new(tree.open().await, tree.open().await))
}

/// Adds a job as the documentation says.
async fn insert(tree: &Tree, uid: &str, id: &str, due: i64, data: &[u8]) {
    tree.create(&format!("jobs/{uid}"), data).await;
    tree.create(&format!("ids/{id}"), uid.as_bytes()).await;
    tree.create(&format!("due/{}", due / 3_600_000_000), b"").await;
    let slot = format!("due/{}/{}", due / 3_600_000_000, due / 10_000_000);
    tree.create(&slot, b"").await;
    tree.create(&format!("{slot}/{due}:1:{uid}:task"), b"").await;
}

fn job(uid: &str, due: i64) -> Value {
    let trigger = json!({ "type": "date", "at": "2026-11-21T09:00:00Z" });
    let body = json!({ "v": 1, "task": "task", "trigger": trigger, "of_mine": "kept" });
    json!({ "uid": uid, "id": "report", "body": body, "task": "task", "v": 1, "next_fire_time": due, "due": due,
        "note": "by another program" })
}

const UID: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn a_job_that_another_program_adds_is_run_and_keeps_its_fields() {
    block_on(async {
        let tree = Tree::new();
        let bench = bench(&tree).await;
        let due = bench.now().await.timestamp_micros();
        let seen = bench.store().changed(0).await.unwrap().seen;
        insert(&tree, UID, "report", due, job(UID, due).to_string().as_bytes()).await;
        tree.write("changes", b"").await;
        bench.store().changed(seen).await.unwrap().hint.expect("a hint");

        let started = bench.a().start("report").await;
        assert_eq!(started.uid().to_string(), UID);
        let kept: Value = serde_json::from_str(&tree.read(&format!("jobs/{UID}")).await).unwrap();
        assert_eq!((&kept["note"], &kept["body"]["of_mine"]), (&json!("by another program"), &json!("kept")));
    });
}

#[test]
fn a_job_that_is_no_json_is_quarantined_and_kept_as_it_is() {
    block_on(async {
        let tree = Tree::new();
        let bench = bench(&tree).await;
        let due = bench.now().await.timestamp_micros();
        insert(&tree, UID, "report", due, b"\xffnot { json").await;
        bench.due_job("sound").await;

        let claimed = bench.a().claim().await;
        let [raw] = &claimed.quarantined[..] else { panic!("{claimed:?}") };
        assert_eq!((raw.body.as_str(), claimed.jobs.len()), ("\u{fffd}not { json", 1));
        let again = bench.b().claim().await;
        assert_eq!((again.quarantined, again.jobs), (vec![], vec![]));
        assert!(tree.read(&format!("jobs/{UID}")).await.contains("not { json"));
        let listed = bench.store().jobs(&JobQuery { after: None, limit: 9 }).await.unwrap();
        assert!(matches!(&listed[..], [Listed::Raw(raw), Listed::Job(_)] if raw.id == "report"), "{listed:?}");

        let removed = bench.store().remove(bench.at(), &["report".into()]).await.unwrap().value;
        assert!(matches!(removed[..], [Removed::Removed { running: 0, .. }]), "{removed:?}");
        assert_eq!((tree.list("ids").await, tree.list("jobs").await.len()), (vec!["sound".to_owned()], 1));
    });
}

#[test]
fn a_job_without_its_nodes_is_repaired_when_it_is_written() {
    block_on(async {
        let tree = Tree::new();
        let bench = bench(&tree).await;
        let report = bench.due_job("report").await;
        let [due] = &tree.due().await[..] else { panic!("one job is due") };
        tree.delete(due).await;
        assert_eq!(bench.a().claim().await.jobs, [], "nobody can find it");

        let sooner = Update::of(&report).with_due(report.due.map(|due| due - TimeDelta::seconds(60)));
        assert!(matches!(bench.a().update(&sooner).await, Updated::Updated(_)));
        assert_eq!(tree.due().await.len(), 1);
        assert_eq!(bench.a().claim().await.jobs.len(), 1);
    });
}

#[test]
fn an_entry_that_is_not_as_its_job_is_put_right() {
    block_on(async {
        let tree = Tree::new();
        let bench = bench(&tree).await;
        let [later, sooner] = [bench.due_job("later").await, bench.due_job("sooner").await];
        for (id, by) in [(&later, 86_400_000_000), (&sooner, -86_400_000_000)] {
            let path = format!("jobs/{}", id.uid);
            let mut fields: Value = serde_json::from_str(&tree.read(&path).await).unwrap();
            fields["due"] = json!(fields["due"].as_i64().unwrap() + by);
            tree.write(&path, fields.to_string().as_bytes()).await;
        }

        let claimed = bench.a().claim().await;

        let ids: Vec<_> = claimed.jobs.iter().map(|it| it.job.id.as_str()).collect();
        assert_eq!(ids, ["sooner"]);
        let [entry] = &tree.due().await[..] else { panic!("one job waits") };
        let due = bench.now().await.timestamp_micros() + 86_400_000_000;
        assert!(entry.starts_with(&format!("due/{}/", due / 3_600_000_000)), "{entry}");
    });
}

#[test]
fn what_is_left_of_a_deleted_job_is_in_nobodys_way() {
    block_on(async {
        let tree = Tree::new();
        let bench = bench(&tree).await;
        let report = bench.due_job("report").await;
        tree.delete(&format!("jobs/{}", report.uid)).await;

        assert_eq!(bench.store().jobs(&JobQuery { after: None, limit: 9 }).await.unwrap(), []);
        assert_eq!(bench.a().claim().await.jobs, []);
        assert_eq!(tree.due().await, Vec::<String>::new());
        let again = bench.job("report", bench.at());
        let inserted = bench.store().insert(bench.at(), slice::from_ref(&again)).await.unwrap().value;
        assert_eq!(inserted, [Inserted::Added]);
        assert_eq!(tree.read("ids/report").await, again.uid.to_string());
    });
}

#[test]
fn names_that_are_none_are_left_alone() {
    block_on(async {
        let tree = Tree::new();
        let bench = bench(&tree).await;
        bench.due_job("report").await;
        let [due] = &tree.due().await[..] else { panic!("one job is due") };
        let (slot, _) = due.rsplit_once('/').unwrap();
        let junk =
            ["due/soon", "due/1", "due/1/x", "ids/a b", "ids/%zz", "nodes/ü", "claims/a b", "running/x", "runs/x"];
        for path in junk.iter().map(|path| (*path).to_owned()).chain([format!("{slot}/x"), format!("{slot}/1:1:x")]) {
            tree.create(&path, b"\xff").await;
        }

        assert_eq!(bench.store().jobs(&JobQuery { after: None, limit: 9 }).await.unwrap().len(), 1);
        let started = bench.a().start("report").await;
        assert_eq!(bench.runs(started.uid()).await.len(), 1);
        assert!(tree.list("ids").await.contains(&"%zz".to_owned()));
    });
}

#[test]
fn a_job_that_fills_its_node_is_kept_listed_and_in_nobodys_way() {
    block_on(async {
        let tree = Tree::new();
        let bench = bench(&tree).await;
        let due = bench.now().await.timestamp_micros();
        let mut huge = job(UID, due);
        huge["note"] = json!("x".repeat(1_040_000));
        insert(&tree, UID, "report", due, huge.to_string().as_bytes()).await;
        bench.due_job("sound").await;

        let claimed = bench.a().claim().await;

        assert_eq!((claimed.jobs.len(), claimed.jobs[0].job.id.as_str()), (1, "sound"));
        assert_eq!(tree.due().await, Vec::<String>::new());
        assert_eq!(tree.read(&format!("jobs/{UID}")).await, huge.to_string());
        let stored = bench.stored("report").await;
        assert!(matches!(&stored.state, JobState::Quarantined(reason) if reason.contains("no more fit")), "{stored:?}");
        let removed = bench.store().remove(bench.at(), &["report".into()]).await.unwrap().value;
        assert!(matches!(removed[..], [Removed::Removed { running: 0, .. }]), "{removed:?}");
        assert_eq!(tree.list("jobs").await.len(), 1);
    });
}

#[test]
fn many_ids_are_listed_though_they_are_more_than_a_packet() {
    block_on(async {
        let tree = Tree::new();
        let bench = bench(&tree).await;
        bench.due_job("report").await;
        // Each is left over from a job that is gone.
        tree.create_all((0..6_000).map(|n| format!("ids/{n:0200}"))).await;
        let listed = bench.store().jobs(&JobQuery { after: None, limit: 9 }).await.unwrap();
        assert!(matches!(&listed[..], [Listed::Job(job)] if job.id == "report"), "{listed:?}");
    });
}

#[test]
fn folders_that_the_servers_have_swept_are_made_anew() {
    block_on(async {
        let tree = Tree::new();
        let bench = bench(&tree).await;
        for id in ["first", "second"] {
            let job = bench.due_job(id).await;
            let [due] = &tree.due().await[..] else { panic!("one job is due") };
            let started = bench.a().start(id).await;
            bench.a().end(&started, Verdict::Ok).await;
            bench.store().remove(bench.at(), &[job.id]).await.unwrap();
            // The servers do this once a minute.
            let (slot, _) = due.rsplit_once('/').unwrap();
            let (hour, _) = slot.rsplit_once('/').unwrap();
            tree.delete(slot).await;
            tree.delete(hour).await;
            for holders in ["claims", "running"] {
                let [node] = &tree.list(holders).await[..] else { panic!("one node has held something") };
                tree.delete(&format!("{holders}/{node}")).await;
            }
        }
        assert_eq!(tree.list("jobs").await, Vec::<String>::new());
    });
}
