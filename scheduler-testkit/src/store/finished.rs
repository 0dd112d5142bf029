//! Promises of the searches about jobs that are over: they are found, with their runs, for as long as they stay known, and only where they
//! are asked for.

use std::time::Duration;

use scheduler_core::{
    JobRow, JobState, Listed, Run, RunState, Tags, Uid, Verdict,
    store::{
        FoundRun, JobCounts, JobFilter, JobKey, JobOrder, JobSearch, JobStateKind, RunChange, RunFilter, RunStateKind,
    },
};

use super::{
    Bench, moved,
    node::ended,
    nth_run,
    search::{found_jobs, found_runs},
};

const HOUR: Duration = Duration::from_secs(3_600);

/// Adds a job with a uid that is easily read, has it run, and lets it be over.
async fn finished(bench: &Bench, id: &str, uid: u128, change: impl FnOnce(&mut JobRow)) -> JobRow {
    let mut job = bench.job(id, bench.now().await);
    job.uid = Uid(uid);
    job.body.options.retention = HOUR;
    change(&mut job);
    bench.add(&job).await;
    let started = bench.a().start_and(id, |to| to.state = JobState::Ending).await;
    let reply = bench.a().record(&[started.entry(ended(Verdict::Ok))]).await;
    assert_eq!(reply.over, [(job.uid, job.id.clone())]);
    job
}

fn over() -> JobFilter {
    JobFilter::new().state(JobStateKind::Finished)
}

/// The ids and uids that a search finds, page by page, as in `report-7`.
async fn found(bench: &Bench, filter: &JobFilter, order: JobOrder, limit: usize) -> Vec<String> {
    let found = found_jobs(bench.store(), filter, order, limit).await;
    let name = |job: &Listed| match job {
        Listed::Job(job) => format!("{}-{:x}", job.id, job.uid.0),
        Listed::Raw(raw) => format!("{}, unreadable", raw.id),
    };
    found.iter().map(name).collect()
}

/// A filter that asks for them finds those that fit each of its other parts, by id and uid, and no live ones. Others find none of them.
pub async fn finished_jobs_are_found_if_they_are_asked_for(bench: &Bench) {
    for uid in [3, 1, 2] {
        finished(bench, "report", uid, |job| job.body.tags = Tags::from(["tenant:42"]).with(format!("n:{uid}"))).await;
    }
    finished(bench, "report 2", 5, |job| {
        job.body.tags = ["tenant:43"].into();
        job.body.executor = "slow".into();
        job.body.name = Some("Rechnung".to_owned());
    })
    .await;
    finished(bench, "Report", 4, |job| job.body.tags = Tags::default()).await;
    // One that is live has the same id, another one is removed while it runs.
    bench.due_job("report").await;
    let mut removed = bench.job("removed", bench.now().await);
    removed.body.options.retention = HOUR;
    bench.add(&removed).await;
    bench.a().start("removed").await;
    bench.store().remove(bench.at(), &["removed".into()]).await.unwrap();

    let all = "Report-4 report-1 report-2 report-3 report 2-5";
    for (filter, wanted) in [
        (over(), all),
        (over().id("report"), "report-1 report-2 report-3"),
        (over().id("repor"), ""),
        (over().id(""), ""),
        (over().id_prefix("report"), "report-1 report-2 report-3 report 2-5"),
        (over().id_prefix("report "), "report 2-5"),
        (over().id_prefix("S"), ""),
        (over().task("task"), all),
        (over().task("other"), ""),
        (over().tag("tenant:42"), "report-1 report-2 report-3"),
        (over().tag("tenant:42").tag("n:2"), "report-2"),
        (over().tag("tenant"), ""),
        (over().executor("slow"), "report 2-5"),
        (over().text("RECHN"), "report 2-5"),
        (over().id("report").tag("n:3"), "report-3"),
    ] {
        for (order, limit) in [(JobOrder::Id, 1), (JobOrder::Id, 2), (JobOrder::NextFireTime, 2), (JobOrder::Id, 9)] {
            let found = found(bench, &filter, order, limit).await;
            assert_eq!(found.join(" "), wanted, "{filter:?} {order:?} in pages of {limit}");
        }
        let counts = bench.store().count_jobs(&filter).await.unwrap();
        let mut of_these = JobCounts::default();
        of_these.add(JobStateKind::Finished, found(bench, &filter, JobOrder::Id, 9).await.len() as u64);
        assert_eq!(counts, of_these, "{filter:?}");
    }
    for filter in [JobFilter::new(), JobFilter::new().id("report"), JobFilter::new().state(JobStateKind::Active)] {
        let live = found_jobs(bench.store(), &filter, JobOrder::NextFireTime, 9).await;
        assert_eq!(live.iter().map(|job| job.id().as_str()).collect::<Vec<_>>(), ["report"], "{filter:?}");
        let counts = bench.store().count_jobs(&filter).await.unwrap();
        assert_eq!((counts.total(), counts.finished), (1, 0), "{filter:?}");
    }
}

/// What is found of one is how it was when it was over.
pub async fn a_finished_job_is_shown_as_it_ended(bench: &Bench) {
    let job = finished(bench, "report", 7, |_| {}).await;
    let jobs = found_jobs(bench.store(), &over(), JobOrder::Id, 9).await;
    let [Listed::Job(shown)] = &jobs[..] else { panic!("{jobs:?}") };
    assert_eq!((shown.uid, &shown.id, &shown.body), (job.uid, &job.id, &job.body));
    assert_eq!((&shown.state, shown.next_fire_time, shown.due), (&JobState::Ending, None, None));
    assert_eq!((shown.last_seq, shown.totals.of(Verdict::Ok)), (1, 1));
}

/// A page begins behind any place, also behind one whose job has gone, and between jobs that share an id.
pub async fn a_page_of_finished_jobs_begins_behind_any_place(bench: &Bench) {
    for (id, uid) in [("a", 1), ("b", 2), ("b", 4), ("c", 3)] {
        finished(bench, id, uid, |_| {}).await;
    }
    for (id, uid, wanted) in [
        ("a", Uid(0), "a-1 b-2 b-4 c-3"),
        ("a", Uid(1), "b-2 b-4 c-3"),
        ("aa", Uid(9), "b-2 b-4 c-3"),
        ("b", Uid(3), "b-4 c-3"),
        ("b", JobKey::BEHIND_ALL, "c-3"),
        ("c", Uid(3), ""),
    ] {
        let behind = JobKey { next_fire_time: None, id: id.into(), uid };
        let search = JobSearch::new(over(), 9).with_after(Some(behind));
        let page = bench.store().search_jobs(&search).await.unwrap();
        let name = |key: JobKey| format!("{}-{}", key.id, key.uid.0);
        let names: Vec<String> = page.jobs.iter().map(JobKey::of).map(name).collect();
        assert_eq!((names.join(" "), page.next), (wanted.to_owned(), None), "behind {id} {uid}");
    }
}

/// The runs of finished jobs are found over all jobs, and by the id of their job, which others may have by now.
pub async fn runs_of_finished_jobs_are_found(bench: &Bench) {
    let now = bench.now().await;
    for uid in 1..=3 {
        finished(bench, "report", uid, |_| {}).await;
    }
    finished(bench, "mail", 4, |_| {}).await;
    let live = bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let mut to = moved(&claimed);
    let run = nth_run(&claimed, 1, RunState::Ended(Verdict::Skipped));
    to.runs.push(RunChange::Insert(Run { fire_time: now - chrono::TimeDelta::hours(1), ..run }));
    bench.a().settle_one(&to).await;
    let of_live = format!("report-{:x}", live.uid.0);
    let all = format!("mail-4 report-1 report-2 report-3 {of_live}");
    let of_id = format!("report-1 report-2 report-3 {of_live}");
    for (filter, wanted) in [
        (RunFilter::new(), &*all),
        (RunFilter::new().job("report"), &*of_id),
        (RunFilter::new().job("mail"), "mail-4"),
        (RunFilter::new().job("nobody"), ""),
        (RunFilter::new().task("task"), &*all),
        (RunFilter::new().task("other"), ""),
        (RunFilter::new().verdict(Verdict::Ok), "mail-4 report-1 report-2 report-3"),
        (RunFilter::new().verdict(Verdict::Skipped), &*of_live),
        (RunFilter::new().job("report").verdict(Verdict::Ok), "report-1 report-2 report-3"),
        (RunFilter::new().node("node-a").state(RunStateKind::Ended), "mail-4 report-1 report-2 report-3"),
        (RunFilter::new().state(RunStateKind::Running), ""),
        (RunFilter::new().job("report").until(now), &*of_live),
    ] {
        for limit in [1, 2, 9] {
            let found = found_runs(bench.store(), &filter, limit).await;
            let is_in_order = found.windows(2).all(|pair| pair[0].run.fire_time >= pair[1].run.fire_time);
            let name = |found: &FoundRun| format!("{}-{:x}", found.job, found.run.id.uid.0);
            let mut names: Vec<String> = found.iter().map(name).collect();
            names.sort();
            let mut sorted: Vec<&str> = wanted.split_whitespace().collect();
            sorted.sort_unstable();
            assert_eq!((names.join(" "), is_in_order), (sorted.join(" "), true), "{filter:?} in pages of {limit}");
        }
    }
}

/// One that has gone is not found any more, and neither are its runs.
pub async fn finished_jobs_are_found_until_they_go(bench: &Bench) {
    finished(bench, "short", 1, |job| job.body.options.retention = super::LEASE).await;
    finished(bench, "long", 2, |_| {}).await;
    bench.advance(super::LEASE * 2).await;
    bench.b().claim().await;
    assert_eq!(found(bench, &over(), JobOrder::Id, 9).await, ["long-2"]);
    assert_eq!(bench.store().count_jobs(&over()).await.unwrap().finished, 1);
    let runs = found_runs(bench.store(), &RunFilter::new(), 9).await;
    assert_eq!(runs.iter().map(|found| found.job.as_str()).collect::<Vec<_>>(), ["long"]);
}
