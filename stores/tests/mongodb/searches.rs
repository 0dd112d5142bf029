//! Searches by the indexes of documents: among more runs than one step looks at, by the server's own profile, and over what an earlier
//! schema has left.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_lite::future::block_on;
use mongodb::bson::{Document, doc};
use scheduler_core::{
    JobRow, Run, RunState, Verdict, Wait,
    store::{
        ClaimedJob, Clock, FoundRun, JobFilter, JobOrder, JobSearch, Move, RunChange, RunFilter, RunSearch,
        RunStateKind, scan,
    },
};
use scheduler_testkit::store::{Bench, moved, nth_run};

use crate::collections::{Collections, setup_on};

/// Jobs with a tag each, and two runs that were given up; every hundredth has one that waits, and every sixtieth one that runs. Those of
/// the first half are moved once more, so that their first runs are in the other collection.
async fn fill(bench: &Bench, count: usize) {
    let now = bench.now().await;
    let job = |n: usize| -> JobRow {
        let mut job = bench.job(&format!("job {n:04}"), now);
        job.body.tags = [if n % 500 == 7 { "rare" } else { "often" }].into();
        job
    };
    let jobs: Vec<JobRow> = (0..count).map(job).collect();
    for jobs in jobs.chunks(1_000) {
        bench.store().insert(bench.at(), jobs).await.unwrap();
    }
    for (round, mut left) in [(1, count), (2, count / 2)] {
        while left > 0 {
            let claimed = bench.a().claim_up_to(left.min(1_000)).await.jobs;
            assert!(!claimed.is_empty());
            left -= claimed.len();
            let moves: Vec<Move> = claimed.iter().map(|claimed| move_of(claimed, now, round)).collect();
            bench.a().settle(&moves).await;
        }
        bench.advance(Duration::from_secs(2)).await;
    }
}

/// Gives up two fire times, and is due for the next round.
fn move_of(claimed: &ClaimedJob, now: DateTime<Utc>, round: i64) -> Move {
    let n: u64 = claimed.job.id.as_str().trim_start_matches("job ").parse().unwrap();
    let next = if round == 1 { now + TimeDelta::seconds(1) } else { now + TimeDelta::days(1) };
    let mut to = moved(claimed);
    (to.next_fire_time, to.due) = (Some(next), Some(next));
    let mut add = |nth: u64, state: RunState| {
        let fire_time = now + TimeDelta::seconds((n % 7) as i64 - nth as i64 + 10 * round);
        to.runs.push(RunChange::Insert(Run { fire_time, ..nth_run(claimed, nth, state) }));
    };
    add(1, RunState::Ended(if n % 90 == 3 { Verdict::Missed } else { Verdict::Ok }));
    add(2, RunState::Ended(Verdict::Ok));
    match n {
        _ if round == 1 && n % 100 == 5 => add(3, RunState::Waiting(Wait::Queued)),
        _ if round == 1 && n % 60 == 6 => add(3, RunState::Running),
        _ => {}
    }
    to
}

#[test]
fn a_search_among_many_runs_finds_what_a_look_at_each_finds() {
    block_on(async {
        let collections = Collections::new();
        let bench = Bench::new(setup_on(&collections, Clock::Caller).await);
        fill(&bench, 1_300).await;
        let archive = collections.collection("runs");
        let archived = collections.run(async move { archive.count_documents(doc! {}).await }).await.unwrap();
        assert!(archived > 1_000, "{archived} runs are in the collection of ended ones");
        let all = scan::runs(bench.store(), &RunSearch::new(RunFilter::new(), 100_000)).await.unwrap().runs;
        assert!(all.len() > 3_500, "{}", all.len());
        let middle = all[all.len() / 2].run.fire_time;
        for filter in [
            RunFilter::new(),
            RunFilter::new().verdict(Verdict::Missed),
            RunFilter::new().verdict(Verdict::Ok).since(middle),
            RunFilter::new().until(middle),
            RunFilter::new().state(RunStateKind::Waiting),
            RunFilter::new().state(RunStateKind::Running).node("node-a"),
            RunFilter::new().job("job 0005"),
            RunFilter::new().task("nothing"),
        ] {
            let mut search = RunSearch::new(filter.clone(), 700);
            let mut found: Vec<FoundRun> = Vec::new();
            loop {
                let page = bench.store().search_runs(&search).await.unwrap();
                found.extend(page.runs);
                let Some(next) = page.next else { break };
                search = search.with_after(Some(next));
            }
            let meant: Vec<FoundRun> = all.iter().filter(|found| filter.matches(found)).cloned().collect();
            assert_eq!(meant.is_empty(), filter.task.is_some(), "{filter:?}");
            assert!(found == meant, "{filter:?}: {} of {}", found.len(), meant.len());
        }
    });
}

/// A search takes the index that it names, sorts nothing, and looks at some documents more than it gives.
#[test]
fn searches_of_runs_and_by_tag_go_by_indexes() {
    block_on(async {
        let collections = Collections::in_a_database_of_its_own();
        let bench = Bench::new(setup_on(&collections, Clock::Caller).await);
        fill(&bench, 1_300).await;
        let database = collections.database();
        collections.run(async move { database.run_command(doc! { "profile": 2 }).await }).await.unwrap();

        for filter in [
            RunFilter::new(),
            RunFilter::new().verdict(Verdict::Missed),
            RunFilter::new().state(RunStateKind::Waiting),
            RunFilter::new().state(RunStateKind::Running),
            RunFilter::new().job("job 0005"),
        ] {
            let search = RunSearch::new(filter, 7);
            let page = bench.store().search_runs(&search).await.unwrap();
            bench.store().search_runs(&search.with_after(page.next)).await.unwrap();
        }
        for order in [JobOrder::Id, JobOrder::NextFireTime] {
            let search = JobSearch::new(JobFilter::new().tag("rare"), 7).with_order(order);
            assert_eq!(bench.store().search_jobs(&search).await.unwrap().jobs.len(), 3);
        }
        assert_eq!(bench.store().count_jobs(&JobFilter::new().tag("rare")).await.unwrap().total(), 3);

        let database = collections.database();
        collections.run(async move { database.run_command(doc! { "profile": 0 }).await }).await.unwrap();
        let profile = collections.profile(&["jobs", "runs"]).await;
        assert!(profile.len() > 30, "{profile:#?}");
        for call in &profile {
            let plan = call.get_str("planSummary").unwrap_or_default();
            assert!(!plan.contains("COLLSCAN"), "{call:#?}");
            assert!(!call.get_bool("hasSortStage").unwrap_or_default(), "{call:#?}");
            // One step of a walk is a thousand.
            assert!(call.get_i32("docsExamined").unwrap_or_default() <= 1_000, "{call:#?}");
        }
        for index in ["fired: -1", "marked: -1", "tags: 1", "fire_time: -1, _id: -1", "verdict: 1", "running: 1"] {
            let is_used = |call: &Document| call.get_str("planSummary").is_ok_and(|plan| plan.contains(index));
            assert!(profile.iter().any(is_used), "{index}: {profile:#?}");
        }
    });
}

#[test]
fn what_an_earlier_schema_has_left_is_found() {
    block_on(async {
        let collections = Collections::new();
        let bench = Bench::new(setup_on(&collections, Clock::Caller).await);
        fill(&bench, 520).await;
        let (jobs, runs, meta) = (collections.jobs(), collections.collection("runs"), collections.collection("meta"));
        collections
            .run(async move {
                jobs.update_many(doc! {}, doc! { "$unset": { "tags": "", "fired": "", "marked": "" } }).await?;
                jobs.drop_indexes().await?;
                runs.drop_indexes().await?;
                meta.update_one(doc! { "_id": "schema" }, doc! { "$set": { "value": 2 } }).await
            })
            .await
            .unwrap();

        let store = collections.open(Clock::Caller).await;

        let all = scan::runs(&store, &RunSearch::new(RunFilter::new(), 100_000)).await.unwrap();
        let found = scheduler_core::JobStore::search_runs(&store, &RunSearch::new(RunFilter::new(), 100_000)).await;
        assert!(all.runs.len() > 1_500 && found.unwrap().runs == all.runs);
        let search = JobSearch::new(JobFilter::new().tag("rare"), 9);
        assert_eq!(scheduler_core::JobStore::search_jobs(&store, &search).await.unwrap().jobs.len(), 2);
    });
}
