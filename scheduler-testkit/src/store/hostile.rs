//! Promises about what people and other programs put into jobs: it is kept, and does no harm.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use scheduler_core::{
    JobRow, JobState, NESTING_LIMIT, RunState, TaskName, Verdict,
    store::{JobQuery, RecordOutcome, Removed, RunReport, Updated},
};
use serde_json::{Map, json};

use super::{Bench, Damage, node::update_of};

/// Names that mean something to one database or another.
const NAMES: [&str; 14] = [
    "'",
    "\"",
    "`",
    "'; drop table jobs; --",
    "\\",
    "%",
    "$where",
    "a.b",
    "a b\n",
    "{tag}",
    "ä日本🦀",
    "\u{1}\u{7f}",
    "return redis.call('FLUSHALL')",
    "/../jobs",
];

/// Texts that one database or another takes for equal: they differ in blanks, case, accents or how they are composed.
const ALIKE: [&str; 12] =
    [" ", "  ", "\t", "n", "N", "n ", " n", "n\u{a0}", "\u{f1}", "n\u{303}", "\u{d1}", "\u{ff4e}"];

/// Arguments come back as they were given: characters that databases dislike, numbers at the edges, the deepest nesting that
/// a scheduler takes.
pub async fn hostile_arguments_are_kept(bench: &Bench) {
    let mut args = Map::new();
    for name in NAMES {
        args.insert(name.to_owned(), json!({ name: name }));
    }
    // The arguments themselves are an object.
    let nested = (1..NESTING_LIMIT).fold(json!("deep"), |inner, _| json!([inner]));
    let args = json!({
        "names": args,
        "": null,
        "nul \u{0}": "\u{0}",
        "numbers": [u64::MAX, i64::MIN, 0.1 + 0.2, 1e308, 5e-324, 9_007_199_254_740_993_u64],
        "nested": nested,
        "long": "x".repeat(20_000),
    });
    let mut job = bench.job("report", bench.now().await);
    job.body.args = args.clone();
    job.body.name = Some("'\u{0}\"".to_owned());
    job.body.extra.insert("$set".to_owned(), json!({ "a.b": "\u{0}" }));
    bench.add(&job).await;

    assert_eq!(bench.stored("report").await, job);
    assert_eq!(bench.a().claim_one("report").await.job.body, job.body);
    let mut body = job.body.clone();
    body.args = json!([args["names"], args["nested"], "again"]);
    let seen = bench.stored("report").await;
    let update = update_of(&seen).with_body(Some(body.clone()));
    let Updated::Updated(row) = bench.a().update(&update).await else { panic!("it was not updated") };
    assert_eq!(row.body, body);
}

/// A body of the size that the store says it takes goes in, out, and through an update.
pub async fn a_body_at_the_limit_is_kept_whole(bench: &Bench) {
    let limit = bench.store().limits().payload.min(1 << 20);
    let mut job = bench.job("report", bench.now().await);
    fill(&mut job, limit);
    bench.add(&job).await;
    bench.due_job("small").await;

    let claimed = bench.a().claim().await;
    assert_eq!(claimed.jobs.len(), 2);
    let big = claimed.jobs.iter().find(|it| it.job.id == "report").expect("it was claimed");
    assert_eq!(big.job.body, job.body);
    bench.a().release().await;
    bench.a().start("report").await;
    let mut seen = bench.stored("report").await;
    fill(&mut seen, limit);
    let update = update_of(&seen).with_body(Some(seen.body.clone()));
    assert!(matches!(bench.a().update(&update).await, Updated::Updated(_)));
    assert_eq!(bench.stored("report").await.body, seen.body);
}

/// Makes the JSON of a body so many bytes long.
fn fill(job: &mut JobRow, limit: usize) {
    job.body.args = json!("");
    let empty = serde_json::to_string(&job.body).expect("a body is JSON").len();
    job.body.args = json!("y".repeat(limit - empty));
}

/// Tasks are told apart by each byte of their names, and a claim that names strange ones takes their jobs only.
pub async fn hostile_task_names_are_kept_apart(bench: &Bench) {
    let now = bench.now().await;
    for (n, name) in NAMES.iter().enumerate() {
        let mut job = bench.job(&format!("job-{n}"), now);
        job.body.task = (*name).into();
        bench.add(&job).await;
    }
    let (known, unknown) = NAMES.split_at(NAMES.len() / 2);
    for names in [known, unknown] {
        let tasks: BTreeSet<TaskName> = names.iter().map(|name| (*name).into()).collect();
        let call = bench.a().claim_call().with_tasks(Arc::new(tasks.clone()));
        let claimed = bench.a().send(&call).await;
        let taken: BTreeSet<_> = claimed.jobs.into_iter().map(|it| it.job.body.task).collect();
        assert_eq!(taken, tasks);
        bench.a().release().await;
    }
}

/// Ids and tasks that only look alike are different jobs, in a claim, a listing and a removal.
pub async fn ids_and_tasks_that_look_alike_are_others(bench: &Bench) {
    let now = bench.now().await;
    for name in ALIKE {
        let mut job = bench.job(name, now);
        job.body.task = name.into();
        job.body.executor = name.into();
        bench.add(&job).await;
    }
    for name in ALIKE {
        let call = bench.a().claim_call().with_tasks(Arc::new(BTreeSet::from([name.into()])));
        let claimed = bench.a().send(&call).await;
        let taken: Vec<_> = claimed.jobs.iter().map(|it| (it.job.id.as_str(), it.job.body.executor.as_str())).collect();
        assert_eq!(taken, [(name, name)]);
        bench.a().release().await;
    }
    for (n, name) in ALIKE.iter().enumerate() {
        let removed = bench.store().remove(bench.at(), &[(*name).into()]).await.unwrap().value;
        assert_eq!(removed.len(), 1);
        let left = bench.store().jobs(&JobQuery { after: None, limit: 99 }).await.unwrap();
        assert_eq!(left.len(), ALIKE.len() - n - 1, "after {name:?}");
    }
}

/// Nodes whose names only look alike are others: each has its claims, runs and lease, and gives up its own.
pub async fn nodes_that_look_alike_are_others(bench: &Bench) {
    let nodes = ALIKE.map(|name| bench.a().renamed(name));
    let mut started = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        bench.due_job(&format!("job-{n}")).await;
        started.push(node.start(&format!("job-{n}")).await);
    }
    bench.due_job("claimed").await;
    nodes[3].claim_one("claimed").await;
    for (n, node) in nodes.iter().enumerate() {
        for (other, run) in started.iter().enumerate().filter(|(other, _)| *other != n) {
            let outcome = node.end(run, Verdict::Ok).await;
            assert_ne!(outcome, RecordOutcome::Done, "{:?} ended a run of {:?}", ALIKE[n], ALIKE[other]);
        }
        assert_eq!(node.claim().await.jobs.len(), usize::from(n == 3), "{:?}", ALIKE[n]);
    }
    for (n, node) in nodes.iter().enumerate().rev() {
        node.release().await;
        for (other, run) in started[..n].iter().enumerate() {
            let state = &bench.runs(run.uid()).await[0].state;
            assert_eq!(*state, RunState::Running, "{:?} gave up a run of {:?}", ALIKE[n], ALIKE[other]);
        }
    }
}

/// What a task says when it fails is kept but for NUL, which gives way to U+FFFD; so is why a job is in quarantine.
pub async fn hostile_messages_are_kept(bench: &Bench) {
    let message = format!("panicked at {}", NAMES.join("\u{0}"));
    let kept = message.replace('\u{0}', "\u{FFFD}");
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    let report = RunReport::End {
        verdict: Verdict::Error,
        error: Some(message.clone()),
        duration: Duration::from_millis(1),
        output: None,
    };
    bench.a().report(&started, report).await;
    assert_eq!(bench.runs(started.uid()).await[0].error.as_ref(), Some(&kept));

    let seen = bench.stored("report").await;
    let put_aside = update_of(&seen).with_state(JobState::Quarantined(message));
    for _ in 0..2 {
        let Updated::Updated(row) = bench.a().update(&put_aside).await else { panic!("it was not updated") };
        assert_eq!(row.state, JobState::Quarantined(kept.clone()));
    }
    assert_eq!(bench.stored("report").await.state, JobState::Quarantined(kept));
}

/// A broken row is reported and removed under whatever id it has, and its neighbours stay.
pub async fn broken_rows_of_hostile_ids_are_removed(bench: &Bench) {
    for name in NAMES {
        let broken = bench.due_job(name).await;
        if bench.damage(&broken.id, Damage::Body).await.is_err() {
            return;
        }
        bench.due_job(&format!("{name}{name}")).await;
        let claimed = bench.a().claim().await;
        let [raw] = &claimed.quarantined[..] else { panic!("{name:?}: {claimed:?}") };
        assert_eq!(raw.id, broken.id);

        let removed = bench.store().remove(bench.at(), std::slice::from_ref(&broken.id)).await.unwrap().value;

        assert_eq!(removed, [Removed::Removed { uid: Some(broken.uid), running: 0, cancelled: vec![] }], "{name:?}");
        assert!(bench.store().job(&broken.id).await.unwrap().is_none());
        bench.stored(&format!("{name}{name}")).await;
    }
}
