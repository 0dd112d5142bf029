//! Promises of the searches: [`search_jobs`](scheduler_core::JobStore::search_jobs),
//! [`count_jobs`](scheduler_core::JobStore::count_jobs), [`search_runs`](scheduler_core::JobStore::search_runs) and
//! [`nodes`](scheduler_core::JobStore::nodes).

use std::{collections::BTreeSet, sync::Arc};

use chrono::TimeDelta;
use scheduler_core::{
    JobState, JobStore, Listed, Run, RunState, Tags, Uid, Verdict,
    store::{
        FoundRun, JobCounts, JobFilter, JobKey, JobOrder, JobSearch, JobStateKind, NodeInfo, RunChange, RunFilter,
        RunKey, RunSearch, RunStateKind,
    },
};

use super::{Bench, Damage, moved, node::update_of, nth_run};

/// A filter finds the jobs that fit each of its parts, and no others.
pub async fn jobs_are_found_by_each_part_of_a_filter(bench: &Bench) {
    let far = bench.now().await + TimeDelta::hours(1);
    let add = async |id: &str, task: &str, tags: Tags, executor: &str, name: Option<&str>| {
        let mut job = bench.job(id, far);
        job.body.task = task.into();
        job.body.executor = executor.into();
        job.body.name = name.map(str::to_owned);
        job.body.tags = tags;
        bench.add(&job).await;
    };
    add("tenant-42/invoice", "mail", ["tenant:42", "billing"].into(), "default", Some(r#"Rechnung "Größe" 7\8"#)).await;
    add("tenant-42/report", "report", ["tenant:42"].into(), "slow", None).await;
    add("tenant-42", "mail", Tags::default(), "default", None).await;
    add("tenant-43/invoice", "mail", ["tenant:43", "billing"].into(), "slow", None).await;
    let cases = [
        (JobFilter::new(), "tenant-42 tenant-42/invoice tenant-42/report tenant-43/invoice"),
        (JobFilter::new().id_prefix("tenant-42"), "tenant-42 tenant-42/invoice tenant-42/report"),
        (JobFilter::new().id_prefix("tenant-42/"), "tenant-42/invoice tenant-42/report"),
        (JobFilter::new().id_prefix("Tenant"), ""),
        (JobFilter::new().id("tenant-42"), "tenant-42"),
        (JobFilter::new().id("tenant-42/report").tag("tenant:42"), "tenant-42/report"),
        (JobFilter::new().id("tenant-42/report").task("mail"), ""),
        (JobFilter::new().id("tenant-4"), ""),
        (JobFilter::new().id(""), ""),
        (JobFilter::new().id("x".repeat(300)), ""),
        (JobFilter::new().task("mail"), "tenant-42 tenant-42/invoice tenant-43/invoice"),
        (JobFilter::new().task("mai"), ""),
        (JobFilter::new().tag("billing"), "tenant-42/invoice tenant-43/invoice"),
        (JobFilter::new().tag("billing").tag("tenant:42"), "tenant-42/invoice"),
        (JobFilter::new().tag("tenant:4"), ""),
        (JobFilter::new().executor("slow"), "tenant-42/report tenant-43/invoice"),
        (JobFilter::new().text("RECHN"), "tenant-42/invoice"),
        (JobFilter::new().text(r#""GRöße" 7\8"#), "tenant-42/invoice"),
        (JobFilter::new().text("größe/"), ""),
        (JobFilter::new().text("tenant:42"), "tenant-42/invoice tenant-42/report"),
        (JobFilter::new().text("report"), "tenant-42/report"),
        (JobFilter::new().task("mail").tag("billing").id_prefix("tenant-43"), "tenant-43/invoice"),
        (JobFilter::new().task("report").tag("billing"), ""),
        (JobFilter::new().state(JobStateKind::Active).executor("slow").tag("tenant:42"), "tenant-42/report"),
    ];
    for (filter, wanted) in cases {
        for order in [JobOrder::Id, JobOrder::NextFireTime] {
            let found = ids(bench, &filter, order, 2).await;
            assert_eq!(found.join(" "), wanted, "{filter:?} {order:?}");
        }
        let counts = bench.store().count_jobs(&filter).await.unwrap();
        assert_eq!(counts.total(), wanted.split_whitespace().count() as u64, "{filter:?}");
    }
}

/// Characters that are patterns elsewhere are themselves here.
pub async fn what_looks_like_a_pattern_is_none(bench: &Bench) {
    let far = bench.now().await + TimeDelta::hours(1);
    for word in ["a%", "a_b", "axb", "A", r"a\", "a'b", "a\"]", "a ", "a", "a[b", "ä", "🦀"] {
        let mut job = bench.job(word, far);
        job.body.tags = [word].into();
        bench.add(&job).await;
    }
    for (prefix, wanted) in [
        ("a%", "a%"),
        ("a_", "a_b"),
        (r"a\", r"a\"),
        ("a'", "a'b"),
        ("a\"", "a\"]"),
        ("a[", "a[b"),
        ("ä", "ä"),
        ("🦀", "🦀"),
    ] {
        assert_eq!(ids(bench, &JobFilter::new().id_prefix(prefix), JobOrder::Id, 9).await, [wanted], "{prefix}");
    }
    for word in ["a%", "a_b", "A", r"a\", "a'b", "a\"]", "a ", "a", "a[b", "ä", "🦀"] {
        assert_eq!(ids(bench, &JobFilter::new().tag(word), JobOrder::Id, 9).await, [word], "{word}");
        assert_eq!(ids(bench, &JobFilter::new().tag(word), JobOrder::NextFireTime, 9).await, [word], "{word}");
    }
    for (text, wanted) in [
        ("A_", "a_b"),
        ("A%", "a%"),
        (r"A\", r"a\"),
        ("'B", "a'b"),
        ("\"]", "a\"]"),
        ("A[B", "a[b"),
        ("ä", "ä"),
        ("🦀", "🦀"),
    ] {
        assert_eq!(ids(bench, &JobFilter::new().text(text), JobOrder::Id, 9).await, [wanted], "{text}");
    }
    assert_eq!(ids(bench, &JobFilter::new().id_prefix("x".repeat(300)), JobOrder::Id, 9).await, [""; 0]);
}

/// Jobs come in pages by the bytes of their ids.
pub async fn found_jobs_come_in_pages_by_id(bench: &Bench) {
    for id in ["b", "a", "ä", "B", "a1", "🦀", "a "] {
        bench.due_job(id).await;
    }
    let found = ids(bench, &JobFilter::new().tag("suite"), JobOrder::Id, 3).await;
    assert_eq!(found, ["B", "a", "a ", "a1", "b", "ä", "🦀"]);
    assert_eq!(ids(bench, &JobFilter::new().id_prefix("a"), JobOrder::Id, 2).await, ["a", "a ", "a1"]);
}

/// Jobs come in pages by their next fire times, by id where these are equal, and those without one come last.
pub async fn found_jobs_come_in_pages_by_next_fire_time(bench: &Bench) {
    let now = bench.now().await;
    for (id, seconds) in
        [("late", Some(30)), ("b", Some(20)), ("never", None), ("a", Some(20)), ("early", Some(-5)), ("no", None)]
    {
        let mut job = bench.job(id, now);
        job.next_fire_time = seconds.map(|seconds| now + TimeDelta::seconds(seconds));
        job.due = job.next_fire_time;
        bench.add(&job).await;
    }
    for limit in [1, 2, 100] {
        let found = ids(bench, &JobFilter::new(), JobOrder::NextFireTime, limit).await;
        assert_eq!(found, ["early", "a", "b", "late", "never", "no"], "in pages of {limit}");
    }
    assert_eq!(ids(bench, &JobFilter::new().id_prefix("n"), JobOrder::NextFireTime, 1).await, ["never", "no"]);
}

/// A page can begin behind a job that is not there any more.
pub async fn a_page_of_found_jobs_begins_behind_any_place(bench: &Bench) {
    let now = bench.now().await;
    for (id, seconds) in [("a", 10), ("c", 30)] {
        bench.add(&bench.job(id, now + TimeDelta::seconds(seconds))).await;
    }
    for order in [JobOrder::Id, JobOrder::NextFireTime] {
        let gone = JobKey { next_fire_time: Some(now + TimeDelta::seconds(20)), id: "b".into(), uid: Uid(7) };
        let search = JobSearch::new(JobFilter::new(), 9).with_order(order).with_after(Some(gone));
        let page = bench.store().search_jobs(&search).await.unwrap();
        assert_eq!(page.jobs.iter().map(|job| job.id().as_str()).collect::<Vec<_>>(), ["c"], "{order:?}");
    }
}

/// A job is found by what an update has made of it, and not by what it was; one that is removed is not found.
pub async fn a_job_is_found_by_what_it_is_now(bench: &Bench) {
    let job = bench.due_job("report").await;
    let mut body = job.body.clone();
    body.tags = ["tenant:43", "new"].into();
    body.task = "other".into();
    body.executor = "slow".into();
    bench.a().update(&update_of(&job).with_body(Some(body)).with_state(JobState::Paused).with_due(None)).await;
    let is = |filter: JobFilter| async move { ids(bench, &filter, JobOrder::Id, 9).await == ["report"] };
    for filter in [
        JobFilter::new().tag("tenant:43").tag("new"),
        JobFilter::new().task("other"),
        JobFilter::new().executor("slow"),
        JobFilter::new().state(JobStateKind::Paused),
    ] {
        assert!(is(filter.clone()).await, "{filter:?}");
    }
    for filter in [
        JobFilter::new().tag("tenant:42"),
        JobFilter::new().tag("suite").tag("new"),
        JobFilter::new().task("task"),
        JobFilter::new().executor("default"),
        JobFilter::new().state(JobStateKind::Active),
    ] {
        assert!(!is(filter.clone()).await, "{filter:?}");
    }
    bench.store().remove(bench.at(), &["report".into()]).await.unwrap();
    assert!(!is(JobFilter::new().tag("new")).await);
    // Another one with its id is found by its own tags.
    bench.due_job("report").await;
    assert!(!is(JobFilter::new().tag("new")).await);
    assert!(is(JobFilter::new().tag("tenant:42")).await);
    // Neither is one that was removed and still runs.
    bench.a().start("report").await;
    bench.store().remove(bench.at(), &["report".into()]).await.unwrap();
    assert!(!is(JobFilter::new().tag("tenant:42")).await && !is(JobFilter::new().task("task")).await);
    assert_eq!(bench.store().count_jobs(&JobFilter::new()).await.unwrap(), JobCounts::default());
}

/// Jobs are counted by their states.
pub async fn jobs_are_counted_by_state(bench: &Bench) {
    let states = [
        ("a", JobState::Active),
        ("b", JobState::Paused),
        ("c", JobState::Kept),
        ("d", JobState::Paused),
        ("e", JobState::Quarantined("for a test".to_owned())),
        ("f", JobState::Active),
        ("g", JobState::Active),
    ];
    for (id, state) in states {
        let job = bench.due_job(id).await;
        let update = update_of(&job).with_state(state.clone());
        let is_waiting = matches!(state, JobState::Active);
        bench.a().update(&if is_waiting { update } else { update.with_due(None).with_next_fire_time(None) }).await;
    }
    let counts = bench.store().count_jobs(&JobFilter::new()).await.unwrap();
    assert_eq!((counts.active, counts.paused, counts.kept, counts.quarantined), (3, 2, 1, 1));
    let paused = bench.store().count_jobs(&JobFilter::new().state(JobStateKind::Paused).tag("suite")).await.unwrap();
    assert_eq!((paused.total(), paused.paused), (2, 2));
    for (kind, wanted) in [
        (JobStateKind::Active, "a f g"),
        (JobStateKind::Paused, "b d"),
        (JobStateKind::Kept, "c"),
        (JobStateKind::Quarantined, "e"),
    ] {
        for order in [JobOrder::Id, JobOrder::NextFireTime] {
            assert_eq!(ids(bench, &JobFilter::new().state(kind), order, 2).await.join(" "), wanted, "{kind:?}");
        }
    }
}

/// A row that cannot be read is found by its id, and as quarantined once a claim has put it aside.
pub async fn a_broken_row_is_found_as_quarantined(bench: &Bench) {
    let broken = bench.due_job("broken").await;
    if bench.damage(&broken.id, Damage::Body).await.is_err() {
        return;
    }
    bench.due_job("sound").await;
    bench.a().claim().await;
    for filter in [
        JobFilter::new().id_prefix("bro"),
        JobFilter::new().text("KEN"),
        JobFilter::new().state(JobStateKind::Quarantined),
    ] {
        assert_eq!(ids(bench, &filter, JobOrder::Id, 9).await, ["broken"], "{filter:?}");
        assert_eq!(ids(bench, &filter, JobOrder::NextFireTime, 9).await, ["broken"], "{filter:?}");
    }
    assert_eq!(ids(bench, &JobFilter::new().tag("suite"), JobOrder::Id, 9).await, ["sound"]);
    assert_eq!(ids(bench, &JobFilter::new(), JobOrder::Id, 1).await, ["broken", "sound"]);
    let counts = bench.store().count_jobs(&JobFilter::new()).await.unwrap();
    assert_eq!((counts.active, counts.quarantined), (1, 1));
}

/// Runs of all jobs are found by each part of a filter, newest first, in pages.
pub async fn runs_are_found_over_all_jobs(bench: &Bench) {
    let now = bench.now().await;
    let (mail, report) = (bench.due_job("mail").await, bench.due_job("report").await);
    for (job, skipped) in [(&mail, 3_u64), (&report, 2)] {
        let claimed = bench.a().claim().await;
        let of_job = claimed.jobs.iter().find(|it| it.job.uid == job.uid).expect("it is due");
        let mut to = moved(of_job);
        for n in 1..=skipped {
            let run = nth_run(of_job, n, RunState::Ended(Verdict::Skipped));
            to.runs.push(RunChange::Insert(Run { fire_time: now + TimeDelta::seconds(n as i64), ..run }));
        }
        let run = nth_run(of_job, skipped + 1, RunState::Running);
        to.runs.push(RunChange::Insert(Run { fire_time: now + TimeDelta::seconds(10), ..run }));
        bench.a().settle_one(&to).await;
    }
    let all = "report@10 mail@10 mail@3 report@2 mail@2 report@1 mail@1";
    let second = |n: i64| now + TimeDelta::seconds(n);
    let cases = [
        (RunFilter::new(), all),
        (RunFilter::new().task("task"), all),
        (RunFilter::new().task("other"), ""),
        (RunFilter::new().job("mail"), "mail@10 mail@3 mail@2 mail@1"),
        (RunFilter::new().job("nobody"), ""),
        (RunFilter::new().state(RunStateKind::Running), "report@10 mail@10"),
        (RunFilter::new().state(RunStateKind::Waiting), ""),
        (RunFilter::new().node("node-a"), "report@10 mail@10"),
        (RunFilter::new().node("node-b"), ""),
        (RunFilter::new().verdict(Verdict::Skipped), "mail@3 report@2 mail@2 report@1 mail@1"),
        (RunFilter::new().verdict(Verdict::Ok), ""),
        (RunFilter::new().since(second(2)).until(second(10)), "mail@3 report@2 mail@2"),
        (RunFilter::new().job("report").until(second(2)), "report@1"),
    ];
    for (filter, wanted) in cases {
        for limit in [1, 3, 100] {
            let found = found_runs(bench.store(), &filter, limit).await;
            let text = |found: &FoundRun| format!("{}@{}", found.job, (found.run.fire_time - now).num_seconds());
            let found: Vec<_> = found.iter().map(text).collect();
            assert_eq!(found.join(" "), wanted, "{filter:?} in pages of {limit}");
        }
    }
    let search = RunSearch::new(RunFilter::new(), 1);
    let page = bench.store().search_runs(&search).await.unwrap();
    assert_eq!(page.runs[0].run, bench.runs(report.uid).await[0]);
    let behind = RunKey { fire_time: second(2), run: page.runs[0].run.id };
    let page = bench.store().search_runs(&search.with_after(Some(behind))).await.unwrap();
    assert_eq!((page.runs[0].job.as_str(), page.runs[0].run.fire_time), ("report", second(2)));
}

/// The runs of a removed job are not found, also while one of them goes on.
pub async fn runs_of_removed_jobs_are_not_found(bench: &Bench) {
    for id in ["removed", "there"] {
        bench.due_job(id).await;
        bench.a().start(id).await;
    }
    bench.store().remove(bench.at(), &["removed".into()]).await.unwrap();
    let found = found_runs(bench.store(), &RunFilter::new(), 9).await;
    assert_eq!(found.iter().map(|found| found.job.as_str()).collect::<Vec<_>>(), ["there"]);
}

/// A node that runs something is there with that, and gone when it runs nothing and has left.
pub async fn nodes_are_shown_with_what_they_run(bench: &Bench) {
    assert_eq!(bench.store().nodes().await.unwrap(), []);
    for id in ["one", "two"] {
        bench.due_job(id).await;
    }
    let (one, two) = (bench.a().start("one").await, bench.a().start("two").await);
    bench.due_job("three").await;
    bench.b().start("three").await;
    let text = async || {
        let nodes = bench.store().nodes().await.unwrap();
        let of_node = |node: &scheduler_core::store::NodeRow| {
            let running: BTreeSet<String> =
                node.running.iter().map(|found| format!("{} {}", found.job, found.run.id.seq)).collect();
            format!("{}: {running:?}", node.id)
        };
        nodes.iter().map(of_node).collect::<Vec<_>>()
    };
    assert_eq!(text().await, ["node-a: {\"one 1\", \"two 1\"}", "node-b: {\"three 1\"}"]);
    bench.a().end(&one, Verdict::Ok).await;
    assert_eq!(text().await[0], "node-a: {\"two 1\"}");
    let nodes = bench.store().nodes().await.unwrap();
    let run = &nodes[0].running[0];
    assert_eq!((run.task.as_str(), run.run.id, run.run.owner.as_ref()), ("task", two.run, Some(&nodes[0].id)));
    bench.a().release().await;
    assert_eq!(text().await, ["node-b: {\"three 1\"}"]);
}

/// A node is shown with what it has said of itself when it first held something, for as long as it does; if the store shows more of a
/// node than its runs, its lease included.
pub async fn nodes_say_what_they_are(bench: &Bench) {
    let info = NodeInfo::of_this_build().with_host("web-3").with_label("zone", "eu \"1\"").with_label("größe", "5");
    for id in ["one", "two"] {
        bench.due_job(id).await;
    }
    let claim = bench.a().claim_call().with_limit(1).with_info(Arc::new(info.clone()));
    let claimed = bench.a().send(&claim).await.jobs.remove(0);
    let shown = async || bench.store().nodes().await.unwrap();
    let nodes = shown().await;
    if nodes.first().is_none_or(|node| node.lease_until.is_none()) {
        return;
    }
    assert_eq!((nodes[0].id.as_str(), &nodes[0].info), ("node-a", &info));
    let mut to = moved(&claimed);
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));
    bench.a().settle_one(&to).await;
    bench.a().life_sign().await;
    bench.a().send(&bench.a().claim_call().with_limit(1).with_info(Arc::new(info.clone()))).await;
    assert_eq!(shown().await[0].info, info, "after a turn");
    bench.b().claim().await;
    bench.due_job("three").await;
    bench.b().start("three").await;
    let nodes = shown().await;
    assert_eq!((nodes[1].id.as_str(), nodes[1].info.is_empty()), ("node-b", true), "it has said nothing");
    bench.a().release().await;
    assert_eq!(shown().await.len(), 1);
    // Whoever comes under the same name says it anew.
    bench.a().send(&bench.a().claim_call().with_info(Arc::new(NodeInfo::default().with_host("web-4")))).await;
    let hosts: Vec<_> = shown().await.into_iter().filter_map(|node| node.info.host).collect();
    assert_eq!(hosts, ["web-4"]);
}

/// All that a search finds, page by page.
async fn ids(bench: &Bench, filter: &JobFilter, order: JobOrder, limit: usize) -> Vec<String> {
    let found = found_jobs(bench.store(), filter, order, limit).await;
    found.iter().map(|job| job.id().to_string()).collect()
}

pub(super) async fn found_jobs(store: &dyn JobStore, filter: &JobFilter, order: JobOrder, limit: usize) -> Vec<Listed> {
    let mut search = JobSearch::new(filter.clone(), limit).with_order(order);
    let mut found = Vec::new();
    for _ in 0..PAGES {
        let page = store.search_jobs(&search).await.expect("a search is answered");
        assert!(page.jobs.len() <= limit, "{} jobs on a page of {limit}", page.jobs.len());
        found.extend(page.jobs);
        if page.next.is_none() {
            return found;
        }
        search = search.with_after(page.next);
    }
    panic!("{filter:?}: the {PAGES}th page is not the last one");
}

pub(super) async fn found_runs(store: &dyn JobStore, filter: &RunFilter, limit: usize) -> Vec<FoundRun> {
    let mut search = RunSearch::new(filter.clone(), limit);
    let mut found = Vec::new();
    for _ in 0..PAGES {
        let page = store.search_runs(&search).await.expect("a search is answered");
        assert!(page.runs.len() <= limit, "{} runs on a page of {limit}", page.runs.len());
        found.extend(page.runs);
        if page.next.is_none() {
            return found;
        }
        search = search.with_after(page.next);
    }
    panic!("{filter:?}: the {PAGES}th page is not the last one");
}

/// More than any of the tests has.
const PAGES: usize = 5_000;
