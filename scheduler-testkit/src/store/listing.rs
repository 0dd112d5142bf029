//! Promises of the listings: [`jobs`](scheduler_core::JobStore::jobs) and [`runs`](scheduler_core::JobStore::runs).

use scheduler_core::{
    JobId, RunState, Verdict,
    store::{JobQuery, RunChange, RunQuery},
};

use super::{Bench, moved, nth_run};

/// Jobs are listed in pages, by the bytes of their ids.
pub async fn jobs_are_listed_in_pages_by_id(bench: &Bench) {
    for id in ["b", "a", "ä", "B", "a1", "🦀", "a "] {
        bench.due_job(id).await;
    }
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = bench.store().jobs(&JobQuery { after: after.clone(), limit: 3 }).await.unwrap();
        after = page.last().map(|entry| entry.id().clone());
        assert!(page.len() <= 3);
        ids.extend(page.iter().map(|entry| entry.id().to_string()));
        if page.len() < 3 {
            break;
        }
    }
    assert_eq!(ids, ["B", "a", "a ", "a1", "b", "ä", "🦀"]);
}

/// A page can start after an id that is not there any more.
pub async fn a_page_starts_after_any_id(bench: &Bench) {
    bench.due_job("a").await;
    bench.due_job("c").await;
    let page = bench.store().jobs(&JobQuery { after: Some(JobId::from("b")), limit: 10 }).await.unwrap();
    assert_eq!(page.iter().map(|entry| entry.id().as_str()).collect::<Vec<_>>(), ["c"]);
}

/// Removed jobs are hidden, whether or not they have an open run.
pub async fn removed_jobs_are_not_listed(bench: &Bench) {
    for id in ["removed", "running", "there"] {
        bench.due_job(id).await;
    }
    bench.a().start("running").await;
    bench.store().remove(bench.at(), &["removed".into(), "running".into()]).await.unwrap();
    let listed = bench.store().jobs(&JobQuery { after: None, limit: 10 }).await.unwrap();
    assert_eq!(listed.iter().map(|entry| entry.id().as_str()).collect::<Vec<_>>(), ["there"]);
    assert_eq!(bench.find("running").await, None);
}

/// Runs are listed in pages, newest first.
pub async fn runs_are_listed_in_pages_newest_first(bench: &Bench) {
    let job = bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let mut to = moved(&claimed);
    for n in 1..=7 {
        let state = if n == 2 { RunState::Running } else { RunState::Ended(Verdict::Skipped) };
        to.runs.push(RunChange::Insert(nth_run(&claimed, n, state)));
    }
    bench.a().settle_one(&to).await;

    let mut seqs = Vec::new();
    let mut before = None;
    loop {
        let page = bench.store().runs(&RunQuery { uid: job.uid, before, limit: 3 }).await.unwrap();
        seqs.push(page.iter().map(|run| run.id.seq).collect::<Vec<_>>());
        before = page.last().map(|run| run.id.seq);
        if page.len() < 3 {
            break;
        }
    }
    assert_eq!(seqs, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
}
