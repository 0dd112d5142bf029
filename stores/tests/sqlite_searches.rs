//! Searches among more jobs and runs than a call looks at: the answers are those that the rules give, and no call looks
//! at all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod file;

use file::File;
use scheduler_core::{
    JobStore, Listed, Verdict,
    store::{
        FoundRun, JobFilter, JobKey, JobOrder, JobQuery, JobSearch, JobStateKind, RunFilter, RunSearch, RunStateKind,
        scan,
    },
};
use scheduler_stores::SqliteStore;
use scheduler_testkit::store::block_on;

/// Twelve thousand jobs: half have the tag `often` and the task `often`, three the tag and task `rare`; many share a fire time, and
/// some have none. Each has two runs, of which few have failed and three go on.
const FILL: &str = r#"
    WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 11999),
    jobs AS (SELECT n, format('%032x', n) AS uid, format('job-%05d', (n * 7919) % 12000) AS id,
        iif(n % 4000 = 17, 'rare', iif(n % 2 = 0, 'often', 'other')) AS word FROM numbers)
    INSERT INTO scheduler_jobs (uid, id, body, task, v, state, next_fire_time, last_seq)
        SELECT uid, id, json_object('v', 1, 'task', word, 'name', iif(n = 11000, 'needle', 'hay'),
            'tags', json_array(word, iif(n % 3 = 0, 'third', 'other third')),
            'trigger', json('{"type":"date","at":"2036-11-18T09:00:00Z"}')), word, 1,
            iif(n % 2500 = 3, 'paused', 'active'), iif(n % 10 = 0, NULL, 1000000 * (n % 7)), 2 FROM jobs;
    INSERT INTO scheduler_tags (tag, uid) SELECT DISTINCT t.value, j.uid FROM scheduler_jobs AS j, json_each(j.body, '$.tags') AS t;
    INSERT INTO scheduler_runs (uid, seq, fire_time, state, verdict, attempt, takeovers, due, owner, fence, cancel_requested, error)
        SELECT uid, s.value, 1000000 * (j.rowid % 5), iif(j.rowid % 4000 = 5 AND s.value = 2, 'running', 'ended'),
            iif(j.rowid % 4000 = 5 AND s.value = 2, NULL, iif(j.rowid % 600 = 1, 'error', 'ok')), 1, 0, 0,
            iif(j.rowid = 1, 'node-b', 'node-a'), 1, 0, NULL FROM scheduler_jobs AS j, json_each('[1, 2]') AS s;
"#;

#[test]
fn a_search_among_many_jobs_finds_what_a_look_at_each_finds() {
    block_on(async {
        let (_file, store) = many().await;
        let all = each_job(&store).await;
        for (filter, calls) in [
            (JobFilter::new().tag("rare"), 1),
            (JobFilter::new().tag("rare").tag("third"), 1),
            (JobFilter::new().task("rare"), 1),
            (JobFilter::new().state(JobStateKind::Paused), 1),
            (JobFilter::new().state(JobStateKind::Paused).tag("often"), 1),
            (JobFilter::new().tag("often").tag("third"), 3),
            (JobFilter::new().task("often").state(JobStateKind::Active).id_prefix("job-00"), 1),
            (JobFilter::new().id_prefix("job-0123"), 2),
            (JobFilter::new().text("NEEDLE"), 3),
        ] {
            for order in [JobOrder::Id, JobOrder::NextFireTime] {
                let (found, pages) = jobs(&store, &filter, order, 1_500).await;
                assert_eq!(found, meant(&all, &filter, order), "{filter:?} {order:?}");
                let is_walk = order == JobOrder::NextFireTime && filter.id_prefix.is_some();
                assert!(pages <= if is_walk { 3 } else { calls }, "{filter:?} {order:?}: {pages} pages");
                let (again, _) = jobs(&store, &filter, order, 700).await;
                assert_eq!(again, found, "{filter:?} {order:?}, in shorter pages");
            }
        }
        for (filter, active, paused) in [
            (JobFilter::new(), 11_995, 5),
            (JobFilter::new().state(JobStateKind::Paused), 0, 5),
            (JobFilter::new().tag("often"), 6_000, 0),
            (JobFilter::new().task("other"), 5_992, 5),
            (JobFilter::new().tag("often").tag("third"), 2_000, 0),
            (JobFilter::new().id_prefix("job-0123"), 10, 0),
            (JobFilter::new().text("NEEDLE"), 1, 0),
        ] {
            let counts = store.count_jobs(&filter).await.unwrap();
            assert_eq!((counts.active, counts.paused, counts.total()), (active, paused, active + paused), "{filter:?}");
        }
    });
}

/// Eleven thousand of the jobs are over then, among whose ids many are the same.
const FINISH: &str =
    "UPDATE scheduler_jobs SET state = 'ending', next_fire_time = NULL, due = NULL, retained_until = 4102444800000000,
        id = iif(rowid % 3 = 0, 'again', id) WHERE rowid % 12 < 11;";

#[test]
fn a_search_among_many_finished_jobs_looks_at_some_of_them_a_call() {
    block_on(async {
        let (file, store) = many().await;
        file.run(FINISH).await;
        let over = JobFilter::new().state(JobStateKind::Finished);
        let (all, _) = jobs(&store, &over, JobOrder::Id, 1_000).await;
        let by_statement = "SELECT id FROM scheduler_jobs WHERE retained_until IS NOT NULL ORDER BY id, uid";
        assert_eq!((all.len(), &all), (11_000, &file.texts(by_statement).await));
        for (filter, calls, wanted) in [
            (over.clone().id("again"), 5, 4_000),
            (over.clone().id_prefix("job-00"), 1, 583),
            (over.clone().tag("rare"), 3, 3),
            (over.clone().text("NEEDLE"), 3, 1),
            (over.clone().task("nobody"), 3, 0),
        ] {
            let (found, pages) = jobs(&store, &filter, JobOrder::Id, 900).await;
            assert_eq!(found.len(), wanted, "{filter:?}");
            assert!(pages <= calls, "{filter:?}: {pages} pages");
            assert_eq!(store.count_jobs(&filter).await.unwrap().finished, wanted as u64, "{filter:?}");
        }
        assert_eq!(store.count_jobs(&JobFilter::new()).await.unwrap().total(), 1_000);
    });
}

#[test]
fn a_search_that_finds_nothing_for_long_gives_a_place_to_go_on_from() {
    block_on(async {
        let (_file, store) = many().await;
        let mut search = JobSearch::new(JobFilter::new().text("nowhere"), 10);
        for last in [Some("job-04999"), Some("job-09999"), None] {
            let page = store.search_jobs(&search).await.unwrap();
            assert_eq!((page.jobs.len(), page.next.as_ref().map(|next| next.id.as_str())), (0, last));
            search = search.with_after(page.next);
        }
    });
}

#[test]
fn a_search_among_many_runs_finds_what_a_look_at_each_finds() {
    block_on(async {
        let (_file, store) = many().await;
        let all = scan::runs(&store, &RunSearch::new(RunFilter::new(), 100_000)).await.unwrap().runs;
        let at = |second: i64| chrono::DateTime::from_timestamp(second, 0).unwrap();
        for (filter, calls) in [
            (RunFilter::new().verdict(Verdict::Error), 1),
            (RunFilter::new().verdict(Verdict::Error).since(at(1)).until(at(3)), 1),
            (RunFilter::new().state(RunStateKind::Running), 1),
            (RunFilter::new().job("job-00042"), 1),
            (RunFilter::new().job("job-00041").until(at(1)), 1),
            (RunFilter::new().node("node-b"), 5),
            (RunFilter::new().task("rare"), 5),
            (RunFilter::new().since(at(4)), 3),
            (RunFilter::new().until(at(1)).verdict(Verdict::Ok), 4),
        ] {
            let mut search = RunSearch::new(filter.clone(), 2_000);
            let (mut found, mut pages) = (Vec::new(), 0);
            loop {
                let page = store.search_runs(&search).await.unwrap();
                found.extend(page.runs);
                pages += 1;
                let Some(next) = page.next else { break };
                search = search.with_after(Some(next));
            }
            let meant: Vec<FoundRun> = all.iter().filter(|found| filter.matches(found)).cloned().collect();
            assert!(!found.is_empty() && found == meant, "{filter:?}: {} of {}", found.len(), meant.len());
            assert!(pages <= calls, "{filter:?}: {pages} pages");
        }
    });
}

async fn many() -> (File, SqliteStore) {
    let file = File::new();
    let store = file.open().await;
    file.run(FILL).await;
    (file, store)
}

/// The ids that a search finds, and on how many pages.
async fn jobs(store: &SqliteStore, filter: &JobFilter, order: JobOrder, limit: usize) -> (Vec<String>, usize) {
    let mut search = JobSearch::new(filter.clone(), limit).with_order(order);
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = store.search_jobs(&search).await.unwrap();
        assert!(page.jobs.len() <= limit);
        found.extend(page.jobs.iter().map(|job| job.id().to_string()));
        pages += 1;
        if page.next.is_none() {
            return (found, pages);
        }
        search = search.with_after(page.next);
    }
}

/// All jobs.
async fn each_job(store: &SqliteStore) -> Vec<Listed> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|job: &Listed| job.id().clone());
        let page = store.jobs(&JobQuery { after, limit: 1_000 }).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// The ids of those that are meant, in order.
fn meant(all: &[Listed], filter: &JobFilter, order: JobOrder) -> Vec<String> {
    let mut meant: Vec<&Listed> = all.iter().filter(|job| filter.matches(job)).collect();
    meant.sort_by(|a, b| order.compare(&JobKey::of(a), &JobKey::of(b)));
    meant.iter().map(|job| job.id().to_string()).collect()
}
