//! Searches of jobs by the indexes: what they find among many, how much of these they read, and what an earlier schema has left.

use chrono::TimeDelta;
use futures_lite::future::block_on;
use scheduler_core::{
    JobRow, JobState, JobStore, Listed,
    store::{Clock, JobFilter, JobOrder, JobSearch, JobStateKind, scan},
};
use scheduler_stores::RethinkDbStore;
use scheduler_testkit::store::{Bench, StoreUnderTest};

use crate::{
    relay::Relay,
    tables::{Tables, address, driver_options},
};

/// Jobs of which half have the task `often` and some the tag and task `rare`; some are paused or kept, and many share a next fire time.
async fn fill(tables: &Tables, count: usize) -> Bench {
    let (a, b) = (tables.open(Clock::Caller).await, tables.open(Clock::Caller).await);
    let bench = Bench::new(StoreUnderTest::new(a, b));
    let job = |n: usize| -> JobRow {
        let at = bench.at() + TimeDelta::days(1 + (n % 50) as i64);
        let mut job = bench.job(&format!("job {:05}", (n * 7919) % count), at);
        let word = if n % 500 == 7 { "rare" } else { ["often", "other"][n % 2] };
        (job.body.tags, job.body.task) = ([word, ["third", "another", "last"][n % 3]].into(), word.into());
        match n % 400 {
            3 => job.state = JobState::Paused,
            4 => (job.state, job.next_fire_time, job.due) = (JobState::Kept, None, None),
            _ => {}
        }
        job
    };
    let jobs: Vec<JobRow> = (0..count).map(job).collect();
    for jobs in jobs.chunks(500) {
        bench.store().insert(bench.at(), jobs).await.unwrap();
    }
    bench
}

fn filters() -> Vec<JobFilter> {
    let all = JobFilter::new;
    vec![
        all(),
        all().id_prefix("job 000"),
        all().tag("rare"),
        all().tag("often").tag("third"),
        all().task("rare"),
        all().task("often").id_prefix("job 00"),
        all().task("other").state(JobStateKind::Active),
        all().state(JobStateKind::Paused),
        all().state(JobStateKind::Kept).task("often"),
        all().tag("nobody"),
    ]
}

async fn all_jobs(store: &dyn JobStore, mut search: JobSearch) -> Vec<Listed> {
    let mut found = Vec::new();
    loop {
        let page = store.search_jobs(&search).await.unwrap();
        found.extend(page.jobs);
        let Some(next) = page.next else { return found };
        search = search.with_after(Some(next));
    }
}

#[test]
fn a_search_among_many_finds_what_a_look_at_each_finds() {
    block_on(async {
        let bench = fill(&Tables::new(), 1_000).await;
        let store = bench.store();
        for filter in filters() {
            for order in [JobOrder::Id, JobOrder::NextFireTime] {
                let whole = JobSearch::new(filter.clone(), 100_000).with_order(order);
                let meant = scan::jobs(store, &whole).await.unwrap().jobs;
                assert_eq!(meant.is_empty(), filter.tags.contains("nobody"), "{filter:?}");
                let found = all_jobs(store, JobSearch::new(filter.clone(), 400).with_order(order)).await;
                assert!(found == meant, "{filter:?} {order:?}: {} of {}", found.len(), meant.len());
            }
            let counts = store.count_jobs(&filter).await.unwrap();
            assert_eq!(counts, scan::count(store, &filter).await.unwrap(), "{filter:?}");
        }
    });
}

/// A document is half a kilobyte. Without an index a page of twenty reads five hundred of them at least.
#[test]
fn a_page_reads_some_of_many_jobs() {
    block_on(async {
        let tables = Tables::new();
        let bench = fill(&tables, 2_000).await;
        let relay = Relay::start(address());
        let options = driver_options().host("127.0.0.1").port(relay.address.port());
        let store = tables.options().clock(Clock::Caller).connect_with(options).await.unwrap();
        for (filter, order) in [
            (JobFilter::new(), JobOrder::Id),
            (JobFilter::new(), JobOrder::NextFireTime),
            (JobFilter::new().id_prefix("job 01"), JobOrder::Id),
            (JobFilter::new().tag("rare"), JobOrder::Id),
            (JobFilter::new().task("often"), JobOrder::Id),
            (JobFilter::new().task("rare"), JobOrder::NextFireTime),
            (JobFilter::new().state(JobStateKind::Paused), JobOrder::Id),
            (JobFilter::new().state(JobStateKind::Kept), JobOrder::NextFireTime),
        ] {
            let search = JobSearch::new(filter, 20).with_order(order);
            let before = relay.answered();
            let page = store.search_jobs(&search).await.unwrap();
            assert!(!page.jobs.is_empty(), "{search:?}");
            store.search_jobs(&search.clone().with_after(page.next)).await.unwrap();
            assert!(relay.answered() - before < 120_000, "{search:?}: {} bytes", relay.answered() - before);
        }
        let before = relay.answered();
        let counts = store.count_jobs(&JobFilter::new().task("often")).await.unwrap();
        assert_eq!(counts, bench.store().count_jobs(&JobFilter::new().task("often")).await.unwrap());
        assert!(relay.answered() - before < 10_000, "{} bytes", relay.answered() - before);
    });
}

#[test]
fn what_an_earlier_schema_has_left_is_found() {
    block_on(async {
        let tables = Tables::new();
        drop(fill(&tables, 500).await);
        // As schema 2 had them.
        tables.run("jobs", |jobs| jobs.replace(unreql::func!(|job| job.without("tags")))).await;
        for index in ["next", "by_task", "by_state", "over", "tags"] {
            tables.run("jobs", |jobs| jobs.index_drop(index)).await;
        }
        tables.run("meta", |meta| meta.get("schema").update(serde_json::json!({ "value": 2 }))).await;

        let store: RethinkDbStore = tables.open(Clock::Caller).await;

        for (filter, count) in [
            (JobFilter::new(), 500),
            (JobFilter::new().tag("third"), 167),
            (JobFilter::new().task("rare"), 1),
            (JobFilter::new().state(JobStateKind::Paused), 2),
        ] {
            for order in [JobOrder::Id, JobOrder::NextFireTime] {
                let found = all_jobs(&store, JobSearch::new(filter.clone(), 200).with_order(order)).await;
                assert_eq!(found.len(), count, "{filter:?} {order:?}");
            }
        }
        let schema = tables.run("meta", |meta| meta.get("schema").g("value")).await;
        assert_eq!(schema, [serde_json::json!(3)]);
    });
}
