//! What the server does for each call, by its own profile.

use futures_lite::future::block_on;
use mongodb::bson::{Document, doc};
use scheduler_core::{
    JobState, RunState, Verdict,
    store::{Clock, JobFilter, JobOrder, JobQuery, JobSearch, JobStateKind, Report, RunChange},
};
use scheduler_testkit::store::{Bench, LEASE, moved, nth_run};

use crate::collections::{Collections, setup_on};

/// A call that scans a collection gets slower with each job. The nodes, which are few, are read as they are.
#[test]
fn no_call_scans_a_collection() {
    block_on(async {
        let collections = Collections::in_a_database_of_its_own();
        let bench = Bench::new(setup_on(&collections, Clock::Caller).await);
        let now = bench.now().await;
        let later: Vec<_> =
            (0..900).map(|n| bench.job(&format!("later {n}"), now + chrono::TimeDelta::days(1))).collect();
        bench.store().insert(bench.at(), &later).await.unwrap();
        let due: Vec<_> = (0..220).map(|n| bench.job(&format!("due {n:03}"), now)).collect();
        bench.store().insert(bench.at(), &due).await.unwrap();
        // Two hundred runs of one node, which is not to be found two hundred times.
        let running = bench.node("node-c").claim_up_to(200).await;
        let moves = running.jobs.iter().map(|job| {
            let mut to = moved(job);
            to.runs.push(RunChange::Insert(nth_run(job, 1, RunState::Running)));
            to
        });
        bench.node("node-c").settle(&moves.collect::<Vec<_>>()).await;
        let database = collections.database();
        collections.run(async move { database.run_command(doc! { "profile": 2 }).await }).await.unwrap();

        use_every_verb(&bench).await;

        let database = collections.database();
        collections.run(async move { database.run_command(doc! { "profile": 0 }).await }).await.unwrap();
        let profile = collections.profile(&["jobs", "runs"]).await;
        assert!(profile.len() > 20, "{profile:#?}");
        for call in &profile {
            let plan = call.get_str("planSummary").unwrap_or_default();
            assert!(!plan.contains("COLLSCAN"), "{call:#?}");
            let examined = ["docsExamined", "keysExamined"].map(|field| call.get_i32(field).unwrap_or_default());
            assert!(examined.iter().all(|n| *n <= 110), "{call:#?}");
        }
        let is_due = |call: &&Document| {
            call.to_string().contains("\"$lte\"") && call.get_str("planSummary").is_ok_and(|it| it.contains("due"))
        };
        let due: Vec<&Document> = profile.iter().filter(is_due).collect();
        assert!(due.len() > 2, "{profile:#?}");
        for call in due {
            assert_eq!(call.get_str("planSummary").unwrap(), "IXSCAN { due: 1, _id: 1 }");
            assert!(!call.get_bool("hasSortStage").unwrap_or_default(), "{call:#?}");
        }
    });
}

/// A search takes the index that it names, and sorts nothing.
#[test]
fn searches_of_jobs_go_by_indexes() {
    block_on(async {
        let collections = Collections::in_a_database_of_its_own();
        let bench = Bench::new(setup_on(&collections, Clock::Caller).await);
        let now = bench.now().await;
        let jobs: Vec<_> = (0..60).map(|n| bench.job(&format!("job {n}"), now)).collect();
        bench.store().insert(bench.at(), &jobs).await.unwrap();
        let database = collections.database();
        collections.run(async move { database.run_command(doc! { "profile": 2 }).await }).await.unwrap();

        for filter in [
            JobFilter::new(),
            JobFilter::new().id_prefix("job 1"),
            JobFilter::new().task("task"),
            JobFilter::new().state(JobStateKind::Paused),
            JobFilter::new().tag("suite").text("job"),
        ] {
            for order in [JobOrder::Id, JobOrder::NextFireTime] {
                let search = JobSearch::new(filter.clone(), 7).with_order(order);
                let page = bench.store().search_jobs(&search).await.unwrap();
                bench.store().search_jobs(&search.with_after(page.next)).await.unwrap();
            }
            bench.store().count_jobs(&filter).await.unwrap();
        }

        let database = collections.database();
        collections.run(async move { database.run_command(doc! { "profile": 0 }).await }).await.unwrap();
        let profile = collections.profile(&["jobs"]).await;
        assert!(profile.len() > 30, "{profile:#?}");
        for call in &profile {
            let plan = call.get_str("planSummary").unwrap_or_default();
            assert!(!plan.contains("COLLSCAN"), "{call:#?}");
            assert!(!call.get_bool("hasSortStage").unwrap_or_default(), "{call:#?}");
        }
        for index in ["live_id: 1", "next_fire_time: 1, live_id: 1", "task: 1", "state: 1"] {
            let is_used = |call: &Document| call.get_str("planSummary").is_ok_and(|plan| plan.contains(index));
            assert!(profile.iter().any(is_used), "{index}: {profile:#?}");
        }
    });
}

async fn use_every_verb(bench: &Bench) {
    let started = bench.a().start("due 200").await;
    let held = bench.a().claim().await;
    bench.b().send(&bench.b().claim_call().with_declined(Report::Declined)).await;
    let mut to = moved(held.jobs.iter().find(|it| it.job.id == "due 201").unwrap());
    to.state = JobState::Ending;
    to.runs.push(RunChange::Insert(nth_run(&held.jobs[0], 1, RunState::Ended(Verdict::Missed))));
    bench.a().settle_one(&to).await;
    bench.a().end(&started, Verdict::Ok).await;
    bench.runs(started.uid()).await;
    bench.find("due 203").await;
    bench.store().jobs(&JobQuery { after: Some("due 205".into()), limit: 10 }).await.unwrap();
    bench.store().remove(bench.at(), &["due 204".into()]).await.unwrap();
    bench.advance(LEASE).await;
    bench.b().adopt().await;
    bench.store().release(bench.at(), &bench.a().id).await.unwrap();
}
