//! Inserts that die between their steps, and what others make of them.

use futures_lite::future::block_on;
use scheduler_core::{
    JobId, JobStore, Listed,
    store::{Clock, Inserted, JobQuery},
};
use scheduler_testkit::store::Bench;
use serde_json::{Value, json};
use unreql::r;

use crate::tables::Tables;

/// Undoes the last step of an insert, so that it seems to have died before it.
async fn hide(tables: &Tables, id: &str, since: u64) -> Value {
    let mut pending = tables.document(id).await;
    let (uid, ticket) = (pending["uid"].clone(), pending["ticket"].clone());
    pending.as_object_mut().unwrap().remove("ticket");
    let hidden = json!({ "uid": uid, "ticket": ticket, "pending": pending, "pending_since": since });
    tables.run("jobs", |jobs| jobs.get(uid.clone()).delete(())).await;
    tables.insert("jobs", hidden).await;
    uid
}

/// Undoes the last two steps.
async fn withdraw(tables: &Tables, id: &str, since: u64) -> Value {
    let uid = hide(tables, id, since).await;
    let id = id.to_owned();
    tables.run("ids", |ids| ids.get(r.uuid(id)).delete(())).await;
    uid
}

async fn listed(store: &dyn JobStore) -> Vec<JobId> {
    let jobs = store.jobs(&JobQuery { after: None, limit: 9 }).await.unwrap();
    jobs.iter().map(|it| it.id().clone()).collect()
}

#[test]
fn a_document_in_hiding_is_seen_by_nobody() {
    block_on(async {
        let tables = Tables::new();
        let bench = Bench::new(tables.clone().setup().await);
        bench.due_job("report").await;
        hide(&tables, "report", 1).await;
        assert_eq!(bench.find("report").await, None);
        assert!(listed(bench.store()).await.is_empty());
        let claimed = bench.a().adopt().await;
        assert_eq!((claimed.jobs.len(), claimed.next_due), (0, None));
    });
}

#[test]
fn an_insert_repeated_finishes_itself() {
    block_on(async {
        let tables = Tables::new();
        let bench = Bench::new(tables.clone().setup().await);
        let (decided, undecided) = (bench.due_job("decided").await, bench.due_job("undecided").await);
        hide(&tables, "decided", 1).await;
        withdraw(&tables, "undecided", 1).await;
        let outcomes = bench.store().insert(bench.at(), &[decided.clone(), undecided.clone()]).await.unwrap().value;
        assert_eq!(outcomes, [Inserted::Added, Inserted::Added]);
        assert_eq!(bench.stored("decided").await, decided);
        assert_eq!(bench.stored("undecided").await, undecided);
        assert_eq!(bench.a().claim().await.jobs.len(), 2);
    });
}

#[test]
fn an_insert_that_died_once_it_was_decided_is_finished_by_who_wants_its_id() {
    block_on(async {
        let tables = Tables::new();
        let bench = Bench::new(tables.clone().setup().await);
        let first = bench.due_job("report").await;
        hide(&tables, "report", 1).await;
        let outcome = bench.store().insert(bench.at(), &[bench.job("report", bench.at())]).await.unwrap().value;
        assert_eq!(outcome, [Inserted::Conflict(Box::new(Listed::Job(first.clone())))]);
        assert_eq!(bench.a().claim_one("report").await.job.uid, first.uid);
    });
}

#[test]
fn an_insert_that_died_before_it_was_decided_keeps_nobody_from_its_id() {
    block_on(async {
        let tables = Tables::new();
        let bench = Bench::new(tables.clone().setup().await);
        let first = bench.due_job("report").await;
        withdraw(&tables, "report", 1).await;
        let second = bench.due_job("report").await;
        assert_eq!(bench.stored("report").await, second);
        // And the late repetition of the first one is a conflict.
        let outcome = bench.store().insert(bench.at(), &[first]).await.unwrap().value;
        assert_eq!(outcome, [Inserted::Conflict(Box::new(Listed::Job(second)))]);
    });
}

#[test]
fn a_row_of_a_job_that_is_gone_keeps_nobody_from_its_id() {
    block_on(async {
        let tables = Tables::new();
        let bench = Bench::new(tables.clone().setup().await);
        let first = bench.due_job("report").await;
        tables.run("jobs", |jobs| jobs.get(first.uid.to_string()).delete(())).await;
        let second = bench.due_job("report").await;
        assert_eq!(bench.stored("report").await, second);
    });
}

#[test]
fn the_row_of_an_id_goes_with_its_job() {
    block_on(async {
        let tables = Tables::new();
        let bench = Bench::new(tables.clone().setup().await);
        for id in ["removed", "kept"] {
            bench.due_job(id).await;
        }
        bench.store().remove(bench.at(), &["removed".into()]).await.unwrap();
        let rows = tables.run("ids", |ids| ids).await;
        assert_eq!(rows.iter().map(|row| &row["job"]).collect::<Vec<_>>(), ["kept"]);
        assert_eq!(tables.run("jobs", |jobs| jobs.count(())).await, [1]);
    });
}

/// One that was decided goes on, the other is deleted; a young one may still be on its way.
#[test]
fn old_inserts_are_tidied_up_when_a_node_connects() {
    block_on(async {
        let tables = Tables::new();
        let bench = Bench::new(tables.clone().setup().await);
        let now = u64::try_from(bench.now().await.timestamp()).unwrap();
        for id in ["decided", "undecided", "young"] {
            bench.due_job(id).await;
        }
        hide(&tables, "decided", now - 601).await;
        withdraw(&tables, "undecided", now - 601).await;
        let young = withdraw(&tables, "young", now - 500).await;
        let store = tables.open(Clock::Server).await;
        assert_eq!(listed(&store).await, [JobId::from("decided")]);
        let hidden = tables.run("jobs", |jobs| jobs.filter(json!({ "uid": young }))).await;
        assert_eq!(hidden.len(), 1);
        assert_eq!(tables.run("jobs", |jobs| jobs.count(())).await, [2]);
    });
}
