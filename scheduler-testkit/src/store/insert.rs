//! Promises of [`JobStore::insert`](scheduler_core::JobStore::insert).

use std::time::Duration;

use chrono::DateTime;
use scheduler_core::{
    JobRow, Listed, Uid,
    store::{Inserted, StoreErrorKind},
};
use serde_json::json;

use super::Bench;

/// A job is found by its id as it was given, each field of it, to the microsecond and with fields that this version does not know.
pub async fn an_inserted_job_is_found_as_it_was_given(bench: &Bench) {
    let mut job = bench.job("report", DateTime::from_timestamp_micros(4_102_444_800_000_001).unwrap());
    job.body.extra.insert("colour".to_owned(), json!(["red", { "shade": 3 }]));
    job.body.options.misfire_grace_time = Some(Duration::from_millis(1_500));
    job.due = Some(DateTime::from_timestamp_micros(4_102_444_800_999_999).unwrap());
    bench.add(&job).await;

    assert_eq!(bench.stored("report").await, job);
    assert_eq!(bench.b().store.job(&job.id).await.unwrap(), Some(Listed::Job(job)));
    assert_eq!(bench.store().job(&"another".into()).await.unwrap(), None);
}

/// The id of a live job is taken: the reply shows whose it is, and nothing is written.
pub async fn the_id_of_a_live_job_is_a_conflict(bench: &Bench) {
    let mut first = bench.due_job("report").await;
    first.body.name = None;
    let second = bench.job("report", bench.now().await);

    let reply = bench.b().store.insert(bench.at(), std::slice::from_ref(&second)).await.unwrap();

    let [Inserted::Conflict(there)] = &reply.value[..] else { panic!("{reply:?}") };
    assert!(matches!(&**there, Listed::Job(job) if job.uid == first.uid), "{there:?}");
    assert_eq!(bench.stored("report").await.uid, first.uid);
}

/// The identical insert repeated, as after a lost reply, adds nothing and is answered the same.
pub async fn an_insert_repeated_adds_nothing(bench: &Bench) {
    let jobs = [bench.job("one", bench.at()), bench.job("two", bench.at())];
    for _ in 0..2 {
        let reply = bench.store().insert(bench.at(), &jobs).await.unwrap();
        assert_eq!(reply.value, [Inserted::Added, Inserted::Added]);
    }
    assert_eq!(bench.a().adopt().await.jobs.len(), 2);
}

/// An insert repeated after the job was changed leaves the change alone.
pub async fn an_insert_repeated_does_not_undo_what_came_after(bench: &Bench) {
    let job = bench.due_job("report").await;
    bench.a().start("report").await;
    bench.add(&job).await;
    assert_eq!(bench.stored("report").await.due, None);
}

/// A batch is judged job by job: one that conflicts, with the store or within the batch, does not stop the others.
pub async fn a_batch_is_judged_job_by_job(bench: &Bench) {
    bench.due_job("taken").await;
    let at = bench.now().await;
    let jobs = ["one", "taken", "two", "one"].map(|id| bench.job(id, at));

    let reply = bench.store().insert(bench.at(), &jobs).await.unwrap();

    assert_eq!(reply.value[0], Inserted::Added);
    assert!(matches!(&reply.value[1], Inserted::Conflict(there) if there.id() == &jobs[1].id), "{reply:?}");
    assert_eq!(reply.value[2], Inserted::Added);
    assert!(matches!(&reply.value[3], Inserted::Conflict(there) if is_job(there, jobs[0].uid)), "{reply:?}");
    assert_eq!(bench.stored("one").await.uid, jobs[0].uid);
}

/// A big batch goes in as a small one does, with the conflicts within it.
pub async fn a_big_batch_goes_in(bench: &Bench) {
    let at = bench.now().await;
    let size = bench.store().limits().batch.min(500);
    let mut jobs: Vec<JobRow> = (0..size).map(|n| bench.job(&format!("job-{n}"), at)).collect();
    let all = bench.store().insert(bench.at(), &jobs).await.unwrap();
    assert!(all.value.iter().all(|outcome| *outcome == Inserted::Added));

    jobs[size / 2] = bench.job("job-0", at);
    let again = bench.store().insert(bench.at(), &jobs).await.unwrap();
    let conflicts = again.value.iter().filter(|outcome| matches!(outcome, Inserted::Conflict(_))).count();
    assert_eq!(conflicts, 1);
    assert_eq!(bench.stored("job-3").await.uid, jobs[3].uid);
}

/// Ids that no store could keep are rejected, with their place in the batch, and nothing of the call is written.
pub async fn impossible_ids_are_rejected(bench: &Bench) {
    for id in ["", "null\0byte", &"x".repeat(192)] {
        let jobs = [bench.job("sound", bench.at()), bench.job(id, bench.at())];
        let error = bench.store().insert(bench.at(), &jobs).await.unwrap_err();
        assert_eq!((error.kind(), error.item()), (StoreErrorKind::Rejected, Some(1)), "{error}");
        assert_eq!(bench.find("sound").await, None);
    }
    bench.due_job(&"x".repeat(191)).await;
}

/// Ids are bytes: quotes, percent signs, other scripts, case and blanks make different jobs, and none breaks a query.
pub async fn hostile_ids_are_kept_apart(bench: &Bench) {
    let ids = [
        "a",
        "A",
        "a ",
        " a",
        "'; drop table jobs; --",
        "\"quoted\"",
        "`tick`",
        "%",
        "_",
        "\\",
        "ä",
        "a\u{308}",
        "日本",
        "🦀",
        "{1}",
        "$1",
        "?1",
        ":id",
        "a\nb",
        "\u{1}",
        "*",
        "[a-z]",
        "null",
        "0",
        "00",
    ];
    let mut jobs = Vec::new();
    for id in ids {
        jobs.push(bench.due_job(id).await);
    }
    for job in &jobs {
        assert_eq!(bench.stored(job.id.as_str()).await.uid, job.uid, "{:?}", job.id);
    }
    assert_eq!(bench.a().claim().await.jobs.len(), ids.len());
    for job in &jobs {
        bench.store().remove(bench.at(), std::slice::from_ref(&job.id)).await.unwrap();
        assert_eq!(bench.find(job.id.as_str()).await, None, "{:?}", job.id);
    }
}

/// A body that is larger than the limit is refused with the job's name, and nothing of the call is written.
pub async fn a_body_over_the_limit_is_refused_by_name(bench: &Bench) {
    let limit = bench.store().limits().payload;
    if limit == usize::MAX {
        return;
    }
    let mut jobs = [bench.job("small", bench.at()), bench.job("big one", bench.at())];
    jobs[1].body.args = json!("x".repeat(limit));

    let error = bench.store().insert(bench.at(), &jobs).await.unwrap_err();

    assert_eq!((error.kind(), error.item()), (StoreErrorKind::TooLarge, Some(1)));
    assert!(error.to_string().contains("big one"), "{error}");
    assert_eq!(bench.find("small").await, None);
}

/// Numbers that count what happens to a job start at 0, whatever the given row says.
pub async fn numbers_start_at_zero(bench: &Bench) {
    let mut job = bench.job("report", bench.at());
    (job.revision, job.fence, job.last_seq) = (7, 8, 9);
    bench.add(&job).await;
    let stored = bench.stored("report").await;
    assert_eq!((stored.revision, stored.fence, stored.last_seq), (0, 0, 0));
}

fn is_job(listed: &Listed, uid: Uid) -> bool {
    matches!(listed, Listed::Job(job) if job.uid == uid)
}
