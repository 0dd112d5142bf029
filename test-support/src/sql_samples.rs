//! Tables as earlier schemas have left them, by which an SQL store shows that it opens what an earlier version has written. They are in
//! `stores/tests/samples`: `sqlite.sql`, `postgres.sql` and `mysql.sql` as schema 1 has left them, in which `{p}` stands for the prefix of
//! the tables; and `sqlite-2.sql` and so on, which make of these what schema 2 has left.

use scheduler_core::{
    JobState, JobStore, Listed, RunState, Verdict,
    store::{JobFilter, JobQuery, JobSearch, JobStateKind, RunFilter, RunQuery, RunSearch, RunStateKind},
};

/// Everything that was written is there, and is found by the searches.
pub async fn check(store: &dyn JobStore) {
    check_jobs(store).await;
    for (filter, wanted) in [
        (RunFilter::new().state(RunStateKind::Running), "runs"),
        (RunFilter::new().verdict(Verdict::Error), "ended"),
        (RunFilter::new().verdict(Verdict::Skipped), "ended"),
    ] {
        let page = store.search_runs(&RunSearch::new(filter.clone(), 99)).await.unwrap();
        let found: Vec<&str> = page.runs.iter().map(|found| found.job.as_str()).collect();
        assert_eq!(found.join(" "), wanted, "{filter:?}");
    }
    let nodes = store.nodes().await.unwrap();
    assert_eq!(nodes.iter().map(|node| node.id.as_str()).collect::<Vec<_>>(), ["node-a"]);
}

async fn check_jobs(store: &dyn JobStore) {
    let listed = store.jobs(&JobQuery { after: None, limit: 99 }).await.unwrap();
    let ids: Vec<&str> = listed.iter().map(|job| job.id().as_str()).collect();
    let all = "broken|broken tags|claimed|ended|kept|paused|quarantined|runs|untagged|waits";
    assert_eq!(ids.join("|"), all);
    for job in &listed {
        let Listed::Job(job) = job else {
            assert!(job.id().as_str().starts_with("broken"), "{job:?}");
            continue;
        };
        let wanted = match job.id.as_str() {
            "kept" => JobState::Kept,
            "paused" => JobState::Paused,
            "quarantined" => JobState::Quarantined("its zone is unknown".to_owned()),
            _ => JobState::Active,
        };
        assert_eq!(job.state, wanted, "{job:?}");
        let runs = store.runs(&RunQuery { uid: job.uid, before: None, limit: 9 }).await.unwrap();
        let states: Vec<RunState> = runs.iter().map(|run| run.state).collect();
        match job.id.as_str() {
            "runs" => assert_eq!(states, [RunState::Running]),
            "ended" => {
                assert_eq!(states, [Verdict::Error, Verdict::Skipped].map(RunState::Ended));
                assert_eq!(runs[0].error.as_deref(), Some("no route to host"));
            }
            _ => assert_eq!(states, []),
        }
    }
    for (filter, wanted) in [
        (JobFilter::new().tag("tenant:42"), "paused quarantined runs waits"),
        (JobFilter::new().tag("tenant:42").tag("billing"), "waits"),
        (JobFilter::new().tag("billing"), "ended waits"),
        (JobFilter::new().tag("größe \"5\" "), "kept"),
        (JobFilter::new().tag("größe \"5\""), ""),
        (JobFilter::new().task("mail"), "waits"),
        (JobFilter::new().state(JobStateKind::Paused), "paused"),
        (JobFilter::new().state(JobStateKind::Quarantined).tag("tenant:42"), "quarantined"),
    ] {
        let page = store.search_jobs(&JobSearch::new(filter.clone(), 99)).await.unwrap();
        let found: Vec<&str> = page.jobs.iter().map(|job| job.id().as_str()).collect();
        assert_eq!(found.join(" "), wanted, "{filter:?}");
        let count = store.count_jobs(&filter).await.unwrap().total();
        assert_eq!(count, found.len() as u64, "{filter:?}");
    }
}

/// What is over is found as well, beside everything that was there before.
pub async fn check_with_finished(store: &dyn JobStore) {
    check_jobs(store).await;
    let over = JobFilter::new().state(JobStateKind::Finished);
    for (filter, wanted) in [
        (over.clone(), "over f0|over f1|waits f2"),
        (over.clone().id("over"), "over f0|over f1"),
        (over.clone().tag("billing").id_prefix("w"), "waits f2"),
    ] {
        let page = store.search_jobs(&JobSearch::new(filter.clone(), 99)).await.unwrap();
        let name = |job: &Listed| match job {
            Listed::Job(job) => format!("{} {:x}", job.id, job.uid.0),
            Listed::Raw(raw) => format!("{raw:?}"),
        };
        assert_eq!(page.jobs.iter().map(name).collect::<Vec<_>>().join("|"), wanted, "{filter:?}");
        assert_eq!(store.count_jobs(&filter).await.unwrap().finished, page.jobs.len() as u64, "{filter:?}");
    }
    let page = store.search_runs(&RunSearch::new(RunFilter::new().job("over"), 99)).await.unwrap();
    let verdicts: Vec<_> = page.runs.iter().map(|found| found.run.verdict()).collect();
    assert_eq!(verdicts, [Some(Verdict::Error), Some(Verdict::Ok)]);
}
